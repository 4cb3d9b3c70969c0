"""What can go wrong on a link, as values: each says what it hits, how much of that, and what it stands in for.

The rules of this module:

- A fault is a value. It prints as one line of text and is read back from it, on the command line for example:
  `drop PUB subject=orders.> nth=3`.
- First what it hits (operation, subject, client, node, direction), then how much (`nth=`, `first=`, `every=`, or
  `probability=` with the Tap's seed). Without the latter it hits all.
- Without a `subject`, a frame fault hits the application's messages only: neither inboxes nor what begins with `$`.
- TCP neither loses nor repeats nor reorders bytes inside a living connection. A frame fault therefore never is
  "the network": it stands in for something else, and its docstring says for what.
"""

from __future__ import annotations

import random
import re
import shlex
from dataclasses import dataclass, fields
from typing import Any

from . import messages
from .protocol import Frame

__all__ = [
    "Armed",
    "Fault",
    "delay",
    "drop",
    "duplicate",
    "parse",
    "partition",
    "reorder",
    "reset",
    "stall",
    "throttle",
]

# What each takes beside what it hits: the first of them it must have.
_TAKES = {
    "drop": (),
    "delay": ("seconds", "jitter"),
    "duplicate": (),
    "reorder": ("seconds",),
    "stall": (),
    "throttle": ("bytes_per_second",),
    "reset": (),
    "partition": (),
}
KINDS = tuple(_TAKES)
_ON_FRAMES = ("drop", "delay", "duplicate", "reorder")
_DIRECTIONS = ("to_server", "to_client")
# Which way each operation goes, and whether it has a subject.
_OPS = {
    "PUB": ("to_server", True),
    "MSG": ("to_client", True),
    "SUB": ("to_server", True),
    "UNSUB": ("to_server", False),
    "PING": (None, False),
    "PONG": (None, False),
    "CONNECT": ("to_server", False),
    "INFO": ("to_client", False),
    "+OK": ("to_client", False),
    "-ERR": ("to_client", False),
}
_AMOUNTS = ("nth", "first", "every", "probability")
_REORDER_SECONDS = 0.2
_PLAIN = re.compile(r"[^\s'\"\\]+").fullmatch  # a word that needs no quotation marks


@dataclass(frozen=True)
class Fault:
    """A fault; make one with `drop`, `delay`, `duplicate`, `reorder`, `stall`, `throttle`, `reset` or `partition`.

    Raises `ValueError`, in one sentence, for what makes no sense.
    """

    kind: str
    op: str | None = None
    subject: str | None = None
    client: str | None = None
    node: str | None = None
    direction: str | None = None
    nth: int | None = None
    first: int | None = None
    every: int | None = None
    probability: float | None = None
    seconds: float | None = None
    jitter: float | None = None
    bytes_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.kind == "reorder" and self.seconds is None:
            object.__setattr__(self, "seconds", _REORDER_SECONDS)
        if wrong := self._wrong():
            raise ValueError(wrong)

    def _wrong(self) -> str | None:
        """Say what makes no sense."""
        kind, op = self.kind, self.op
        given = {field.name: value for field in fields(self)[2:] if (value := getattr(self, field.name)) is not None}
        amounts = [name for name in _AMOUNTS if name in given]
        if kind not in KINDS:
            return f"{kind!r} is no fault: there are {', '.join(KINDS)}."
        if op is None and kind in _ON_FRAMES:
            return f"{kind} needs an operation to hit, as in `{kind} MSG nth=2`."
        if op is not None and kind not in (*_ON_FRAMES, "reset"):
            return f"{kind} hits whole connections, and no operation."
        if op is not None and op not in _OPS:
            return f"{op!r} is no operation to hit: there are {' '.join(_OPS)}."
        if op is None and (amounts or "subject" in given):
            return f"{kind} hits whole connections: {[*amounts, 'subject'][0]} needs an operation."
        for name in ("subject", "client", "node", "direction"):
            if name in given and not isinstance(given[name], str):
                return f"{name}={given[name]!r} must be text."
        for name in _AMOUNTS[:3]:
            if name in given and (type(given[name]) is not int or given[name] < 1):
                return f"{name}={given[name]!r} must be a whole number from 1."
        for name, most in {"probability": 1, "seconds": 1e9, "jitter": 1e9, "bytes_per_second": 1e12}.items():
            if name in given and not (type(given[name]) in (int, float) and 0 <= given[name] <= most):
                return f"{name}={given[name]!r} must be a number from 0 to {most:g}."
        if len(amounts) > 1:
            return f"Choose one of {' and '.join(amounts)}."
        for name in ("seconds", "jitter", "bytes_per_second"):
            if name in given and name not in _TAKES[kind]:
                return f"{kind} takes no {name}."
        if (needed := "".join(_TAKES[kind][:1])) and not given.get(needed):
            return f"{kind} needs {needed}=, above 0."
        if self.subject is not None and op and not _OPS[op][1]:
            return f"{op} has no subject."
        if self.subject is not None and not _is_pattern(self.subject):
            return f"subject={self.subject} matches nothing: no word between dots may be empty, and `>` comes last."
        if self.direction is not None:
            if self.direction not in _DIRECTIONS:
                return f"direction={self.direction} must be {' or '.join(_DIRECTIONS)}."
            if kind == "partition" or (kind == "reset" and not op):
                return f"{kind} breaks connections, in both directions."
            if op and _OPS[op][0] not in (None, self.direction):
                return f"{op} never goes {self.direction}."
        return None

    def __str__(self) -> str:
        words = [self.kind, *([self.op] if self.op else [])]
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value is not None:
                word = f"{field.name}={value}"
                words.append(word if _PLAIN(word) else shlex.quote(word))
        return " ".join(words)

    __repr__ = __str__


def parse(text: str) -> Fault:
    """Read a fault from its text, `drop PUB subject=orders.> nth=3` for example; `ValueError` says what is wrong."""
    try:
        kind, *words = shlex.split(text) or [""]
    except ValueError:
        raise ValueError(f"{text!r} has a quotation mark without its partner.") from None
    options: dict[str, Any] = {}
    types = {field.name: str(field.type) for field in fields(Fault)[2:]}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals and not options:
            options["op"] = word.upper()
        elif not equals or name not in types or name in options:
            raise ValueError(f"{word!r} is not understood: a fault reads like `drop PUB subject=orders.> nth=3`.")
        else:
            number = int if "int" in types[name] else float if "float" in types[name] else str
            try:
                options[name] = number(value)
            except ValueError:
                raise ValueError(f"{word!r} needs a {'whole ' if number is int else ''}number.") from None
    return Fault(kind, **options)


def drop(op: str, **what: Any) -> Fault:
    """A frame arrives and never leaves.

    Stands in for a process that dies between reading a message and acting on it, a buffer lost with its connection, a
    client or server that discards for a slow consumer. Not packet loss: TCP sends a lost packet again.
    """
    return Fault("drop", op, **what)


def delay(op: str, seconds: float, jitter: float | None = None, **what: Any) -> Fault:
    """A frame is kept for `seconds`, more or less by up to `jitter`, and all behind it on its connection wait with it.

    Stands in for distance, congestion, a packet that TCP had to send again. Order is kept, as TCP keeps it.
    """
    return Fault("delay", op, seconds=seconds, jitter=jitter, **what)


def duplicate(op: str, **what: Any) -> Fault:
    """A frame leaves twice.

    Stands in for a sender that repeats what it believes lost: a retry after a time-out, a puback that never came.
    Not the network: TCP discards a packet that comes twice.
    """
    return Fault("duplicate", op, **what)


def reorder(op: str, seconds: float = _REORDER_SECONDS, **what: Any) -> Fault:
    """A frame changes places with the next one, of those it could hit, of the same publisher or subscription.

    Without a next one it is released after `seconds`, so that nothing is lost; other frames pass meanwhile. Stands in
    for work that overtakes other work: several connections, several workers, a retry. Not the network: TCP restores
    the order.
    """
    return Fault("reorder", op, seconds=seconds, **what)


def stall(**what: Any) -> Fault:
    """Connections stay open and nothing moves on them, in one `direction` or in both.

    Stands in for a peer that hangs, a firewall that forgot a connection. What waits passes when the fault ends.
    """
    return Fault("stall", **what)


def throttle(bytes_per_second: float, **what: Any) -> Fault:
    """A connection passes no more than this, in each direction or in one; a frame comes when its last byte has.

    Stands in for a thin line and for a consumer that reads slowly: the sender is held up, as it would be.
    """
    return Fault("throttle", bytes_per_second=bytes_per_second, **what)


def reset(op: str | None = None, **what: Any) -> Fault:
    """Connections are broken (TCP RST): at once, or when a frame that is hit arrives, which is lost with them.

    Stands in for a crashed peer, a load balancer or a router that restarts. Clients may connect again at once.
    """
    return Fault("reset", op, **what)


def partition(**what: Any) -> Fault:
    """Connections of a `client` or a `node` are broken, and new ones are broken too until the fault ends.

    Stands in for a network cut between clients and servers. Not between the servers: see `natsdemo.tap.Routes`.
    """
    return Fault("partition", **what)


def _is_pattern(subject: str) -> bool:
    """Whether a subject, with wildcards or without, can match anything."""
    return messages.matches(subject, ".".join("x" if word in ("*", ">") else word for word in subject.split(".")))


class Armed:
    """A fault at work: counts what it might hit, and decides.

    `seed` makes `probability` and `jitter` repeatable.
    """

    def __init__(self, fault: Fault, seed: int | str = 0) -> None:
        self.fault = fault
        self.seen = 0
        self.hits = 0
        self.random = random.Random(f"{seed}")
        self._ops = {fault.op, "H" + fault.op} if fault.op in ("PUB", "MSG") else {fault.op}

    def concerns(self, client: str, node: str, direction: str | None = None) -> bool:
        """Whether the fault is about this connection, in this direction or, without one, in any."""
        fault = self.fault
        return (
            fault.client in (None, client)
            and fault.node in (None, node)
            and (direction is None or fault.direction in (None, direction))
        )

    def means(self, frame: Frame) -> bool:
        """Whether it might hit this frame, of a connection that it concerns."""
        if frame.op not in self._ops:
            return False
        if self.fault.subject is not None:
            return messages.matches(self.fault.subject, frame.subject)
        return not (frame.subject.startswith("$") or messages.is_inbox(frame.subject))

    def hit(self, frame: Frame) -> bool:
        """Whether this frame, of a connection that the fault concerns, is hit; counts it if it might be."""
        fault = self.fault
        if not self.means(frame):
            return False
        self.seen += 1
        hit = (
            (fault.nth is None or self.seen == fault.nth)
            and (fault.first is None or self.seen <= fault.first)
            and (fault.every is None or self.seen % fault.every == 0)
            and (fault.probability is None or self.random.random() < fault.probability)
        )
        self.hits += hit
        return hit

    def seconds(self) -> float:
        """For how long this time: `seconds`, more or less by up to `jitter`."""
        jitter = self.fault.jitter or 0.0
        return max(0.0, (self.fault.seconds or 0.0) + self.random.uniform(-jitter, jitter))
