"""Lives of messages are tested by their values, their words, their table and their pixels."""

import html
import io
import json
import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from natsdemo.figures import PALETTE, lives
from natsdemo.figures.lives import read_lives
from natsdemo.history import History, pack
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode
from natsdemo.testing import story

ANN, BEN = 1, 2


class Desk:
    """Writes how a consumer hands out messages to ann and ben (connections 1 and 2), each frame at its own time."""

    def __init__(self) -> None:
        self.history = History()
        self.delivered = 0
        for conn, name in ((ANN, "ann"), (BEN, "ben")):
            self.frame(0.0, conn, TO_SERVER, Frame("CONNECT", payload=json.dumps({"name": name}).encode()))

    def frame(self, time: float, conn: int, direction: str, frame: Frame, fate: str = "forwarded") -> None:
        self.history.feed(pack(time, encode(frame), conn=conn, direction=direction, fate=fate))

    def out(self, time: float, seq: int, conn: int = ANN, number: int = 1, subject: str = "cakes", **fate: str) -> str:
        """Deliver a message; return where its answers go."""
        self.delivered += 1
        reply = f"$JS.ACK.CAKES.desk.{number}.{seq}.{self.delivered}.1700000000000000000.0"
        self.frame(time, conn, TO_CLIENT, Frame("MSG", subject, sid="1", reply=reply, payload=b"x"), **fate)
        return reply

    def answer(self, time: float, reply: str, payload: bytes = b"", conn: int = ANN, **fate: str) -> None:
        self.frame(time, conn, TO_SERVER, Frame("PUB", reply, payload=payload), **fate)


def four_answers() -> History:
    """An ack; a nak and its redelivery; a message in progress, terminated; and one without an answer, come again."""
    desk = Desk()
    one, two, three, _ = (desk.out(1.0, seq) for seq in (1, 2, 3, 4))
    desk.answer(1.1, one)
    desk.answer(1.1, two, b'-NAK {"delay": 300000000}')
    desk.answer(1.3, three, b"+WPI")
    desk.answer(1.4, desk.out(1.4, 2, BEN, 2), b"+ACK", BEN)
    desk.answer(1.6, three, b"+TERM never again")
    desk.answer(1.9, desk.out(1.8, 4, BEN, 2), conn=BEN)
    return desk.history


def test_each_delivery_ends_with_its_own_answer() -> None:
    found = read_lives(four_answers())
    assert [(life.seq, life.ending) for life in found] == [(1, "acked"), (2, "acked"), (3, "terminated"), (4, "acked")]
    turns = [[(t.number, t.client, t.begin, t.end) for t in life.turns] for life in found]
    assert turns[1] == [(1, "ann", 1.0, 1.1), (2, "ben", 1.4, 1.4)]
    assert turns[3] == [(1, "ann", 1.0, 1.8), (2, "ben", 1.8, 1.9)]
    assert [answer.kind for answer in found[2].turns[0].answers] == ["in progress", "term"]
    assert [life.waits for life in found] == [[], [(1.1, 1.4)], [], []]


def test_a_late_ack_lies_beside_the_next_delivery() -> None:
    desk = Desk()
    first = desk.out(1.0, 1)
    second = desk.out(1.5, 1, BEN, 2)
    desk.answer(1.7, first)
    desk.answer(2.0, second, conn=BEN)
    (life,) = read_lives(desk.history)
    assert [(turn.begin, turn.end) for turn in life.turns] == [(1.0, 1.7), (1.5, 2.0)]
    assert life.waits == []


def test_a_client_that_is_gone_holds_nothing() -> None:
    desk = Desk()
    desk.out(1.0, 1)
    desk.history.add(1.2, "client", "disconnected", conn=ANN)
    desk.out(2.0, 1, BEN, 2)
    (life,) = read_lives(desk.history)
    assert life.waits == [(1.2, 2.0)]
    assert life.ending == "open"


def test_what_a_fault_takes_is_no_delivery_and_no_answer() -> None:
    desk = Desk()
    desk.out(0.5, 1, fate="dropped")
    lost = desk.out(1.0, 1)
    desk.history.add(1.1, "fault", "armed: drop PUB")
    desk.answer(1.1, lost, fate="dropped")
    desk.answer(1.6, desk.out(1.5, 1, number=2))
    (life,) = read_lives(desk.history)
    assert [[answer.kind for answer in turn.answers] for turn in life.turns] == [["lost on the way"], ["ack"]]
    assert life.turns[0].end == 1.5
    picture = lives(desk.history)
    assert "answered lost on the way" in picture.alt
    assert "Fault drop PUB armed" in picture.alt


def test_it_tells_everything_in_words_and_in_its_table() -> None:
    picture = lives(four_answers(), names=["a", "b", "c", "d"])
    assert picture.caption == "4 messages, 6 deliveries, 2 of them again."
    assert picture.alt == (
        "Lives of messages: 4 messages, 6 deliveries, 2 of them again. a: to ann at 0.00 s, answered ack; acked. "
        "b: to ann at 0.00 s, answered nak; to ben at 0.40 s, answered ack; acked. "
        "c: to ann at 0.00 s, answered in progress and term; terminated. "
        "d: to ann at 0.00 s, answered nothing; to ben at 0.80 s, answered ack; acked."
    )
    rows = re.findall(r"<td>(.*?)</td>" * 5, picture.table)
    assert rows[0] == ("a", "1", "ann", "0.0000", "ack at 0.100")
    assert rows[-1] == ("d", "2", "ben", "0.8000", "ack at 0.900")


def test_subjects_choose_and_names_call() -> None:
    desk = Desk()
    desk.out(1.0, 1)
    desk.out(1.0, 2, subject="pies")
    assert "cakes #1:" in lives(desk.history, subject="cakes").alt
    assert "pies" not in lives(desk.history, subject="cakes").alt
    assert lives(desk.history, names=["x", "y", "one too many"]).caption.startswith("2 messages")


def test_what_is_left_out_is_counted() -> None:
    desk = Desk()
    for seq in range(1, 20):
        desk.out(1.0, seq)
    picture = lives(desk.history)
    assert "Not drawn: 3 more messages." in picture.alt
    assert "And 3 more messages." in picture.alt
    crowd = Desk()
    replies = [crowd.out(1.0 + number / 10, 1, number=number) for number in range(1, 6)]
    for reply in replies:
        crowd.answer(2.0, reply)
    assert "Not drawn: 2 more bars." in lives(crowd.history).alt


def test_what_is_no_delivery_of_a_consumer_is_not_there() -> None:
    assert read_lives(story("a:pub1 b:got1")) == []
    assert lives(History()).caption == "No consumer delivered anything."


@pytest.mark.parametrize("dark", [False, True])
def test_it_stands_on_a_card(dark: bool) -> None:
    image = Image.open(io.BytesIO(lives(four_answers(), dark=dark).png)).convert("RGB")
    card = tuple(int(PALETTE["dark" if dark else "light"]["card"][at : at + 2], 16) for at in (1, 3, 5))
    pixel = image.getpixel((2, 2))
    assert isinstance(pixel, tuple)
    assert all(abs(a - b) < 8 for a, b in zip(pixel, card, strict=True))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300), st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3), st.booleans()), max_size=12))
def test_hostile_names_and_any_times_make_a_picture(name: str, turns: list[tuple[float, int, bool]]) -> None:
    desk = Desk()
    for number, (time, seq, answered) in enumerate(sorted(turns), 1):
        reply = desk.out(time, seq, number=number)
        if answered:
            desk.answer(time, reply)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = lives(desk.history, names=[name])
    assert picture.width == 960
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td|p)\b)", picture.table)
    assert html.escape(picture.alt) in picture._repr_html_()
