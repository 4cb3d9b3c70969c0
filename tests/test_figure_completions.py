"""Completions: what was overtaken, in the picture, in words and in the table."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import completions
from natsdemo.figures.completions import completed

RUNS = {"alone": [1, 2, 3, 4, 5, 6], "together": [2, 1, 4, 5, 6, 3]}


def odd(number: int) -> bool:
    return number % 2 == 1


def test_overtaken_is_what_comes_after_something_greater() -> None:
    run = completed("x", [2, 1, 4, 5, 6, 3], odd)
    assert (run.overtaken, run.within) == ((1, 3), (3,))
    assert [run.kind(n, keyed=True) for n in (2, 1, 3)] == [
        "in order",
        "overtaken by another key",
        "overtaken within its key",
    ]


def test_without_a_key_all_are_of_one() -> None:
    run = completed("x", [2, 1, 3])
    assert run.overtaken == run.within == (1,)
    assert run.kind(1, keyed=False) == "overtaken"


def test_words_and_table_have_the_numbers_of_the_picture() -> None:
    picture = completions(RUNS, key=odd, title="Two ways")
    assert picture.alt == (
        "Two ways: published order against the order in which it was done. alone: 6 done, all in order. "
        "together: 6 done, 2 overtaken, 1 within a key."
    )
    assert picture.caption == "Two ways."
    assert "<td>together</td><td>6</td><td>2</td><td>1</td><td>2 1 4 5 6 3</td>" in picture.table
    assert "together: 6 done, 2 overtaken." in completions(RUNS).alt


def test_what_is_overtaken_within_its_key_is_seen() -> None:
    assert near(completions({"run": [1, 2, 3, 4]}, key=odd), "lost") == 0
    assert near(completions({"run": [3, 2, 1, 4]}, key=odd), "lost") > 50


def test_what_is_not_drawn_is_counted_and_in_the_table() -> None:
    picture = completions({f"run {n}": [1, 2] for n in range(8)})
    assert picture.alt.endswith("And 2 more runs. Left out: 2 more runs.")
    assert "<td>run 7</td>" in picture.table
    assert "60 and 40 more</td>" in completions({"long": range(1, 101)}).table


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = completions(RUNS, dark=dark)
    is_a_card_of_its_own(picture, dark)


def test_nothing_makes_a_picture_too() -> None:
    assert completions({}, title="No").alt == "No. Nothing was done."
    assert "Nothing was done." in completions({"idle": []}).alt


def test_hostile_names_are_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = completions({HOSTILE: [2, 1]}, title=HOSTILE)
    is_harmless(picture)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=30), st.lists(st.integers(-(10**6), 10**9), max_size=300), max_size=9))
def test_any_numbers_make_a_picture(runs: dict[str, list[int]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        completions(runs, key=odd)._repr_html_().encode()
