"""The processes of a load, and the runs that they make together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, get_args

from hdrh.histogram import HdrHistogram

from .account import Job, Received, histogram

Client = Literal["nats-py", "raw", "bare"]
CLIENTS: tuple[Client, ...] = get_args(Client)

LEAD = 0.05  # seconds from the last "ready" to the start, so that every process has heard of it


class LoadError(RuntimeError):
    """A process of the load could not go on; its text says which, and what it said."""


class Run(NamedTuple):
    """What one run of a load came to.

    `sent` messages went out of all publishers; `received` says what each subscriber got; `seconds` passed from the
    start until the last message had come, 0 if none did. `latency` is an HdrHistogram of microseconds, from when a
    message was due until it came, over all subscribers; None if the run was flat out.
    """

    sent: int
    received: tuple[Received, ...]
    seconds: float
    latency: HdrHistogram | None

    @property
    def rate(self) -> float:
        """Messages a second and subscriber, end to end."""
        came = sum(each.messages for each in self.received)
        return came / len(self.received) / self.seconds if came else 0.0

    @property
    def lost(self) -> int:
        """Deliveries that were owed and did not come, over all subscribers."""
        return sum(self.sent - (each.messages - each.duplicates) for each in self.received)

    @property
    def duplicates(self) -> int:
        """Deliveries of what had come before, over all subscribers."""
        return sum(each.duplicates for each in self.received)

    @property
    def reordered(self) -> int:
        """Deliveries after a later message of the same publisher, over all subscribers."""
        return sum(each.reordered for each in self.received)

    def __str__(self) -> str:
        wrong = [f"{count} {what}" for what in ("lost", "duplicates", "reordered") if (count := getattr(self, what))]
        return f"{self.sent} sent, {self.rate:,.0f} messages/s, {', '.join(wrong) or 'all there, once and in order'}"


class Load:
    """Publishers and subscribers in processes of their own, on one subject of a server.

    Use it with `async with Load(server.url) as load`, and call `run` as often as you like; the first run warms up.

    Parameters: `url` of the server; `subject`; `client`, one of `CLIENTS`: nats-py, raw (frames on a socket, encoded
    before the run) or bare (the same bytes again and again, counted and not looked at: the ceiling); `publishers`, each
    a process; `subscribers`, connections that each receive everything, spread over at most `processes` processes;
    `size` of the payload in bytes; `stamped`, whether each message bears its publisher and number, so that every one
    can be accounted for. Raises `ValueError` for a load that cannot be, `LoadError` if a process cannot connect.
    """

    def __init__(
        self,
        url: str,
        subject: str = "load",
        *,
        client: Client = "nats-py",
        publishers: int = 1,
        subscribers: int = 1,
        processes: int = 1,
        size: int = 128,
        stamped: bool = True,
    ) -> None:
        if client not in CLIENTS:
            raise ValueError(f"{client!r} is no client of ours: it is one of {', '.join(CLIENTS)}.")
        if client == "bare" and stamped:
            raise ValueError("A bare client sends equal messages: say stamped=False.")
        self._bare = client == "bare"
        self._unnumbered = not stamped and publishers > 1
        about = {"url": url, "subject": subject, "size": size, "stamped": stamped}
        crowd = min(processes, subscribers)
        shares = [subscribers // crowd + (k < subscribers % crowd) for k in range(crowd)]
        self._subscribers = [
            _Process(client, "subscriber", {**about, "name": f"subscriber{k + 1}", "connections": share})
            for k, share in enumerate(shares)
        ]
        self._publishers = [
            _Process(client, "publisher", {**about, "name": f"publisher{k + 1}"}) for k in range(publishers)
        ]
        self._next = 1

    async def run(self, messages: int, rate: float = 0) -> Run:
        """Publish, and wait until every subscriber has everything, or nothing has come for five seconds.

        `messages` is how many all publishers send together, `rate` how many a second, 0 for flat out. Raises
        `ValueError` if they cannot be shared out, or cannot be told apart, and `LoadError` if a process ended.
        """
        each, rest = divmod(messages, len(self._publishers))
        if rest or not each:
            raise ValueError(f"{messages} messages cannot be shared evenly among {len(self._publishers)} publishers.")
        if rate and self._bare:
            raise ValueError("A bare client knows no rate, it finds the ceiling: say client='raw'.")
        if rate and self._unnumbered:
            raise ValueError("At a rate, messages of several publishers are told apart by their stamps: stamped=True.")
        job = Job(len(self._publishers), self._next, each, rate)
        self._next += each
        everybody = [*self._subscribers, *self._publishers]
        await asyncio.gather(*(process.ask(job) for process in everybody))
        start = time.monotonic() + LEAD
        await asyncio.gather(*(process.ask(start, answer=False) for process in everybody))
        found, _ = await asyncio.gather(
            asyncio.gather(*(process.answers() for process in self._subscribers)),
            asyncio.gather(*(process.answer() for process in self._publishers)),
        )
        told = [one for some in found for one in some]
        received = tuple(Received(*counts) for counts, _ in told)
        latency = histogram() if rate else None
        for _, encoded in told:
            if latency:
                latency.decode_and_add(encoded)
        return Run(messages, received, max(0.0, *(one.last - start for one in received)), latency)

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(process.start() for process in [*self._subscribers, *self._publishers]))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        await asyncio.gather(*(process.end() for process in [*self._subscribers, *self._publishers]))


class _Process:
    """A `worker`, and the lines that go to it and come from it."""

    def __init__(self, client: str, role: str, arguments: dict[str, Any]) -> None:
        self.name, self.connections = arguments["name"], arguments.get("connections", 1)
        self._about = json.dumps({"client": client, "role": role, "arguments": arguments})
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "natsdemo.load.worker", self._about)
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 24, start_new_session=True
        )
        await self.answer()

    async def ask(self, question: object, *, answer: bool = True) -> Any:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # it has ended; what it said last is in its answer
            await self._process.stdin.drain()
        return await self.answer() if answer else None

    async def answer(self) -> Any:
        assert self._process
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            assert self._process.stderr
            said = (await self._process.stderr.read()).decode(errors="replace").strip().splitlines()
            raise LoadError(f"{self.name} has ended: {said[-1] if said else 'it said nothing'}")
        return json.loads(line)

    async def answers(self) -> list[Any]:
        return [await self.answer() for _ in range(self.connections)]

    async def end(self) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
