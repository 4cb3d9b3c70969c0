"""What a guarantee says: one of three outcomes, the counts, the events that prove it, and a sentence.

The rules of this module:

- A verdict prints well everywhere: text, static HTML, no scripts. What came over the wire is escaped and cut short.
- It has no truth value, since any would be wrong for one of the three outcomes.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, NoReturn

from natsdemo.history import Event


class Outcome(Enum):
    """What can be said of a guarantee. UNKNOWN is an answer too: the run saw too little to say more."""

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    UNKNOWN = "UNKNOWN"

    @property
    def mark(self) -> str:
        """One character for it."""
        return {"HOLDS": "✓", "VIOLATED": "✗", "UNKNOWN": "?"}[self.value]

    def __repr__(self) -> str:
        return self.value


class Counts(NamedTuple):
    """What was counted. Publishes come first; from `owed` on, each message counts once for each receiving unit.

    `attempted` publishes came to the Tap from a client; a stream `acknowledged` them (PubAck), or they `failed` for
    certain (no responders, an error), or an answer was asked for and none came: `unknown`. `retried` messages were
    published more than once under one stamp.

    `owed` = `delivered` + `lost`, but for what is `unexpected`. `lost` = `lost_head` (before the first of that
    publisher that came) + `lost_hole` + `lost_tail` (after the last that came, or none came at all; it may only mean
    "not yet"). `undecided`: the wire does not tell whether it was owed. `indistinct`: kinds of messages without a
    stamp that were published more than once with the same subject and payload.

    `repeated` deliveries brought what the unit already had: `duplicated` without a word, the others as announced
    redeliveries. `redelivered` are all deliveries that JetStream announced as such (num_delivered > 1), repeated or
    not. `reordered` came after something that the same publisher published later. `recovered`: delivered by a
    consumer although no PubAck was seen. `unexpected`: delivered, and nobody was seen to publish it.

    With `received=`: `handled` by the callbacks; `dropped_in_client`: came on the wire, and was never handled.
    """

    attempted: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    retried: int = 0
    owed: int = 0
    delivered: int = 0
    lost: int = 0
    lost_head: int = 0
    lost_hole: int = 0
    lost_tail: int = 0
    undecided: int = 0
    indistinct: int = 0
    repeated: int = 0
    duplicated: int = 0
    redelivered: int = 0
    reordered: int = 0
    recovered: int = 0
    unexpected: int = 0
    handled: int = 0
    dropped_in_client: int = 0

    def __repr__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self._asdict().items() if value) or "0"


class Verdict(NamedTuple):
    """A guarantee, judged. Compare its `outcome`: `verdict.outcome is VIOLATED`.

    `witness` is the smallest tuple of events that proves a violation, in their order; of `where`, see `received=`.
    """

    guarantee: str
    outcome: Outcome
    sentence: str
    counts: Counts = Counts()
    witness: tuple[Event, ...] = ()
    where: str = "on the wire"

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"A verdict is {', '.join(one.value for one in Outcome)}, and has no truth value: "
            f"ask for `verdict.outcome is HOLDS`. This one is {self.outcome.value}."
        )

    def __repr__(self) -> str:
        return f"{self.outcome.mark} {self.name} {self.outcome.value}: {self.sentence}\n  {self.counts!r}"

    @property
    def name(self) -> str:
        """The guarantee, and where it was judged if that was not the wire."""
        return self.guarantee if self.where == "on the wire" else f"{self.guarantee} {self.where}"

    def _repr_html_(self) -> str:
        return Report((self,))._repr_html_()


@dataclass(frozen=True)
class Report:
    """Verdicts side by side, as a table; `report["no_loss"]` is the first of that guarantee."""

    verdicts: tuple[Verdict, ...]

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __getitem__(self, guarantee: str) -> Verdict:
        for verdict in self.verdicts:
            if verdict.guarantee == guarantee:
                return verdict
        raise KeyError(guarantee)

    @property
    def outcome(self) -> Outcome:
        """The worst of them: VIOLATED if one is, else UNKNOWN if one is, else HOLDS."""
        outcomes = {verdict.outcome for verdict in self}
        for outcome in (Outcome.VIOLATED, Outcome.UNKNOWN):
            if outcome in outcomes:
                return outcome
        return Outcome.HOLDS if outcomes else Outcome.UNKNOWN

    @property
    def exit_code(self) -> int:
        """What the shell is told: 0 if all hold, 1 if one is violated, 2 if it cannot be known."""
        return {Outcome.HOLDS: 0, Outcome.VIOLATED: 1, Outcome.UNKNOWN: 2}[self.outcome]

    def __bool__(self) -> NoReturn:
        raise TypeError("A report holds several verdicts, and has no truth value: ask for the outcome of one of them.")

    def __repr__(self) -> str:
        width = max((len(verdict.name) for verdict in self), default=0)
        return "\n".join(f"{v.outcome.mark} {v.name:{width}}  {v.outcome.value:8}  {v.sentence}" for v in self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(verdict.name)}</td>"
            f"<td><b>{verdict.outcome.mark}&nbsp;{verdict.outcome.value}</b></td>"
            f'<td style="text-align:left">{html.escape(verdict.sentence)}<br>'
            f"<small>{html.escape(repr(verdict.counts))}</small></td></tr>"
            for verdict in self
        )
        return f'<table class="natsdemo-verdicts">{rows}</table>'


def plain(text: str, size: int = 24) -> str:
    """Show a name from the wire: what does not print becomes a dot, and what is long is cut."""
    shown = "".join(letter if letter.isprintable() else "·" for letter in text[:size])
    return shown + "…" if len(text) > size else shown
