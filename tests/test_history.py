"""The History: one order, lazily decoded, kept within its limit, saved and loaded, and safe to show."""

import asyncio
import itertools
import json
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsdemo.history import FATES, Event, History, pack
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode

CONNECT = b'CONNECT {"name": "alice"}\r\n'


def pub(subject: str = "a", payload: bytes = b"") -> bytes:
    return encode(Frame("PUB", subject=subject, payload=payload))


def hmsg(subject: str = "a", payload: bytes = b"") -> bytes:
    return encode(Frame("HMSG", subject=subject, sid="1", headers=(("k", "v"),), payload=payload))


def story() -> History:
    history = History()
    history.add(100.0, "note", "it begins")
    history.add(100.1, "client", "connected", conn=1, node="n1")
    history.feed(pack(100.2, b'INFO {"server_id": "x"}\r\n', conn=1, direction=TO_CLIENT))
    history.feed(pack(100.3, CONNECT + pub("a", b"1") + pub("b.c", b"2"), conn=1, direction=TO_SERVER))
    history.add(100.4, "client", "connected", conn=2, node="n2")
    history.feed(pack(100.5, hmsg("a", b"1"), conn=2, direction=TO_CLIENT, fate="delayed", held=0.25))
    history.add(100.6, "server", "kill", node="n1")
    history.feed(pack(100.7, b"\x16\x03\x01", conn=3, direction=TO_SERVER, opaque=True))
    return history


def numbers(history: History) -> list[int]:
    return [event.number for event in history]


def test_a_sequence_in_one_order() -> None:
    history = story()
    assert len(history) == 10
    assert numbers(history) == list(range(10))
    assert [event.time for event in history] == sorted(event.time for event in history)
    assert [event.op for event in history] == ["", "", "INFO", "CONNECT", "PUB", "PUB", "", "HMSG", "", "OPAQUE"]
    assert history[0].time == 0.0
    assert history[-1].time == history.duration == 0.7
    assert history[4] == history[4]
    with pytest.raises(IndexError):
        history[10]
    assert numbers(history[2:5][1:]) == [3, 4]
    assert numbers(history[::-3]) == [9, 6, 3, 0]
    delivered = history[7]
    assert (delivered.fate, delivered.held, delivered.arrived) == ("delayed", 0.25, 0.25)
    assert history[9].frame == Frame("OPAQUE", raw=b"\x16\x03\x01")


def test_names_are_known_before_they_were_told() -> None:
    history = story()
    assert [history[n].client for n in (1, 2, 3, 4)] == ["alice"] * 4
    assert [history[n].client for n in (0, 6, 8, 9)] == ["", "c2", "", "c3"]
    assert [history[n].node for n in (0, 1, 4, 7, 8, 9)] == ["", "n1", "n1", "n2", "n1", ""]
    assert history.clients == ["alice", "c2", "c3"]
    assert history[4:6].clients == ["alice"]


def test_who_comes_back_under_the_same_name_is_the_same_client() -> None:
    history = story()
    history.feed(pack(101, CONNECT, conn=4, direction=TO_SERVER))
    assert history[-1].client == "alice"
    assert {event.conn for event in history.where(client="alice")} == {1, 4}
    assert history.clients == ["alice", "c2", "c3"]


@pytest.mark.parametrize(
    "connect", [b"CONNECT {}\r\n", b"CONNECT {\r\n", b'CONNECT {"name": 7}\r\n', b"CONNECT " + b"[" * 4000 + b"\r\n"]
)
def test_a_strange_connect_names_nobody(connect: bytes) -> None:
    history = History()
    history.feed(pack(0, connect, conn=5, direction=TO_SERVER))
    assert history[0].client == "c5"


def test_where() -> None:
    history = story()
    assert numbers(history.where(op="PUB")) == [4, 5]
    assert numbers(history.where(op="MSG")) == [7]
    assert numbers(history.where(subject="a")) == [4, 7]
    assert numbers(history.where(subject=">")) == [4, 5, 7]
    assert numbers(history.where(kind="client", node="n2")) == [6]
    assert numbers(history.where(direction=TO_CLIENT)) == [2, 7]
    assert numbers(history.where(fate="delayed")) == [7]
    assert numbers(history.publishes) == [4, 5]
    assert numbers(history.deliveries) == [7]
    assert numbers(history.publishes.where(subject="b.*")) == [5]
    assert numbers(history.publishes[1:]) == [5]
    assert len(history.where(op="SUB")) == 0
    assert history.where(op="SUB").duration == 0.0


def test_views_do_not_grow_and_the_whole_does() -> None:
    history = story()
    view = history.publishes
    history.feed(pack(101, pub("new"), conn=1, direction=TO_SERVER))
    assert len(view) == 2
    assert len(history.publishes) == 3
    assert len(history) == 11


def test_a_look_brings_what_the_tap_still_has() -> None:
    history = History()
    times = itertools.count()
    history.sync = lambda: history.add(next(times), "note", "x")
    assert len(history) == 1
    assert history[1].text == "x"
    assert len(history[1:]) == 2


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=30), max_size=20), st.integers(0, 3))
def test_looking_in_between_changes_nothing(blocks: list[list[int]], every: int) -> None:
    history = History()
    expected = []
    for n, sizes in enumerate(blocks):
        raws = [pub("s", bytes(size)) for size in sizes]
        expected += raws
        history.feed(pack(n, b"".join(raws), conn=1, direction=TO_SERVER))
        if every and n % every == 0:
            assert len(history) == len(expected)
    assert [event.frame.raw for event in history if event.frame] == expected


@pytest.mark.parametrize("part", [slice(None), slice(1, 6), slice(None, None, 2)])
def test_bursts_are_the_events_that_passed_together(part: slice) -> None:
    history = story()[part]
    bursts = list(history.bursts())
    together = [[event] for event in history]
    if part == slice(None):
        together[3:6] = [[history[3], history[4], history[5]]]  # CONNECT and what was sent with it
    elif part == slice(1, 6):
        together[2:5] = [[history[2], history[3], history[4]]]
    assert [burst.first for burst in bursts] == [events[0] for events in together]
    assert [burst.data for burst in bursts] == [b"".join(e.frame.raw for e in events if e.frame) for events in together]


def test_a_history_that_grows_knows_what_time_it_is() -> None:
    history = History()
    assert history.now == 0.0
    history.feed(pack(time.monotonic() - 5, CONNECT, conn=1, direction=TO_SERVER))
    assert len(history) == 1
    assert 5 <= history.now < 60


def test_segments_are_no_seams() -> None:
    history = History()
    raw = pub("a", bytes(100_000))
    for n in range(50):
        history.feed(pack(n, raw * 3, conn=1, direction=TO_SERVER))
        if n % 7 == 0:
            assert len(history) == 3 * (n + 1)
    assert {event.frame.raw for event in history if event.frame} == {raw}
    assert len(history) == 150


def test_a_reader_and_a_writer_at_once() -> None:
    history = History()
    done = threading.Event()

    def write() -> None:
        for n in range(3000):
            history.feed(pack(n, pub("a", b"%d" % n), conn=1, direction=TO_SERVER))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        seen = [int(event.frame.payload) for event in history if event.frame]
        assert seen == list(range(len(seen)))
    writer.join()
    assert [event.frame.payload for event in history if event.frame] == [b"%d" % n for n in range(3000)]


# The limit


def test_what_exceeds_the_limit_is_counted_frame_by_frame() -> None:
    record = pack(0, pub() * 10, conn=1, direction=TO_SERVER)
    history = History(limit=len(record) * 3)
    history.feed(record * 5)
    assert (len(history), history.unrecorded) == (30, 20)
    history.add(1, "note", "no room")
    assert (len(history), history.unrecorded) == (30, 21)


def test_nothing_is_kept_after_the_first_that_did_not_fit() -> None:
    small, large = pack(0, pub(), conn=1, direction=TO_SERVER), pack(0, pub("a", bytes(500)), direction=TO_SERVER)
    history = History(limit=200)
    history.feed(small + large + small)
    history.feed(small)
    assert (len(history), history.unrecorded) == (1, 3)
    assert "3 unrecorded" in repr(history)


def test_what_the_tap_could_not_keep_counts_too() -> None:
    history = story()
    history.leave_out(7)
    history.add(102, "note", "too late")
    assert (len(history), history.unrecorded) == (10, 8)


# Saving and loading


def test_save_and_load(tmp_path: Path) -> None:
    history = story()
    history.leave_out(5)
    history.save(tmp_path / "run.jsonl")
    loaded = History.load(tmp_path / "run.jsonl")
    assert list(loaded) == list(history)
    assert loaded.unrecorded == 5
    loaded.save(tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "run.jsonl").read_bytes()


def test_a_view_keeps_its_names_and_times(tmp_path: Path) -> None:
    view = story().where(subject=">")
    view.save(tmp_path / "view.jsonl")
    loaded = History.load(tmp_path / "view.jsonl")
    assert [event._replace(number=0) for event in loaded] == [event._replace(number=0) for event in view]


HOSTILE = st.binary(max_size=60) | st.sampled_from([b"</script>", b"\x1b[2J\r\n", b"\xff\xfe", "‮".encode(), b"\0"])
NAMES = st.text(max_size=20)
TIMES = st.floats(0, 1e6)


@st.composite
def any_event(draw: st.DrawFn) -> bytes:
    time, conn = draw(TIMES), draw(st.integers(0, 2**32 - 1))
    kind = draw(st.sampled_from(["frame", "frame", "opaque", "note", "fault", "server", "client"]))
    fate, held = draw(st.sampled_from(FATES)), draw(st.floats(0, 1e4))
    direction = draw(st.sampled_from([TO_SERVER, TO_CLIENT]))
    if kind == "opaque":
        data = draw(HOSTILE.filter(bool))
        return pack(time, data, conn=conn, direction=direction, fate=fate, held=held, opaque=True)
    if kind == "frame":
        name = json.dumps({"name": draw(NAMES)}).encode()
        raw = pub("s", draw(HOSTILE)) if draw(st.booleans()) else b"CONNECT %b\r\n" % name
        raw = raw if direction == TO_SERVER else hmsg("s", draw(HOSTILE))
        return pack(time, raw, conn=conn, direction=direction, fate=fate, held=held)
    said = {"kind": kind, "text": draw(NAMES)} | draw(st.fixed_dictionaries({}, optional={"client": NAMES}))
    return pack(time, json.dumps(said).encode(), conn=conn)


@given(st.lists(any_event(), max_size=20))
def test_whatever_passed_is_saved_and_loaded_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes]
) -> None:
    history = History()
    history.feed(b"".join(records))
    path = tmp_path_factory.mktemp("h") / "run.jsonl"
    history.save(path)
    loaded = History.load(path)
    assert list(loaded) == list(history)
    assert str(loaded) == str(history)
    for event in history:
        assert_shows_well(event)


GOOD = '{"time": 0.0, "kind": "note", "text": "x"}'
FRAME = {"time": 0.0, "kind": "frame", "conn": 1, "direction": "to_server", "raw": "PING\r\n"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"x"',
        "\udcff",
        "[" * 100_000,
        '{"kind": "note", "text": "x"}',
        '{"time": 0.0, "kind": "note"}',
        '{"time": 0.0, "kind": "note", "text": 7}',
        '{"time": 0.0, "kind": "no such kind", "text": "x"}',
        '{"time": "now", "kind": "note", "text": "x"}',
        '{"time": NaN, "kind": "note", "text": "x"}',
        *(
            json.dumps(FRAME | wrong)
            for wrong in (
                {"raw": "PING"},
                {"raw": "PING\r\nPING\r\n"},
                {"raw": ""},
                {"raw": "XXX\r\n"},
                {"raw": "\u20ac"},
                {"raw": 7},
                {"direction": ""},
                {"direction": "up"},
                {"direction": None},
                {"conn": -1},
                {"conn": 1.5},
                {"conn": 2**32},
                {"fate": "eaten"},
                {"held": "long"},
                {"held": 1e300},
                {"opaque": "yes"},
            )
        ),
    ],
)
def test_a_malformed_file_is_refused_with_the_lines_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    text = f'{{"natsdemo": 1, "unrecorded": 0}}\n{GOOD}\n{line}\n{GOOD}\n'
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 3: not a saved History \([^\n]{1,300}\)\.$"):
        History.load(path)


@pytest.mark.parametrize(
    "first",
    [
        "",
        "{}",
        "[]",
        '{"natsdemo": 2, "unrecorded": 0}',
        '{"natsdemo": 1}',
        '{"natsdemo": 1, "unrecorded": "x"}',
        '{"natsdemo": 1, "unrecorded": 0, "connections": {"x": ["", ""]}}',
        '{"natsdemo": 1, "unrecorded": 0, "connections": {"1": [7, ""]}}',
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, first: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(f"{first}\n{GOOD}\n")
    with pytest.raises(ValueError, match="line 1: not a saved History"):
        History.load(path)


# Observers


async def test_observe_and_replay_feed_the_same(tmp_path: Path) -> None:
    source = story()
    source.save(tmp_path / "run.jsonl")
    live: list[Event] = []
    later: list[Event] = []
    all_came = asyncio.Event()

    def observe(new: History) -> None:
        live.extend(new)
        if len(live) == len(source):
            all_came.set()

    def write() -> None:
        for event in source:
            history.feed(record_of(event))

    history = History()
    stop = history.observe(observe)
    await asyncio.to_thread(write)
    await asyncio.wait_for(all_came.wait(), 2)
    await History.load(tmp_path / "run.jsonl").replay(later.extend, speed=float("inf"))
    assert [(e.number, e.frame, e.text) for e in live] == [(e.number, e.frame, e.text) for e in later]
    stop()
    stop()
    history.add(200, "note", "unheard")
    await asyncio.sleep(0.01)
    assert len(live) == len(source)


def record_of(event: Event) -> bytes:
    if event.frame is None:
        return pack(event.time, json.dumps({"kind": event.kind, "text": event.text}).encode(), conn=event.conn)
    opaque = event.op == "OPAQUE"
    return pack(event.time, event.frame.raw, conn=event.conn, direction=event.direction, opaque=opaque)


async def test_replay_keeps_the_pace() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    heard: list[int] = []
    await story().replay(lambda new: heard.extend(numbers(new)), speed=10)
    assert heard == list(range(10))
    assert loop.time() - began >= 0.069


async def test_only_a_whole_history_is_observed() -> None:
    with pytest.raises(TypeError, match="observe the whole"):
        story().publishes.observe(print)


def test_an_observer_whose_loop_is_over_harms_nobody() -> None:
    history = History()

    async def watch() -> None:
        history.observe(print)

    asyncio.run(watch())
    history.add(0, "note", "x")
    history.add(1, "note", "y")
    assert len(history) == 2


# Showing


def assert_shows_well(event: Event) -> None:
    shown = repr(event)
    assert shown.isprintable(), shown
    assert len(shown) < 1000


def test_one_event_one_line() -> None:
    lines = str(story()).splitlines()
    assert len(lines) == 10
    assert lines[4] == "   0.3000     alice → <PUB subject='a' payload=b'1'>"
    assert lines[7].startswith("   0.5000        c2 ← <HMSG subject='a' sid='1' headers=(('k', 'v'),) payload=b'1'>")
    assert lines[7].endswith("  [delayed, held 0.250 s]")
    assert lines[8] == "   0.6000  server  n1 kill"
    assert lines[9] == "   0.7000        c3 → <OPAQUE 3 bytes>"
    assert repr(story()) == "<History 10 events, 3 clients, 0.700 s>"


def test_hostile_words_are_shown_harmlessly() -> None:
    history = History()
    name = "<script>alert(1)</script>\n\x1b[2J‮" + "x" * 10_000
    history.feed(pack(0, f"CONNECT {json.dumps({'name': name})}\r\n".encode(), conn=1, direction=TO_SERVER))
    history.feed(pack(1, pub("<b>.\x1b[2J", b"</pre><script>\0" * 1000), conn=1, direction=TO_SERVER))
    history.feed(pack(2, pub("é‮\udcff", bytes(5_000_000)), conn=1, direction=TO_SERVER))
    history.add(3, "note", "<img onerror=alert(1)>\r\n\x07" + "y" * 10_000)
    for event in history:
        assert_shows_well(event)
    shown = history._repr_html_()
    assert shown.count("\n") == 3
    assert len(shown) < 4000
    assert "<" not in shown.removeprefix("<pre>").removesuffix("</pre>")
    assert "\x1b" not in shown


def test_what_is_not_shown_is_counted() -> None:
    history = History()
    for n in range(70):
        history.add(n, "note", "x")
    assert str(history).splitlines()[-1] == "… and 20 more"


# What it costs


def fill(count: int, frames_in_a_record: int) -> tuple[History, bytes]:
    raw = pub("orders.new", bytes(128))
    record = pack(1.0, raw * frames_in_a_record, conn=1, direction=TO_SERVER)
    history = History()
    for n in range(count // frames_in_a_record):
        history.feed(record)
        if n % 5000 == 0:
            len(history)  # an index that grows while it is read
    assert len(history) == count
    return history, raw


def size(history: History) -> int:
    record = history._record
    return sum(map(sys.getsizeof, [*record.segments, record.segments, record.heads, record.starts, record.sizes]))


@pytest.mark.parametrize("frames_in_a_record", [1, 10])
def test_a_frame_costs_at_most_64_bytes_and_its_own(frames_in_a_record: int) -> None:
    costs = []
    for count in (10_000, 200_000):
        history, raw = fill(count, frames_in_a_record)
        costs.append(size(history) / count - len(raw))
    assert max(costs) <= 64
    assert costs[1] <= costs[0] + 1


def test_nothing_else_is_kept() -> None:
    tracemalloc.start()
    history, _ = fill(10_000, 1)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < size(history) + 20_000
