"""What readers have reported, and the teacher's page of it."""

import datetime
import html
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

STUCK = 300  # seconds without a sign
SOLUTION = "_solved"  # how the name of a solution ends that stands in the notebook

REFRESH = 3  # seconds
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.3 system-ui, sans-serif; margin: 1.5em 2em }
table { border-collapse: collapse; width: 100% } caption { text-align: left; padding-bottom: .7em }
th, td { text-align: left; padding: .2em .8em; border-bottom: 1px solid #8885; white-space: nowrap }
td:last-child { width: 100%; min-width: 14em; white-space: normal }
tr.stuck { background: #E69F0033 } tr.silent { opacity: .6 }
"""


@dataclass
class Progress:
    """How far a reader is in one lesson: the claims by their sentences, and whether each held when it was last tried;
    the exercises that were solved, and those for which the notebook's own solution was run."""

    claims: dict[str, bool] = field(default_factory=dict)
    solved: set[str] = field(default_factory=set)
    looked_up: set[str] = field(default_factory=set)

    @property
    def held(self) -> int:
        """How many claims are proved."""
        return sum(self.claims.values())


@dataclass
class Standing:
    """What a reader has reported: their lessons, the one that they were in last, what came last and when."""

    lessons: dict[str, Progress] = field(default_factory=lambda: defaultdict(Progress))
    lesson: str = ""
    what: str = ""
    when: datetime.datetime | None = None


class Board:
    """What all readers have reported, by their names."""

    def __init__(self) -> None:
        self.readers: dict[str, Standing] = defaultdict(Standing)

    def take(self, reader: str, data: bytes, when: datetime.datetime) -> None:
        """Take one report in. What is none is left out: in their own account readers can say anything."""
        try:
            said = json.loads(data)
            lesson, kind, name, outcome = (str(said[key]) for key in ("lesson", "kind", "name", "outcome"))
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        standing = self.readers[reader]
        progress = standing.lessons[lesson]
        if kind == "claim":
            progress.claims[name] = outcome == "held"
        elif kind == "exercise" and outcome == "right":
            (progress.looked_up if name.endswith(SOLUTION) else progress.solved).add(name.removesuffix(SOLUTION))
        standing.lesson, standing.when = lesson, when
        standing.what = f"{outcome}: {name}" if name else outcome

    def page(
        self,
        readers: Iterable[str],
        here: Collection[str],
        lessons: Mapping[str, int],
        now: datetime.datetime,
    ) -> str:
        """Return the page: a row for each of `readers`.

        `here` are those who are connected; `lessons` tells how many claims each has; `now` is the time.
        """
        names = list(readers)
        rows = "".join(self._row(name, name in here, lessons, now) for name in names)
        stuck = sum(self._stuck(name, lessons, now) for name in names)
        silent = sum(name not in self.readers for name in names)
        sums = f"{len(here)} of {len(names)} are connected, {silent} report nothing, {stuck} may be stuck."
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="{REFRESH}">'
            f"<title>Workshop</title><style>{STYLE}</style><h1>Workshop</h1>"
            f"<table><caption>{sums}</caption><thead><tr><th>reader<th>connected<th>lesson<th>claims proved"
            f"<th>exercises<th>in all<th>last sign<th></tr></thead><tbody>{rows}</tbody></table></html>"
        )

    def _row(self, name: str, here: bool, lessons: Mapping[str, int], now: datetime.datetime) -> str:
        cells = [html.escape(name), "yes" if here else ""]
        if name not in self.readers:
            return f'<tr class="silent"><td>{"<td>".join([*cells, "", "", "", "", "", "reports nothing"])}</tr>'
        standing = self.readers[name]
        progress = standing.lessons[standing.lesson]
        of = f" of {lessons[standing.lesson]}" if standing.lesson in lessons else ""
        exercises = [f"{len(progress.solved)} solved"] if progress.solved else []
        exercises += [f"{len(looked)} looked up"] if (looked := progress.looked_up - progress.solved) else []
        everything = standing.lessons.values()
        solved = sum(len(each.solved) for each in everything)
        all_of = f"{sum(each.held for each in everything)} claims, {solved} exercises"
        assert standing.when
        ago = _ago((now - standing.when).total_seconds())
        cells += [html.escape(standing.lesson), f"{progress.held}{of}", ", ".join(exercises), all_of, ago]
        stuck = self._stuck(name, lessons, now)
        cells.append(("<b>stuck?</b> " if stuck else "") + html.escape(standing.what))
        return f"<tr{' class=stuck' * stuck}><td>{'<td>'.join(cells)}</tr>"

    def _stuck(self, name: str, lessons: Mapping[str, int], now: datetime.datetime) -> bool:
        """Whether somebody in the middle of a lesson has given no sign for a while, or a claim of it failed."""
        if name not in self.readers:
            return False
        standing = self.readers[name]
        progress = standing.lessons[standing.lesson]
        assert standing.when
        quiet = (now - standing.when).total_seconds() > STUCK
        finished = progress.held >= lessons.get(standing.lesson, 1)
        return (quiet and not finished) or not all(progress.claims.values())


def _ago(seconds: float) -> str:
    return "now" if seconds < 10 else f"{seconds:.0f} s ago" if seconds < 60 else f"{seconds / 60:.0f} min ago"
