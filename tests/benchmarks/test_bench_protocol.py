"""Frames per second: our parser, our scanner alone, and nats-py's parser, on the same bytes."""

import time
from collections.abc import Callable, Coroutine

import pytest
from nats.protocol.parser import Parser as NatsPyParser
from pytest_benchmark.fixture import BenchmarkFixture

from natsdemo.protocol import TO_CLIENT, Frame, Parser, Scanner, encode

COUNT = 20_000


def cut(stream: bytes) -> list[bytes]:
    return [stream[i : i + 65536] for i in range(0, len(stream), 65536)]


def message(subject: str, reply: str = "") -> bytes:
    return encode(Frame("MSG", subject=subject, sid="7", reply=reply, payload=b"x" * 128))


STREAMS = {
    # Core messages: the same few control lines come again and again.
    "core": cut(b"".join(message(f"orders.eu.{n % 50}") for n in range(COUNT))),
    # JetStream deliveries: no control line ever comes twice.
    "jetstream": cut(
        b"".join(message("orders.eu", f"$JS.ACK.ORDERS.dur.1.{n}.{n}.179{n:016}.{COUNT - n}") for n in range(COUNT))
    ),
}


class Client:
    """All that nats-py's parser needs of a client here."""

    async def _process_msg(self, *args: object) -> None:
        pass


def finish(coroutine: Coroutine[object, object, None]) -> None:
    """Run a coroutine that waits for nothing, without the price of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def nats_py(chunks: list[bytes]) -> None:
    parser = NatsPyParser(Client())
    for chunk in chunks:
        finish(parser.parse(chunk))


def parse(chunks: list[bytes]) -> None:
    parser = Parser(TO_CLIENT)
    for chunk in chunks:
        parser.feed(chunk)


def scan(chunks: list[bytes]) -> None:
    scanner = Scanner(TO_CLIENT)
    for chunk in chunks:
        scanner.feed(chunk)


@pytest.mark.parametrize("run", [nats_py, parse, scan])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.benchmark(group="parser")
def test_read(benchmark: BenchmarkFixture, run: Callable[[list[bytes]], None], stream: str) -> None:
    benchmark.extra_info["frames"] = COUNT
    benchmark(run, STREAMS[stream])


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.benchmark(group="parser ratio", min_rounds=15)
def test_ratio(benchmark: BenchmarkFixture, stream: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The best of the alternating runs of each, so that a busy machine slows all alike."""
    best = {nats_py: float("inf"), parse: float("inf"), scan: float("inf")}

    def turn() -> None:
        for run in best:
            start = time.perf_counter()
            run(STREAMS[stream])
            best[run] = min(best[run], time.perf_counter() - start)

    benchmark(turn)
    figures = {run.__name__: round(seconds / COUNT * 1e9) for run, seconds in best.items()}
    ratio = round(best[nats_py] / best[parse], 2)
    benchmark.extra_info.update(ns_per_frame=figures, ratio=ratio)
    with capsys.disabled():
        print(f"\n{stream}: our parser reads {ratio} times as many frames as nats-py's; ns per frame: {figures}")
