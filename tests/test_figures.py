"""Pictures are tested by their values (arrows, marks, orders, samples), their words, tables and pixels."""

import html
import json
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import matplotlib as mpl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, pixels

from natsdemo import figures
from natsdemo.figures import Picture, lamport, lamport_layout, latency, rates, sequence_numbers, timeline
from natsdemo.figures.latency import latencies, percentiles
from natsdemo.figures.layout import MOST_ARROWS, nice_step
from natsdemo.figures.page import Page
from natsdemo.figures.reading import read
from natsdemo.figures.sequence import orders
from natsdemo.figures.sheet import Sheet, fit, text_width, wrap
from natsdemo.figures.text import clean, drawable, seconds, show_payload
from natsdemo.guarantees import no_loss
from natsdemo.history import Event, History, pack
from natsdemo.messages import stamp
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode
from natsdemo.testing import story

FIGURES = [lamport, timeline, rates, latency, sequence_numbers]
each_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)


class Recorder:
    """Writes a History frame by frame, a millisecond apart, where the story language has no words."""

    def __init__(self) -> None:
        self.history = History()
        self.now = 0.0

    def frame(self, conn: int, direction: str, frame: Frame, **more: float | str) -> None:
        self.now += 0.001
        self.history.feed(pack(self.now, encode(frame), conn=conn, direction=direction, **more))  # type: ignore[arg-type]

    def connect(self, conn: int, name: str, node: str = "") -> None:
        self.event("client", "connected", conn=conn, node=node)
        self.frame(conn, TO_SERVER, Frame("CONNECT", payload=json.dumps({"name": name}).encode()))

    def publish(self, conn: int, n: int, subject: str = "orders", payload: bytes = b"x", name: str = "a") -> None:
        headers = tuple(stamp(name, n).items())
        self.frame(conn, TO_SERVER, Frame("HPUB", subject, headers=headers, payload=payload))

    def deliver(
        self,
        conn: int,
        n: int,
        subject: str = "orders",
        payload: bytes = b"x",
        name: str = "a",
        fate: str = "forwarded",
    ) -> None:
        headers = tuple(stamp(name, n).items())
        self.frame(conn, TO_CLIENT, Frame("HMSG", subject, sid="1", headers=headers, payload=payload), fate=fate)

    def event(self, kind: str, text: str, conn: int = 0, **where: str) -> None:
        self.now += 0.001
        self.history.add(self.now, kind, text, conn=conn, **where)


def crowd(subscribers: int, messages: int, lost: int = -1) -> History:
    recorder = Recorder()
    recorder.connect(1, "alice")
    for conn in range(2, subscribers + 2):
        recorder.connect(conn, f"sub{conn}")
    for n in range(1, messages + 1):
        recorder.publish(1, n)
        for conn in range(2, subscribers + 2):
            recorder.deliver(conn, n, fate="dropped" if conn == lost else "forwarded")
    return recorder.history


def roles(history: History) -> list[tuple[str, str, str]]:
    return [(arrow.source, arrow.role, arrow.target) for arrow in lamport_layout(history).arrows]


# What an arrow is


def test_a_message_is_an_arrow_to_the_server_and_one_to_each_client() -> None:
    assert roles(story("a:pub1 b:got1 c:got1")) == [
        ("a", "message", "server"), ("server", "message", "b"), ("server", "message", "c"),
    ]  # fmt: skip


def test_labels_tell_subject_payload_and_number() -> None:
    arrow = lamport_layout(story("a:pub7>orders.new=hello")).arrows[0]
    assert arrow.label == 'orders.new "hello" #7'


def test_publishers_stand_on_the_left_and_subscribers_on_the_right_in_the_order_of_their_arrival() -> None:
    lines = lamport_layout(story("w1:sub w2:sub a:pub1 w2:got1 a:pub2 w1:got2")).lifelines
    assert [(line.name, line.side) for line in lines] == [
        ("a", "left"), ("server", "middle"), ("w1", "right"), ("w2", "right"),
    ]  # fmt: skip


def test_request_and_reply_are_not_messages_like_any_other() -> None:
    recorder = Recorder()
    recorder.frame(1, TO_SERVER, Frame("PUB", "time", reply="_INBOX.x.1", payload=b"?"))
    recorder.frame(2, TO_CLIENT, Frame("MSG", "time", sid="1", reply="_INBOX.x.1", payload=b"?"))
    recorder.frame(2, TO_SERVER, Frame("PUB", "_INBOX.x.1", payload=b"12:00"))
    recorder.frame(1, TO_CLIENT, Frame("MSG", "_INBOX.x.1", sid="2", payload=b"12:00"))
    assert [role for _, role, _ in roles(recorder.history)] == ["request", "request", "reply", "reply"]


def test_a_reply_is_known_by_its_request_whatever_the_inbox_prefix_is() -> None:
    recorder = Recorder()
    recorder.frame(1, TO_SERVER, Frame("PUB", "time", reply="my.own.1", payload=b"?"))
    recorder.frame(2, TO_SERVER, Frame("PUB", "my.own.1", payload=b"12:00"))
    assert [role for _, role, _ in roles(recorder.history)] == ["request", "reply"]


def test_what_a_stream_acknowledges_was_no_request() -> None:
    arrows = lamport_layout(story("a:jspub1 a:puback1@7")).arrows
    assert [arrow.role for arrow in arrows] == ["message", "puback"]
    assert arrows[1].label == "puback seq 7"
    assert not any(arrow.unheard for arrow in arrows)


@pytest.mark.parametrize(
    ("payload", "label"),
    [(b"", "ack seq 7"), (b"-NAK", "nak seq 7"), (b"+TERM no", "term seq 7"), (b"+WPI", "in progress seq 7")],
)
def test_an_ack_says_what_it_is_and_of_which_message(payload: bytes, label: str) -> None:
    recorder = Recorder()
    recorder.frame(1, TO_SERVER, Frame("PUB", "$JS.ACK.ORDERS.b.1.7.1.1700000000000000000.0", payload=payload))
    (arrow,) = lamport_layout(recorder.history).arrows
    assert (arrow.role, arrow.label) == ("ack", label)


def test_a_503_is_shown_as_the_reply_that_it_is() -> None:
    assert lamport_layout(story("a:jspub1 a:none1")).arrows[1].label.startswith("reply 503")


def test_redeliveries_carry_their_count() -> None:
    arrow = lamport_layout(story("a:pub1 b:jsgot1@1 b:jsgot1@1*3")).arrows[-1]
    assert (arrow.redelivered, arrow.badge) == (True, "delivery 3")


def test_housekeeping_is_left_out_and_counted() -> None:
    history = story("a:pub1 b:got1 b:ping b:pong")
    diagram = lamport_layout(history)
    assert len(diagram.arrows) == 2
    hidden = len(history.where(kind="frame")) - 2 - len(history.where(op="SUB"))
    assert diagram.left_out[0] == f"{hidden} housekeeping frames"


def test_with_housekeeping_every_frame_is_an_arrow_with_its_control_line() -> None:
    history = story("a:pub1=hello b:got1")
    diagram = lamport_layout(history, housekeeping=True)
    assert len(diagram.arrows) == len(history.where(kind="frame"))
    assert not any("housekeeping" in text for text in diagram.left_out)
    labels = [arrow.label for arrow in diagram.arrows]
    assert any(label.startswith("SUB orders ") for label in labels)
    assert any(re.fullmatch(r'HPUB orders \d+ \d+ "hello"', label) for label in labels)


def test_the_jetstream_api_is_housekeeping_with_its_answers() -> None:
    recorder = Recorder()
    recorder.frame(1, TO_SERVER, Frame("PUB", "$JS.API.INFO", reply="_INBOX.x.1"))
    recorder.frame(1, TO_CLIENT, Frame("MSG", "_INBOX.x.1", sid="1", payload=b'{"stream":"S","seq":1}'))
    recorder.frame(1, TO_CLIENT, Frame("HMSG", "_INBOX.x.2", sid="1", headers=(), status=408, description="Timeout"))
    assert roles(recorder.history) == []


def test_an_error_of_the_server_is_no_housekeeping() -> None:
    recorder = Recorder()
    recorder.frame(1, TO_CLIENT, Frame("-ERR", payload=b"Slow Consumer"))
    assert lamport_layout(recorder.history).arrows[0].label == "-ERR Slow Consumer"


def test_opaque_bytes_are_shown_by_their_size() -> None:
    history = History()
    history.feed(pack(0.0, b"\x16\x03\x01" * 100, conn=1, direction=TO_SERVER, opaque=True))
    assert lamport_layout(history).arrows[0].label == "opaque, 300 bytes"


# What befell it


def test_lost_messages_are_arrows_that_never_arrive() -> None:
    arrows = lamport_layout(story("a:pub1!dropped a:pub2 b:got2!cut")).arrows
    assert [(arrow.lost, arrow.badge) for arrow in arrows] == [(True, "dropped"), (False, ""), (True, "cut")]
    assert not any(arrow.held for arrow in arrows)


def test_what_nobody_received_says_so() -> None:
    arrows = lamport_layout(story("a:pub1 a:pub2 b:got2")).arrows
    assert [arrow.unheard for arrow in arrows] == [True, False, False]
    assert "Of 1 published message no delivery was seen." in lamport(story("a:pub1")).alt


def test_a_copy_is_marked() -> None:
    arrow = lamport_layout(story("a:pub1 b:got1 b:got1!duplicated")).arrows[-1]
    assert arrow.badge == "×2 copy"


def test_arrows_are_level_unless_the_tap_held_the_frame() -> None:
    recorder = Recorder()
    recorder.publish(1, 1)
    recorder.now += 0.2
    recorder.frame(2, TO_CLIENT, Frame("MSG", "orders", sid="1", payload=b"x"), fate="delayed", held=0.2)
    level, sloped = lamport_layout(recorder.history).arrows
    assert not level.held
    assert sloped.held
    assert sloped.end - sloped.begin == pytest.approx(0.2)
    assert sloped.badge == "held 200 ms"


def test_a_verdict_s_witnesses_are_highlighted() -> None:
    history = story("b:sub a:pub1 a:pub2 b:got2 a:pub3 b:got3")
    verdict = no_loss(history)
    assert verdict.witness
    arrows = lamport_layout(history, verdict=verdict).arrows
    numbers = {event.number for event in verdict.witness}
    assert {arrow.number for arrow in arrows if arrow.witness} == numbers & {arrow.number for arrow in arrows}
    assert any(arrow.witness for arrow in arrows)
    assert "witnesses" in lamport(history, verdict=verdict).alt


class Witnesses(NamedTuple):
    witness: tuple[Event, ...]


def test_anything_with_witnesses_will_do() -> None:
    history = story("a:pub1 b:got1")
    (message,) = history.publishes
    assert lamport_layout(history, verdict=Witnesses((message,))).arrows[0].witness


# What was done


def test_faults_are_windows_from_armed_to_healed() -> None:
    recorder = Recorder()
    recorder.event("fault", "armed: drop MSG nth=2")
    recorder.publish(1, 1)
    recorder.event("fault", "hit: drop MSG nth=2: MSG orders")
    recorder.event("fault", "healed: drop MSG nth=2 (1 hits)")
    (window,) = read(recorder.history).windows
    assert (window.text, window.hits) == ("drop MSG nth=2", 1)
    assert window.end is not None
    marks = lamport_layout(recorder.history).marks
    assert [mark.turn for mark in marks] == ["starts", "stops"]
    for figure in (lamport, timeline, rates):
        assert "Fault drop MSG nth=2 armed from 0.0000 s until 0.0030 s, 1 hit." in figure(recorder.history).alt


def test_two_faults_of_the_same_beginning_are_told_apart() -> None:
    recorder = Recorder()
    recorder.event("fault", "armed: drop MSG")
    recorder.event("fault", "armed: drop MSG nth=2")
    recorder.event("fault", "healed: drop MSG (0 hits)")
    first, second = read(recorder.history).windows
    assert first.end is not None
    assert second.end is None


def test_a_part_of_a_history_may_begin_under_a_fault_and_end_under_one() -> None:
    recorder = Recorder()
    recorder.event("fault", "armed: drop MSG")
    recorder.publish(1, 1)
    recorder.event("fault", "healed: drop MSG (3 hits)")
    recorder.event("fault", "armed: stall")
    part = recorder.history[1:]
    assert [(window.text, window.end is None) for window in read(part).windows] == [
        ("drop MSG", False),
        ("stall", True),
    ]
    lamport(part)


def test_a_killed_server_s_lifeline_breaks() -> None:
    recorder = Recorder()
    recorder.connect(1, "a", "n1")
    recorder.publish(1, 1)
    for verb in ("kill", "restart", "pause", "resume"):
        recorder.event("server", verb, node="n1")
    marks = [mark for mark in lamport_layout(recorder.history).marks if mark.kind == "server"]
    assert [(mark.text, mark.turn) for mark in marks] == [
        ("kill", "stops"), ("restart", "starts"), ("pause", "pauses"), ("resume", "starts"),
    ]  # fmt: skip
    assert all(mark.lifelines == ("n1",) for mark in marks)
    assert "n1 at" in timeline(recorder.history).alt


def test_a_client_that_comes_back_keeps_its_lifeline() -> None:
    recorder = Recorder()
    recorder.connect(1, "a")
    recorder.publish(1, 1)
    recorder.event("client", "disconnected: reset", conn=1)
    recorder.connect(2, "a")
    recorder.publish(2, 2)
    diagram = lamport_layout(recorder.history)
    assert [line.name for line in diagram.lifelines] == ["a", "server"]
    assert [mark.turn for mark in diagram.marks] == ["stops", "starts"]


def test_two_clients_of_one_name_at_once_have_two_lifelines() -> None:
    recorder = Recorder()
    recorder.connect(1, "worker")
    recorder.connect(2, "worker")
    for conn in (1, 2, 1, 2):
        recorder.publish(conn, conn)
    assert {arrow.source for arrow in lamport_layout(recorder.history).arrows} == {"worker", "worker (2)"}


def test_a_client_that_is_called_like_a_server_is_not_taken_for_it() -> None:
    recorder = Recorder()
    recorder.connect(1, "server")
    recorder.publish(1, 1)
    names = [line.name for line in lamport_layout(recorder.history).lifelines]
    assert len(set(names)) == 2


def test_subscribing_is_marked_and_notes_stand_between() -> None:
    recorder = Recorder()
    recorder.connect(1, "b")
    recorder.connect(2, "c")
    recorder.frame(1, TO_SERVER, Frame("SUB", "orders.*", sid="1", queue="workers"))
    recorder.frame(2, TO_SERVER, Frame("SUB", "orders.*", sid="1", queue="workers"))
    recorder.frame(1, TO_SERVER, Frame("SUB", "_INBOX.x.*", sid="2"))
    recorder.event("note", "and now?")
    *_, subscribes, note = lamport_layout(recorder.history).marks
    assert subscribes.lifelines == ("b", "c")
    assert subscribes.text == "subscribes to orders.*, queue workers"
    assert (note.kind, note.text, note.lifelines) == ("note", "and now?", ())


# Much of it


def test_up_to_three_hundred_arrows_are_drawn_one_by_one() -> None:
    diagram = lamport_layout(crowd(2, MOST_ARROWS // 3))
    assert (diagram.bundle, len(diagram.arrows)) == (0.0, MOST_ARROWS)


def test_above_that_they_are_bundled_and_the_counts_are_exact() -> None:
    recorder = Recorder()
    recorder.connect(1, "a")
    recorder.connect(2, "b")
    expected: Counter[tuple[bool, str]] = Counter()
    for n in range(1, 1001):
        if n == 400:
            recorder.event("fault", "armed: drop MSG probability=0.5")
        if n == 600:
            recorder.event("fault", "healed: drop MSG probability=0.5 (99 hits)")
        fate = "dropped" if 400 <= n < 600 and n % 2 else "forwarded"
        recorder.publish(1, n)
        recorder.deliver(2, n, fate=fate)
        expected[True, "forwarded"] += 1
        expected[False, fate] += 1
    diagram = lamport_layout(recorder.history)
    assert diagram.bundle > 0
    assert len(diagram.arrows) < MOST_ARROWS
    counted: Counter[tuple[bool, str]] = Counter()
    for arrow in diagram.arrows:
        counted[arrow.to_server, arrow.fate] += arrow.frames
    assert counted == expected
    armed, healed = diagram.marks
    lost = [arrow for arrow in diagram.arrows if arrow.lost]
    assert sum(arrow.frames for arrow in lost) == 100
    assert all(armed.time <= arrow.begin < healed.time for arrow in lost), "no bundle reaches across a fault's edge"
    assert "2,000 frames are bundled by spans of" in lamport(recorder.history).alt


def test_a_thousand_subscribers_share_a_lifeline() -> None:
    history = crowd(1000, 1, lost=500)
    diagram = lamport_layout(history)
    folded = [line for line in diagram.lifelines if line.kind == "folded"]
    assert [(line.name, line.clients) for line in folded] == [("995 more clients", 995)]
    assert sum(line.clients for line in diagram.lifelines if line.kind != "server") == 1001
    assert diagram.bundle == 0.0
    assert len(diagram.arrows) < 10
    assert sum(arrow.frames for arrow in diagram.arrows) == 1001
    assert sum(arrow.frames for arrow in diagram.arrows if arrow.lost) == 1
    assert "1,001 clients" in lamport(history).alt


def test_many_messages_to_many_subscribers() -> None:
    history = crowd(50, 40)
    diagram = lamport_layout(history)
    assert sum(arrow.frames for arrow in diagram.arrows) == 40 * 51
    lamport(history)
    timeline(history)


# The words, the numbers, the pixels


def test_the_alternative_text_tells_what_is_in_the_picture() -> None:
    alt = lamport(story("a:pub1>orders.new a:pub2>orders.new b:got1 b:got2!dropped a:pub3>orders.new b:got3")).alt
    assert "a published 3 messages to orders.new." in alt
    assert "b received 2 messages." in alt
    assert re.search(r"Lost at 0\.\d{4} s from server to b: number 2 of a \(orders\.new\), dropped\.", alt)


def test_a_table_has_the_same_numbers() -> None:
    picture = lamport(story("a:pub1 b:got1!dropped"))
    rows = re.findall(r"<tr><td>.*?</tr>", picture.table)
    assert len(rows) == 2
    assert "dropped" in rows[1]


def test_a_long_table_is_cut_and_says_so() -> None:
    picture = lamport(crowd(1, 50))
    assert picture.table.count("<tr>") == 61
    assert "and 40 more rows" in picture.table


@each_figure
def test_a_notebook_is_given_each_form_once(figure: Callable[..., Picture]) -> None:
    picture = figure(story("a:pub1 b:got1"))
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert data["text/plain"] == repr(picture) == picture.alt
    assert metadata["image/png"]["alt"] == picture.alt
    assert f'alt="{html.escape(picture.alt)}"' in data["text/html"]
    assert data["text/html"].count("<img ") == 1
    assert '<table><thead><tr><th scope="col">' in data["text/html"]


@each_figure
@pytest.mark.parametrize("dark", [False, True])
def test_every_picture_is_a_card_of_its_own_at_double_density(figure: Callable[..., Picture], dark: bool) -> None:
    picture = figure(story("a:pub1 a:pub2 b:got2 b:got1"), dark=dark)
    is_a_card_of_its_own(picture, dark)


@each_figure
def test_nothing_makes_a_picture_too(figure: Callable[..., Picture]) -> None:
    picture = figure(History())
    assert picture.alt.endswith(("Nothing passed.", "Nothing was delivered."))
    assert pixels(picture).size[0] == 1920


@each_figure
def test_what_is_not_messages_makes_a_picture_too(figure: Callable[..., Picture]) -> None:
    recorder = Recorder()
    recorder.event("note", "nothing but words")
    recorder.event("server", "kill", node="n1")
    recorder.connect(1, "a")
    figure(recorder.history)


def test_a_picture_can_be_saved(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("pictures") / "run.png"
    picture = lamport(story("a:pub1"))
    picture.save(path)
    assert path.read_bytes() == picture.png


def test_the_reader_s_own_style_is_neither_used_nor_touched() -> None:
    history = story("a:pub1 b:got1")
    expected = timeline(history).png
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": True}):
        before = dict(mpl.rcParams)
        assert timeline(history).png == expected
        assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported() -> None:
    code = "import sys, natsdemo.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("half", ["light", "dark"])
def test_the_palette_has_contrast(half: str) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    palette = figures.PALETTE[half]
    for role in ("ink", "note", "published", "delivered", "lost", "redelivered", "ack", "server", "fault"):
        for paper in ("card", "window"):
            least = 4.5 if role in ("ink", "note", "fault") else 3.0
            assert contrast(palette[role], palette[paper]) >= least, f"{role} on {paper}"
    assert contrast(palette["ink"], palette["client"]) >= 7
    assert set(figures.PALETTE["light"]) == set(figures.PALETTE["dark"])


# Hostile


@each_figure
def test_hostile_text_is_escaped_and_never_interpreted(figure: Callable[..., Picture]) -> None:
    recorder = Recorder()
    recorder.connect(1, HOSTILE.replace("\ud83d", ""))
    recorder.connect(2, "$^$")
    recorder.event("note", HOSTILE)
    recorder.event("fault", "armed: <b>$x")
    recorder.event("server", "<i>kill</i> $", node="<n1>$")
    subject = re.sub(r"\s", "_", HOSTILE)
    raw = subject.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    for n in range(1, 4):
        recorder.publish(1, n, raw, b"\xff<img src=x onerror=alert(1)>$\\alpha$" + b"y" * 2_000_000, name="<p>$")
        recorder.deliver(2, n, raw, b"\xff<img src=x onerror=alert(1)>$\\alpha$" + b"y" * 2_000_000, name="<p>$")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = figure(recorder.history)
    is_harmless(picture)
    assert len(picture.alt) < 4000
    assert len(picture.table) < 20_000


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.text(max_size=40), subject=st.binary(min_size=1, max_size=60), payload=st.binary(max_size=80))
def test_any_text_makes_a_picture(name: str, subject: bytes, payload: bytes) -> None:
    token = re.sub(rb"[\s\x00]", b"_", subject).decode("utf-8", "surrogateescape") or "x"
    recorder = Recorder()
    recorder.connect(1, name.encode("utf-8", "replace").decode())
    recorder.publish(1, 1, token, payload)
    recorder.deliver(1, 1, token, payload)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = lamport(recorder.history)
        timeline(recorder.history)
    picture._repr_html_().encode()


@given(st.text())
def test_cleaned_text_is_short_visible_and_stays_so(text: str) -> None:
    cleaned = clean(text, 30)
    assert len(cleaned) <= 30
    assert cleaned.isprintable()
    assert clean(cleaned, 30) == cleaned
    assert len(drawable(cleaned)) == len(cleaned)
    cleaned.encode()


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.floats(0.5, 5))
def test_a_text_is_fitted_to_its_room(text: str, room: float) -> None:
    assert text_width(fit(clean(text), room)) <= room or len(fit(clean(text), room)) <= 3


def test_small_words() -> None:
    assert [seconds(value) for value in (0.0, 12e-6, 0.0123, 1.5, 7200.0)] == [
        "0 µs",
        "12 µs",
        "12.3 ms",
        "1.5 s",
        "7,200 s",
    ]
    assert show_payload(b"") == "(empty)"
    assert show_payload(bytes(range(20))) == "(20 bytes)"
    assert show_payload("grüße".encode()) == '"grüße"'
    assert show_payload(b"x" * 100) == f'"{"x" * 23}…"'
    assert [nice_step(about) for about in (0, 0.013, 0.02, 3, 70)] == [1.0, pytest.approx(0.02), 0.02, 5, 100]
    assert wrap("a b", 0.01) == ["a", "b"]


def test_words_are_drawn_as_outlines() -> None:
    sheet = Sheet()
    width = sheet.write(1.0, 1.0, [("Hello ", "#000000", False), ("$x$", "#000000", True)])
    assert width == pytest.approx(text_width("Hello ") + text_width("$x$", 11, True))
    assert not sheet.figure(2, 2, "#ffffff").texts


# Charts


def test_the_timeline_counts_by_client() -> None:
    picture = timeline(story("a:pub1 b:got1 a:pub2 b:got2!dropped a:pub3 b:jsgot3@1 b:jsgot3@1*2"))
    assert picture.caption == "3 published, 2 delivered, 1 lost, 1 redelivered."
    assert "a: 3 published." in picture.alt


def test_rates_count_everything_once() -> None:
    recorder = Recorder()
    for n in range(1, 101):
        recorder.publish(1, n, f"orders.{n % 9}")
        recorder.deliver(2, n, f"orders.{n % 9}", fate="dropped" if n == 50 else "forwarded")
    picture = rates(recorder.history)
    assert picture.caption.startswith("100 published, 99 delivered in ")
    assert "4 more subjects" in picture.table
    assert sum(int(cell) for cell in re.findall(r"<tr><td>.*?</td><td>(\d+)</td>", picture.table)) == 100
    assert rates(recorder.history, by="client").alt.startswith("Messages a second by client")
    with pytest.raises(ValueError, match='"subject" or "client"'):
        rates(recorder.history, by="colour")


def test_percentiles_are_of_nearest_rank_and_only_what_the_sample_supports() -> None:
    assert percentiles([]) == {50.0: None, 90.0: None, 99.0: None, 99.9: None}
    assert percentiles(range(1, 51)) == {50.0: 25, 90.0: 45, 99.0: None, 99.9: None}
    assert percentiles(range(1, 5001)) == {50.0: 2500, 90.0: 4500, 99.0: 4950, 99.9: 4995}


def test_latency_is_from_arrival_at_the_tap_to_leaving_it_the_first_time() -> None:
    recorder = Recorder()
    recorder.publish(1, 1)  # at 1 ms
    recorder.deliver(2, 1)  # at 2 ms
    recorder.deliver(2, 1)  # again
    recorder.now += 0.2
    recorder.frame(3, TO_CLIENT, Frame("HMSG", "orders", sid="1", headers=tuple(stamp("a", 1).items()), payload=b"x"))
    sample, unknown = latencies(read(recorder.history))
    assert sample == pytest.approx([0.001, 0.203])
    assert unknown == 0


def test_messages_that_cannot_be_told_apart_are_left_out_and_counted() -> None:
    history = story("a:pub1=same a:pub2=same b:got1=same b:got2=same a:pub3 b:got3", stamped=False)
    picture = latency(history)
    assert "Left out: 2 deliveries of messages that cannot be told apart." in picture.alt
    assert "Latency of 1 delivery" in picture.caption
    assert "Left out: 2 deliveries" in sequence_numbers(history).alt


def test_percentiles_that_are_not_drawn_are_named() -> None:
    picture = latency(crowd(1, 50))
    assert "Not drawn: 99 % (it needs 500 deliveries), 99.9 % (it needs 5,000 deliveries)." in picture.alt
    assert "90 % 1 ms" in picture.alt
    assert "<td>99.9 %</td><td>not supported</td>" in picture.table


def test_the_order_of_what_was_received() -> None:
    history = story("a:pub1 a:pub2 a:pub3 a:pub4 b:got1 b:got3 b:got2 b:got2")
    (order,), unknown = orders(read(history))
    assert (order.publisher, order.receiver, unknown) == ("a", "b", 0)
    assert order.received == (1, 3, 2, 2)
    assert order.kinds == ("in order", "in order", "out of order", "duplicate")
    assert order.missing == (4,)
    assert sequence_numbers(history).caption == "4 deliveries, 1 not received, 1 out of order, 1 duplicate."


def test_a_queue_group_is_one_receiver_and_so_is_a_consumer() -> None:
    group = story("w1:sub/workers w2:sub/workers a:pub1 w1:got1/workers a:pub2 w2:got2/workers")
    (order,), _ = orders(read(group))
    assert (order.receiver, order.kinds) == ("workers on orders", ("in order", "in order"))
    consumer = story("a:jspub1 a:puback1@1 b:jsgot1@1/pull c:jsgot1@1*2/pull")
    (order,), _ = orders(read(consumer))
    assert (order.receiver, order.kinds) == ("ORDERS/pull", ("in order", "redelivery"))


def test_more_pairs_than_panels_are_counted() -> None:
    picture = sequence_numbers(crowd(9, 2))
    assert "Left out: 3 more pairs of a publisher and a receiver." in picture.alt
    assert picture.table.count("<tr><td>") == 9


def test_a_page_gives_everything_a_place_of_its_own() -> None:
    page = Page(False, 2.0, rows=2)
    figure = page.finish("A title", [], ["a note " * 40], headed=True)
    first, second = (axes.get_position() for axes in page.panels)
    assert first.y0 > second.y1 > second.y0 > 0.1
    assert first.y1 < 1
    assert figure.get_figwidth() == pytest.approx(9.6)
