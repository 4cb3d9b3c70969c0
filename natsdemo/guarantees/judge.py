"""The guarantees themselves: what may be lost, repeated or reordered, and the three names for their combinations.

The rules of this module:

- Three laws are judged, and everything else is composed from them: `no_loss`, `no_duplicates`, `in_order`.
- What was seen cannot be unseen: a duplicate or an inversion stays VIOLATED, whatever else was not seen. A loss may
  only be "not yet", unless the run has settled.
- A run that saw nothing, did not settle, or was not recorded whole, is UNKNOWN, and the sentence says why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict, Unpack

from natsdemo.history import History
from natsdemo.protocol import Frame

from .account import Balance, Delivery, Message, Publisher, Unit
from .reading import Handled, read
from .verdict import Counts, Outcome, Report, Verdict, plain

HOLDS, VIOLATED, UNKNOWN = Outcome.HOLDS, Outcome.VIOLATED, Outcome.UNKNOWN


class Options(TypedDict, total=False):
    """What every guarantee takes beside the History; see `no_loss`."""

    subject: str
    client: str | None
    received: Iterable[Handled | Frame] | None


def no_loss(history: History, **options: Unpack[Options]) -> Verdict:
    """What was owed *must* come. (Jepsen's total-queue: what goes in must come out.)

    Owed to a subscription, or once to a queue group, is what was published after the subscription's PONG and before
    its end; on its own connection, after its SUB. Owed to a JetStream consumer is what its stream acknowledged
    (PubAck) and its filter and deliver policy let through; what still waits in the stream, beyond the last that was
    delivered, is undecided. In a cluster a PONG speaks for one server only: the others learn of the subscription a
    little later, and what is lost meanwhile is a loss. Subject mappings are not known here.

    :param history: a whole run that has come to rest (`History.settled`); while it has not, what is missing may still
        be on its way: UNKNOWN. From a slice that begins after SUB nothing can be owed: choose by `subject` instead.
    :param subject: judge only messages whose subject matches this.
    :param client: judge only what is owed to this client, or to a queue group or consumer of which it is a part.
    :param received: what the callbacks of `client` handled, in their order: nats-py's `Msg`s, anything else with
        subject, data, reply and headers, or Frames. They are then judged in place of what came to it on the wire, and
        `counts.dropped_in_client` is the difference. Of a queue group or consumer, it is this client's part.

    Source: https://docs.nats.io/nats-concepts/core-nats; O(events).
    """
    return _Case(history, options).no_loss()


def no_duplicates(history: History, **options: Unpack[Options]) -> Verdict:
    """No receiving unit gets a message again.

    A stamp is a message: a publisher that publishes it again retries, and whoever gets it twice has a duplicate.
    JetStream's redelivery (`num_delivered` > 1) of what had come before violates this too, since the callback runs
    twice, but it is told apart: `counts.redelivered` was announced, `counts.duplicated` came without a word. The
    redelivery of what had *not* come is no repetition. Two messages without stamps that look the same cannot be told
    apart: UNKNOWN. Options as in `no_loss`.

    Source: https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive; O(events).
    """
    return _Case(history, options).no_duplicates()


def in_order(history: History, **options: Unpack[Options]) -> Verdict:
    """What one publisher published comes in the order in which it published.

    Judged for each publisher and each subscription; of a queue group or a consumer, for each member, since NATS
    promises no order between members. Only the first delivery of each message counts: redeliveries come when they
    come. `counts.reordered` are the deliveries that come after something published later. What was published again
    may take any of its places. Options as in `no_loss`.

    Source: https://docs.nats.io/reference/faq, on message ordering; O(events).
    """
    return _Case(history, options).in_order()


def at_most_once(history: History, **options: Unpack[Options]) -> Verdict:
    """`no_duplicates`, and nothing comes that nobody published. Loss is allowed: see `no_loss` beside it.

    Options as in `no_loss`. Source: https://docs.nats.io/nats-concepts/what-is-nats
    """
    return _Case(history, options).at_most_once()


def at_least_once(history: History, **options: Unpack[Options]) -> Verdict:
    """`no_loss`. Duplicates are allowed: see `no_duplicates` beside it.

    Options as in `no_loss`. Source: https://docs.nats.io/nats-concepts/what-is-nats
    """
    return _Case(history, options).at_least_once()


def exactly_once(history: History, **options: Unpack[Options]) -> Verdict:
    """`at_most_once` and `at_least_once`.

    Options as in `no_loss`. Source: https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive
    """
    return _Case(history, options).exactly_once()


def judge(history: History, **options: Unpack[Options]) -> Report:
    """Judge all six in one pass, to be shown side by side. Options as in `no_loss`."""
    case = _Case(history, options)
    laws = case.no_loss, case.no_duplicates, case.in_order, case.at_most_once, case.at_least_once, case.exactly_once
    return Report(tuple(law() for law in laws))


class _Wrong(NamedTuple):
    """What is wrong between one publisher and one unit: these of so many messages."""

    balance: Balance
    publisher: Publisher | None
    messages: list[Message]
    of: list[Message]


class _Case:
    """One run, read once, from which the guarantees are judged."""

    def __init__(self, history: History, options: Options) -> None:
        self.account = read(
            history,
            subject=options.get("subject", ">"),
            client=options.get("client"),
            received=options.get("received"),
        )
        self.settled = history.settled
        self.balances = [Balance(unit, self.account) for unit in self.account.units]
        self.labels = Counter(unit.label for unit in self.account.units)
        self.inversions = [
            inversion for balance in self.balances for member in balance.members for inversion in _inversions(member)
        ]
        self.counts = self._count()

    # The three laws

    def no_loss(self) -> Verdict:
        wrong = [pair for balance in self.balances for pair in _by_publisher(balance, balance.missing, balance.owed)]
        doubts = [*self._unsettled(), *self._indistinct(), *self._undecided(), *self._opaque()]
        if not self.counts.owed:
            doubts.append(
                f"Nothing was owed to anybody: nobody was seen to subscribe before {_count(self.counts.attempted)} "
                f"{_be(self.counts.attempted)} published."
            )
        if wrong and self.settled:
            worst = max(wrong, key=lambda pair: len(pair.messages))
            return self._verdict("no_loss", VIOLATED, self._loss(worst), self._loss_witness(worst))
        holds = f"{_all(self.counts.owed)} that {_be(self.counts.owed)} owed to {self._receivers()} came."
        return self._settle("no_loss", doubts, holds)

    def no_duplicates(self) -> Verdict:
        wrong = [
            pair
            for balance in self.balances
            for pair in _by_publisher(balance, [m for m, came in balance.got.items() if len(came) > 1], balance.got)
        ]
        if wrong:
            worst = max(wrong, key=lambda pair: len(pair.messages))
            first, second, *_ = worst.balance.got[worst.messages[0]]
            positions = [publish.at[1] for publish in worst.messages[0].publishes[:1]]
            witness = [*positions, first.position, second.position]
            return self._verdict("no_duplicates", VIOLATED, self._repetition(worst), witness)
        doubts = [*self._unsettled(), *self._indistinct(), *self._opaque()]
        if any(not delivery.exact for balance in self.balances for delivery in balance.unexpected):
            doubts += self._unexpected()
        if not self.counts.owed + self.counts.delivered + self.counts.unexpected:
            doubts.append("Nothing was owed to anybody and nothing came, so nothing could come twice.")
        return self._settle("no_duplicates", doubts, f"Nothing reached {self._receivers()} twice.")

    def in_order(self) -> Verdict:
        if self.inversions:
            late, early = self.inversions[0]
            witness = [late.message.publishes[0].at[1], early.message.publishes[0].at[1], late.position, early.position]
            return self._verdict("in_order", VIOLATED, self._inversion(), witness)
        doubts = [*self._unsettled(), *self._indistinct(), *self._opaque()]
        publishers = (
            Counter(delivery.message.publisher for delivery in member)
            for balance in self.balances
            for member in balance.members
        )
        if not any(count > 1 for member in publishers for count in member.values()):
            doubts.append("No two messages of one publisher reached the same subscription: there is no order to judge.")
        return self._settle("in_order", doubts, f"Everything reached {self._receivers()} in its publisher's order.")

    # The three names for their combinations

    def at_most_once(self) -> Verdict:
        verdict = self.no_duplicates()
        if verdict.outcome is HOLDS and self.counts.unexpected:
            verdict = self._settle("", self._unexpected(), "")
        elif verdict.outcome is HOLDS and self.counts.lost:
            verdict = verdict._replace(sentence=f"{verdict.sentence} Loss is allowed: {self.counts.lost} did not come.")
        return verdict._replace(guarantee="at_most_once")

    def at_least_once(self) -> Verdict:
        verdict = self.no_loss()
        if verdict.outcome is HOLDS and self.counts.repeated:
            more = f"Repetition is allowed: {self.counts.repeated} came again."
            verdict = verdict._replace(sentence=f"{verdict.sentence} {more}")
        return verdict._replace(guarantee="at_least_once")

    def exactly_once(self) -> Verdict:
        both = self.no_loss(), self.at_most_once()
        for outcome in VIOLATED, UNKNOWN:
            found = [verdict for verdict in both if verdict.outcome is outcome]
            if found:
                sentence = found[0].sentence
                if outcome is VIOLATED and len(found) > 1:
                    lost, repeated = self.counts.lost, self.counts.repeated
                    sentence = f"Of {_count(self.counts.owed)} owed, {lost} never came, and {repeated} came again."
                events = {event for verdict in found for event in verdict.witness}
                witness = tuple(sorted(events, key=lambda event: event.number))
                return found[0]._replace(guarantee="exactly_once", sentence=sentence, witness=witness)
        return self._verdict("exactly_once", HOLDS, f"{_all(self.counts.owed)} came, and none twice.")

    # What was counted

    def _count(self) -> Counts:
        outcomes = Counter(publish.outcome for publish in self.account.publishes)
        total: Counter[str] = Counter()
        for balance in self.balances:
            total += Counter(
                owed=len(balance.owed),
                delivered=sum(1 for message in balance.got if message.publishes),
                lost=len(balance.missing),
                undecided=len(balance.undecided),
                indistinct=len(balance.alike),
                unexpected=len(balance.unexpected),
            )
            total += _positions(balance)
            for message, came in balance.got.items():
                again = sum(1 for delivery in came[1:] if delivery.num_delivered > 1)
                total["repeated"] += len(came) - 1
                total["duplicated"] += len(came) - 1 - again
                total["redelivered"] += sum(1 for delivery in came if delivery.num_delivered > 1)
                acknowledged = any(publish.outcome == "acknowledged" for publish in message.publishes)
                total["recovered"] += bool(balance.unit.consumer and message.publishes and not acknowledged)
        total["unexpected"] += self.account.unheard
        retried = (message for found in self.account.subjects.values() for message in found)
        return Counts(
            attempted=len(self.account.publishes),
            acknowledged=outcomes["acknowledged"],
            failed=outcomes["failed"],
            unknown=outcomes["unknown"],
            retried=sum(1 for message in retried if len(message.publishes) > 1),
            reordered=len(self.inversions),
            handled=self.account.handled,
            dropped_in_client=self.account.dropped_in_client,
            **total,
        )

    # What leaves room for doubt

    def _unsettled(self) -> list[str]:
        missing = f", and {_count(self.counts.lost)} had not come yet" if self.counts.lost else ""
        return [] if self.settled else [f"The run had not come to rest{missing}."]

    def _opaque(self) -> list[str]:
        number = len(self.account.opaque)
        return [f"{number} connection{'s'[: number > 1]} could not be read (TLS?)."] if number else []

    def _indistinct(self) -> list[str]:
        alike = next((message for balance in self.balances for message in balance.alike), None)
        if not alike:
            return []
        return [
            f"{len(alike.twins)} messages to {plain(alike.subject)} look the same, so nobody can tell which came: "
            "stamp them, or give them different payloads."
        ]

    def _undecided(self) -> list[str]:
        for balance in self.balances:
            number, unit = len(balance.undecided), balance.unit
            if number and unit.consumer:
                return [f"{_count(number)} for {self._label(unit)} did not come, and may still wait in the stream."]
            if number and any(member.unseen for member in unit.members):
                return [f"{self._label(unit)} had subscribed before the recording began: who knows to what."]
            if number:
                return [
                    f"{_count(number)} passed while the subscription of {self._label(unit)} was beginning or ending: "
                    f"the wire does not tell whether {'they were' if number > 1 else 'it was'} owed."
                ]
        return []

    def _unexpected(self) -> list[str]:
        return [
            f"{_count(self.counts.unexpected)} came that nobody was seen to publish: "
            "before the recording began, perhaps, or by a client beside the Tap."
        ]

    def _settle(self, guarantee: str, doubts: Sequence[str], holds: str) -> Verdict:
        return self._verdict(guarantee, UNKNOWN if doubts else HOLDS, doubts[0] if doubts else holds)

    def _verdict(self, guarantee: str, outcome: Outcome, sentence: str, positions: Iterable[int] = ()) -> Verdict:
        history = self.account.history
        where = f"in the callbacks of {plain(self.account.receiver)}" if self.account.receiver else "on the wire"
        if history.unrecorded:
            outcome, positions = UNKNOWN, ()
            sentence = f"{history.unrecorded} records did not fit into the History: this run was not seen whole."
        elif not self.counts.attempted and not self.counts.unexpected:
            outcome, sentence = UNKNOWN, "Nothing was published, so there is nothing to judge."
        witness = tuple(history[position] for position in sorted({position for position in positions if position >= 0}))
        return Verdict(guarantee, outcome, sentence, self.counts, witness, where)

    # What is wrong, in words

    def _loss(self, wrong: _Wrong) -> str:
        head, hole, tail = (_positions(wrong.balance, wrong.publisher)[f"lost_{at}"] for at in ("head", "hole", "tail"))
        places = {"the first": head, "a hole in the middle": hole, "the last": tail}
        where = " and ".join(f"{place}" for place, number in places.items() if number)
        if len(wrong.messages) == len(wrong.of):
            where = "none came"
        sentence = f"{self._some(wrong)} never reached {self._label(wrong.balance.unit)}: {_list(wrong)} ({where})."
        if self.counts.lost > len(wrong.messages):
            sentence += f" In all, {self.counts.lost} are lost."
        if self.account.dropped_in_client:
            sentence += f" {self.account.dropped_in_client} came on the wire and were dropped in the client."
        return sentence

    def _loss_witness(self, wrong: _Wrong) -> list[int]:
        """SUB, its PONG and the PUB; or the PUB and its PubAck."""
        message, unit = wrong.messages[0], wrong.balance.unit
        positions = [message.publishes[0].at[1]]
        if unit.consumer:
            return [*positions, message.stored_at[1]]
        owing = (m for m in unit.members if any(m.owes(publish, self.account) for publish in message.publishes))
        member = next(owing)
        return [*positions, member.sent[1], member.pong]

    def _repetition(self, wrong: _Wrong) -> str:
        sentence = f"{self._some(wrong)} reached {self._label(wrong.balance.unit)} more than once: {_list(wrong)}."
        if announced := self.counts.repeated - self.counts.duplicated:
            sentence += f" Of {self.counts.repeated} repetitions, {announced} came as JetStream's redeliveries."
        again = sum(1 for message in wrong.messages if len(message.publishes) > 1)
        if again:
            sentence += f" {_count(again)} had been published more than once."
        return sentence

    def _inversion(self) -> str:
        late, early = self.inversions[0]
        balance = next(balance for balance in self.balances if late in balance.got.get(late.message, ()))
        number = self.counts.reordered
        came = f"{number} of {self.counts.delivered} messages came after one that was published later"
        who = f"{plain(late.message.publisher.client)}'s " if late.message.publisher else ""
        return f"{came}: {self._label(balance.unit)} got {who}{early.message.name} before {late.message.name}."

    def _some(self, wrong: _Wrong) -> str:
        subjects = {message.subject for message in wrong.of}
        to = f" to {plain(subjects.pop())}" if len(subjects) == 1 else ""
        who = plain(wrong.publisher.client) if wrong.publisher else "somebody"
        return f"{len(wrong.messages)} of {len(wrong.of)} messages that {who} published{to}"

    def _label(self, unit: Unit) -> str:
        label = plain(unit.label, 60)
        if self.labels[unit.label] > 1 and not unit.consumer:
            label += f" ({plain(unit.members[0].subject)})"
        return f"the callbacks of {label}" if self.account.receiver else label

    def _receivers(self) -> str:
        concerned = [balance.unit for balance in self.balances if balance.owed or balance.got]
        if len(concerned) == 1:
            return self._label(concerned[0])
        return f"the {len(concerned)} receivers"


def _by_publisher(balance: Balance, wrong: Iterable[Message], of: Iterable[Message]) -> list[_Wrong]:
    pairs: dict[Publisher | None, _Wrong] = {}
    for message in wrong:
        pairs.setdefault(message.publisher, _Wrong(balance, message.publisher, [], [])).messages.append(message)
    if pairs:
        for message in of:
            if message.publisher in pairs:
                pairs[message.publisher].of.append(message)
    return list(pairs.values())


def _positions(balance: Balance, publisher: Publisher | None = None) -> Counter[str]:
    """Count where the losses are: before the first of that publisher that came, between, or after the last."""
    came: dict[Publisher | None, list[int]] = defaultdict(list)
    for message in balance.got if balance.missing else ():
        if message.publishes:
            came[message.publisher] += message.ranks
    bounds = {publisher: (min(ranks), max(ranks)) for publisher, ranks in came.items()}
    counts: Counter[str] = Counter()
    for message in balance.missing:
        if publisher in (None, message.publisher):
            first, last = bounds.get(message.publisher, (-1, -1))
            rank = message.ranks[0]
            counts["lost_head" if rank < first else "lost_tail" if rank > last else "lost_hole"] += 1
    return counts


def _inversions(member: Iterable[Delivery]) -> list[tuple[Delivery, Delivery]]:
    """Pair each delivery that comes too late with one published later that came before it."""
    latest: dict[Publisher | None, tuple[int, Delivery]] = {}
    found = []
    for delivery in member:
        first, last = delivery.message.ranks
        rank, early = latest.get(delivery.message.publisher, (-1, delivery))
        if last < rank:
            found.append((delivery, early))
        elif first > rank:
            latest[delivery.message.publisher] = first, delivery
    return found


def _list(wrong: _Wrong) -> str:
    names = [message.name for message in wrong.messages]
    if len(names) > 6:
        names = [*names[:5], f"{len(names) - 5} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _count(number: int) -> str:
    return f"{number} message{'s' if number != 1 else ''}"


def _all(number: int) -> str:
    return f"All {_count(number)}" if number > 1 else "The one message"


def _be(number: int) -> str:
    return "were" if number != 1 else "was"
