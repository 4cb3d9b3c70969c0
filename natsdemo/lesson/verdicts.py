"""The last table of a lesson: what each of its runs kept, so that lessons can be laid side by side."""

from __future__ import annotations

import html
from collections.abc import Mapping

from ..guarantees import Outcome, Report
from .look import QUIET, VERDICTS_MIME, prose, show

_LAWS = {"no_loss": "nothing lost", "no_duplicates": "nothing twice", "in_order": "in order"}
_PROMISES = {
    "exactly_once": "exactly once",
    "at_least_once": "at least once",
    "at_most_once": "at most once",
}


def what_was_kept(runs: Mapping[str, Report]) -> None:
    """Show the reports of a lesson's own runs, by name, one row each: the three laws, and the best that was kept.

    A report is what `guarantees.judge` returns. The last column is the strongest of *exactly*, *at least* and *at most
    once* that this run kept; it says nothing of the next run.
    """
    rows, told = "", []
    for name, report in runs.items():
        laws = {law: report[law].outcome for law in _LAWS}
        best = next((text for promise, text in _PROMISES.items() if report[promise].outcome is Outcome.HOLDS), "none")
        why = report["no_loss"].sentence
        rows += (
            f'<tr><td style="text-align:left">{prose(name)}</td>'
            + "".join(f'<td title="{outcome.value}">{outcome.mark}</td>' for outcome in laws.values())
            + f'<td>{best}</td><td style="text-align:left;{QUIET}">{html.escape(why)}</td></tr>'
        )
        told.append(
            f"{name}: {', '.join(f'{_LAWS[law]} {outcome.mark}' for law, outcome in laws.items())}; kept: {best}"
        )
    heads = "".join(f"<th>{head}</th>" for head in ("run", *_LAWS.values(), "kept, at best", "lost or not"))
    kept = {name: {verdict.guarantee: verdict.outcome.value for verdict in report} for name, report in runs.items()}
    show(
        "\n".join(told),
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>",
        {VERDICTS_MIME: kept},
    )
