"""The Tap: a proxy that records every byte between clients and servers, and breaks things when asked to.

        the reader's client                Tap                  nats-server
        nats.connect(tap.url)  <--bytes-->  |  <--bytes-->  (one port per node)
                                            v
                                         History

The rules of this module:

1. With no fault active every byte passes unchanged, in either direction, whatever it is.
2. It runs in a process of its own (`wire`), so that a cell that blocks stops nobody else's traffic.
3. Everything that it does or is told goes into one History, in one order, on one clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import html
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ..faults import Fault, partition
from ..history import History
from .wire import BLOCK, Address

__all__ = ["Routes", "Tap", "TapError"]

HOST = "127.0.0.1"
PATIENCE = 10  # seconds; an answer takes well under a millisecond on a calm machine
_DEAD = "The Tap's process has ended, by somebody else's hand: close the Tap and make a new one."

_chance = random.SystemRandom()  # two programs that were seeded alike would want the same ports

_controls: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_controls() -> None:
    for control in _controls:
        if control.fileno() >= 0:
            os.close(control.detach())  # its file object, in the reader's thread, would keep it open


# A forked child would keep the wire alive past our death.
os.register_at_fork(after_in_child=_close_controls)


class TapError(RuntimeError):
    """The Tap cannot do what was asked; its text is one sentence that says what to do."""


class Target(Protocol):
    """What a Tap can stand before: anything that has an address."""

    @property
    def url(self) -> str:
        """Where clients connect."""


class Routed(Protocol):
    """A cluster whose servers reach each other at `routes`, though they listen at `listens`."""

    @property
    def listens(self) -> Mapping[str, str]:
        """Where each server listens for the others."""

    @property
    def routes(self) -> Mapping[str, str]:
        """Where the others look for it."""


class _Recorder:
    """A wire process, our conversation with it, and the History that it fills."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._history = History()
        self._history.sync = self._sync
        self._history.settled = False  # whoever can tell says so: `Lab.settle`
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._questions = itertools.count(1)
        self._faults = itertools.count(1)  # with the seed, what makes each fault's probability repeatable
        self._answers: dict[int, str | None] = {}
        self._answered = threading.Condition()
        self._holding = 0  # when it last answered
        self._ended = False  # the process will say no more

    def _spawn(self, nodes: dict[str, tuple[socket.socket, Address]], *, routes: bool) -> None:
        if self._process:
            raise TapError("It was closed, and stays so: make a new one.")
        self._control, theirs = socket.socketpair()
        _controls.add(self._control)
        listeners = [listener for listener, _ in nodes.values()]
        given = {
            "control": theirs.fileno(),
            "nodes": {node: (listener.fileno(), *address) for node, (listener, address) in nodes.items()},
            "seed": self.seed,
            "routes": routes,
        }
        # A session of its own: the kernel's interrupt is not for it. It ends when our end of the socket is closed.
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from natsdemo.tap.wire import main; main()", json.dumps(given)],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), *(listener.fileno() for listener in listeners)],
            start_new_session=True,
        )
        theirs.close()
        self._reader = threading.Thread(target=self._read, args=(self._control,), name="natsdemo-tap", daemon=True)
        self._reader.start()

    def _read(self, control: socket.socket) -> None:
        """Take what the wire tells us, in a thread, so that a blocked cell does not make it pile up there."""
        with control.makefile("rb") as blocks, contextlib.suppress(OSError):
            while len(head := blocks.read(BLOCK.size)) == BLOCK.size:
                letter, size = BLOCK.unpack(head)
                data = blocks.read(size)
                if len(data) < size:
                    break
                if letter == b"r":
                    self._history.feed(data)
                elif letter == b"u":
                    self._history.leave_out(int(data))
                else:
                    answer = json.loads(data)
                    with self._answered:
                        self._answers[answer["id"]] = answer["error"]
                        self._holding = answer["holding"]
                        self._answered.notify_all()
        with self._answered:
            self._ended = True
            self._answered.notify_all()

    def _tell(self, do: str, **order: Any) -> None:
        if self._control is None:
            raise TapError("The Tap is not open: start it, or make a new one.")
        try:
            self._control.sendall(json.dumps({"do": do, **order}).encode() + b"\n")
        except OSError:
            raise TapError(_DEAD) from None

    def _ask(self, do: str, **order: Any) -> None:
        """Give an order and wait, well under a millisecond as a rule, until it is carried out."""
        number = next(self._questions)
        self._tell(do, id=number, **order)
        with self._answered:
            if not self._answered.wait_for(lambda: number in self._answers or self._ended, PATIENCE):
                raise TapError(
                    f"The Tap's process has not answered for {PATIENCE} s: close the Tap and make a new one."
                )
            if number not in self._answers:
                raise TapError(_DEAD)
            if error := self._answers.pop(number):
                raise TapError(error)

    def _sync(self) -> None:
        """Have all in the History that has passed until now."""
        if self._control is not None:
            self._ask("sync")

    def _event(self, kind: str, text: str, node: str) -> None:
        """Tell of something that happens whether there is a Tap that hears it or not."""
        with contextlib.suppress(TapError):
            self._tell("event", kind=kind, text=text, node=node)

    @contextlib.contextmanager
    def _armed(self, faults: Iterable[Fault]) -> Iterator[None]:
        texts = {next(self._faults): str(fault) for fault in faults}
        try:
            self._ask("arm", texts=texts)
            yield
        finally:
            # A process that has ended has no fault at work; nor has one that was never armed anything to heal.
            if self._control is not None and not self._ended:
                self._ask("disarm", numbers=list(texts))

    async def close(self) -> None:
        """End all connections and the process; the History stays. Closing twice does no harm."""
        if self._control is None:
            return
        assert self._process
        assert self._reader
        # In this thread, so that nobody else closes it, or looks, at the same time.
        with contextlib.suppress(TapError):
            self._ask("close")
        control, self._control = self._control, None
        with contextlib.suppress(OSError):
            control.shutdown(socket.SHUT_RDWR)
        try:
            await asyncio.to_thread(self._process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        await asyncio.to_thread(self._reader.join)
        control.close()


class Tap(_Recorder):
    """A recording, fault-injecting proxy before a server, a cluster, another Tap or an address.

    Use it with `async with Tap(server) as tap`, or `await tap.start()` and `await tap.close()`; then
    `nats.connect(tap.url)`. A cluster gets one port a node and one History.

    Parameters: `target`, what to stand before, anything with a `url` (or `urls`), or an address as text; `seed`, which
    makes faults with a probability repeatable; `port`, where to listen, by default a free port.
    """

    def __init__(self, target: Target | str, *, seed: int = 0, port: int = 0) -> None:
        super().__init__(seed)
        self.target = target
        self._port = port
        self._urls: dict[str, str] = {}

    @property
    def history(self) -> History:
        """Everything that has passed and was done since the start."""
        return self._history

    @property
    def holding(self) -> int:
        """How many bytes are kept back just now, by a fault or since a receiver does not take them."""
        self._sync()
        return self._holding

    @property
    def urls(self) -> list[str]:
        """Where clients connect, one address a node."""
        if not self._urls:
            raise TapError("The Tap has no address yet: `await tap.start()` first.")
        return list(self._urls.values())

    @property
    def url(self) -> str:
        """Where clients connect; the addresses of a cluster's nodes are separated by commas."""
        return ",".join(self.urls)

    async def start(self) -> Self:
        """Start listening; do nothing if it listens already.

        Raises `TapError` if the port is taken, or if the target has no address.
        """
        if self._control is not None:
            return self
        urls = {node: _split(url) for node, url in _addresses(self.target).items()}
        ports = [self._port + i if self._port else 0 for i in range(len(urls))]
        targets = [await _resolve(url.hostname or HOST, url.port or 4222) for url in urls.values()]
        with _listening(ports) as listeners:
            self._spawn(dict(zip(urls, zip(listeners, targets, strict=True), strict=True)), routes=False)
            for (node, url), listener in zip(urls.items(), listeners, strict=True):
                user, at, _ = url.netloc.rpartition("@")
                here = url._replace(netloc=f"{user}{at}{HOST}:{listener.getsockname()[1]}")
                self._urls[node] = urlunsplit(here)
        if observe := getattr(self.target, "observe", None):
            observe(lambda name, verb: self._event("server", verb, name))
        return self

    def inject(self, *faults: Fault) -> contextlib.AbstractContextManager[None]:
        """Have faults at work inside a `with` block: on when it begins, surely off when it ends.

        Raises `TapError` for a fault on frames that means a link which is not plain NATS.
        """
        return self._armed(faults)

    def note(self, text: str) -> None:
        """Put a note into the History, at this point of the order."""
        self._tell("event", kind="note", text=text)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = f"at {', '.join(map(_shown, self._urls.values()))}" if self._control else "closed"
        try:
            return f"<Tap {state}, {len(self._history)} events>"
        except TapError:
            return "<Tap whose process has ended>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


class Routes(_Recorder):
    """Proxies on the routes between the servers of a cluster, which can part servers from each other.

    `cluster = Cluster(routed=True)`, then `async with Routes(cluster) as routes, cluster:`. A client's Tap is not on
    these routes, and this one does not see clients.
    """

    def __init__(self, cluster: Routed) -> None:
        super().__init__()
        self.cluster = cluster

    @property
    def history(self) -> History:
        """When servers connected to each other, and when they were parted; their traffic is opaque."""
        return self._history

    async def start(self) -> Self:
        """Start listening where the servers will look for each other; do nothing if it listens already.

        Raises `TapError` if a port is taken.
        """
        if self._control is not None:
            return self
        nodes = self.cluster.routes
        targets = [(socket.AF_INET, _host_and_port(self.cluster.listens[node])) for node in nodes]
        with _listening([_host_and_port(address)[1] for address in nodes.values()]) as listeners:
            self._spawn(dict(zip(nodes, zip(listeners, targets, strict=True), strict=True)), routes=True)
        return self

    def part(self, *names: str) -> contextlib.AbstractContextManager[None]:
        """Inside a `with` block, have the servers `names` reach nobody but each other."""
        others = [name for name in self.cluster.routes if name not in names]
        pairs = [(a, b) for a in names for b in others]
        return self._armed(
            partition(client=dials, node=answers) for a, b in pairs for dials, answers in ((a, b), (b, a))
        )

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _addresses(target: Target | str) -> dict[str, str]:
    """Return the name and the address of each node of the target."""
    if isinstance(target, Tap):
        return dict(zip(target._urls, target.urls, strict=True))
    if isinstance(target, Mapping):
        return {name: server.url for name, server in target.items()}
    url, name = (target, "server") if isinstance(target, str) else (target.url, getattr(target, "name", "server"))
    urls = [each.strip() for each in url.split(",")]
    return {name if len(urls) == 1 else f"{name}{i}": each for i, each in enumerate(urls, 1)}


def _split(url: str) -> SplitResult:
    """Read an address, with or without a scheme."""
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        _ = parts.port
    except ValueError:
        raise TapError(f"{_shown(url)} is no address: start its server first, or write nats://host:port.") from None
    return parts


async def _resolve(host: str, port: int) -> Address:
    """Ask for a host's address here, where it may take its time; on the wire all would wait."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TapError(f"There is no host {host} ({error.strerror}).") from None
    family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


@contextlib.contextmanager
def _listening(ports: Iterable[int]) -> Iterator[list[socket.socket]]:
    """Sockets that listen, for a process to inherit inside the block; 0 is any port that is free."""
    with contextlib.ExitStack() as listeners:
        yield [listeners.enter_context(_listen(port)) for port in ports]


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for _ in range(1 if port else 100):
        try:
            # Not a port that the kernel would choose: it also gives those to clients, and a client that keeps dialling
            # a closed Tap may get the very port that it dials, and connect to itself.
            listener.bind((HOST, port or _chance.randrange(20_000, 32_000)))
            listener.listen(1024)
            return listener
        except (OSError, OverflowError) as error:
            why = error
    listener.close()
    if getattr(why, "errno", None) == errno.EADDRINUSE:
        raise TapError(f"Port {port} is taken by another program: choose another one, or none.")
    raise TapError(f"The Tap cannot listen at port {port}: {getattr(why, 'strerror', None) or why}.")


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _shown(url: str) -> str:
    """An address without its credentials."""
    scheme, slashes, rest = url.rpartition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
