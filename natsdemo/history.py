"""The ordered record of what passed and what was done.

The rules of this module:

- Append-only while it runs, a plain sequence of `Event`s afterwards. Filters and slices are views of one record.
- One writer (the Tap) puts everything in one order, on one monotonic clock. Two connections have no other common order.
- Recording keeps bytes and times. Frames are found, and their fields decoded, when somebody looks.
- What does not fit any more is counted (`unrecorded`), never silently dropped. From the first that did not fit on,
  nothing is kept: a record with a hole in its middle would mislead.
- Writers never know readers: live views `observe`, pictures and verdicts read.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import math
import struct
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

from . import messages
from .protocol import TO_CLIENT, TO_SERVER, Frame, Scanner, decode

__all__ = ["FATES", "Burst", "Event", "History", "pack"]

# What became of a frame. `forwarded` is the rule; a frame that is `reordered` or `delayed` was held for a while; a
# `duplicated` one is the copy; a `dropped` one arrived and never left; `cut` arrived, and its connection was broken.
# The beginning of a frame whose end never came is `cut` too, and OPAQUE.
FATES = ("forwarded", "dropped", "delayed", "duplicated", "reordered", "cut")
KINDS = ("frame", "fault", "server", "client", "note")

OPAQUE = "OPAQUE"  # the operation of bytes that are not plain NATS

T = TypeVar("T")

_HEADER = struct.Struct("<dfIBBI")  # time, held, connection, direction, fate, size of what follows
_DIRECTIONS = (TO_SERVER, TO_CLIENT, "")
_SAID_BY_CLIENT, _NO_FRAME = 0, 2
_OPAQUE_BIT = 0x80  # in the direction's byte; only below _NO_FRAME are there frames to find
_CODE_AT = 16  # the direction's byte in the header
_SEGMENT = 1 << 20


class Event(NamedTuple):
    """One thing that happened: a frame passed, a fault was armed, a server killed, a client came, a note was taken.

    `number` is its place in the whole History. `time` is in seconds since the History began, to the microsecond: when a
    frame left the Tap, or would have; `held` is for how many seconds the Tap had kept it. `client` is the name given in
    CONNECT (else c1, c2, … by arrival), `node` the server's name, `conn` counts connections from 1 (0: none).
    `direction` is `to_server` or `to_client`. `fate` is one of `FATES`, and `text` says what happened where there is no
    frame.
    """

    number: int
    time: float
    kind: str
    client: str = ""
    node: str = ""
    conn: int = 0
    direction: str = ""
    frame: Frame | None = None
    fate: str = ""
    held: float = 0.0
    text: str = ""

    @property
    def arrived(self) -> float:
        """When the frame reached the Tap, in seconds since the History began."""
        return self.time - self.held

    @property
    def op(self) -> str:
        """The frame's operation, "" where there is no frame."""
        return self.frame.op if self.frame else ""

    @property
    def subject(self) -> str:
        """The frame's subject, "" where there is none."""
        return self.frame.subject if self.frame else ""

    def __repr__(self) -> str:
        who = _plain(self.client or self.node, 40)
        if self.frame is None:
            return (
                f"{self.time:9.4f}  {_plain(self.kind, 6):6}  {' '.join(filter(None, (who, _plain(self.text, 200))))}"
            )
        arrow = "→" if self.direction == TO_SERVER else "←"
        frame = f"<{OPAQUE} {len(self.frame.raw)} bytes>" if self.op == OPAQUE else repr(self.frame)
        fate = "" if self.fate == "forwarded" else self.fate
        held = f"held {self.held:.3f} s" if self.held else ""
        mark = f"  [{', '.join(filter(None, (fate, held)))}]" if fate or held else ""
        return f"{self.time:9.4f}  {who:>8} {arrow} {frame}{mark}"


class Burst(NamedTuple):
    """Frames that passed together, in one read of one connection: the event of the first, and the bytes of all.

    They have all in common but their number and their frame. What is no frame is a burst by itself, without bytes.
    """

    first: Event
    data: bytes


def pack(
    time: float, data: bytes, *, conn: int = 0, direction: str = "", fate: str = "forwarded", held: float = 0.0,
    opaque: bool = False,
) -> bytes:  # fmt: skip
    """Return the record of `data` in the form that `History.feed` takes.

    `data` is one or more whole frames that passed at `time` (monotonic seconds) in one direction of one connection, or,
    without a direction, the JSON of another kind of event.
    """
    code = _DIRECTIONS.index(direction) | (_OPAQUE_BIT if opaque else 0)
    return _HEADER.pack(time, held, conn, code, FATES.index(fate), len(data)) + data


class _Record:
    """The bytes that all views of one History share, and the index of their events."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept = 0
        self.full = False
        self.unrecorded = 0
        self.began: float | None = None
        self.segments: list[bytes | bytearray] = [bytearray()]
        self.heads = array("Q")  # for each event: where its record's header is (segment and offset),
        self.starts = array("I")  # where its own bytes are, from the header on,
        self.sizes = array("I")  # and how many they are
        self.names: dict[int, str] = {}
        self.nodes: dict[int, str] = {}
        self._next = (0, 0)  # the segment and offset from which nothing is indexed yet
        self._scanners = [_scanner(TO_SERVER), _scanner(TO_CLIENT)]

    def feed(self, data: bytes) -> None:
        if self.full or self.kept + len(data) > self.limit:
            data = self._fitting(data)
        tail = self.segments[-1]
        assert isinstance(tail, bytearray)
        tail += data
        self.kept += len(data)
        if len(tail) >= _SEGMENT:
            self.segments[-1] = bytes(tail)
            self.segments.append(bytearray())

    def leave_out(self, count: int) -> None:
        self.unrecorded += count
        self.full = True

    def _fitting(self, data: bytes) -> bytes:
        """Return the records for which there is room, and count the events in the others."""
        end = 0
        for start, size in _records(data):
            self.full = self.full or self.kept + start + size > self.limit
            if self.full:
                break
            end = start + size
        if left_out := count_events(data[end:]):
            self.leave_out(left_out)
        return data[:end]

    def index(self) -> None:
        """Find the events in the bytes that came since the last look."""
        number, offset = self._next
        while True:
            segment = self.segments[number]
            end = len(segment)
            while offset < end:
                offset = self._index_one(number, segment, offset)
            if number + 1 == len(self.segments):
                break
            if len(self.segments[number]) == end:  # not grown meanwhile
                number, offset = number + 1, 0
        self._next = (number, offset)

    def _index_one(self, number: int, segment: bytes | bytearray, offset: int) -> int:
        time, _, conn, code, _, size = _HEADER.unpack_from(segment, offset)
        if self.began is None:
            self.began = time
        start = offset + _HEADER.size
        data = bytes(segment[start : start + size])
        at = _HEADER.size
        for raw, count in self._scanners[code].runs(data) if code < _NO_FRAME else [(data, 1)]:
            each, end = len(raw), at + len(raw) * count
            self.heads.extend(array("Q", [number << 32 | offset]) * count)
            self.starts.extend(range(at, end, each) if each else [at])
            self.sizes.extend(array("I", [each]) * count)
            at = end
            if code == _SAID_BY_CLIENT and raw[:7].upper() == b"CONNECT" and (name := read_name(raw)):
                self.names[conn] = name
        if code == _NO_FRAME and conn:
            said = json.loads(data)
            self.nodes.setdefault(conn, said.get("node", ""))
            if name := said.get("client"):
                self.names.setdefault(conn, name)
        return start + int(size)

    def event(self, number: int) -> Event:
        head = self.heads[number]
        segment, offset = self.segments[head >> 32], head & 0xFFFFFFFF
        time, held, conn, code, fate, _ = _HEADER.unpack_from(segment, offset)
        start = offset + self.starts[number]
        raw = bytes(segment[start : start + self.sizes[number]])
        time = round(time - self.began, 6)
        client = self.names.get(conn) or (f"c{conn}" if conn else "")
        node = self.nodes.get(conn, "")
        if code == _NO_FRAME:
            said = json.loads(raw)
            client, node = said.get("client") or client, said.get("node") or node
            return Event(number, time, said["kind"], client, node, conn, text=said["text"])
        direction = _DIRECTIONS[code & ~_OPAQUE_BIT]
        frame = Frame(OPAQUE, raw=raw) if code & _OPAQUE_BIT else decode(raw)
        return Event(number, time, "frame", client, node, conn, direction, frame, FATES[fate], round(held, 6))

    def burst(self, rows: Sequence[int]) -> Burst:
        """Events of one record: the first, and the bytes of all."""
        first = self.event(rows[0])
        if first.frame is None:
            return Burst(first, b"")
        head, last = self.heads[rows[0]], rows[-1]
        segment, offset = self.segments[head >> 32], head & 0xFFFFFFFF
        if last - rows[0] == len(rows) - 1:
            return Burst(
                first, bytes(segment[offset + self.starts[rows[0]] : offset + self.starts[last] + self.sizes[last]])
            )
        frames = ((offset + self.starts[row], self.sizes[row]) for row in rows)
        return Burst(first, b"".join(segment[start : start + size] for start, size in frames))

    def client(self, number: int) -> str:
        """The client of an event, found without decoding its frame."""
        head = self.heads[number]
        _, _, conn, code, _, _ = _HEADER.unpack_from(self.segments[head >> 32], head & 0xFFFFFFFF)
        if code == _NO_FRAME:
            return self.event(number).client
        return self.names.get(conn) or f"c{conn}"


class History(Sequence[Event]):
    """A sequence of `Event`s in the order in which the Tap saw them.

    Slices and `where` give a History again, a view of the same record. `limit` is how many bytes are kept at most, by
    default 512 MiB: more than a million messages of 128 bytes, each seen twice. A frame costs its own bytes and about
    40 more.
    """

    def __init__(self, limit: int = 1 << 29) -> None:
        self._record = _Record(limit)
        self._rows: Sequence[int] | None = None  # None: all
        self.sync: Callable[[], None] = lambda: None  # before each look; a Tap brings what it still has
        self.settled = True  # while a Tap still fills it, it is not
        self._observers: list[Callable[[], None]] = []

    # Writing

    def feed(self, data: bytes) -> None:
        """Append records, as `pack` makes them. For the Tap; safe from another thread, one at a time."""
        self._record.feed(data)
        for wake in tuple(self._observers):
            wake()

    def leave_out(self, count: int) -> None:
        """Count events that could not be kept; none is kept from here on. For the Tap."""
        self._record.leave_out(count)

    def add(self, time: float, kind: str, text: str, *, conn: int = 0, **where: str) -> None:
        """Append an event that is no frame: its `kind`, its text and, where it belongs to one, `client` or `node`."""
        self.feed(pack(time, json.dumps({"kind": kind, "text": text, **where}).encode(), conn=conn))

    # Reading

    def __len__(self) -> int:
        return len(self._all()) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> Event | History:
        rows = self._all() if self._rows is None else self._rows
        if isinstance(index, slice):
            return self._view(rows[index])
        return self._record.event(rows[index])

    def __iter__(self) -> Iterator[Event]:
        for row in self._all() if self._rows is None else self._rows:
            yield self._record.event(row)

    def bursts(self) -> Iterator[Burst]:
        """Iterate over what passed together: several times as fast as one by one, since no frame is decoded."""
        rows, heads = self._all() if self._rows is None else self._rows, self._record.heads
        begin = 0
        while begin < len(rows):
            head = heads[rows[begin]]
            if isinstance(rows, range) and rows.step == 1:
                end = bisect_right(heads, head, rows[begin], rows.stop) - rows.start
            else:
                end = next((at for at in range(begin, len(rows)) if heads[rows[at]] != head), len(rows))
            yield self._record.burst(rows[begin:end])
            begin = end

    def where(
        self, *, kind: str | None = None, op: str | None = None, subject: str | None = None, client: str | None = None,
        direction: str | None = None, node: str | None = None, fate: str | None = None,
    ) -> History:  # fmt: skip
        """Return the events that match all that is given; `subject` may hold wildcards, `op` is as on the wire.

        `op="PUB"` finds HPUB too and `op="MSG"` HMSG: with headers or without, it is the same operation.
        """
        wanted = {"kind": kind, "client": client, "direction": direction, "node": node, "fate": fate}
        exact = [(name, value) for name, value in wanted.items() if value is not None]
        ops = {op, {"PUB": "HPUB", "MSG": "HMSG"}.get(op or "")}
        rows = array("Q")
        for event in self:
            if any(getattr(event, name) != value for name, value in exact):
                continue
            if op is not None and event.op not in ops:
                continue
            if subject is not None and not messages.matches(subject, event.subject):
                continue
            rows.append(event.number)
        return self._view(rows)

    @property
    def publishes(self) -> History:
        """The messages that clients published: PUB and HPUB, as they arrived."""
        return self.where(op="PUB", direction=TO_SERVER)

    @property
    def deliveries(self) -> History:
        """The messages on their way to clients: MSG and HMSG."""
        return self.where(op="MSG", direction=TO_CLIENT)

    @property
    def clients(self) -> list[str]:
        """The names of the clients, in the order of their arrival."""
        rows = self._all() if self._rows is None else self._rows
        return list(dict.fromkeys(filter(None, map(self._record.client, rows))))

    @property
    def duration(self) -> float:
        """Seconds from the first event to the last."""
        return self[-1].time - self[0].time if len(self) else 0.0

    @property
    def now(self) -> float:
        """Seconds since a History that grows began."""
        return 0.0 if self._record.began is None else time.monotonic() - self._record.began

    @property
    def unrecorded(self) -> int:
        """How many events (frames and others) did not fit into the limit: all that came after the first such."""
        return self._record.unrecorded

    def up_to_now(self, *, settled: bool) -> History:
        """Return the events up to now as a view that says whether the run had come to rest, which verdicts ask."""
        view = self[:]
        view.settled = settled
        return view

    def observe(self, observer: Callable[[History], object]) -> Callable[[], None]:
        """Have `observer(new)` called on this event loop with what came since the last call; returns how to stop it.

        Only a whole History can be observed, no view. `replay` feeds the same observers from one that is over.
        """
        if self._rows is not None:
            raise TypeError("A slice or a filtered History does not grow: observe the whole, and filter what comes.")
        loop = asyncio.get_running_loop()
        seen = len(self)
        due = False

        def deliver() -> None:
            nonlocal seen, due
            due = False
            self._record.index()  # what has come by itself will do: no need to hold up the loop
            new = range(seen, len(self._record.heads))
            seen = new.stop
            if new:
                observer(self._view(new))

        def wake() -> None:
            nonlocal due
            if not due:
                due = True
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(deliver)

        self._observers.append(wake)
        return lambda: self._observers.remove(wake) if wake in self._observers else None

    async def replay(self, observer: Callable[[History], object], speed: float = 1.0) -> None:
        """Feed an observer with these events at the pace at which they happened, or `speed` times as fast."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        seen = 0
        while seen < len(self):
            first = self[0].time
            await asyncio.sleep(max(0.0, (self[seen].time - first) / speed - (loop.time() - began)))
            end = seen + 1
            while end < len(self) and (self[end].time - first) / speed <= loop.time() - began:
                end += 1
            observer(self[seen:end])
            seen = end

    # Keeping

    def save(self, path: str | Path) -> None:
        """Write the events as JSON lines; the bytes of a frame as text, one character a byte (Latin-1).

        The first line has what is known of the whole: what is `unrecorded`, and each connection's client and node.
        """
        rows = self._all() if self._rows is None else self._rows
        record = self._record
        known = {conn: [record.names.get(conn, ""), record.nodes.get(conn, "")] for conn in record.names | record.nodes}
        with Path(path).open("w", encoding="ascii") as file:
            print(json.dumps({"natsdemo": 1, "unrecorded": self.unrecorded, "connections": known}), file=file)
            for row in rows:
                print(json.dumps(_to_json(record.event(row))), file=file)

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what `save` wrote. Raises `ValueError`, with the line's number, if it is something else."""
        history = cls()
        record = history._record
        record.began = 0.0
        number = 1
        try:
            with Path(path).open("rb") as file:
                first = json.loads(file.readline())
                if first["natsdemo"] != 1:
                    raise ValueError("of another version")
                record.unrecorded = _want(first["unrecorded"], int)
                for conn, (client, node) in first.get("connections", {}).items():
                    record.names[int(conn)], record.nodes[int(conn)] = _want(client, str), _want(node, str)
                for line in file:
                    number += 1
                    record.feed(_from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error, OverflowError) as error:
            said = repr(error) if len(repr(error)) < 200 else type(error).__name__
            raise ValueError(f"{path}, line {number}: not a saved History ({said}).") from None
        return history

    # Showing

    def __repr__(self) -> str:
        missing = f", {self.unrecorded} unrecorded" if self.unrecorded else ""
        return f"<History {len(self)} events, {len(self.clients)} clients, {self.duration:.3f} s{missing}>"

    def __str__(self) -> str:
        shown = 50
        lines = [repr(event) for event in self[:shown]]
        if len(self) > shown:
            lines.append(f"… and {len(self) - shown} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def _all(self) -> range:
        self.sync()
        self._record.index()
        return range(len(self._record.heads))

    def _view(self, rows: Sequence[int]) -> History:
        view = History.__new__(History)
        view._record, view._rows, view.sync, view._observers = self._record, rows, self.sync, []
        view.settled = self.settled
        return view


def read_name(connect: bytes) -> str:
    """Return the client's name in a CONNECT frame, or "" if it gives none."""
    try:
        name = json.loads(decode(connect).payload)["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def count_events(data: bytes) -> int:
    """How many events there are in records, as `pack` makes them."""
    count = 0
    for start, size in _records(data):
        code = data[start + _CODE_AT]
        count += len(_split(data[start + _HEADER.size : start + size], code))
    return count


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """The place and the size of each record."""
    start = 0
    while start < len(data):
        size = _HEADER.size + int(_HEADER.unpack_from(data, start)[5])
        yield start, size
        start += size


def _split(data: bytes, code: int) -> list[bytes]:
    """Cut a record's bytes into its events: the Tap has recorded whole frames."""
    return _scanner(_DIRECTIONS[code]).feed(data) if code < _NO_FRAME else [data]


def _scanner(direction: str) -> Scanner:
    scanner = Scanner(direction)
    scanner.max_line = scanner.max_payload = 1 << 32
    return scanner


def _plain(text: str, width: int) -> str:
    """Text in one line, with what cannot be printed made visible, cut to a width."""
    text = text if len(text) <= width else f"{text[: width - 1]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _to_json(event: Event) -> dict[str, Any]:
    said: dict[str, Any] = {"time": event.time, "kind": event.kind}
    if event.conn:
        said["conn"] = event.conn
    if event.frame is None:
        where = {key: value for key in ("client", "node") if (value := getattr(event, key))}
        return {**said, **where, "text": event.text}
    said |= {"direction": event.direction, "raw": event.frame.raw.decode("latin-1")}
    if event.frame.op == OPAQUE:
        said["opaque"] = True
    if event.fate != "forwarded":
        said["fate"] = event.fate
    if event.held:
        said["held"] = event.held
    return said


def _from_json(said: dict[str, Any]) -> bytes:
    time, conn = _number(said["time"]), _want(said.get("conn", 0), int)
    if said["kind"] != "frame":
        what = {key: _want(said[key], str) for key in ("kind", "text", "client", "node") if key in said}
        if what["kind"] not in KINDS or "text" not in what:
            raise ValueError("no such event")
        return pack(time, json.dumps(what).encode(), conn=conn)
    raw, opaque = said["raw"].encode("latin-1"), _want(said.get("opaque", False), bool)
    direction, fate, held = said["direction"], said.get("fate", "forwarded"), _number(said.get("held", 0))
    record = pack(time, raw, conn=conn, direction=direction, fate=fate, held=held, opaque=opaque)
    if not direction or not (opaque or _split(raw, _DIRECTIONS.index(direction)) == [raw]):
        raise ValueError("not one whole frame")
    return record


def _want(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
