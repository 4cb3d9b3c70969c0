"""Claims: each sentence that states a fact stands beside a check that would fail if it were false."""

from __future__ import annotations

import html
import re
import reprlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

from ..guarantees import Outcome, Verdict
from .look import BAD, CLAIM_MIME, GOOD, NEEDS_MIME, NOTE, QUIET, prose, show
from .progress import report

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxdict = 10


class Claim(NamedTuple):
    """A sentence, whether it holds (None if it is not about the versions that run), and what was seen."""

    sentence: str
    holds: bool | None
    evidence: str
    since: str = ""
    until: str = ""

    @property
    def mark(self) -> str:
        """How it went, as one character."""
        return {True: "✓", False: "✗", None: "–"}[self.holds]


class ClaimFailed(AssertionError):
    """A claim of the lesson is false in this run; its text is the sentence, and what was seen instead."""


ledger: dict[str, Claim] = {}

# What an open lab has to say before a claim fails and the lesson ends there.
last_words: list[Callable[[], None]] = []


# What runs here, as far as claims may be bound to its version. An open lab adds its nats-server.
versions = {"nats-py": version("nats-py")}


def claim(
    sentence: str,
    proof: bool | Verdict,
    outcome: Outcome = Outcome.HOLDS,
    *,
    since: str = "",
    until: str = "",
    **seen: Any,
) -> None:
    """Show `sentence` with a tick, its evidence beside it; raise `ClaimFailed` if the proof says otherwise.

    `proof` is a bool, or a verdict, which then has to have the given `outcome`. Further named values are shown as
    evidence. The claim is kept for `what_we_proved`. A fact that belongs to versions says so: `since="nats-server
    2.11"` and, once it is mended, `until="nats-py 2.17"`, the first version in which it is no longer so; with any other
    version the sentence is shown as not claimed. Raises `ValueError` for a bound that names nothing that runs here.
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
    about = _reached(since, default=True) and not _reached(until, default=False)
    bounds = " and ".join(filter(None, (since and f"since {since}", until and f"until {until}")))
    if not about:
        evidence = f"not claimed here: it is so {bounds}"
    elif bounds:
        evidence = "; ".join(filter(None, (evidence, bounds)))
    made = Claim(sentence, holds if about else None, evidence, since, until)
    ledger[sentence] = made
    colour = {True: GOOD, False: BAD, None: NOTE}[made.holds]
    show(
        f"{made.mark} {sentence}" + (f"  ({evidence})" if evidence else ""),
        f'<div style="border-left:4px solid {colour};padding:2px 10px;margin:4px 0">'
        f"<b>{made.mark}</b> {prose(sentence)}"
        + (f'<br><small style="{QUIET}">{html.escape(evidence)}</small>' if evidence else "")
        + "</div>",
        {CLAIM_MIME: made._asdict() | {"on": dict(versions)}},
    )
    if made.holds is not None:
        report("claim", sentence, "held" if made.holds else "failed")
    if made.holds is False:
        for speak in last_words:
            speak()
        mended = " If a newer version has mended it, give the claim its `until` and change the prose." if since else ""
        raise ClaimFailed(f"{sentence} (seen: {evidence or 'the opposite'}){mended}")


def needs(bound: str) -> bool:
    """Whether what runs here is new enough for what follows; where it is not, say that it is skipped.

    Use it as `if needs("nats-server 2.11"):`. Raises `ValueError` for a bound that names nothing that runs here.
    """
    if _reached(bound, default=True):
        return True
    said = f"This needs {bound}, and {versions[bound.partition(' ')[0]]} runs here: skipped."
    show(f"– {said}", f'<small style="{QUIET}">– {html.escape(said)}</small>', {NEEDS_MIME: {"needs": bound}})
    return False


def _reached(bound: str, default: bool) -> bool:
    """Whether what runs here is at least of the version in `bound`, such as `nats-server 2.11`."""
    if not bound:
        return default
    name, _, wanted = bound.partition(" ")
    if name not in versions or not re.fullmatch(r"\d+(\.\d+)*", wanted):
        raise ValueError(f"{bound!r} is no version of anything here: write {' or '.join(versions)}, and a number.")
    return _numbers(versions[name]) >= _numbers(wanted)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("-")[0])]


def what_we_proved() -> None:
    """Show the claims of this lesson as a table, in the order in which they were made."""
    rows = "".join(
        f"<tr><td>{made.mark}</td>"
        f'<td style="text-align:left">{prose(made.sentence)}</td>'
        f'<td style="text-align:left;{QUIET}">{html.escape(made.evidence)}</td></tr>'
        for made in ledger.values()
    )
    show(
        "\n".join(f"{made.mark} {made.sentence}" for made in ledger.values()),
        f"<table><thead><tr><th></th><th>we claim</th><th>we saw</th></tr></thead><tbody>{rows}</tbody></table>",
    )
