"""The funnel is tested by its steps, its words, its table and its pixels."""

import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, share

from natsdemo.figures import funnel
from natsdemo.figures.funnel import Step, steps

RUNS: dict[str, dict[str, int | None]] = {
    "killed": {"returned": 1000, "on the wire": 1000, "taken in": None, "handled": 0},
    "slow": {"returned": 50, "on the wire": 50, "taken in": 50, "handled": 11},
}


def test_a_step_goes_from_one_known_count_to_the_next() -> None:
    assert steps([3, 3, 1]) == [Step(0, 1, 3, 3), Step(1, 2, 3, 1)]
    assert steps([3, None, 1]) == [Step(0, 2, 3, 1)]
    assert steps([None, 2]) == []
    assert [step.lost for step in steps([3, 1, 2])] == [2, 0], "what comes twice is no loss"


def test_the_alternative_text_tells_every_count() -> None:
    picture = funnel(RUNS, told={"slow": "39 errors"}, title="Losses")
    assert picture.caption == "Losses: 2 runs, 4 stations: 1,039 messages lost."
    assert picture.alt == (
        "Funnel of Losses: 2 runs, 4 stations: 1,039 messages lost. "
        "killed: 1,000 returned, 1,000 on the wire, not known taken in, 0 handled. "
        "slow: 50 returned, 50 on the wire, 50 taken in, 11 handled; 39 errors."
    )


def test_a_table_has_the_same_counts() -> None:
    picture = funnel(RUNS, told={"slow": "39 errors"}, told_as="who was told")
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", picture.table)]
    assert rows == [
        ["run", "returned", "on the wire", "taken in", "handled", "who was told"],
        ["killed", "1,000", "1,000", "?", "0", ""],
        ["slow", "50", "50", "50", "11", "39 errors"],
    ]


def test_what_does_not_fit_is_counted() -> None:
    picture = funnel({f"run {r}": {f"station {s}": 5 for s in range(11)} for r in range(15)})
    assert picture.alt.endswith("And 3 more runs. Not drawn: 3 more runs and 3 more stations.")
    assert "station 10" in picture.table


def test_fewer_than_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="fewer than no messages"):
        funnel({"a": {"x": -1}})


@pytest.mark.parametrize("runs", [{}, {"a": {}}])
def test_nothing_makes_a_picture_too(runs: dict[str, dict[str, int | None]]) -> None:
    assert funnel(runs).alt.endswith("Nothing to show.")


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = funnel(RUNS, dark=dark)
    is_a_card_of_its_own(picture, dark)
    assert share(picture, "card", dark) > 0.6
    assert share(picture, "delivered", dark) > 0.05
    assert share(picture, "lost", dark) > 0.002


def test_the_band_is_as_thick_as_what_is_left() -> None:
    green = [share(funnel({"a": {"x": 100, "y": n}}), "delivered") for n in (100, 50, 0)]
    assert green[0] > 1.8 * green[1] > 0 == round(green[2], 3)


def test_hostile_text_is_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = funnel({HOSTILE: {HOSTILE: 2, "$^$": 1}}, told={HOSTILE: HOSTILE}, told_as=HOSTILE, title=HOSTILE)
    is_harmless(picture)


counts = st.dictionaries(st.text(max_size=30), st.none() | st.integers(0, 10**12), max_size=4)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=30), counts, max_size=4), st.text(max_size=40))
def test_any_counts_make_a_picture(runs: dict[str, dict[str, int | None]], words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = funnel(runs, told=dict.fromkeys(runs, words))
    assert picture.alt.startswith("Funnel of ")
    picture._repr_html_().encode()
