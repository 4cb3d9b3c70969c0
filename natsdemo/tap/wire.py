"""The process that stands on the wire: accepts clients, dials servers, moves bytes, and tells the Tap what passed.

It is a process of its own, so that nothing that the reader's kernel does (a blocking cell, a busy loop, a garbage
collection) holds up the world that they are looking at: a thread would wait for the busy loop's interpreter lock. Speed
decides nothing between the two. It is a plain loop over `selectors` since asyncio's machinery makes a request and its
reply slower. Prototypes of all four, by turns on two cores, nats-py, 128-byte messages, as parts of a direct
connection's throughput and round trip, on a calm machine and on a busy one:

        process and selectors   1.06  1.36      0.86  1.42
        process and asyncio     1.06  1.54      0.79  1.48
        thread and selectors    0.77  1.40      0.90  1.24
        thread and asyncio      0.77  1.52      0.80  1.31

It lives as long as its control socket. Orders come in as lines of JSON; out go blocks, a letter and a length before
each: `r` for records as `history.pack` makes them, `u` for how many events could not be kept, `a` for the answer to an
order.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import math
import os
import re
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from collections import deque
from functools import partial
from typing import Any

from .. import faults
from ..faults import Armed
from ..history import count_events, pack, read_name
from ..protocol import TO_CLIENT, TO_SERVER, decode
from .link import Link, Passed

BLOCK = struct.Struct("<cI")
CHUNK = 1 << 16
# So many bytes may wait in one direction before we stop reading: back-pressure is passed on.
MUCH = 1 << 18
# What has passed is recorded and handed over when there are so many bytes of it, or after so many seconds; then so many
# pieces at a time, so that nobody waits for it.
BATCH, SOON, A_FEW = 1 << 18, 0.05, 16
# For so many seconds after something passed we look again before we sleep. It took the round trip from 1.49 to 1.24.
LINGER = 0.0002
MANY = 1 << 12  # a piece of more bytes is recorded as soon as it is sent
# So many bytes may wait for an owner that takes none; what comes after is counted only.
TOO_MUCH = 1 << 28

# Where a client says its name, and where a server that dials another does: the name in a server's CONNECT is its id.
_CLIENT = re.compile(rb"^CONNECT\s[^\n]*\n", re.IGNORECASE | re.MULTILINE)
_SERVER = re.compile(rb'^INFO\s[^\n]*"server_name":"([^"\\]+)"[^\n]*\n', re.MULTILINE)
_REFUSED = "the server refused it"
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset

Address = tuple[int, tuple[Any, ...]]  # a family and what a socket of that family connects to


class Pipe:
    """One direction of a connection: where its bytes come from, where they go, and what could not go yet."""

    def __init__(self, connection: Connection, source: socket.socket, sink: socket.socket, link: Link) -> None:
        self.connection = connection
        self.source = source
        self.sink = sink
        self.link = link
        self.unsent = bytearray()
        self.ended = False  # the source will send no more
        self.shut = False  # and the sink knows
        self.timer: float | None = None  # when to look again


class Connection:
    """A client's connection to us and ours to its server. `client` is its name once CONNECT has told it."""

    def __init__(self, number: int, node: str, near: socket.socket, far: socket.socket, opaque: bool) -> None:
        self.number = number
        self.node = node
        self.client = f"c{number}"
        self.hello: bytes | None = b""  # what it has said until its name is known
        self.opaque = opaque
        self.dialling = True
        self.to_server = Pipe(self, near, far, Link(number, TO_SERVER, opaque=opaque))
        self.to_client = Pipe(self, far, near, Link(number, TO_CLIENT, opaque=opaque))
        self.pipes = (self.to_server, self.to_client)
        self.masks = {near: 0, far: 0}


class Wire:
    """All connections of one Tap.

    `nodes` maps each server's name to the socket that listens for it and to its address. `routes` says that the
    connections are between servers: their frames are not ours to cut.
    """

    def __init__(
        self, control: socket.socket, nodes: dict[str, tuple[socket.socket, Address]], seed: int, routes: bool
    ) -> None:
        self.control = control
        self.seed = seed
        self.routes = routes
        self.now = time.monotonic()  # of this step: records are made in its order, and so their times never go back
        self.armed: dict[int, Armed] = {}
        self.connections: dict[int, Connection] = {}
        self.count = 0
        self.timers: list[tuple[float, int, int]] = []
        self.passed: deque[tuple[Pipe, bytes, float]] = deque()  # sent on as it came, and not recorded yet
        self.records: list[bytes] = []
        self.size = 0  # bytes of both
        self.hand_over_at = math.inf
        self.orders = b""
        self.answers = bytearray()
        self.overflowed = False
        self.running = True
        self.selector = selectors.DefaultSelector()
        control.setblocking(False)
        self.selector.register(control, selectors.EVENT_READ, self._on_control)
        self.listeners = [listener for listener, _ in nodes.values()]
        for node, (listener, address) in nodes.items():
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, partial(self._accept, node, listener, address))

    def run(self) -> None:
        """Move bytes until the control socket is closed."""
        while self.running:
            for key, ready in self._ready():
                self.now = time.monotonic()
                key.data(ready)
            self.now = time.monotonic()
            while self.timers and self.timers[0][0] <= self.now:
                _, number, way = heapq.heappop(self.timers)
                if connection := self.connections.get(number):
                    self._step(connection.pipes[way])
            if self.size >= BATCH:
                self._hand_over()
            elif self.now >= self.hand_over_at:
                self._catch_up(A_FEW)
                if not self.passed:
                    self._hand_over()

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for what can be read or written, or for the next time that something is due.

        Where something passed a moment ago the answer is often on its way, and to be woken from sleep costs more than
        all that we do with it: so we look a few times more, letting others run, before we sleep.
        """
        soon = self.now + LINGER
        while not (ready := self.selector.select(0)) and time.monotonic() < soon:
            os.sched_yield()
        if ready:
            return ready
        due = min(self.hand_over_at, self.timers[0][0] if self.timers else math.inf)
        return self.selector.select(None if due == math.inf else max(0.0, due - time.monotonic()))

    # Connections

    def _accept(self, node: str, listener: socket.socket, address: Address, _: int) -> None:
        family, target = address
        try:
            near = listener.accept()[0]
        except OSError:
            return
        try:
            far = socket.socket(family)
        except OSError:  # no file descriptors are left
            near.close()
            return
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.count += 1
        connection = self.connections[self.count] = Connection(self.count, node, near, far, self.routes)
        self._tell("client", "connected", connection)
        if far.connect_ex(target) not in (0, errno.EINPROGRESS):  # else, what comes of it shows when it can be written
            self._break(connection, _REFUSED)
            return
        self._watch(connection)
        self._apply(connection)

    def _watch(self, connection: Connection) -> None:
        """Read where there is room for more; write where something waits."""
        for pipe, back in (connection.pipes, connection.pipes[::-1]):
            sock, mask = pipe.source, 0
            if not pipe.ended and pipe.link.waiting + len(pipe.unsent) < MUCH:
                mask = selectors.EVENT_READ
            if back.unsent or (connection.dialling and pipe is connection.to_client):
                mask |= selectors.EVENT_WRITE
            before, connection.masks[sock] = connection.masks[sock], mask
            if mask == before:
                continue
            if not mask:
                self.selector.unregister(sock)
            elif before:
                self.selector.modify(sock, mask, partial(self._on_socket, pipe, back))
            else:
                self.selector.register(sock, mask, partial(self._on_socket, pipe, back))

    def _on_socket(self, pipe: Pipe, back: Pipe, ready: int) -> None:
        """A socket can be read, as the source of one pipe, or be written, as the sink of the other."""
        connection = pipe.connection
        if ready & selectors.EVENT_WRITE and connection.number in self.connections:
            if connection.dialling and pipe is connection.to_client:
                if pipe.source.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._break(connection, _REFUSED)
                    return
                connection.dialling = False
            self._flush(back)
        if ready & selectors.EVENT_READ and connection.number in self.connections:
            self._read(pipe)

    def _read(self, pipe: Pipe) -> None:
        connection = pipe.connection
        try:
            data = pipe.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._break(connection, _reset_by(pipe is connection.to_server))
            return
        if not data:
            self._catch_up()
            pipe.ended = True
            self._carry_out(pipe, pipe.link.finish(self.now))
            if connection.number in self.connections:
                self._watch(connection)
        elif connection.hello is not None and pipe is connection.to_server and self._learn_name(connection, data):
            # What it says with its name is kept until the faults that mean this name are felt: it may be parted.
            pipe.link.shape(self.now, stalled=True, rate=0)
            self._step(pipe, data)
            if connection.number in self.connections:
                self._apply(connection)
        elif self.armed or not pipe.link.straight:
            self._step(pipe, data)
        else:
            self._pass(pipe, data)

    def _pass(self, pipe: Pipe, data: bytes) -> None:
        """No fault is about: send it on, and record it later.

        The scheduler likes to wake the receiver on our own core, where it waits until we sleep; and to record many
        pieces at once takes a fraction of the time. On a busy machine a round trip went from 1.65 to 1.37 of direct.
        """
        self._expect_hand_over()
        self.passed.append((pipe, data, self.now))
        self.size += len(data)
        if not self._send(pipe, data):
            self._break(pipe.connection, _reset_by(pipe is pipe.connection.to_client))
        elif pipe.unsent:
            self._watch(pipe.connection)
        if len(data) > MANY:  # nobody waits for an answer to a flood, and its sum would take long
            self._catch_up()

    def _catch_up(self, most: int | None = None) -> None:
        """Record what was sent on, in its order and with its times. Comes before anything else is recorded."""
        now = self.now
        for _ in range(min(most or len(self.passed), len(self.passed))):
            pipe, data, self.now = self.passed.popleft()
            self.size -= len(data)
            self._record(pipe.link.take(data, self.now).records)
            self._check_opaque(pipe)
        self.now = now

    def _step(self, pipe: Pipe, data: bytes = b"") -> None:
        """Have the link decide."""
        self._catch_up()
        self._carry_out(pipe, pipe.link.take(data, self.now, self._frame_faults(pipe) if self.armed else ()))

    def _carry_out(self, pipe: Pipe, passed: Passed) -> None:
        """Send what is to be sent, record what passed, and see to what follows from it."""
        connection, link = pipe.connection, pipe.link
        there = self._send(pipe, passed.data) if passed.data else True
        self._record(passed.records)
        if not there:
            self._break(connection, _reset_by(pipe is connection.to_client))
            return
        for hit in passed.hits:
            frame = decode(hit.raw)
            self._tell("fault", f"hit: {hit.fault.fault}: {frame.op} {frame.subject}"[:200], connection)
        if any(hit.fault.fault.kind == "reset" for hit in passed.hits):
            self._break(connection, "reset by a fault")
            return
        self._check_opaque(pipe)
        if pipe.unsent or link.waiting or connection.masks[pipe.source] != selectors.EVENT_READ:
            self._watch(connection)
        if (due := link.next_due()) is not None and due != pipe.timer:
            pipe.timer = due
            heapq.heappush(self.timers, (due, connection.number, connection.pipes.index(pipe)))
        self._shut_if_done(pipe)

    def _send(self, pipe: Pipe, data: bytes) -> bool:
        """Send, or keep what cannot be sent yet; False if there is nobody any more to send it to."""
        if pipe.unsent or (pipe.connection.dialling and pipe is pipe.connection.to_server):
            pipe.unsent += data
            return True
        try:
            sent = pipe.sink.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        if sent < len(data):
            pipe.unsent += data[sent:]
        return True

    def _check_opaque(self, pipe: Pipe) -> None:
        connection = pipe.connection
        if pipe.link.opaque and not connection.opaque:
            connection.opaque = connection.to_server.link.opaque = connection.to_client.link.opaque = True
            self._say("client", "opaque: not plain NATS from here on, and no fault on frames reaches it", connection)

    def _flush(self, pipe: Pipe) -> None:
        """Write what waits for the sink to take it."""
        try:
            del pipe.unsent[: pipe.sink.send(pipe.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._break(pipe.connection, _reset_by(pipe is pipe.connection.to_client))
            return
        self._shut_if_done(pipe)
        if pipe.connection.number in self.connections:
            self._watch(pipe.connection)

    def _shut_if_done(self, pipe: Pipe) -> None:
        """Pass on the end of a stream once all before it has left; with both directions ended, close."""
        connection = pipe.connection
        if not pipe.ended or pipe.shut or pipe.unsent or pipe.link.waiting:
            return
        pipe.shut = True
        with contextlib.suppress(OSError):
            pipe.sink.shutdown(socket.SHUT_WR)
        if all(each.shut for each in connection.pipes):
            self._close(connection, "disconnected")

    def _break(self, connection: Connection, why: str, *, abort: bool = True) -> None:
        """Break both halves, as a rule with a reset; what the links kept is lost, and recorded as such."""
        self._catch_up()
        for pipe in connection.pipes:
            self._record(pipe.link.cut(self.now))
            if abort:
                with contextlib.suppress(OSError):
                    pipe.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._close(connection, f"disconnected: {why}")

    def _close(self, connection: Connection, text: str) -> None:
        del self.connections[connection.number]
        for sock, mask in connection.masks.items():
            if mask:
                self.selector.unregister(sock)
            sock.close()
        self._tell("client", text, connection)

    def _learn_name(self, connection: Connection, data: bytes) -> bool:
        """Look for the name in all that the connection has said so far; whether it is known now."""
        assert connection.hello is not None
        hello = connection.hello + data
        connection.hello = hello if len(hello) < CHUNK else None
        if found := (_SERVER if self.routes else _CLIENT).search(hello):
            connection.hello = None
            if self.routes:
                connection.client = found[1].decode()
                self._tell("client", f"this is a route from {connection.client} to {connection.node}", connection)
            else:
                connection.client = read_name(found[0]) or connection.client
        return found is not None

    # Faults

    def _frame_faults(self, pipe: Pipe) -> list[Armed]:
        if pipe.link.opaque:
            return []
        connection, direction = pipe.connection, pipe.link.direction
        return [
            armed
            for armed in self.armed.values()
            if armed.fault.op and armed.concerns(connection.client, connection.node, direction)
        ]

    def _apply(self, connection: Connection) -> None:
        """Have a connection feel the faults that mean it as a whole."""
        whole = [armed for armed in self.armed.values() if not armed.fault.op]
        felt = [armed.fault for armed in whole if armed.concerns(connection.client, connection.node)]
        if any(fault.kind == "partition" for fault in felt):
            self._break(connection, "parted")
            return
        for pipe in connection.pipes:
            mine = [fault for fault in felt if fault.direction in (None, pipe.link.direction)]
            rates = [fault.bytes_per_second or 0 for fault in mine if fault.kind == "throttle"]
            stalled = any(fault.kind == "stall" for fault in mine)
            pipe.link.shape(self.now, stalled=stalled, rate=min(rates, default=0))
            self._step(pipe)
            if connection.number not in self.connections:
                break

    def _apply_to_all(self) -> None:
        for connection in list(self.connections.values()):
            self._apply(connection)

    # The Tap's orders

    def _on_control(self, ready: int) -> None:
        if ready & selectors.EVENT_WRITE:
            self._send_answers()
        if not ready & selectors.EVENT_READ:
            return
        try:
            data = self.control.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the owner has closed, or is gone
            self.running = False
            return
        self._catch_up()
        *lines, self.orders = (self.orders + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            do, id_, error = getattr(self, f"_do_{order.pop('do')}"), order.pop("id", None), None
            try:
                do(**order)
            except ValueError as refused:
                error = str(refused)
            if id_ is not None:
                self._hand_over()
                holding = sum(len(p.unsent) + p.link.waiting for c in self.connections.values() for p in c.pipes)
                self._answer(b"a", json.dumps({"id": id_, "error": error, "holding": holding}).encode())

    def _do_sync(self) -> None:
        """Nothing but the answer, which all records up to now precede."""

    def _do_event(self, kind: str, text: str, node: str = "") -> None:
        self._tell(kind, text, node=node)

    def _do_arm(self, texts: dict[str, str]) -> None:
        """Arm faults, each under its number; all or none."""
        new = {int(number): Armed(faults.parse(text), f"{self.seed}:{number}") for number, text in texts.items()}
        for armed in new.values():
            if armed.fault.op and (blind := [each.client for each in self._concerned(armed) if each.opaque]):
                raise ValueError(
                    f"`{armed.fault}` cannot see frames on the link of {', '.join(blind)}, which is not plain NATS "
                    "(TLS?): use stall, throttle, reset or partition there."
                )
        for number, armed in new.items():
            self._tell("fault", f"armed: {armed.fault}")
            self.armed[number] = armed
            if armed.fault.kind == "reset" and not armed.fault.op:
                for connection in self._concerned(armed):
                    self._break(connection, "reset by a fault")
        self._apply_to_all()

    def _do_disarm(self, numbers: list[int]) -> None:
        for number in numbers:
            if armed := self.armed.pop(number, None):
                self._tell("fault", f"healed: {armed.fault}")
        self._apply_to_all()

    def _do_close(self) -> None:
        for listener in self.listeners:
            self.selector.unregister(listener)
            listener.close()
        for connection in list(self.connections.values()):
            self._break(connection, "the Tap was closed", abort=False)

    def _concerned(self, armed: Armed) -> list[Connection]:
        return [each for each in self.connections.values() if armed.concerns(each.client, each.node)]

    # What we tell

    def _tell(self, kind: str, text: str, connection: Connection | None = None, node: str = "") -> None:
        self._catch_up()
        self._say(kind, text, connection, node)

    def _say(self, kind: str, text: str, connection: Connection | None, node: str = "") -> None:
        said = {"kind": kind, "text": text, "node": connection.node if connection else node}
        if self.routes and connection and connection.hello is None:
            said["client"] = connection.client
        self._record(pack(self.now, json.dumps(said).encode(), conn=connection.number if connection else 0))

    def _record(self, records: bytes) -> None:
        if records:
            self._expect_hand_over()
            self.records.append(records)
            self.size += len(records)

    def _expect_hand_over(self) -> None:
        if not (self.passed or self.records):
            self.hand_over_at = self.now + SOON

    def _hand_over(self) -> None:
        self._catch_up()
        self.hand_over_at = math.inf
        if self.records:
            block = b"".join(self.records)
            self.records, self.size = [], 0
            self.overflowed = self.overflowed or len(self.answers) > TOO_MUCH
            if self.overflowed:
                self._answer(b"u", b"%d" % count_events(block))
            else:
                self._answer(b"r", block)

    def _answer(self, letter: bytes, data: bytes) -> None:
        self.answers += BLOCK.pack(letter, len(data)) + data
        self._send_answers()

    def _send_answers(self) -> None:
        """Never wait for the owner: it may be busy, and the wire must not."""
        try:
            del self.answers[: self.control.send(self.answers)]
        except BlockingIOError:
            pass
        except OSError:
            self.running = False
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.answers else 0)
        self.selector.modify(self.control, mask, self._on_control)


def _reset_by(client: bool) -> str:
    return "reset by the client" if client else "reset by the server"


def main() -> None:
    """Run on the file descriptors and addresses that the Tap passes as JSON in the first argument."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):  # two sockets a client: as many as we may have
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    nodes = {
        node: (socket.socket(fileno=listener), (family, tuple(address)))
        for node, (listener, family, address) in given["nodes"].items()
    }
    Wire(socket.socket(fileno=given["control"]), nodes, given["seed"], given["routes"]).run()
