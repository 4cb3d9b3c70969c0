"""In which order: what a publisher sent against what a receiver got."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import Any, NamedTuple

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from natsdemo.history import History

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .reading import LOST, MESSAGES, Passage, Reading, identities, read
from .text import clean, plural
from .words import at_most

__all__ = ["Order", "orders", "sequence_numbers"]

_MOST_PANELS = 6


class Order(NamedTuple):
    """In which order one receiver got what one publisher sent: `received` has each message's number, as it came."""

    publisher: str
    receiver: str
    published: tuple[int, ...]
    received: tuple[int, ...]
    kinds: tuple[str, ...]  # of each: in order, out of order, duplicate, redelivery
    missing: tuple[int, ...]


def orders(reading: Reading) -> tuple[list[Order], int]:
    """Find the order of each publisher's messages at each receiver; and how many deliveries are of no known message.

    Of what was published, only the subjects count of which the receiver got any.
    """
    numbers: dict[Hashable, tuple[str, int]] = {}
    sent: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for key, p in identities(reading).items():
        publisher, number = key if isinstance(key, tuple) else (reading.line(p), len(sent[reading.line(p)]) + 1)
        numbers[key] = (publisher, number)
        sent[publisher].append((number, p.subject))
    got: dict[tuple[str, str], list[Passage]] = defaultdict(list)
    unknown = 0
    for p in reading.passages:
        if not p.to_server and p.role in MESSAGES and p.fate not in LOST:
            if p.key in numbers:
                got[numbers[p.key][0], reading.receiver(p)].append(p)
            else:
                unknown += 1
    return [_order(*pair, passages, sent[pair[0]], numbers) for pair, passages in got.items()], unknown


def _order(
    publisher: str, receiver: str, passages: list[Passage], sent: list[tuple[int, str]],
    numbers: dict[Hashable, tuple[str, int]],
) -> Order:  # fmt: skip
    subjects = {p.subject for p in passages}
    received: list[int] = []
    kinds: list[str] = []
    seen: set[int] = set()
    highest = 0
    for p in passages:
        number = numbers[p.key][1]
        if number in seen:
            kinds.append("redelivery" if p.deliveries > 1 else "duplicate")
        else:
            kinds.append("out of order" if number < highest else "in order")
        highest = max(highest, number)
        seen.add(number)
        received.append(number)
    published = tuple(number for number, subject in sent if subject in subjects)
    missing = tuple(number for number in published if number not in seen)
    return Order(publisher, receiver, published, tuple(received), tuple(kinds), missing)


# For each kind: its role in the palette, its mark, whether that is filled.
_MARKS = {
    "in order": ("delivered", "o", True), "out of order": ("ack", "^", True), "duplicate": ("redelivered", "D", False),
    "redelivery": ("redelivered", "s", False), "not received": ("lost", "x", True),
}  # fmt: skip
_KINDS = ("out of order", "duplicate", "redelivery")


def sequence_numbers(history: History, *, dark: bool = False) -> Picture:
    """Draw in which order a receiver got a publisher's messages: published order to the right, received order upwards.

    In order is a straight diagonal. What came late, again, or not at all has a mark of its own. A receiver is a
    subscription's client, a queue group or a JetStream consumer. A message is known by its stamp, else by a unique
    subject and payload; deliveries of others are left out and counted. At most six pairs are drawn.
    """
    found, unknown = orders(read(history))
    with styled(dark):
        left_out = f"{plural(unknown, 'delivery', 'deliveries')} of messages that cannot be told apart"
        if not found:
            caption = f"Nothing was delivered.{f' Left out: {left_out}.' if unknown else ''}"
            return nothing(dark, "Published order against received order.", caption)
        shown = found
        if len(found) > _MOST_PANELS:  # those in which most went wrong, else the longest
            shown = sorted(found, key=lambda order: (-_trouble(order), -len(order.received)))[:_MOST_PANELS]
        heights = {1: 3.6, 2: 3.2, 3: 2.3}
        page = Page.multiples(dark, len(shown), heights, across="published as number", up="received as number")
        handles: dict[str, Line2D] = {}
        for axes, order in zip(page.panels, shown, strict=False):
            _draw(axes, order, page.colour, handles)
            axes.set_title(_name(order, page.panel_width), fontsize=11, pad=7)
        kinds = Counter(kind for order in found for kind in order.kinds)
        missing = sum(len(order.missing) for order in found)
        told = [plural(sum(kinds.values()), "delivery", "deliveries")]
        told += [f"{missing:,} not received"] if missing else []
        told += [f"{kinds['out of order']:,} out of order"] if kinds["out of order"] else []
        told += [plural(kinds["duplicate"], "duplicate")] if kinds["duplicate"] else []
        told += [f"{kinds['redelivery']:,} redelivered"] if kinds["redelivery"] else []
        told += [] if len(told) > 1 else ["all in order"]
        caption = ", ".join(told)
        more = (
            [plural(len(found) - len(shown), "more pair") + " of a publisher and a receiver"]
            if len(found) > len(shown)
            else []
        )
        more += [left_out] if unknown else []
        notes = [f"Left out: {', '.join(more)}."] if more else []
        legend = [handles[kind] for kind in _MARKS if kind in handles]
        figure = page.finish(caption, legend, notes, headed=True)
        cells = [
            (clean(order.publisher), clean(order.receiver), f"{len(order.published):,}", f"{len(order.received):,}",
             f"{len(order.missing):,}", *(f"{order.kinds.count(kind):,}" for kind in _KINDS))
            for order in found
        ]  # fmt: skip
        heads = (
            "publisher",
            "receiver",
            "published",
            "received",
            "not received",
            "out of order",
            "duplicates",
            "redelivered",
        )
        pairs = [
            f"{row[0]} to {row[1]}: {', '.join(map(' '.join, zip(row[2:], heads[2:], strict=True)))}." for row in cells
        ]
        alt = ["Published order against received order:", f"{caption}.", *at_most(pairs, _MOST_PANELS, "pair"), *notes]
        return render(figure, " ".join(alt), f"{caption}.", table(heads, cells))


def _trouble(order: Order) -> int:
    return len(order.missing) + len(order.kinds) - order.kinds.count("in order")


def _name(order: Order, room: float) -> str:
    return f"{fitted(order.publisher, room * 0.42)} → {fitted(order.receiver, room * 0.42)}"


def _draw(axes: Any, order: Order, colour: Any, handles: dict[str, Line2D]) -> None:
    size = max(3.0, min(8.0, 260 / len(order.received)))
    low = min([*order.published, *order.received])
    high = max([*order.published, *order.received])
    ways = list(enumerate(order.received, 1))
    axes.plot([low, low + len(ways) - 1], [1, len(ways)], color=colour["faint"], linewidth=1.4, zorder=1)
    if len(ways) <= 300:
        axes.plot([x for _, x in ways], [y for y, _ in ways], color=colour["note"], linewidth=1.0, zorder=2)
    for kind, (role, marker, filled) in _MARKS.items():
        points = [(x, y) for (y, x), each in zip(ways, order.kinds, strict=True) if each == kind]
        points = [(x, 0) for x in order.missing] if kind == "not received" else points
        if points:
            drawn = axes.plot(
                [x for x, _ in points], [y for _, y in points], linestyle="none", marker=marker, color=colour[role],
                markerfacecolor=colour[role] if filled else colour["card"], label=kind, clip_on=False,
                markersize=size if kind == "in order" else max(size, 6.5),
                markeredgewidth=2.0 if marker == "x" else 1.4, zorder=3 + (kind != "in order"),
            )[0]  # fmt: skip
            handles.setdefault(kind, drawn)
    pad = max((high - low) * 0.03, 0.4)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(-max(len(ways) * 0.04, 0.4) if order.missing else 0.4, len(ways) + max(len(ways) * 0.05, 0.6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.grid(True, axis="both")
