"""When things arrived, a row for each who waited: how densely, and how long nothing came."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .sheet import text_width
from .text import clean, plural, seconds
from .words import at_most

__all__ = ["Row", "arrivals", "read_arrivals"]

_MOST_ROWS, _MOST_MARKS, _MOST_STEPS = 10, 6, 2000
_HIGH = 0.8  # of its row, the tallest bar


class Row(NamedTuple):
    """One who waits: when what arrived (in order of time), and the longest silence between, as two times."""

    times: tuple[float, ...]
    silence: tuple[float, float] = (0.0, 0.0)

    @property
    def silent(self) -> float:
        """For how many seconds nothing came, at the longest."""
        return self.silence[1] - self.silence[0]


def read_arrivals(times: Sequence[float]) -> Row:
    """Put times in order, leave out what is no time, and find the longest silence."""
    ordered = tuple(sorted(time for time in times if math.isfinite(time)))
    return Row(ordered, max(pairwise(ordered), key=lambda pair: pair[1] - pair[0], default=(0.0, 0.0)))


def arrivals(
    rows: Mapping[str, Sequence[float]], *, step: float = 0.05, beside: Mapping[str, str] | None = None,
    marks: Mapping[str, float] | None = None, cut: float = math.inf, what: str = "message", across: str = "seconds",
    title: str = "", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw for each row how many arrived in each step of time, and shade every step between in which nothing did.

    All bars have one scale. At most 10 rows and six marks are drawn; the rest is counted, and rows are in the table.

    :param rows: for each row the times at which something arrived, in seconds since whatever matters: `{"bob": [-0.1,
        0.0, 0.2]}`. What is no finite number is left out.
    :param step: how many seconds a bar stands for; made longer if there would be more than 2,000.
    :param beside: what to write under a row's name.
    :param marks: names for moments: a line through all rows.
    :param cut: cut bars of more than so many times the median, where one burst would make all others flat; it is said.
    :param what: what one of those that arrive is called.
    :param across: what the seconds are counted from.
    :param title: what the picture is headed by, instead of its counts.
    :param dark: on a dark card.
    """
    if not step > 0:
        raise ValueError(f"A bar stands for some time: step={step!r} must be above 0.")
    read, beside, what = {name: read_arrivals(times) for name, times in rows.items()}, beside or {}, clean(what)
    total = sum(len(row.times) for row in read.values())
    caption = clean(title, 200) or f"{plural(total, what)} in {plural(len(read), 'row')}"
    with styled(dark):
        if not total:
            return nothing(dark, f"Arrivals: {caption}.", "Nothing arrived.")
        begin = min(row.times[0] for row in read.values() if row.times)
        end = max(row.times[-1] for row in read.values() if row.times)
        step = max(step, (end - begin) / _MOST_STEPS)
        shown = dict(list(read.items())[:_MOST_ROWS])
        counted = {name: Counter(math.floor(time / step) for time in row.times) for name, row in shown.items()}
        bars = sorted(count for counts in counted.values() for count in counts.values()) or [1]
        most = min(bars[-1], max(cut, 1) * bars[len(bars) // 2])
        taller = sum(count > most for count in bars)
        names = [(fitted(name, 2.4), fitted(beside.get(name, ""), 2.4)) for name in shown]
        page = Page(
            dark,
            0.2 + 0.58 * len(shown),
            left=max(text_width(text, 11, True) for pair in names for text in pair) + 0.45,
        )
        axes, colour, silent = page.panels[0], page.colour, False
        for at, counts in enumerate(counted.values()):
            base = at + _HIGH / 2
            ends = (min(counts) * step, (max(counts) + 1) * step) if counts else (begin, end + step)
            axes.plot(ends, [base, base], color=colour["faint"], linewidth=1.0, zorder=1)
            for (a, _), (b, _) in pairwise(sorted(counts.items())):
                if b - a > 1:
                    silent = True
                    axes.bar((a + 1) * step, -_HIGH, (b - a - 1) * step, bottom=base, align="edge", **_silence(page))
            tops = {slot * step: -_HIGH * min(count / most, 1) for slot, count in counts.items()}
            axes.bar(list(tops), list(tops.values()), step, bottom=base, align="edge", **_bars(page))
            wide = (end - begin + step) / page.panel_width
            for text, y, ink in zip(names[at], (at - 0.13, at + 0.24), ("ink", "note"), strict=True):
                axes.text(
                    begin - (page.left - 0.3) * wide - 0.02 * (end - begin + step), y, text, color=colour[ink],
                    va="center", clip_on=False, fontweight="bold" if ink == "ink" else "normal",
                )  # fmt: skip
        moments = sorted((when, clean(name)) for name, when in (marks or {}).items() if begin <= when <= end + step)
        named = [(name, when) for when, name in moments[:_MOST_MARKS]]
        _mark(page, named, begin, end + step)
        axes.set_ylim(len(shown) - 0.45, -0.55)
        axes.set_xlim(begin - 0.02 * (end - begin + step), end + 1.02 * step)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.spines["left"].set_visible(False)
        axes.grid(False)
        axes.set_xlabel(fitted(across, 6))
        handles: list[Any] = [Patch(label=f"{what}s, for each {seconds(step)}", **_bars(page))]
        handles += [Patch(label="nothing came", **_silence(page))] if silent else []
        hidden = [(len(read) - len(shown), "more row"), (len(marks or {}) - len(named), "more mark")]
        left_out = " and ".join(plural(count, thing) for count, thing in hidden if count)
        notes = [f"The tallest bar: {plural(bars[-1], what)} in {seconds(step)}."]
        notes += [f"Cut at {most:,.6g}: {plural(taller, 'bar')}."] if taller else []
        notes += [f"Not drawn: {left_out}."] if left_out else []
        figure = page.finish(caption, handles, notes, headed=bool(named))
        told = at_most([_tell(name, row, what, beside.get(name, "")) for name, row in read.items()], _MOST_ROWS, "row")
        when = [f"{name} at {time:.2f} s." for name, time in named]
        cells = [(clean(name), *_cells(row), clean(beside.get(name, ""), 80)) for name, row in read.items()]
        heads = ("row", f"{what}s", "first, at second", "last", "longest silence, seconds", "from", "beside")
        alt = [f"Arrivals: {caption}. By {clean(across)}.", *told, *when, *notes]
        return render(figure, " ".join(alt), f"{caption}.", table(heads, cells))


def _mark(page: Page, marks: Sequence[tuple[str, float]], begin: float, end: float) -> None:
    """Draw a line through all rows at each moment, and its name above, beside the name before it."""
    axes, free = page.panels[0], -math.inf
    inch = (end - begin) * 1.02 / page.panel_width
    for name, when in marks:
        axes.axvline(when, color=page.colour["fault"], linewidth=1.4, linestyle=(0, (4, 3)), zorder=4)
        text = fitted(name, 3.0)
        wide = text_width(text) * inch
        x = max(min(when - wide / 2, end - wide), begin, free)
        free = x + wide + 0.15 * inch
        axes.annotate(
            text, (x, 1), (0, 5), xycoords=("data", "axes fraction"), textcoords="offset points",
            color=page.colour["fault"], annotation_clip=False,
        )  # fmt: skip


def _bars(page: Page) -> dict[str, Any]:
    return {"facecolor": page.colour["delivered"], "edgecolor": "none", "linewidth": 0, "zorder": 3}


def _silence(page: Page) -> dict[str, Any]:
    colour = page.colour["lost"]
    return {
        "facecolor": f"{colour}22", "edgecolor": colour, "linewidth": 0.8, "hatch": "//", "zorder": 2,
    }  # fmt: skip


def _tell(name: str, row: Row, what: str, beside: str) -> str:
    if not row.times:
        return f"{clean(name)}: nothing arrived."
    said = f" ({clean(beside, 80)})" if beside else ""
    longest = f", the longest silence {row.silent:.3f} s from {row.silence[0]:.2f} s on" if row.silent else ""
    return f"{clean(name)}{said}: {plural(len(row.times), what)}{longest}."


def _cells(row: Row) -> tuple[str, ...]:
    if not row.times:
        return ("0", "", "", "", "")
    ends = f"{row.times[0]:.3f}", f"{row.times[-1]:.3f}"
    return (f"{len(row.times):,}", *ends, f"{row.silent:.3f}", f"{row.silence[0]:.3f}")
