"""What became of each order, user or request: its messages in a row, whoever published them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator

from natsdemo import messages
from natsdemo.history import History

from .page import Page, fitted, nothing
from .palette import SERIES
from .picture import Picture, render, styled, table
from .reading import LOST, MESSAGES, Reading, Window, read
from .sheet import text_width
from .text import clean, plural
from .words import at_most, tell_faults

__all__ = ["Journey", "Step", "follow", "journeys"]

_MOST_ROWS = 20
_SERIES = (*SERIES[:-1], ("note", "P"))  # a cross here is a loss
_HOLLOW, _LOST = "hollow: heard by nobody", "lost on its way"
_ENDS = {"ended": "ended", "no end": "without an end"}


class Step(NamedTuple):
    """A message: when it was published (seconds), what it says, how many received it, how many copies of it came, and
    whether it or a delivery of it was lost.
    """

    time: float
    what: str
    heard: int = 0
    copies: int = 0
    lost: int = 0

    def __str__(self) -> str:
        copies = f"delivered {1 + self.copies} times" if self.copies else ""
        fate = "lost" if self.lost else copies or ("" if self.heard else "heard by nobody")
        return f"{self.what} ({fate})" if fate else self.what


class Journey(NamedTuple):
    """All the steps that carry one id; `ended` is None if nobody said what an end is."""

    id: str
    steps: list[Step]
    ended: bool | None

    @property
    def repeated(self) -> str:
        """What was published more than once, and how often."""
        count = Counter(step.what for step in self.steps)
        return ", ".join(f"{what} ×{number}" for what, number in count.items() if number > 1)

    @property
    def end(self) -> str:
        """Whether it ended, in words."""
        return "" if self.ended is None else "ended" if self.ended else "no end"


def follow(
    history: History, reading: Reading, by: int | str, what: int | None = None, ends: Sequence[str] = ()
) -> tuple[list[Journey], int]:
    """Group what was published by its id, in the order of appearance; and count the messages that have none.

    Of messages that look the same, a receiver's first delivery is that of the first that was published after it came.
    """
    if any(isinstance(token, int) and token < 1 for token in (by, what)):
        raise ValueError(f"journeys(by={by!r}, what={what!r}): the tokens of a subject are counted from 1.")
    steps: dict[str, list[Step]] = {}
    ended: set[str] = set()
    alike: dict[Hashable, list[tuple[str, int, int, set[int | str]]]] = defaultdict(list)  # id, step, place, receivers
    came: dict[int, list[tuple[str, int]]] = defaultdict(list)  # to what a connection subscribed, and where
    nameless = 0
    for at, p in enumerate(reading.passages):
        if p.role == "subscribe":
            came[p.conn].append((p.subject, at))
        elif p.role in MESSAGES and p.to_server:
            words, frame = p.subject.split("."), history[p.place].frame
            headers = dict((frame and frame.headers) or ())
            name = "".join(words[by - 1 : by]) if isinstance(by, int) else headers.get(by, "")
            nameless += not name
            if name:
                said = words[what - 1] if what and what <= len(words) else p.subject
                own = steps.setdefault(name, [])
                own.append(Step(p.time, said, lost=p.fate in LOST))
                if p.fate not in LOST:
                    alike[p.key].append((name, len(own) - 1, at, set()))
                    ended.update([name] if any(messages.matches(end, p.subject) for end in ends) else [])
        elif p.role in MESSAGES and p.key in alike:
            since = min((place for pattern, place in came[p.conn] if messages.matches(pattern, p.subject)), default=-1)
            open_ = (each for each in alike[p.key] if each[2] > since and (p.unit or p.conn) not in each[3])
            name, number, _, receivers = next(open_, alike[p.key][-1])
            step = steps[name][number]
            if p.fate == "duplicated":
                steps[name][number] = step._replace(copies=step.copies + 1)
            else:
                lost = p.fate in LOST
                steps[name][number] = step._replace(heard=step.heard + (not lost), lost=step.lost + lost)
                receivers.add(p.unit or p.conn)
    return [Journey(name, own, name in ended if ends else None) for name, own in steps.items()], nameless


def journeys(
    history: History, *, by: int | str, what: int | None = None, ends: Sequence[str] = (), dark: bool = False
) -> Picture:
    """Draw a row for each id that messages carry, and in it a mark for each message that was published.

    Columns are in the order of events, not to scale; real times stand below. A hollow mark is a message that nobody was
    seen to receive, a cross one that was lost on its way, ×2 one that was delivered twice. When a fault was armed, or a
    client or a server gone, is shaded. At most 20 journeys are drawn, those without an end first; the rest is counted.

    :param by: where the id is: a header's name, or which token of the subject, from 1.
    :param what: which token of the subject says what happened; else the whole subject does.
    :param ends: subjects, with wildcards or without, that end a journey. Without them nothing is said about ends.
    :param dark: on a dark card.
    """
    reading = read(history)
    found, nameless = follow(history, reading, by, what, ends)
    where = f"token {by} of the subject" if isinstance(by, int) else f"the header {clean(by)}"
    without = [f"{plural(nameless, 'message')} without an id"] if nameless else []
    with styled(dark):
        if not found:
            return nothing(dark, f"Journeys by {where}.", " but ".join(["Nothing passed", *without]) + ".")
        first = {each.id for each in sorted(found, key=lambda each: each.ended is not False)[:_MOST_ROWS]}
        shown = [each for each in found if each.id in first]
        page = Page(dark, 0.25 + 0.42 * len(shown), left=0.5 + max(text_width(fitted(each.id, 1.6)) for each in shown))
        handles = _draw(page, shown, reading)
        count = Counter(each.end for each in found)
        told = [f"{count[end]:,} {word}" for end, word in _ENDS.items() if count[end]]
        caption = ", ".join([plural(len(found), "journey"), *told, *without])
        notes = ["From left to right in the order of events, not to scale."]
        notes += [f"Left out: {plural(len(found) - len(shown), 'more journey')}."] if len(found) > len(shown) else []
        figure = page.finish(caption, handles, notes)
        rows = [
            (clean(each.id), f"{len(each.steps):,}", f"{each.steps[0].time:.4f}", f"{each.steps[-1].time:.4f}",
             clean(", ".join(map(str, each.steps)), 160), each.end) for each in found
        ]  # fmt: skip
        alt = [f"Journeys by {where}: {caption}."]
        alt += at_most([f"{row[0]}: {'; '.join(filter(None, row[4:]))}." for row in rows], 8, "journey")
        alt += at_most([f"{clean(gone.text)} from {gone.begin:.4f} s." for gone in _gone(reading)], 4, "absence")
        heads = ("id", "messages", "from (s)", "to (s)", "what was published", "end")
        return render(figure, " ".join([*alt, *tell_faults(reading)]), f"{caption}.", table(heads, rows))


def _draw(page: Page, shown: list[Journey], reading: Reading) -> list[Line2D]:
    """Draw the rows, with the ids on the left and the times below; return what the legend has to explain."""
    axes, colour = page.panels[0], page.colour
    times = sorted((step.time, row, at) for row, each in enumerate(shown) for at, step in enumerate(each.steps))
    column = {(row, at): x for x, (_, row, at) in enumerate(times)}
    again = [fitted(each.repeated, 2.2) for each in shown]
    said = max(text_width(each.end) for each in shown) + 0.2  # inches
    room = said + max(map(text_width, again)) + 0.2
    inch = (len(times) + 0.4) / (page.panel_width - room)  # columns to an inch
    after = len(times) - 0.2
    whats = list(dict.fromkeys(step.what for each in shown for step in each.steps))
    own = len(_SERIES) if len(whats) == len(_SERIES) else len(_SERIES) - 1  # the rest shares the last
    looks = {
        what: (what, *_SERIES[n]) if n < own else (f"{len(whats) - own:,} more", *_SERIES[-1])
        for n, what in enumerate(whats)
    }
    size = max(6.0, min(9.0, 500 / len(times)))
    legend: dict[str, Line2D] = {}

    def mark(x: float, row: int, label: str, role: str, marker: str, size: float, hollow: bool = False) -> Line2D:
        style: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour[role], "markeredgewidth": 1.8}
        axes.plot([x], [-row], **style, markersize=size, markerfacecolor=colour["card" if hollow else role], zorder=3)
        return legend.setdefault(label, Line2D([], [], **style, label=fitted(label, 2.6)))

    for row, each in enumerate(shown):
        end = column[row, len(each.steps) - 1]
        axes.plot([column[row, 0], end], [-row, -row], color=colour["faint"], linewidth=2.4, zorder=1)
        if each.ended is False:
            axes.plot([end, after], [-row, -row], color=colour["lost"], linewidth=1.6, linestyle=":", zorder=1)
        axes.text(after + 0.1 * inch, -row, each.end, color=colour["note" if each.ended else "lost"], va="center")
        axes.text(after + (0.1 + said) * inch, -row, again[row], color=colour["redelivered"], va="center")
        for at, step in enumerate(each.steps):
            x, hollow = column[row, at], not step.heard and not step.lost
            mark(x, row, *looks[step.what], size, hollow)
            if hollow:
                mark(x, row, _HOLLOW, "note", "o", 0).set_markerfacecolor(colour["card"])
            if step.lost:
                mark(x, row, _LOST, "lost", "x", size * 1.7)
            if step.copies:
                axes.annotate(f"×{1 + step.copies}", (x, -row), (0, 7), textcoords="offset points", ha="center")
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(-0.6, after + room * inch), ylim=(-len(shown) + 0.4, 0.6), xlabel="seconds")
    ticks = range(0, len(times), -(-len(times) // 8))
    labels = [f"{times[x][0]:.4f}" for x in ticks]
    axes.xaxis.set(major_locator=FixedLocator(ticks), major_formatter=FixedFormatter(labels))
    places, names = [-row for row in range(len(shown))], [fitted(each.id, 1.6) for each in shown]
    axes.yaxis.set(major_locator=FixedLocator(places), major_formatter=FixedFormatter(names))

    def place(time: float | None) -> float:
        return (len(times) if time is None else bisect_left(times, (time,))) - 0.5

    windows = [w._replace(begin=place(w.begin), end=place(w.end)) for w in (*reading.windows, *_gone(reading))]
    page.shade(reading._replace(windows=[w for w in windows if w.begin < len(times) - 1]), len(times) - 0.5)
    return [legend[label] for label in sorted(legend, key=(_HOLLOW, _LOST).__contains__)]


def _gone(reading: Reading) -> list[Window]:
    """When a client or a server was away that had been there."""
    gone: dict[str, Window] = {}
    over = []
    for h in reading.happenings:
        who = h.client or h.node
        if h.kind in ("client", "server") and h.turn == "starts" and who in gone:
            over.append(gone.pop(who)._replace(end=h.time))
        elif h.kind in ("client", "server") and h.turn == "stops":
            gone.setdefault(who, Window(f"{who or 'a client'} is gone", h.time, None, 0))
    return [*over, *gone.values()]
