"""The lab: a server, a Tap before it, and the History of what the reader's clients say to each other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import html
import json
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from nats.aio.client import Client as NatsClient

from .. import faults
from ..history import History
from ..protocol import TO_CLIENT, TO_SERVER
from ..server import Cluster, Composed, External, NotHere, Place, Server, ServerError, place
from ..tap import Tap
from . import client, exercise
from .claims import last_words, ledger, versions
from .look import SABOTAGE_MIME, show
from .progress import report

# Messages in and out, by the server's name and its number for the connection.
Counts = dict[tuple[str, int], tuple[int, int]]

_open: Lab | None = None


async def until(condition: Callable[[], object], deadline: float = 5.0) -> bool:
    """Wait until `condition()` is true, at most `deadline` seconds; return whether it came true."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.005)
    return True


async def barrier(nc: NatsClient) -> None:
    """Return once the server has dealt with all that this client has published and subscribed so far.

    nats-py's `flush` alone does not prove that: it sends its PING before what is still queued in the client, and says
    at once that all is well while it reconnects. (nats-py 2.16; lesson 03 shows it.)
    """
    if not nc.is_connected:
        raise ConnectionError("This client is not connected: wait for it, then try again.")
    await asyncio.sleep(0)
    await nc.flush(2)


class Lab:
    """What `open_lab` gives: `url` to connect to, `history` of what passed, and the means to break things.

    `server` is the place where the lesson runs: a `Server`, a `Cluster`, a composed server or somebody else's; its
    verbs (`kill`, `pause`, `restart`, …) are there for the experiments. `tap.inject(fault)` breaks the wire.
    """

    def __init__(self, server: Place | Cluster, saboteur: Tap | None, tap: Tap) -> None:
        self.server = server
        self.tap = tap
        self.clients: dict[str, client.ClientProcess] = {}
        self._saboteur = saboteur
        self._sabotage = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where clients connect: the Tap, and behind it the server."""
        return self.tap.url

    @property
    def history(self) -> History:
        """Everything that passed so far. What is still on its way is not in it: `await lab.settle()` waits for that."""
        return self.tap.history

    async def settle(self, deadline: float = 10.0) -> History:
        """Wait until nothing is pending any more, and return the History up to now.

        Nothing is pending when neither the server nor the Tap has a byte left to send, the server's count of each
        connection's messages agrees with the Tap's, and the clients' callbacks in this process have had their turn.
        Where the counts never come to agree (something between was lost) or cannot be had (the server is somebody
        else's), half a second in which nothing moves must do. No traffic is added. If it does not come to rest before
        the deadline, as it cannot while a server is paused, the History says so (`settled` is False), and a verdict
        about loss is UNKNOWN. Source: https://docs.nats.io/running-a-nats-service/nats_admin/monitoring
        """
        await asyncio.sleep(0)  # what clients have queued goes out first: the next line takes its time
        clients = list(_clients(self.tap.urls))
        taps = [self.tap, *([self._saboteur] if self._saboteur else [])]
        end = time.monotonic() + deadline
        before: object = None
        since = time.monotonic()
        while time.monotonic() < end:
            counts = await self._server_counts()
            waiting = counts is None or any(map(_busy, clients)) or any(tap.holding for tap in taps)
            state = None if waiting else (len(self.history), counts)
            if state is None or state != before:
                before, since = state, time.monotonic()
            elif (counts and counts == self._tap_counts(of=counts)) or time.monotonic() - since > 0.5:
                return self.history.up_to_now(settled=True)
            await asyncio.sleep(0.02)
        return self.history.up_to_now(settled=False)

    async def _server_counts(self) -> Counts | None:
        """The messages that each open connection has sent and got, as the server counts; None while bytes wait.

        A server that is stopped has nothing left to send; one that is paused, or silent, may have.
        """
        counts: Counts = {}
        for server in self.server.values() if isinstance(self.server, Cluster) else [self.server]:
            if server.state == "stopped":
                continue
            try:
                page = await server.monitor("connz?limit=4096")
            except NotHere:
                continue
            except ServerError:
                return None
            for each in page.get("connections", []):
                if each["pending_bytes"]:
                    return None
                counts[server.name, each["cid"]] = each["in_msgs"], each["out_msgs"]
        return counts

    def _tap_counts(self, of: Counts) -> Counts:
        """The same as the Tap counts it."""
        cids: dict[int, tuple[str, int]] = {}
        counts: Counter[tuple[tuple[str, int], str]] = Counter()
        for event in self.history.where(kind="frame"):
            assert event.frame
            if event.op == "INFO":
                cids.setdefault(event.conn, (event.node, _client_id(event.frame.payload)))
            key = cids.get(event.conn)
            if key is None:
                continue
            to_server = event.op in ("PUB", "HPUB") and event.fate not in ("dropped", "cut")
            # The server does not count it when it says itself that nobody listens.
            to_client = event.op in ("MSG", "HMSG") and event.fate != "duplicated" and event.frame.status != 503
            if to_server or to_client:
                counts[key, event.direction] += 1
        return {key: (counts[key, TO_SERVER], counts[key, TO_CLIENT]) for key in of}

    def spawn(self, name: str, program: Callable[[str, str], Awaitable[object]]) -> client.ClientProcess:
        """Run an async function `program(url, name)` as a process of its own, which can then really be killed.

        Its source is all that the process gets, so it imports what it needs. A client of that name that still runs is
        killed first. `lab.clients[name]` has the process, too: `.kill()`, `.running`, and `.output`, the lines printed.
        """
        return self.start_client(name, client.code_of(program))

    def start_client(self, name: str, code: str) -> client.ClientProcess:
        """The same for code as text, as the cell magic `%%client NAME` has it."""
        if old := self.clients.get(name):
            old.kill()
        self.clients[name] = client.ClientProcess(name, self.url, code)
        return self.clients[name]

    async def exercise(self, solve: exercise.Solve, check: exercise.Check) -> None:
        """Run the reader's function and answer: not attempted; not yet, because …; or right.

        `check` gets the History of this run alone and returns why it is not right yet, or None.
        """
        await exercise.answer(solve, check, self.settle)

    async def close(self) -> None:
        """Close the lab: its clients, the Tap and the server (if it is ours). The History and the pictures stay."""
        global _open
        for process in self.clients.values():
            process.kill()
        for nc in _clients(self.tap.urls):
            with contextlib.suppress(Exception):
                await asyncio.wait_for(nc.close(), 2)
        last_words.clear()
        await self.tap.close()
        if self._saboteur:
            self._report_sabotage()
            self._sabotage.close()
            await self._saboteur.close()
        await self.server.close()
        if _open is self:
            _open = None

    def arm_sabotage(self, text: str) -> None:
        """Make the wire behind the Tap misbehave, to see that the lesson's claims notice."""
        assert self._saboteur
        self._sabotage.enter_context(self._saboteur.inject(faults.parse(text)))
        last_words.append(self._report_sabotage)

    def _report_sabotage(self) -> None:
        assert self._saboteur
        hits = sum(event.text.startswith("hit") for event in self._saboteur.history.where(kind="fault"))
        _say(f"sabotage: {hits} hits", {SABOTAGE_MIME: {"hits": hits}})

    def __repr__(self) -> str:
        where = re.sub(r"//[^/,]*@", "//", self.url)  # without user and password, since a notebook is shown around
        return f"<Lab at {where}, {self.server!r}>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


async def open_lab(*, config: str = "", cluster: int = 0, own: bool = False, embedded: bool = False) -> Lab:
    """Open a lab: a fresh server (or a cluster of so many), a Tap before it, an empty History.

    A lab that is still open is closed first, so that this cell can be run again. `config` is nats-server's own
    configuration language. The lesson runs on a server of our own, unless `NATS_URL` or `NATSDEMO_SERVER` names
    another. `own=True` says that it kills its server or keeps streams there: that is for no server of somebody else's.
    With a `config` or a `cluster`, or with `embedded=True` since it reloads its server's configuration, looks into its
    files, or kills it to the millisecond, it runs on processes of our own wherever the others run.
    """
    global _open
    if _open is not None:
        await _open.close()
    ledger.clear()
    server: Place | Cluster = Cluster(cluster, config=config) if cluster else place(config)
    if isinstance(server, External) and (reason := await _why_not(server, own, embedded or bool(config))):
        _say(reason)
        server = Server(config=config)
    sabotage = os.environ.get("NATSDEMO_SABOTAGE")
    try:
        await server.start()
        saboteur = await Tap(server).start() if sabotage else None
        tap = await Tap(saboteur or server).start()
    except BaseException:
        await server.close()
        raise
    versions["nats-server"] = server.version
    lab = _open = Lab(server, saboteur, tap)
    if sabotage:
        lab.arm_sabotage(sabotage)
    client.register(lab)
    report("lesson", "", "opened")
    return lab


async def _why_not(server: External, own: bool, embedded: bool) -> str | None:
    """Why a lesson with these wishes does not run on this server but on one of our own; None if it does."""
    if isinstance(server, Composed) and not embedded:
        if await server.take():
            return None
        return "Somebody else is connected to the composed server, so this lesson runs on one of our own."
    if own or embedded:
        return (
            "This lesson configures, kills or fills its server, so it runs on one of our own, not on the one you named."
        )
    if server.credentials:
        await server.start()
        return "That server is fine, but its credentials file does not fit into an address: we run on one of our own."
    return None


async def check() -> None:
    """Raise `ServerError` if a server of the lab that is open does not answer; `natsdemo present` asks first."""
    if _open:
        servers = _open.server.values() if isinstance(_open.server, Cluster) else [_open.server]
        for server in servers:
            with contextlib.suppress(NotHere):
                await server.monitor("varz")


def _say(sentence: str, more: dict[str, Any] | None = None) -> None:
    show(sentence, f"<small>{html.escape(sentence)}</small>", more)


def _clients(urls: list[str]) -> Iterator[NatsClient]:
    """The nats-py clients in this process that were sent to one of these addresses.

    The reader's code makes them and nothing of ours stands between, so we look where Python keeps all objects.
    """
    ports = {url.rpartition(":")[2] for url in urls}
    for thing in gc.get_objects():
        if (
            issubclass(type(thing), NatsClient)
            and not thing.is_closed
            and ports & {str(s.uri.port) for s in thing.server_pool}
        ):
            yield thing


def _busy(nc: NatsClient) -> bool:
    """Whether a callback of this client still has something to do."""
    return any(sub._cb and getattr(sub._pending_queue, "_unfinished_tasks", 0) for sub in nc._subs.values())


def _client_id(info: bytes) -> int:
    return int(json.loads(info).get("client_id", 0))
