"""The page that the charts share: a title, panels, a legend of what occurs, and notes, stacked in inches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .palette import colours
from .picture import INCH, WIDTH, Picture, render, table
from .reading import Reading
from .sheet import Sheet, fit, text_width, wrap
from .text import clean, drawable

__all__ = ["PAGE", "Page", "fitted", "nothing"]

PAGE = WIDTH / INCH  # inches
_RIGHT = 0.35


class Page:
    """Panels of given height, and around them whatever there turns out to be; `finish` gives everything its place."""

    def __init__(self, dark: bool, height: float, *, rows: int = 1, columns: int = 1, left: float = 0.95) -> None:
        self.colour = colours(dark)
        self.figure = Figure(figsize=(PAGE, height))
        self.rows, self.columns, self.height, self.left = rows, columns, height, left
        self.panels: list[Any] = [self.figure.add_subplot(rows, columns, at + 1) for at in range(rows * columns)]
        self._named: list[tuple[float, int, str]] = []  # the windows' names: where, at which level, what

    @classmethod
    def multiples(cls, dark: bool, count: int, heights: Mapping[int, float], across: str, up: str) -> Page:
        """Return a page of `count` panels, labelled at its edges; `heights` are inches by the number of columns."""
        columns = 2 if count == 4 else min(count, 3)
        page = cls(dark, heights[columns], rows=math.ceil(count / columns), columns=columns, left=0.85)
        for at, axes in enumerate(page.panels):
            if at >= count:
                axes.set_axis_off()
                continue
            if at % columns == 0:
                axes.set_ylabel(up)
            if at + columns >= count:
                axes.set_xlabel(across)
        return page

    @property
    def panel_width(self) -> float:
        """How many inches wide a panel is."""
        return (PAGE - self.left - _RIGHT - 0.55 * (self.columns - 1)) / self.columns

    def time_axis(self, axes: Any, reading: Reading) -> tuple[float, float]:
        """Have a panel show the time of a whole History; return when that begins and ends."""
        begin, end = reading.begin, max(reading.end, reading.begin + 1e-6)
        pad = (end - begin) * 0.015
        axes.set_xlim(begin - pad, end + pad)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        return begin, end

    def shade(self, reading: Reading, end: float) -> None:
        """Shade when faults were armed, in all panels, and name them above the first, where there is room."""
        levels: list[float] = []
        low, high = self.panels[0].get_xlim()
        for window in reading.windows[:40]:
            until = end if window.end is None else window.end
            for axes in self.panels:
                axes.axvspan(window.begin, until, color=self.colour["window"], linewidth=0, zorder=0)
                for edge in (window.begin, until):
                    axes.axvline(edge, color=self.colour["fault"], linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
            text = fitted(window.text, self.panel_width)
            begin = (window.begin - low) / (high - low) * self.panel_width
            begin = max(min(begin, self.panel_width - text_width(text)), 0.0)
            level = next((at for at, free in enumerate(levels) if free <= begin), len(levels))
            if level < 3:
                levels[level : level + 1] = [begin + text_width(text) + 0.2]
                self._named.append((begin, level, text))

    def finish(self, title: str, handles: Iterable[Line2D], notes: Sequence[str], *, headed: bool = False) -> Figure:
        """Stack it all: title, names of the faults, panels (with a heading each, if `headed`), legend, notes."""
        figure, colour = self.figure, self.colour
        handles = list(handles)
        head = 0.3 if headed else 0.0
        names = 0.22 * (1 + max((level for _, level, _ in self._named), default=-1))
        legend, columns = _legend_rows(handles, PAGE - self.left - 0.1)
        between = 0.5 + head
        panels = self.rows * self.height + (self.rows - 1) * between
        x_label = 0.55 if any(axes.get_xlabel() for axes in self.panels) else 0.34
        lines = [line for note in notes for line in wrap(drawable(note), PAGE - self.left - 0.35)]
        below = x_label + 0.225 * legend + 0.1 * bool(legend) + 0.23 * len(lines) + 0.1
        above = 0.62 + names + head
        total = above + panels + below
        figure.set_size_inches(PAGE, total)
        for at, axes in enumerate(self.panels):
            row, column = divmod(at, self.columns)
            x = self.left + column * (self.panel_width + 0.55)
            y = total - above - self.height - row * (self.height + between)
            axes.set_position((x / PAGE, y / total, self.panel_width / PAGE, self.height / total))
        figure.text(
            0.3 / PAGE,
            1 - 0.32 / total,
            fitted(title, PAGE - 0.6, 14, bold=True),
            fontsize=14,
            fontweight="bold",
            va="center",
        )
        for x, level, text in self._named:
            y = (total - above + head + 0.07 + 0.22 * level) / total
            figure.text((self.left + x) / PAGE, y, text, color=colour["fault"])
        if handles:
            for handle in handles:
                handle.set_label(drawable(str(handle.get_label())))
            top = (below - x_label) / total
            figure.legend(
                handles=handles, loc="upper left", bbox_to_anchor=((self.left - 0.06) / PAGE, top), ncols=columns,
                borderpad=0, borderaxespad=0, handletextpad=0.5, columnspacing=1.6, handlelength=1.4, labelspacing=0.45,
            )  # fmt: skip
        for at, line in enumerate(reversed(lines)):
            figure.text((self.left - 0.02) / PAGE, (0.15 + 0.23 * at) / total, line, color=colour["note"])
        return figure


def nothing(dark: bool, alt: str, caption: str = "Nothing passed.") -> Picture:
    """Draw that there is nothing to draw."""
    colour = colours(dark)
    sheet = Sheet()
    sheet.write(PAGE / 2, 0.66, [(caption, colour["note"], True)], size=15, align="middle")
    return render(sheet.figure(PAGE, 1.2, colour["card"]), f"{alt} {caption}", caption, table(("what",), [(caption,)]))


def fitted(text: str, room: float, size: float = 11, bold: bool = False) -> str:
    """Make a text that came from anywhere drawable, and cut it to so many inches."""
    return fit(drawable(clean(text, 200)), room, size, bold)


def _legend_rows(handles: Sequence[Line2D], room: float) -> tuple[int, int]:
    columns = len(handles)
    if not columns:
        return 0, 1
    widest = max(text_width(drawable(str(handle.get_label()))) for handle in handles) + 0.62
    columns = max(min(columns, int(room / widest)), 1)
    return math.ceil(len(handles) / columns), columns
