"""The protocol, h11's way: one table used in both directions, then laws that hold for any frame and any cutting."""

import contextlib
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsdemo import protocol
from natsdemo.protocol import (
    LIMITS,
    TO_CLIENT,
    TO_SERVER,
    Frame,
    Parser,
    ProtocolError,
    Scanner,
    decode,
    encode,
)

# The plain form of every operation: read, it gives the frame; written, the frame gives the bytes.
CASES = [
    (TO_CLIENT, Frame("INFO", payload=b'{"server_id":"N"}'), b'INFO {"server_id":"N"}\r\n'),
    (TO_SERVER, Frame("CONNECT", payload=b'{"verbose":false}'), b'CONNECT {"verbose":false}\r\n'),
    (TO_SERVER, Frame("PUB", subject="a.b", payload=b"hello"), b"PUB a.b 5\r\nhello\r\n"),
    (TO_SERVER, Frame("PUB", subject="a", reply="r.1", payload=b""), b"PUB a r.1 0\r\n\r\n"),
    (TO_SERVER, Frame("PUB", subject="a", payload=b"PUB a 9\r\n"), b"PUB a 9\r\nPUB a 9\r\n\r\n"),
    (
        TO_SERVER,
        Frame("HPUB", subject="a", headers=(("K", "v"), ("K", "w")), payload=b"hi"),
        b"HPUB a 24 26\r\nNATS/1.0\r\nK: v\r\nK: w\r\n\r\nhi\r\n",
    ),
    (TO_SERVER, Frame("HPUB", subject="a", reply="r", headers=()), b"HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n"),
    (TO_SERVER, Frame("SUB", subject="a.>", sid="1"), b"SUB a.> 1\r\n"),
    (TO_SERVER, Frame("SUB", subject="a.*", queue="q", sid="x2"), b"SUB a.* q x2\r\n"),
    (TO_SERVER, Frame("UNSUB", sid="1"), b"UNSUB 1\r\n"),
    (TO_SERVER, Frame("UNSUB", sid="1", max_msgs=5), b"UNSUB 1 5\r\n"),
    (TO_CLIENT, Frame("MSG", subject="a", sid="1", payload=b"\xff\x00"), b"MSG a 1 2\r\n\xff\x00\r\n"),
    (TO_CLIENT, Frame("MSG", subject="a", sid="1", reply="r", payload=b"x"), b"MSG a 1 r 1\r\nx\r\n"),
    (TO_CLIENT, Frame("MSG", subject="\udcff<b>\x0b\x85", sid="1"), b"MSG \xff<b>\x0b\xc2\x85 1 0\r\n\r\n"),
    (
        TO_CLIENT,
        Frame("HMSG", subject="a", sid="1", headers=(), status=503),
        b"HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
    ),
    (
        TO_CLIENT,
        Frame("HMSG", subject="a", sid="1", reply="r", headers=(), status=100, description="Idle Heartbeat"),
        b"HMSG a 1 r 31 31\r\nNATS/1.0 100 Idle Heartbeat\r\n\r\n\r\n",
    ),
    (TO_SERVER, Frame("PING"), b"PING\r\n"),
    (TO_CLIENT, Frame("PONG"), b"PONG\r\n"),
    (TO_CLIENT, Frame("+OK"), b"+OK\r\n"),
    (TO_CLIENT, Frame("-ERR", payload=b"Stale Connection"), b"-ERR 'Stale Connection'\r\n"),
]

# What nats-server 2.15.1 takes too (tried), but nobody writes: read only.
ODD_CASES = [
    (TO_SERVER, Frame("PING"), b"ping \t\r\n"),
    (TO_SERVER, Frame("PING"), b"PING\r\r\n"),
    (TO_SERVER, Frame("PING"), b"PING foo\n"),
    (TO_SERVER, Frame("CONNECT", payload=b"{}"), b"Connect\t{} \r\n"),
    (TO_SERVER, Frame("CONNECT", payload=b"{}"), b"CONNECT{}\r\n"),
    (TO_SERVER, Frame("SUB", subject="a", queue="q", sid="1"), b"sub\ta\t \tq  1 \r\n"),
    (TO_SERVER, Frame("SUB", subject="a", sid="1"), b"SUB a 1\n"),
    (TO_SERVER, Frame("SUB", subject="a", queue="b", sid="1"), b"SUB a\rb 1\r\n"),
    (TO_SERVER, Frame("UNSUB", sid="1"), b"UNSUB 1 x\r\n"),
    (TO_SERVER, Frame("PUB", subject="a", payload=b"hi"), b"PUB a 2\nhi\r\n"),
    (TO_SERVER, Frame("PUB", subject="a", reply="r", payload=b"hi"), b"pUb\ta  r 002 \r\nhi\r\n"),
    (TO_SERVER, Frame("HPUB", subject="a", headers=(), payload=b"hi"), b"HPUB a 0 2\r\nhi\r\n"),
    (TO_SERVER, Frame("HPUB", subject="a", headers=(), payload=b"hi"), b"HPUB a 3 5\r\nabchi\r\n"),
    (TO_CLIENT, Frame("INFO", payload=b"{}"), b"INFO {} \r\n"),  # the blank is what the server really sends
    (TO_CLIENT, Frame("-ERR", payload=b"bare"), b"-ERR bare\r\n"),
    (TO_CLIENT, Frame("HMSG", subject="a", sid="1", headers=()), b"HMSG a 1 17 17\r\nNATS/1.0 5031\r\n\r\n\r\n"),
    (
        TO_CLIENT,
        Frame("HMSG", subject="a", sid="1", headers=(("a", "1:2"), ("B", "")), status=404, description="None"),
        b"HMSG a 1 38 38\r\nNATS/1.0  404None \r\na:1:2\r\nx\r\nB: \t\r\n\r\n\r\n",
    ),
]

BAD = [
    (TO_SERVER, b"\r\n"),
    (TO_SERVER, b" PING\r\n"),
    (TO_SERVER, b"PI NG\r\n"),
    (TO_SERVER, b"\x16\x03\x01"),  # TLS: refused before a line has ended
    (TO_SERVER, "ſub a 1\r\n".encode()),
    (TO_SERVER, b"MSG a 1 0\r\n\r\n"),
    (TO_CLIENT, b"PUB a 0\r\n\r\n"),
    (TO_SERVER, b"SUB a\r\n"),
    (TO_SERVER, b"SUB a b c d\r\n"),
    (TO_SERVER, b"UNSUB\r\n"),
    (TO_SERVER, b"UNSUB 1 2 3\r\n"),
    (TO_SERVER, b"PUB a\r\n"),
    (TO_SERVER, b"PUB a b c 0\r\n"),
    (TO_SERVER, b"PUB a -1\r\n"),
    (TO_SERVER, b"PUB a +1\r\n"),
    (TO_SERVER, b"PUB a 1_0\r\n"),
    (TO_SERVER, "PUB a ١\r\n".encode()),
    (TO_SERVER, b"PUB a 0000000001\r\n"),
    (TO_SERVER, b"PUB a 1048577\r\n"),
    (TO_SERVER, b"HPUB a 14 12\r\n"),
    (TO_CLIENT, b"HMSG a 1 14 12\r\n"),
    (TO_SERVER, b"PUB a 2\r\nhi\nPING\r\n"),
    (TO_SERVER, b"PUB a 2\r\nhiXX"),
    (TO_SERVER, b"SUB " + b"x" * 5000),
    (TO_SERVER, b"SUB " + b"x" * 5000 + b" 1\r\n"),
    (TO_CLIENT, b"INFO " + b" " * LIMITS[TO_CLIENT][0]),
]


def bare(frames: list[Frame]) -> list[Frame]:
    return [frame._replace(raw=b"") for frame in frames]


def scan(direction: str, chunks: list[bytes]) -> tuple[list[bytes], bytes, bool]:
    """Everything a scanner says of a stream: its frames, what was not given back, and whether it failed."""
    scanner, frames, untaken = Scanner(direction), list[bytes](), b""
    for chunk in chunks:
        untaken += chunk if scanner.error else b""
        with contextlib.suppress(ProtocolError):
            frames += scanner.feed(chunk)
        assert len(scanner.rest) == scanner.pending
    return frames, scanner.rest + untaken, scanner.error is not None


@pytest.mark.parametrize(("direction", "frame", "data"), CASES + ODD_CASES, ids=repr)
def test_reading_whole_byte_by_byte_and_with_more_behind(direction: str, frame: Frame, data: bytes) -> None:
    (whole,) = Parser(direction).feed(data)
    assert whole == frame._replace(raw=data)
    assert decode(data) == whole

    parser = Parser(direction)
    assert [found for byte in data for found in parser.feed(bytes([byte]))] == [whole]
    assert parser.scanner.pending == 0

    parser = Parser(direction)
    assert parser.feed(data + b"PING\r\nPI") == [whole, Frame("PING", raw=b"PING\r\n")]
    assert (parser.scanner.rest, parser.scanner.pending) == (b"PI", 2)


@pytest.mark.parametrize(("direction", "frame", "data"), CASES, ids=repr)
def test_writing(direction: str, frame: Frame, data: bytes) -> None:
    assert encode(frame) == data


@pytest.mark.parametrize(("direction", "data"), BAD, ids=lambda value: repr(value[:30]))
def test_garbage_is_refused_and_nothing_of_it_is_lost(direction: str, data: bytes) -> None:
    scanner = Scanner(direction)
    with pytest.raises(ProtocolError) as first:
        scanner.feed(data)
    with pytest.raises(ProtocolError) as again:
        scanner.feed(b"PING\r\n")
    assert first.value is again.value is scanner.error
    assert scanner.rest == data
    assert len(str(first.value)) < 200

    scanner = Scanner(direction)  # what is whole before the damage is not lost by it
    assert scanner.feed(b"PING\r\n" + data) == [b"PING\r\n"]
    assert scanner.error is not None
    assert scanner.rest == data


@pytest.mark.parametrize("data", [b"", b"PI", b"PING", b"PUB a 2\r\nhi", b"PUB a 2\r\nhi\r\nPING\r\n"])
def test_decode_wants_one_whole_frame(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_limits() -> None:
    scanner = Scanner(TO_SERVER)
    line = b"SUB " + b"x" * 4094 + b" 1\r\n"  # 4,096 bytes of arguments: the server takes it
    assert scanner.feed(line) == [line]
    scanner.max_payload = 3
    with pytest.raises(ProtocolError, match="over 3 bytes"):
        scanner.feed(b"PUB a 4\r\n")

    full = encode(Frame("HMSG", "a", "1", headers=(("Nats-Stream", "S"),), payload=b"x" * (1 << 20)))
    assert Scanner(TO_CLIENT).feed(full) == [full]  # JetStream's direct get of a message of full size


def test_reprs_are_one_short_line() -> None:
    nasty = "<script>\n\x1b[2J\udcff\u202e" * 100_000
    frame = Frame("HMSG", nasty, nasty, nasty, nasty, ((nasty, nasty),), nasty.encode("utf-8", "surrogateescape"), 1)
    assert len(repr(frame)) < 700
    assert repr(frame).isprintable()
    assert repr(frame).isascii()
    assert repr(decode(b"PUB a 2\r\nhi\r\n")) == "<PUB subject='a' payload=b'hi'>"


def to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


tokens = st.one_of(
    st.from_regex(r"[a-z$_]{1,8}(\.[a-z*>]{1,5}){0,3}", fullmatch=True),
    st.binary(max_size=12).map(lambda data: to_text(data.translate(None, b" \t\r\n") or b"x")),
)
lines = st.binary(max_size=12).map(lambda data: to_text(data.translate(None, b"\r\n:")).strip(" \t"))
headers = st.lists(st.tuples(lines, lines), max_size=3).map(tuple)
payloads = st.binary(max_size=40)
replies = st.just("") | tokens
text = st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"").strip(b" \t\r"))


def frames(op: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Frame]:
    return st.fixed_dictionaries(fields).map(lambda values: Frame(op, **values))


to_server = st.one_of(
    frames("CONNECT", payload=text),
    frames("PUB", subject=tokens, reply=replies, payload=payloads),
    frames("HPUB", subject=tokens, reply=replies, headers=headers, payload=payloads),
    frames("SUB", subject=tokens, queue=replies, sid=tokens),
    frames("UNSUB", sid=tokens, max_msgs=st.integers(0, 999_999_999)),
    frames("PING"),
    frames("PONG"),
)
status = {"status": st.integers(0, 999), "description": lines}
to_client = st.one_of(
    frames("INFO", payload=text),
    frames("MSG", subject=tokens, sid=tokens, reply=replies, payload=payloads),
    frames("HMSG", subject=tokens, sid=tokens, reply=replies, headers=headers, payload=payloads),
    frames("HMSG", subject=tokens, sid=tokens, headers=headers, **status),
    frames("-ERR", payload=text),
    frames("PING"),
    frames("PONG"),
    frames("+OK"),
)
streams = st.one_of(
    st.tuples(st.just(TO_SERVER), st.lists(to_server, max_size=8)),
    st.tuples(st.just(TO_CLIENT), st.lists(to_client, max_size=8)),
)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


cuts = st.lists(st.integers(0, 10_000), max_size=10)


@given(streams, cuts)
def test_any_stream_in_any_cutting(stream: tuple[str, list[Frame]], at: list[int]) -> None:
    direction, frames = stream
    data = b"".join(map(encode, frames))
    parser = Parser(direction)
    read = [frame for chunk in cut(data, at) for frame in parser.feed(chunk)]
    assert bare(read) == frames
    assert b"".join(frame.raw for frame in read) == data
    assert b"".join(map(encode, read)) == data
    assert parser.scanner.pending == 0


pieces = st.sampled_from(
    b"PUB|MSG a 1|HPUB a 12|SUB|UNSUB|INFO|CONNECT|-ERR|+OK|PING|PONG".split(b"|")
    + b" |\t|\r\n|\n| a| 1| 3| 4097| 999999999|NATS/1.0 503\r\n|K: v".split(b"|")
)
messes = st.lists(pieces | st.binary(max_size=6), max_size=40).map(b"".join)


def check_garbage(direction: str, data: bytes, chunks: list[bytes]) -> None:
    """Garbage gives frames or a ProtocolError, the same in any cutting, and keeps every byte."""
    whole, rest, failed = scan(direction, [data])
    assert b"".join(whole) + rest == data
    assert scan(direction, chunks) == (whole, rest, failed)
    for raw in whole:
        frame = decode(raw)
        assert decode(encode(frame))._replace(raw=raw) == frame
        assert len(repr(frame)) < 700


@given(st.sampled_from([TO_SERVER, TO_CLIENT]), messes, cuts)
def test_garbage_in_any_cutting(direction: str, data: bytes, at: list[int]) -> None:
    check_garbage(direction, data, cut(data, at))


@given(streams, cuts, st.binary(max_size=3), st.integers(0, 10_000))
def test_damage_in_any_cutting(stream: tuple[str, list[Frame]], at: list[int], damage: bytes, place: int) -> None:
    data = b"".join(map(encode, stream[1]))
    place %= len(data) + 1
    data = data[:place] + damage + data[place + 1 :]
    check_garbage(stream[0], data, cut(data, at))


@pytest.mark.parametrize(
    "endless",
    [lambda: b"A" * 1000, lambda: b"PING", lambda: b"SUB a ", lambda: b"PUB a 1048576\r\n", lambda: b"\xff\n"],
)
def test_memory_is_bounded(endless: Callable[[], bytes]) -> None:
    scanner = Scanner(TO_SERVER)
    for _ in range(3000):
        try:
            scanner.feed(endless())
        except ProtocolError:
            break
        assert scanner.pending <= sum(LIMITS[TO_SERVER]) + 2


def test_few_control_lines_are_remembered() -> None:
    Scanner(TO_SERVER).feed(b"".join(b"SUB a %d\r\n" % n for n in range(5000)))
    assert len(protocol._memory) <= 1024


@pytest.mark.slow
def test_fuzz(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Random streams, damaged and cut at random, for NATSDEMO_FUZZ_SECONDS."""
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    seconds = float(os.environ.get("NATSDEMO_FUZZ_SECONDS", "60"))
    deadline, cases, refused = time.monotonic() + seconds, 0, 0
    seeds = [(direction, data) for direction, _, data in CASES + ODD_CASES] + [(d, b) for d, b in BAD if len(b) < 99]
    while time.monotonic() < deadline:
        direction = rng.choice([TO_SERVER, TO_CLIENT])
        data = bytearray(b"".join(b for d, b in rng.choices(seeds, k=rng.randrange(12)) if d == direction))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
            place = rng.randrange(len(data) + 1)
            kind = rng.randrange(4)
            if kind == 0:
                data[place : place + 1] = rng.randbytes(1)
            elif kind == 1:
                del data[place : place + rng.randrange(9)]
            elif kind == 2:
                data[place:place] = rng.choice([b" ", b"\t", b"\r", b"\n", b"\r\n", b"0", b"9", rng.randbytes(3)])
            else:
                data[place:place] = data[rng.randrange(len(data) + 1) :][:40]
        chunks = cut(bytes(data), [rng.randrange(10_000) for _ in range(rng.choice([1, 3, 10, len(data)]))])
        try:
            check_garbage(direction, bytes(data), chunks)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {direction}, {chunks}") from error
        cases += 1
        refused += scan(direction, chunks)[2]
    record_property("cases", cases)
    with capsys.disabled():
        print(f"\nfuzz: {cases} streams, {refused} of them refused, {seconds:.0f} s, seed {seed}")
    assert cases > refused > 0


@pytest.fixture(scope="module")
def nats_port() -> Iterator[int]:
    """A real nats-server on a port of its own choice."""
    command = [str(Path(sys.executable).with_name("nats-server")), "-a", "127.0.0.1", "-p", "-1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        listening = (re.search(r"client connections on 127.0.0.1:(\d+)", line) for line in server.stderr)
        yield int(next(filter(None, listening))[1])
        server.terminate()


def ask(port: int, data: bytes) -> list[str]:
    """The operations with which the server answers these bytes, until a PONG or until it hangs up."""
    parser, ops = Parser(TO_CLIENT), list[str]()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(b'CONNECT {"headers":true}\r\n' + data)
        try:
            while "PONG" not in ops and (answer := link.recv(65536)):
                ops += [frame.op for frame in parser.feed(answer)]
        except ConnectionResetError:
            pass
    return ops


def test_the_server_takes_what_we_take(nats_port: int) -> None:
    for direction, frame, data in CASES + ODD_CASES:
        if direction == TO_SERVER and frame.op != "CONNECT":
            ops = ask(nats_port, b"SUB > s\r\n" + data + b"PING\r\n")
            assert ops[-1] == "PONG", data
            assert "-ERR" not in ops, data


def test_the_server_refuses_what_we_refuse(nats_port: int) -> None:
    for direction, data in BAD:
        if direction == TO_SERVER:
            assert "PONG" not in ask(nats_port, data + b"\r\nPING\r\n"), data
