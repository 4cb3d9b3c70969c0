"""What frames mean: tables, a slow oracle, and the real server's own judgement."""

import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js.api import StorageType

from natsdemo.messages import (
    STAMP,
    Delivery,
    PubAck,
    ack_kind,
    is_inbox,
    matches,
    parse_delivery,
    parse_puback,
    read_stamp,
    stamp,
)
from natsdemo.protocol import TO_CLIENT, Frame, Parser, decode, encode


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A real nats-server on a port of its own choice."""
    command = [str(Path(sys.executable).with_name("nats-server")), "-a", "127.0.0.1", "-p", "-1", "-js", "-sd"]
    with subprocess.Popen([*command, str(tmp_path)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        listening = (re.search(r"client connections on 127.0.0.1:(\d+)", line) for line in process.stderr)
        yield "127.0.0.1", int(next(filter(None, listening))[1])
        process.terminate()


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("a.b*", "a.bc", False),
        ("a.b*", "a.b*", True),
        ("a.>.c", "a.b.c", False),
        (">", "a..b", False),
        ("a..b", "a..b", False),
        ("a.*", "a.", False),
        ("", "", False),
        ("w.*", "w.*", True),
        ("w.x", "w.*", False),
    ],
)
def test_matches(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


def oracle(pattern: list[str], subject: list[str]) -> bool:
    """Slow and plain: token by token, from the left."""
    if not pattern or not subject:
        return not pattern and not subject
    (want, *wants), (token, *tokens) = pattern, subject
    if "" in (want, token):
        return False
    if want == ">":
        return not wants and all(tokens)
    return want in ("*", token) and oracle(wants, tokens)


tokens = st.lists(st.sampled_from(["a", "b", "A", "*", ">", "a*", ""]), min_size=1, max_size=5)


@given(tokens, tokens)
def test_matches_as_the_oracle_does(pattern: list[str], subject: list[str]) -> None:
    assert matches(".".join(pattern), ".".join(subject)) is oracle(pattern, subject)


def names(tokens: list[str]) -> list[str]:
    return [".".join(some) for n in (1, 2, 3) for some in itertools.product(tokens, repeat=n)]


def test_matches_as_the_server_does(nats_server: tuple[str, int]) -> None:
    """Every pattern of up to three tokens against every subject of up to three, judged by nats-server.

    Spoken by hand, since nats-py refuses the most interesting patterns before the server sees them.
    """
    patterns = list(filter(None, names(["a", "b", "*", ">", "*a", ""])))
    subjects = list(filter(None, names(["a", "b", "A", "*a", "*", ""])))
    subscribe = [Frame("SUB", subject=pattern, sid=str(i)) for i, pattern in enumerate(patterns)]
    publish = [Frame("PUB", subject=subject) for subject in subjects]
    with socket.create_connection(nats_server, timeout=20) as link:
        link.sendall(b"".join(map(encode, [*subscribe, *publish, Frame("PING")])))
        parser, answers = Parser(TO_CLIENT), list[Frame]()
        while not answers or answers[-1].op != "PONG":
            answers += parser.feed(link.recv(65536))
    received = {(patterns[int(frame.sid)], frame.subject) for frame in answers if frame.op == "MSG"}
    assert len(received) > 1000
    assert received == {pair for pair in itertools.product(patterns, subjects) if matches(*pair)}


async def test_against_nats_py(nats_server: tuple[str, int]) -> None:
    """What nats-py and JetStream write is read back: stamp, inbox, puback, delivery, redelivery, acks."""
    wire = list[Frame]()
    async with await nats.connect("nats://{}:{}".format(*nats_server)) as client:
        everything = await client.subscribe(">")
        js = client.jetstream()
        await js.add_stream(name="S", subjects=["s.>"], storage=StorageType.MEMORY)
        puback = await js.publish("s.a", b"hello", headers={**stamp("till-2", 7), "Nats-Msg-Id": "7"})
        await js.publish("s.a", b"hello", headers={"Nats-Msg-Id": "7"})
        fetch = (await js.pull_subscribe("s.>", durable="d")).fetch
        first = (await fetch(1, timeout=5))[0]
        await first.nak()
        again = (await fetch(1, timeout=5))[0]
        await again.ack_sync()
        while everything.pending_msgs:
            message = await everything.next_msg()
            wire.append(Frame("MSG", message.subject, reply=message.reply, payload=message.data))
    assert read_stamp(first.headers) == ("till-2", 7)
    deliveries = [parse_delivery(message.reply) for message in (first, again)]
    assert [(d.stream, d.consumer, d.stream_seq, d.redelivered) for d in deliveries if d] == [
        ("S", "d", puback.seq, False),
        ("S", "d", puback.seq, True),
    ]
    acks = [ack_kind(frame.payload) for frame in wire if parse_delivery(frame.subject)]
    assert acks == ["nak", "ack"]
    pubacks = [found for frame in wire if is_inbox(frame.subject) and (found := parse_puback(frame.payload))]
    assert [found for found in pubacks if found.stream] == [PubAck("S", 1, False, ""), PubAck("S", 1, True, "")]


def test_is_inbox() -> None:
    assert is_inbox("_INBOX.abc.1")
    assert not is_inbox("_INBOXES.abc")
    assert not is_inbox("_INBOX")
    assert is_inbox("mine.abc", prefix="mine")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            "$JS.ACK.S.d.2.10.7.1795389975885383425.3",
            Delivery("", "", "S", "d", 2, 10, 7, 1795389975.885383425, 3),
        ),
        (
            "$JS.ACK._.AHASH.S.d.1.10.7.1795389975885383425.3",
            Delivery("", "AHASH", "S", "d", 1, 10, 7, 1795389975.885383425, 3),
        ),
        (
            "$JS.ACK.hub.AHASH.S.d.1.10.7.1500000000.3.rAnDoM",
            Delivery("hub", "AHASH", "S", "d", 1, 10, 7, 1.5, 3),
        ),
        ("$JS.ACK.hub.AHASH.S.d.1.10.7.1500000000.3.r.more", Delivery("hub", "AHASH", "S", "d", 1, 10, 7, 1.5, 3)),
        ("$JS.ACK._._._._.1.1.1.0.0", Delivery("", "_", "_", "_", 1, 1, 1, 0.0, 0)),
        ("", None),
        ("_INBOX.a", None),
        ("$JS.API.STREAM.INFO.S.1.2.3.4", None),
        ("$JS.ACK.S.d.1.2.3.4", None),
        ("$JS.ACK.A.S.d.1.10.7.1500000000.3", None),
        ("$JS.ACK.S.d.x.10.7.1.3", None),
        ("$JS.ACK.S.d.-1.10.7.1.3", None),
        ("$JS.ACK.S.d.١.10.7.1.3", None),
        ("$JS.ACK..d.1.10.7.1.3", None),
        ("$JS.ACK.S.d.1.10.7.1.3" + "9" * 5000, None),
    ],
)
def test_parse_delivery(reply: str, expected: Delivery | None) -> None:
    assert parse_delivery(reply) == expected


def test_redelivered() -> None:
    first, again = (parse_delivery(f"$JS.ACK.S.d.{n}.1.1.0.0") for n in (1, 2))
    assert first
    assert again
    assert not first.redelivered
    assert again.redelivered


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", "ack"),
        (b"+ACK", "ack"),
        (b"+OK", "ack"),
        (b"-NAK", "nak"),
        (b'-NAK {"delay": 1000000000}', "nak"),
        (b"+WPI", "in_progress"),
        (b"+TERM", "term"),
        (b"+TERM too old", "term"),
        (b"+NXT", "next"),
        (b'+NXT {"batch":5}', "next"),
        (b"hello", None),
        (b"+ack", None),
        (b"+ACKS", None),
        (b"+WPI ", None),
        (b" ", None),
        (b"x" * 10_000_000, None),
    ],
)
def test_ack_kind(payload: bytes, kind: str | None) -> None:
    assert ack_kind(payload) == kind


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"stream":"S","seq":3}', PubAck("S", 3, False, "")),
        (b'{"stream":"S","domain":"hub","seq":3,"duplicate":true}', PubAck("S", 3, True, "")),
        (
            b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 1"},"stream":"S","seq":0}',
            PubAck("", 0, False, "wrong last sequence: 1"),
        ),
        (b'{"error":{"code":503},"stream":"S"}', PubAck("", 0, False, "503")),
        (b"", None),
        (b"hello", None),
        (b"3", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"stream":"S"}', None),
        (b'{"stream":1,"seq":"x"}', None),
        (b"[" * 100_000, None),
    ],
)
def test_parse_puback(payload: bytes, expected: PubAck | None) -> None:
    assert parse_puback(payload) == expected


@given(st.text(min_size=1), st.integers(1, 10**17))
def test_stamp_comes_back(publisher: str, n: int) -> None:
    headers = stamp(publisher, n)
    assert read_stamp(headers) == read_stamp(tuple(headers.items())) == (publisher, n)


def test_stamp_in_a_frame() -> None:
    frame = Frame("HMSG", "a", "1", headers=(("Nats-Msg-Id", "7"), (STAMP, "till-2-10")))
    assert read_stamp(decode(encode(frame))) == ("till-2", 10)
    assert read_stamp(Frame("MSG", "a", "1")) is None


@pytest.mark.parametrize("value", ["", "a", "a-", "a-0", "a-01", "a-x", "-1", "a-١", "a-" + "9" * 5000])
def test_a_stamp_that_is_none(value: str) -> None:
    assert read_stamp({STAMP: value}) is None


@given(st.binary(), st.text())
def test_garbage_is_none_and_never_an_exception(payload: bytes, text: str) -> None:
    assert payload == b"" or payload[:1] in b"+-" or ack_kind(payload) is None
    assert parse_puback(payload) is None or json.loads(payload)
    assert parse_delivery(text) is None
    assert read_stamp({STAMP: text}) is None or "-" in text
    assert matches(text, text) in (True, False)
