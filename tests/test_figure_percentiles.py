"""Percentile curves: all repeats together, each repeat, and the median of what each repeat supports."""

import math
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import percentiles

HUNG = {
    "from the send": [[k * 1e-5 for k in range(1, 501)], [k * 2e-5 for k in range(1, 501)]],
    "from when it was due": [[k * 1e-3 for k in range(1, 501)]],
}


def test_words_have_the_median_and_the_range_of_the_repeats() -> None:
    assert percentiles(HUNG, title="It hung").alt == (
        "Percentile curves: It hung. from the send (2 repeats, 1,000 answers): 50 % 3.75 ms (2.5 ms to 5 ms), "
        "90 % 6.75 ms (4.5 ms to 9 ms), 99 % 7.43 ms (4.95 ms to 9.9 ms). "
        "from when it was due (1 repeat, 500 answers): 50 % 250 ms (250 ms to 250 ms), "
        "90 % 450 ms (450 ms to 450 ms), 99 % 495 ms (495 ms to 495 ms)."
    )


def test_the_table_has_the_slowest_as_well() -> None:
    row = "<td>max</td><td>7.5 ms</td><td>5 ms</td><td>10 ms</td><td>2</td>"
    assert row in percentiles(HUNG).table


def test_a_percentile_is_told_only_if_every_repeat_supports_it() -> None:
    alt = percentiles({"x": [[1.0] * 500, [1.0] * 60]}).alt
    assert "90 %" in alt
    assert "99 %" not in alt
    assert "x (1 repeat, 3 answers): too few for any percentile." in percentiles({"x": [[1.0] * 3]}).alt


def test_every_repeat_is_a_line() -> None:
    sample = [k * 1e-3 for k in range(10, 500)]
    apart = [[(1 + n) * value for value in sample] for n in range(5)]
    one, five = (near(percentiles({"x": repeats}), "card") for repeats in ([sample, apart[4]], apart))
    assert one - five > 5000  # three thin lines more stand on the card


def test_what_is_no_latency_is_refused() -> None:
    for wrong in (-1e-9, math.inf, math.nan):
        with pytest.raises(ValueError, match="a number of seconds from 0"):
            percentiles({"x": [[wrong]]})


def test_what_is_not_drawn_is_counted_and_in_the_table() -> None:
    picture = percentiles({f"curve {n}": [[0.1] * 20] for n in range(6)})
    assert picture.alt.endswith("And 2 more curves. Not drawn: 2 more curves.")
    assert "<td>curve 5</td>" in picture.table


@pytest.mark.parametrize("nothing", [{}, {"x": []}, {"x": [[]]}])
def test_nothing_measured_is_said(nothing: dict[str, list[list[float]]]) -> None:
    assert percentiles(nothing).alt == "Percentile curves: 0 latencies, by percentile. Nothing was measured."


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.one_of(st.just(HOSTILE), st.text(max_size=8)),
        st.lists(st.lists(st.floats(0, 1e9), max_size=12), max_size=3),
        max_size=5,
    ),
    st.just(HOSTILE),
)
def test_hostile_names_and_any_latencies_do_no_harm(repeats: dict[str, list[list[float]]], title: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        is_harmless(percentiles(repeats, title=title))


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own(dark: bool) -> None:
    is_a_card_of_its_own(percentiles(HUNG, dark=dark), dark)
