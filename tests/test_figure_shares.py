"""How counts split: bars, what is held against them, and both again in words and in a table."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import shares

COIN = {"5–5": 73.8, "4–6": 61.5}


def test_words_and_table_have_the_numbers_of_the_bars() -> None:
    picture = shares({"ann": 1500, "ben": 500}, title="2,000 jobs", seen_as="jobs delivered")
    assert picture.alt == "Bars: 2,000 jobs. jobs delivered: ann: 1,500; ben: 500."
    assert picture.caption == "2,000 jobs."
    assert "<tr><td>ann</td><td>1,500</td><td>75.0%</td></tr>" in picture.table


def test_what_is_beside_is_told_for_the_members_that_it_names() -> None:
    picture = shares({"4–6": 60, "5–5": 80, "6–4": 9}, beside={"a coin": COIN, "taking turns": {"5–5": 149}})
    assert picture.alt.startswith("Bars: 149 shared by 3 members. seen: 4–6: 60; 5–5: 80; 6–4: 9.")
    assert picture.alt.endswith("a coin: 4–6: 61.5; 5–5: 73.8. taking turns: 5–5: 149.")
    assert "<td>6–4</td><td>9</td><td>6.0%</td><td>–</td><td>–</td>" in picture.table


def test_a_bar_is_as_high_as_its_count() -> None:
    low, high = (near(shares({"ann": count, "ben": 200}), "delivered") for count in (100, 200))
    assert low / high == pytest.approx(0.75, abs=0.01)


def test_what_is_beside_is_seen_over_a_bar_and_where_there_is_none() -> None:
    for counts in ({"ann": 100, "ben": 100}, {"ann": 0, "ben": 100}):
        plain = shares(counts, beside={"hoped for": {}})
        marked = shares(counts, beside={"other": {}, "hoped for": {"ann": 50.0}})
        assert near(marked, "lost") > near(plain, "lost") + 500


def test_what_is_not_drawn_is_counted_and_in_the_table() -> None:
    many = {f"m{n}": n for n in range(40)}
    picture = shares(many, beside={f"b{n}": {"m1": 1.0} for n in range(5)})
    assert picture.alt.endswith("Not drawn: 24 more members and 2 more comparisons.")
    assert "m15: 15; And 24 more members." in picture.alt
    assert "<td>m39</td>" in picture.table
    assert "b4" in picture.table
    assert "b3" not in picture.alt


def test_a_number_is_never_cut_in_the_middle() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = shares({f"a name that is too long for its bar {n}": 10**n for n in range(15)})
    assert "100,000,000,000,000" in picture.table


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = shares({"ann": 1, "ben": 0}, beside={"half": {"ann": 0.5}}, dark=dark)
    is_a_card_of_its_own(picture, dark)


def test_nothing_and_zeros_make_a_picture_too() -> None:
    assert shares({}).alt == "Shares. Nothing was shared."
    assert shares({"ann": 0}).alt == "Bars: 0 shared by 1 member. seen: ann: 0."


@pytest.mark.parametrize("count", [-1, float("nan"), float("inf"), 1e15])
def test_what_is_no_share_is_refused(count: float) -> None:
    with pytest.raises(ValueError, match="from 0"):
        shares({"ann": 1}, beside={"hoped for": {"ann": count}})


def test_hostile_names_are_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = shares({HOSTILE: 3, "$^$": 4}, beside={HOSTILE: {"$^$": 1.5}}, title=HOSTILE, seen_as=HOSTILE)
    is_harmless(picture)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=30), st.integers(0, 10**9), max_size=20), st.text(max_size=40))
def test_any_names_and_counts_make_a_picture(counts: dict[str, int], title: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares(counts, beside={title: dict.fromkeys(counts, 1.5)}, title=title)._repr_html_().encode()
