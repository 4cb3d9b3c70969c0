"""The Tap: what passes through it is what would have passed without it, whatever else it is asked to do."""

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import psutil
import pytest
from conftest import Connect
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from natsdemo import faults
from natsdemo.faults import Armed, Fault, delay, drop, duplicate, partition, reorder, reset, stall, throttle
from natsdemo.history import History
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, Scanner, encode
from natsdemo.server import Cluster, Server
from natsdemo.server.loopback import free_port
from natsdemo.tap import Tap, TapError, wire
from natsdemo.tap.link import Link

# One link, no sockets: whatever goes in comes out


PAYLOADS = st.binary(max_size=40)
FRAMES = {
    TO_SERVER: st.one_of(
        PAYLOADS.map(lambda payload: encode(Frame("PUB", subject="a.b", payload=payload))),
        PAYLOADS.map(lambda payload: encode(Frame("HPUB", subject="a", headers=(("k", "v"),), payload=payload))),
        st.sampled_from([b"PING\r\n", b"sub a.> 1\r\n", b"UNSUB\t1  5\n", b"CONNECT {}\r\n"]),
    ),
    TO_CLIENT: st.one_of(
        st.builds(
            lambda payload, sid: encode(Frame("MSG", subject="a.b", sid=str(sid), payload=payload)),
            PAYLOADS,
            st.integers(1, 2),
        ),
        st.sampled_from([b"PONG\r\n", b"+OK\r\n", b"-ERR 'no'\r\n", b"INFO {}\r\n"]),
    ),
}
TAILS = st.one_of(
    st.just(b""),
    st.binary(max_size=30),
    st.binary(max_size=50).map(b"\x16\x03\x01\x02".__add__),  # TLS
    st.sampled_from([b"PUB a 10\r\nhalf", b"PUB", b"MSG a 1 99999\r\n", b"PUB a 1\r\nxyz\r\nPING\r\n"]),
)
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    pieces, start, n = [], 0, 0
    while start < len(stream):
        end = start + sizes[n % len(sizes)]
        pieces.append(stream[start:end])
        start, n = end, n + 1
    return pieces


def recorded(records: bytes, *fates: str) -> list[bytes]:
    history = History()
    history.feed(records)
    return [event.frame.raw for event in history if event.frame and (not fates or event.fate in fates)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[bytes], bytes]:
    direction = draw(st.sampled_from([TO_SERVER, TO_CLIENT]))
    return direction, draw(st.lists(FRAMES[direction], max_size=12)), draw(TAILS)


@given(streams(), CUTS)
def test_without_a_fault_every_byte_passes_at_once(stream: tuple[str, list[bytes], bytes], cuts: list[int]) -> None:
    direction, frames, tail = stream
    data = b"".join(frames) + tail
    link = Link(1, direction)
    records = b""
    for piece in cut(data, cuts):
        passed = link.take(piece, 0)
        assert passed.data == piece
        records += passed.records
    assert link.waiting == 0
    assert link.next_due() is None
    last = link.finish(0)
    assert last.data == b""
    assert b"".join(recorded(records + last.records)) == data
    assert recorded(records)[: len(frames)] == frames


GENTLE = st.sampled_from(
    [
        *(delay("PUB", 0.1), delay("MSG", 0.2, jitter=0.1), delay("PING", 0.05, nth=1)),
        *(reorder("PUB"), reorder("MSG"), reorder("MSG", nth=2), reorder("PUB", every=2), reorder("PING", 0.1)),
    ]
)
ROUGH = GENTLE | st.sampled_from(
    [drop("PUB", nth=2), drop("MSG"), duplicate("PUB"), duplicate("MSG", probability=0.5), drop("PING")]
)
ACTS = st.one_of(
    st.tuples(st.just("arm"), ROUGH),
    st.tuples(st.just("arm"), GENTLE),
    st.tuples(st.just("disarm"), st.none()),
    st.tuples(st.just("stall"), st.booleans()),
    st.tuples(st.just("rate"), st.sampled_from([0, 50, 5000])),
    st.tuples(st.just("wait"), st.floats(0, 1)),
    st.tuples(st.just("heal"), st.none()),
)


class Play:
    """A link under faults that come and go between any two pieces of the stream."""

    def __init__(self, direction: str) -> None:
        self.link = Link(1, direction)
        self.now = 0.0
        self.armed: list[Armed] = []
        self.stalled, self.rate = False, 0.0
        self.sent = b""
        self.records = b""
        self.used: set[str] = set()

    def act(self, what: str, value: Any) -> None:
        if what == "arm":
            self.armed.append(Armed(value))
            self.used.add(value.kind)
        elif what == "disarm" and self.armed:
            self.armed.pop(0)
        elif what == "heal":
            self.armed, self.stalled, self.rate = [], False, 0.0
        elif what == "stall":
            self.stalled = value
        elif what == "rate":
            self.rate = value
        elif what == "wait":
            self.wait(value)
        self.link.shape(self.now, stalled=self.stalled, rate=self.rate)
        self.take(b"")

    def take(self, data: bytes) -> None:
        passed = self.link.take(data, self.now, self.armed)
        self.sent += passed.data
        self.records += passed.records

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.link.next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.take(b"")
        self.now = end

    def finish(self) -> None:
        self.act("heal", None)
        self.wait(1)
        assert self.link.next_due() is None, "a fault that is over holds nothing for ever"
        passed = self.link.finish(self.now)
        self.sent += passed.data
        self.records += passed.records
        assert self.link.waiting == 0


@given(streams(), CUTS, st.lists(st.lists(ACTS, max_size=3), max_size=30))
def test_faults_that_come_and_go_tear_nothing(
    stream: tuple[str, list[bytes], bytes], cuts: list[int], acts: list[list[tuple[str, Any]]]
) -> None:
    direction, frames, tail = stream
    data = b"".join(frames) + tail
    play = Play(direction)
    for n, piece in enumerate(cut(data, cuts)):
        for act in acts[n] if n < len(acts) else []:
            play.act(*act)
        play.take(piece)
    play.finish()

    originals = recorded(play.records, "forwarded", "dropped", "delayed", "reordered", "cut")
    assert Counter(b"".join(originals)) == Counter(data)
    left = recorded(play.records, "forwarded", "delayed", "reordered", "duplicated", "cut")
    assert play.sent == b"".join(left), "what is recorded as sent is what was sent, in that order"
    if not play.used:
        assert play.sent == data
    if play.used <= {"delay"}:
        assert play.sent == data
    if play.used <= {"delay", "reorder"}:
        assert Counter(left) == Counter(originals), "nothing is lost"
    if set(frames) and not tail:
        scanner = Scanner(direction)
        assert set(scanner.feed(play.sent)) <= set(frames), "no frame is torn"
        assert not scanner.pending


@given(st.binary(min_size=1, max_size=200), CUTS, st.lists(st.lists(ACTS, max_size=3), max_size=30))
def test_what_is_not_nats_is_never_touched(data: bytes, cuts: list[int], acts: list[list[tuple[str, Any]]]) -> None:
    data = b"\x16\x03" + data
    play = Play(TO_SERVER)
    for n, piece in enumerate(cut(data, cuts)):
        for act in acts[n] if n < len(acts) else []:
            play.act(*act)
        play.take(piece)
    play.finish()
    assert play.link.opaque
    assert play.sent == data == b"".join(recorded(play.records))


def test_a_link_may_turn_opaque_in_the_middle_of_a_frame() -> None:
    link = Link(1, TO_CLIENT)
    assert link.take(b"MSG a 1 9\r\nhal", 0).data == b"MSG a 1 9\r\nhal"
    link.opaque = True  # the other direction has found out
    link.shape(0, stalled=True, rate=0)
    assert link.take(b"\x17\x03", 0).data == b""
    link.shape(1, stalled=False, rate=0)
    passed = link.take(b"", 1)
    assert passed.data == b"\x17\x03"
    assert recorded(passed.records) == [b"MSG a 1 9\r\nhal\x17\x03"]


def test_the_servers_limits_are_the_servers_business() -> None:
    link = Link(1, TO_SERVER)
    line = b"PUB " + b"a" * 5000 + b" 0\r\n\r\n"
    assert link.take(line, 0).data == line
    big = b"PUB a 3000000\r\n" + bytes(3_000_000) + b"\r\n"
    for piece in cut(big, [65536]):
        assert link.take(piece, 0).data == piece
    assert not link.opaque


def test_a_break_is_recorded_to_the_last_byte() -> None:
    link = Link(1, TO_CLIENT)
    armed = [Armed(delay("MSG", 1)), Armed(reorder("MSG", nth=2)), Armed(drop("MSG", nth=3))]
    frames = [encode(Frame("MSG", subject="a", sid=f"{n}", payload=b"x")) for n in range(3)]
    link.take(b"".join(frames) + b"MSG a 1 5\r\nha", 0, armed)
    records = link.cut(0.5)
    assert sorted(recorded(records, "cut")) == sorted([frames[0], frames[1], b"MSG a 1 5\r\nha"])
    assert recorded(records, "dropped") == [frames[2]]
    assert link.next_due() is None


# A real Tap before a server that says whatever we like


Meet = Callable[
    [], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter]]
]


@contextlib.asynccontextmanager
async def before_a_fake() -> AsyncIterator[tuple[Tap, Meet]]:
    """A Tap before a server of our own; `await meet()` connects and gives a reader and a writer at each end."""
    came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []
    fake = await asyncio.start_server(
        lambda reader, writer: came.put_nowait((reader, writer)), "127.0.0.1", 0, limit=1 << 24
    )
    port = fake.sockets[0].getsockname()[1]
    async with Tap(f"127.0.0.1:{port}") as tap:

        async def meet() -> tuple[
            asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter
        ]:
            near_in, near = await asyncio.open_connection("127.0.0.1", port_of(tap.url), limit=1 << 24)
            far_in, far = await came.get()
            writers.extend((near, far))
            return near_in, near, far_in, far

        try:
            async with asyncio.timeout(30):
                yield tap, meet
        finally:
            for writer in writers:
                writer.transport.abort()
            fake.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def random_stream(rng: random.Random, direction: str) -> bytes:
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(200_000))
    op, sid = ("PUB", "") if direction == TO_SERVER else ("MSG", "7")
    frames = [Frame(op, subject="a", sid=sid, payload=rng.randbytes(rng.randrange(3000))) for _ in range(60)]
    tail = rng.choice([b"", b"PIN", rng.randbytes(50), b"PUB a 100\r\nha", b"MSG a 1 100\r\nha"])
    return b"".join(map(encode, frames)) + tail


async def say(writer: asyncio.StreamWriter, data: bytes, rng: random.Random) -> None:
    start = 0
    while start < len(data):
        size = rng.choice([1, 7, 100, 4000, 70_000])
        writer.write(data[start : start + size])
        start += size
        if rng.random() < 0.3:
            await writer.drain()
            await asyncio.sleep(0)
    writer.write_eof()


@pytest.mark.parametrize("seed", range(12))
async def test_any_bytes_pass_both_ways_to_the_end(seed: int) -> None:
    rng = random.Random(seed)
    there, back = random_stream(rng, TO_SERVER), random_stream(rng, TO_CLIENT)
    async with before_a_fake() as (tap, meet):
        near_in, near, far_in, far = await meet()
        _, _, came, went = await asyncio.gather(
            say(near, there, rng), say(far, back, rng), far_in.read(), near_in.read()
        )
        assert came == there
        assert went == back
        await until(lambda: "disconnected" in tap.history[-1].text)
        for direction, data in ((TO_SERVER, there), (TO_CLIENT, back)):
            passed = tap.history.where(direction=direction)
            assert b"".join(event.frame.raw for event in passed if event.frame) == data


async def test_a_half_that_is_closed_leaves_the_other_open() -> None:
    async with before_a_fake() as (_, meet):
        near_in, near, far_in, far = await meet()
        near.write(b"PING\r\n")
        near.write_eof()
        assert await far_in.read() == b"PING\r\n"
        for n in range(20):
            far.write(b"+OK %d\r\n" % n)
            assert await near_in.readline() == b"+OK %d\r\n" % n
        far.close()
        assert await near_in.read() == b""


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_reset_is_passed_on(who: str) -> None:
    async with before_a_fake() as (tap, meet):
        near_in, near, far_in, far = await meet()
        near.write(b"PING\r\n")
        far.write(b"PONG\r\n")
        assert (await far_in.readline(), await near_in.readline()) == (b"PING\r\n", b"PONG\r\n")
        breaks, feels = (near, far_in) if who == "client" else (far, near_in)
        breaks.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        breaks.transport.abort()
        with pytest.raises(ConnectionResetError):
            await feels.read()
        assert tap.history[-1].text == f"disconnected: reset by the {who}"


async def test_huge_payloads() -> None:
    big = random.Random(0).randbytes(10_000_000)
    there, back = (encode(Frame(op, subject="a", sid=sid, payload=big)) for op, sid in (("PUB", ""), ("MSG", "1")))
    async with before_a_fake() as (tap, meet):
        near_in, near, far_in, far = await meet()
        near.write(there)
        far.write(back)
        came, went = await asyncio.gather(far_in.readexactly(len(there)), near_in.readexactly(len(back)))
        assert came == there
        assert went == back
        assert [event.frame.payload == big for event in tap.history if event.frame] == [True, True]


async def test_a_thousand_connections() -> None:
    async with before_a_fake() as (tap, meet):
        ends = [await meet() for _ in range(1000)]
        for n, (_, near, _, far) in enumerate(ends):
            near.write(b"SUB a %d\r\n" % n)
            far.write(b"MSG a %d 0\r\n\r\n" % n)
        for n, (near_in, _, far_in, _) in enumerate(ends):
            assert await far_in.readline() == b"SUB a %d\r\n" % n
            assert await near_in.readline() == b"MSG a %d 0\r\n" % n
        assert len(tap.history.clients) == 1000


async def test_a_name_is_learnt_however_connect_is_cut() -> None:
    async with before_a_fake() as (tap, meet):
        _, near, far_in, _ = await meet()
        with tap.inject(drop("PUB", client="al\nice")):
            for byte in b'PING\r\nconnect {"user": "name", "name": "al\\nice"}\r\nPUB a 1\r\nx\r\nPING\r\n':
                near.write(bytes([byte]))
                await near.drain()
                await asyncio.sleep(0)
            assert [await far_in.readline() for _ in range(3)][0::2] == [b"PING\r\n"] * 2
        assert tap.history.where(op="PUB")[0].fate == "dropped"
        assert tap.history.where(op="PUB")[0].client == "al\nice"


async def test_half_a_frame_passes_on_when_the_fault_is_over() -> None:
    async with before_a_fake() as (tap, meet):
        _, near, far_in, _ = await meet()
        near.write(b"PUB a 3\r\nx")
        assert await far_in.readexactly(10) == b"PUB a 3\r\nx"
        with tap.inject(delay("PUB", 0.05)):
            near.write(b"yz\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2")
            assert await far_in.readexactly(16) == b"yz\r\nPUB a 1\r\n1\r\n"
        assert await far_in.readexactly(10) == b"PUB a 1\r\n2"


async def until(condition: Callable[[], object], deadline: float = 8) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.005)


# nats-py with a Tap and without


PEOPLE = """
max_payload: 10000
authorization { users: [
  { user: all, password: p }
  { user: few, password: p, permissions: { publish: ["mine", "$JS.>"], subscribe: ["mine", "_INBOX.>"] } }
] }
"""


async def barrier(client: Client) -> None:
    """`flush` alone lets PING overtake what was published before it."""
    await asyncio.sleep(0)
    await client.flush(5)


async def program(address: str, connect: Connect) -> list[object]:
    """Use nats-py in every way that a lesson does; return all that can be observed."""
    seen: list[object] = []
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error) or type(error).__name__)

    def url(who: str, password: str = "p") -> str:
        return f"nats://{who}:{password}@{address}"

    a, b = await connect(url("all"), name="a"), await connect(url("all"), name="b")
    subscription, queue = await b.subscribe("orders.>"), await b.subscribe("orders.>", queue="q")
    await barrier(b)
    for n in range(50):
        await a.publish(f"orders.{n % 3}", bytes(n * 7), headers={"n": f"{n}", "k": "é"} if n % 2 else None)
    for n in range(50):
        for messages in (subscription, queue):
            message = await messages.next_msg(5)
            seen.append((n, message.subject, message.data, message.headers))

    async def answer(message: Any) -> None:
        await message.respond(message.data.upper())

    await b.subscribe("service", cb=answer)
    await barrier(b)
    seen.append((await a.request("service", b"hello", timeout=5)).data)
    try:
        await a.request("nobody", b"", timeout=5)
    except nats.errors.NoRespondersError as error:
        seen.append(repr(error))

    stream = a.jetstream()
    await stream.add_stream(name="S", subjects=["s.>"])
    seen += [
        (ack.stream, ack.seq, ack.duplicate) for ack in [await stream.publish("s.x", b"%d" % n) for n in range(20)]
    ]
    again = [await stream.publish("s.x", b"", headers={"Nats-Msg-Id": "once"}) for _ in range(2)]
    seen += [(ack.seq, ack.duplicate) for ack in again]
    puller = await stream.pull_subscribe("s.>", durable="d", config=ConsumerConfig(ack_wait=30))
    while True:
        try:
            batch = await puller.fetch(8, timeout=1)
        except TimeoutError:  # nats-py's own, or asyncio's: it depends on where the time ran out
            break
        for message in batch:
            seen.append(
                (message.subject, message.data, message.metadata.sequence.stream, message.metadata.num_delivered)
            )
            await message.ack_sync(5)
    info = await puller.consumer_info()
    seen.append((info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq if info.ack_floor else None))
    await stream.delete_stream("S")

    with pytest.raises(nats.errors.MaxPayloadError):
        await b.publish("orders.big", bytes(20_000))
    b._max_payload = 1 << 20  # have the server refuse it, which says so and resets
    before = len(errors)
    await b.publish("orders.big", bytes(20_000))
    await until(lambda: b.is_closed)
    del errors[before:]  # which of the two is heard first, and whether the other is heard at all, is up to TCP

    few = await connect(url("few"), error_cb=note)
    await few.publish("other", b"")
    await few.subscribe("other")
    await barrier(few)
    stranger = Client()
    with pytest.raises(nats.errors.Error) as refused:
        await stranger.connect(url("all", "wrong"), allow_reconnect=False, error_cb=note)
    await stranger.close()
    seen.append(repr(refused.value))
    seen.append((a.is_connected, b.stats["reconnects"], a.stats["in_msgs"], a.stats["out_bytes"]))
    return [*seen, *(error for error in errors if "[Errno" not in error)]  # whether a reset is heard is up to TCP


async def test_nats_py_sees_no_difference(connect: Connect) -> None:
    async with Server(config=PEOPLE) as server:
        direct = await program(f"127.0.0.1:{server.port}", connect)
        async with Tap(server) as tap:
            tapped = await program(f"127.0.0.1:{port_of(tap.url)}", connect)
            assert tapped == direct
            text = "\n".join(map(str, direct)).lower()
            for witness in ("permissions violation for publish", "violation for subscription", "authorization"):
                assert witness in text
            history = tap.history
            for event in history.where(op="OPAQUE"):
                assert event.fate == "cut"
            assert {"a", "b"} <= set(history.clients)


async def slow_consumers(server: Server, url: str) -> int:
    """Publish to a client that does not read, until the server says that it is slow."""
    before = (await server.monitor("varz"))["slow_consumers"]
    with socket.create_connection(("127.0.0.1", port_of(url))) as deaf:
        deaf.sendall(b'CONNECT {"verbose":false}\r\nSUB flood 1\r\nPING\r\n')
        data = b""
        while b"PONG" not in data:
            data += deaf.recv(4096)
        publisher = await nats.connect(server.url)
        try:
            for n in range(2000):
                await publisher.publish("flood", bytes(100_000))
                if n % 10 == 0:
                    await barrier(publisher)
                    if (found := (await server.monitor("varz"))["slow_consumers"]) > before:
                        return int(found - before)
        finally:
            await publisher.close()
    return 0


async def test_a_client_that_does_not_read_is_slow_to_the_server() -> None:
    async with Server(config='max_pending: 2MB\nwrite_deadline: "300ms"') as server, Tap(server) as tap:
        assert await slow_consumers(server, server.url) == 1
        assert await slow_consumers(server, tap.url) == 1
        await until(lambda: "disconnected" in tap.history[-1].text)


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.parent / "ca.pem"))


@pytest.mark.parametrize("first", [False, True])
async def test_tls_passes_and_is_opaque(certificate: Path, tls: ssl.SSLContext, connect: Connect, first: bool) -> None:
    config = f'tls {{ cert_file: "{certificate}", key_file: "{certificate}", handshake_first: {str(first).lower()} }}'
    async with Server(config=config) as server, Tap(server) as tap:
        client = await connect(tap.url, tls=tls, tls_handshake_first=first)
        subscription = await client.subscribe("a")
        await barrier(client)
        await client.publish("a", b"secret")
        assert (await subscription.next_msg(5)).data == b"secret"
        assert "secret" not in "".join(repr(event.frame and event.frame.raw) for event in tap.history)
        assert {event.op for event in tap.history.where(direction=TO_SERVER)} == {"OPAQUE"}
        assert tap.history.where(kind="client")[1].text.startswith("opaque")
        refused = r"^`drop MSG` cannot see frames on the link of c1, .*\(TLS\?\).*[.]$"
        with pytest.raises(TapError, match=refused), tap.inject(stall(), drop("MSG")):
            pass
        assert not tap.history.where(kind="fault")
        with tap.inject(stall(direction=TO_CLIENT)):
            await client.publish("a", b"late")
            with pytest.raises(nats.errors.TimeoutError):
                await subscription.next_msg(0.1)
        assert (await subscription.next_msg(5)).data == b"late"
        with tap.inject(throttle(1e6)):
            await client.publish("a", b"slow")
            assert (await subscription.next_msg(5)).data == b"slow"
        with tap.inject(reset()):
            await until(lambda: client.stats["reconnects"] == 1 and client.is_connected)


async def test_a_fault_that_was_armed_before_tls_came_says_so(
    certificate: Path, tls: ssl.SSLContext, connect: Connect
) -> None:
    async with (
        Server(config=f'tls {{ cert_file: "{certificate}", key_file: "{certificate}" }}') as server,
        Tap(server) as tap,
    ):
        with tap.inject(drop("MSG")):
            await barrier(await connect(tap.url, tls=tls))
        assert any("no fault on frames reaches it" in event.text for event in tap.history)


# A blocked cell, a stuck owner


TALKER = """
import asyncio, sys, time, nats
async def main():
    client = await nats.connect(sys.argv[1])
    got = await client.subscribe("tick")
    while True:
        await client.publish("tick")
        await got.next_msg(10)
        print(time.monotonic(), flush=True)
        await asyncio.sleep(0.005)
asyncio.run(main())
"""


@contextlib.contextmanager
def talking(url: str, path: Path) -> Iterator[Callable[[float, float], int]]:
    """Another process that sends itself messages; gives how many came within a span of monotonic time."""
    with path.open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", TALKER, url], stdout=log)

    def between(begin: float, end: float) -> int:
        return sum(begin <= float(line) < end for line in path.read_text().splitlines()[:-1])

    try:
        while not path.stat().st_size:
            assert process.poll() is None
            time.sleep(0.01)
        yield between
    finally:
        process.kill()
        process.wait()


async def test_a_cell_that_blocks_stops_nobody_elses_traffic(server: Server, tmp_path: Path) -> None:
    async with Tap(server) as tap:
        with talking(tap.url, tmp_path / "log") as between:
            began = time.monotonic()
            time.sleep(2)  # noqa: ASYNC251 - as a cell does
            slept = time.monotonic()
            while time.monotonic() < slept + 2:
                pass
            ended = time.monotonic()
            # In every half second of it; a Tap in the kernel's loop would pass none at all.
            halves = [between(began + n / 2, began + (n + 1) / 2) for n in range(int((ended - began) * 2))]
            assert min(halves) > 5
            seen = len(tap.history.where(op="MSG"))
        assert seen >= between(began, ended)


OWNER = """
import asyncio, sys, time
from natsdemo.tap import Tap
async def main():
    tap = await Tap(sys.argv[1]).start()
    print(tap.url, tap._process.pid, flush=True)
    if sys.argv[2] == "leave":
        return
    await asyncio.to_thread(sys.stdin.readline)
    print(len(tap.history.where(op="PUB")), tap.history.unrecorded, flush=True)
    await tap.close()
asyncio.run(main())
"""


class Owner:
    """Another process that has a Tap."""

    def __init__(self, server: Server, what: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, server.url, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.url, pid = self.process.stdout.readline().split()
        self.wire = psutil.Process(int(pid))

    async def gone(self) -> None:
        await until(lambda: not self.wire.is_running() or self.wire.status() == psutil.STATUS_ZOMBIE)
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("how", ["killed", "leave"])
async def test_the_wire_ends_with_its_owner(server: Server, how: str) -> None:
    owner = Owner(server, how)
    if how == "killed":
        owner.process.kill()
    await owner.gone()


async def test_a_stuck_owner_holds_up_nobody(server: Server, connect: Connect) -> None:
    owner = Owner(server, "stay")
    client = await connect(owner.url)
    subscription = await client.subscribe("a")
    owner.process.send_signal(signal.SIGSTOP)
    count = 0
    end = time.monotonic() + 2
    while time.monotonic() < end or count < 200:  # far more than fits into the sockets to the owner
        await client.publish("a", bytes(5000))
        assert len((await subscription.next_msg(5)).data) == 5000
        count += 1
    owner.process.send_signal(signal.SIGCONT)
    assert owner.process.stdin
    assert owner.process.stdout
    owner.process.stdin.write("\n")
    owner.process.stdin.flush()
    assert await asyncio.to_thread(owner.process.stdout.readline) == f"{count} 0\n"
    await client.close()
    await owner.gone()


def test_what_a_stuck_owner_never_took_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "TOO_MUCH", 500_000)
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with ours, theirs:
        stuck = wire.Wire(theirs, {}, 0, False)
        for _ in range(3000):
            stuck._tell("note", "x" * 1000)
            stuck._hand_over()
        assert len(stuck.answers) < 700_000
        theirs.setblocking(True)
        writer = threading.Thread(target=theirs.sendall, args=(bytes(stuck.answers),))
        writer.start()
        history = History()
        with ours.makefile("rb") as blocks:
            while len(history) + history.unrecorded < 3000:
                letter, size = wire.BLOCK.unpack(blocks.read(wire.BLOCK.size))
                data = blocks.read(size)
                history.feed(data) if letter == b"r" else history.leave_out(int(data))
        writer.join()
        stuck.selector.close()
        assert len(history) > 400
        assert history.unrecorded > 1000


async def test_a_forked_child_does_not_keep_the_wire_alive(server: Server) -> None:
    async with Tap(server) as tap:
        assert tap._process
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, b"%d" % tap._control.fileno() if tap._control else b"")
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(read, 10) == b"-1"
        os.close(read)
        os.close(write)


# Reconnects


async def test_a_reconnect_goes_to_the_tap_again(server: Server, connect: Connect) -> None:
    async with Tap(server) as tap:
        client = await connect(tap.url, name="alice")
        for n in range(1, 4):
            with tap.inject(reset()):
                pass
            await until(lambda n=n: client.stats["reconnects"] == n and client.is_connected)  # type: ignore[misc]
        assert connected_port(client) == port_of(tap.url)
        assert tap.history.clients == ["alice"]
        assert {event.conn for event in tap.history.where(client="alice", op="CONNECT")} == {1, 2, 3, 4}


@pytest.mark.parametrize("advertise", [False, True])
async def test_in_a_cluster_too(connect: Connect, advertise: bool) -> None:
    ports = next(p for p in iter(free_port, None) if [free_port(), free_port()] == [p + 1, p + 2])
    names = {f"n{i + 1}": f"127.0.0.1:{ports + i}" for i in range(3)}
    async with Cluster(advertise=names if advertise else False) as cluster, Tap(cluster, port=ports) as tap:
        assert tap.urls == [f"nats://{address}" for address in names.values()]
        client = await connect(tap.urls[0] if advertise else tap.urls, name="alice", dont_randomize=True)
        if advertise:
            await until(lambda: len(client._server_pool) == 3)
        assert tap.history.where(client="alice")[0].node == "n1"
        with tap.inject(reset()):
            pass
        await until(lambda: client.stats["reconnects"] == 1 and client.is_connected)
        here = next(name for name, address in names.items() if address.endswith(f":{connected_port(client)}"))
        await cluster[here].kill()
        await until(lambda: client.stats["reconnects"] >= 2 and client.is_connected)
        assert connected_port(client) in range(ports, ports + 3)
        assert connected_port(client) != port_of(names[here])
        assert ("server", here, "kill") in {(event.kind, event.node, event.text) for event in tap.history}
        connects = tap.history.where(client="alice", op="CONNECT")
        assert len({event.conn for event in connects}) == len(connects) >= 3


def connected_port(client: Client) -> int:
    return (client.connected_url and client.connected_url.port) or 0


# Faults, from end to end


class Pair:
    """A publisher and a subscriber behind one Tap."""

    def __init__(self, tap: Tap, publisher: Client, subscriber: Client) -> None:
        self.tap, self.publisher, self.subscriber = tap, publisher, subscriber
        self.got: list[str] = []

    async def send(self, *words: str) -> None:
        for word in words:
            await self.publisher.publish("orders", word.encode())
        await barrier(self.publisher)

    async def receive(self, count: int) -> str:
        await until(lambda: len(self.got) >= count)
        await barrier(self.subscriber)
        got, self.got = " ".join(self.got), []
        return got

    def told(self, since: int = 0) -> list[str]:
        return [event.text for event in self.tap.history[since:].where(kind="fault")]


@pytest.fixture
async def pair(server: Server, connect: Connect) -> AsyncIterator[Pair]:
    async with Tap(server, seed=7) as tap:
        pair = Pair(tap, await connect(tap.url, name="alice"), await connect(tap.url, name="bob"))

        async def got(message: Any) -> None:
            pair.got.append(message.data.decode())

        await pair.subscriber.subscribe("orders", cb=got)
        await barrier(pair.subscriber)
        yield pair
        await pair.publisher.close()
        await pair.subscriber.close()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (drop("PUB", nth=2), "1 3 4"),
        (drop("MSG", nth=2), "1 3 4"),
        (drop("MSG", client="bob", first=2), "3 4"),
        (drop("MSG", client="alice"), "1 2 3 4"),
        (drop("MSG", node="elsewhere"), "1 2 3 4"),
        (drop("PUB", subject="bills.>"), "1 2 3 4"),
        (duplicate("PUB", every=2), "1 2 2 3 4 4"),
        (duplicate("MSG", nth=1), "1 1 2 3 4"),
        (reorder("PUB", nth=2), "1 3 2 4"),
        (reorder("MSG", nth=3), "1 2 4 3"),
        (reorder("MSG", 0.1, nth=4), "1 2 3 4"),
        (delay("PUB", 0.1, nth=3), "1 2 3 4"),
        (delay("MSG", 0.05, jitter=0.05), "1 2 3 4"),
    ],
)
async def test_faults_on_frames(pair: Pair, fault: Fault, expected: str) -> None:
    with pair.tap.inject(fault):
        await pair.send(*"1234")
        assert await pair.receive(len(expected.split())) == expected
    told = pair.told()
    assert told[0] == f"armed: {fault}"
    assert told[-1] == f"healed: {fault}"
    hits = [text for text in told if text.startswith(f"hit: {fault}: ")]
    assert len(hits) == len(told) - 2
    untouched = fault.client == "alice" or fault.node or fault.subject
    assert bool(hits) is not bool(untouched)
    await pair.send(*"56")
    assert await pair.receive(2) == "5 6"


async def test_chance_repeats_itself_with_the_seed(server: Server, connect: Connect) -> None:
    async def fates(seed: int, looks: int) -> list[str]:
        async with Tap(server, seed=seed) as tap:
            client = await connect(tap.url)
            for _ in range(looks):
                len(tap.history)
            with tap.inject(drop("PUB", probability=0.5)):
                for _ in range(40):
                    await client.publish("a")
                await barrier(client)
            await client.close()
            return [event.fate for event in tap.history.publishes]

    assert await fates(1, looks=0) == await fates(1, looks=5)
    assert await fates(1, looks=0) != await fates(2, looks=0)


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT, None])
async def test_stall(pair: Pair, direction: str | None) -> None:
    with pair.tap.inject(stall(client="bob", direction=direction)):
        await pair.send(*"12")
        if direction == TO_SERVER:
            assert await pair_got(pair, 2) == "1 2"
        else:
            await asyncio.sleep(0.05)
            assert not pair.got
        await pair.subscriber.publish("orders", b"from bob")
        await asyncio.sleep(0.05)
        assert "from bob" not in pair.got
    await until(lambda: "from bob" in pair.got)
    if direction != TO_SERVER:
        assert pair.got == ["1", "2", "from bob"]
    held = [event for event in pair.tap.history.where(client="bob") if event.held > 0.04]
    assert held
    assert direction is None or {event.direction for event in held} == {direction}


async def pair_got(pair: Pair, count: int) -> str:
    await until(lambda: len(pair.got) >= count)
    return " ".join(pair.got)


async def test_throttle(pair: Pair) -> None:
    with pair.tap.inject(throttle(20_000, client="bob", direction=TO_CLIENT)):
        for n in range(100):
            await pair.publisher.publish("orders", b"%03d" % n + bytes(97))
        assert len((await pair_got(pair, 100)).split()) == 100
    sent = pair.tap.history.deliveries
    size = len(sent[0].frame.raw) if sent[0].frame else 0
    rate = size * (len(sent) - 1) / sent.duration
    assert rate <= 20_000 * 1.02
    assert rate >= 20_000 * 0.5  # a busy machine may be late, it may never be early


async def test_reset_on_a_frame(pair: Pair) -> None:
    with pair.tap.inject(reset("PUB", nth=2)):
        await pair.publisher.publish("orders", b"1")
        await pair.publisher.publish("orders", b"2")
        await until(lambda: pair.publisher.stats["reconnects"] == 1 and pair.publisher.is_connected)
        assert await pair.receive(1) == "1"
        assert pair.subscriber.stats["reconnects"] == 0
    assert [event.fate for event in pair.tap.history.publishes] == ["forwarded", "cut"]
    assert "disconnected: reset by a fault" in [event.text for event in pair.tap.history.where(client="alice")]


async def test_partition_and_heal(pair: Pair) -> None:
    with pair.tap.inject(partition(client="alice")):
        await until(lambda: not pair.publisher.is_connected)
        await until(lambda: len([e for e in pair.tap.history.where(client="alice") if "parted" in e.text]) >= 3)
        assert "cut" in {event.fate for event in pair.tap.history.where(client="alice", op="CONNECT")}
        assert pair.subscriber.is_connected
    await until(lambda: pair.publisher.is_connected)
    await pair.send("1")
    assert await pair.receive(1) == "1"
    assert pair.subscriber.stats["reconnects"] == 0


async def test_partition_of_a_node(connect: Connect) -> None:
    async with Server() as one, Server() as two, Tap(f"{one.url},{two.url}") as tap:
        first, second = await connect(tap.urls[0]), await connect(tap.urls[1])
        with tap.inject(partition(node="server1")):
            await until(lambda: not first.is_connected)
            assert second.is_connected
        await until(lambda: first.is_connected)


async def test_without_a_subject_requests_work_on(pair: Pair) -> None:
    async def answer(message: Any) -> None:
        await message.respond(b"yes")

    await pair.subscriber.subscribe("service", cb=answer)
    await barrier(pair.subscriber)
    with pair.tap.inject(drop("PUB", subject="orders"), drop("MSG", subject="orders")):
        assert (await pair.publisher.request("service", timeout=5)).data == b"yes"
    with pair.tap.inject(duplicate("PUB")):
        assert (await pair.publisher.jetstream().account_info()).streams == 0
        assert not [text for text in pair.told(len(pair.tap.history) - 20) if "$JS" in text and text.startswith("hit")]


async def test_a_fault_is_off_after_its_block_whatever_happened(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError), pair.tap.inject(drop("PUB"), drop("MSG")):
        raise ZeroDivisionError
    assert pair.told()[2:] == ["healed: drop PUB", "healed: drop MSG"]
    with contextlib.suppress(asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(0.05):
            with pair.tap.inject(drop("PUB")):
                await asyncio.sleep(10)
    await pair.send("1")
    assert await pair.receive(1) == "1"


async def test_a_tap_may_be_closed_inside_the_block(server: Server) -> None:
    async with Tap(server) as tap:
        with tap.inject(stall()):
            await tap.close()
    assert tap.history[-1].text == "armed: stall"


# Opening, closing, breaking down


async def test_opening_and_closing(server: Server, connect: Connect) -> None:
    tap = Tap(server)
    with pytest.raises(TapError, match="no address yet"):
        _ = tap.url
    assert await tap.start() is tap
    url = tap.url
    await tap.start()
    assert tap.url == url
    client = await connect(url, name="alice", allow_reconnect=False)
    with tap.inject(delay("PUB", 60)):
        await client.publish("a", b"never")
        await barrier_sent(tap)
        await tap.close()
    await tap.close()
    last = tap.history.where(client="alice")
    assert [(event.op, event.fate) for event in last][-2:-1] == [("PUB", "cut")]
    assert last[-1].text == "disconnected: the Tap was closed"
    assert repr(tap) == f"<Tap closed, {len(tap.history)} events>"
    assert tap.url == url
    await until(lambda: client.is_closed)
    deeds: list[Callable[[], object]] = [lambda: tap.note("x"), tap.inject(drop("PUB")).__enter__]
    for deed in deeds:
        with pytest.raises(TapError, match=r"not open"):
            deed()
    with pytest.raises(TapError, match="stays so"):
        await tap.start()


async def barrier_sent(tap: Tap) -> None:
    await until(lambda: any(event.text.startswith("hit") for event in tap.history))


async def test_a_dead_target_refuses_and_may_come_back(connect: Connect) -> None:
    server = Server(port=free_port())
    async with Tap(server) as tap:
        with pytest.raises(OSError):  # noqa: PT011 - reset, or closed before the first byte
            await refused(tap.url)
        assert tap.history[-1].text == "disconnected: the server refused it"
        async with server:
            url = tap.url
            client = await connect(url)
            await server.kill()
            await until(lambda: not client.is_connected)
            await server.start()
            await until(lambda: client.is_connected)
            await barrier(await connect(url))
            verbs = [event.text for event in tap.history.where(kind="server")]
            assert verbs == ["start", "kill", "start"]


async def refused(url: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    try:
        if not await reader.read():
            raise ConnectionResetError
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_wire_that_was_killed_is_told_in_one_sentence(server: Server, connect: Connect) -> None:
    tap = await Tap(server).start()
    client = await connect(tap.url, allow_reconnect=False)
    begun = tap.inject(stall())
    begun.__enter__()
    assert tap._process
    tap._process.kill()
    tap._process.wait()
    began = time.monotonic()
    deeds: list[Callable[[], object]] = [lambda: len(tap.history), lambda: tap.note("x")]
    for deed in [*deeds, tap.inject(drop("PUB")).__enter__]:
        with pytest.raises(TapError, match=r"^The Tap's process has ended[^\n]*\.$"):
            deed()
    assert repr(tap) == "<Tap whose process has ended>"
    begun.__exit__(None, None, None)
    await server.restart()  # its news find no Tap, and that is no error
    await tap.close()
    assert time.monotonic() - began < 5
    assert "armed: stall" in str(tap.history)
    await until(lambda: client.is_closed)


async def test_taps_in_a_chain(server: Server, connect: Connect) -> None:
    async with Tap(server) as inner, Tap(inner) as outer:
        client = await connect(outer.url, name="alice")
        await client.publish("a", b"1")
        await barrier(client)
        with inner.inject(drop("PUB")):
            await client.publish("a", b"2")
            await barrier(client)
        assert [event.fate for event in outer.history.publishes] == ["forwarded", "forwarded"]
        assert [event.fate for event in inner.history.publishes] == ["forwarded", "dropped"]
        assert inner.history.clients == outer.history.clients == ["alice"]


async def test_several_taps_at_once(connect: Connect) -> None:
    async with Server() as server:
        taps = [await Tap(server).start() for _ in range(5)]
        try:
            assert len({tap.url for tap in taps}) == 5
            for n, tap in enumerate(taps):
                client = await connect(tap.url, name=f"client {n}")
                await barrier(client)
                assert tap.history.clients == [f"client {n}"]
        finally:
            for tap in taps:
                await tap.close()


async def test_credentials_are_kept_and_never_shown(connect: Connect) -> None:
    async with Server(config="authorization { user: me, password: secret }") as server:
        address = server.url.removeprefix("nats://")
        async with Tap(f"nats://me:secret@{address}") as tap, Tap(f"me:secret@{address}") as other:
            assert tap.url.startswith("nats://me:secret@127.0.0.1:")
            await barrier(await connect(tap.url))
            await barrier(await connect(other.url))
            assert "secret" not in repr(tap) + tap._repr_html_() + repr(other)
            assert str(port_of(tap.url)) in repr(tap)


async def test_a_port_that_is_taken(server: Server) -> None:
    async with Tap(server) as tap:
        with pytest.raises(TapError, match=rf"^Port {port_of(tap.url)} is taken by another program[^\n]*\.$"):
            await Tap(server, port=port_of(tap.url)).start()
    with pytest.raises(TapError, match=r"cannot listen at port 70000"):
        await Tap(server, port=70000).start()


@pytest.mark.parametrize(
    "address", ["nats://127.0.0.1:None", "nats://me:secret@host:abc", "nats://[::1", "nats://nowhere.invalid"]
)
async def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(TapError, match=r"^[^\n]{10,120}\.$") as refused:
        await Tap(address).start()
    assert "secret" not in str(refused.value)


async def test_a_name_for_an_address(server: Server, connect: Connect) -> None:
    async with Tap(f"localhost:{server.port}") as tap:
        await barrier(await connect(tap.url))
        assert tap.history.where(op="INFO")[0].node == "server"


async def test_notes_stand_where_they_were_taken(pair: Pair) -> None:
    await pair.send("1")
    pair.tap.note("half <b>time</b>\n")
    await pair.send("2")
    (note,) = pair.tap.history.where(kind="note")
    before, after = pair.tap.history.publishes
    assert before.number < note.number < after.number
    assert note.text == "half <b>time</b>\n"


async def test_one_order_on_one_clock(pair: Pair) -> None:
    with pair.tap.inject(delay("MSG", 0.01, jitter=0.01), throttle(50_000, client="bob"), reorder("PUB", 0.02)):
        await pair.send(*map(str, range(100)))
        await pair.receive(100)
    with pair.tap.inject(reset()):
        pass
    await until(lambda: pair.publisher.is_connected and pair.subscriber.is_connected)
    times = [event.time for event in pair.tap.history]
    assert times == sorted(times)


def test_every_fault_can_be_sent_to_the_wire() -> None:
    for fault in (drop("PUB", client="x\ny 'z\""), partition(node="é")):
        assert faults.parse(str(fault)) == fault
    assert re.fullmatch(r"[^\n]*", str(drop("PUB", subject="a")))
