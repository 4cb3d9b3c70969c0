"""Answers over time are tested by their values, their words, their table and their pixels."""

import html
import io
import json
import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from natsdemo.figures import PALETTE, gathered
from natsdemo.figures.gathered import questions
from natsdemo.history import History, pack
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode
from natsdemo.testing import story

ALICE, INBOX = 1, "_INBOX.a.1"


class Asking:
    """Writes how alice (connection 1) asks, and who answers; each frame at its own time, in seconds."""

    def __init__(self) -> None:
        self.history = History()

    def frame(self, time: float, conn: int, direction: str, frame: Frame, fate: str = "forwarded") -> None:
        self.history.feed(pack(time, encode(frame), conn=conn, direction=direction, fate=fate))

    def ask(self, time: float, shops: int, subject: str = "atlas", inbox: str = INBOX, limit: int = 0) -> None:
        """Connect, subscribe to the inbox, ask, and have so many shops (connections 2, 3, …) asked."""
        for conn in range(1, shops + 2):
            name = json.dumps({"name": "alice" if conn == ALICE else f"shop{conn}"}).encode()
            self.frame(time, conn, TO_SERVER, Frame("CONNECT", payload=name))
        self.frame(time, ALICE, TO_SERVER, Frame("SUB", inbox, sid=inbox[-1]))
        if limit:
            self.frame(time, ALICE, TO_SERVER, Frame("UNSUB", sid=inbox[-1], max_msgs=limit))
        self.frame(time, ALICE, TO_SERVER, Frame("PUB", subject, reply=inbox, payload=b"?"))
        for conn in range(2, shops + 2):
            self.frame(time, conn, TO_CLIENT, Frame("MSG", subject, sid="1", reply=inbox, payload=b"?"))

    def answer(
        self, time: float, conn: int, *, heard: bool = True, inbox: str = INBOX, fate: str = "forwarded"
    ) -> None:
        frame = Frame("PUB", inbox, payload=b"%d" % conn)
        self.frame(time, conn, TO_SERVER, frame)
        if heard:
            frame = Frame("MSG", inbox, sid=inbox[-1], payload=b"%d" % conn)
            self.frame(time + 0.001, ALICE, TO_CLIENT, frame, fate=fate)

    def stop(self, time: float, inbox: str = INBOX) -> None:
        self.frame(time, ALICE, TO_SERVER, Frame("UNSUB", sid=inbox[-1]))


def asked() -> Asking:
    """Four shops: two answer in time, one too late, one never."""
    asking = Asking()
    asking.ask(10.0, shops=4)
    asking.answer(10.1, 2)
    asking.answer(10.2, 3)
    asking.stop(10.5)
    asking.answer(10.7, 4, heard=False)
    return asking


def fates(history: History) -> list[list[tuple[str, str]]]:
    return [[(answer.responder, answer.fate) for answer in question.answers] for question in questions(history)]


def test_answers_count_until_the_asker_stops_and_the_others_are_too_late() -> None:
    (question,) = questions(asked().history)
    assert fates(asked().history) == [[("shop2", "answer"), ("shop3", "answer"), ("shop4", "too late")]]
    assert [round(answer.after, 3) for answer in question.answers] == [0.101, 0.201, 0.7]
    assert (question.asker, question.subject, question.silent) == ("alice", "atlas", 1)
    assert question.stopped == question.listened == pytest.approx(0.5)


def test_an_asker_that_leaves_has_stopped() -> None:
    asking = Asking()
    asking.ask(0.0, shops=2)
    asking.history.add(0.3, "client", "connected", conn=2)
    asking.history.add(0.4, "client", "disconnected: reset", conn=ALICE)
    asking.answer(0.5, 2, heard=False)
    (question,) = questions(asking.history)
    assert question.stopped == pytest.approx(0.4)
    assert fates(asking.history) == [[("shop2", "too late")]]


def test_while_the_asker_listens_an_answer_on_its_way_is_neither_here_nor_too_late() -> None:
    asking = Asking()
    asking.ask(0.0, shops=2)
    asking.answer(0.2, 2, heard=False)
    (question,) = questions(asking.history)
    assert (question.stopped, question.answers) == (None, [])
    assert question.listened == pytest.approx(0.2)
    assert "alice still listening after 200 ms" in gathered(asking.history).alt


def test_a_limit_told_to_the_server_ends_it_with_the_last_of_so_many() -> None:
    asking = Asking()
    asking.ask(0.0, shops=3, limit=2)
    asking.answer(0.1, 2)
    asking.answer(0.2, 3)
    asking.answer(0.3, 4, heard=False)
    (question,) = questions(asking.history)
    assert question.stopped == pytest.approx(0.201)
    assert fates(asking.history)[0][-1] == ("shop4", "too late")


def test_where_nobody_listens_the_server_answers() -> None:
    asking = Asking()
    asking.ask(0.0, shops=0)
    asking.frame(0.001, ALICE, TO_CLIENT, Frame("HMSG", INBOX, sid="1", headers=(), status=503))
    assert fates(asking.history) == [[("", "no responders")]]
    picture = gathered(asking.history)
    assert picture.caption == "1 question, 0 answers, no responders: 1."
    assert "<td>the server</td><td>no responders</td>" in picture.table


def test_what_a_fault_takes_on_the_way_is_lost_and_not_late() -> None:
    asking = Asking()
    asking.ask(0.0, shops=2)
    asking.frame(0.1, 2, TO_SERVER, Frame("PUB", INBOX, payload=b"2"), fate="dropped")
    asking.answer(0.2, 3, fate="dropped")
    asking.history.add(0.3, "fault", "armed: drop MSG")
    asking.stop(0.4)
    assert fates(asking.history) == [[("shop2", "lost on the way"), ("shop3", "lost on the way")]]
    picture = gathered(asking.history)
    assert "2 lost on the way" in picture.caption
    assert "Fault drop MSG armed" in picture.alt


def test_an_answer_that_comes_twice_is_there_twice() -> None:
    asking = Asking()
    asking.ask(0.0, shops=1)
    asking.answer(0.1, 2)
    asking.frame(0.1, ALICE, TO_CLIENT, Frame("MSG", INBOX, sid="1", payload=b"2"), fate="duplicated")
    assert sorted(fates(asking.history)[0]) == [("", "answer"), ("shop2", "answer")]


def test_messages_without_a_reply_subject_and_the_servers_own_subjects_are_no_questions() -> None:
    assert questions(story("a:pub1 b:got1 a:pub2 b:got2")) == []
    asking = Asking()
    asking.ask(0.0, shops=0, subject="$JS.API.INFO")
    assert questions(asking.history) == []
    assert gathered(asking.history).caption == "Nobody asked."


def test_it_tells_everything_in_words() -> None:
    picture = gathered(asked().history, names=["until 0.3 s of silence"])
    assert picture.alt == (
        "Answers over time: 1 question, 2 answers, 1 too late. until 0.3 s of silence: 4 clients asked, 2 answers, "
        "1 too late, 1 never answered; alice stopped listening after 500 ms."
    )
    assert repr(picture) == picture.alt


def test_the_table_has_each_answer() -> None:
    rows = re.findall(r"<td>(.*?)</td>" * 4, gathered(asked().history).table)
    assert rows == [
        ("atlas", "0.1010", "shop2", "answer"),
        ("atlas", "0.2010", "shop3", "answer"),
        ("atlas", "0.7000", "shop4", "too late"),
    ]


def test_names_and_subjects_choose_and_call_the_questions() -> None:
    asking = Asking()
    for n in range(3):
        asking.ask(n, shops=1, subject=f"book.{n}", inbox=f"_INBOX.a.{n}")
    assert "book.1:" in gathered(asking.history, names=["first"]).alt
    assert "book.0:" not in gathered(asking.history, names=["first"]).alt
    assert gathered(asking.history, subject="book.2").caption == "1 question, 0 answers."
    assert gathered(asking.history, subject="maps").caption == "Nobody asked."
    assert gathered(asking.history, names=["a", "b", "c", "one too many"]).caption == "3 questions, 0 answers."


def test_what_is_left_out_is_counted() -> None:
    asking = Asking()
    for n in range(15):
        asking.ask(n, shops=0, subject=f"book.{n}", inbox=f"_INBOX.a.x{n:x}")
    few, many = gathered(asking.history[:3]), gathered(asking.history)
    assert "And 3 more questions." in many.alt
    assert many.height > few.height


@pytest.mark.parametrize("dark", [False, True])
def test_it_stands_on_a_card_and_shows_what_is_late(dark: bool) -> None:
    image = Image.open(io.BytesIO(gathered(asked().history, dark=dark).png)).convert("RGB")
    seen = {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in image.getcolors(1 << 20) or []}  # type: ignore[misc]
    colours = PALETTE["dark" if dark else "light"]
    card = tuple(int(colours["card"][at : at + 2], 16) for at in (1, 3, 5))
    pixel = image.getpixel((2, 2))
    assert isinstance(pixel, tuple)
    assert all(abs(a - b) < 8 for a, b in zip(pixel, card, strict=True))
    assert len(seen) > 10


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300), st.lists(st.floats(0, 5), max_size=6), st.booleans())
def test_hostile_names_and_any_times_make_a_picture(name: str, times: list[float], stops: bool) -> None:
    asking = Asking()
    asking.ask(0.0, shops=len(times))
    for conn, time in enumerate(sorted(times), 2):
        asking.answer(time, conn, heard=conn % 2 == 0)
    if stops:
        asking.stop(5.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = gathered(asking.history, names=[name])
    assert picture.width == 960
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td|p)\b)", picture.table)
    assert html.escape(picture.alt) in picture._repr_html_()


def test_nobody_is_an_answer_too() -> None:
    picture = gathered(History())
    assert picture.caption == "Nobody asked."
    assert "Answers over time" in picture.alt
