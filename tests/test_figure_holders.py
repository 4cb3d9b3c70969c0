"""Who held it when: the spells, the overlap of two, what was done, and all of it again in words and in a table."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import Picture, holders
from natsdemo.figures.holders import Report, Spell, overlaps, read_reports, read_spells

ANN: list[Report] = [(10, "holds", "ticket 1"), (10.5, "accepted", "7"), (13, "lost", "1"), (13, "refused", "8")]
BEN: list[Report] = [(11, "lost", ""), (12.5, "holds", "ticket 4"), (13.5, "holds", "ticket 4"), (14, "works", "9")]
PAUSED: list[Report] = [(11, "paused", ""), (12.8, "resumed", "")]


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_table_have_the_values(dark: bool) -> None:
    picture = holders({"ann": ANN + PAUSED, "ben": BEN}, title="Two kings", dark=dark)
    assert picture.alt == (
        "Holders: Two kings. ann: holds it from 0.00 s to 3.00 s (ticket 1); paused from 1.00 s to 2.80 s; "
        "accepted: 7; refused: 8. ben: holds it from 2.50 s to the end (ticket 4). Two at once: 2.50 to 3.00 s."
    )
    assert "<tr><td>2.500</td><td>ben</td><td>holds</td><td>ticket 4</td></tr>" in picture.table
    assert picture.caption == "Two kings."
    is_a_card_of_its_own(picture, dark)


def test_what_a_program_prints_is_read_and_the_rest_is_passed_over() -> None:
    lines = ["12.5 holds ticket 4", "13 lost", "Traceback (most recent call last):", "", "14.0", "x lost", "1e9 lost"]
    assert read_reports(lines) == [(12.5, "holds", "ticket 4"), (13.0, "lost", "")]


def test_a_spell_ends_when_it_is_lost_killed_or_another_one() -> None:
    assert read_spells(BEN) == [Spell(12.5, None, "ticket 4")]
    assert read_spells([(3, "killed", ""), (1, "holds", "a")]) == [Spell(1, 3, "a")]
    assert read_spells([(1, "holds", "a"), (2, "holds", "b"), (4, "lost", "")]) == [Spell(1, 2, "a"), Spell(2, 4, "b")]


def test_an_overlap_is_of_two_clients_and_ends_with_the_first_of_them() -> None:
    assert overlaps({"ann": ANN, "ben": BEN}) == [(12.5, 13)]
    assert overlaps({"a": [(0, "holds", "")], "b": [(1, "holds", ""), (3, "lost", ""), (9, "holds", "")]}) == [(1, 3)]
    assert overlaps({"a": [(0, "holds", ""), (1, "lost", "")], "b": [(1, "holds", ""), (2, "lost", "")]}) == []
    assert overlaps({}) == []


def test_two_at_once_shows() -> None:
    one = holders({"ann": ANN, "ben": [(13, "holds", ""), (14, "lost", "")]})
    assert near(one, "window") < near(holders({"ann": ANN, "ben": BEN}), "window") / 10
    assert "Never two at once." in one.alt


def test_what_began_before_is_cut_and_who_died_before_is_left_out() -> None:
    dead: list[Report] = [(9, "holds", ""), (9.5, "killed", "")]
    picture = holders({"ann": ANN, "zoe": dead}, since=12)
    assert "ann: holds it from 0.00 s to 1.00 s (ticket 1); refused: 8." in picture.alt
    assert "zoe" not in picture.alt
    assert "killed: 0.50 s" in holders({"zoe": dead}).alt


def test_nothing_is_said_to_be_nothing() -> None:
    assert "Nobody held it" in holders({}).alt
    assert "Nobody held it" in holders({"ann": ANN}, since=99).alt


def test_what_is_not_drawn_is_counted() -> None:
    rows: dict[str, list[Report]] = {f"client {n}": [(n, "holds", "")] for n in range(10)}
    rows["client 0"] = [(n, "accepted", "") for n in range(103)]
    assert "Not drawn: 2 more rows and 3 more things." in holders(rows).alt


def test_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        holders({"ann": [(float("nan"), "holds", "")]})


def test_hostile_names_are_escaped() -> None:
    is_harmless(holders({HOSTILE: [(0, "holds", HOSTILE), (1, "accepted", HOSTILE)]}, what=HOSTILE, title=HOSTILE))


WORDS = st.sampled_from(["holds", "lost", "paused", "resumed", "accepted", "refused", "killed"]) | st.text(max_size=9)
TIMES = st.integers(-(10**8), 10**8).map(lambda ms: ms / 1000)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.text(max_size=12), st.lists(st.tuples(TIMES, WORDS, st.text(max_size=9)), max_size=12), max_size=10
    ),
    TIMES,
    st.booleans(),
)
def test_any_reports_make_a_picture(reports: dict[str, list[Report]], since: float, dark: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(holders(reports, since=since, dark=dark), Picture)
        assert isinstance(holders(reports), Picture)
