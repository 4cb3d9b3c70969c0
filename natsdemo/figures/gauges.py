"""Numbers as they were read one time after the other: a panel for each, and when an alert was on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .text import clean, plural
from .words import at_most

__all__ = ["gauges", "spans"]

_MOST_NUMBERS, _MOST_MARKS = 8, 6
_COLUMNS = 2
_HIGH = 0.85  # inches of a panel


def spans(on: Sequence[bool]) -> list[tuple[int, int]]:
    """Find where an alert was on without a break: the place of the first reading and of the last, for each span."""
    found: list[tuple[int, int]] = []
    for at, each in enumerate(on):
        if each and at and on[at - 1]:
            found[-1] = (found[-1][0], at)
        elif each:
            found.append((at, at))
    return found


def gauges(
    times: Sequence[float], numbers: Mapping[str, Sequence[float]], *,
    alerts: Mapping[str, Sequence[bool]] | None = None, marks: Mapping[str, float] | None = None,
    across: str = "seconds", title: str = "", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw a panel for each number: what it read over time, what it reads now, and shaded, when its alert was on.

    A value holds until the next reading. At most 8 numbers and 6 marks are drawn; what is left out is counted, and
    numbers are in the table. What is no finite number is not drawn.

    :param times: when all were read, in seconds since whatever matters, in order.
    :param numbers: by name what was read, one value for each time: `{"lag, orders": [0, 3, 12]}`.
    :param alerts: for a number of that name whether an alert was on, one answer for each time.
    :param marks: names for moments: a line through all panels, numbered, and named below.
    :param across: what the seconds are counted from.
    :param title: what the picture is headed by, instead of its counts.
    :param dark: on a dark card.
    """
    alerts, marks = alerts or {}, marks or {}
    for name, values in [*numbers.items(), *alerts.items()]:
        if len(values) != len(times):
            raise ValueError(f"{clean(name)}: {len(values)} values were read at {len(times)} times; they are as many.")
    caption = clean(title, 200) or f"{plural(len(numbers), 'number')}, read {plural(len(times), 'time')}"
    with styled(dark):
        if not numbers or not times:
            return nothing(dark, f"Gauges: {caption}.", "Nothing was read.")
        begin, end = times[0], max(times[-1], times[0] + 1e-6)
        shown = list(numbers)[:_MOST_NUMBERS]
        named = sorted((when, clean(name)) for name, when in marks.items() if begin <= when <= end)
        drawn = named[:_MOST_MARKS]
        columns = min(_COLUMNS, len(shown))
        page = Page(dark, _HIGH, rows=math.ceil(len(shown) / columns), columns=columns, left=0.75)
        for axes, name in zip(page.panels, shown, strict=False):
            _draw(page, axes, name, (times, numbers[name]), alerts.get(name, ()), [when for when, _ in drawn])
        for at, axes in enumerate(page.panels):
            axes.set_axis_on() if at < len(shown) else axes.set_axis_off()
            if at + columns >= len(shown):
                axes.set_xlabel(fitted(across, 3))
            else:
                axes.tick_params(labelbottom=False)
        handles: list[Any] = [Line2D([], [], color=page.colour["published"], label="as it was read")]
        if any(any(alerts.get(name, ())) for name in shown):
            handles.append(Patch(label="its alert is on", **_alarm(page)))
        hidden = [(len(numbers) - len(shown), "more number"), (len(marks) - len(drawn), "more mark")]
        left_out = " and ".join(plural(count, what) for count, what in hidden if count)
        notes = [f"{at}: {name}, at {when:.2f} s." for at, (when, name) in enumerate(drawn, 1)]
        notes = [" ".join(notes)] if notes else []
        notes += [f"Not drawn: {left_out}."] if left_out else []
        figure = page.finish(caption, handles, notes, headed=True)
        told = [_tell(name, times, values, alerts.get(name, ())) for name, values in numbers.items()]
        alt = [f"Gauges: {caption}. By {clean(across)}.", *at_most(told, _MOST_NUMBERS, "number"), *notes]
        rows = [
            (
                f"{when:.2f}",
                *(_number(values[at]) + " !" * _on(alerts.get(name, ()), at) for name, values in numbers.items()),
            )
            for at, when in enumerate(times)
        ]
        heads = ("second", *(f"{clean(name)}{' (! alert)' if any(alerts.get(name, ())) else ''}" for name in numbers))
        return render(figure, " ".join(alt), f"{caption}.", table(heads, rows))


def _draw(
    page: Page, axes: Any, name: str, read: tuple[Sequence[float], Sequence[float]], on: Sequence[bool],
    marks: Sequence[float],
) -> None:  # fmt: skip
    """Draw one panel; above it the number's name, what it reads now, and whether its alert is on."""
    times, values = read
    colour, wide = page.colour, max(times[-1] - times[0], 1e-6)
    known = [value if _finite(value) else math.nan for value in values]
    high = max((value for value in known if not math.isnan(value)), default=1.0)
    low = min(0.0, *(value for value in known if not math.isnan(value))) if any(map(_finite, values)) else 0.0
    for first, last in spans(on):
        edge = times[last + 1] if last + 1 < len(times) else times[last]
        axes.axvspan(times[first], max(edge, times[first] + wide / 200), zorder=0, **_alarm(page))
    for at, when in enumerate(marks, 1):
        axes.axvline(when, color=colour["note"], linewidth=1.3, linestyle=(0, (4, 3)), zorder=1)
        if at < len(marks) and marks[at] - when < wide * 0.05:
            continue  # too near to the next one for a number of its own: that one names both
        first = next(n for n in range(at, 0, -1) if n == 1 or marks[n - 1] - marks[n - 2] >= wide * 0.05)
        axes.annotate(
            str(at) if first == at else f"{first}–{at}", (when, 1), (3, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", color=colour["ink"], fontweight="bold",
        )  # fmt: skip
    axes.plot(times, known, drawstyle="steps-post", color=colour["published"], zorder=3)
    now = f"{_number(values[-1])}{', alert' * _on(on, len(times) - 1)}"
    axes.set_title(fitted(name, page.panel_width - 1.6), fontsize=11, pad=7, y=1)
    axes.set_title(
        fitted(now, 1.5), fontsize=11, pad=7, y=1, loc="right", color=colour["lost" if on and on[-1] else "ink"]
    )
    axes.set_xlim(times[0] - wide * 0.01, times[-1] + wide * 0.01)
    axes.set_ylim(low * 1.15, high * 1.35 if high > 0 else max(-low, 1.0))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    whole = all(math.isnan(value) or value == int(value) for value in known)
    axes.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2, steps=[1, 2, 5, 10], integer=whole))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _alarm(page: Page) -> dict[str, Any]:
    """Tinted and hatched, so that it is not told by its colour alone."""
    return {"facecolor": page.colour["window"], "edgecolor": page.colour["lost"], "hatch": "//", "linewidth": 0.0}


def _finite(value: float) -> bool:
    return math.isfinite(value) and abs(value) < 1e300


def _on(on: Sequence[bool], at: int) -> bool:
    return bool(on) and on[at]


def _number(value: float) -> str:
    return f"{value:,.4g}" if _finite(value) else "–"


def _tell(name: str, times: Sequence[float], values: Sequence[float], on: Sequence[bool]) -> str:
    """A number in words."""
    known = [value for value in values if _finite(value)]
    between = f"between {_number(min(known))} and {_number(max(known))}, " if known else ""
    text = f"{clean(name)}: {between}{_number(values[-1])} at the end"
    ways = [f"{times[first]:.2f} to {times[last]:.2f} s" for first, last in spans(on)]
    return f"{text}; its alert was on {', '.join(at_most(ways, 3, 'span')).rstrip('.')}." if ways else f"{text}."
