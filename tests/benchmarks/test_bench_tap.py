"""What recording costs: nats-py through a Tap and without, in turns; and the memory per frame."""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator

import nats
import pytest
from nats.aio.msg import Msg
from pytest_benchmark.fixture import BenchmarkFixture

from natsdemo.history import History, pack
from natsdemo.protocol import TO_SERVER
from natsdemo.server import Server
from natsdemo.tap import Tap

ROUNDS = 15
MESSAGES = 10_000
REQUESTS = 400
PAYLOAD = b"x" * 128


async def throughput(url: str) -> float:
    """Messages per second from one client to another, both in this process."""
    publisher, subscriber = await nats.connect(url), await nats.connect(url)
    left, all_came = MESSAGES, asyncio.Event()

    async def count(_: Msg) -> None:
        nonlocal left
        left -= 1
        if not left:
            all_came.set()

    await subscriber.subscribe("bench", cb=count)
    await asyncio.sleep(0)
    await subscriber.flush()
    start = time.perf_counter()
    for n in range(MESSAGES):
        await publisher.publish("bench", PAYLOAD)
        if n % 100 == 0:
            await asyncio.sleep(0)
    await asyncio.wait_for(all_came.wait(), 30)
    seconds = time.perf_counter() - start
    await publisher.close()
    await subscriber.close()
    return MESSAGES / seconds


async def round_trip(url: str) -> float:
    """The median of a request and its reply, in seconds."""
    client, service = await nats.connect(url), await nats.connect(url)

    async def answer(message: Msg) -> None:
        await message.respond(PAYLOAD)

    await service.subscribe("service", cb=answer)
    await asyncio.sleep(0)
    await service.flush()
    times = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        await client.request("service", PAYLOAD, timeout=5)
        times.append(time.perf_counter() - start)
    await client.close()
    await service.close()
    return statistics.median(times)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize("measure", [throughput, round_trip])
@pytest.mark.benchmark(group="tap")
def test_tap(
    benchmark: BenchmarkFixture, loop: asyncio.Runner, measure: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """Direct and through the Tap by turns; the median of each turn's ratio, since a busy machine slows both alike."""
    run = throughput if measure is throughput else round_trip
    server = loop.run(Server().start())
    tap = loop.run(Tap(server).start())
    found: dict[str, list[float]] = {"direct": [], "tap": []}

    def turn() -> None:
        for name, url in (("direct", server.url), ("tap", tap.url))[:: 1 if len(found["tap"]) % 2 else -1]:
            found[name].append(loop.run(run(url)))

    try:
        benchmark.pedantic(turn, rounds=ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    finally:
        loop.run(tap.close())
        loop.run(server.close())
    ratios = sorted(t / d for t, d in zip(found["tap"], found["direct"], strict=True))
    ratio = round(statistics.median(ratios), 2)
    spread = [round(ratios[len(ratios) // 4], 2), round(ratios[-len(ratios) // 4], 2)]
    medians = {name: statistics.median(values) for name, values in found.items()}
    benchmark.extra_info.update(ratio=ratio, quartiles=spread, **medians)
    with capsys.disabled():
        print(f"\n{run.__name__}: through the Tap {ratio} of direct (quartiles {spread}); {medians}")


@pytest.mark.parametrize("count", [10_000, 100_000, 1_000_000])
@pytest.mark.benchmark(group="memory")
def test_memory(benchmark: BenchmarkFixture, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The worst case, one frame in each record, after a look at it all; and what that look takes."""
    raw = b"PUB orders.new 128\r\n" + PAYLOAD + b"\r\n"
    record = pack(1.0, raw, conn=1, direction=TO_SERVER)

    def fill() -> tuple[tuple[History], dict[str, object]]:
        history = History()
        for _ in range(count):
            history.feed(record)
        return (history,), {}

    kept: list[History] = []

    def look(history: History) -> None:
        kept.append(history)
        len(history)

    benchmark.pedantic(look, setup=fill, rounds=1)  # type: ignore[no-untyped-call]
    inside = kept[0]._record
    size = sum(map(sys.getsizeof, [*inside.segments, inside.segments, inside.heads, inside.starts, inside.sizes]))
    beside = round(size / count - len(raw), 1)
    benchmark.extra_info.update(bytes_beside_its_own=beside)
    with capsys.disabled():
        print(f"\n{count} frames of {len(raw)} bytes: {beside} bytes each beside their own")
