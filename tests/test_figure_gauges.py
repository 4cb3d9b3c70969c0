"""Gauges: numbers read over time and when their alert was on, in the picture, in words and in the table."""

import math
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import gauges
from natsdemo.figures.gauges import spans

TIMES = [n / 8 for n in range(17)]
LAG = [0.0] * 8 + [float(n * n) for n in range(9)]
ON = [value > 10 for value in LAG]


def test_an_alert_has_spans() -> None:
    assert spans([]) == spans([False]) == []
    assert spans([True, True, False, True]) == [(0, 1), (3, 3)]


def test_words_and_table_have_the_numbers_of_the_picture() -> None:
    picture = gauges(
        TIMES, {"lag": LAG, "done": [5.0] * 17}, alerts={"lag": ON}, marks={"it stalls": 1.0}, title="A stall"
    )
    assert picture.alt == (
        "Gauges: A stall. By seconds. lag: between 0 and 64, 64 at the end; its alert was on 1.50 to 2.00 s. "
        "done: between 5 and 5, 5 at the end. 1: it stalls, at 1.00 s."
    )
    assert picture.caption == "A stall."
    assert "<td>2.00</td><td>64 !</td><td>5</td>" in picture.table
    assert gauges(TIMES, {"lag": LAG}).caption == "1 number, read 17 times."


def test_an_alert_is_seen_while_it_is_on() -> None:
    assert near(gauges(TIMES, {"lag": LAG}, alerts={"lag": [False] * 17}), "lost") == 0
    assert near(gauges(TIMES, {"lag": LAG}, alerts={"lag": ON}), "lost") > 500


def test_what_is_not_drawn_is_counted_and_in_the_table() -> None:
    picture = gauges(TIMES, {f"number {n}": LAG for n in range(10)}, marks={f"mark {n}": n / 8 for n in range(9)})
    assert "And 2 more numbers." in picture.alt
    assert picture.alt.endswith("Not drawn: 2 more numbers and 3 more marks.")
    assert "number 9" in picture.table


def test_there_is_a_value_for_each_time() -> None:
    with pytest.raises(ValueError, match=r"lag: 1 values were read at 2 times"):
        gauges([0.0, 1.0], {"lag": [3.0]})
    with pytest.raises(ValueError, match=r"lag: 3 values"):
        gauges([0.0, 1.0], {"lag": [3.0, 4.0]}, alerts={"lag": [True] * 3})


def test_what_is_no_number_is_not_drawn() -> None:
    assert "1 at the end" in gauges([0.0, 1.0], {"late": [math.inf, 1.0]}).alt
    assert "late: – at the end." in gauges([0.0], {"late": [math.nan]}).alt


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    is_a_card_of_its_own(gauges(TIMES, {"lag": LAG, "done": LAG, "in": LAG}, alerts={"lag": ON}, dark=dark), dark)


def test_nothing_makes_a_picture_too() -> None:
    assert gauges([], {}, title="No").alt == "Gauges: No. Nothing was read."


def test_hostile_names_are_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = gauges(TIMES, {HOSTILE: LAG}, alerts={HOSTILE: ON}, marks={HOSTILE: 1.0}, title=HOSTILE)
    is_harmless(picture)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(), st.booleans()), max_size=40))
def test_any_readings_make_a_picture(read: list[tuple[float, float, bool]]) -> None:
    read.sort(key=lambda each: each[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = gauges([t for t, _, _ in read], {"x": [v for _, v, _ in read]}, alerts={"x": [a for *_, a in read]})
    picture._repr_html_().encode()
