"""Who is connected to what, and how much went which way: the still of the flow view."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from natsdemo.history import History

from .page import PAGE, fitted, nothing
from .palette import colours
from .picture import INCH, WIDTH, Picture, render, styled, table
from .scene import Scene
from .sheet import Sheet, text_width
from .text import clean
from .words import at_most

__all__ = ["Stage", "flow", "picture", "stage", "tints"]

# In CSS pixels; a row of a place, of a lane, and what a stream needs for its slots and for each consumer.
_MARGIN, _PLACE, _PLACE_WIDE, _GAP, _LABEL = 10, 52, 200, 14, 20
_SERVER = (335, 625)
_HEAD, _LANE, _CONSUMER, _FLOOR = 36, 46, 20, 44
SLOTS = 20
_KINDS = ("subject", "stream", "inboxes")  # from top to bottom
_MOST_CONSUMERS = 3


class Stage(NamedTuple):
    """Where everything stands, in CSS pixels from the top left corner, `width` times `height`.

    `places` and `lanes` are boxes (left, top, right, bottom) in the order of the scene's; `groups` are brackets: a
    name, the top of the first member and the bottom of the last. The floor, where lost messages lie, is at the bottom.
    """

    width: int
    height: int
    places: list[tuple[int, int, int, int]]
    lanes: list[tuple[int, int, int, int]]
    server: tuple[int, int, int, int]
    groups: list[tuple[str, int, int]]
    floor: int


def stage(scene: Scene) -> Stage:
    """Give each place, lane and group of a scene its room."""
    sides: dict[str, list[int]] = defaultdict(list)
    for at, place in enumerate(scene.places):
        sides[place.side].append(at)
    shared = Counter(place.group for place in scene.places if place.group)
    sides["left"].sort(key=lambda at: scene.places[at].conn)
    sides["right"].sort(
        key=lambda at: (scene.places[at].group if shared[scene.places[at].group] > 1 else "", scene.places[at].conn)
    )
    rows: dict[str, list[tuple[int, int]]] = {}
    tall = {"server": _HEAD + sum(_high(scene, at) for at in range(len(scene.lanes))) + 10}
    labels: dict[str, list[tuple[str, int, int]]] = {}
    for side in ("left", "right"):
        rows[side], labels[side], y = [], [], 0
        for at in sides[side]:
            group = scene.places[at].group
            if shared[group] > 1:
                if labels[side] and labels[side][-1][0] == group:
                    labels[side][-1] = (group, labels[side][-1][1], y + _PLACE)
                else:
                    y += _LABEL
                    labels[side].append((group, y, y + _PLACE))
            rows[side].append((at, y))
            y += _PLACE + _GAP
        tall[side] = max(y - _GAP, 0)
    body = max(*tall.values(), 120)
    top = _MARGIN
    places = [(0, 0, 0, 0)] * len(scene.places)
    groups: list[tuple[str, int, int]] = []
    for side, x in (("left", _MARGIN), ("right", WIDTH - _MARGIN - _PLACE_WIDE)):
        down = top + (body - tall[side]) // 2
        for at, y in rows[side]:
            places[at] = (x, down + y, x + _PLACE_WIDE, down + y + _PLACE)
        groups += [(_shared(name), down + y0, down + y1) for name, y0, y1 in labels[side] if side == "right"]
    y = top + (body - tall["server"]) // 2
    server = (_SERVER[0], y, _SERVER[1], y + tall["server"])
    y += _HEAD
    lanes = [(0, 0, 0, 0)] * len(scene.lanes)
    for at in sorted(range(len(scene.lanes)), key=lambda at: (_KINDS.index(scene.lanes[at].kind), at)):
        lanes[at] = (_SERVER[0] + 8, y, _SERVER[1] - 8, y + _high(scene, at) - 6)
        y += _high(scene, at)
    return Stage(WIDTH, top + body + _FLOOR + 6, places, lanes, server, groups, top + body + 6)


def _shared(group: str) -> str:
    queue, on, _ = group.partition(" on ")
    return f"group {clean(queue, 20)}" if on else f"consumer {clean(group.rpartition('/')[2], 20)}"


def _high(scene: Scene, lane: int) -> int:
    """How tall a lane is; a stream has a row for each consumer."""
    if scene.lanes[lane].kind != "stream":
        return _LANE
    return _LANE + _CONSUMER * min(len(scene.positions[lane]), _MOST_CONSUMERS)


# The colours of publishers, in the order in which they first spoke; `lost` and `redelivered` have theirs to themselves.
_TINTS = ("published", "delivered", "ack", "note")


def tints(scene: Scene) -> dict[int, str]:
    """Give each place that has published its role of the palette."""
    return {place: _TINTS[at % len(_TINTS)] for at, place in enumerate(scene.publishers)}


def flow(history: History, *, title: str = "", dark: bool = False) -> Picture:
    """Draw who is connected to what, and how much went which way.

    Clients stand left if they only publish, else right; the server in the middle has a row for each subject, one for
    inboxes, and one for each stream with its consumers' positions. A line is the wider, the more passed (its width
    grows with the logarithm). What the wire lost lies on the floor.

    :param history: what passed, all of it or a part.
    :param title: what is shown.
    :param dark: on a dark card.
    :returns: at most eight places a side, six subjects and three streams; the last stands for all others.
    """
    scene = Scene()
    scene.read([history])
    return picture(scene, title=title, dark=dark)


def picture(scene: Scene, *, title: str = "", dark: bool = False) -> Picture:
    """Draw a scene as it is now."""
    counts = _counts(scene)
    if not scene.places:
        return nothing(dark, "Flow:")
    with styled(dark):
        drawing = _Drawing(scene, dark)
        figure = drawing.finish(title or counts)
    names, lanes = scene.names(), scene.lane_names()
    told = [
        f"{name} sent {scene.sent(at):,} and got {scene.got(at):,}." for at, name in enumerate(names)
    ]  # fmt: skip
    alt = " ".join([f"Flow: {title + ': ' if title else ''}{counts}.", *at_most(told, 8, "client"), *_streams(scene)])
    rows = [
        (names[route.place], "to" if route.to_server else "from", lanes[route.lane], _kind(route.kind, route.times),
         route.fate or "passed", f"{scene.counts[at]:,}")
        for route, at in scene.routes.items()
    ]  # fmt: skip
    return render(figure, alt, f"{counts}.", table(("client", "", "lane", "what", "fate", "count"), rows))


def _counts(scene: Scene) -> str:
    return f"{scene.published:,} published, {scene.delivered:,} delivered, {scene.lost:,} lost"


def _kind(kind: str, times: int) -> str:
    return f"{kind}, delivery {times}" if times else kind


def _streams(scene: Scene) -> list[str]:
    told = []
    for at, last in scene.stored.items():
        positions = [
            f"consumer {clean(name)} is at {seen}{f' with {waiting} not acked' if waiting else ''}"
            for name, (seen, waiting) in scene.positions[at].items()
        ]
        told.append(f"Stream {scene.lane_names()[at]} is at {last}{'; ' if positions else ''}{'; '.join(positions)}.")
    return told


class _Drawing:
    """The scene on a sheet, in inches; the stage is in CSS pixels."""

    def __init__(self, scene: Scene, dark: bool) -> None:
        self.scene, self.stage, self.colour = scene, stage(scene), colours(dark)
        self.sheet, self.top = Sheet(), 0.62
        self.tint = tints(scene)
        for at, name in enumerate(scene.names()):
            self._place(at, name)
        self._server()
        for name, y0, y1 in self.stage.groups:
            self._bracket(name, y0, y1)
        self._ways()
        self._floor()

    def finish(self, title: str) -> Any:
        self.sheet.write(0.1, 0.4, [(fitted(title, PAGE - 0.3, 14, True), self.colour["ink"], True)], size=14)
        notes = [f"Armed: {clean(fault, 100)}." for fault in self.scene.faults[:2]]
        y = self.top + self.stage.height / INCH
        for note in [*notes, "A line is the wider, the more passed; colours are publishers."]:
            self.sheet.write(0.1, y + 0.16, [(note, self.colour["note"], False)])
            y += 0.24
        return self.sheet.figure(PAGE, y + 0.1, self.colour["card"])

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return x / INCH, y / INCH + self.top

    def _box(self, box: tuple[int, int, int, int], fill: str, edge: str = "none", corner: float = 0.06) -> None:
        (x0, y0), (x1, y1) = self._at(box[0], box[1]), self._at(box[2], box[3])
        self.sheet.box(x0, y0, x1, y1, self.colour[fill], self.colour[edge] if edge != "none" else edge, 2, corner)

    def _write(self, x: float, y: float, text: str, room: float, role: str = "ink", *, bold: bool = False,
               align: str = "left") -> None:  # fmt: skip
        at = self._at(x, y)
        self.sheet.write(*at, [(fitted(text, room / INCH, 11, bold), self.colour[role], bold)], align=align)

    def _place(self, at: int, name: str) -> None:
        x0, y0, x1, y1 = box = self.stage.places[at]
        struck = at in self.scene.struck()
        self._box(box, "window" if struck else "client", self.tint.get(at, "server"))
        state = self.scene.places[at].state
        gone = f" ({state})" if state in ("stops", "pauses") else ""
        self._write(x0 + 10, y0 + 21, name + gone, x1 - x0 - 20, self.tint.get(at, "ink"), bold=True)
        self._write(x0 + 10, y1 - 10, f"sent {self.scene.sent(at):,}   got {self.scene.got(at):,}", x1 - x0 - 20)

    def _server(self) -> None:
        x0, y0, x1, _ = self.stage.server
        self._box(self.stage.server, "card", "server")
        self._write((x0 + x1) / 2, y0 + 24, ", ".join(self.scene.node_names()), x1 - x0 - 20, bold=True, align="middle")
        for at, name in enumerate(self.scene.lane_names()):
            self._lane(at, name)

    def _lane(self, at: int, name: str) -> None:
        x0, y0, x1, _ = box = self.stage.lanes[at]
        lane = self.scene.lanes[at]
        self._box(box, "client")
        ways = [(route, self.scene.counts[n]) for route, n in self.scene.routes.items()
                if route.lane == at and route.fate != "lost" and route.kind != "ack"]  # fmt: skip
        passed = {way: sum(count for route, count in ways if route.to_server == way) for way in (True, False)}
        stream = lane.kind == "stream"
        said = f"{self.scene.stored.get(at, 0):,} stored" if stream else f"{passed[True]:,} in  {passed[False]:,} out"
        self._write(x1 - 8, y0 + 17, said, 150, "note", align="right")
        room = x1 - x0 - 26 - text_width(said) * INCH
        self._write(x0 + 8, y0 + 17, f"stream {name}" if stream else name, room, bold=True)
        if stream:
            self._slots(at, x0 + 8, y0 + 24)

    def _slots(self, at: int, x: int, y: int) -> None:
        """The stream's last places, filled as far as it is; under them where each consumer stands."""
        last, step = self.scene.stored.get(at, 0), 13
        first = max(last - SLOTS, 0)
        for slot in range(SLOTS):
            fill = "published" if first + slot < last else "card"
            self._box((x + slot * step, y, x + slot * step + step - 2, y + 10), fill, "note", 0.01)
        for row, (name, (seen, waiting)) in enumerate(list(self.scene.positions[at].items())[:_MOST_CONSUMERS]):
            tip = x + max(min(seen - first, SLOTS) - 0.5, 0) * step
            base = y + 28 + row * _CONSUMER
            self.sheet.head(self._at(tip, y + 12), self._at(tip, y + 30), self.colour["delivered"], size=0.11)
            said = f"{clean(name, 18)} at {seen:,}{f', {waiting:,} not acked' if waiting else ''}"
            right, wide = self.stage.lanes[at][2] - 8, text_width(said) * INCH
            self._write(tip + 10 if tip + 10 + wide < right else max(x, tip - 10 - wide), base, said, right - x)

    def _bracket(self, name: str, y0: int, y1: int) -> None:
        x = self.stage.places[0][0] if not self.stage.groups else WIDTH - _MARGIN - _PLACE_WIDE - 10
        line = [self._at(*p) for p in ((x + 7, y0), (x, y0), (x, y1), (x + 7, y1))]
        self.sheet.line(line, self.colour["note"], 2.0)
        self._write(x, y0 - 7, name, _PLACE_WIDE + 10, "note", bold=True)

    def _ways(self) -> None:
        """One line for all that went one way between a place and a lane, in its publisher's colour if it has one."""
        ways: dict[tuple[int, int, bool], list[tuple[int, int, str]]] = defaultdict(list)
        for route, at in self.scene.routes.items():
            ways[route.place, route.lane, route.to_server].append((route.publisher, self.scene.counts[at], route.kind))
        for (place, lane, to_server), parts in ways.items():
            total, publishers = sum(count for _, count, _ in parts), {who for who, _, _ in parts}
            role = self.tint.get(next(iter(publishers)), "note") if len(publishers) == 1 else "note"
            points = [self._at(*point) for point in curve(self.stage, self.scene, place, lane, to_server)]
            dash = "dotted" if all(kind in ("ack", "puback") for _, _, kind in parts) else "solid"
            self.sheet.line(points, self.colour[role], 1.2 + 1.3 * math.log10(total), dash, 3)
            way = points if to_server else points[::-1]
            self.sheet.head(way[11], way[10], self.colour[role])

    def _floor(self) -> None:
        for to_server, x in ((True, 272), (False, 688)):
            lost = sum(self.scene.counts[at] for route, at in self.scene.routes.items()
                       if route.fate == "lost" and route.to_server == to_server)  # fmt: skip
            for mark in range(min(lost, 12)):
                self.sheet.cross(*self._at(x - 60 + mark * 11, self.stage.floor + 12), self.colour["lost"], 0.05)
            if lost:
                self._write(
                    x, self.stage.floor + 36, f"{lost:,} lost on the wire", 200, "lost", bold=True, align="middle"
                )


def curve(plan: Stage, scene: Scene, place: int, lane: int, to_server: bool) -> list[tuple[float, float]]:
    """The way from a place to the middle of a lane; what goes and what comes keep a little apart."""
    px0, py0, px1, py1 = plan.places[place]
    lx0, ly0, lx1, _ = plan.lanes[lane]
    left = scene.places[place].side == "left"
    apart = -4 if to_server else 4
    x0, y0 = (px1 if left else px0), (py0 + py1) / 2 + apart
    x1, y1 = (lx0 if left else lx1), ly0 + 28 + apart
    bend = (x0 + x1) / 2
    points = []
    for step in range(21):
        u = step / 20
        a, b, c, d = (1 - u) ** 3, 3 * u * (1 - u) ** 2, 3 * u * u * (1 - u), u**3
        points.append((a * x0 + (b + c) * bend + d * x1, (a + b) * y0 + (c + d) * y1))
    return points
