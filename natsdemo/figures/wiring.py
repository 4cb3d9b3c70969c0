"""Who is wired to whom: programs that call each other by address, and programs that share no more than a subject."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from natsdemo.history import History

from .page import PAGE, fitted, nothing
from .palette import colours
from .picture import Picture, render, styled, table
from .reading import LOST, MESSAGES, read
from .sheet import Run, Sheet, wrap
from .text import clean, drawable, plural
from .words import at_most

__all__ = ["End", "Hub", "hubs", "wiring"]

_MOST_HUBS, _MOST_ENDS = 16, 8
_HIGH, _BOX = 0.4, 0.28  # inches: a row, and a box in it
_LEFT, _MIDDLE, _RIGHT = (0.3, 2.3), (3.4, 6.0), (7.1, PAGE - 0.3)
_NOTE = "Numbers count what passed; “of” names a queue group. Inboxes, and what begins with $, are left out."


class End(NamedTuple):
    """A program, its queue group, how many messages (or calls) passed there, and how many were lost (or failed).

    Without a name it is nobody at all: where that went which no listener was seen to hear.
    """

    name: str
    group: str = ""
    passed: int = 0
    lost: int = 0


class Hub(NamedTuple):
    """A subject, those who speak on it and those who hear it; without a subject, a caller and those it calls."""

    subject: str
    speakers: tuple[End, ...]
    listeners: tuple[End, ...]


def hubs(history: History, *, since: int = 0, calls: Sequence[tuple[str, str, bool]] = ()) -> list[Hub]:
    """Find who spoke to whom: first the calls, by caller, then the subjects, each in the order of first use."""
    called: dict[str, Counter[tuple[End, bool]]] = defaultdict(Counter)
    for caller, callee, answered in calls:
        called[caller][End(callee), not answered] += 1
    found = [Hub("", (End(caller),), _ends(counts)) for caller, counts in called.items()]
    reading = read(history)
    told: dict[tuple[str, bool], Counter[tuple[End, bool]]] = defaultdict(Counter)
    unheard: dict[str, int] = {}
    for p in reading.passages:
        if p.role in MESSAGES and p.number >= since:
            end = End(reading.line(p), p.unit.partition(" on ")[0])
            told[p.subject, p.to_server][end, p.fate in LOST] += 1
            unheard[p.subject] = unheard.get(p.subject, 0) + (p.number in reading.unheard)
    for subject, count in unheard.items():
        nobody = [End("", passed=count)] if count else []
        found.append(Hub(subject, _ends(told[subject, True]), (*_ends(told[subject, False]), *nobody)))
    return found


def wiring(
    history: History, *, since: int = 0, calls: Sequence[tuple[str, str, bool]] = (), marked: Collection[str] = (),
    marked_as: str = "marked", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw who says something on which subject, and who hears it: what really passed, added up over time.

    A subject on which something was published that nobody heard has a loose end. Above may stand programs that call
    each other directly, with neither a subject nor a server between them.

    :param history: the whole one, since a queue group is known by its SUB; or as much of it as there is.
    :param since: count only events from this number on, the `len(lab.history)` of some moment for example.
    :param calls: direct calls, each as (caller, callee, whether it was answered), as the caller has noted them.
    :param marked: names of programs to look at; `marked_as` says in the legend what they are.
    :param dark: on a dark card.
    :returns: at most 16 callers and subjects, and 8 programs at each end of them; more are counted.
    """
    found = hubs(history, since=since, calls=calls)
    if not found:
        return nothing(dark, "Wiring.")
    shown, caption, notes = found[:_MOST_HUBS], _sum_up(found), [_NOTE]
    if more := len(found) - len(shown):
        notes.append(f"Left out: {plural(more, 'more caller or subject', 'more callers and subjects')}.")
    ends = [end for hub in shown for end in (*hub.speakers, *hub.listeners)]
    looked_at = dict.fromkeys(end.name for end in ends if end.name in marked)
    with styled(dark):
        drawing = _Drawing(dark, caption, looked_at)
        for hub in shown:
            drawing.hub(hub)
        drawing.notes(marked_as if looked_at else "", notes)
        figure = drawing.sheet.figure(PAGE, drawing.y, drawing.colour["card"])
    said = at_most([_tell(hub) for hub in shown], 10, "subject")
    if looked_at:
        said.append(f"Marked as {clean(marked_as)}: {', '.join(map(clean, looked_at))}.")
    rows = [
        (clean(hub.subject) or "(a call)", way, clean(end.name) or "nobody", f"{end.passed:,}", f"{end.lost:,}")
        for hub in shown
        for way, ends in (("from", hub.speakers if hub.subject else ()), ("to", hub.listeners))
        for end in ends
    ]
    heads = ("subject", "way", "program", "passed", "lost or failed")
    return render(figure, " ".join([f"Wiring: {caption}.", *said, *notes]), f"{caption}.", table(heads, rows))


def _ends(counts: Counter[tuple[End, bool]]) -> tuple[End, ...]:
    """Put together what passed and what was lost of each program; fold what is too many into one."""
    ends = [
        end._replace(passed=counts[end, False], lost=counts[end, True])
        for end in dict.fromkeys(end for end, _ in counts)
    ]
    if len(ends) <= _MOST_ENDS:
        return tuple(ends)
    own, rest = ends[: _MOST_ENDS - 1], ends[_MOST_ENDS - 1 :]
    return *own, End(f"{len(rest):,} more programs", "", sum(e.passed for e in rest), sum(e.lost for e in rest))


def _sum_up(found: Sequence[Hub]) -> str:
    calls = [end for hub in found if not hub.subject for end in hub.listeners]
    said = [end for hub in found if hub.subject for end in hub.speakers]
    heard = [end for hub in found if hub.subject for end in hub.listeners]
    nobody = sum(end.passed for end in heard if not end.name)
    parts = []
    if calls:
        parts += [f"{sum(end.passed for end in calls):,} calls answered, {sum(end.lost for end in calls):,} failed"]
    if said or heard:
        parts += [f"{sum(end.passed + end.lost for end in said):,} published"]
        parts += [f"{sum(end.passed for end in heard if end.name):,} delivered, {nobody:,} heard by nobody"]
    return ", ".join(parts)


def _tell(hub: Hub) -> str:
    lost = "lost" if hub.subject else "failed"

    def names(ends: Sequence[End]) -> str:
        told = (f"{clean(e.name) or 'nobody'} {e.passed:,}{f' ({e.lost:,} {lost})' if e.lost else ''}" for e in ends)
        return ", ".join(told) or "nobody seen"

    if not hub.subject:
        return f"{clean(hub.speakers[0].name)} calls {names(hub.listeners)}."
    return f"On {clean(hub.subject)}: from {names(hub.speakers)}; to {names(hub.listeners)}."


class _Drawing:
    """Goes down the page, hub by hub: those who speak on the left, the subject, those who hear on the right."""

    def __init__(self, dark: bool, title: str, marked: Collection[str]) -> None:
        self.sheet, self.colour, self.marked, self.y, self.heads = Sheet(), colours(dark), marked, 0.75, ""
        self._write(0.3, 0.4, title, "ink", PAGE - 0.6, 14)

    def hub(self, hub: Hub) -> None:
        heads = "who says it,subject,who hears it" if hub.subject else "who calls,,who is called"
        if heads != self.heads:
            for (x, _), head in zip((_LEFT, _MIDDLE, _RIGHT), heads.split(","), strict=True):
                self._write(x, self.y + 0.13, head, "note", 2)
            self.heads, self.y = heads, self.y + 0.3
        height = _HIGH * max(len(hub.speakers), len(hub.listeners))
        middle = self.y + height / 2
        for end, y in _spread(hub.speakers, middle):
            self._program(_LEFT, y, end)
            if hub.subject:
                self._arrow((_LEFT[1], y), (_MIDDLE[0], middle), end, "published", 0.4)
        for end, y in _spread(hub.listeners, middle):
            self._program(_RIGHT, y, end)
            start, role = (_MIDDLE[1], "delivered") if hub.subject else (_LEFT[1], "published")
            self._arrow((start, middle), (_RIGHT[0], y), end, role, 0.6, "" if hub.subject else "call")
        if hub.subject:
            x0, x1 = _MIDDLE
            card, edge, name = self.colour["card"], self.colour["server"], fitted(hub.subject, x1 - x0 - 0.2, bold=True)
            self.sheet.box(x0, middle - _BOX / 2, x1, middle + _BOX / 2, card, edge, 5, 0.14)
            self.sheet.write((x0 + x1) / 2, middle + 0.055, [(name, self.colour["ink"], True)], align="middle")
        self.y += height + 0.18

    def notes(self, marked_as: str, notes: Sequence[str]) -> None:
        self.y += 0.1
        if marked_as:
            self._box(0.3, 0.7, self.y, marked=True)
            self._write(0.82, self.y + 0.055, marked_as, "ink", PAGE - 1.2)
            self.y += 0.36
        for line in (line for note in notes for line in wrap(drawable(note), PAGE - 0.6)):
            self._write(0.3, self.y + 0.055, line, "note", PAGE)
            self.y += 0.23

    def _write(self, x: float, y: float, text: str, role: str, room: float, size: float = 11) -> float:
        text = fitted(text, room, size, bold := size > 11)
        return self.sheet.write(x, y, [(text, self.colour[role], bold)], size=size)

    def _box(self, x0: float, x1: float, y: float, marked: bool) -> None:
        fill, edge = (self.colour[role] for role in (("witness", "ink") if marked else ("client", "faint")))
        self.sheet.box(x0, y - _BOX / 2, x1, y + _BOX / 2, fill, edge, 5, 0.03)

    def _program(self, where: tuple[float, float], y: float, end: End) -> None:
        x, room = where[0] + 0.12, where[1] - where[0] - 0.2
        if not end.name:
            self._write(x, y + 0.055, "nobody", "lost", room)
            return
        self._box(*where, y, end.name in self.marked)
        x += 0.08 + (wide := self._write(x, y + 0.055, end.name, "ink", room))
        if end.group not in ("", end.name) and room - wide > 0.6:
            self._write(x, y + 0.055, f"of {end.group}", "note", room - wide - 0.08)

    def _arrow(
        self, tail: tuple[float, float], tip: tuple[float, float], end: End, role: str, at: float, unit: str = ""
    ) -> None:  # fmt: skip
        """Draw an arrow with its number on it; where nothing arrived it ends in a cross."""
        dead = not (end.name and end.passed)
        colour = self.colour["lost" if dead else role]
        self.sheet.line([tail, tip], colour, 1.8, "dashed" if dead else "solid")
        self.sheet.cross(tip[0] - 0.06, tip[1], colour) if dead else self.sheet.head(tip, tail, colour)
        number = plural(end.passed, unit) if unit else f"{end.passed:,}"
        runs: list[Run] = [(number, colour, True)] if end.passed else []
        if end.lost:
            text = f"{', ' if runs else ''}{end.lost:,} {'failed' if unit else 'lost'}"
            runs.append((text, self.colour["lost"], True))
        x, y = (a + (b - a) * at for a, b in zip(tail, tip, strict=True))
        self.sheet.write(x, y + 0.055, runs, align="middle", behind=self.colour["card"])


def _spread(ends: Sequence[End], middle: float) -> Iterator[tuple[End, float]]:
    return ((end, middle + _HIGH * (at - (len(ends) - 1) / 2)) for at, end in enumerate(ends))
