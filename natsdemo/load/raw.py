"""Clients without a client library: frames on a socket, encoded before the run. They show the server's speed.

There are two. The *bare* one is as little as a client can be: it sends one block of equal frames again and again, and
counts the bytes that come. It is the ceiling of this machine. The *raw* one sends messages that may all differ, keeps
what comes, and reads every frame of it when the run is over: reading then costs memory, not time.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from natsdemo.messages import STAMP, stamp
from natsdemo.protocol import TO_CLIENT, Frame, Scanner, encode

from .account import Arrival, Job

BLOCK = 1 << 16  # bytes that go to a socket at once
SID = "1"
AFTERTHOUGHT = 0.05  # seconds in which nothing more has come, and then nothing comes twice
_STAMPED = re.compile(rb"\r\n%b: (.+)-([0-9]+)\r\n" % STAMP.encode()).search  # a fifth of the time of `decode`
PING = b"PING\r\n"  # the server's first comes two seconds after CONNECT, in the midst of the messages


def connect(url: str, name: str) -> socket.socket:
    """Connect, and wait until the server has answered.

    Raises `ConnectionError` if it refuses.

    Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
    """
    parts = urlsplit(url)
    who = {"user": parts.username, "pass": parts.password} if parts.username else {}
    options = {"verbose": False, "pedantic": False, "headers": True, "name": name, **who}
    connection = socket.create_connection((parts.hostname, parts.port or 4222), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.recv(BLOCK)  # INFO
    ask(connection, b"CONNECT %b\r\n" % json.dumps(options).encode())
    return connection


def ask(connection: socket.socket, commands: bytes = b"") -> None:
    """Send commands and wait for the PONG behind them: the server has then dealt with them all."""
    connection.sendall(commands + PING)
    answer = b""
    while b"PONG\r\n" not in answer:
        more = connection.recv(BLOCK)
        answer += more
        if not more or b"-ERR" in answer:
            raise ConnectionError(f"the server said {answer.decode(errors='replace').strip() or 'nothing'}")


def encode_messages(subject: str, size: int, first: int, count: int, publisher: str = "") -> list[bytes]:
    """Encode `count` publishes of `size` bytes of payload, stamped as the publisher's `first`-th and so on.

    Without a publisher they bear no stamp, and all are equal.
    """
    made: list[bytes] = []
    for one, numbers in _alike(subject, size, first, count, publisher):
        if publisher:
            before, _, after = one.rpartition(b"-%d\r\n" % numbers[0])
            made += [b"%b-%d\r\n%b" % (before, n, after) for n in numbers]
        else:
            made += [one] * len(numbers)
    return made


def count_bytes(subject: str, size: int, first: int, count: int, publisher: str = "") -> int:
    """How many bytes the same messages are when they are delivered: each has a sid and a blank more."""
    alike = _alike(subject, size, first, count, publisher)
    return sum((len(one) + len(f"{SID} ")) * len(numbers) for one, numbers in alike)


def _alike(subject: str, size: int, first: int, count: int, publisher: str) -> Iterator[tuple[bytes, range]]:
    """Give the first of each group of messages that differ in nothing but their number's digits, and their numbers."""
    payload = b"x" * size
    while count:
        if publisher:
            step = min(count, 10 ** len(str(first)) - first)
            one = encode(Frame("HPUB", subject, headers=tuple(stamp(publisher, first).items()), payload=payload))
        else:
            step, one = count, encode(Frame("PUB", subject, payload=payload))
        yield one, range(first, first + step)
        first, count = first + step, count - step


class Publisher:
    """A raw publisher: sends what `prepare` encoded."""

    def __init__(self, url: str, subject: str, size: int, name: str, stamped: bool) -> None:
        self.url, self.subject, self.size, self.name, self.stamped = url, subject, size, name, stamped
        self._messages: list[bytes] = []
        self._blocks: list[bytes] = []

    async def connect(self) -> None:
        """Connect."""
        self._connection = connect(self.url, self.name)

    def prepare(self, job: Job) -> None:
        """Encode the messages of the next run."""
        publisher = self.name if self.stamped else ""
        self._messages = encode_messages(self.subject, self.size, job.first, job.each, publisher)
        step = max(BLOCK // len(self._messages[-1]), 1)
        self._blocks = [b"".join(self._messages[k : k + step]) for k in range(0, job.each, step)]

    async def publish(self, job: Job, start: float) -> None:
        """Send each message when it is due, flat out in blocks, and wait until the server has read the last."""
        time.sleep(max(start - time.monotonic(), 0))  # noqa: ASYNC251  nothing else runs in this process
        if job.rate:
            for n, message in enumerate(self._messages, job.first):
                time.sleep(max(start + job.due(self.name, n) - time.monotonic(), 0))  # noqa: ASYNC251
                self._connection.sendall(message)
        else:
            for block in self._blocks:
                self._connection.sendall(block)
        ask(self._connection)


class BarePublisher(Publisher):
    """Sends one block of equal messages as often as it takes."""

    def prepare(self, job: Job) -> None:
        """Encode one block."""
        one = encode_messages(self.subject, self.size, 1, 1)[0]
        step = max(BLOCK // len(one), 1)
        whole, rest = divmod(job.each, step)
        self._blocks = [one * step] * whole + [one * rest]


class Subscribers:
    """A number of raw subscribers in this process, each on a connection of its own."""

    keep = True

    def __init__(self, url: str, subject: str, size: int, name: str, stamped: bool, connections: int) -> None:
        self.url, self.subject, self.size, self.name, self.stamped = url, subject, size, name, stamped
        self.connections = connections
        self._selector = selectors.DefaultSelector()
        self._inboxes: list[_Inbox] = []

    async def connect(self) -> None:
        """Connect and subscribe."""
        for k in range(self.connections):
            connection = connect(self.url, f"{self.name}.{k + 1}")
            ask(connection, f"SUB {self.subject} {SID}\r\n".encode())
            connection.setblocking(False)
            self._inboxes.append(_Inbox(connection))
            self._selector.register(connection, selectors.EVENT_READ, self._inboxes[-1])

    def prepare(self, job: Job) -> None:
        """Make room for what the next run brings."""
        names = [f"publisher{k + 1}" if self.stamped else "" for k in range(job.publishers)]
        expected = sum(count_bytes(self.subject, self.size, job.first, job.each, name) for name in names)
        for inbox in self._inboxes:
            inbox.begin(expected, self.keep)

    async def receive(self, job: Job, patience: float) -> list[list[Arrival]]:
        """Read until everything is there, or nothing has come for `patience` seconds; return what came to each."""
        unfinished = len(self._inboxes)
        while ready := self._selector.select(patience if unfinished > 0 else AFTERTHOUGHT):
            unfinished -= sum(key.data.read() for key, _ in ready)
        return [self._read(inbox, job) for inbox in self._inboxes]

    def _read(self, inbox: _Inbox, job: Job) -> list[Arrival]:
        """Read every whole frame. A message came with the reading that brought its last byte."""
        found: list[Arrival] = []
        position, marks = 0, iter(inbox.marks)
        at, end = next(marks, (0.0, 0))
        for raw in Scanner(TO_CLIENT).feed(inbox.kept):
            position += len(raw)
            while end < position:
                at, end = next(marks)
            if raw != PING:
                stamped = _STAMPED(raw)
                publisher, n = (stamped[1].decode(), int(stamped[2])) if stamped else ("", job.first + len(found))
                found.append((publisher, n, at))
        return found


class BareSubscribers(Subscribers):
    """Counts bytes, and takes so many for a message. It looks at none of them."""

    keep = False

    def _read(self, inbox: _Inbox, job: Job) -> list[Arrival]:
        one = count_bytes(self.subject, self.size, 1, 1)
        return [("", job.first + k, inbox.marks[-1][0]) for k in range(inbox.got // one)]


class _Inbox:
    """One socket, what came on it, and when: `marks` are (seconds, bytes by then), one for each reading."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def begin(self, expected: int, keep: bool) -> None:
        """Expect so many bytes, and keep them or not."""
        self._expected, self._keep, self.got = expected, keep, 0
        self._bytes = bytearray((2 * expected if keep else 0) + 4 * BLOCK)  # so that everything may come twice
        self._room = memoryview(self._bytes)
        self.marks: list[tuple[float, int]] = []

    def read(self) -> bool:
        """Read what is there; return whether that completed the run."""
        before = self.got
        begin = before if self._keep else 0
        more = self._connection.recv_into(self._room[begin : begin + 4 * BLOCK])
        if not more:
            raise ConnectionError("the server has closed the connection, or sends far too much")
        self.got += more
        self.marks.append((time.monotonic(), self.got))
        if self._keep and before < self._expected <= self.got:
            self._expected += len(PING) * self._bytes.count(PING)  # nobody had reckoned with these
        return before < self._expected <= self.got

    @property
    def kept(self) -> bytes:
        """What came in this run."""
        return bytes(self._room[: self.got])
