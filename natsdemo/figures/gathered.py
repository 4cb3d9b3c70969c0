"""Ask many, gather until …: when the answers came, when the asker stopped listening, and what came too late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from natsdemo import messages
from natsdemo.history import History

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .reading import LOST, read
from .sheet import text_width
from .text import clean, plural, seconds
from .words import at_most, tell_faults

__all__ = ["Answer", "Question", "gathered", "questions"]

_MOST_ROWS = 12
_NAME = 2.6  # inches that a question's name may be long

_Written = tuple[float, str, bytes]  # when an answer was published, by whom, and its payload

# For each fate of an answer: its role in the palette, its mark, whether that is filled.
_MARKS = {
    "answer": ("delivered", "o", True), "too late": ("redelivered", "v", False), "lost on the way": ("lost", "x", True),
    "no responders": ("server", "s", False),
}  # fmt: skip


class Answer(NamedTuple):
    """One answer: so many seconds after the question, from whom, and what became of it (a key of `_MARKS`)."""

    after: float
    responder: str
    fate: str


@dataclass
class Question:
    """One question, a publish with a reply subject, and all that came of it.

    `asked` are the clients that got it. `stopped` is after how many seconds the asker stopped listening, None if it was
    not seen to; until then it `listened`, in seconds, or to the end of the record.
    """

    asker: str
    subject: str
    began: float
    conn: int = 0
    asked: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    stopped: float | None = None
    listened: float = 0.0

    def count(self, fate: str) -> int:
        """How many of its answers met this fate."""
        return sum(answer.fate == fate for answer in self.answers)

    @property
    def silent(self) -> int:
        """How many were asked and never answered."""
        return len(self.asked - {answer.responder for answer in self.answers})


def questions(history: History) -> list[Question]:
    """Find the questions and their answers, in order of asking; what is still on its way is no answer yet."""
    asked: dict[str, Question] = {}  # by the reply subject, which is the question's own
    written: dict[str, list[_Written]] = defaultdict(list)  # answers not yet seen on their last metre
    sids: dict[tuple[int, str], str] = {}
    limits: dict[tuple[int, str], int] = {}
    end = 0.0
    for event in history:
        frame, subject, end = event.frame, event.subject, max(end, event.time)
        if frame is None:
            if event.kind == "client" and event.text.startswith("disconnected"):
                for question in asked.values():
                    _stop(question if question.conn == event.conn else None, event.time)
            continue
        key = event.conn, frame.sid
        if frame.op == "SUB":
            sids[key] = subject
        elif frame.op == "UNSUB":
            limits[key] = frame.max_msgs
            _stop(asked.get(sids.get(key, "")), event.time, frame.max_msgs)
        elif frame.op in ("PUB", "HPUB") and subject in asked:
            written[subject].append((event.time, event.client, frame.payload))
            if event.fate in LOST:
                _settle(asked[subject], written[subject], len(written[subject]) - 1, event.time, "lost on the way")
        elif frame.op in ("PUB", "HPUB") and frame.reply and not subject.startswith("$"):
            asked.setdefault(frame.reply, Question(event.client, subject, event.time, event.conn))
        elif frame.op in ("MSG", "HMSG") and frame.reply in asked and event.fate not in LOST:
            asked[frame.reply].asked.add(event.client)
        elif frame.op in ("MSG", "HMSG") and subject in asked:
            place = next((at for at, each in enumerate(written[subject]) if each[2] == frame.payload), None)
            fate = "no responders" if frame.status == 503 else "lost on the way" if event.fate in LOST else "answer"
            _settle(asked[subject], written[subject], place, event.time, fate)
            if key in limits:
                _stop(asked[subject], event.time, limits[key])
    for subject, question in asked.items():
        question.listened = end - question.began if question.stopped is None else question.stopped
        while written[subject] and question.stopped is not None:
            _settle(question, written[subject], 0, written[subject][0][0], "too late")
        question.answers.sort()
    return list(asked.values())


def _stop(question: Question | None, time: float, after: int = 0) -> None:
    """The asker unsubscribed, at once or after so many answers, which the server counts, or it is gone."""
    if question and question.stopped is None and question.count("answer") >= after:
        question.stopped = time - question.began


def _settle(question: Question, waiting: list[_Written], place: int | None, time: float, fate: str) -> None:
    responder = waiting.pop(place)[1] if place is not None else ""
    question.answers.append(Answer(time - question.began, responder, fate))


def gathered(history: History, *, subject: str | None = None, names: Sequence[str] = (), dark: bool = False) -> Picture:
    """Draw one question to many: a bar for as long as the asker listened, a mark for each answer, also for the late.

    A question is a publish with a reply subject; its answers are what is published to that. Each question has its own
    line, and time runs from its asking. At most twelve questions are drawn; the others are counted.

    :param subject: draw only questions whose subject matches this.
    :param names: what to call the questions, in order of asking, instead of by their subjects.
    :param dark: on a dark card.
    """
    found = [q for q in questions(history) if subject is None or messages.matches(subject, q.subject)]
    named = [*names[: len(found)], *(question.subject for question in found[len(names) :])]
    with styled(dark):
        if not found:
            return nothing(dark, "Answers over time.", "Nobody asked.")
        shown = list(zip(named, found, strict=True))[:_MOST_ROWS]
        summaries = [f"{plural(q.count('answer'), 'answer')} in {seconds(q.listened)}" for _, q in shown]
        titles = [fitted(name, _NAME, bold=True) for name, _ in shown]
        widths = [*(text_width(title, bold=True) for title in titles), *map(text_width, summaries)]
        page = Page(dark, 0.35 + 0.72 * len(shown), left=max(widths) + 0.45)
        axes, colour = page.panels[0], page.colour
        last = max([0.001, *(max([q.listened, *(answer.after for answer in q.answers)]) for _, q in shown)])
        handles: dict[str, Line2D] = {}
        for row, (_, question) in enumerate(shown):
            axes.barh(row, question.listened, height=0.44, color=colour["client"], edgecolor=colour["note"], zorder=2)
            if question.stopped is not None:
                axes.vlines(question.stopped, row - 0.36, row + 0.36, color=colour["ink"], linewidth=3.2, zorder=3)
            for fate, (role, marker, filled) in _MARKS.items():
                times = [answer.after for answer in question.answers if answer.fate == fate]
                if times:
                    handles[fate] = axes.plot(
                        times, [row] * len(times), linestyle="none", marker=marker, markersize=8.5, label=fate,
                        color=colour[role], markerfacecolor=colour[role] if filled else colour["card"], zorder=4,
                        markeredgecolor=colour["card" if marker == "o" else role], clip_on=False,
                        markeredgewidth={"x": 2.2, "o": 1.0}.get(marker, 1.5),
                    )[0]  # fmt: skip
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(-0.015 * last, 1.03 * last)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.set_yticks([])
        axes.grid(True, axis="x")
        axes.set_xlabel("seconds after the question")
        for row, (title, summary) in enumerate(zip(titles, summaries, strict=True)):
            for text, above, look in ((title, 8, {"fontweight": "bold"}), (summary, -8, {"color": colour["note"]})):
                axes.annotate(
                    text, (0, row), (-8, above), xycoords=("axes fraction", "data"), textcoords="offset points",
                    ha="right", va="center", **look,
                )  # fmt: skip
        caption = f"{plural(len(found), 'question')}, {_counts(found)}"
        notes = ["A bar: the asker listens. Its thick end: it has stopped."]
        notes += [f"Left out: {plural(len(found) - len(shown), 'more question')}."] if len(found) > len(shown) else []
        told = tell_faults(read(history))
        figure = page.finish(caption, [handles[fate] for fate in _MARKS if fate in handles], [*notes, *told])
        alt = [f"Answers over time: {caption}."]
        alt += at_most([_tell(name, q) for name, q in zip(named, found, strict=True)], _MOST_ROWS, "question")
        rows = [
            (clean(name), f"{answer.after:.4f}", clean(answer.responder) or "the server", answer.fate)
            for name, question in zip(named, found, strict=True)
            for answer in question.answers
        ]
        cells = table(("question", "seconds after it", "from", "what"), rows)
        return render(figure, " ".join([*alt, *told]), f"{caption}.", cells)


def _counts(found: Sequence[Question]) -> str:
    answers, late, lost, none = (sum(question.count(fate) for question in found) for fate in _MARKS)
    more = [(late, f"{late:,} too late"), (lost, f"{lost:,} lost on the way"), (none, f"no responders: {none:,}")]
    return ", ".join([plural(answers, "answer"), *(words for count, words in more if count)])


def _tell(name: str, question: Question) -> str:
    ended = "stopped listening" if question.stopped is not None else "still listening"
    told = f"{clean(name)}: {plural(len(question.asked), 'client')} asked, {_counts([question])}"
    silent = f", {question.silent:,} never answered" if question.silent else ""
    return f"{told}{silent}; {clean(question.asker)} {ended} after {seconds(question.listened)}."
