"""Arrivals: who waited, when something came and how long nothing did, in the picture, in words and in the table."""

import math
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import arrivals
from natsdemo.figures.arrivals import read_arrivals

STEADY = [n / 128 for n in range(-64, 129)]
ROWS = {"ann": [t for t in STEADY if not 0 < t < 0.4], "the crew": STEADY}


def test_the_longest_silence_is_between_two_arrivals() -> None:
    row = read_arrivals([3.0, 0.0, 1.0, math.nan, math.inf])
    assert row.times == (0.0, 1.0, 3.0)
    assert (row.silence, row.silent) == ((1.0, 3.0), 2.0)
    assert read_arrivals([]).silent == read_arrivals([7.0]).silent == 0


def test_words_and_table_have_the_numbers_of_the_picture() -> None:
    picture = arrivals(ROWS, beside={"ann": "51 lost"}, marks={"kill -9": 0.0}, across="seconds after", title="A kill")
    assert picture.alt == (
        "Arrivals: A kill. By seconds after. "
        "ann (51 lost): 142 messages, the longest silence 0.406 s from 0.00 s on. "
        "the crew: 193 messages, the longest silence 0.008 s from -0.50 s on. "
        "kill -9 at 0.00 s. The tallest bar: 7 messages in 50 ms."
    )
    assert picture.caption == "A kill."
    row = "<td>ann</td><td>142</td><td>-0.500</td><td>1.000</td><td>0.406</td><td>0.000</td><td>51 lost</td>"
    assert row in picture.table
    assert arrivals({"a": [0], "b": [1, 2]}, what="connection").caption == "3 connections in 2 rows."


def test_silence_is_seen_where_there_is_one() -> None:
    assert near(arrivals({"the crew": STEADY}), "lost") == 0
    assert near(arrivals(ROWS), "lost") > 200


def test_what_is_not_drawn_is_counted_and_in_the_table() -> None:
    marks = {f"mark {n}": n / 10 for n in range(8)} | {"long after": 99.0}
    picture = arrivals({f"row {n}": [0.0, 1.0] for n in range(12)}, marks=marks)
    assert "And 2 more rows." in picture.alt
    assert picture.alt.endswith("Not drawn: 2 more rows and 3 more marks.")
    assert "<td>row 11</td>" in picture.table


def test_a_burst_is_cut_if_asked_for_and_counted() -> None:
    burst = [n / 10 + 0.05 for n in range(9)] + [0.95] * 40
    assert arrivals({"dan": burst}, step=0.1, cut=3).alt.endswith("40 messages in 100 ms. Cut at 3: 1 bar.")
    assert "Cut" not in arrivals({"dan": burst}).alt


def test_a_bar_stands_for_some_time() -> None:
    with pytest.raises(ValueError, match=r"step=0 must be above 0\."):
        arrivals(ROWS, step=0)
    assert "in 500 ms" in arrivals({"long": [0.0, 1000.0]}).alt  # no more than 2,000 bars


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    is_a_card_of_its_own(arrivals(ROWS, marks={"now": 0.5}, dark=dark), dark)


def test_nothing_makes_a_picture_too() -> None:
    assert arrivals({}, title="No").alt == "Arrivals: No. Nothing arrived."
    assert "nobody: nothing arrived." in arrivals({"nobody": [], "ann": [1.0]}).alt


def test_hostile_names_are_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = arrivals(
            {HOSTILE: [0.0, 2.0]}, beside={HOSTILE: HOSTILE}, marks={HOSTILE: 1.0}, what=HOSTILE, title=HOSTILE
        )
    is_harmless(picture)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=30), st.lists(st.floats(-1e6, 1e6), max_size=200), max_size=12))
def test_any_times_make_a_picture(rows: dict[str, list[float]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arrivals(rows, beside=dict.fromkeys(rows, "x"))._repr_html_().encode()
