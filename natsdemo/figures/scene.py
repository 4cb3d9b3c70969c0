"""What a History looks like as a scene: who is there, by which ways messages go, and what has moved on each.

A scene is kept up to date as more passes, and is what the flow view and its still are drawn from. When little passes,
each frame is a move of its own; above what an eye can follow, the frames of one look become one move that counts them.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import NamedTuple

from natsdemo import messages
from natsdemo.history import Event, History
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, Scanner, decode

from .reading import LOST, Roles, turn_of, without_hits
from .text import clean

__all__ = ["Lane", "Place", "Route", "Scene"]

_MOVING = frozenset(["message", "request", "reply", "puback", "ack", "error"])  # the roles that are seen to move
_COUNTED = frozenset(["message", "request", "reply"])
_FEW = 60  # frames at one look that are still told one by one
_MOST_PLACES, _MOST_LANES, _MOST_STREAMS = 8, 6, 3  # on a side, and in the server; the rest shares one more
_REMEMBERED = 50_000  # messages whose publisher is known by what they say
_OF_CLIENT = re.compile(r"\bclient='?([^'\s]+)").search


class Place(NamedTuple):
    """A client. `side` is `left` for who only publishes, else `right`; `group` is with whom it shares its messages:
    a queue group, as in `crew on jobs.*`, or a stream's consumer, as in `ORDERS/desk`.

    `conn` is its first connection, by which places stand in order; `state` what was done to it last.
    """

    name: str
    side: str
    conn: int = 0
    group: str = ""
    state: str = ""


class Lane(NamedTuple):
    """A row inside the server: a `subject` (those that differ by a number share one), the `inboxes`, or a `stream`."""

    name: str
    kind: str


class Route(NamedTuple):
    """A way on which frames look alike: places, lanes and publishers by their number, -1 for none or unknown.

    `fate` is "", "lost" or "copy"; `times` is how often JetStream has delivered what moves here, from 2 on.
    """

    kind: str
    place: int
    to_server: bool
    lane: int
    publisher: int
    fate: str
    times: int


class Scene:
    """Who is there, what has moved (`moves`: triples of time in units of 0.1 ms, route, frames), and how many."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.lanes: list[Lane] = []
        self.nodes: dict[str, str] = {}  # and what was done to it last: starts, stops, pauses
        self.routes: dict[Route, int] = {}
        self.counts: list[int] = []  # frames, by route
        self.moves = array("I")
        self.publishers: list[int] = []  # places, in the order in which they first published
        self.faults: list[str] = []  # that are armed
        self.stored: dict[int, int] = {}  # by the stream's lane: the highest sequence number seen
        self.positions: dict[int, dict[str, tuple[int, int]]] = defaultdict(dict)  # consumer: delivered, not acked
        self.time = 0.0
        self._roles = Roles()
        self._scanners = {direction: Scanner(direction) for direction in (TO_SERVER, TO_CLIENT)}
        for scanner in self._scanners.values():
            scanner.max_line = scanner.max_payload = 1 << 32  # what passed has passed
        self._place_of: dict[str, int] = {}
        self._sharing: Counter[int] = Counter()  # how many clients stand at a place
        self._lane_of: dict[Lane, int] = {}
        self._publishers: dict[str, set[int]] = defaultdict(set)  # by subject
        self._publisher_of: dict[Hashable, int] = {}
        # By stream and consumer: what was delivered and is not acked, and what was acked before we saw its delivery.
        self._waiting: dict[tuple[int, str], set[int]] = defaultdict(set)
        self._answered: dict[tuple[int, str], set[int]] = defaultdict(set)
        self._acking: set[tuple[int, str]] = set()
        self._receipts: set[str] = set()  # reply subjects of acks that ask for one

    @property
    def shape(self) -> object:
        """What stays the same while messages move on known ways."""
        places, nodes = tuple(self.places), tuple(self.nodes.items())
        return places, nodes, tuple(self.faults), len(self.routes), len(self._place_of), len(self._lane_of)

    @property
    def published(self) -> int:
        """Messages, requests and replies that clients have sent, lost ones included."""
        return self._sum(to_server=True)

    @property
    def delivered(self) -> int:
        """Messages, requests and replies that have come to clients; what was lost has not."""
        return self._sum(to_server=False, lost=False)

    @property
    def lost(self) -> int:
        """Those that the wire lost, in either direction."""
        return self._sum(to_server=True, lost=True) + self._sum(to_server=False, lost=True)

    def sent(self, place: int) -> int:
        """How many of them this place has sent."""
        return self._sum(to_server=True, place=place)

    def got(self, place: int) -> int:
        """How many of them have come to this place."""
        return self._sum(to_server=False, lost=False, place=place)

    def _sum(self, *, to_server: bool, lost: bool | None = None, place: int | None = None) -> int:
        return sum(
            self.counts[at]
            for route, at in self.routes.items()
            if route.kind in _COUNTED
            and route.to_server == to_server
            and (lost is None or lost == (route.fate == "lost"))
            and (place is None or place == route.place)
        )

    def read(self, views: Iterable[History]) -> None:
        """Take what came since the last look."""
        views = list(views)
        few = sum(map(len, views)) <= _FEW
        bursts = [burst for view in views for burst in view.bursts()]
        if not few:  # what clients say comes first, since it explains the rest
            bursts.sort(key=lambda burst: burst.first.direction != TO_SERVER)
        alike: dict[tuple[int, str, str, bytes], tuple[Event, bytes, int]] = {}
        for event, data in bursts:
            self.time = max(self.time, event.time)
            if event.frame is None or event.op == "OPAQUE":
                self._happen(event)
            elif few:
                for raw in self._scanners[event.direction].feed(data):
                    self._pass(event, decode(raw), 1)
            else:
                for raw, count in self._scanners[event.direction].runs(data):
                    key = event.conn, event.direction, event.fate, raw[: raw.find(b"\n")]
                    alike[key] = event, raw, count + alike.get(key, (event, raw, 0))[2]
        for event, raw, count in alike.values():
            self._pass(event, decode(raw), count)

    def recall(self, earlier: History) -> None:
        """Learn from what passed before, and is not to be shown, who subscribes to what."""
        for event, data in earlier.bursts():
            if event.direction == TO_SERVER and event.op != "OPAQUE":
                for raw, _ in self._scanners[TO_SERVER].runs(data):
                    if raw[:3].upper() == b"SUB":
                        self._roles.meaning(decode(raw), event.conn)

    def _pass(self, event: Event, frame: Frame, count: int) -> None:
        role, subject, key, deliveries, unit = self._roles.meaning(frame, event.conn)
        to_server = event.direction == TO_SERVER
        if role == "subscribe":
            self._place(event, "right", f"{frame.queue} on {subject}" if frame.queue else "")
        elif role == "request" and not frame.reply.startswith("_INBOX."):
            self._roles.asked[frame.reply]  # an answer is known by it
        elif role == "ack" and frame.reply:
            self._receipts.add(frame.reply)
        elif role == "reply" and subject in self._receipts:
            role = "ack"
        elif role == "reply" and frame.status == 503:  # the server says that nobody listens
            role = "error"
        if role not in _MOVING:
            return
        receives = not to_server and role in ("message", "request")
        place = self._place(event, "right" if receives else "left", unit if receives else "")
        lane, stream = self._lanes(role, subject, frame, to_server, deliveries)
        publisher = self._publisher(role, subject, key, place if to_server else -1, count)
        fate = "lost" if event.fate in LOST else "copy" if event.fate == "duplicated" else ""
        if stream >= 0 and fate != "lost":
            self._stream_moves(stream, role, frame)
        route = Route(role, place, to_server, lane, publisher, fate, deliveries if deliveries > 1 else 0)
        at = self.routes.setdefault(route, len(self.routes))
        if at == len(self.counts):
            self.counts.append(0)
        self.counts[at] += count
        self.moves.extend((max(round(event.time * 10_000), 0), at, count))

    def _publisher(self, role: str, subject: str, key: Hashable, sender: int, count: int) -> int:
        """Who published it: the sender; for a delivery, whoever published the like of it."""
        if role not in _COUNTED:
            return sender
        known = self._publishers[subject]
        if sender >= 0:
            known.add(sender)
            if sender not in self.publishers:
                self.publishers.append(sender)
            if count == 1:
                self._publisher_of[key] = sender
                if len(self._publisher_of) > _REMEMBERED:
                    del self._publisher_of[next(iter(self._publisher_of))]
            return sender
        if len(known) == 1:
            return next(iter(known))
        return self._publisher_of.get(key, -1) if count == 1 else -1

    def _lanes(self, role: str, subject: str, frame: Frame, to_server: bool, deliveries: int) -> tuple[int, int]:
        """The lane that a frame takes, and the stream that it tells about (-1: none)."""
        if role == "puback" and (told := messages.parse_puback(frame.payload)) and told.stream:
            return self._lane("inboxes", "inboxes"), self._lane(told.stream, "stream")
        if (role == "ack" and to_server) or deliveries:
            delivery = messages.parse_delivery(subject if role == "ack" else frame.reply)
            stream = self._lane(delivery.stream if delivery else "?", "stream")
            return stream, stream
        if role in ("reply", "puback", "ack", "error"):
            return self._lane("inboxes", "inboxes"), -1
        return self._lane(_pattern(subject), "subject"), -1

    def _stream_moves(self, lane: int, role: str, frame: Frame) -> None:
        if role == "puback":
            told = messages.parse_puback(frame.payload)
            self.stored[lane] = max(self.stored.get(lane, 0), told.seq if told else 0)
            return
        delivery = messages.parse_delivery(frame.subject if role == "ack" else frame.reply)
        if delivery is None:
            return
        self.stored[lane] = max(self.stored.get(lane, 0), delivery.stream_seq)
        consumer = (lane, delivery.consumer)
        waiting, answered = self._waiting[consumer], self._answered[consumer]
        last = self.positions[lane].get(delivery.consumer, (0, 0))[0]
        if role != "ack":
            last = max(last, delivery.stream_seq)
            if delivery.stream_seq in answered:
                answered.remove(delivery.stream_seq)
            elif len(waiting) < _REMEMBERED:
                waiting.add(delivery.stream_seq)
        elif messages.ack_kind(frame.payload) in ("ack", "term", "next"):
            self._acking.add(consumer)
            (waiting.discard if delivery.stream_seq in waiting else answered.add)(delivery.stream_seq)
        self.positions[lane][delivery.consumer] = last, len(waiting) if consumer in self._acking else 0

    def _place(self, event: Event, side: str, group: str = "") -> int:
        name = event.client or "?"
        if event.node or not self.nodes:
            self.nodes.setdefault(event.node or "nats-server", "")
        at = self._place_of.get(name)
        if at is None:
            peers = [at for at, place in enumerate(self.places) if place.side == side]
            if len(peers) < _MOST_PLACES:
                at = len(self.places)
                self.places.append(Place(name, side, event.conn, group))
            else:  # one place of a side is for all that have none of their own
                at = max(peers, key=lambda at: (self._sharing[at], at))
            self._place_of[name] = at
            self._sharing[at] += 1
        place = self.places[at]
        moves = side == "right" and place.side == "left" and self._sharing[at] == 1
        if moves and sum(other.side == side for other in self.places) < _MOST_PLACES:
            self.places[at] = place = place._replace(side=side)
        if group and not place.group:
            self.places[at] = place._replace(group=group)
        return at

    def _lane(self, name: str, kind: str) -> int:
        lane = Lane(name, kind)
        if lane not in self._lane_of:
            most = {"subject": _MOST_LANES, "stream": _MOST_STREAMS}.get(kind, 1)
            peers = [at for at, other in enumerate(self.lanes) if other.kind == kind]
            if len(peers) < most:
                self._lane_of[lane] = len(self.lanes)
                self.lanes.append(lane)
            else:
                self._lane_of[lane] = peers[-1]
        return self._lane_of[lane]

    def _happen(self, event: Event) -> None:
        if event.kind == "fault":
            verb, _, about = event.text.partition(": ")
            if verb == "armed":
                self.faults.append(about)
            elif verb == "healed" and without_hits(about) in self.faults:
                self.faults.remove(without_hits(about))
        elif event.kind == "server" and (turn := turn_of(event.text)):
            self.nodes.setdefault(event.node or "nats-server", "")
            self.nodes[event.node or "nats-server"] = turn
        elif event.kind == "client" and event.client in self._place_of and (turn := turn_of(event.text)):
            at = self._place_of[event.client]
            if self._sharing[at] == 1:
                self.places[at] = self.places[at]._replace(state=turn if turn != "starts" else "")

    def node_names(self) -> list[str]:
        """Name the servers, and say what was done to them last."""
        said = {"stops": " (stopped)", "pauses": " (paused)"}
        return [clean(name, 20) + said.get(turn, "") for name, turn in sorted(self.nodes.items())]

    def names(self) -> list[str]:
        """Name the places; the last of many on one side stands for all who do not fit."""
        return [
            clean(place.name, 24) if self._sharing[at] == 1 else f"{self._sharing[at]:,} more clients"
            for at, place in enumerate(self.places)
        ]

    def lane_names(self) -> list[str]:
        """Name the lanes; the last of many of a kind stands for all that do not fit."""
        sharing = Counter(self._lane_of.values())
        return [
            clean(lane.name, 40) if sharing[at] < 2 else f"{sharing[at]:,} more {lane.kind}s"
            for at, lane in enumerate(self.lanes)
        ]

    def struck(self) -> set[int]:
        """The places whose links an armed fault may strike: that of the client it names, else all."""
        found: set[int] = set()
        for fault in self.faults:
            named = _OF_CLIENT(fault)
            found |= {at for at, place in enumerate(self.places) if not named or place.name == named[1]}
        return found


@lru_cache(maxsize=4096)
def _pattern(subject: str) -> str:
    """Put subjects that differ by a number alone into one: `orders.17.paid` is one of `orders.*.paid`."""
    return ".".join("*" if token.isdecimal() else token for token in subject.split("."))
