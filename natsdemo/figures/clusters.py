"""Which server is connected to which, in groups, and what was counted on each connection."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from .page import PAGE, fitted, nothing
from .palette import SERIES, colours
from .picture import Picture, render, styled, table
from .sheet import DASHES, Sheet, text_width, wrap
from .text import clean, drawable, plural
from .words import at_most

__all__ = ["clusters", "places"]

_MOST_GROUPS, _MOST_SERVERS, _MOST_KINDS = 5, 8, 4
_EDGE, _TOP, _HEAD, _TALL = 0.3, 0.8, 0.42, 0.4  # inches

Point = tuple[float, float]
Pair = tuple[str, str, str]


def places(count: int) -> list[Point]:
    """Find where so many servers stand in their group, between -1 and 1: one above the other, or on a circle."""
    if count <= 3:  # of three, the last stands aside, so that what goes from the first to the right passes above it
        return [[], [(0.0, 0.0)], [(0.0, -0.8), (0.0, 0.8)], [(-0.75, -0.85), (-0.75, 0.85), (0.8, 0.0)]][count]
    turns = [math.pi * (1.25 + 2 * at / count) for at in range(count)]
    return [(math.cos(turn), math.sin(turn)) for turn in turns]


def clusters(
    groups: Mapping[str, Sequence[str]], links: Iterable[tuple[str, str, str, int]], *,
    beside: Mapping[str, str] | None = None, what: str = "message", marked: Collection[str] = (),
    marked_as: str = "marked", title: str = "", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw servers in their groups, from left to right, and each connection with what was counted on it.

    At most 5 groups of 8 servers and four kinds of connection are drawn; the rest is counted. A connection on which
    nothing was counted is thin and has no arrow.

    :param groups: the servers of each cluster: `{"east": ["n1", "n2", "n3"], "lima": ["leaf"]}`. A server that stands
        alone is a group of one.
    :param links: connections as (from, to, what kind, how many went that way): `("n1", "n2", "route", 1000)`. Those of
        one kind between the same two, in the same direction, are added up.
    :param beside: what to write under a server, such as who is connected to it.
    :param what: what one of those that were counted is called.
    :param marked: servers to look at; `marked_as` says in the legend what they are.
    :param title: what is shown, and when.
    :param dark: on a dark card.
    """
    shown = {name: list(dict.fromkeys(servers))[:_MOST_SERVERS] for name, servers in groups.items() if servers}
    shown = dict(list(shown.items())[:_MOST_GROUPS])
    known = dict.fromkeys(chain.from_iterable(shown.values()))
    counts: Counter[Pair] = Counter()
    for tail, tip, kind, count in links:
        counts[tail, tip, kind] += count
    kinds = list(dict.fromkeys(kind for _, _, kind in counts))[:_MOST_KINDS]
    drawn = {link: count for link, count in counts.items() if {*link[:2]} <= {*known} and link[2] in kinds}
    pairs = _pairs(counts)
    servers = {name for names in groups.values() for name in names}
    begun = f"{plural(len(servers), 'server')}, {plural(len(pairs), 'connection')}"
    caption = f"{clean(title, 120)}: {begun}" if title else begun
    if not known:
        return nothing(dark, f"Clusters: {caption}.", "There is no server.")
    left_out = [
        (len(servers) - len(known), "more server"),
        (len(pairs - _pairs(drawn)), "more connection"),
    ]
    missing = " and ".join(plural(*each) for each in left_out if each[0])
    notes = [f"Not drawn: {missing}."] if missing else []
    with styled(dark):
        drawing = _Drawing(shown, drawn, kinds, beside or {}, marked, dark)
        drawing.end(kinds, what, marked_as if {*marked} & {*known} else "", notes)
        heading = fitted(title or caption, PAGE - 2 * _EDGE, 14, bold=True)
        drawing.sheet.write(_EDGE, 0.42, [(heading, drawing.colour["ink"], True)], size=14)
        figure = drawing.sheet.figure(PAGE, drawing.y, drawing.colour["card"])
    facts = {name: clean((beside or {}).get(name, "")) for name in known}
    told = [f"{clean(group)}: {', '.join(clean(n) for n in names)}." for group, names in shown.items()]
    told += [f"At {clean(name)}: {fact}." for name, fact in facts.items() if fact]
    told += at_most([f"{_said(link, count, what)}." for link, count in drawn.items() if count], 12, "connection")
    idle = len(_pairs(drawn) - _pairs(link for link, count in drawn.items() if count))
    told += [f"Nothing on {plural(idle, 'connection')}."] if idle else []
    if seen := [clean(name) for name in known if name in marked]:
        told.append(f"Marked as {clean(marked_as)}: {', '.join(seen)}.")
    rows = [(clean(tail), clean(tip), clean(kind), f"{count:,}") for (tail, tip, kind), count in drawn.items()]
    alt = " ".join([f"Clusters: {caption}.", *told, *notes])
    return render(figure, alt, f"{caption}.", table(("from", "to", "connection", f"{clean(what)}s"), rows))


def _pairs(links: Iterable[Pair]) -> set[Pair]:
    """The connections without their direction."""
    return {(min(tail, tip), max(tail, tip), kind) for tail, tip, kind in links}


def _said(link: Pair, count: int, what: str) -> str:
    return f"{plural(count, clean(what))} from {clean(link[0])} to {clean(link[1])} by {clean(link[2])}"


class _Drawing:
    """Gives each group a panel and each server its place in it, then draws the connections under the boxes."""

    def __init__(
        self, groups: Mapping[str, Sequence[str]], links: Mapping[Pair, int], kinds: Sequence[str],
        beside: Mapping[str, str], marked: Collection[str], dark: bool,
    ) -> None:  # fmt: skip
        self.sheet, self.colour = Sheet(), colours(dark)
        self.looks = {kind: (SERIES[at][0], list(DASHES)[at]) for at, kind in enumerate(kinds)}
        most = max(map(len, groups.values()))
        high = 1.3 if most == 1 else 2.3 if most == 2 else 2.9 + 0.3 * (most - 3)
        wide = [1.6 if len(names) < 3 else 3.0 + 0.2 * (len(names) - 3) for names in groups.values()]
        room = PAGE - 2 * _EDGE - 0.9 * (len(wide) - 1)
        wide = [each * min(1, room / sum(wide)) for each in wide] if len(wide) > 1 else [room]
        self.gap = min((PAGE - 2 * _EDGE - sum(wide)) / max(len(wide) - 1, 1), 1.7)
        x, self.at, self.half = _EDGE, dict[str, Point](), dict[str, float]()
        self.panel: dict[str, Point] = {}  # of each server: its left and its right edge
        self.y = _TOP + _HEAD + high
        for (group, names), width in zip(groups.items(), wide, strict=True):
            self.sheet.box(x, _TOP, x + width, self.y, self.colour["client"], self.colour["faint"], 0, 0.08)
            heading = fitted(group, width - 0.3, 11, bold=True)
            self.sheet.write(x + 0.15, _TOP + 0.27, [(heading, self.colour["note"], True)])
            most_wide = 1.15 if len(names) < 4 else 0.8
            for name, (across, down) in zip(names, places(len(names)), strict=True):
                middle = x + width * (0.5 + across * 0.32), _TOP + _HEAD + high * (0.46 + down * 0.34)
                self.panel[name] = x, x + width
                self._server(name, middle, min(most_wide, width - 0.2), name in marked)
                if fact := beside.get(name, ""):  # on the outer side, where no connection passes
                    y = middle[1] + (-_TALL / 2 - 0.09 if down < 0 else _TALL / 2 + 0.19)
                    text = [(fitted(fact, min(1.6, width)), self.colour["note"], False)]
                    self.sheet.write(middle[0], y, text, align="middle", behind=self.colour["client"])
            x += width + self.gap
        for link, count in links.items():
            back = links.get((link[1], link[0], link[2]))
            if count or back is None or (back == 0 and link[0] < link[1]):
                self._connection(link, count, back or 0)

    def _server(self, name: str, middle: Point, room: float, marked: bool) -> None:
        text, (x, y) = fitted(name, room - 0.2, 11, bold=True), middle
        self.at[name], self.half[name] = middle, max(text_width(text, 11, True) / 2 + 0.13, 0.3)
        fill = self.colour["witness" if marked else "card"]
        box = x - self.half[name], y - _TALL / 2, x + self.half[name], y + _TALL / 2
        self.sheet.box(*box, fill, self.colour["server"], 5, 0.08)
        self.sheet.write(x, y + 0.055, [(text, self.colour["ink"], True)], align="middle")

    def _connection(self, link: Pair, count: int, back: int) -> None:
        tail, tip = self._edge(link[0], link[1]), self._edge(link[1], link[0])
        role, dash = self.looks[link[2]]
        if not count:
            self.sheet.line([tail, tip], self.colour["note"], 0.9, dash, layer=1)
            return
        if back:  # each keeps to its own side
            away = 0.09 / max(math.dist(tail, tip), 0.1)
            aside = (tip[1] - tail[1]) * away, (tail[0] - tip[0]) * away
            tail, tip = ((x + aside[0], y + aside[1]) for x, y in (tail, tip))
        self.sheet.line([tail, tip], self.colour[role], 2.6, dash, layer=2)
        self.sheet.head(tip, tail, self.colour[role], size=0.17)
        near, ground = 0.36 if back else 0.5, "client"
        if self.panel[link[0]] != self.panel[link[1]]:  # between two panels, where there is nothing else
            (left, right), way = self.panel[link[0]], 1 if tail[0] < tip[0] else -1
            x = (right if way > 0 else left) + way * self.gap * (0.2 if back else 0.5)
            near, ground = (x - tail[0]) / (tip[0] - tail[0]), "card"
        x, y = (a + (b - a) * near for a, b in zip(tail, tip, strict=True))
        self.sheet.write(x, y + 0.055, [(f"{count:,}", self.colour[role], True)], align="middle",
                         behind=self.colour[ground])  # fmt: skip

    def _edge(self, name: str, other: str) -> Point:
        """Where the way from a server's middle to another's leaves its box."""
        (x, y), (x1, y1) = self.at[name], self.at[other]
        dx, dy = x1 - x, y1 - y
        share = min(self.half[name] / max(abs(dx), 1e-9), _TALL / 2 / max(abs(dy), 1e-9), 1.0)
        return x + dx * share, y + dy * share

    def end(self, kinds: Sequence[str], what: str, marked_as: str, notes: Sequence[str]) -> None:
        """Say below what the lines are."""
        x, self.y = _EDGE, self.y + 0.3
        entries = [(fitted(kind, 2.2), *self.looks[kind], 2.6) for kind in kinds]
        entries += [(f"thin: no {clean(what, 20)} there", "note", "solid", 0.9)]
        for text, role, dash, width in entries:
            wide = 0.6 + text_width(text) + 0.3
            if x + wide > PAGE - _EDGE:
                x, self.y = _EDGE, self.y + 0.27
            self.sheet.line([(x, self.y), (x + 0.5, self.y)], self.colour[role], width, dash)
            self.sheet.write(x + 0.6, self.y + 0.055, [(text, self.colour["ink"], False)])
            x += wide
        if marked_as:
            self.y += 0.3
            box = _EDGE, self.y - 0.1, _EDGE + 0.36, self.y + 0.1
            self.sheet.box(*box, self.colour["witness"], self.colour["ink"], 5, 0.03)
            self.sheet.write(_EDGE + 0.6, self.y + 0.055, [(fitted(marked_as, 8), self.colour["ink"], False)])
        self.y += 0.3
        for line in (line for note in notes for line in wrap(drawable(note), PAGE - 2 * _EDGE)):
            self.sheet.write(_EDGE, self.y + 0.055, [(line, self.colour["note"], False)])
            self.y += 0.23
