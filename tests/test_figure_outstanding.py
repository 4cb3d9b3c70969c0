"""What is out with a consumer's clients is tested by its values, its words, its table and its pixels."""

import html
import io
import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from natsdemo.figures import PALETTE, outstanding
from natsdemo.figures.outstanding import read_outstanding
from natsdemo.history import History, pack
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode


class Consuming:
    """Writes what a consumer delivers, and what its client answers; each frame at its own time, in seconds."""

    def __init__(self) -> None:
        self.history = History()
        self.delivered = 0

    def reply(self, seq: int, times: int, consumer: str) -> str:
        return f"$JS.ACK.JOBS.{consumer}.{times}.{seq}.{self.delivered}.1700000000000000000.0"

    def deliver(self, time: float, seq: int, times: int = 1, consumer: str = "desk", fate: str = "forwarded") -> str:
        self.delivered += 1
        reply = self.reply(seq, times, consumer)
        frame = Frame("MSG", "jobs.new", sid="1", reply=reply, payload=b"%d" % seq)
        self.history.feed(pack(time, encode(frame), conn=1, direction=TO_CLIENT, fate=fate))
        return reply

    def answer(self, time: float, reply: str, payload: bytes = b"+ACK", fate: str = "forwarded") -> None:
        frame = Frame("PUB", reply, payload=payload)
        self.history.feed(pack(time, encode(frame), conn=1, direction=TO_SERVER, fate=fate))


def counts(history: History, consumer: str = "desk") -> list[int]:
    return [count for _, count in read_outstanding(history)[consumer].steps]


def three() -> Consuming:
    """Three jobs: one acked, one that comes again and is acked then, one never answered."""
    consuming = Consuming()
    replies = [consuming.deliver(10.0 + seq / 10, seq) for seq in (1, 2, 3)]
    consuming.answer(10.5, replies[0])
    consuming.answer(11.5, consuming.deliver(11.3, 2, times=2))
    return consuming


def test_a_delivery_goes_out_and_its_ack_brings_it_in() -> None:
    found = read_outstanding(three().history)["desk"]
    assert counts(three().history) == [1, 2, 3, 2, 1]
    assert (found.most, found.last, found.deliveries, len(found.messages), len(found.again)) == (3, 1, 4, 3, 1)


@pytest.mark.parametrize(("payload", "left"), [(b"", 0), (b"-NAK", 0), (b"+TERM why", 0), (b"+WPI", 1), (b"?", 1)])
def test_only_a_final_answer_counts(payload: bytes, left: int) -> None:
    consuming = Consuming()
    consuming.answer(1.0, consuming.deliver(0.0, 1), payload)
    assert read_outstanding(consuming.history)["desk"].last == left


def test_an_ack_that_is_lost_brings_nothing_in() -> None:
    consuming = Consuming()
    consuming.answer(1.0, consuming.deliver(0.0, 1), fate="dropped")
    assert counts(consuming.history) == [1]


def test_a_late_ack_of_an_earlier_delivery_counts() -> None:
    consuming = Consuming()
    first = consuming.deliver(0.0, 1)
    consuming.deliver(1.0, 1, times=2)
    consuming.answer(1.1, first)
    assert counts(consuming.history) == [1, 0]


def test_a_delivery_that_is_lost_on_its_way_is_out_for_the_server() -> None:
    consuming = Consuming()
    consuming.deliver(0.0, 1, fate="dropped")
    assert counts(consuming.history) == [1]


def test_each_consumer_has_its_own_line_and_subjects_choose() -> None:
    consuming = Consuming()
    consuming.deliver(0.0, 1, consumer="wide")
    consuming.deliver(0.1, 1, consumer="narrow")
    assert list(read_outstanding(consuming.history)) == ["wide", "narrow"]
    assert read_outstanding(consuming.history, subject="mails.>") == {}


def test_it_tells_everything_in_words() -> None:
    picture = outstanding(three().history, limits={"desk": 3})
    assert picture.alt == (
        "Outstanding messages over 1.4 s. desk (limit 3): 3 out at most, 1 came again, 1 out at the end."
    )
    assert picture.caption == "desk: 3 out at most."


def test_the_table_has_each_consumer() -> None:
    rows = re.findall(r"<td>(.*?)</td>" * 7, outstanding(three().history).table)
    assert rows == [("desk", "", "3", "3", "4", "1", "1")]


def test_what_is_left_out_is_counted() -> None:
    consuming = Consuming()
    for n in range(9):
        consuming.deliver(n, 1, consumer=f"c{n}")
    assert "And 3 more consumers." in outstanding(consuming.history).alt


@pytest.mark.parametrize("dark", [False, True])
def test_it_stands_on_a_card_and_draws_the_limit(dark: bool) -> None:
    def seen(limit: int) -> tuple[int, tuple[int, int, int]]:
        picture = outstanding(three().history, limits={"desk": limit}, dark=dark)
        image = Image.open(io.BytesIO(picture.png)).convert("RGB")
        role = PALETTE["dark" if dark else "light"]["published"]
        wanted = tuple(int(role[at : at + 2], 16) for at in (1, 3, 5))
        pixels: list[tuple[int, tuple[int, int, int]]] = image.getcolors(1 << 20) or []  # type: ignore[assignment]
        near = sum(n for n, rgb in pixels if all(abs(a - b) < 12 for a, b in zip(rgb, wanted, strict=True)))
        return near, max(pixels)[1]

    card = PALETTE["dark" if dark else "light"]["card"]
    drawn, background = seen(2)
    assert all(abs(a - int(card[at : at + 2], 16)) < 8 for a, at in zip(background, (1, 3, 5), strict=True))
    assert drawn > seen(1000)[0] > 100  # a limit beyond the picture is told, not drawn


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"], exclude_characters=".*>"), min_size=1, max_size=40),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), max_size=8),
)
def test_hostile_names_and_any_times_make_a_picture(consumer: str, turns: list[tuple[float, int]]) -> None:
    consuming = Consuming()
    for time, seq in sorted(turns):
        consuming.deliver(time, seq, consumer=consumer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = outstanding(consuming.history, title=consumer)
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td|p)\b)", picture.table)
    assert html.escape(picture.alt) in picture._repr_html_()


def test_nothing_delivered_is_an_answer_too() -> None:
    assert outstanding(History()).caption == "No consumer delivered anything."
