"""Reads a History into an `Account`: one pass, in time proportional to its events.

The rules of this module:

- Fault events are never read: damage must be found. Of a fate it takes only what any wiretap would know: that a frame
  did not leave again (`dropped`, `cut`), and that a copy (`duplicated`) never came from where it seems to come from.
- Application messages only: what goes to an inbox or to a subject that begins with `$` is plumbing, read for what it
  proves. A consumer's deliveries are known by their ack subject, wherever they come in.
- A message is known by its stamp (and subject), else by its sequence in a stream, else by a unique (subject, payload).

Source: https://docs.nats.io/reference/reference-protocols/nats-protocol, nats_api_reference
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from natsdemo.history import OPAQUE, Event, History
from natsdemo.messages import Delivery as AckSubject
from natsdemo.messages import is_inbox, matches, parse_delivery, parse_puback, read_stamp
from natsdemo.protocol import TO_SERVER, Frame

from .account import (
    LONG_AGO,
    NEVER,
    Account,
    Consumer,
    Delivery,
    Message,
    Publish,
    Publisher,
    Stream,
    Subscription,
    Unit,
    When,
)  # fmt: skip


class Handled(Protocol):
    """What a callback was given: nats-py's `Msg`, or anything else with these fields."""

    @property
    def subject(self) -> str:
        """Where it was published."""

    @property
    def data(self) -> bytes:
        """Its payload."""

    @property
    def reply(self) -> str:
        """Where an answer or an ack goes, "" without."""

    @property
    def headers(self) -> Mapping[str, str] | None:
        """Its headers, None without."""


def read(
    history: History,
    *,
    subject: str = ">",
    client: str | None = None,
    received: Iterable[Handled | Frame] | None = None,
) -> Account:
    """Read what was owed, and what came.

    :param subject: only messages whose subject matches this are looked at.
    :param client: only receiving units to which this client belongs are looked at.
    :param received: what this client's callbacks handled, in their order: the deliveries on the wire to this client
        are then replaced by these. Needs `client`, unless there is only one that received anything.
    """
    reader = _Reader(history, subject)
    account = reader.read()
    if received is not None:
        receiver = client if client is not None else reader.only_receiver()
        reader.replace(receiver, received)
        client = receiver
    if client is not None:
        account.units = [unit for unit in account.units if any(member.client == client for member in unit.members)]
    return account


@dataclass(slots=True, eq=False)
class _Connection:
    echo: bool = True
    turns: int = 0  # messages published on it so far
    pings: deque[tuple[When, int]] = field(default_factory=deque)  # when each was sent, and after how many publishes
    subscriptions: list[Subscription] = field(default_factory=list)
    unproven: list[Subscription] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Pull:
    at: When
    reply: str
    batch: int  # how many messages it still waits for


class _Reader:
    def __init__(self, history: History, subject: str) -> None:
        self.account = Account(history)
        self.subject = subject
        self._judged: dict[str, bool] = {}
        self._connections: dict[int, _Connection] = defaultdict(_Connection)
        self._subscriptions: dict[tuple[int, str], Subscription] = {}
        self._units: dict[object, Unit] = {}
        self._stamped: dict[tuple[str, int], dict[str, Message]] = defaultdict(dict)
        self._alike: dict[tuple[str, bytes], list[Message]] = {}
        self._strange: dict[tuple[str, bytes], Message] = {}
        self._stored: dict[tuple[Stream, int], Message] = {}
        self._asked: dict[str, tuple[Message, Publish]] = {}  # by the subject of the answer
        self._pulls: dict[tuple[str, str], list[_Pull]] = defaultdict(list)  # by stream and consumer
        self._pullers: dict[str, tuple[str, str]] = {}  # by the subject of the answer
        self._creating: dict[str, When] = {}  # likewise
        self._configs: dict[object, tuple[dict[str, Any], When, When]] = {}  # by the consumer's key
        self._deleted: dict[object, int] = defaultdict(int)
        self._refused: dict[tuple[int, str], int] = defaultdict(int)

    def read(self) -> Account:
        to_server = {"PUB": self._pub, "HPUB": self._pub, "SUB": self._sub, "UNSUB": self._unsub, "PING": self._ping,
                     "CONNECT": self._connect}  # fmt: skip
        to_client = {"MSG": self._msg, "HMSG": self._msg, "PONG": self._pong, "-ERR": self._err}
        for position, event in enumerate(self.account.history):
            if event.frame is not None:
                read = (to_server if event.direction == TO_SERVER else to_client).get(event.frame.op)
                if read:
                    read(position, event, event.frame)
                elif (
                    event.frame.op == OPAQUE and event.fate != "cut"
                ):  # not the beginning of a frame whose end never came
                    self.account.opaque.add(event.conn)
            elif event.kind == "client" and event.text.startswith("disconnected"):
                for subscription in self._connections[event.conn].subscriptions:
                    subscription.ended = min(subscription.ended, (event.time, position))
        self._finish()
        return self.account

    # What clients send. A copy that the Tap made never came from the client.

    def _connect(self, _: int, event: Event, frame: Frame) -> None:
        options = _json(frame.payload)
        self._connections[event.conn].echo = options.get("echo") is not False

    def _pub(self, position: int, event: Event, frame: Frame) -> None:
        if event.fate == "duplicated":
            return
        if frame.subject.startswith("$JS.API."):
            self._request((_arrived(event), position), frame)
        if not self._is_judged(frame.subject):
            return
        connection = self._connections[event.conn]
        connection.turns += 1
        stamp = read_stamp(frame)
        publish = Publish((_arrived(event), position), event.time, event.conn, connection.turns)
        message = self._published(frame, stamp)
        message.publisher = message.publisher or Publisher(event.client, stamp[0] if stamp else event.conn)
        message.publishes.append(publish)
        self.account.publishes.append(publish)
        _put_in_order(self.account.publishers[message.publisher], publish, event.fate == "reordered")
        if frame.reply:
            publish.outcome = "unknown"
            self._asked[frame.reply] = message, publish

    def _published(self, frame: Frame, stamp: tuple[str, int] | None) -> Message:
        if stamp:
            message = self._stamped[stamp].setdefault(frame.subject, Message(frame.subject, n=stamp[1]))
        else:
            message = Message(frame.subject)
            message.twins = self._alike.setdefault((frame.subject, frame.payload), [])
            message.twins.append(message)
        if not message.publishes:
            self.account.subjects[frame.subject].append(message)
        return message

    def _request(self, at: When, frame: Frame) -> None:
        match frame.subject.split(".")[2:]:
            case ["CONSUMER", "MSG", "NEXT", stream, consumer]:
                self._pulls[stream, consumer].append(_Pull(at, frame.reply, _batch(frame.payload)))
                self._pullers[frame.reply] = stream, consumer
            case ["CONSUMER", "CREATE", *_] | ["CONSUMER", "DURABLE", "CREATE", *_]:
                self._creating[frame.reply] = at
            case ["CONSUMER", "DELETE" | "RESET", stream, consumer]:
                unit = self._units.get(self._consumer_key(stream, consumer))
                if unit and unit.consumer:
                    unit.consumer.deleted = True
                self._deleted[stream, consumer] += 1
            case ["STREAM", "DELETE", stream]:
                for unit in self._units.values():
                    if unit.consumer and unit.consumer.stream == self._stream(stream):
                        unit.consumer.deleted = True
                self._deleted[stream] += 1
            case ["STREAM", "PURGE", stream] | ["STREAM", "MSG", "DELETE", stream]:
                self.account.purged[self._stream(stream)] = at

    def _sub(self, position: int, event: Event, frame: Frame) -> None:
        known = self._subscriptions.get((event.conn, frame.sid))
        if event.fate == "duplicated" or (known and known.ended == NEVER):
            return
        connection = self._connections[event.conn]
        subscription = Subscription(
            event.conn, frame.sid, event.client, frame.subject, frame.queue, (_arrived(event), position),
            echo=connection.echo,
        )  # fmt: skip
        self._subscriptions[event.conn, frame.sid] = subscription
        connection.subscriptions.append(subscription)
        connection.unproven.append(subscription)
        if _is_application(frame.subject):
            self._unit(subscription).members.append(subscription)

    def _unsub(self, position: int, event: Event, frame: Frame) -> None:
        subscription = self._subscriptions.get((event.conn, frame.sid))
        if event.fate == "duplicated" or not subscription or subscription.ended < NEVER:
            return
        subscription.max_msgs = frame.max_msgs
        if subscription.arrived >= frame.max_msgs:
            subscription.ended, subscription.unsubscribed = (_arrived(event), position), True

    def _ping(self, position: int, event: Event, _: Frame) -> None:
        if event.fate not in ("dropped", "cut"):  # a copy is answered too
            connection = self._connections[event.conn]
            connection.pings.append(((_arrived(event), position), connection.turns))

    # What servers send.

    def _pong(self, position: int, event: Event, _: Frame) -> None:
        connection = self._connections[event.conn]
        if event.fate == "duplicated" or not connection.pings:
            return
        when = event.time, position
        ping, turns = connection.pings.popleft()
        self.account.prove(event.conn, turns, when)
        for subscription in connection.unproven:
            if subscription.sent[1] < ping[1]:
                subscription.proven, subscription.pong = when, position
        connection.unproven = [one for one in connection.unproven if one.pong < 0]

    def _err(self, _: int, event: Event, frame: Frame) -> None:
        """A refused subscription is owed nothing, and a refused publish to nobody."""
        found = _REFUSED(frame.payload.decode("utf-8", "surrogateescape"))
        if not found:
            return
        what, subject = found[1], found[2]
        if what == "Subscription":
            for subscription in self._connections[event.conn].subscriptions:
                if subscription.subject == subject:
                    subscription.sent = NEVER
            return
        messages = self.account.subjects.get(subject, [])
        for index in range(self._refused[event.conn, subject], len(messages)):
            self._refused[event.conn, subject] = index + 1
            mine = [one for one in messages[index].publishes if one.conn == event.conn and not one.refused]
            if mine:
                mine[0].outcome, mine[0].refused = "failed", True
                return

    def _msg(self, position: int, event: Event, frame: Frame) -> None:
        when = event.time, position
        left = event.fate not in ("dropped", "cut")
        if frame.subject in self._asked:
            self._answer(when, frame, left)
        elif frame.status and frame.subject in self._pullers:
            self._end_pull(frame)
        elif b"api.v1.consumer_" in frame.payload[:64]:
            self._learn(when, frame)
        if not self._is_judged(frame.subject):
            return
        subscription = self._subscriptions.get((event.conn, frame.sid))
        if not subscription:
            subscription = Subscription(event.conn, frame.sid, event.client, frame.subject, unseen=True)
            self._subscriptions[event.conn, frame.sid] = subscription
            self._connections[event.conn].subscriptions.append(subscription)
        ack = parse_delivery(frame.reply) if frame.reply.startswith("$JS.ACK.") else None
        unit = self._consumer(ack, frame.subject) if ack else self._unit(subscription)
        if subscription not in unit.members:
            unit.members.append(subscription)
        message, exact = self._identify(frame.subject, frame.payload, read_stamp(frame))
        if message.known and message.publishes:
            publish = message.publishes[0]
            self.account.prove(publish.conn, publish.turn, when)
            subscription.reached[publish.conn] = max(publish.turn, subscription.reached.get(publish.conn, 0))
        if event.fate != "duplicated":
            subscription.arrived += 1
            if subscription.arrived == subscription.max_msgs:
                subscription.ended = min(subscription.ended, when)
        if left:
            stored = (self._stream(ack.stream), ack.stream_seq) if ack else None
            member = event.conn, frame.sid
            delivered = ack.num_delivered if ack else 0
            unit.deliveries.append(Delivery(position, event.client, member, message, exact, delivered, stored))

    def _answer(self, when: When, frame: Frame, left: bool) -> None:
        message, publish = self._asked[frame.subject]
        puback = parse_puback(frame.payload)
        self.account.prove(publish.conn, publish.turn, when)
        if not puback and frame.status != 503:
            publish.outcome = publish.outcome.replace("unknown", "")  # some service answered, not a stream
        elif not left:
            return
        elif not puback or puback.error:
            publish.outcome = "failed"
        else:
            publish.outcome = "acknowledged"
            stored = self._stream(puback.stream), puback.seq
            if not puback.duplicate or stored not in self._stored:
                self._stored[stored] = message
                message.stored.setdefault(*stored)
                message.stored_at = min(message.stored_at, when)
                self.account.streams[stored[0]].append(message)

    def _end_pull(self, frame: Frame) -> None:
        key = self._pullers[frame.subject]
        pull = next((pull for pull in self._pulls[key] if pull.reply == frame.subject), None)
        if pull:
            self._pulls[key].remove(pull)
            unit = self._units.get(self._consumer_key(*key))
            if frame.status == 404 and unit and unit.consumer:
                unit.consumer.emptied = max(unit.consumer.emptied, pull.at)

    def _serve_pull(self, ack: AckSubject, consumer: Consumer) -> None:
        """Count a delivery to the earliest pull: it was sent no earlier than that. Nothing pending: nothing stored."""
        pulls = self._pulls[ack.stream, ack.consumer]
        if pulls:
            pulls[0].batch -= 1
            if not ack.num_pending:
                consumer.emptied = max(consumer.emptied, pulls[0].at)
            if not pulls[0].batch:
                pulls.pop(0)

    def _learn(self, when: When, frame: Frame) -> None:
        """Read from the server's own answer what a consumer is; its request may have been overruled."""
        answer = _json(frame.payload)
        match answer:
            case {"stream_name": str(stream), "name": str(name), "config": dict(config)}:
                key = self._consumer_key(stream, name)
                first = config, self._creating.get(frame.subject, LONG_AGO), when
                self._configs[key] = config, *self._configs.get(key, first)[1:]

    # Who gets it, and what it is.

    def _unit(self, subscription: Subscription) -> Unit:
        if subscription.queue:
            return self._units.setdefault(subscription.queue, Unit(f"the queue group {subscription.queue}"))
        return self._units.setdefault(subscription, Unit(subscription.client))

    def _consumer(self, ack: AckSubject, subject: str) -> Unit:
        stream, key = self._stream(ack.stream), self._consumer_key(ack.stream, ack.consumer)
        unit = self._units.get(key)
        if not unit:
            unit = self._units[key] = Unit(f"the consumer {ack.consumer}", consumer=Consumer(stream))
        assert unit.consumer
        consumer = unit.consumer
        consumer.first = min(consumer.first or ack.stream_seq, ack.stream_seq)
        consumer.last = max(consumer.last, ack.stream_seq)
        consumer.subjects.add(subject)
        self._serve_pull(ack, consumer)
        return unit

    def _stream(self, name: str) -> Stream:
        return name, self._deleted[name]

    def _consumer_key(self, stream: str, consumer: str) -> object:
        return self._stream(stream), consumer, self._deleted[stream, consumer]

    def _is_judged(self, subject: str) -> bool:
        judged = self._judged.get(subject)
        if judged is None:
            judged = _is_application(subject) and (self.subject == ">" or matches(self.subject, subject))
            self._judged[subject] = judged
        return judged

    def _identify(self, subject: str, payload: bytes, stamp: tuple[str, int] | None) -> tuple[Message, bool]:
        """Find what was published, and whether a stamp says so. What nobody published is a message too."""
        if stamp:
            known = self._stamped[stamp]
            if subject not in known and len(known) == 1:  # a server may map subjects
                return next(iter(known.values())), True
            return known.setdefault(subject, Message(subject, n=stamp[1])), True
        twins = self._alike.get((subject, payload))
        return (twins[0] if twins else self._strange.setdefault((subject, payload), Message(subject))), False

    def _exactly(self, delivery: Delivery) -> Delivery:
        """Know a delivery by its place in the stream. A PubAck may come later than what it acknowledges."""
        if delivery.exact or not delivery.stored:
            return delivery
        stored = self._stored.get(delivery.stored)
        if not stored and not delivery.message.publishes:
            stored = self._stored[delivery.stored] = Message(delivery.message.subject)
        return delivery._replace(message=stored, exact=True) if stored else delivery

    def _finish(self) -> None:
        for key, unit in self._units.items():
            if unit.consumer:
                consumer = unit.consumer
                consumer.config, consumer.asked, consumer.created = self._configs.get(key, (None, LONG_AGO, NEVER))
                unit.deliveries = [self._exactly(delivery) for delivery in unit.deliveries]
        self.account.units = list(self._units.values())
        for publishes in self.account.publishers.values():
            for rank, publish in enumerate(publishes):
                publish.rank = rank

    # What the application says.

    def only_receiver(self) -> str:
        """Name the one client that receives anything."""
        names = sorted({member.client for unit in self.account.units for member in unit.members})
        if len(names) != 1:
            raise ValueError(f"Say whose callbacks these were, with client=: there are {', '.join(names) or 'none'}.")
        return names[0]

    def replace(self, client: str, received: Iterable[Handled | Frame]) -> None:
        """Put what `client` handled, in its order, in the place of what came to it on the wire."""
        on_the_wire: dict[Message, deque[tuple[Unit, Delivery]]] = defaultdict(deque)
        for unit in self.account.units:
            for delivery in unit.deliveries:
                if delivery.client == client:
                    on_the_wire[delivery.message].append((unit, delivery))
            unit.deliveries = [delivery for delivery in unit.deliveries if delivery.client != client]
        came = {(unit, message) for message, pairs in on_the_wire.items() for unit, _ in pairs}
        handled = set[tuple[Unit, Message]]()
        last: dict[Message, tuple[Unit, Delivery]] = {}
        self.account.receiver = client
        for item in received:
            if not self._is_judged(item.subject):
                continue
            self.account.handled += 1
            payload = item.payload if isinstance(item, Frame) else item.data
            message, exact = self._identify(item.subject, payload, read_stamp(item.headers))
            if not exact and (ack := parse_delivery(item.reply)):
                message = self._stored.get((self._stream(ack.stream), ack.stream_seq), message)
            if waiting := on_the_wire.get(message):
                last[message] = waiting.popleft()
            elif message in last:
                unit, delivery = last[message]
                last[message] = unit, delivery._replace(position=-1, num_delivered=0)
            else:
                self.account.unheard += 1
                continue
            unit, delivery = last[message]
            unit.deliveries.append(delivery)
            handled.add((unit, message))
        self.account.dropped_in_client = len(came - handled)


_REFUSED = re.compile(r'Permissions Violation for (Publish|Subscription) to "(.+?)"').match


def _arrived(event: Event) -> float:
    return round(event.arrived, 6)  # as exact as the History is, and no more: equal times stay equal


_SAME = 2e-6  # seconds; the difference of two times that are exact to a microsecond


def _put_in_order(order: list[Publish], publish: Publish, overtaken: bool) -> None:
    """Insert a publish, which left last, in the order of arrival.

    Among those that arrived together, the order in which they left is that in which they came, but for one that was
    `overtaken`: it left together with the one that had come after it.
    """
    order.append(publish)
    place = len(order) - 1
    while place:
        before = order[place - 1]
        together = abs(publish.at[0] - before.at[0]) <= _SAME
        if not (overtaken and publish.left == before.left if together else publish.at[0] < before.at[0]):
            return
        order[place - 1 : place + 1] = publish, before
        place, overtaken = place - 1, overtaken and not together


def _is_application(subject: str) -> bool:
    return not subject.startswith("$") and not is_inbox(subject)


def _batch(payload: bytes) -> int:
    """How many messages a pull asks for, in JSON or as a plain number."""
    asked = _json(payload).get("batch") or payload
    try:
        return max(1, int(asked))
    except (ValueError, TypeError):
        return 1


def _json(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
