"""Number by number, what became of each: a strip for each row, cut where its state changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .sheet import text_width
from .text import clean, drawable, plural
from .words import at_most

__all__ = ["Block", "blocks", "strips"]

_MOST_ROWS, _MOST_BLOCKS = 12, 200
_HIGH = 0.62  # of its row, a strip
# The roles that paint a state, and each one's own hatch, so that none is told by its colour alone. "" is filled.
_HATCHES = {"delivered": "", "published": "//", "redelivered": "..", "ack": "xx", "lost": "--", "note": "oo"}


class Block(NamedTuple):
    """Neighbours of one state: the first number, the last, and the state; "" is nothing there."""

    first: int
    last: int
    state: str

    @property
    def size(self) -> int:
        """How many numbers it covers."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{f'{self.first:,} to ' * (self.size > 1)}{self.last:,} {clean(self.state)}"


def blocks(states: Sequence[str], first: int = 1) -> list[Block]:
    """Cut a sequence of states, one for each number from `first` on, where they change."""
    found: list[Block] = []
    for state, group in groupby(states):
        found.append(Block(first, first + sum(1 for _ in group) - 1, state))
        first = found[-1].last + 1
    return found


def strips(
    rows: Mapping[str, Sequence[str]], *, first: int = 1, numbered: str = "number", title: str = "",
    roles: Mapping[str, str] | None = None, dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw a strip for each row: in what state each number is, neighbours of one state as one block with its count.

    At most 12 rows, and 200 blocks of a row, are drawn; what is left out is counted, and is in the table.

    :param rows: for each row its states in words, one for each number: `{"disk": ["written"] * 80 + ["gone"] * 20}`.
        An empty word is nothing there. There may be six different states, so that each has a look of its own.
    :param first: the number of the first state.
    :param numbered: what the numbers are, for the axis: pages, messages, sequence numbers.
    :param title: what is shown.
    :param roles: the palette's role for a state, one of delivered, published, redelivered, ack, lost and note; a
        state without one gets the next that is free.
    :param dark: on a dark card.
    """
    cut = {name: blocks(states, first) for name, states in rows.items()}
    looks = _looks([block.state for row in cut.values() for block in row if block.state], roles or {})
    last = max((row[-1].last for row in cut.values() if row), default=first - 1)
    title = clean(title, 200) or f"{plural(len(rows), 'strip')} of {last - first + 1:,}"
    with styled(dark):
        if not looks:
            return nothing(dark, f"Strips: {title}.", "Nothing is there.")
        shown = {name: row[:_MOST_BLOCKS] for name, row in list(cut.items())[:_MOST_ROWS]}
        names = [fitted(name, 2.4) for name in shown]
        page = Page(dark, 0.25 + 0.5 * len(shown), left=max(map(text_width, names)) + 0.5)
        axes, inch = page.panels[0], page.panel_width / (last - first + 1)
        for at, row in enumerate(shown.values()):
            for block in row:
                if block.state:
                    _draw(page, at, block, looks[block.state], inch)
        axes.set_ylim(len(shown) - 0.45, -0.55)
        axes.set_xlim(first - 0.5, last + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_yticks(range(len(shown)), names)
        axes.tick_params(axis="y", length=0, pad=8)
        axes.spines["left"].set_visible(False)
        axes.grid(False)
        axes.set_xlabel(fitted(numbered, 6))
        hidden = sum(max(len(row) - _MOST_BLOCKS, 0) for row in list(cut.values())[:_MOST_ROWS])
        beyond = [(len(cut) - len(shown), "more row"), (hidden, "more block")]
        left_out = " and ".join(plural(count, what) for count, what in beyond if count)
        notes = [f"Not drawn: {left_out}."] if left_out else []
        handles: list[Any] = [Patch(label=fitted(state, 3.0), **_paint(page, role)) for state, role in looks.items()]
        figure = page.finish(title, handles, notes)
        told = at_most([f"{clean(name)}: {_tell(row)}." for name, row in cut.items()], _MOST_ROWS, "row")
        lines = [
            (clean(name), f"{block.first:,}", f"{block.last:,}", f"{block.size:,}", clean(block.state) or "nothing")
            for name, row in cut.items()
            for block in row
        ]
        alt = " ".join([f"Strips: {title}. By {clean(numbered)}.", *told, *notes])
        return render(figure, alt, f"{title}.", table(("row", "from", "to", "how many", "state"), lines))


def _looks(states: Sequence[str], roles: Mapping[str, str]) -> dict[str, str]:
    """Find a role for each state, in the order of their coming."""
    different = list(dict.fromkeys(states))
    looks = {state: roles[state] for state in different if state in roles}
    if unknown := set(looks.values()) - set(_HATCHES):
        raise ValueError(f"{clean(min(unknown))!r} paints no state: {', '.join(_HATCHES)} do.")
    free = [role for role in _HATCHES if role not in looks.values()]
    if len(different) - len(looks) > len(free):
        raise ValueError(f"Six states can be told apart, not {len(different)}.")
    return {state: looks.get(state) or free.pop(0) for state in different}


def _paint(page: Page, role: str) -> dict[str, Any]:
    """Filled, or tinted and hatched."""
    colour, hatch = page.colour[role], _HATCHES[role]
    if not hatch:
        return {"facecolor": colour, "edgecolor": page.colour["card"], "linewidth": 1.2}
    return {"facecolor": f"{colour}30", "edgecolor": colour, "linewidth": 1.2, "hatch": hatch}


def _draw(page: Page, at: int, block: Block, role: str, inch: float) -> None:
    """Draw a block, and in it its count and its state, as much of that as there is room for."""
    axes, hatched = page.panels[0], bool(_HATCHES[role])
    axes.add_patch(Rectangle((block.first - 0.5, at - _HIGH / 2), block.size, _HIGH, **_paint(page, role)))
    count = f"{block.size:,}"
    for text in (f"{count} {drawable(clean(block.state))}", count):
        if text_width(text, 11, True) + 0.2 < block.size * inch:
            behind = {"facecolor": page.colour["card"], "edgecolor": "none", "pad": 1.6}
            axes.text(
                (block.first + block.last) / 2, at, text, ha="center", va="center", fontweight="bold",
                color=page.colour["ink" if hatched else "card"], bbox=behind if hatched else None,
            )  # fmt: skip
            return


def _tell(row: Sequence[Block]) -> str:
    """The row in words."""
    return ", ".join(at_most([str(block) for block in row if block.state], 8, "block")).rstrip(".") or "nothing"
