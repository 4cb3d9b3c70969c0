"""Runs side by side: which rows they share, what is told of them, and what is refused."""

import html

import pytest
from pictures import pixels

from natsdemo.figures import side_by_side
from natsdemo.figures.side_by_side import Run, lay_side_by_side
from natsdemo.history import History
from natsdemo.testing import story

ASKED = "ann:connect bank:connect"


def told(words: str, *notes: str) -> History:
    """A run in which ann asks and the bank answers; the notes come last."""
    history = story(f"{ASKED} {words}", subject="pay", stamped=False)
    for at, note in enumerate(notes):
        history.add(1.0 + at, "note", note)
    return history


def lost_request() -> History:
    return told("ann:jspub1!dropped", "ann: TimeoutError")


def lost_reply() -> History:
    return told("bank:sub ann:jspub1 bank:got1 ann:reply1=paid!dropped", "bank: 90 left", "ann: TimeoutError")


def rows(run: Run) -> dict[str, int]:
    return {moment.text or (moment.arrow.source if moment.arrow else ""): moment.row for moment in run.moments}


def test_what_the_observer_does_and_is_told_stands_in_the_same_rows() -> None:
    (first, second), _ = lay_side_by_side({"one": lost_request(), "two": lost_reply()}, "ann")
    assert rows(first)["ann"] == rows(second)["ann"]
    assert rows(first)["TimeoutError"] == rows(second)["TimeoutError"] > rows(second)["90 left"]
    assert len({moment.row for moment in second.moments}) == len(second.moments)


def test_rows_go_down_in_the_order_of_events() -> None:
    (run,), _ = lay_side_by_side({"one": lost_reply()}, "ann")
    assert [moment.row for moment in run.moments] == sorted(moment.row for moment in run.moments)
    assert [moment.time for moment in run.moments] == sorted(moment.time for moment in run.moments)


def test_every_run_has_the_lifelines_of_all_and_the_observer_comes_first() -> None:
    runs = {"one": told("bank:pub2>news"), "two": lost_reply()}
    _, lifelines = lay_side_by_side(runs, "bank")
    assert lifelines[0].name == "bank"
    assert {line.name for line in lifelines} == {"ann", "bank", "server"}


def test_who_only_pings_has_no_lifeline() -> None:
    _, lifelines = lay_side_by_side({"one": told("idle:ping ann:pub1 idle:pong")}, "ann")
    assert [line.name for line in lifelines] == ["ann", "server"]


def test_a_note_stands_on_the_lifeline_that_it_names_and_else_on_none() -> None:
    (run,), _ = lay_side_by_side({"one": told("ann:pub1", "ann: glad", "nobody: there", "plain")}, "ann")
    assert [(m.line, m.text) for m in run.moments if m.text] == [("ann", "glad"), ("", "nobody: there"), ("", "plain")]


def test_a_frame_that_was_held_begins_where_it_came_and_ends_where_it_left() -> None:
    (run,), _ = lay_side_by_side({"one": told("bank:pub2 ann:pub1~2")}, "ann")
    came, other, left = run.moments
    assert (came.row, left.begin, left.row) == (0, 0, 2)
    assert other.arrow is not None
    assert other.arrow.source == "bank"
    assert run.lived("ann") == ["message"]


@pytest.mark.parametrize(
    ("second", "words"),
    [(lost_reply(), "is the same in all: request, TimeoutError."), (told("ann:pub1"), "is not the same in all.")],
)
def test_the_caption_says_whether_the_observer_could_tell(second: History, words: str) -> None:
    picture = side_by_side({"one": lost_request(), "two": second}, observer="ann")
    assert picture.caption == f"2 runs; what ann (shaded) sends and is told {words}"


def test_it_reads_without_eyes_and_without_the_picture() -> None:
    picture = side_by_side({"the request is lost": lost_request(), "the reply is lost": lost_reply()}, observer="ann")
    assert "the request is lost: request pay" in picture.alt
    assert "from ann to server, dropped; ann: TimeoutError." in picture.alt
    assert picture.table.count("<tr>") == 1 + 2 + 6
    assert picture.width == 960


def test_a_fault_is_told_below_the_name_of_the_run_and_gets_no_row() -> None:
    history = told("ann:jspub1!dropped")
    history.add(0.001, "fault", "armed: drop PUB subject=pay")
    picture = side_by_side({"one": history}, observer="ann")
    assert "one (drop PUB subject=pay): request" in picture.alt
    assert "armed" not in picture.table


def test_what_is_left_out_is_counted() -> None:
    assert "Left out of “one”: " in side_by_side({"one": told("ann:pub1 ann:ping")}).alt


@pytest.mark.parametrize(
    ("runs", "what"),
    [
        ({str(n): lost_reply() for n in range(5)}, "4 runs, not for 5"),
        ({"one": told(" ".join(f"c{n}:pub{n}" for n in range(6)))}, "5 lifelines, not for 7"),
        ({"one": told(" ".join(f"ann:pub{n}" for n in range(41)))}, "40 rows, not for 41"),
    ],
)
def test_what_cannot_be_read_side_by_side_is_refused(runs: dict[str, History], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        side_by_side(runs)


def test_nothing_is_a_picture_too() -> None:
    assert "0 runs." in side_by_side({}).alt
    assert "empty: nothing passed." in side_by_side({"empty": History()}, observer="ann").alt


@pytest.mark.parametrize("dark", [False, True])
def test_hostile_names_are_escaped_and_cut(dark: bool) -> None:
    bad = "<script>alert(1)</script>\N{RIGHT-TO-LEFT OVERRIDE}" + "x" * 200
    picture = side_by_side({bad: told("ann:pub1", f"ann: {bad}")}, observer="ann", dark=dark)
    markup = picture._repr_html_()
    assert "<script>" not in markup
    assert html.escape("<script>alert(1)") in markup
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in picture.alt
    assert len(pixels(picture).getcolors(1 << 20) or []) > 3
