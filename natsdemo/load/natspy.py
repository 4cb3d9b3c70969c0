"""Clients that use nats-py, as a program would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from natsdemo.messages import read_stamp, stamp

from .account import Arrival, Job
from .raw import AFTERTHOUGHT


async def _connect(url: str, name: str) -> Client:
    """Connect, or fail at once: by default nats-py goes on trying for two minutes. Who reconnects is not measured."""
    return await nats.connect(url, name=name, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0.1)


class Publisher:
    """A publisher with a connection of nats-py's."""

    def __init__(self, url: str, subject: str, size: int, name: str, stamped: bool) -> None:
        self.url, self.subject, self.name, self.stamped = url, subject, name, stamped
        self._payload = b"x" * size

    async def connect(self) -> None:
        """Connect."""
        self._nc = await _connect(self.url, self.name)

    def prepare(self, job: Job) -> None:
        """Nothing: what a program does for each message belongs to its cost."""

    async def publish(self, job: Job, start: float) -> None:
        """Publish each message when it is due, or all at once, and flush."""
        publish, subject, payload = self._nc.publish, self.subject, self._payload
        await asyncio.sleep(max(start - time.monotonic(), 0))
        for n in range(job.first, job.first + job.each):
            if job.rate and (wait := start + job.due(self.name, n) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            await publish(subject, payload, headers=stamp(self.name, n) if self.stamped else None)
        await self._nc.flush()


class Subscribers:
    """A number of subscribers in this process, each with a connection of its own."""

    def __init__(self, url: str, subject: str, name: str, connections: int, **_: object) -> None:
        self.url, self.subject, self.name = url, subject, name
        self._came: list[list[Arrival]] = [[] for _ in range(connections)]

    async def connect(self) -> None:
        """Connect and subscribe. No limit of the client's own: what it dropped would be held against the server."""
        for k, came in enumerate(self._came):
            nc = await _connect(self.url, f"{self.name}.{k + 1}")
            await nc.subscribe(self.subject, cb=_noting(came), pending_msgs_limit=-1, pending_bytes_limit=-1)
            await nc.flush()
            await nc.flush()  # the PING of nats-py's first may overtake the SUB

    def prepare(self, _: Job) -> None:
        """Forget the last run."""
        for came in self._came:
            came.clear()

    async def receive(self, job: Job, patience: float) -> list[list[Arrival]]:
        """Wait until everything is there, or nothing has come for `patience` seconds; return what came to each."""
        expected, so_far, deadline = job.publishers * job.each, 0, time.monotonic() + patience
        while (least := min(map(len, self._came))) < expected and time.monotonic() < deadline:
            if least > so_far:
                so_far, deadline = least, time.monotonic() + patience
            await asyncio.sleep(0.005)
        await asyncio.sleep(AFTERTHOUGHT)
        return [
            [(publisher, n or job.first + k, at) for k, (publisher, n, at) in enumerate(came)] for came in self._came
        ]


def _noting(came: list[Arrival]) -> Callable[[Msg], Awaitable[None]]:
    async def note(msg: Msg) -> None:
        publisher, n = read_stamp(msg.headers) or ("", 0)
        came.append((publisher, n, time.monotonic()))

    return note
