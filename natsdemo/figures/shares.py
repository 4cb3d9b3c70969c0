"""Who got how much: how a count splits among members, beside what something else would have given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .sheet import text_width
from .text import clean, plural
from .words import at_most

__all__ = ["shares"]

_MOST = 16
_WIDE = 0.62  # of its column, a bar
# What is held against the bars: each has a colour, a mark and a line of its own.
_BESIDE = (("ink", "o", "-"), ("lost", "s", "--"), ("ack", "D", ":"))


def shares(
    counts: Mapping[str, int], *, beside: Mapping[str, Mapping[str, float]] | None = None, title: str = "",
    seen_as: str = "seen", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw a bar for each member, as high as its count, and across the bars what something else would have given.

    At most 16 members and three things beside them are drawn, in the order in which they are given. What is not drawn
    is counted, and is in the table.

    :param counts: how many each member got, `{"ann": 52, "ben": 48}`: messages, rounds, whatever is shared out.
    :param beside: by a name for it, what to hold against that, for the same members: an expectation, or another count
        in the same unit. Of a member that is not named there, nothing is drawn.
    :param title: what is shared among whom.
    :param seen_as: the legend's words for the bars.
    :param dark: on a dark card.
    """
    beside = beside or {}
    for values in (counts, *beside.values()):
        for name, count in values.items():
            if not 0 <= count < 1e15:
                raise ValueError(f"A share is a number from 0; that of {clean(name)} is {count!r}.")
    if not counts:
        return nothing(dark, "Shares.", "Nothing was shared.")
    members, drawn = list(counts)[:_MOST], list(beside)[: len(_BESIDE)]
    title = clean(title, 200) or f"{sum(counts.values()):,} shared by {plural(len(counts), 'member')}"
    seen_as = clean(seen_as)
    with styled(dark):
        page = Page(dark, 2.7, left=0.95)
        axes, colour = page.panels[0], page.colour
        room = page.panel_width / len(members)
        handles = [_bars(page, [counts[name] for name in members], seen_as)]
        for name, (role, marker, line) in zip(drawn, _BESIDE, strict=False):
            points = [(at, beside[name][member]) for at, member in enumerate(members) if member in beside[name]]
            x, y = [at for at, _ in points], [value for _, value in points]
            left, right = [at - _WIDE / 2 for at in x], [at + _WIDE / 2 for at in x]
            axes.hlines(y, left, right, color=colour["card"], linewidth=5, zorder=3, clip_on=False)
            axes.hlines(y, left, right, color=colour[role], linewidth=2.4, linestyle=line, zorder=3, clip_on=False)
            mark: dict[str, Any] = {
                "color": colour[role], "marker": marker, "markersize": 9, "markeredgecolor": colour["card"],
                "markeredgewidth": 1.4, "linestyle": line,
            }  # fmt: skip
            axes.plot(x, y, zorder=4, clip_on=False, **{**mark, "linestyle": "none"})
            handles.append(Line2D([], [], label=fitted(name, 5.0), **mark))
        for at, name in enumerate(members):
            axes.text(
                at, 1.04, _number(counts[name], room), transform=axes.get_xaxis_transform(), ha="center", va="bottom",
                fontweight="bold",
            )  # fmt: skip
        axes.xaxis.set_major_locator(FixedLocator(list(range(len(members)))))
        axes.xaxis.set_major_formatter(FixedFormatter([fitted(name, room - 0.08) for name in members]))
        highest = max([*counts.values(), *(value for name in drawn for value in beside[name].values()), 1])
        axes.set_ylim(0, highest * 1.06)
        beyond = [(len(counts) - len(members), "more member"), (len(beside) - len(drawn), "more comparison")]
        left_out = " and ".join(plural(count, what) for count, what in beyond if count)
        notes = [f"Not drawn: {left_out}."] if left_out else []
        figure = page.finish(title, handles if drawn else [], notes, headed=True)
        heads, rows = _rows(counts, beside, seen_as)
        return render(figure, " ".join([_tell(title, heads, rows), *notes]), f"{title}.", table(heads, rows))


def _bars(page: Page, heights: Sequence[int], name: str) -> Line2D:
    """Draw the bars and their axes; return what stands for them in the legend."""
    axes, colour = page.panels[0], page.colour["delivered"]
    axes.bar(range(len(heights)), heights, width=_WIDE, color=colour)
    axes.set_xlim(-0.5, len(heights) - 0.5)
    axes.tick_params(axis="x", length=0, pad=8)
    axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2, steps=[1, 2, 5, 10], integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    return Line2D([], [], linestyle="none", marker="s", markersize=10, color=colour, label=fitted(name, 5.0))


def _number(count: int, room: float) -> str:
    """Write a number in full, or where its column has no room for that, with two digits and its order."""
    return text if text_width(text := f"{count:,}", 11, True) < room - 0.05 else f"{count:.1e}".replace("e+0", "e")


def _round(value: float) -> str:
    """An expectation is as exact as one can think of it."""
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _rows(
    counts: Mapping[str, int], beside: Mapping[str, Mapping[str, float]], seen_as: str
) -> tuple[list[str], list[list[str]]]:
    """The table: each member's count, its part of the whole, and what is beside it."""
    total = sum(counts.values()) or 1
    rows = [
        [clean(name), f"{count:,}", f"{count / total:.1%}"]
        + [_round(values[name]) if name in values else "–" for values in beside.values()]
        for name, count in counts.items()
    ]
    return ["who", seen_as, "share", *map(clean, beside)], rows


def _tell(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same in words, column by column."""
    told = [f"Bars: {title}."]
    for at in (1, *range(3, min(len(heads), 3 + len(_BESIDE)))):
        pairs = at_most([f"{row[0]}: {row[at]}" for row in rows if row[at] != "–"], _MOST, "member")
        told.append(f"{heads[at]}: {'; '.join(pairs).rstrip('.')}.")
    return " ".join(told)
