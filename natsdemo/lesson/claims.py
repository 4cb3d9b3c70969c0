"""Claims: each sentence that states a fact stands beside a check that would fail if it were false."""

from __future__ import annotations

import html
import reprlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..guarantees import Outcome, Verdict
from .look import CLAIM_MIME, GOOD, QUIET, show

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxdict = 10


class Claim(NamedTuple):
    """A sentence, whether it holds, and what was seen."""

    sentence: str
    holds: bool
    evidence: str


class ClaimFailed(AssertionError):
    """A claim of the lesson is false in this run; its text is the sentence, and what was seen instead."""


ledger: dict[str, Claim] = {}

# What an open lab has to say before a claim fails and the lesson ends there.
last_words: list[Callable[[], None]] = []


def claim(sentence: str, proof: bool | Verdict, outcome: Outcome = Outcome.HOLDS, **seen: Any) -> None:
    """Show `sentence` with a tick, its evidence beside it; raise `ClaimFailed` if the proof says otherwise.

    `proof` is a bool, or a verdict, which then has to have the given `outcome`. Further named values are shown as
    evidence. The claim is kept for `what_we_proved`.
    """
    if isinstance(proof, Verdict):
        holds = proof.outcome is outcome
        evidence = proof.sentence
    elif isinstance(proof, bool):
        holds = proof
        evidence = ""
    else:
        raise TypeError(f"A proof is True, False or a verdict, not {proof!r}: compare something.")
    evidence = "; ".join(filter(None, (evidence, *(f"{name} = {_short.repr(value)}" for name, value in seen.items()))))
    made = Claim(sentence, holds, evidence)
    ledger[sentence] = made
    mark = "✓" if holds else "✗"
    show(
        f"{mark} {sentence}" + (f"  ({evidence})" if evidence else ""),
        f'<div style="border-left:4px solid {GOOD if holds else "#D55E00"};padding:2px 10px;margin:4px 0">'
        f"<b>{mark}</b> {html.escape(sentence)}"
        + (f'<br><small style="{QUIET}">{html.escape(evidence)}</small>' if evidence else "")
        + "</div>",
        {CLAIM_MIME: made._asdict()},
    )
    if not holds:
        for speak in last_words:
            speak()
        raise ClaimFailed(f"{sentence} (seen: {evidence or 'the opposite'})")


def what_we_proved() -> None:
    """Show the claims of this lesson as a table, in the order in which they were made."""
    rows = "".join(
        f"<tr><td>{'✓' if made.holds else '✗'}</td>"
        f'<td style="text-align:left">{html.escape(made.sentence)}</td>'
        f'<td style="text-align:left;{QUIET}">{html.escape(made.evidence)}</td></tr>'
        for made in ledger.values()
    )
    show(
        "\n".join(f"{'✓' if made.holds else '✗'} {made.sentence}" for made in ledger.values()),
        f"<table><thead><tr><th></th><th>we claim</th><th>we saw</th></tr></thead><tbody>{rows}</tbody></table>",
    )
