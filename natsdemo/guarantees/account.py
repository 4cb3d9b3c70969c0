"""What was owed to whom, and what came: the book that the guarantees are judged from. `reading` writes it.

The rules of this module:

- The receiving units are a subscription, a queue group (by its name: the server gives each message to one member,
  even where the members' wildcards differ) and a JetStream consumer. A message is owed once to each.
- Nothing is claimed that one look at the wire cannot know. Between two connections there is no common order, except
  where an answer proves it: a PONG, a PubAck, a delivery. What is not proven is neither owed nor not owed: undecided.
- What the server did deliver, it owed: it knows its own order best.

The words are those of Jepsen's total-queue checker: attempted, acknowledged, lost, duplicated, recovered, unexpected.
Source: https://github.com/jepsen-io/jepsen, jepsen/src/jepsen/checker.clj; https://docs.nats.io/nats-concepts/core-nats
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from natsdemo.history import History
from natsdemo.messages import matches

When = tuple[float, int]  # seconds since the History began, then the place in it
Stream = tuple[str, int]  # its name, and how many of that name had been deleted before
LONG_AGO: When = (float("-inf"), -1)
NEVER: When = (float("inf"), sys.maxsize)


class Publisher(NamedTuple):
    """Whose order counts: a client, under the name in its stamps or, without stamps, on one connection."""

    client: str
    source: str | int


@dataclass(slots=True, eq=False)
class Publish:
    """One PUB: when it came and left, on which connection, as which of that connection (`turn`), and what was answered.

    `outcome` is "" if no answer was asked for, or if it was no stream's; else acknowledged, failed or unknown.
    `refused` is what the server said that it did not take at all.
    """

    at: When
    left: float
    conn: int
    turn: int
    outcome: str = ""
    refused: bool = False
    rank: int = 0  # its place in the publisher's own order


@dataclass(slots=True, eq=False)
class Message:
    """What was published: once, or more often under one stamp. Without any publish, it was only seen to arrive."""

    subject: str
    publisher: Publisher | None = None
    n: int = 0  # of its stamp
    publishes: list[Publish] = field(default_factory=list)
    twins: list[Message] = field(default_factory=list)  # it, and others without stamps that look the same
    stored: dict[Stream, int] = field(default_factory=dict)  # under which sequence a PubAck said that it is
    stored_at: When = NEVER  # when that PubAck passed

    @property
    def known(self) -> bool:
        """Whether its deliveries can be told from those of others."""
        return len(self.twins) < 2

    @property
    def ranks(self) -> tuple[int, int]:
        """Its first and its last place in the publisher's order; they differ if it was published again."""
        ranks = [publish.rank for publish in self.publishes if publish.outcome != "failed"]
        ranks = ranks or [publish.rank for publish in self.publishes]
        return min(ranks), max(ranks)

    @property
    def name(self) -> str:
        """How people call it: the number in its stamp, else its place among what its publisher published."""
        return str(self.n or (self.ranks[0] + 1 if self.publishes else "?"))


class Delivery(NamedTuple):
    """One message that came: where in the History (-1: only the application says so), to whom, and as which."""

    position: int
    client: str
    member: tuple[int, str]  # connection and sid
    message: Message
    exact: bool  # known by its stamp or its sequence, not by its looks
    num_delivered: int = 0  # 0 without JetStream
    stored: tuple[Stream, int] | None = None


@dataclass(slots=True, eq=False)
class Subscription:
    """A SUB: when it was sent, when a PONG proved that the server has it, and when it ended."""

    conn: int
    sid: str
    client: str
    subject: str
    queue: str = ""
    sent: When = LONG_AGO
    proven: When = NEVER
    pong: int = -1  # where that PONG is in the History
    ended: When = NEVER
    unsubscribed: bool = False  # how it ended
    echo: bool = True
    max_msgs: int = 0
    arrived: int = 0  # messages that came from the server for it,
    reached: dict[int, int] = field(default_factory=dict)  # and up to which turn of each connection
    unseen: bool = False  # it began before the recording

    def owes(self, publish: Publish, account: Account) -> bool | None:
        """Whether the server has to deliver this here; None if the wire does not tell."""
        own = publish.conn == self.conn
        if own:  # the server reads one connection in its order, whatever the time
            during = self.echo and self.sent[1] < publish.at[1] < self.ended[1]
        else:
            during = self.sent < publish.at < self.ended
        if publish.refused or not during:
            return False
        if self.max_msgs and self.ended < NEVER and not self.unsubscribed:  # it got all that it had asked for:
            return publish.turn < self.reached.get(publish.conn, 0)  # that may be others in the place of this one
        if not own and publish.at < self.proven:
            return None
        return self.ended == NEVER or (own and self.unsubscribed) or account.processed(publish, self.ended) or None


@dataclass(slots=True, eq=False)
class Consumer:
    """What the wire tells of a JetStream consumer: where it starts, what it wants, and how far it has come."""

    stream: Stream
    config: dict[str, Any] | None = None
    asked: When = LONG_AGO  # when a client asked for it,
    created: When = NEVER  # and when it was told that it is there
    first: int = 0  # the lowest stream sequence that the server sent
    last: int = 0  # and the highest
    emptied: When = LONG_AGO  # the answer to a pull of that time was: nothing more is pending
    deleted: bool = False
    subjects: set[str] = field(default_factory=set)  # of what it sent

    def owes(self, message: Message, account: Account, ended: bool) -> bool | None:
        """Whether this consumer has to deliver what its stream acknowledged; None if the wire does not tell.

        What lies beyond the last sequence that it sent waits in the stream: it is lost only if a later pull learned
        that nothing is pending. `ended` says that nobody listens any more.
        """
        seq = message.stored[self.stream]
        starts, wants = self._starts(message, seq), self._wants(message.subject)
        if starts is False or wants is False:
            return False
        if seq > self.last and not message.stored_at < self.emptied:
            ephemeral = self.config is not None and not self.config.get("durable_name")
            return False if self.deleted or (ended and ephemeral) else None
        if message.stored_at < account.purged.get(self.stream, LONG_AGO):
            return None
        return (starts and wants) or None

    def _wants(self, subject: str) -> bool | None:
        if subject in self.subjects:
            return True
        if self.config is None:
            return None
        filters = self.config.get("filter_subjects") or [self.config.get("filter_subject") or ">"]
        return any(matches(str(pattern), subject) for pattern in filters)

    def _starts(self, message: Message, seq: int) -> bool | None:
        if self.config is None:
            return seq >= self.first or None
        after = all(self.created < publish.at for publish in message.publishes)
        match self.config.get("deliver_policy"):
            case "all":
                return True
            case "by_start_sequence":
                return seq >= int(self.config.get("opt_start_seq") or 0)
            case "last_per_subject":
                return after
            case "new":
                return not message.stored_at < self.asked and (seq >= self.first or after or None)
            case _:
                return seq >= self.first


@dataclass(slots=True, eq=False)
class Unit:
    """A receiving unit, and what came to it, in its order."""

    label: str
    members: list[Subscription] = field(default_factory=list)
    consumer: Consumer | None = None
    deliveries: list[Delivery] = field(default_factory=list)

    def owes(self, message: Message, account: Account) -> bool | None:
        """Whether this message has to come here; None if the wire does not tell."""
        if self.consumer:
            return self.consumer.owes(message, account, all(member.ended < NEVER for member in self.members))
        answers = set[bool | None]()
        for member in self.members:
            if matches(member.subject, message.subject):
                limited = len(self.members) > 1 and member.max_msgs  # then nobody can tell which were its last
                vague = limited or member.unseen or member.conn in account.opaque
                for publish in message.publishes:
                    owed = member.owes(publish, account)
                    answers.add(None if owed and vague else owed)
        return True if True in answers else None if None in answers else False

    def candidates(self, account: Account) -> Iterator[Message]:
        """What may be owed here: each message that fits, once."""
        if self.consumer:
            stream = self.consumer.stream
            yield from dict.fromkeys(account.streams.get(stream, ()))
            return
        patterns = {member.subject for member in self.members}
        for subject, found in account.subjects.items():
            if any(matches(pattern, subject) for pattern in patterns):
                yield from found


class Balance:
    """One unit's account: what it got, and how often; what is missing; what cannot be told."""

    def __init__(self, unit: Unit, account: Account) -> None:
        self.unit = unit
        self.got: dict[Message, list[Delivery]] = {}
        self.missing: list[Message] = []
        self.undecided: list[Message] = []
        self.alike: dict[Message, None] = {}  # for each kind of those that look the same, one
        self.unexpected: list[Delivery] = []
        for delivery in unit.deliveries:
            message = delivery.message
            if not message.publishes:
                self.unexpected.append(delivery)
                if not delivery.exact:
                    continue
            if message.known or delivery.exact:
                self.got.setdefault(message, []).append(delivery)
            else:
                self.alike[message.twins[0]] = None
        for message in unit.candidates(account):
            if message not in self.got and (owed := unit.owes(message, account)) is not False:
                if not message.known and not unit.consumer:
                    self.alike[message.twins[0]] = None
                else:
                    (self.missing if owed else self.undecided).append(message)
        self.missing.sort(key=lambda message: message.publishes[0].at)
        limits = [member.max_msgs for member in unit.members if member.max_msgs and member.ended == NEVER]
        if limits:  # of UNSUB, and it has not ended the subscription yet
            del self.missing[max(0, limits[0] - len(self.got)) :]

    @property
    def owed(self) -> list[Message]:
        """What the server had to deliver, and what it did deliver."""
        return [message for message in self.got if message.publishes] + self.missing

    @property
    def members(self) -> Iterable[list[Delivery]]:
        """The first delivery of each message, in order, for each member; what came again is left out."""
        members: dict[tuple[int, str], list[Delivery]] = defaultdict(list)
        firsts = {deliveries[0] for message, deliveries in self.got.items() if message.publishes}
        for delivery in self.unit.deliveries:
            if delivery in firsts:
                members[delivery.member].append(delivery)
        return members.values()


@dataclass(slots=True, eq=False)
class Account:
    """The whole book.

    `proofs` says for each connection when the server was seen to have processed how many of its publishes.
    """

    history: History
    units: list[Unit] = field(default_factory=list)
    publishes: list[Publish] = field(default_factory=list)
    subjects: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    streams: dict[Stream, list[Message]] = field(default_factory=lambda: defaultdict(list))
    purged: dict[Stream, When] = field(default_factory=dict)
    opaque: set[int] = field(default_factory=set)  # connections whose bytes were not readable
    publishers: dict[Publisher, list[Publish]] = field(default_factory=lambda: defaultdict(list))  # in their order
    proofs: dict[int, tuple[list[When], list[int]]] = field(default_factory=lambda: defaultdict(lambda: ([], [])))
    receiver: str = ""  # the client whose callbacks are judged; "": the wire
    handled: int = 0
    unheard: int = 0  # handled, and never seen to come on the wire
    dropped_in_client: int = 0

    def processed(self, publish: Publish, by: When) -> bool:
        """Whether the server was seen to have processed this publish before `by`."""
        whens, turns = self.proofs[publish.conn]
        index = bisect_left(whens, by)
        return bool(index) and turns[index - 1] >= publish.turn

    def prove(self, conn: int, turn: int, when: When) -> None:
        """Note that the server has processed the first `turn` publishes of a connection."""
        whens, turns = self.proofs[conn]
        whens.append(when)
        turns.append(max(turn, turns[-1]) if turns else turn)
