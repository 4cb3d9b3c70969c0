"""How many messages are out with a consumer's clients, delivered and not yet answered, against the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from natsdemo import messages
from natsdemo.history import History
from natsdemo.protocol import TO_SERVER

from .page import Page, fitted, nothing
from .palette import SERIES
from .picture import Picture, render, styled, table
from .reading import LOST, read
from .text import clean, plural, seconds
from .words import at_most, tell_faults

__all__ = ["Out", "outstanding", "read_outstanding"]

_MOST_SERIES = len(SERIES)
_FINAL = ("ack", "nak", "term", "next")


@dataclass
class Out:
    """One consumer: its `steps` are when (in seconds) how many were out, `again` is when a message came again."""

    steps: list[tuple[float, int]] = field(default_factory=list)
    again: list[tuple[float, int]] = field(default_factory=list)
    deliveries: int = 0
    messages: set[int] = field(default_factory=set)
    out: set[int] = field(default_factory=set)

    @property
    def most(self) -> int:
        """How many were out at the same time, at most."""
        return max((count for _, count in self.steps), default=0)

    @property
    def last(self) -> int:
        """How many are out when the record ends."""
        return len(self.out)


def read_outstanding(history: History, *, subject: str = ">") -> dict[str, Out]:
    """Count what is out with the clients of each consumer, by the consumer's name, in order of their first delivery.

    A message is out from its delivery until a client answers it with an ack, nak or term that passes the wire. One that
    is delivered again was out all the time. What the server has given up is out to the end: no frame tells of it.

    :param subject: only messages whose subject matches this.
    """
    found: dict[str, Out] = {}
    for event in history:
        frame = event.frame
        if frame is None:
            continue
        if event.op in ("MSG", "HMSG") and (came := messages.parse_delivery(frame.reply)):
            if not messages.matches(subject, event.subject) or event.fate == "duplicated":
                continue
            one = found.setdefault(came.consumer, Out())
            one.deliveries += 1
            one.out.add(came.stream_seq)
            if came.redelivered or came.stream_seq in one.messages:
                one.again.append((event.time, len(one.out)))
            one.messages.add(came.stream_seq)
        elif event.direction == TO_SERVER and (came := messages.parse_delivery(event.subject)):
            if came.consumer not in found or event.fate in LOST or messages.ack_kind(frame.payload) not in _FINAL:
                continue
            one = found[came.consumer]
            one.out.discard(came.stream_seq)
        else:
            continue
        if not one.steps or one.steps[-1][1] != len(one.out):
            one.steps.append((event.time, len(one.out)))
    return found


def outstanding(
    history: History, *, subject: str = ">", limits: Mapping[str, int] | None = None, title: str = "",
    dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw, for each consumer, how many of its messages are out over time: delivered, and not yet answered.

    A dashed line is a limit. The first six consumers to get anything are drawn; the others are counted.

    :param subject: only messages whose subject matches this.
    :param limits: the `max_ack_pending` of a consumer, by its name.
    :param title: what the picture is headed by, instead of its counts.
    :param dark: on a dark card.
    """
    found = read_outstanding(history, subject=subject)
    with styled(dark):
        if not found:
            return nothing(dark, "Outstanding messages over time.", "No consumer delivered anything.")
        shown = list(found.items())[:_MOST_SERIES]
        page = Page(dark, 3.0)
        axes, colour = page.panels[0], page.colour
        reading = read(history)
        _, end = page.time_axis(axes, reading)
        page.shade(reading, end)
        top = max(one.most for _, one in shown)
        handles = []
        for (name, one), (role, marker) in zip(shown, SERIES, strict=False):
            look: dict[str, Any] = {"color": colour[role], "marker": marker, "markersize": 6}
            times = [one.steps[0][0], *(time for time, _ in one.steps), end]
            counts = [0, *(count for _, count in one.steps), one.last]
            axes.plot(times, counts, drawstyle="steps-post", color=colour[role], linewidth=1.8, zorder=3)
            for time, count, repeated in _bursts(one.again, (end - reading.begin) / 40):
                axes.plot(
                    [time],
                    [count],
                    zorder=4,
                    markerfacecolor=colour["card"],
                    markeredgewidth=1.5,
                    linestyle="none",
                    **look,
                )
                axes.annotate(
                    f"{repeated:,} again", (time, count), (9, 4), textcoords="offset points", color=colour[role],
                    annotation_clip=True,
                )  # fmt: skip
            limit = (limits or {}).get(name)
            if limit is not None and limit <= 1.3 * top:
                axes.axhline(limit, color=colour[role], linestyle=(0, (5, 3)), linewidth=1.4, zorder=2)
            words = f"{clean(name)}, limit {limit:,}" if limit is not None else clean(name)
            handles.append(Line2D([], [], label=fitted(words, 3.2), markerfacecolor=colour["card"], **look))
        axes.set_ylim(0, max(top * 1.12, top + 1))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=2, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.set_ylabel("out, not yet answered")
        axes.set_xlabel("seconds")
        caption = "; ".join(f"{clean(name)}: {one.most:,} out at most" for name, one in shown)
        notes = ["A mark: a message that had been out comes again."] if any(one.again for _, one in shown) else []
        notes += [f"Left out: {plural(len(found) - len(shown), 'more consumer')}."] if len(found) > len(shown) else []
        figure = page.finish(title or caption, handles, [*notes, *tell_faults(reading)])
        rows = [
            (clean(name), f"{(limits or {}).get(name, '')}", f"{one.most:,}", f"{len(one.messages):,}",
             f"{one.deliveries:,}", f"{len(one.again):,}", f"{one.last:,}")
            for name, one in found.items()
        ]  # fmt: skip
        heads = ("consumer", "limit", "out at most", "messages", "deliveries", "came again", "out at the end")
        told = [
            f"{row[0]}{f' (limit {row[1]})' if row[1] else ''}: {row[2]} out at most, {row[5]} came again, "
            f"{row[6]} out at the end."
            for row in rows
        ]
        span = seconds(end - reading.begin)
        alt = [f"Outstanding messages over {span}.", *at_most(told, _MOST_SERIES, "consumer"), *tell_faults(reading)]
        return render(figure, " ".join(alt), f"{caption}.", table(heads, rows))


def _bursts(again: list[tuple[float, int]], apart: float) -> list[tuple[float, int, int]]:
    """Gather what comes again within so many seconds: when, how many were out then, and how many came again."""
    found: list[tuple[float, int, int]] = []
    for time, count in again:
        if found and time - found[-1][0] <= apart:
            found[-1] = (*found[-1][:2], found[-1][2] + 1)
        else:
            found.append((time, count, 1))
    return found
