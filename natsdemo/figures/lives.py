"""The life of each message as its consumer sees it: out with whom, what was answered, and when it came again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from natsdemo import messages
from natsdemo.history import History

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .reading import LOST, read
from .sheet import text_width
from .text import clean, plural
from .words import at_most, tell_faults

__all__ = ["Answer", "Life", "Turn", "lives", "read_lives"]

_MOST_ROWS, _MOST_LANES = 16, 3
_ROW, _HIGH = 0.6, 0.72  # inches for a row; how much of that a life takes
# For each answer: its role in the palette, and its mark. The first four end a delivery.
_MARKS = {
    "ack": ("ack", "o"), "nak": ("redelivered", "<"), "term": ("lost", "s"), "next": ("ack", "D"),
    "in progress": ("ack", "|"), "lost on the way": ("lost", "x"),
}  # fmt: skip
_FINAL = tuple(_MARKS)[:4]


class Answer(NamedTuple):
    """What a client answered to a delivery (a key of `_MARKS`), and when, in seconds since the record began."""

    time: float
    kind: str


@dataclass
class Turn:
    """One delivery: the `number`-th of this message, from `begin` to `end` out with a client, and what that answered.

    It ends with its own final answer, else with its client's connection, else with the next delivery of the message,
    else with the record.
    """

    number: int
    client: str
    conn: int
    begin: float
    end: float | None = None
    answers: list[Answer] = field(default_factory=list)


@dataclass
class Life:
    """All deliveries of the message with this sequence number in the stream, by one consumer, in order."""

    stream: str
    consumer: str
    seq: int
    subject: str
    turns: list[Turn] = field(default_factory=list)

    @property
    def waits(self) -> list[tuple[float, float]]:
        """From when to when it was with nobody, and was to come again."""
        ends = [max(turn.end or inf for turn in self.turns[: at + 1]) for at in range(len(self.turns) - 1)]
        return [(end, turn.begin) for end, turn in zip(ends, self.turns[1:], strict=True) if end < turn.begin]

    @property
    def ending(self) -> str:
        """How it ended, as far as the record goes: acked, terminated or open."""
        said = {answer.kind for turn in self.turns for answer in turn.answers}
        return "terminated" if "term" in said else "acked" if said & {"ack", "next"} else "open"


def read_lives(history: History, subject: str = ">") -> list[Life]:
    """Find the deliveries of JetStream consumers, and what was answered to each, in order of sequence numbers."""
    found: dict[tuple[str, str, int], Life] = {}
    turns: dict[str, Turn] = {}  # by their ack subjects, which are their own
    for event in history:
        frame = event.frame
        if frame is None:
            if event.kind == "client" and event.text.startswith("disconnected"):
                for turn in turns.values():
                    if turn.conn == event.conn and turn.end is None:
                        turn.end = event.time
        elif frame.op in ("PUB", "HPUB") and event.subject in turns:
            turn, kind = turns[event.subject], (messages.ack_kind(frame.payload) or "").replace("_", " ")
            lost = event.fate in LOST
            if kind:
                turn.answers.append(Answer(event.time, "lost on the way" if lost else kind))
            if kind in _FINAL and not lost and turn.end is None:
                turn.end = event.time
        elif frame.op in ("MSG", "HMSG") and event.fate not in LOST:
            out = messages.parse_delivery(frame.reply)
            if out and frame.reply not in turns and messages.matches(subject, event.subject):
                key = out.stream, out.consumer, out.stream_seq
                life = found.setdefault(key, Life(*key, event.subject))
                turns[frame.reply] = Turn(out.num_delivered, event.client, event.conn, event.time)
                life.turns.append(turns[frame.reply])
    for life in found.values():
        for turn, following in pairwise(life.turns):
            if turn.end is None and not any(answer.time > following.begin for answer in turn.answers):
                turn.end = following.begin
    return [found[key] for key in sorted(found)]


def lives(history: History, *, subject: str = ">", names: Sequence[str] = (), dark: bool = False) -> Picture:
    """Draw a strip for each message of a consumer: a bar for each time that it was out, and a mark for each answer.

    A bar begins with a delivery and ends with that delivery's own ack, nak or term, when its client is gone, or, if it
    is never answered, with the next delivery; between, a dashed line. Bars of one message that lie above each other are
    the same work at the same time. At most 16 messages and three bars above each other are drawn; the rest is counted.

    :param subject: draw only messages whose subject matches this.
    :param names: what to call the messages, in order of their sequence numbers, instead of by subject and number.
    :param dark: on a dark card.
    """
    found = read_lives(history, subject)
    named = [*names[: len(found)], *(f"{life.subject} #{life.seq}" for life in found[len(names) :])]
    with styled(dark):
        if not found:
            return nothing(dark, "Lives of messages.", "No consumer delivered anything.")
        shown = found[:_MOST_ROWS]
        begin = min(turn.begin for life in found for turn in life.turns)
        end = _last(history, found, begin)
        titles = [fitted(name, 2.4) for name in named[:_MOST_ROWS]]
        page = Page(dark, 0.25 + _ROW * len(shown), left=max(map(text_width, titles)) + 0.5)
        axes, seen = page.panels[0], set[str]()
        inch = page.panel_width / (1.05 * (end - begin))
        left_out = sum(_draw(page, row, life, begin, end, inch, seen) for row, life in enumerate(shown))
        axes.set_ylim(len(shown) - 0.45, -0.55)
        axes.set_xlim(-0.02 * (end - begin), 1.03 * (end - begin))
        axes.set_yticks(range(len(shown)), titles)
        axes.tick_params(axis="y", length=0, pad=8)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.grid(False, axis="y")
        axes.grid(True, axis="x")
        axes.set_xlabel("seconds after the first delivery")
        again = sum(turn.number > 1 for life in found for turn in life.turns)
        total = sum(len(life.turns) for life in found)
        caption = f"{plural(len(found), 'message')}, {plural(total, 'delivery', 'deliveries')}, {again:,} of them again"
        beyond = [(len(found) - len(shown), "more message"), (left_out, "more bar")]
        more = [f"Not drawn: {' and '.join(plural(count, what) for count, what in beyond if count)}."]
        told = [*(more if any(count for count, _ in beyond) else []), *tell_faults(read(history))]
        figure = page.finish(caption, _handles(page, seen), told)
        alt = [f"Lives of messages: {caption}."]
        alt += at_most(
            [_tell(name, life, begin) for name, life in zip(named, found, strict=True)], _MOST_ROWS, "message"
        )
        rows = [
            (clean(name), turn.number, clean(turn.client), f"{turn.begin - begin:.4f}", _answers(turn, begin))
            for name, life in zip(named, found, strict=True)
            for turn in life.turns
        ]
        cells = table(("message", "delivery", "to", "seconds", "answered"), rows)
        return render(figure, " ".join([*alt, *told]), f"{caption}.", cells)


def _last(history: History, found: Sequence[Life], begin: float) -> float:
    """When the last bar or mark ends; a bar without an end goes as far as the record."""
    turns = [turn for life in found for turn in life.turns]
    times = [answer.time for turn in turns for answer in turn.answers]
    times += [history[-1].time if turn.end is None else turn.end for turn in turns]
    return max(begin + 1e-3, *times)


def _draw(page: Page, row: int, life: Life, begin: float, end: float, inch: float, seen: set[str]) -> int:
    """Draw a life; bars that overlap get lanes of their own. Return how many bars found no lane."""
    axes, colour = page.panels[0], page.colour
    placed: list[tuple[Turn, float, int]] = []
    free: list[float] = []
    left_out = 0
    for turn in life.turns:
        until = end if turn.end is None else turn.end
        lane = next((at for at, time in enumerate(free) if time <= turn.begin), len(free))
        if lane == _MOST_LANES:
            left_out += 1
            continue
        free[lane : lane + 1] = [until]
        placed.append((turn, until, lane))
    high = _HIGH / max(len(free), 1)
    for gone, back in life.waits:
        seen.add("with nobody")
        axes.plot([gone - begin, back - begin], [row, row], zorder=1, **_nobody(page))
    for turn, until, lane in placed:
        y, x, wide = row - _HIGH / 2 + (lane + 0.5) * high, turn.begin - begin, max(until - turn.begin, 0.04 / inch)
        kind = "out" if turn.number == 1 else "out again"
        axes.barh(y, wide, left=x, height=0.92 * high, zorder=2, **_paint(page, kind))
        seen.add(kind)
        for label in (f"{turn.client}, delivery {turn.number}", turn.client)[turn.number == 1 :]:
            text = fitted(label, 2.6)
            if len(free) < _MOST_LANES and text_width(text) + 0.3 < wide * inch:
                behind = {"facecolor": colour["card"], "edgecolor": "none", "pad": 0.8} if turn.number > 1 else None
                axes.text(x + 0.1 / inch, y, text, va="center", color=colour["ink"], bbox=behind, zorder=4)
                break
        for answer in turn.answers:
            seen.add(answer.kind)
            axes.plot(answer.time - begin, y, zorder=5, clip_on=False, **_mark(page, answer.kind))
    return left_out


def _paint(page: Page, kind: str) -> dict[str, Any]:
    role, hatch = ("redelivered", "//") if kind == "out again" else ("delivered", "")
    return {"facecolor": f"{page.colour[role]}30", "edgecolor": page.colour[role], "linewidth": 1.2, "hatch": hatch}


def _mark(page: Page, kind: str) -> dict[str, Any]:
    role, marker = _MARKS[kind]
    edge = role if marker in "|x" else "card"
    return {
        "linestyle": "none", "marker": marker, "markersize": 10, "color": page.colour[role],
        "markeredgecolor": page.colour[edge], "markeredgewidth": 2.4 if marker in "|x" else 1.0,
    }  # fmt: skip


def _nobody(page: Page) -> dict[str, Any]:
    return {"color": page.colour["note"], "linewidth": 1.6, "linestyle": (0, (3, 3))}


def _handles(page: Page, seen: set[str]) -> list[Any]:
    bars: list[Any] = [Patch(label=kind, **_paint(page, kind)) for kind in ("out", "out again") if kind in seen]
    bars += [Line2D([], [], label="with nobody", **_nobody(page))] if "with nobody" in seen else []
    return [*bars, *(Line2D([], [], label=kind, **_mark(page, kind)) for kind in _MARKS if kind in seen)]


def _answers(turn: Turn, begin: float) -> str:
    return ", ".join(f"{answer.kind} at {answer.time - begin:.3f}" for answer in turn.answers) or "nothing"


def _tell(name: str, life: Life, begin: float) -> str:
    out = [
        f"to {clean(turn.client)} at {turn.begin - begin:.2f} s, "
        f"answered {' and '.join(dict.fromkeys(answer.kind for answer in turn.answers)) or 'nothing'}"
        for turn in life.turns
    ]
    return f"{clean(name)}: {'; '.join(at_most(out, 4, 'delivery'))}; {life.ending}."
