"""What a Lamport diagram of a History consists of: values, without a pixel, so that it can be tested and counted."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

from natsdemo import messages
from natsdemo.history import Event, History
from natsdemo.protocol import Frame

from .reading import LOST, Happening, Passage, Reading, Window, read
from .text import clean, plural, seconds, show_payload

__all__ = ["MOST_ARROWS", "MOST_CLIENTS", "Arrow", "Diagram", "Lifeline", "Mark", "Witnessed", "lamport_layout"]

MOST_ARROWS = 300  # above that, arrows are bundled by time
MOST_CLIENTS = 12  # above that, all but the few that matter most share one lifeline
_KEPT_CLIENTS = 6
_MOST_MARKS = 60
_NO_ARROWS = frozenset(["housekeeping", "subscribe", "unsubscribe"])
_BUNDLES = 90  # about so many bundles are drawn


class Witnessed(Protocol):
    """What `verdict=` takes: it says which events it rests on."""

    @property
    def witness(self) -> Sequence[Event]:
        """The events to point at."""


class Lifeline(NamedTuple):
    """A client, a server's node, or the rest of the clients. `side` is where it stands, seen from the servers."""

    name: str
    kind: str  # client, server, folded
    side: str  # left, middle, right
    clients: int = 1


class Arrow(NamedTuple):
    """One frame, or `frames` of them in a bundle, on its way from one lifeline to another.

    `begin` is when it reached the Tap, `end` when it left. `label` says what it is and may be cut to fit; `badge` says
    what befell it and is never cut. `role` is a passage's, `unheard` says that no delivery of it was seen.
    """

    number: int
    begin: float
    end: float
    source: str
    target: str
    to_server: bool
    role: str
    label: str
    badge: str = ""
    frames: int = 1
    fate: str = "forwarded"
    redelivered: bool = False
    unheard: bool = False
    witness: bool = False

    @property
    def lost(self) -> bool:
        """Whether it never reached its target."""
        return self.fate in LOST

    @property
    def held(self) -> bool:
        """Whether the Tap held it, so that it is drawn sloped."""
        return self.end > self.begin


class Mark(NamedTuple):
    """What is written between the arrows: on some `lifelines`, or across all of them if there are none."""

    number: int
    time: float
    kind: str  # fault, server, client, note
    text: str
    lifelines: tuple[str, ...] = ()
    turn: str = ""  # starts, stops, pauses


class Diagram(NamedTuple):
    """Everything that is drawn. `bundle` is the seconds of time in a bundle of arrows, 0 where each is drawn alone."""

    lifelines: tuple[Lifeline, ...]
    arrows: tuple[Arrow, ...]
    marks: tuple[Mark, ...]
    windows: tuple[Window, ...]
    begin: float
    end: float
    bundle: float
    left_out: tuple[str, ...]


def lamport_layout(history: History, *, housekeeping: bool = False, verdict: Witnessed | None = None) -> Diagram:
    """Lay out a space-time diagram; see `lamport` for what it shows."""
    return lay_out(history, read(history), housekeeping=housekeeping, verdict=verdict)


def lay_out(history: History, reading: Reading, *, housekeeping: bool, verdict: Witnessed | None) -> Diagram:
    """Lay out a diagram of a History that has been read."""
    shown = [p for p in reading.passages if _is_arrow(p, housekeeping)]
    witnesses = frozenset(event.number for event in verdict.witness) if verdict is not None else frozenset()
    lifelines, fold = _lifelines(reading, shown)
    arrows: Iterable[Arrow] = ()
    bundle = 0.0
    # Deliveries of one message to the folded clients are one arrow; whether the rest is few enough shows only then.
    arrows = (
        list(_single(history, reading, shown, fold, witnesses, housekeeping)) if len(shown) <= 50 * MOST_ARROWS else ()
    )
    if len(shown) > 50 * MOST_ARROWS or len(arrows) > MOST_ARROWS:
        bundle, arrows = _bundles(reading, shown, fold, witnesses)
    marks, left_out = _marks(reading, fold, housekeeping, min((p.number for p in shown), default=0))
    hidden = sum(1 for p in reading.passages if p.role == "housekeeping") if not housekeeping else 0
    left_out = [plural(hidden, "housekeeping frame"), *left_out] if hidden else left_out
    left_out += [f"{plural(reading.unrecorded, 'record')} that did not fit into memory"] if reading.unrecorded else []
    return Diagram(
        tuple(lifelines), tuple(arrows), tuple(marks), tuple(reading.windows), reading.begin, reading.end, bundle,
        tuple(left_out),
    )  # fmt: skip


def _is_arrow(passage: Passage, housekeeping: bool) -> bool:
    return housekeeping or passage.role not in _NO_ARROWS


# Lifelines


def _lifelines(reading: Reading, shown: list[Passage]) -> tuple[list[Lifeline], dict[str, str]]:
    """Place clients that speak first on the left and those that first hear on the right of the servers."""
    left: dict[str, bool] = {}
    weight: Counter[str] = Counter()
    for p in shown:
        name = reading.line(p)
        if p.role not in _NO_ARROWS:
            left.setdefault(name, p.to_server)
        weight[name] += 100 * (p.fate != "forwarded") + 10 * (p.deliveries > 1)
    arrived = [reading.line(h) for h in reading.happenings if h.kind == "client" and (h.conn or h.client)]
    names = list(dict.fromkeys([*reading.lines.values(), *arrived]))
    for name in names:
        left.setdefault(name, False)
    fold: dict[str, str] = {}
    if len(names) > MOST_CLIENTS:
        place = {name: at for at, name in enumerate(names)}
        by_weight = sorted(names, key=lambda name: (-weight[name], place[name]))
        kept = [name for name in by_weight if left[name]][: _KEPT_CLIENTS // 2]
        kept += [name for name in by_weight if name not in kept][: _KEPT_CLIENTS - len(kept)]
        rest = f"{len(names) - len(kept):,} more clients"
        fold = {name: rest for name in names if name not in kept}
    lines = [Lifeline(name, "client", "left" if left[name] else "right") for name in names if name not in fold]
    folded: list[Lifeline] = []
    if fold:
        side = "left" if 2 * sum(left[name] for name in fold) > len(fold) else "right"
        folded = [Lifeline(next(iter(fold.values())), "folded", side, len(fold))]
    sides = {side: [line for line in lines if line.side == side] for side in ("left", "right")}
    outer = {side: [line for line in folded if line.side == side] for side in ("left", "right")}
    servers = [Lifeline(node, "server", "middle") for node in reading.nodes]
    return [*outer["left"], *sides["left"], *servers, *sides["right"], *outer["right"]], fold


# Arrows


def _single(
    history: History, reading: Reading, shown: list[Passage], fold: dict[str, str], witnesses: frozenset[int],
    housekeeping: bool,
) -> Iterable[Arrow]:  # fmt: skip
    """One arrow for each passage; what the folded clients receive of one message is one arrow together."""
    open_bundles: dict[tuple[object, ...], int] = {}
    arrows: list[Arrow] = []
    for p in shown:
        client = reading.line(p)
        if client in fold:
            kind = (p.to_server, p.role, p.node, p.fate, p.key, p.deliveries, p.held > 0)
            place = open_bundles.get(kind)
            if place is not None:
                so_far = arrows[place]
                arrows[place] = so_far._replace(
                    frames=so_far.frames + 1, end=max(so_far.end, p.time) if p.held else so_far.end,
                    witness=so_far.witness or p.number in witnesses,
                )  # fmt: skip
                continue
            open_bundles[kind] = len(arrows)
        elif p.to_server:
            open_bundles.clear()  # nothing moves across what a client said
        arrows.append(
            _arrow(history, p, fold.get(client, client), witnesses, p.number in reading.unheard, housekeeping)
        )
        if len(arrows) > MOST_ARROWS:
            break
    for arrow in arrows:
        yield (
            arrow._replace(badge=" · ".join(filter(None, (arrow.badge, f"to {arrow.frames:,}"))))
            if arrow.frames > 1
            else arrow
        )


def _arrow(
    history: History, p: Passage, client: str, witnesses: frozenset[int], unheard: bool, housekeeping: bool
) -> Arrow:
    frame = history[p.place].frame
    assert frame is not None
    badge = [
        p.fate
        if p.fate in LOST
        else "×2 copy"
        if p.fate == "duplicated"
        else "overtaken"
        if p.fate == "reordered"
        else ""
    ]
    if p.held and p.fate not in LOST:
        badge.append(f"held {seconds(p.held)}")
    if p.deliveries > 1:
        badge.append(f"delivery {p.deliveries}")
    if unheard:
        badge.append("no delivery")
    source, target = (client, p.node) if p.to_server else (p.node, client)
    begin = p.time - p.held if p.fate not in LOST else p.time
    label = _on_the_wire(frame) if housekeeping else describe(frame, p.role)
    return Arrow(
        p.number, begin, p.time, source, target, p.to_server, p.role, label,
        " · ".join(filter(None, badge)), 1, p.fate, p.deliveries > 1, unheard, p.number in witnesses,
    )  # fmt: skip


def describe(frame: Frame, role: str) -> str:
    """Say in words what a frame is; its control line where it is housekeeping."""
    match role:
        case "message" | "request" | "reply":
            if frame.status is not None:
                return f"reply {frame.status} {clean(frame.description, 30)}".rstrip() if role == "reply" else "status"
            number = messages.read_stamp(frame)
            what = f"{clean(frame.subject, 40)} " if role != "reply" else ""
            told = "" if role == "message" else f"{role} "
            return f"{told}{what}{show_payload(frame.payload)}{f' #{number[1]}' if number else ''}"
        case "puback":
            puback = messages.parse_puback(frame.payload)
            if puback is None or puback.error:
                return f"puback: {clean(puback.error, 30)}" if puback else "puback"
            return f"puback seq {puback.seq}{', known already' if puback.duplicate else ''}"
        case "ack":
            told_seq = messages.parse_delivery(frame.subject)
            kind = (messages.ack_kind(frame.payload) or "ack?").replace("_", " ")
            return f"{kind} seq {told_seq.stream_seq}" if told_seq else kind
        case "error":
            return f"-ERR {clean(frame.payload.decode('utf-8', 'surrogateescape'), 40)}"
        case "opaque":
            return f"opaque, {plural(len(frame.raw), 'byte')}"
    return _on_the_wire(frame)


def _on_the_wire(frame: Frame) -> str:
    """The control line as it passed, and the payload that followed it."""
    line = clean(frame.raw[:120].split(b"\r\n", 1)[0].decode("utf-8", "surrogateescape"), 48)
    return f"{line} {show_payload(frame.payload)}" if frame.op.endswith(("PUB", "MSG")) else line


_DONE = {
    "message": ("published", "delivered"), "request": ("requests", "requests"), "reply": ("replies", "replies"),
    "ack": ("acks", "acks"), "puback": ("pubacks", "pubacks"), "error": ("errors", "errors"),
}  # fmt: skip


_FATES = {"duplicated": "copies", "reordered": "overtaken", "delayed": "delayed"}
_Kind = tuple[str, str, bool, str, str, bool]  # client, node, direction, role, fate, redelivered


def _bundles(
    reading: Reading, shown: list[Passage], fold: dict[str, str], witnesses: frozenset[int]
) -> tuple[float, list[Arrow]]:
    """Count arrows of one kind between two lifelines, by even spans of time."""
    lines = {conn: fold.get(line, line) for conn, line in reading.lines.items()}
    kinds = {(lines[p.conn], p.node, p.to_server, p.role, p.fate, p.deliveries > 1) for p in shown}
    span = nice_step((reading.end - reading.begin) / min(max(_BUNDLES // max(len(kinds), 1), 4), 16))
    # A bundle never reaches across what is marked: what passed while a fault was armed can be told from what did not.
    edges = [happening.time for happening in reading.happenings if happening.kind != "client"][:_MOST_MARKS]
    counts: dict[tuple[float, _Kind], list[int]] = {}
    begin, end = 0.0, -math.inf
    for p in sorted(shown, key=lambda p: p.time) if any(p.held for p in shown) else shown:
        if p.time >= end:
            begin = int(p.time / span) * span
            end = begin + span
            begin = max([begin, *(edge for edge in edges if edge <= p.time)])
            end = min([end, *(edge for edge in edges if edge > p.time)])
        kind = (lines[p.conn], p.node, p.to_server, p.role, p.fate, p.deliveries > 1)
        so_far = counts.setdefault((begin, kind), [0, p.number, 0, 0])
        so_far[0] += 1
        so_far[2] += p.number in witnesses
        so_far[3] += p.number in reading.unheard
    arrows: list[Arrow] = []
    place = {line: at for at, line in enumerate(dict.fromkeys(lines.values()))}
    order = sorted(
        counts.items(), key=lambda it: (it[0][0], not it[0][1][2], it[0][1][3], it[0][1][4] in LOST, place[it[0][1][0]])
    )
    for (begin, kind), (count, number, witness, silent) in order:
        client, node, to_server, role, fate, redelivered = kind
        what = _DONE.get(role, (role, role))[0 if to_server else 1]
        label = f"{count:,} {fate if fate in LOST else what}"
        badge = [_FATES.get(fate, ""), "redelivered" if redelivered else ""]
        badge.append(f"{silent:,} without a delivery" if silent else "")
        source, target = (client, node) if to_server else (node, client)
        arrows.append(
            Arrow(
                number, begin, begin, source, target, to_server, role, label, " · ".join(filter(None, badge)),
                count, fate, redelivered, bool(silent), bool(witness),
            )
        )  # fmt: skip
    return span, _each(arrows)


def _each(arrows: list[Arrow]) -> list[Arrow]:
    """Where neighbours count the same, say that each of them does: the label is then written once."""
    alike = [(a.begin, a.source, a.label, a.badge) if not a.to_server else (place,) for place, a in enumerate(arrows)]
    runs = [list(run) for _, run in groupby(zip(alike, arrows, strict=True), key=lambda pair: pair[0])]
    return [arrow._replace(label=f"{arrow.label} each") if len(run) > 1 else arrow for run in runs for _, arrow in run]


def nice_step(about: float) -> float:
    """Round a step up to 1, 2 or 5 times a power of ten."""
    if about <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= about * 0.999)


# Marks


def _marks(reading: Reading, fold: dict[str, str], housekeeping: bool, first: int) -> tuple[list[Mark], list[str]]:
    """What is marked, and what is left out: that clients came before there was anything to see needs no line."""
    spoken = {"subscribe": "subscribes to", "unsubscribe": "unsubscribes from"}
    marks = []
    came = 0
    for happening in reading.happenings:
        if happening.kind == "client" and happening.turn == "starts" and happening.number < first:
            came += 1
        else:
            marks.append(_mark(reading, happening, fold))
    for p in reading.passages if not housekeeping else ():
        if p.role in spoken:
            group = f", queue {clean(p.unit, 20)}" if p.unit else ""
            line = reading.line(p)
            text = f"{spoken[p.role]} {clean(p.subject, 30)}{group}"
            marks.append(Mark(p.number, p.time, "client", text, (fold.get(line, line),)))
    marks.sort(key=lambda mark: (mark.time, mark.number))
    joined: list[Mark] = []
    numbers = sorted(p.number for p in reading.passages if _is_arrow(p, housekeeping)) if len(marks) < 5000 else []
    for mark in marks:
        last = joined[-1] if joined else None
        if (
            last and mark.kind == "client" and (last.kind, last.text, last.turn) == (mark.kind, mark.text, mark.turn)
            and bisect(numbers, last.number) == bisect(numbers, mark.number)
        ):  # fmt: skip
            joined[-1] = last._replace(lifelines=tuple(dict.fromkeys(last.lifelines + mark.lifelines)))
        else:
            joined.append(mark)
    left_out = [plural(came, "connect")] if came else []
    over = len(joined) - _MOST_MARKS
    left_out += (
        [plural(over, "further event that is no frame", "further events that are no frames")] if over > 0 else []
    )
    return joined[:_MOST_MARKS], left_out


def _mark(reading: Reading, happening: Happening, fold: dict[str, str]) -> Mark:
    number, time, kind, text, _, node, _, turn = happening
    if kind == "server":
        return Mark(number, time, kind, clean(text, 40), (node or reading.nodes[0],), turn)
    if kind == "client":
        line = reading.line(happening)
        return Mark(number, time, kind, clean(text, 40), (fold.get(line, line),), "" if line in fold else turn)
    return Mark(number, time, kind, clean(text, 90), (), turn)
