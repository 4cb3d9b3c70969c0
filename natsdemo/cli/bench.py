"""`natsdemo bench`: how fast this machine's nats-server is, how fast nats-py, and how far to trust either number."""

import asyncio
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from natsdemo.server import Server

from . import UserError

if TYPE_CHECKING:
    from natsdemo.load.load import Client, Run

REPEATS = 5
CEILING = "bare socket"
# What is measured flat out: a name, the client, whether each message is stamped and accounted for.
THROUGHPUT: tuple[tuple[str, "Client", bool], ...] = (
    (CEILING, "bare", False),
    ("raw frames", "raw", False),
    ("raw frames, stamped", "raw", True),
    ("nats-py", "nats-py", False),
    ("nats-py, stamped", "nats-py", True),
)
WARM_UP = {"bare": 50_000, "raw": 50_000, "nats-py": 5_000}  # messages
RUN = 0.25  # seconds that a repeat takes, about
AT_ONCE = 60_000_000  # bytes that a raw subscriber keeps at most
RATE, PACED = 1000, 500  # messages a second, and how many, for latencies
PERCENTILES = (50.0, 99.0)


class Figure(NamedTuple):
    """One figure: its name and unit, what each repeat gave, and its share of the ceiling, round by round."""

    name: str
    unit: str
    values: list[float]
    of_ceiling: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The figure with its median and its range; `of_ceiling` only where there is one to compare with."""
        spread = {"median": median(self.values), "least": min(self.values), "most": max(self.values)}
        against = {} if self.of_ceiling is None else {"of_ceiling": round(self.of_ceiling, 3)}
        return {"name": self.name, "unit": self.unit, **spread, "values": self.values, **against}

    def __str__(self) -> str:
        against = "" if self.of_ceiling is None else f"{self.of_ceiling:8.2f}"
        middle, least, most = (f"{value:,.0f}" for value in (median(self.values), min(self.values), max(self.values)))
        return f"{self.name:26} {middle:>10} {least:>10} to {most:>10} {self.unit:11} {against}"


def bench(
    size: Annotated[int, typer.Option(min=0, max=1_000_000, metavar="BYTES", help="The size of a payload.")] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object instead of a table; draw nothing.")] = False,
    picture: Annotated[Path, typer.Option(metavar="FILE", help="Where to draw the throughputs, as PNG.")] = Path(
        "bench.png"
    ),
) -> int:
    """Measure how fast nats-server and nats-py are on this machine.

    Each figure is measured five times, side by side in one run. A server is started for it; one publisher and one
    subscriber, each a process, are all the load. Throughput is end to end: from the first publish until the
    subscriber has the last message. The ceiling is a bare socket that sends equal frames and counts the bytes that
    come; every other figure is held against the ceiling of its own round, since machines have moods. Latency counts
    from when a message was due, at 1,000 messages a second.

    `nats bench` is written in Go and reports what publishers and subscribers did, each by themselves; a publisher is
    done there when it has flushed. Its numbers are higher, and say how fast Go is. Ours say what Python pays.
    """
    import_module("hdrh.histogram")  # if it is missing, say so at once
    begin = time.monotonic()
    with _progress() as tick:
        version, figures = asyncio.run(_measure(size, tick))
    seconds = round(time.monotonic() - begin, 1)
    about = {
        "nats-server": version,
        "nats-py": importlib.metadata.version("nats-py"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "size": size,
        "repeats": REPEATS,
        "seconds": seconds,
    }
    if as_json:
        print(json.dumps({**about, "figures": [figure.as_dict() for figure in figures]}, indent=1, ensure_ascii=False))
        return 0
    print(f"{'':26} {'median':>10} {'range of 5 repeats':>24} {'':11} of the ceiling")
    for figure in figures:
        print(figure)
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    throughput = {figure.name: figure.values for figure in figures if figure.unit == "messages/s"}
    drawn = import_module("natsdemo.figures").spread(
        throughput,
        "messages/s",
        ceiling=CEILING,
        title=f"End to end, {size} bytes each, nats-server {version}",
    )
    try:
        picture.write_bytes(drawn.png)
    except OSError as problem:
        raise UserError(f"{picture} cannot be written ({problem.strerror}): name another with --picture.") from None
    print(f"drawn in {picture}")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """Show on stderr how far we are, if somebody looks."""
    rounds = REPEATS + 1
    with typer.progressbar(length=rounds * (len(THROUGHPUT) + 2), label="measuring", file=sys.stderr) as bar:
        yield lambda: bar.update(1)


async def _measure(size: int, tick: Callable[[], None]) -> tuple[str, list[Figure]]:
    """Return the server's version and the figures."""
    from natsdemo.load import Load  # here, since it needs HdrHistogram, and no other command does

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server())
        loads: dict[str, Load] = {}
        for k, (name, client, stamped) in enumerate(THROUGHPUT):
            load = Load(server.url, f"bench.{k}", client=client, stamped=stamped, size=size)
            loads[name] = await stack.enter_async_context(load)
        messages = {}
        for name, client, _ in THROUGHPUT:
            warm = await loads[name].run(WARM_UP[client])
            messages[name] = max(min(int(warm.rate * RUN), AT_ONCE // (size + 100)), 1000)
            tick()
        rates: dict[str, list[float]] = {name: [] for name in loads}
        for _ in range(REPEATS):
            for name, load in loads.items():
                rates[name].append(_whole(name, await load.run(messages[name])).rate)
                tick()
        flat_out = [
            Figure(name, "messages/s", [round(rate) for rate in each], _against(each, rates[CEILING]))
            for name, each in rates.items()
        ]
        paced = [name for name, client, stamped in THROUGHPUT if stamped]
        late: dict[str, list[Any]] = {name: [] for name in paced}
        for repeat in range(REPEATS + 1):
            for name in paced:
                run = _whole(name, await loads[name].run(PACED, RATE))
                if repeat:
                    late[name].append(run.latency)
                tick()
        latencies = [
            Figure(f"{name}, p{percent:g}", "µs", [one.get_value_at_percentile(percent) for one in each])
            for name, each in late.items()
            for percent in PERCENTILES
        ]
        return server.version, [*flat_out, *latencies]


def _whole(name: str, run: "Run") -> "Run":
    """The run itself, if nothing was lost: a rate of what did not arrive is none."""
    if run.lost:
        raise UserError(f"{run.lost} messages did not arrive ({name}): this machine is too busy now, try again.")
    return run


def _against(each: list[float], ceiling: list[float]) -> float:
    return median(rate / top for rate, top in zip(each, ceiling, strict=True))
