"""One direction of one connection, without I/O: bytes in; out come the bytes to send now and the record of them.

        source --> take(data, now) --> [ frames that wait ] --> bytes, records

While no fault is about, bytes go straight through, parts of frames too. The scanner follows all the while, so that a
fault can be armed at any moment and hits from the next whole frame on. Whatever comes in is recorded exactly once, as
whole frames; a copy is recorded besides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..faults import Armed
from ..history import pack
from ..protocol import ProtocolError, Scanner, decode


class Hit(NamedTuple):
    """A frame that a fault has hit; told as an event."""

    fault: Armed
    raw: bytes


class Passed(NamedTuple):
    """What comes of a step: the bytes to send now, the records of what happened, and which frames were hit."""

    data: bytes = b""
    records: bytes = b""
    hits: Sequence[Hit] = ()


@dataclass(frozen=True)
class _Waiting:
    raw: bytes
    arrived: float
    due: float
    fate: str = "forwarded"
    skip: int = 0  # so many of its bytes were sent before a fault was armed
    opaque: bool = False
    leaves: bool = True


def _lost(frame: _Waiting, fate: str) -> _Waiting:
    return replace(frame, fate=fate, leaves=False)


class Link:
    """One direction of the connection `conn`.

    `opaque` once its bytes have turned out not to be plain NATS (TLS, garbage): then they pass, uncut. The beginning of
    a frame whose end never came is recorded as opaque too, and as `cut`.
    """

    def __init__(self, conn: int, direction: str, *, opaque: bool = False) -> None:
        self.conn = conn
        self.direction = direction
        self.opaque = opaque
        self._scanner = self._new_scanner()
        self._sent = 0  # bytes of the frame that is not whole yet which have been sent already
        self._queue: deque[_Waiting] = deque()
        self._queued = 0  # bytes in it, and in the swaps
        self._swaps: dict[tuple[str, str], tuple[_Waiting, Armed]] = {}  # wait to change places with the next one
        self._stalled = False
        self._rate = 0.0  # bytes per second, 0 for no limit
        self._free_at = 0.0  # when the last byte that the rate allowed has passed

    @property
    def waiting(self) -> int:
        """How many bytes are kept though they could be sent; the source is to be held up when there are many."""
        # The beginning of a frame does not count while only its end can set it free.
        return self._queued + (self._scanner.pending - self._sent if self._stalled else 0)

    @property
    def straight(self) -> bool:
        """Whether bytes would go straight through now, if no frame fault is about."""
        return not (self._holds() or self._scanner.pending > self._sent)

    def shape(self, now: float, *, stalled: bool, rate: float) -> None:
        """From now on have nothing leave (`stalled`), or no more than `rate` bytes per second (0: no limit)."""
        if (stalled, rate) != (self._stalled, self._rate):
            self._stalled, self._rate, self._free_at = stalled, rate, now

    def take(self, data: bytes, now: float, faults: Sequence[Armed] = ()) -> Passed:
        """Take what the source sent at `now` (monotonic seconds), under the frame faults that concern this link.

        Without data, let go what is due. A frame that a `reset` hits is cut, with all that is behind it; breaking the
        connection is for the caller.
        """
        if self._holds() or faults:
            return self._take_slowly(data, now, faults)
        before, held = self._scanner.pending, self._held_back()
        frames, alien = self._cut(data)
        self._sent = self._scanner.pending
        whole = data if not (before or self._sent or alien) else b"".join(frames)
        records = pack(now, whole, conn=self.conn, direction=self.direction) if whole else b""
        if alien:
            records += pack(now, alien, conn=self.conn, direction=self.direction, opaque=True)
        return Passed(held + data, records)

    def next_due(self) -> float | None:
        """When to call `take` again even without data, None while nothing waits for a time."""
        if self._stalled:
            return None
        times = [swap.due for swap, _ in self._swaps.values()]
        if self._queue:
            times.append(self._leaves_at(self._queue[0]))
        return min(times, default=None)

    def finish(self, now: float) -> Passed:
        """The source will send no more: let go swaps and the beginning of a frame too, in their turn."""
        self._end(now)
        return self._release(now)

    def cut(self, now: float) -> bytes:
        """The connection was broken: return the records of all that waited and will never leave."""
        self._end(now)
        lost = [replace(frame, fate="cut") if frame.leaves else frame for frame in self._queue]
        self._queue.clear()
        self._queued = 0
        return b"".join(self._pack(frame, now) for frame in lost)

    def _holds(self) -> bool:
        return bool(self._queue or self._swaps or self._stalled or self._rate)

    def _held_back(self) -> bytes:
        """The part of the frame that is not whole yet which was kept while a fault was about."""
        return self._scanner.rest[self._sent :] if self._scanner.pending > self._sent else b""

    def _take_slowly(self, data: bytes, now: float, faults: Sequence[Armed]) -> Passed:
        skip = self._sent
        frames, alien = self._cut(data)
        if frames or alien:
            self._sent = 0
        hits: list[Hit] = []
        broken = False
        for raw in frames:
            frame = _Waiting(raw, now, now, skip=skip)
            if broken:
                self._append(_lost(frame, "cut"))
            elif skip:  # a fault would tear a frame of which a part has left
                self._append(frame)
            else:
                broken = self._decide(frame, faults, hits)
            skip = 0
        if alien:
            frame = _Waiting(alien, now, now, skip=skip, opaque=True)
            self._append(_lost(frame, "cut") if broken else frame)
        data, records, _ = self._release(now)
        if not (self._holds() or faults):
            data += self._held_back()
            self._sent = self._scanner.pending
        return Passed(data, records, hits)

    def _cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the whole frames that `data` completes, and what is no NATS any more."""
        frames: list[bytes] = []
        if not self.opaque:
            try:
                frames = self._scanner.feed(data)
            except ProtocolError:
                self.opaque = True
            if not (self.opaque or self._scanner.error):
                return frames, b""
            self.opaque, data = True, b""
        if self._scanner.pending:
            data = self._scanner.rest + data
            self._scanner = self._new_scanner()
        return frames, data

    def _new_scanner(self) -> Scanner:
        # What exceeds the server's limits is for the server to refuse, and it may have been given others.
        scanner = Scanner(self.direction)
        scanner.max_line, scanner.max_payload = 1 << 20, 1 << 31
        return scanner

    def _decide(self, frame: _Waiting, faults: Sequence[Armed], hits: list[Hit]) -> bool:
        """Queue a frame with the fate that the faults give it; True if its connection is to be broken."""
        decoded = decode(frame.raw)
        unit = decoded.op.removeprefix("H"), decoded.sid if decoded.op.endswith("MSG") else ""
        struck = [fault for fault in faults if fault.hit(decoded)]  # all count it, whatever comes of it
        for fault in struck:
            if fault.fault.kind in ("drop", "reset"):
                hits.append(Hit(fault, frame.raw))
                broken = fault.fault.kind == "reset"
                self._append(_lost(frame, "cut" if broken else "dropped"))
                return broken
        copies, swapped_by = 0, None
        for fault in struck:
            kind = fault.fault.kind
            if kind == "reorder" and (swapped_by or unit in self._swaps):
                continue  # it is the neighbour, and moves anyway
            hits.append(Hit(fault, frame.raw))
            match kind:
                case "delay":
                    frame = replace(frame, fate="delayed", due=max(frame.due, frame.arrived + fault.seconds()))
                case "duplicate":
                    copies += 1
                case "reorder":
                    swapped_by = fault
        if swapped_by:
            due = frame.arrived + swapped_by.seconds()
            self._swaps[unit] = replace(frame, fate="reordered", due=due), swapped_by
            self._queued += len(frame.raw)
        else:
            self._append(frame)
            if unit in self._swaps and self._swaps[unit][1].means(decoded):
                swap, _ = self._swaps.pop(unit)
                self._queue.append(replace(swap, due=frame.due))
        for _ in range(copies):
            self._append(replace(frame, fate="duplicated"))
        return False

    def _release(self, now: float) -> Passed:
        """Let go what is due."""
        for unit in [unit for unit, (swap, _) in self._swaps.items() if swap.due <= now]:
            self._queue.append(self._swaps.pop(unit)[0])
        sent, records = [], []
        while self._queue and not self._stalled and self._leaves_at(self._queue[0]) <= now:
            if self._rate:
                self._free_at = self._leaves_at(self._queue[0])
            frame = self._queue.popleft()
            records.append(self._pack(frame, now))
            self._queued -= len(frame.raw)
            if frame.leaves:
                sent.append(frame.raw[frame.skip :])
        return Passed(b"".join(sent), b"".join(records))

    def _leaves_at(self, frame: _Waiting) -> float:
        """When a frame at the head of the queue may leave: with its last byte, on a throttled link."""
        if not self._rate:
            return frame.due
        size = len(frame.raw) - frame.skip if frame.leaves else 0
        return max(frame.due, self._free_at) + size / self._rate

    def _end(self, now: float) -> None:
        """Nothing more will come that a frame could change places with, or that would complete one."""
        self._queue.extend(swap for swap, _ in self._swaps.values())
        self._swaps.clear()
        if rest := self._scanner.rest:
            self._append(_Waiting(rest, now, now, "cut", self._sent, opaque=True))
            self._scanner, self._sent = self._new_scanner(), 0

    def _append(self, frame: _Waiting) -> None:
        self._queue.append(frame)
        self._queued += len(frame.raw)

    def _pack(self, frame: _Waiting, now: float) -> bytes:
        return pack(
            now, frame.raw, conn=self.conn, direction=self.direction, fate=frame.fate, held=now - frame.arrived,
            opaque=frame.opaque,
        )  # fmt: skip
