"""What is connected to what: boxes with what was measured in them, and arrows with what was measured on the way."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from .page import PAGE, fitted, nothing
from .palette import colours
from .picture import Picture, render, styled, table
from .sheet import Sheet, wrap
from .text import clean, drawable, plural
from .words import at_most

__all__ = ["Link", "ranks", "topology"]

_MOST_BOXES, _MOST_LINES, _MOST_COLUMNS = 24, 5, 5
_LINE, _PAD, _BETWEEN, _EDGE = 0.235, 0.1, 0.3, 0.3  # inches

Point = tuple[float, float]


class Link(NamedTuple):
    """An arrow from one box to another, what it says, and whether nothing passes there now."""

    tail: str
    tip: str
    label: str = ""
    broken: bool = False


def ranks(names: Iterable[str], links: Iterable[Link]) -> dict[str, int]:
    """Find each box's column: to the right of all that point at it. A link that closes a circle does not count."""
    into: dict[str, set[str]] = defaultdict(set)

    def before(name: str) -> set[str]:
        found, new = set[str](), {name}
        while new:
            found |= new
            new = {tail for each in new for tail in into[each]} - found
        return found

    for link in links:
        if link.tip not in before(link.tail):
            into[link.tip].add(link.tail)

    @cache
    def rank(name: str) -> int:
        return min(max((rank(tail) + 1 for tail in into[name]), default=0), _MOST_COLUMNS - 1)

    return {name: rank(name) for name in names}


def topology(
    boxes: Mapping[str, Sequence[str]],
    links: Iterable[tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, bool]] = (), *,
    title: str = "", marked: Collection[str] = (), marked_as: str = "marked",
    dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw boxes from left to right along the arrows between them.

    :param boxes: what stands in each box under its name, a line each: counts with their units, a state, a place.
    :param links: arrows, each a `Link` (from, to, what it says, whether it is broken) or the beginning of one; a broken
        one is dashed, with a cross, and is told to be cut. An arrow to or from what is no box is left out, and counted.
    :param title: what is shown, and when.
    :param marked: names of boxes to look at; `marked_as` says in the legend what they are.
    :param dark: on a dark card.
    :returns: at most 24 boxes with 5 lines each; more are counted.
    """
    names = list(boxes)[:_MOST_BOXES]
    every = [Link(*link) for link in links]
    shown = [link for link in every if {link.tail, link.tip} <= set(names) and link.tail != link.tip]
    begun = f"{plural(len(boxes), 'box', 'boxes')}, {plural(len(every), 'arrow')}"
    caption = f"{clean(title, 120)}: {begun}" if title else begun
    if not names:
        return nothing(dark, f"Topology: {caption}.", "There is nothing to connect.")
    beyond = [(len(boxes) - len(names), "more box", "more boxes"), (len(every) - len(shown), "more arrow", "")]
    left_out = " and ".join(plural(*each) for each in beyond if each[0])
    notes = [f"Not drawn: {left_out}."] if left_out else []
    looked_at = [name for name in names if name in marked]
    with styled(dark):
        drawing = _Drawing({name: _lines(boxes[name]) for name in names}, shown, ranks(names, shown), looked_at, dark)
        drawing.end(marked_as if looked_at else "", notes)
        drawing.title(title or caption)
        figure = drawing.sheet.figure(PAGE, drawing.y, drawing.colour["card"])
    facts = {name: ", ".join(map(clean, boxes[name])) for name in names}
    told = at_most(
        [f"{clean(name)}: {text}." if text else f"{clean(name)}." for name, text in facts.items()], 8, "part"
    )
    told += at_most([f"From {clean(a)} to {clean(b)}: {_said(text, cut)}." for a, b, text, cut in shown], 8, "arrow")
    if looked_at:
        told.append(f"Marked as {clean(marked_as)}: {', '.join(map(clean, looked_at))}.")
    rows = [(clean(name), "", text) for name, text in facts.items()]
    rows += [(clean(link.tail), clean(link.tip), _said(link.label, link.broken)) for link in shown]
    alt = " ".join([f"Topology: {caption}.", *told, *notes])
    return render(figure, alt, f"{caption}.", table(("from", "to", "measured"), rows))


def _lines(facts: Sequence[str]) -> list[str]:
    more = len(facts) - _MOST_LINES
    return [*facts] if more <= 0 else [*facts[: _MOST_LINES - 1], f"and {more + 1:,} more"]


def _said(label: str, cut: bool) -> str:
    return ", ".join(filter(None, ("cut" if cut else "", clean(label)))) or "an arrow"


class _Drawing:
    """Gives each box its place, column by column, then draws the arrows between their sides."""

    def __init__(
        self, boxes: Mapping[str, list[str]], links: list[Link], placed: Mapping[str, int], marked: Collection[str],
        dark: bool,
    ) -> None:  # fmt: skip
        self.sheet, self.colour, top = Sheet(), colours(dark), 0.85
        columns: dict[int, list[str]] = defaultdict(list)
        for name in boxes:
            columns[placed[name]].append(name)
        count = len(columns)
        self.wide = {1: 3.4, 2: 2.8, 3: 2.05}.get(count, (PAGE - 2 * _EDGE) / (count * 1.6 - 0.6))
        self.gap = (PAGE - 2 * _EDGE - count * self.wide) / max(count - 1, 1)
        high = {name: (1 + len(lines)) * _LINE + 2 * _PAD for name, lines in boxes.items()}
        between = _BETWEEN * (1 + any(placed[link.tail] == placed[link.tip] for link in links))
        tall = {rank: sum(high[n] for n in names) + between * (len(names) - 1) for rank, names in columns.items()}
        self.y = top + max(tall.values())
        self.at: dict[str, tuple[float, float, float]] = {}  # left edge, top, bottom
        for column, (rank, names) in enumerate(sorted(columns.items())):
            x, y = _EDGE + column * (self.wide + self.gap), top + (max(tall.values()) - tall[rank]) / 2
            for name in names:
                self.at[name] = x, y, y + high[name]
                self._box(name, boxes[name], name in marked)
                y += high[name] + between
        ways = {(link.tail, link.tip) for link in links}
        for link in links:
            self._arrow(link, (link.tip, link.tail) in ways)

    def _box(self, name: str, lines: Sequence[str], marked: bool) -> None:
        x, y0, y1 = self.at[name]
        fill, edge = (self.colour[role] for role in (("witness", "ink") if marked else ("client", "server")))
        self.sheet.box(x, y0, x + self.wide, y1, fill, edge, 5, 0.06)
        for at, line in enumerate((name, *lines)):
            text = fitted(line, self.wide - 0.24, 11, at == 0)
            self.sheet.write(x + 0.12, y0 + _PAD + _LINE * at + 0.165, [(text, self.colour["ink"], at == 0)])

    def _arrow(self, link: Link, answered: bool) -> None:
        """Draw from side to side; of two arrows that go both ways, each keeps a little to its own side."""
        (x0, a0, b0), (x1, a1, b1) = self.at[link.tail], self.at[link.tip]
        y0, y1, aside = (a0 + b0) / 2, (a1 + b1) / 2, 0.13 if answered else 0.0
        if x0 == x1:
            down = y0 < y1
            x = x0 + self.wide / 2 + (aside if down else -aside)
            tail, tip = (x, b0 if down else a0), (x, a1 if down else b1)
        elif x0 < x1:
            tail, tip = (x0 + self.wide, y0 - aside), (x1, y1 - aside)
        else:
            tail, tip = (x0, y0 + aside), (x1 + self.wide, y1 + aside)
        colour = self.colour["lost" if link.broken else "published"]
        self.sheet.line([tail, tip], colour, 1.8, "dashed" if link.broken else "solid", layer=2)
        self.sheet.head(tip, tail, colour)
        x, y = (a + (b - a) * (0.55 if link.broken else 0.46) for a, b in zip(tail, tip, strict=True))
        if link.broken:
            near = 0.16 / max(math.dist(tail, tip), 0.2)
            self.sheet.cross(tail[0] + (tip[0] - tail[0]) * near, tail[1] + (tip[1] - tail[1]) * near, colour)
        room = max(self.gap - 0.35, 0.6)
        lines = wrap(drawable(clean(link.label)), room) if link.label else []
        lines = [fitted(line, room) for line in (*lines[:2], " ".join(lines[2:])) if line]
        for at, line in enumerate(lines):
            middle = y + 0.055 + 0.2 * (at - (len(lines) - 1) / 2)
            self.sheet.write(x, middle, [(line, colour, True)], align="middle", behind=self.colour["card"])

    def title(self, text: str) -> None:
        self.sheet.write(_EDGE, 0.42, [(fitted(text, PAGE - 0.6, 14, bold=True), self.colour["ink"], True)], size=14)

    def end(self, marked_as: str, notes: Sequence[str]) -> None:
        self.y += 0.3
        if marked_as:
            self.sheet.box(
                _EDGE, self.y - 0.1, _EDGE + 0.36, self.y + 0.1, self.colour["witness"], self.colour["ink"], 5, 0.03
            )
            self.sheet.write(_EDGE + 0.48, self.y + 0.055, [(fitted(marked_as, 8), self.colour["ink"], False)])
            self.y += 0.3
        for line in (line for note in notes for line in wrap(drawable(note), PAGE - 0.6)):
            self.sheet.write(_EDGE, self.y + 0.055, [(line, self.colour["note"], False)])
            self.y += 0.23
