"""What a History shows, read once, in the terms that all figures share.

Each frame that passed becomes a `Passage` with a role: what it means, not what its operation is. A PUB may be a
message, a request, a reply, an ack or a call of the JetStream API; only its subjects, and what came back, tell.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable
from itertools import count
from typing import NamedTuple

from natsdemo import messages
from natsdemo.history import History
from natsdemo.protocol import TO_SERVER, Frame

__all__ = [
    "LOST",
    "MESSAGES",
    "Happening",
    "Passage",
    "Reading",
    "Roles",
    "Window",
    "identities",
    "read",
    "turn_of",
    "without_hits",
]

# message: published, or delivered; request: one that waits for a reply; puback: the stream's; ack: the consumer's;
# error: -ERR; opaque: bytes that are not plain NATS; (un)subscribe: SUB, UNSUB of an application's subject; the rest
# is housekeeping: INFO, CONNECT, PING, PONG, +OK, the JetStream API, its heartbeats, subscriptions to inboxes.
ROLES = ("message", "request", "reply", "puback", "ack", "error", "opaque", "subscribe", "unsubscribe", "housekeeping")
MESSAGES = frozenset(["message", "request"])
LOST = frozenset(["dropped", "cut"])

_UNNAMED = "server"
_CONTROL = frozenset([100, 404, 408, 409])  # heartbeats, flow control, and the ends of a pull


class Passage(NamedTuple):
    """One frame: the `place` of its event in the History, who and where, and what it means.

    `key` is by what the message is known: its stamp, else its subject and payload. `deliveries` is how often JetStream
    says that it has delivered it, 0 where that is not the question; `unit` is who receives together: a stream's
    consumer or a queue group, "" for a subscription of one's own.
    """

    place: int
    number: int
    time: float
    held: float
    conn: int
    client: str
    node: str
    to_server: bool
    role: str
    fate: str
    subject: str = ""
    key: Hashable = None
    deliveries: int = 0
    unit: str = ""


class Window(NamedTuple):
    """The time in which a fault was armed; `end` is None if it was never healed."""

    text: str
    begin: float
    end: float | None
    hits: int


class Happening(NamedTuple):
    """What is no frame: of a server (`starts`, `stops`, `pauses`), of a client (`starts`, `stops`), or a note."""

    number: int
    time: float
    kind: str
    text: str
    client: str = ""
    node: str = ""
    conn: int = 0
    turn: str = ""


class Reading(NamedTuple):
    """All of it.

    `lines` names the lifeline of each connection: its client's name, numbered where two of it were there at once.
    `unheard` are the numbers of the messages that no stream acknowledged and of which no delivery was seen.
    """

    passages: list[Passage]
    windows: list[Window]
    happenings: list[Happening]
    lines: dict[int, str]
    nodes: list[str]
    unheard: frozenset[int]
    begin: float
    end: float
    unrecorded: int

    def receiver(self, passage: Passage) -> str:
        """Name who receives a message: a consumer or a queue group together, else a client."""
        return passage.unit or self.line(passage)

    def line(self, passage: Passage | Happening) -> str:
        """Name the client's lifeline."""
        return self.lines.get(passage.conn) or passage.client or "client"


def read(history: History) -> Reading:
    """Read a whole History, or a part of one."""
    return _Reader().read(history)


class Roles:
    """What frames mean, each in the light of those before it."""

    def __init__(self) -> None:
        self.asked: dict[str, list[int]] = defaultdict(list)  # reply subject: the passages that carry it
        self.api: set[str] = set()  # reply subjects of calls of the JetStream API
        self.stored: set[int] = set()  # passages that a stream has acknowledged
        self.sids: dict[tuple[int, str], tuple[str, str]] = {}

    def meaning(self, frame: Frame, conn: int) -> tuple[str, str, Hashable, int, str]:
        """Return the role, the subject, by what the message is known, how often it was delivered, and the unit."""
        op, subject = frame.op, frame.subject
        if op in ("MSG", "HMSG"):
            return self._to_client(frame, conn)
        if op in ("PUB", "HPUB"):
            if subject.startswith("$JS.ACK."):
                told = messages.parse_delivery(subject)
                return "ack", subject, None, 0, f"{told.stream}/{told.consumer}" if told else ""
            if subject.startswith(("$JS.", "$SYS.")):
                if frame.reply:
                    self.api.add(frame.reply)
                return "housekeeping", subject, None, 0, ""
            if subject in self.asked or subject.startswith("_INBOX."):
                return "reply", subject, _identity(frame), 0, ""
            return ("request" if frame.reply else "message"), subject, _identity(frame), 0, ""
        if op == "SUB":
            role, self.sids[conn, frame.sid] = "subscribe", (subject, frame.queue)
        elif op == "UNSUB":
            role, subject = "unsubscribe", self.sids.get((conn, frame.sid), ("", ""))[0]
        else:
            return {"-ERR": "error", "OPAQUE": "opaque"}.get(op, "housekeeping"), "", None, 0, ""
        private = not subject or subject.startswith(("_INBOX.", "$"))
        return "housekeeping" if private else role, subject, None, 0, frame.queue

    def _to_client(self, frame: Frame, conn: int) -> tuple[str, str, Hashable, int, str]:
        subject, reply = frame.subject, frame.reply
        if told := messages.parse_delivery(reply) if reply.startswith("$JS.ACK.") else None:
            return "message", subject, _identity(frame), told.num_delivered, f"{told.stream}/{told.consumer}"
        if subject in self.api or frame.status in _CONTROL or subject.startswith(("$JS.", "$SYS.")):
            return "housekeeping", subject, None, 0, ""
        if subject in self.asked or subject.startswith("_INBOX."):
            if frame.payload.startswith(b"{") and messages.parse_puback(frame.payload):
                if subject in self.asked:
                    self.stored.update(self.asked[subject])
                    return "puback", subject, None, 0, ""
                if frame.payload.startswith(b'{"type":'):
                    return "housekeeping", subject, None, 0, ""
                return "puback", subject, None, 0, ""
            if frame.payload.startswith(b'{"type":"io.nats.jetstream.'):
                return "housekeeping", subject, None, 0, ""
            return "reply", subject, _identity(frame), 0, ""
        group, queue = self.sids.get((conn, frame.sid), ("", ""))
        unit = f"{queue} on {group}" if queue else ""
        return ("request" if reply else "message"), subject, _identity(frame), 0, unit


class _Reader(Roles):
    def __init__(self) -> None:
        super().__init__()
        self.passages: list[Passage] = []
        self.happenings: list[Happening] = []
        self.windows: list[Window] = []
        self.begin = 0.0

    def read(self, history: History) -> Reading:
        end = 0.0
        first = True
        add, new = self.passages.append, tuple.__new__  # half the price of Passage(...), and this is the hot path
        for place, event in enumerate(history):
            if first:
                self.begin = end = event.arrived
                first = False
            number, time, kind, client, node, conn, direction, frame, fate, held, text = event
            end = time if time > end else end
            if frame is None:
                self._happen(number, time, kind, client, node, conn, text)
                continue
            to_server = direction == TO_SERVER
            role, subject, key, deliveries, unit = self.meaning(frame, conn)
            held = held if held > 0.0005 else 0.0
            fields = (
                place, number, time, held, conn, client, node or _UNNAMED, to_server, role, fate, subject, key,
                deliveries, unit,
            )  # fmt: skip
            add(new(Passage, fields))
            if role == "request":
                self.asked[frame.reply].append(len(self.passages) - 1)
        for place in self.stored:
            self.passages[place] = self.passages[place]._replace(role="message")
        nodes = self._nodes()
        return Reading(
            self.passages, self.windows, self.happenings, self._lines(nodes), nodes, self._unheard(), self.begin, end,
            history.unrecorded,
        )  # fmt: skip

    def _happen(self, number: int, time: float, kind: str, client: str, node: str, conn: int, text: str) -> None:
        if kind != "fault":
            turn = turn_of(text) if kind in ("server", "client") else ""
            self.happenings.append(Happening(number, time, kind, text, client, node, conn, turn))
            return
        verb, _, about = text.partition(": ")
        if verb == "armed":
            self.windows.append(Window(about, time, None, 0))
            self.happenings.append(Happening(number, time, kind, text, turn="starts"))
            return
        open_ = [at for at, window in enumerate(self.windows) if window.end is None and about.startswith(window.text)]
        if verb == "hit":
            for at in open_[-1:]:
                self.windows[at] = self.windows[at]._replace(hits=self.windows[at].hits + 1)
            return
        self.happenings.append(Happening(number, time, kind, text, turn="stops" if verb == "healed" else ""))
        if open_:
            self.windows[open_[-1]] = self.windows[open_[-1]]._replace(end=time)
        elif verb == "healed":  # it had been armed before this part of the History
            self.windows.append(Window(without_hits(about), self.begin, time, 0))

    def _lines(self, nodes: list[str]) -> dict[int, str]:
        """Name lifelines: one a client, and one more while two of a name are there; never as a server is named."""
        spans: dict[int, tuple[str, float, float]] = {}
        for passage in self.passages:
            known = spans.get(passage.conn)
            begin = known[1] if known else passage.time - passage.held
            spans[passage.conn] = (passage.client, begin, passage.time)
        lines: dict[int, str] = {}
        named: dict[tuple[str, int], str] = {}
        free: dict[str, list[float]] = defaultdict(list)  # for each name, when each of its lifelines is free again
        for conn, (client, begin, end) in sorted(spans.items(), key=lambda item: (item[1][1], item[0])):
            busy = free[client]
            place = next((place for place, until in enumerate(busy) if until <= begin), len(busy))
            busy[place : place + 1] = [end]
            if (client, place) not in named:
                taken = {*nodes, *named.values()}
                tries = (f"{client or 'client'}{f' ({n})' if n else ''}" for n in count(place + 1 if place else 0))
                named[client, place] = next(name for name in tries if name not in taken)
            lines[conn] = named[client, place]
        return lines

    def _nodes(self) -> list[str]:
        passed = {passage.node for passage in self.passages}
        told = dict.fromkeys(happening.node for happening in self.happenings if happening.node)
        named = [*dict.fromkeys(passage.node for passage in self.passages if passage.node != _UNNAMED)]
        named += [node for node in told if node not in named]
        if named and _UNNAMED in passed:  # what is beside a server that is named is of that one
            self.passages = [p._replace(node=named[0]) if p.node == _UNNAMED else p for p in self.passages]
        return named or [_UNNAMED]

    def _unheard(self) -> frozenset[int]:
        heard = {p.key for p in self.passages if not p.to_server and p.role in MESSAGES}
        return frozenset(
            p.number
            for place, p in enumerate(self.passages)
            if p.to_server
            and p.role == "message"
            and p.fate not in LOST
            and p.key not in heard
            and place not in self.stored
        )


def turn_of(text: str) -> str:
    """Tell from its text whether something `starts`, `stops` or `pauses`; "" if none."""
    return next((turn for turn, words in _TURNS if words(text)), "")


def without_hits(text: str) -> str:
    """Take from `drop PUB nth=3 (1 hits)` the fault itself."""
    return text.rpartition(" (")[0] if text.endswith(" hits)") else text


def identities(reading: Reading) -> dict[Hashable, Passage]:
    """Map what a message is known by to its publishing, where that is not ambiguous."""
    published = [p for p in reading.passages if p.to_server and p.role in MESSAGES]
    times = Counter(p.key for p in published)
    first: dict[Hashable, Passage] = {}
    for passage in published:
        if times[passage.key] == 1 or isinstance(passage.key, tuple):
            first.setdefault(passage.key, passage)
    return first


def _identity(frame: Frame) -> Hashable:
    """A stamp is a tuple; a subject and payload are remembered as one number, for they may be megabytes."""
    return (frame.headers and messages.read_stamp(frame)) or hash((frame.subject, frame.payload))


_TURNS = (
    ("stops", re.compile(r"\b(dis)\w*|\b(kill|stop|crash|die|dead|down|clos|left|gone|lost|reset)\w*", re.I).search),
    ("pauses", re.compile(r"\b(pause|freeze|suspend|partition|stall)\w*", re.I).search),
    ("starts", re.compile(r"\b(start|restart|resume|continue|connect|reconnect|came|up|heal|thaw)\w*", re.I).search),
)
