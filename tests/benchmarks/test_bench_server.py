"""How long a reader waits for a server: 50 ms at the median for one, 2 s for three with a leader, says issue 2."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from natsdemo.server import Cluster, Server


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def measure(benchmark: BenchmarkFixture, loop: asyncio.Runner, kind: type[Server | Cluster], rounds: int) -> None:
    """Only `start` counts; `close` is in nobody's way."""
    started: list[Server | Cluster] = []

    def fresh() -> tuple[tuple[Server | Cluster], dict[str, Any]]:
        close()
        started.append(kind())
        return (started[0],), {}

    def close() -> None:
        while started:
            loop.run(started.pop().close())

    def start(world: Server | Cluster) -> None:
        coroutine: Coroutine[Any, Any, Any] = world.start()
        loop.run(coroutine)

    try:
        benchmark.pedantic(start, setup=fresh, rounds=rounds, warmup_rounds=1)  # type: ignore[no-untyped-call]
    finally:
        close()


def test_a_server_is_ready(benchmark: BenchmarkFixture, loop: asyncio.Runner) -> None:
    measure(benchmark, loop, Server, rounds=50)


def test_a_cluster_of_three_has_a_leader(benchmark: BenchmarkFixture, loop: asyncio.Runner) -> None:
    measure(benchmark, loop, Cluster, rounds=20)
