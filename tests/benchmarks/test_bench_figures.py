"""How long a picture takes: 50 messages as a lesson draws them, and 100,000 events that have to be bundled."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from natsdemo import figures
from natsdemo.history import History, pack
from natsdemo.messages import stamp
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode

SUBSCRIBERS = 3


def run(messages: int, subscribers: int) -> History:
    history = History()
    now = 0.0
    for conn in range(1, subscribers + 2):
        history.feed(pack(now, b'CONNECT {"name":"client %d"}\r\n' % conn, conn=conn, direction=TO_SERVER))
    for n in range(1, messages + 1):
        headers = tuple(stamp("client 1", n).items())
        publish = encode(Frame("HPUB", "orders.new", headers=headers, payload=b"x" * 128))
        deliver = encode(Frame("HMSG", "orders.new", sid="1", headers=headers, payload=b"x" * 128))
        now += 0.001
        history.feed(pack(now, publish, conn=1, direction=TO_SERVER))
        for conn in range(2, subscribers + 2):
            fate = "dropped" if n % 50 == 0 else "forwarded"
            history.feed(pack(now + 0.0001 * conn, deliver, conn=conn, direction=TO_CLIENT, fate=fate))
    len(history)
    return history


def test_lamport_of_50_messages(benchmark: BenchmarkFixture) -> None:
    picture = benchmark(figures.lamport, run(50, 1))
    assert "published 50 messages" in picture.alt


@pytest.mark.parametrize("name", ["lamport", "timeline", "rates", "latency", "sequence_numbers"])
def test_100_000_events(benchmark: BenchmarkFixture, name: str) -> None:
    history = run(100_000 // (SUBSCRIBERS + 1), SUBSCRIBERS)
    assert len(history) >= 100_000
    picture = benchmark(getattr(figures, name), history)
    assert picture.width == 960
