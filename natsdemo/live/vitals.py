"""The vital signs of a server: a few numbers from its monitoring pages, and how late messages are, from a History."""

from __future__ import annotations

import asyncio
import math
import random
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from natsdemo.figures.reading import LOST
from natsdemo.history import Event, History

__all__ = ["Monitored", "vitals"]

_SAMPLE = 300  # events of the History that are looked at for messages, at each reading
_WAITING = 1_000  # sampled messages whose delivery is waited for
_REMEMBERED = 20_000  # what was sampled, so that it is noticed if it is published again
_WINDOW = 1.0  # seconds
_BEHIND = 3.0  # seconds; what passed longer ago, while nobody read, is not looked at any more


class Monitored(Protocol):
    """What has monitoring pages: a `Server`, or one that is composed."""

    async def monitor(self, path: str) -> dict[str, Any]:
        """Fetch a page."""


def vitals(server: Monitored | Mapping[str, Monitored], history: History) -> Callable[[], Awaitable[dict[str, float]]]:
    """Return an async function that reads the vital signs, for a `dashboard`.

    :param server: a lab's `server`: one, or a cluster, whose numbers are added up.
    :param history: a lab's `history`, from which latency is read; what passed before is not looked at.

    It reads `connections` and `slow consumers` (since the server began); `messages in, a second` and `messages out, a
    second`, over the last second or so, as the server counts them: with acks and JetStream's calls, and in a cluster
    once for each server that a message passes; and of all consumers together `lag, messages`, what is not delivered
    yet, and `not acked, messages`.

    `latency p50, ms` and `latency p99, ms` are of a sample of what was delivered in the last second, from when the
    publish reached the Tap to when its first delivery left it. At each reading at most 300 events, drawn by lot from
    those that passed since the last one, are looked at for publishes; of these the deliveries are waited for. A message
    is known by its first header (our stamp, `Nats-Msg-Id`), else by its payload, if nobody else publishes the same. Of
    fewer than a hundred the p99 is the slowest. What is never delivered is not in it; without a sample both are NaN.
    """
    servers = list(server.values()) if isinstance(server, Mapping) else [server]
    lateness = _Lateness(history)
    counted: deque[tuple[float, int, int]] = deque()  # when, and how many messages in and out

    async def read() -> dict[str, float]:
        pages = await asyncio.gather(*(each.monitor(path) for each in servers for path in _PAGES))
        varz, jsz = pages[::2], pages[1::2]
        now = time.monotonic()
        counts = _sum(varz, "in_msgs"), _sum(varz, "out_msgs")
        if counted and counts < counted[-1][1:]:  # it was started again, and counts from the beginning
            counted.clear()
        counted.append((now, *counts))
        while len(counted) > 2 and now - counted[1][0] >= _WINDOW:
            counted.popleft()
        (then, *before), (_, *after) = counted[0], counted[-1]
        in_, out = ((b - a) / (now - then) if now > then else 0.0 for a, b in zip(before, after, strict=True))
        consumers = [each for v, j in zip(varz, jsz, strict=True) for each in _consumers(j, v.get("server_name"))]
        p50, p99 = lateness.percentiles()
        return {
            "connections": _sum(varz, "connections"),
            "slow consumers": _sum(varz, "slow_consumers"),
            "messages in, a second": in_,
            "messages out, a second": out,
            "lag, messages": _sum(consumers, "num_pending"),
            "not acked, messages": _sum(consumers, "num_ack_pending"),
            "latency p50, ms": p50 * 1e3,
            "latency p99, ms": p99 * 1e3,
        }

    return read


_PAGES = "varz", "jsz?consumers=true"


def _sum(rows: list[dict[str, Any]], name: str) -> int:
    return sum(row.get(name, 0) for row in rows)


def _consumers(jsz: dict[str, Any], server: str | None) -> list[dict[str, Any]]:
    """The consumers on a page; of those that have replicas, the ones that this server leads."""
    streams = (s for account in jsz.get("account_details", []) for s in account.get("stream_detail", []))
    consumers = (consumer for stream in streams for consumer in stream.get("consumer_detail") or [])
    return [each for each in consumers if each.get("cluster", {}).get("leader", server) == server]


class _Lateness:
    """A sample of messages, and how long each was on its way."""

    def __init__(self, history: History) -> None:
        self._history, self._seen = history, len(history)
        self._lot = random.Random(1)
        self._waiting: dict[bytes, float] = {}  # by what the message is known: when it was published
        self._known: dict[bytes, None] = {}
        self._took: deque[tuple[float, float]] = deque()  # when delivered, and after how many seconds

    def percentiles(self) -> tuple[float, float]:
        """The median and the 99th percentile of the last second, in seconds, by nearest rank."""
        self._catch_up()
        while self._took and self._took[0][0] < self._history.now - _WINDOW:
            self._took.popleft()
        ordered = sorted(seconds for _, seconds in self._took)
        if not ordered:
            return math.nan, math.nan
        return ordered[(len(ordered) - 1) // 2], ordered[math.ceil(len(ordered) * 0.99) - 1]

    def _catch_up(self) -> None:
        new = self._history[self._seen :]
        self._seen += len(new)
        if skipped := bisect_left(new, self._history.now - _BEHIND, key=lambda event: event.time):
            new = new[skipped:]
            self._waiting.clear()  # they may have been delivered, or published again
        fresh = self._sample(new)
        times, wanted = dict.fromkeys(fresh, 0), fresh.keys() | self._waiting.keys()
        arrived: list[tuple[float, bytes]] = []
        for event, data in new.bursts():
            # Lines are found, and looked up, as fast as bytes can be read: no frame is decoded.
            lines = data.split(b"\r\n") if wanted else []
            found = wanted.intersection(lines)
            if event.direction == "to_client" and event.fate not in LOST:
                arrived += [(event.time, line) for line in found]
            elif event.direction == "to_server":
                for line in found:
                    self._waiting.pop(line, None)  # published again: which of them will be delivered?
                    if line in times:
                        times[line] += lines.count(line)
        self._waiting |= {line: when for line, when in fresh.items() if times[line] == 1}
        for when, line in arrived:
            if (published := self._waiting.pop(line, None)) is not None:
                self._took.append((when, max(when - published, 0.0)))
        _forget(self._waiting, _WAITING)
        _forget(self._known, _REMEMBERED)

    def _sample(self, new: History) -> dict[bytes, float]:
        """Messages that were published, and known by something that was not published before."""
        fresh: dict[bytes, float] = {}
        for at in sorted(self._lot.sample(range(len(new)), min(_SAMPLE, len(new)))):
            event = new[at]
            line = _line(event)
            if line and line not in self._known:
                fresh[line] = event.arrived
                self._known[line] = None
        return fresh


def _line(event: Event) -> bytes:
    """The line on the wire by which a message is known, b"" if it is none, or has no such line."""
    frame = event.frame
    if frame is None or event.op not in ("PUB", "HPUB") or frame.subject.startswith(("$", "_INBOX.")):
        return b""
    lines = frame.raw.split(b"\r\n")
    return lines[2] if event.op == "HPUB" else max(lines[1:], key=len)


def _forget(kept: dict[bytes, Any], most: int) -> None:
    """Keep the newest."""
    for line in list(kept)[: max(len(kept) - most, 0)]:
        del kept[line]
