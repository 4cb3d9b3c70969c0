"""What a frame means: subjects and wildcards, inboxes, JetStream's ack subjects and acks, our publisher stamp.

The rules of this module:

- It reads values and returns values: a name, a number, a small tuple. Nothing here knows time, order or connections.
- What is malformed is None, never an exception: these functions are asked about every frame that passes.
- Each function says where its rule is written. Where the documents are silent, nats-server 2.15.1 was asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from natsdemo.protocol import Frame

__all__ = [
    "STAMP",
    "Delivery",
    "PubAck",
    "ack_kind",
    "is_inbox",
    "matches",
    "parse_delivery",
    "parse_puback",
    "read_stamp",
    "stamp",
]

STAMP = "Natsdemo-Id"


@lru_cache(maxsize=1024)
def matches(pattern: str, subject: str) -> bool:
    """Whether a subscription to ``pattern`` receives what is published to ``subject``.

    ``*`` is exactly one token, ``>`` one or more at the end; inside a token both are plain characters. Case counts.
    An empty token, on either side, matches nothing; so does a ``>`` that is not last.

    Source: https://docs.nats.io/nats-concepts/subjects
    """
    wanted, tokens = pattern.split("."), subject.split(".")
    if "" in wanted or "" in tokens or ">" in wanted[:-1]:
        return False
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
    elif len(tokens) != len(wanted):
        return False
    return all(want in ("*", token) for want, token in zip(wanted, tokens, strict=False))


def is_inbox(subject: str, prefix: str = "_INBOX") -> bool:
    """Whether a subject is a client's inbox, where replies come in.

    :param prefix: what the client was given as ``inbox_prefix``.

    Source: https://docs.nats.io/nats-concepts/core-nats/reqreply
    """
    return subject.startswith(f"{prefix}.")


class Delivery(NamedTuple):
    """What JetStream tells about a delivered message, in its reply subject.

    ``domain`` and ``account`` (a hash) are empty in the short layout, and ``domain`` where the server writes ``_``.
    ``timestamp`` is when the stream stored the message, in seconds since 1970, good to a microsecond or so.

    Source: ADR-15
    """

    domain: str
    account: str
    stream: str
    consumer: str
    num_delivered: int
    stream_seq: int
    consumer_seq: int
    timestamp: float
    num_pending: int

    @property
    def redelivered(self) -> bool:
        """Whether the consumer had delivered this message before."""
        return self.num_delivered > 1


_NUMBER = re.compile(r"[0-9]{1,20}").fullmatch  # an unsigned integer of 64 bits has twenty digits


def parse_delivery(reply: str) -> Delivery | None:
    """Read the subject to which the client of a JetStream consumer sends its ack; None if it is another subject.

    There are two layouts: of 9 tokens, ``$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.
    <pending>``, and of 11 or more, with ``<domain>.<account hash>.`` before the stream and anything after pending.

    Source: ADR-15
    """
    tokens = reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or "" in tokens:
        return None
    if len(tokens) == 9:
        domain, account, stream, consumer, *counts = "", "", *tokens[2:]
    elif len(tokens) >= 11:
        domain, account, stream, consumer, *counts = tokens[2:11]
        domain = "" if domain == "_" else domain
    else:
        return None
    if not all(map(_NUMBER, counts)):
        return None
    delivered, stream_seq, consumer_seq, nanoseconds, pending = map(int, counts)
    seconds = nanoseconds / 1e9
    return Delivery(domain, account, stream, consumer, delivered, stream_seq, consumer_seq, seconds, pending)


_ACKS = {b"": "ack", b"+ACK": "ack", b"+OK": "ack", b"+WPI": "in_progress"}
_LONGER_ACKS = ((b"-NAK", "nak"), (b"+TERM", "term"), (b"+NXT", "next"))


def ack_kind(payload: bytes) -> str | None:
    """Name what a client answers to a delivery, in nats-py's words: ack, nak, in_progress, term or next.

    Nothing at all is an ack. What may follow (``-NAK {"delay": ns}``, ``+TERM reason``) is not looked at. The server
    does nothing about any other answer, and this is None.

    :param payload: what was published to the delivery's reply subject.

    Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference, nats-server's server/consumer.go
    """
    return _ACKS.get(payload) or next((kind for start, kind in _LONGER_ACKS if payload.startswith(start)), None)


class PubAck(NamedTuple):
    """What a stream answers to a publish: where it stored the message, or why it did not (``error``, else empty).

    Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference
    """

    stream: str
    seq: int
    duplicate: bool
    error: str


def parse_puback(payload: bytes) -> PubAck | None:
    """Read a stream's answer to a publish; None if it is not one.

    Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference
    """
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    match answer:
        case {"error": {"code": code, **more}}:
            return PubAck("", 0, False, str(more.get("description", code)))
        case {"stream": str(stream), "seq": int(seq), **rest}:
            return PubAck(stream, seq, rest.get("duplicate") is True, "")
    return None


def stamp(publisher: str, n: int) -> dict[str, str]:
    """Make the header by which a message is known: the ``n``-th (from 1) of this publisher.

    :returns: what nats-py's ``publish(headers=...)`` takes.

    Source: ours; the prefix ``Nats-`` is the server's, ADR-4.
    """
    return {STAMP: f"{publisher}-{n}"}


_STAMPED = re.compile(r"(.+)-([1-9][0-9]{0,17})", re.DOTALL).fullmatch


def read_stamp(headers: Frame | Mapping[str, str] | Iterable[tuple[str, str]] | None) -> tuple[str, int] | None:
    """Read who sent a message and as which of theirs: (publisher, n), or None without a stamp.

    :param headers: a frame, its headers, or nats-py's ``msg.headers``.

    Source: ours, see `stamp`.
    """
    if isinstance(headers, Frame):
        headers = headers.headers
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in pairs:
        if name == STAMP:
            found = _STAMPED(value)
            return (found[1], int(found[2])) if found else None
    return None
