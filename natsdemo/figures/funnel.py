"""How many messages got how far: run by run, station by station, and at which step the others vanished."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from matplotlib.patches import Rectangle

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .sheet import text_width, wrap
from .text import clean, drawable, plural
from .words import at_most

__all__ = ["Step", "funnel", "steps"]

_MOST_ROWS, _MOST_STATIONS = 12, 8
_ROW, _HIGH = 0.95, 0.5  # inches of a row; how much of it is the band of all its messages
_TOLD = 2.3  # inches for the words at the right


class Step(NamedTuple):
    """From one station whose count is known to the next, by their places, and the counts there."""

    begin: int
    end: int
    before: int
    after: int

    @property
    def lost(self) -> int:
        """How many did not arrive."""
        return max(self.before - self.after, 0)


def steps(counts: list[int | None]) -> list[Step]:
    """Go from each known count to the next; stations of which nothing is known lie between."""
    known = [(place, count) for place, count in enumerate(counts) if count is not None]
    return [Step(a, b, before, after) for (a, before), (b, after) in pairwise(known)]


def funnel(
    runs: Mapping[str, Mapping[str, int | None]], *, told: Mapping[str, str] | None = None, told_as: str = "",
    title: str = "", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw for each run a band through its stations, as thick as what is left there; what is lost ends in a cross.

    At most 12 runs and 8 stations are drawn; what is left out is counted. Each run is drawn to its own scale.

    :param runs: `runs[run][station]`, how many messages got there; None where nobody can say. Stations stand in the
        order in which they first come. A count that is larger than the one before it is drawn as it is.
    :param told: words to stand behind a run, for example who was told of its losses; `told_as` is their heading.
    :param title: what is shown; without one, how many of how many were lost.
    :param dark: on a dark card.
    """
    told = told or {}
    stations = list(dict.fromkeys(station for counts in runs.values() for station in counts))
    if any(count is not None and count < 0 for counts in runs.values() for count in counts.values()):
        raise ValueError("funnel: fewer than no messages can be nowhere.")
    lines = {name: [counts.get(station) for station in stations] for name, counts in runs.items()}
    losses = sum(step.lost for counts in lines.values() for step in steps(counts))
    caption = f"{plural(len(runs), 'run')}, {plural(len(stations), 'station')}: {plural(losses, 'message')} lost"
    caption = f"{clean(title, 120)}: {caption}" if title else caption
    with styled(dark):
        if not stations:
            return nothing(dark, f"Funnel of {caption}.", "Nothing to show.")
        shown = {name: counts[:_MOST_STATIONS] for name, counts in list(lines.items())[:_MOST_ROWS]}
        beyond = [(len(lines) - len(shown), "more run"), (len(stations) - _MOST_STATIONS, "more station")]
        left_out = " and ".join(plural(count, what) for count, what in beyond if count > 0)
        notes = [f"Not drawn: {left_out}."] if left_out else []
        page = _draw(shown, stations[:_MOST_STATIONS], told, told_as, dark)
        figure = page.finish(title or caption, [], notes, headed=True)
        sentences = [_tell(name, stations, counts, told.get(name, "")) for name, counts in lines.items()]
        alt = [f"Funnel of {caption}.", *at_most(sentences, _MOST_ROWS, "run"), *notes]
        heads = ("run", *map(clean, stations), *([clean(told_as) or "told"] if told else []))
        rows = [
            (clean(name), *map(_number, counts), *([clean(told.get(name, ""), 200)] if told else []))
            for name, counts in lines.items()
        ]
        return render(figure, " ".join(alt), f"{caption}.", table(heads, rows))


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _tell(name: str, stations: list[str], counts: list[int | None], told: str) -> str:
    """A run in words."""
    where = [f"{_number(count)} {clean(station, 40)}" for station, count in zip(stations, counts, strict=True)]
    parts = [", ".join(at_most(where, _MOST_STATIONS, "station")).rstrip(".").replace("? ", "not known ")]
    return f"{clean(name, 40)}: {'; '.join([*parts, *filter(None, [clean(told, 100)])])}."


def _draw(
    shown: dict[str, list[int | None]], stations: list[str], told: Mapping[str, str], told_as: str, dark: bool
) -> Page:
    names = [fitted(name, 2.1) for name in shown]
    page = Page(dark, _ROW * len(shown), left=max(map(text_width, names)) + 0.75)
    axes, colour = page.panels[0], page.colour
    words = {name: wrap(drawable(clean(text, 120)), _TOLD)[:3] for name, text in told.items() if name in shown}
    heading = fitted(told_as, _TOLD) if words else ""
    room = max([text_width(line) for some in words.values() for line in some] + [text_width(heading)], default=0.0)
    last = max(len(stations) - 1, 1)
    inch = last / (page.panel_width - room - 1.1)  # stations to an inch
    for at, (name, counts) in enumerate(shown.items()):
        top, most = at - 0.1, max((count for count in counts if count), default=1)
        for step in steps(counts):
            _band(page, step, top, _HIGH / most)
        for place, count in enumerate(counts):
            role = "note" if count is None else "lost" if count == 0 else "ink"
            axes.text(place, top - 0.06, _number(count), ha="center", va="bottom", color=colour[role], weight="bold")
            axes.plot([place, place], [top, top + _HIGH], color=colour["note"], linewidth=1.2, zorder=4)
        axes.text(last + 0.65 * inch, top + _HIGH / 2, "\n".join(words.get(name, [])), va="center", color=colour["ink"])
    for place, station in enumerate(stations):
        text = _lines(station, 0.8 / inch)
        axes.text(place, -0.5, text, ha="center", va="bottom", color=colour["note"], weight="bold")
    axes.text(last + 0.65 * inch, -0.5, heading, va="bottom", color=colour["note"], weight="bold")
    axes.set(xlim=(-0.4 * inch, last + (room + 0.7) * inch), ylim=(len(shown) - 0.5, -0.55))
    axes.set_xticks([])
    axes.set_yticks([at + _HIGH / 2 - 0.1 for at in range(len(shown))], names)
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(False)
    return page


def _lines(text: str, room: float) -> str:
    """At most two lines of so many inches."""
    first, *others = wrap(drawable(clean(text, 60)), room)
    return "\n".join(fitted(line, room) for line in (first, " ".join(others)) if line)


def _band(page: Page, step: Step, top: float, scale: float) -> None:
    """What goes on, and below it, what goes half of the way: to a cross."""
    axes, colour = page.panels[0], page.colour
    width, high = step.end - step.begin, step.after * scale
    axes.add_patch(Rectangle((step.begin, top), width, high, facecolor=colour["delivered"], linewidth=0, zorder=2))
    if not step.lost:
        return
    middle, low = step.begin + width / 2, step.lost * scale
    look: dict[str, Any] = {"facecolor": f"{colour['lost']}30", "edgecolor": colour["lost"], "hatch": "//"}
    axes.add_patch(Rectangle((step.begin, top + high), width / 2, low, linewidth=0.8, zorder=1, **look))
    axes.plot([middle], [top + high + low / 2], "x", color=colour["lost"], markersize=11, markeredgewidth=2.8, zorder=5)
    text = {"color": colour["lost"], "weight": "bold", "ha": "center", "va": "top"}
    axes.text(middle, top + _HIGH + 0.05, f"−{step.lost:,}", **text)
