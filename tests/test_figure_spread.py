"""Spread: every repeat is drawn, the median among them, and shares of a ceiling are those of the same round."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import spread

SPEEDS = {"bare": [800_000, 1_000_000, 900_000], "nats-py": [80_000, 100_000, 45_000]}


def test_words_and_table_have_the_median_the_range_and_the_share_of_each_round() -> None:
    picture = spread(SPEEDS, "messages/s", ceiling="bare", title="End to end")
    assert picture.alt == (
        "Spread: End to end. In messages/s. bare: 900 k (800 k to 1 M), 1.00 of the ceiling. "
        "nats-py: 80 k (45 k to 100 k), 0.10 of the ceiling."
    )
    assert "<tr><td>nats-py</td><td>80 k</td><td>45 k</td><td>100 k</td><td>3</td><td>0.10</td></tr>" in picture.table


def test_without_a_ceiling_nothing_is_compared() -> None:
    picture = spread(SPEEDS, "messages/s")
    assert picture.alt.startswith("Spread: 2 figures, repeated. In messages/s. bare: 900 k (800 k to 1 M). ")
    assert "ceiling" not in picture.alt


def test_every_repeat_is_a_dot() -> None:
    one, five = (near(spread({"x": [k * 100.0 for k in range(n)]}, "s"), "delivered") for n in (2, 6))
    assert five / one == pytest.approx(7 / 3, rel=0.2)  # the legend's dot is in both


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="as many repeats as 'bare'"):
        spread({**SPEEDS, "raw": [1]}, "messages/s", ceiling="bare")
    with pytest.raises(ValueError, match="as many repeats as 'other'"):
        spread(SPEEDS, "messages/s", ceiling="other")
    with pytest.raises(ValueError, match="a number from 0"):
        spread({"x": [-1]}, "s")


def test_what_is_not_drawn_is_counted_and_in_the_table() -> None:
    picture = spread({f"f{n}": [n] for n in range(18)}, "s")
    assert picture.alt.endswith("And 2 more figures. Not drawn: 2 more figures.")
    assert "<td>f17</td>" in picture.table


@pytest.mark.parametrize("nothing", [{}, {"x": []}])
def test_nothing_measured_is_said(nothing: dict[str, list[float]]) -> None:
    assert spread(nothing, "s").alt == "Spread: 0 figures, repeated. Nothing was measured."


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)),
        st.lists(st.floats(0, 1e14), max_size=4),
        max_size=4,
    ),
    st.sampled_from(HOSTILE),
)
def test_hostile_names_do_no_harm(repeats: dict[str, list[float]], unit: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        is_harmless(spread(repeats, unit, title=unit))


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own(dark: bool) -> None:
    is_a_card_of_its_own(spread(SPEEDS, "messages/s", ceiling="bare", dark=dark), dark)
