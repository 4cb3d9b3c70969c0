"""The Lamport diagram: who said what to whom, and in which order, as the Tap saw it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.figure import Figure

from natsdemo.history import History

from .layout import Arrow, Diagram, Lifeline, Mark, Witnessed, lay_out
from .legend import Style, legend, notes, style_of
from .palette import colours
from .picture import INCH, WIDTH, Picture, render, styled
from .reading import read, without_hits
from .sheet import Run, Sheet, fit, text_width, wrap
from .text import clean, seconds
from .words import tell_lamport

__all__ = ["lamport"]

_W = WIDTH / INCH
_LEFT, _RIGHT = 1.02, 0.3  # the margins: on the left the times stand
_TEXT = 0.2  # the height of a line of text
_STEP = 0.085  # two arrows are at least so far apart


def lamport(
    history: History, *, housekeeping: bool = False, verdict: Witnessed | None = None, dark: bool = False
) -> Picture:
    """Draw a space-time diagram of what crossed the wire.

    Time runs downwards in the order of events, not to scale; the real times stand on the left. Every client and every
    server has a lifeline. Arrows are level, as seen at the Tap, unless the Tap itself held the frame. What was lost
    ends in a cross halfway, where the Tap stands. Above 300 arrows they are bundled by time, and of more than 12
    clients most share a lifeline; the picture says so, and counts what it leaves out.

    :param housekeeping: show INFO, CONNECT, SUB, PING, PONG, +OK and the JetStream API too, with their control lines.
    :param verdict: highlight the events that are its witnesses.
    :param dark: on a dark card.
    """
    reading = read(history)
    diagram = lay_out(history, reading, housekeeping=housekeeping, verdict=verdict)
    with styled(dark):
        drawing = _Drawing(diagram, dark)
        figure = drawing.draw()
        alt, caption, rows = tell_lamport(diagram, reading)
        return render(figure, alt, caption, rows)


class _Drawing:
    """Goes down the page once, giving each event the highest place that keeps the order and overlaps nothing."""

    def __init__(self, diagram: Diagram, dark: bool) -> None:
        self.diagram = diagram
        self.colour = colours(dark)
        self.sheet = Sheet()
        self.x, self.gaps = _columns(diagram.lifelines)
        self.taken: list[tuple[float, float, float]] = []  # from x to x, everything above y
        self.y = self.top = 0.0
        self.timed = (-1.0, "")
        self.starts: dict[int, float] = {}
        self.last_label: dict[str, tuple[str, str, bool]] = {}
        self.side = {line.name: line.side for line in diagram.lifelines}
        self.breaks: dict[str, list[tuple[float, str]]] = {line.name: [] for line in diagram.lifelines}
        self.open_windows: list[tuple[str, float]] = []
        self.shades: list[tuple[float, float]] = []
        self.most = max((arrow.frames for arrow in diagram.arrows), default=1)
        self.digits = _digits(diagram.end)

    def draw(self) -> Figure:
        self._headers()
        moments = _moments(self.diagram)
        gap = max(_long_gap([time for time, _, _ in moments]), 1.5 * self.diagram.bundle)
        before = moments[0][0] if moments else 0.0
        for time, begins, what in moments:
            if time - before > gap:
                self._pause(time - before)
            before = time
            if isinstance(what, Mark):
                self._mark(what)
            elif begins:
                self._begin(what)
            else:
                self._arrow(what)
        if not moments:
            self.y += 0.35
            self.sheet.write(
                (_LEFT + _W - _RIGHT) / 2, self.y, [("Nothing passed.", self.colour["note"], True)], size=15,
                align="middle", behind=self.colour["card"],
            )  # fmt: skip
        bottom = self.y + 0.28
        self._lifelines(bottom)
        self._shade(bottom)
        return self.sheet.figure(_W, self._footer(bottom + 0.18), self.colour["card"])

    # Where things go

    @property
    def paper(self) -> str:
        """The colour that we stand on."""
        return self.colour["window" if self.open_windows else "card"]

    def _free(self, x0: float, x1: float) -> float:
        return max((y for a, b, y in self.taken[-60:] if a < x1 and b > x0), default=self.top)

    def _take(self, x0: float, x1: float, y: float) -> None:
        self.taken.append((x0, x1, y))

    def _headers(self) -> None:
        """Name tags, staggered where they would overlap."""
        levels: list[float] = []
        tags = []
        for line in sorted(self.diagram.lifelines, key=lambda line: self.x[line.name]):
            name = fit(clean(line.name, 40), 1.9, bold=True)
            half = text_width(name, 11, True) / 2 + 0.11
            middle = min(max(self.x[line.name], _LEFT - 0.16 + half), _W - 0.1 - half)
            level = next((at for at, until in enumerate(levels) if until + 0.07 < middle - half), len(levels))
            levels[level : level + 1] = [middle + half]
            tags.append((line, name, middle, half, level))
        height = 0.3
        self.top = self.y = 0.16 + (height + 0.07) * max(len(levels), 1) + 0.06
        for line, name, middle, half, level in tags:
            bottom = self.top - 0.06 - (height + 0.07) * level
            server = line.kind == "server"
            fill, ink = (
                (self.colour["server"], self.colour["card"]) if server else (self.colour["client"], self.colour["ink"])
            )
            edge = self.colour["server"] if server else self.colour["note"]
            self.sheet.box(
                middle - half, bottom - height, middle + half, bottom, fill, edge, 6, 0.05 if server else 0.14
            )
            self.sheet.write(middle, bottom - 0.1, [(name, ink, True)], align="middle")
            self.sheet.line([(self.x[line.name], bottom), (self.x[line.name], self.top)], edge, 1.2, layer=1)
        self.sheet.write(_LEFT - 0.24, self.top - 0.16, [("seconds", self.colour["note"], False)], align="right")

    def _time(self, time: float, y: float) -> None:
        text = f"{time:.{self.digits}f}"
        if y - self.timed[0] >= 0.21 and text != self.timed[1]:
            self.timed = (y, text)
            self.sheet.write(_LEFT - 0.24, y + 0.05, [(text, self.colour["note"], False)], align="right")

    # What goes there

    def _arrow(self, arrow: Arrow) -> None:
        source, target = self.x[arrow.source], self.x[arrow.target]
        x0, x1 = sorted((source, target))
        style = style_of(arrow)
        start = self.starts.pop(arrow.number, None)
        gap, side = self._label_gap(arrow)
        runs = self._label(arrow, gap[1] - gap[0], style)
        label = "".join(text for text, _, _ in runs)
        last = self.last_label.get(side)
        labelled = start is None and last != (label, arrow.role, arrow.to_server)
        if start is None:
            self.last_label[side] = (label, arrow.role, arrow.to_server)
        width = sum(text_width(text, 11, bold) for text, _, bold in runs)
        lx = gap[0] + 0.02 if side == "right" else gap[1] - 0.02 - width
        thick = self._width(arrow, style) / 72
        raised = 0.06 * arrow.lost + 0.04 * (arrow.fate == "duplicated") + thick / 2
        y = max(self.y + _STEP, self._free(x0, x1) + _STEP + thick / 2)
        if labelled:
            y = max(y, self._free(lx - 0.05, lx + width + 0.05) + _TEXT + 0.055 + raised)
        if start is not None:
            y = max(y, start + 0.3)
        self._take(x0, x1, y + thick / 2)
        self.y = y
        self._time(arrow.end, y)
        if labelled:
            self._take(lx - 0.05, lx + width + 0.05, y)
            self.sheet.write(
                lx, y - 0.05 - raised, runs, behind=self.colour["witness"] if arrow.witness else self.paper
            )
        self._stroke(arrow, style, (source, y if start is None else start), (target, y))

    def _begin(self, arrow: Arrow) -> None:
        """The Tap takes a frame that it will hold: the upper end of a slope, where its label is."""
        style = style_of(arrow)
        source, target = self.x[arrow.source], self.x[arrow.target]
        runs = self._label(arrow, min(abs(target - source) + 0.6, 4.6), style)
        width = sum(text_width(text, 11, bold) for text, _, bold in runs)
        lx = source + 0.1 if target > source else source - 0.1 - width
        lx = min(max(lx, _LEFT), _W - 0.05 - width)
        y = max(self.y + _STEP, self._free(lx, lx + width) + _TEXT + 0.055)
        self.sheet.write(lx, y - 0.06, runs, behind=self.paper)
        self._take(lx, lx + width, y + 0.04)
        self.starts[arrow.number] = self.y = y
        self._time(arrow.begin, y)
        self.last_label.pop(self._label_gap(arrow)[1], None)

    def _stroke(self, arrow: Arrow, style: Style, tail: tuple[float, float], tip: tuple[float, float]) -> None:
        colour, sheet = self.colour[style.colour], self.sheet
        width = self._width(arrow, style)
        if arrow.witness:
            sheet.line([tail, tip], self.colour["witness"], 13, layer=2)
        if arrow.lost:
            middle = ((tail[0] + tip[0]) / 2, (tail[1] + tip[1]) / 2)
            sheet.line([tail, middle], colour, width, style.dash)
            sheet.line([middle, tip], self.colour["faint"], 1.0, "dotted")
            sheet.cross(*middle, colour)
            return
        way = 1 if tip[0] > tail[0] else -1
        size = 0.13 + 0.012 * max(width - 2, 0)
        short = 0.7 * size
        near = (tip[0] - way * short, tip[1] - (tip[1] - tail[1]) * short / max(abs(tip[0] - tail[0]), 0.1))
        sheet.line([tail, near], colour, width, style.dash)
        if arrow.fate == "duplicated":
            sheet.line([tail, near], colour, width + 3.2, style.dash)
            sheet.line([tail, near], self.paper, max(width - 0.4, 1.0), layer=4)
        sheet.head(tip, tail, colour, size=size, hollow=self.paper if style.hollow else "")
        if arrow.unheard:
            sheet.ring(*tip, colour, self.colour["card"])

    def _width(self, arrow: Arrow, style: Style) -> float:
        return 1.2 + 5.0 * (arrow.frames / self.most) ** 0.5 if self.diagram.bundle else style.width

    def _label_gap(self, arrow: Arrow) -> tuple[tuple[float, float], str]:
        """Labels stand in the wide gap beside the servers, where every arrow passes."""
        client = arrow.source if arrow.to_server else arrow.target
        side = "left" if self.side.get(client) == "left" else "right"
        return self.gaps[side], side

    def _label(self, arrow: Arrow, room: float, style: Style) -> list[Run]:
        badge = f" · {arrow.badge}" if arrow.badge else ""
        done = "fault" if arrow.held or arrow.fate == "duplicated" else style.colour
        room -= text_width(badge, 11, True) + 0.12
        head, _, number = arrow.label.rpartition(" #")
        head, tail = (head, f" #{number}") if head and number.isdigit() else (arrow.label, "")
        text, most = head, len(head)
        while most > 6 and text_width(text + tail) > room:
            most -= 1
            text = _squeeze(head, most)
        runs = [(text + tail, self.colour["ink"], False)]
        return [*runs, (badge, self.colour[done], True)] if badge else runs

    def _mark(self, mark: Mark) -> None:
        self.last_label.clear()
        lines = [line for line in mark.lifelines if line in self.x]
        if not lines:
            self._row(mark)
            return
        server = mark.kind == "server"
        places = sorted(self.x[line] for line in lines)
        right = self.side[lines[0]] == "right"
        stops = mark.turn == "stops"
        colour = self.colour["lost" if stops and server else "note"]
        text, gap = mark.text, self.gaps["right" if right else "left"]
        text = text if server else fit(text, max(gap[1] - gap[0], 1.2))
        width = text_width(text, 11, server)
        lx = places[0] - 0.14 - width if right else places[-1] + 0.14
        lx = min(max(lx, _LEFT - 0.1), _W - 0.08 - width)
        x0, x1 = min(lx, places[0]) - 0.08, max(lx + width, places[-1]) + 0.08
        y = max(self.y + _STEP, self._free(lx - 0.05, lx + width + 0.05) + 0.17, self._free(x0, x1) + 0.12)
        self.sheet.write(lx, y + 0.05, [(text, colour, server)], behind=self.paper)
        self._take(x0, x1, y + 0.09)
        self.y = y
        if server:
            self._time(mark.time, y)
        for x in places:
            if stops:
                self.sheet.cross(x, y, colour, 0.065)
            else:
                self.sheet.ring(x, y, self.colour["note"], self.colour["card"], 0.05)
        for line in lines if mark.turn else ():
            self.breaks[line].append((y, mark.turn))

    def _row(self, mark: Mark) -> None:
        """A line of text across the whole picture."""
        top = max(y for _, _, y in self.taken[-60:]) if self.taken else self.top
        fault = mark.kind == "fault"
        y = max(top, self.y) + (0.18 if mark.turn == "starts" else 0.3)
        colour = self.colour["fault" if fault else "note"]
        verb = {"starts": "fault armed: ", "stops": "fault healed: "}.get(mark.turn, "fault: ") if fault else ""
        text = without_hits(mark.text.partition(": ")[2] if mark.turn else mark.text) if fault else mark.text
        self.sheet.line(
            [(_LEFT - 0.12, y), (_W - _RIGHT + 0.12, y)], colour, 1.0, "dashed" if fault else "dotted", layer=2
        )
        text = fit(text, _W - _RIGHT - _LEFT - text_width(verb, 11, True))
        runs = [(verb, colour, True), (text, colour, False)] if fault else [(text, self.colour["ink"], False)]
        below = mark.turn == "starts"
        behind = self.colour["window"] if fault else self.paper
        self.sheet.write(_LEFT - 0.06, y + (0.17 if below else -0.06), runs, behind=behind)
        self.y = y + (0.2 if below else 0.0)
        self._take(0, _W, self.y)
        self._time(mark.time, y + (0.12 if below else -0.1))
        if fault and mark.turn == "starts":
            self.open_windows.append((text, y))
        elif mark.turn == "stops" and fault:
            place = next((place for place, (about, _) in enumerate(self.open_windows) if about == text), None)
            if place is not None:
                self.shades.append((self.open_windows.pop(place)[1], y))
            else:  # it had been armed before this part of the History
                self.shades.append((self.top, y))

    def _pause(self, duration: float) -> None:
        """Say that nothing happened for long."""
        top = max(y for _, _, y in self.taken[-60:]) if self.taken else self.top
        y = max(top, self.y) + 0.25
        text = f"{seconds(duration)} later"
        self.sheet.box(_LEFT - 0.1, y - 0.11, _W - _RIGHT + 0.1, y + 0.07, self.paper, layer=2)
        self.sheet.write((_LEFT + _W - _RIGHT) / 2, y + 0.03, [(text, self.colour["note"], False)], align="middle")
        self.y = y + 0.06
        self._take(0, _W, self.y)
        self.last_label.clear()

    def _lifelines(self, bottom: float) -> None:
        for line in self.diagram.lifelines:
            x = self.x[line.name]
            colour = self.colour["server" if line.kind == "server" else "note"]
            width = 2.6 if line.kind == "server" else 1.4
            turns = self.breaks[line.name]
            # What a lifeline was before its first turn follows from that turn: who starts was not there before.
            state = "stops" if turns and turns[0][1] == "starts" and line.kind == "client" else "starts"
            y = self.top
            for until, turn in [*turns, (bottom, "")]:
                if state == "starts":
                    for shift in (-0.03, 0.03) if line.kind == "folded" else (0.0,):
                        self.sheet.line([(x + shift, y), (x + shift, until)], colour, width, layer=1)
                else:
                    dash = "dashed" if state == "pauses" else "dotted"
                    self.sheet.line([(x, y), (x, until)], self.colour["faint"], width, dash, layer=1)
                y, state = until, turn

    def _shade(self, bottom: float) -> None:
        for begin, end in [*self.shades, *((begin, bottom) for _, begin in self.open_windows)]:
            self.sheet.box(_LEFT - 0.12, begin, _W - _RIGHT + 0.12, end, self.colour["window"], layer=0)

    # What the picture says about itself

    def _footer(self, y: float) -> float:
        self.open_windows.clear()
        x = _LEFT - 0.12
        self.sheet.line([(0.2, y), (_W - 0.2, y)], self.colour["faint"], 0.8, layer=1)
        y += 0.26
        for text, arrow in legend(self.diagram):
            width = 0.64 + text_width(text) + 0.3
            if x + width > _W - 0.1:
                x, y = _LEFT - 0.12, y + 0.25
            slope = 0.07 * arrow.held
            self._stroke(arrow, style_of(arrow), (x, y - 0.045 - slope), (x + 0.5, y - 0.045 + slope))
            self.sheet.write(x + 0.64, y, [(text, self.colour["ink"], False)])
            x += width
        if self.diagram.arrows:
            y += 0.27
        for line in wrap(notes(self.diagram), _W - _LEFT - 0.1):
            self.sheet.write(_LEFT - 0.12, y, [(line, self.colour["note"], False)])
            y += 0.22
        return y


def _moments(diagram: Diagram) -> list[tuple[float, bool, Arrow | Mark]]:
    """Everything that has a place on the page, in order; a frame that the Tap held has two: it comes, and it leaves."""
    moments: list[tuple[float, int, bool, Arrow | Mark]] = [
        (mark.time, mark.number, False, mark) for mark in diagram.marks
    ]
    for place, arrow in enumerate(diagram.arrows):
        if diagram.bundle:  # the bundles of a span are in their order already; those after a mark come after it
            marked = [mark.number for mark in diagram.marks if mark.time == arrow.begin and mark.number < arrow.number]
            moments.append((arrow.begin, max(marked, default=-1) + place / len(diagram.arrows), False, arrow))  # type: ignore[arg-type]
            continue
        if arrow.held:
            moments.append((arrow.begin, arrow.number, True, arrow))
        moments.append((arrow.end, arrow.number, False, arrow))
    moments.sort(key=lambda moment: moment[:3])
    return [(time, begins, what) for time, _, begins, what in moments]


def _columns(lifelines: Sequence[Lifeline]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Spread the lifelines, with a wide gap for labels on each side of the servers; return places and the gaps."""
    sides = {side: [line for line in lifelines if line.side == side] for side in ("left", "middle", "right")}
    used = [side for side in ("left", "right") if sides[side]]
    begin, end = _LEFT + 0.32, _W - _RIGHT - 0.32
    narrow = sum(max(len(sides[side]) - 1, 0) for side in sides)
    room = end - begin
    wide = min(2.9 if narrow <= 3 else 2.4, room / max(len(used), 1))
    step = min(max((room - wide * len(used)) / narrow, 0.4), 1.5) if narrow else 0.0
    wide = min(max((room - step * narrow) / max(len(used), 1), 1.2), 4.4)
    left = begin + max(room - step * narrow - wide * len(used), 0.0) / 2
    x: dict[str, float] = {}
    gaps = {"left": (begin, end), "right": (begin, end)}
    before = ""
    for side in ("left", "middle", "right"):
        for line in sides[side]:
            if before == side:
                left += step
            elif before:
                gap = (left, left + wide)
                gaps["left" if before == "left" else "right"] = (gap[0] + 0.14, gap[1] - 0.14)
                left += wide
            x[line.name] = left
            before = side
    return x, gaps


def _squeeze(text: str, most: int) -> str:
    """Cut a label to `most` characters: first the payload, down to nothing, then the middle of the subject."""
    subject, blank, payload = text.partition(' "')
    keep = most - len(subject) - 4
    if blank and keep >= 3:
        return f'{subject} "{payload[:keep]}…"'
    if len(subject) <= most:
        return subject
    return f"{subject[: most // 2]}…{subject[len(subject) - (most - most // 2 - 1) :]}"


def _digits(end: float) -> int:
    return 4 if end < 20 else 3 if end < 200 else 2


def _long_gap(times: Sequence[float]) -> float:
    """From how many seconds on silence is worth a word."""
    steps = sorted(b - a for a, b in pairwise(times))
    return max(0.25, 8 * steps[len(steps) // 2]) if steps else 1.0
