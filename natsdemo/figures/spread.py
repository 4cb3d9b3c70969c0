"""The same measurement, repeated: each repeat a dot, the median a line, so that nobody believes a single number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .sheet import text_width
from .text import clean, plural
from .words import at_most

__all__ = ["spread"]

_MOST = 16


def spread(
    repeats: Mapping[str, Sequence[float]], unit: str, *, ceiling: str = "", title: str = "", dark: bool = False
) -> Picture:
    """Draw a row for each figure: its repeats as dots, their median as a line, and in words median and range.

    At most 16 rows are drawn; what is left out is counted, and is in the table.

    :param repeats: by the name of a figure what each repeat of the measurement gave, from 0 up, all in one unit.
    :param unit: what is counted, for the axis: `messages/s`.
    :param ceiling: the name of a row against which all are held, each repeat against the ceiling's of the same round,
        since a machine has its moods; all rows then have as many repeats.
    :param title: what was measured.
    :param dark: on a dark card.
    """
    if any(not 0 <= value < 1e15 for values in repeats.values() for value in values):
        raise ValueError("A repeat is a number from 0.")
    if ceiling and any(len(values) != len(repeats.get(ceiling, ())) for values in repeats.values()):
        raise ValueError(f"All need as many repeats as {clean(ceiling)!r}, the ceiling, to be held against it.")
    medians = {name: median(values) for name, values in repeats.items() if values}
    title = clean(title, 200) or f"{plural(len(medians), 'figure')}, repeated"
    with styled(dark):
        if not medians:
            return nothing(dark, f"Spread: {title}.", "Nothing was measured.")
        shown = list(medians)[:_MOST]
        of = {name: _against(repeats[name], repeats[ceiling]) for name in medians} if ceiling else {}
        told = {name: _tell(repeats[name], medians[name], of.get(name)) for name in medians}
        labels = [fitted(name, 2.6) for name in shown]
        page = Page(dark, 0.2 + 0.52 * len(shown), left=max(map(text_width, labels)) + 0.5)
        axes, colour = page.panels[0], page.colour
        for at, name in enumerate(shown):
            axes.plot(
                repeats[name], [at] * len(repeats[name]), "o", markersize=8, color="none",
                markeredgecolor=colour["delivered"], markeredgewidth=1.8, zorder=3,
            )  # fmt: skip
            axes.plot([medians[name]] * 2, [at - 0.3, at + 0.3], color=colour["ink"], linewidth=2.4, zorder=4)
        most = max(max(repeats[name]) for name in shown) or 1.0
        room = max(text_width(told[name]) for name in shown) + 0.35
        axes.set_xlim(0, most * 1.04 / max(1 - room / page.panel_width, 0.3))
        for at, name in enumerate(shown):
            axes.text(
                1.0, at, told[name], transform=axes.get_yaxis_transform(), ha="right", va="center", color=colour["ink"]
            )
        if ceiling:
            axes.axvline(medians[ceiling], color=colour["note"], linestyle=(0, (4, 3)), linewidth=1.2, zorder=1)
        axes.set_ylim(len(shown) - 0.45, -0.55)
        axes.set_xticks(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(0, most))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axes.set_yticks(range(len(shown)), labels)
        axes.tick_params(axis="y", length=0, pad=8)
        axes.spines["left"].set_visible(False)
        axes.grid(False, axis="y")
        axes.set_xlabel(fitted(unit, 6))
        handles: list[Any] = [
            Line2D([], [], marker="o", linestyle="", color="none", markeredgecolor=colour["delivered"],
                   markeredgewidth=1.8, markersize=8, label="one repeat"),
            Line2D([], [], color=colour["ink"], linewidth=2.4, label="median"),
        ]  # fmt: skip
        if ceiling:
            handles.append(
                Line2D([], [], color=colour["note"], linestyle=(0, (4, 3)), label=f"ceiling: {clean(ceiling)}")
            )
        notes = [f"Not drawn: {plural(len(medians) - len(shown), 'more figure')}."] if len(medians) > len(shown) else []
        figure = page.finish(title, handles, notes)
        words = at_most([f"{clean(name)}: {told[name]}." for name in medians], _MOST, "figure")
        lines = [
            (clean(name), _short(value), _short(min(repeats[name])), _short(max(repeats[name])),
             str(len(repeats[name])), f"{of[name]:.2f}" if of else "")
            for name, value in medians.items()
        ]  # fmt: skip
        head = (f"figure, {clean(unit)}", "median", "least", "most", "repeats", f"of {clean(ceiling)}" if of else "")
        return render(
            figure, " ".join([f"Spread: {title}. In {clean(unit)}.", *words, *notes]), f"{title}.", table(head, lines)
        )


def _against(values: Sequence[float], tops: Sequence[float]) -> float:
    return median(value / top if top else 0.0 for value, top in zip(values, tops, strict=True))


def _tell(values: Sequence[float], middle: float, of: float | None) -> str:
    share = "" if of is None else f", {of:.2f} of the ceiling"
    return f"{_short(middle)} ({_short(min(values))} to {_short(max(values))}){share}"


def _short(value: float) -> str:
    """Three digits that matter, with thousands and millions as a person writes them."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * scale:
            return f"{value / scale:.3g} {letter}"
    return f"{value:.3g}"
