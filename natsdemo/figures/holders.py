"""Who believed to hold something that only one may hold, such as a lock or leadership, and when there were two."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .sheet import text_width
from .text import clean, plural
from .words import at_most

__all__ = ["Report", "Spell", "holders", "overlaps", "read_reports", "read_spells"]

_MOST_ROWS, _MOST_EACH = 8, 100
_ROW, _HIGH = 0.72, 0.42  # inches for a row; how much of that a spell takes, below what was done
# What may be done: its role in the palette, and its mark.
_MARKS = {"accepted": ("delivered", "o"), "refused": ("lost", "x"), "killed": ("fault", "s")}

# What a client says of itself, or what is done to it: when, in seconds of one clock; a word; and a label, such as the
# name of what it holds. The words are holds, lost, paused, resumed, and those in _MARKS; all others are passed over.
Report = tuple[float, str, str]
_REPORT = re.compile(r"(\d+(?:\.\d+)?) (\w+)(?: (.*))?", re.ASCII)


class Spell(NamedTuple):
    """From `begin` to `end` (None: not yet) somebody held it, or stood still; `label` is its name."""

    begin: float
    end: float | None
    label: str = ""


def read_reports(lines: Iterable[str]) -> list[Report]:
    """Read what a program has printed, `12.5 holds ticket 4` for example; lines of another form are passed over."""
    found = [_REPORT.fullmatch(line) for line in lines]
    return [(float(match[1]), match[2], match[3] or "") for match in found if match]


def read_spells(
    reports: Sequence[Report], start: str = "holds", stops: Sequence[str] = ("lost", "killed")
) -> list[Spell]:
    """Find from when to when a client believed to hold it; `holds` with another label begins a new spell."""
    found: list[Spell] = []
    for time, word, label in sorted(reports):
        going = bool(found) and found[-1].end is None
        if going and (word in stops or (word == start and label != found[-1].label)):
            found[-1] = found[-1]._replace(end=time)
            going = False
        if word == start and not going:
            found.append(Spell(time, None, label))
    return found


def overlaps(reports: Mapping[str, Sequence[Report]]) -> list[tuple[float, float]]:
    """Find from when to when two or more clients believed to hold it; what is open ends with the last report."""
    end = max((time for row in reports.values() for time, *_ in row), default=0.0)
    edges = sorted(
        edge
        for row in reports.values()
        for spell in read_spells(row)
        for edge in ((spell.begin, 1), (end if spell.end is None else spell.end, -1))
    )
    found: list[tuple[float, float]] = []
    held, since = 0, 0.0
    for time, step in edges:  # at the same time one ends before the next begins
        if held == 2 and step == -1 and time > since:
            found.append((since, time))
        held += step
        if held == 2 and step == 1:
            since = time
    return found


def holders(
    reports: Mapping[str, Sequence[Report]], *, since: float = -math.inf, what: str = "believes to hold it",
    title: str = "", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw a row for each client: when it believed to hold the one thing, and what it did; two at once are shaded.

    At most 8 rows, and 100 spells and marks of a row, are drawn; what is left out is counted.

    :param reports: for each client `(time, word, label)`, in seconds of one clock. The words are `holds` and `lost`,
        `paused` and `resumed` (its process stands still), `accepted` and `refused` (what it did), and `killed`.
    :param since: from when on; of what began before, the rest is drawn, and a client killed before is left out.
    :param what: what it means to hold it.
    :param title: what is shown.
    :param dark: on a dark card.
    """
    known = {name: [each for each in row if math.isfinite(each[0])] for name, row in reports.items()}
    if any(len(row) < len(reports[name]) for name, row in known.items()):
        raise ValueError("holders: a time has to be a finite number of seconds.")
    times = [time for row in known.values() for time, *_ in row if time >= since]
    gone = [n for n, row in known.items() if any(time < since and word == "killed" for time, word, _ in row)]
    known = {name: row for name, row in known.items() if name not in gone}
    caption = clean(title, 120) or f"{plural(len(known), 'client')}: who {clean(what)}"
    with styled(dark):
        if not times or not known:
            return nothing(dark, f"Holders: {caption}.", "Nobody held it, and nobody did anything.")
        begin, end = min(times) if since == -math.inf else since, max(times)
        rows = [_row(name, row, begin) for name, row in known.items()]
        two = [(max(a, begin), b) for a, b in overlaps(known) if b > begin]
        shown = rows[:_MOST_ROWS]
        page = Page(
            dark, _ROW * len(shown) + 0.1, left=max([text_width(fitted(r.name, 1.8)) for r in shown] + [0]) + 0.5
        )
        hidden = sum(max(len(part) - _MOST_EACH, 0) for row in shown for part in row[1:])
        beyond = [(len(rows) - len(shown), "more row"), (hidden, "more thing")]
        left_out = " and ".join(plural(count, thing) for count, thing in beyond if count > 0)
        notes = [f"Not drawn: {left_out}."] if left_out else []
        handles = _draw(page, shown, (begin, max(end, begin + 1e-3)), two, what)
        figure = page.finish(title or caption, handles, notes, headed=bool(two))
        both = [f"{a - begin:.2f} to {b - begin:.2f} s" for a, b in two]
        told = at_most([_tell(row, begin) for row in rows], _MOST_ROWS, "row")
        told.append(f"Two at once: {'; '.join(at_most(both, 6, 'time'))}." if both else "Never two at once.")
        lines = sorted((time, name, word, label) for name, row in known.items() for time, word, label in row)
        cells = [
            (f"{at - begin:.3f}", clean(name), clean(word), clean(x)) for at, name, word, x in lines if at >= begin
        ]
        alt = " ".join([f"Holders: {caption}.", *told, *notes])
        return render(figure, alt, f"{caption}.", table(("second", "client", "what", "label"), cells))


class _Row(NamedTuple):
    name: str
    spells: list[Spell]
    pauses: list[Spell]
    did: list[Report]


def _row(name: str, reports: Sequence[Report], begin: float) -> _Row:
    """Sort out what a row shows, from `begin` on."""
    spells, pauses = (
        [spell._replace(begin=max(spell.begin, begin)) for spell in found if spell.end is None or spell.end > begin]
        for found in (read_spells(reports), read_spells(reports, "paused", ("resumed", "killed")))
    )
    return _Row(name, spells, pauses, [each for each in sorted(reports) if each[0] >= begin and each[1] in _MARKS])


def _draw(
    page: Page, rows: Sequence[_Row], reach: tuple[float, float], two: Sequence[tuple[float, float]], what: str
) -> list[Any]:
    """Draw the rows, all times from the first on, and return the legend of what occurs."""
    axes, colour, (begin, end) = page.panels[0], page.colour, reach
    inch = page.panel_width / (end - begin) / 1.03
    seen: dict[str, Any] = {}
    taken = -1.0
    for a, b in two[:_MOST_EACH]:
        a, b = a - begin, b - begin
        axes.axvspan(a, b, color=colour["window"], linewidth=0, zorder=0)
        for edge in (a, b):
            axes.axvline(edge, color=colour["fault"], linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        text = fitted("two at once", 2)
        if a > taken and a * inch + text_width(text) < page.panel_width:
            axes.annotate(
                text, (a, 1), (0, 6), xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
                color=colour["fault"], annotation_clip=False,
            )  # fmt: skip
            taken = a + (text_width(text) + 0.2) / inch
    for at, row in enumerate(rows):
        base = at + 0.2
        for spell in row.spells[:_MOST_EACH]:
            x, to = spell.begin - begin, (end if spell.end is None else spell.end) - begin
            paint = _paint(page, "published", "30", "")
            axes.barh(base, max(to - x, 0.03 / inch), left=x, height=_HIGH, zorder=2, **paint)
            text = fitted(spell.label, 2.4)
            if text and text_width(text) + 0.15 < (to - x) * inch:
                behind = {"facecolor": colour["card"], "edgecolor": "none", "pad": 0.8}
                axes.text(x + 0.08 / inch, base, text, va="center", color=colour["ink"], bbox=behind, zorder=5)
            seen["spell"] = Patch(label=fitted(what, 3), **paint)
        for pause in row.pauses[:_MOST_EACH]:
            x, to = pause.begin - begin, (end if pause.end is None else pause.end) - begin
            paint = _paint(page, "note", "00", "///")
            axes.barh(base, max(to - x, 0.03 / inch), left=x, height=_HIGH, zorder=3, **paint)
            seen["paused"] = Patch(label="paused: its process stands still", **paint)
        for time, how, label in row.did[:_MOST_EACH]:
            role, marker = _MARKS[how]
            look: dict[str, Any] = {
                "linestyle": "none", "marker": marker, "markersize": 9, "color": colour[role],
                "markeredgecolor": colour[role if marker == "x" else "card"],
                "markeredgewidth": 2.6 if marker == "x" else 1.0,
            }  # fmt: skip
            y = base if how == "killed" else base - _HIGH / 2 - 0.13
            axes.plot(time - begin, y, zorder=6, clip_on=False, **look)
            if label:
                axes.annotate(
                    fitted(label, 1.2), (time - begin, y), (0, 5), textcoords="offset points", ha="center",
                    va="bottom", color=colour[role], annotation_clip=False, zorder=7,
                    bbox={"facecolor": colour["card"], "edgecolor": "none", "pad": 0.6},
                )  # fmt: skip
            seen[how] = Line2D([], [], label=how, **look)
    axes.set_ylim(len(rows) - 0.4, -0.55)
    axes.set_xlim(-(end - begin) * 0.015, (end - begin) * 1.015)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_yticks([at + 0.2 for at in range(len(rows))], [fitted(row.name, 1.8) for row in rows])
    axes.tick_params(axis="y", length=0, pad=8)
    axes.spines["left"].set_visible(False)
    axes.grid(False)
    axes.set_xlabel("seconds")
    return [seen[key] for key in ("spell", "paused", *_MARKS) if key in seen]


def _paint(page: Page, role: str, opacity: str, hatch: str) -> dict[str, Any]:
    colour = page.colour[role]
    return {"facecolor": f"{colour}{opacity}", "edgecolor": colour, "linewidth": 1.0, "hatch": hatch}


def _tell(row: _Row, begin: float) -> str:
    """Put a row into words."""
    told = [f"{_when(spell, begin)}{f' ({clean(spell.label)})' * bool(spell.label)}" for spell in row.spells]
    parts = [f"holds it {', '.join(at_most(told, 4, 'spell'))}" if told else "does not hold it"]
    parts += [f"paused {_when(pause, begin)}" for pause in row.pauses[:4]]
    for how in _MARKS:
        marks = [clean(label) or f"{time - begin:.2f} s" for time, word, label in row.did if word == how]
        parts += [f"{how}: {', '.join(at_most(marks, 12, 'mark'))}"] if marks else []
    return f"{clean(row.name)}: {'; '.join(parts)}."


def _when(spell: Spell, begin: float) -> str:
    end = "the end" if spell.end is None else f"{spell.end - begin:.2f} s"
    return f"from {spell.begin - begin:.2f} s to {end}"
