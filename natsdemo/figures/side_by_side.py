"""Several runs of one conversation, side by side: where they differ, and who cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from matplotlib.figure import Figure

from natsdemo.history import History

from .layout import Arrow, Lifeline, lamport_layout
from .legend import style_of
from .palette import colours
from .picture import INCH, WIDTH, Picture, render, styled, table
from .reading import without_hits
from .sheet import Sheet, fit, text_width, wrap
from .text import clean, plural
from .words import at_most

__all__ = ["Moment", "Run", "lay_side_by_side", "side_by_side"]

_W = WIDTH / INCH
_MOST = {"runs": 4, "lifelines": 5, "rows": 40}
_ROW, _GAP, _EDGE = 0.34, 0.3, 0.42  # inches: of a row, between runs, from a run's edge to its outer lifelines


class Moment(NamedTuple):
    """What stands in a row: an `arrow`, drawn from row `begin` to `row`, or else a `text` on the lifeline `line`."""

    time: float
    number: int
    line: str
    text: str = ""
    arrow: Arrow | None = None
    begin: int = 0
    row: int = 0

    def __str__(self) -> str:
        if self.arrow:
            befell = self.arrow.badge or self.arrow.fate.replace("forwarded", "")
            way = f"{self.arrow.label} from {self.arrow.source} to {self.arrow.target}"
            return clean(f"{way}, {befell}" if befell else way, 100)
        return clean(f"{self.line}{': ' if self.line else ''}{self.text or 'sends what the Tap will hold'}", 100)


class Run(NamedTuple):
    """One run: its name, the faults in it, what stands in its rows, and what is left out, in words."""

    name: str
    faults: tuple[str, ...]
    moments: tuple[Moment, ...]
    left_out: tuple[str, ...]

    def lived(self, observer: str) -> list[str]:
        """Say what the observer sent, and what was noted of it."""
        words = {moment.number: moment.arrow.role if moment.arrow else moment.text for moment in self.moments}
        return [words[n] for n in dict.fromkeys(moment.number for moment in self.moments if moment.line == observer)]


def lay_side_by_side(runs: Mapping[str, History], observer: str = "") -> tuple[list[Run], list[Lifeline]]:
    """Lay out runs in rows: what `observer` sends, and what is noted of it, stands in the same row of each.

    Each run gets the lifelines of all who say, hear or are noted something in any of them; who only pings gets none.
    """
    diagrams = {name: lamport_layout(history) for name, history in runs.items()}
    found = {line.name: line for diagram in reversed(diagrams.values()) for line in diagram.lifelines}
    parts: dict[str, list[list[Moment]]] = {}
    for name, diagram in diagrams.items():
        moments = [Moment(arrow.end, arrow.number, arrow.source, arrow=arrow) for arrow in diagram.arrows]
        moments += [Moment(arrow.begin, arrow.number, arrow.source) for arrow in diagram.arrows if arrow.held]
        for mark in diagram.marks:
            whose, colon, text = mark.text.partition(": ")
            if mark.kind == "note" and colon and whose in found:
                moments.append(Moment(mark.time, mark.number, whose, text))
            elif mark.kind != "fault":  # these stand below the name of the run
                moments.append(Moment(mark.time, mark.number, (*mark.lifelines, "")[0], mark.text))
        parts[name] = [[]]
        for moment in sorted(moments, key=lambda moment: moment[:2]):
            parts[name] += [[]] if moment.line == observer else []
            parts[name][-1].append(moment)
    moments = [moment for part in parts.values() for moment in chain(*part)]
    seen = {observer, *(end for m in moments for end in (m.line, m.arrow.target if m.arrow else ""))}
    order = {"left": 0, "middle": 1, "right": 2}
    lifelines = [line for line in found.values() if line.kind == "server" or line.name in seen]
    lifelines.sort(key=lambda line: (line.name != observer, order[line.side]))
    laid: dict[str, list[Moment]] = {name: [] for name in runs}
    row = 0
    for place in range(max(map(len, parts.values()), default=0)):
        here = {name: part[place] for name, part in parts.items() if place < len(part)}
        for name, part in here.items():
            for at, moment in enumerate(part, row):
                begin = next((m.row for m in laid[name] if m.number == moment.number), at)
                laid[name].append(moment._replace(begin=begin, row=at))
        row += max(map(len, here.values()))
    return [
        Run(name, tuple(clean(window.text, 70) for window in diagram.windows), tuple(laid[name]), diagram.left_out)
        for name, diagram in diagrams.items()
    ], lifelines


def side_by_side(runs: Mapping[str, History], *, observer: str = "", dark: bool = False) -> Picture:
    """Draw a small Lamport diagram of each run, aligned by what one client does in all of them.

    Time runs downwards in the order of events, not to scale. A note that begins with the name of a lifeline and a colon
    (`tap.note("ann: TimeoutError")`) stands on that lifeline: it tells what the wire cannot.

    :param runs: up to four, by their names; each History begins where its run does.
    :param observer: the client whose lifeline is shaded. The caption says whether what it sent, and what was noted of
        it, is the same in all runs.
    :param dark: on a dark card.
    :raises ValueError: more runs, lifelines or rows than can be read beside each other.
    """
    laid, lifelines = lay_side_by_side(runs, observer)
    rows = max((moment.row + 1 for run in laid for moment in run.moments), default=0)
    for (what, most), there in zip(_MOST.items(), (len(laid), len(lifelines), rows), strict=True):
        if there > most:
            raise ValueError(f"Side by side there is room for {most} {what}, not for {there}: choose some of them.")
    caption = f"{plural(len(laid), 'run')}."
    if observer and laid:
        lived = laid[0].lived(observer)
        same = all(run.lived(observer) == lived for run in laid)
        alike = f"the same in all: {clean(', '.join(lived), 60)}" if same else "not the same in all"
        caption = f"{caption[:-1]}; what {clean(observer, 20)} (shaded) sends and is told is {alike}."
    left_out = [f"Left out of “{clean(run.name, 30)}”: {', '.join(run.left_out)}." for run in laid if run.left_out]
    told = [
        f"{clean(run.name)}{''.join(f' ({fault})' for fault in run.faults[:1])}: "
        f"{'; '.join(at_most([str(moment) for moment in run.moments], 12, 'moment')) or 'nothing passed'}."
        for run in laid
    ]
    cells = [(clean(run.name), moment.row + 1, moment) for run in laid for moment in run.moments]
    with styled(dark):
        figure = _Drawing(laid, lifelines, observer, dark).draw(rows, [caption, *left_out])
        alt = " ".join(["Lamport diagrams side by side.", caption, *told, *left_out])
        return render(figure, alt, caption, table(("run", "row", "what"), cells))


class _Drawing:
    def __init__(self, laid: Sequence[Run], lifelines: Sequence[Lifeline], observer: str, dark: bool) -> None:
        self.laid, self.lifelines, self.observer = laid, lifelines, observer
        self.colour, self.sheet = colours(dark), Sheet()
        self.wide = (_W - 0.4 - _GAP * (len(laid) - 1)) / max(len(laid), 1)
        self.step = (self.wide - 2 * _EDGE) / max(len(lifelines) - 1, 1)

    def draw(self, rows: int, said: Sequence[str]) -> Figure:
        heads = []
        for run in self.laid:
            faults = [line for fault in run.faults[:2] for line in wrap(without_hits(fault), self.wide)[:2]]
            heads.append([(text, "ink", True) for text in wrap(clean(run.name, 70), self.wide * 0.9)[:2]])
            heads[-1] += [(fit(text, self.wide), "fault", False) for text in faults]
        head = 0.16 + 0.22 * max(map(len, heads), default=0)
        bottom = head + 0.65 + _ROW * rows
        for place, run in enumerate(self.laid):
            left = 0.2 + place * (self.wide + _GAP)
            for at, (text, role, bold) in enumerate(heads[place]):
                self.sheet.write(left, 0.28 + 0.22 * at, [(text, self.colour[role], bold)])
            self._run(run, left, head, bottom)
        y = bottom + 0.3
        self.sheet.line([(0.2, y), (_W - 0.2, y)], self.colour["faint"], 0.8, layer=1)
        arrows = [moment.arrow for run in self.laid for moment in run.moments if moment.arrow]
        how = [
            "A cross: lost." * any(a.lost for a in arrows),
            "A slope: held by the Tap." * any(a.held for a in arrows),
        ]
        how += ["Time runs downwards in the order of events, not to scale."]
        for line in wrap(" ".join(filter(None, [*said, *how])), _W - 0.4):
            y += 0.24
            self.sheet.write(0.2, y, [(line, self.colour["note"], False)])
        return self.sheet.figure(_W, y + 0.15, self.colour["card"])

    def _run(self, run: Run, left: float, head: float, bottom: float) -> None:
        sheet, colour = self.sheet, self.colour
        x = {line.name: left + _EDGE + at * self.step for at, line in enumerate(self.lifelines)}
        for line in self.lifelines:
            at, server = x[line.name], line.kind == "server"
            name = fit(clean(line.name, 40), max(self.step, 0.5) - 0.25, bold=True)
            half = text_width(name, 11, True) / 2 + 0.1
            edge, ink = ("server", "card") if server else ("note", "ink")
            fill = colour["server" if server else "client"]
            sheet.box(at - half, head, at + half, head + 0.3, fill, colour[edge], 6, 0.05 if server else 0.14)
            sheet.write(at, head + 0.2, [(name, colour[ink], True)], align="middle")
            sheet.line([(at, head + 0.3), (at, bottom)], colour[edge], 2.4 if server else 1.4, layer=1)
            if line.name == self.observer:
                sheet.box(at - 0.2, head + 0.3, at + 0.2, bottom, colour["client"])
        for moment in run.moments:
            begin, y = (head + 0.67 + _ROW * row for row in (moment.begin, moment.row))
            if moment.arrow:
                self._arrow(moment.arrow, (x[moment.arrow.source], begin), (x[moment.arrow.target], y))
            elif moment.text:
                at = x.get(moment.line, left - 0.1)
                right = at - left < self.wide / 2
                text = fit(clean(moment.text), (left + self.wide - at if right else at - left) - 0.12, bold=True)
                if moment.line in x:
                    sheet.ring(at, y - 0.04, colour["ink"], colour["card"], 0.05)
                words = [(text, colour["ink"], True)]
                side, aside = ("left", 0.12) if right else ("right", -0.12)
                sheet.write(at + aside, y, words, align=side, behind=colour["card"])

    def _arrow(self, arrow: Arrow, tail: tuple[float, float], tip: tuple[float, float]) -> None:
        """Draw an arrow; one that was lost ends in a cross halfway, where the Tap stands."""
        sheet, style = self.sheet, style_of(arrow)
        ink, room = self.colour[style.colour], abs(tip[0] - tail[0]) - 0.2
        label = arrow.label if text_width(arrow.label) <= room else fit(arrow.role, room)
        place = (tail[0] + tip[0]) / 2 if tail[1] == tip[1] else tail[0] + (0.4 if tip[0] > tail[0] else -0.4)
        above = tail[1] - (0.13 if arrow.lost else 0.06)
        sheet.write(place, above, [(label, self.colour["ink"], False)], align="middle")
        if not arrow.lost:
            near = (tip[0] + (tail[0] - tip[0]) * 0.07, tip[1] + (tail[1] - tip[1]) * 0.07)
            sheet.line([tail, near], ink, style.width, style.dash)
            sheet.head(tip, tail, ink, hollow=self.colour["card"] if style.hollow else "")
            return
        middle = ((tail[0] + tip[0]) / 2, (tail[1] + tip[1]) / 2)
        sheet.line([tail, middle], ink, style.width, style.dash)
        sheet.line([middle, tip], self.colour["faint"], 1.0, "dotted")
        sheet.cross(*middle, ink)
