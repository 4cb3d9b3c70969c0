"""A number that follows from a sequence of events, such as an account's balance: its value after each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .page import Page, fitted, nothing
from .palette import SERIES
from .picture import Picture, render, styled, table
from .sheet import text_width
from .text import clean, plural
from .words import at_most

__all__ = ["runs_below", "states"]

_MOST_LINES, _MOST_MARKS, _MOST_DOTS = 5, 6, 60
_HIGH = 2.9  # inches


def runs_below(values: Mapping[int, float], floor: float | None) -> list[tuple[int, int]]:
    """Find from which to which sequence number a value was under its floor; a value holds until the next."""
    found: list[tuple[int, int]] = []
    under = False
    for seq in sorted(values):
        below = floor is not None and values[seq] < floor
        if below:
            found[len(found) - under :] = [(found[-1][0] if under else seq, seq)]
        under = below
    return found


def states(
    lines: Mapping[str, Mapping[int, float]], *, marks: Mapping[int, str] | None = None, floor: float | None = None,
    value: str = "value", sequence: str = "sequence number in the stream", title: str = "", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw for each line its value as steps over the sequence numbers; a value holds until the next event.

    At most 5 lines and 6 marks are drawn; what is left out is counted. Of a line that ends early the last value is
    drawn on, dotted, as nothing is known of it.

    :param lines: `lines[name][sequence]`, the value after that event.
    :param marks: what happened after which sequence number, drawn as vertical lines with these words above.
    :param floor: the value under which none should be; what is below is shaded, and told.
    :param value: what the values are, with their unit; `sequence` says the same of the numbers below.
    :param title: what is shown.
    :param dark: on a dark card.
    """
    marks = marks or {}
    known = {name: values for name, values in lines.items() if values}
    if any(not math.isfinite(each) for values in known.values() for each in values.values()):
        raise ValueError("states: a value has to be a finite number.")
    begun = f"{plural(len(lines), 'line')} of {clean(value)} by {clean(sequence)}"
    caption = f"{clean(title, 120)}: {begun}" if title else begun
    with styled(dark):
        if not known:
            return nothing(dark, f"States: {caption}.", "No event, no state.")
        shown = dict(list(known.items())[:_MOST_LINES])
        drawn = dict(sorted(marks.items())[:_MOST_MARKS])
        beyond = [(len(known) - len(shown), "more line"), (len(marks) - len(drawn), "more mark")]
        left_out = " and ".join(plural(count, what) for count, what in beyond if count > 0)
        notes = [f"Not drawn: {left_out}."] if left_out else []
        page, handles = _draw(shown, drawn, floor, dark)
        page.panels[0].set(xlabel=fitted(sequence, 6), ylabel=fitted(value, _HIGH))
        figure = page.finish(title or caption, handles, notes, headed=bool(drawn))
        told = [_tell(name, values, floor) for name, values in known.items()]
        told = [*at_most(told, _MOST_LINES, "line"), *(f"At {seq:,}: {clean(what)}." for seq, what in drawn.items())]
        numbers = sorted({seq for values in known.values() for seq in values})
        rows = [(f"{seq:,}", *(_number(values.get(seq)) for values in known.values())) for seq in numbers]
        alt = " ".join([f"States: {caption}.", *told, *notes])
        return render(figure, alt, f"{caption}.", table(("sequence", *map(clean, known)), rows))


def _draw(
    lines: Mapping[str, Mapping[int, float]], marks: Mapping[int, str], floor: float | None, dark: bool
) -> tuple[Page, list[Any]]:
    page = Page(dark, _HIGH, left=1.15)
    axes, colour, handles = page.panels[0], page.colour, list[Any]()
    first = min([min(values) for values in lines.values()] + list(marks))
    last = max([max(values) for values in lines.values()] + list(marks))
    low = min([min(values.values()) for values in lines.values()] + ([] if floor is None else [floor]))
    high = max([max(values.values()) for values in lines.values()] + ([] if floor is None else [floor]))
    pad, rise = max(last - first, 1) * 0.03, max(high - low, 1e-9) * 0.1
    left, right = first - pad, last + pad
    for at, (name, values) in enumerate(lines.items()):
        role, marker = SERIES[at]
        numbers = sorted(values)
        heights = [values[seq] for seq in numbers]
        dots = {"marker": marker, "markersize": 6 + 2 * (len(lines) - at)} if len(numbers) <= _MOST_DOTS else {}
        look: dict[str, Any] = {"color": colour[role], "markeredgecolor": colour["card"], **dots}
        wide = 2.2 + 1.3 * (len(lines) - 1 - at)  # the first is the widest, to be seen under the others
        axes.plot(numbers, heights, drawstyle="steps-post", linewidth=wide, zorder=3 + at, clip_on=False, **look)
        axes.plot([numbers[-1], right], [heights[-1]] * 2, linewidth=1.4, linestyle=":", color=colour[role], zorder=2)
        handles.append(Line2D([], [], label=fitted(name, 6), linewidth=wide, **look))
    if floor is not None:
        if low < floor:
            axes.axhspan(low - rise, floor, color=colour["window"], linewidth=0, zorder=0)
            handles.append(Patch(color=colour["window"], label=f"under {floor:,g}"))
        axes.axhline(floor, color=colour["fault"], linewidth=1.2, zorder=1)
    inch = page.panel_width / (right - left)
    taken = left  # up to where the words above reach
    for (seq, what), (after, _) in pairwise([*marks.items(), (right, "")]):
        axes.axvline(seq, color=colour["note"], linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
        here, there = (after - seq) * inch - 0.1, (seq - taken) * inch - 0.1
        back = text_width(fitted(what, page.panel_width)) > here and there > here  # more room on the other side
        text = fitted(what, max(there if back else here, 0.3))
        axes.annotate(
            text, (seq, 1), (0, 6), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="right" if back else "left", va="bottom", color=colour["ink"], annotation_clip=False,
        )  # fmt: skip
        taken = seq if back else seq + text_width(text) / inch
    axes.set(xlim=(left, right), ylim=(low - rise, high + rise))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.6g}"))
    return page, handles


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.6g}"


def _tell(name: str, values: Mapping[int, float], floor: float | None) -> str:
    """A line in words."""
    begin, end = min(values), max(values)
    text = f"{clean(name)}: {_number(values[begin])} at {begin:,}, {_number(values[end])} at {end:,}"
    text += f", between {_number(min(values.values()))} and {_number(max(values.values()))}"
    below = [f"{a:,} to {b:,}" if a != b else f"{a:,}" for a, b in runs_below(values, floor)]
    return f"{text}; under {floor:,g} at {', '.join(at_most(below, 4, 'time'))}." if below else f"{text}."
