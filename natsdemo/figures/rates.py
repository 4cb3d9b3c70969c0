"""How fast: messages published, and delivered, per second."""

from __future__ import annotations

import math
from collections import Counter

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from natsdemo.history import History

from .layout import nice_step
from .page import Page, fitted, nothing
from .palette import SERIES
from .picture import Picture, render, styled, table
from .reading import LOST, MESSAGES, read
from .text import clean, seconds
from .words import tell_faults

__all__ = ["rates"]

_MOST_SERIES = len(SERIES) - 1


def rates(history: History, *, by: str = "subject", dark: bool = False) -> Picture:
    """Draw how many messages a second were published, and delivered, over real time.

    :param by: one line for each `subject`, or each `client`. The five busiest have their own, the rest shares one.
    :param dark: on a dark card.
    """
    if by not in ("subject", "client"):
        raise ValueError(f'rates(by=...) is "subject" or "client", not {by!r}.')
    reading = read(history)
    passed = [p for p in reading.passages if p.role in MESSAGES and (p.to_server or p.fate not in LOST)]
    names = [p.subject if by == "subject" else reading.line(p) for p in passed]
    busiest = [name for name, _ in Counter(names).most_common()]
    own = busiest if len(busiest) <= _MOST_SERIES + 1 else busiest[:_MOST_SERIES]
    rest = f"{len(busiest) - len(own):,} more {by}s"
    series = own if own is busiest else [*own, rest]
    with styled(dark):
        if not passed:
            return nothing(dark, f"Rates by {by}.")
        page = Page(dark, 1.55, rows=2)
        colour = page.colour
        for axes in page.panels:
            begin, end = page.time_axis(axes, reading)
        step = nice_step((end - begin) / min(max(len(passed) / 4, 12), 60))
        first = math.floor(begin / step)
        bins = max(math.ceil(end / step), first + 1) - first
        counts = {(name, way): [0] * bins for name in series for way in (True, False)}
        kept = frozenset(own)
        for p, name in zip(passed, names, strict=True):
            counts[name if name in kept else rest, p.to_server][min(int(p.time / step) - first, bins - 1)] += 1
        edges = [(first + at) * step for at in range(bins + 1)]
        for axes in page.panels:
            axes.set_xlim(min(begin, edges[0]) - step / 2, edges[-1] + step / 2)
        page.shade(reading, end)
        for axes, way in zip(page.panels, (True, False), strict=True):
            axes.set_title(f"{'published' if way else 'delivered'}, messages a second", fontsize=11, pad=7)
            axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
            for name, (role, marker) in zip(series, SERIES, strict=False):
                rate = [count / step for count in counts[name, way]]
                if any(rate):
                    axes.stairs(rate, edges, color=colour[role], linewidth=2.0)
                    where = [at for at, value in enumerate(rate) if value]
                    where = where[:: max(len(where) // 8, 1)]
                    axes.plot(
                        [edges[at] + step / 2 for at in where], [rate[at] for at in where], linestyle="none",
                        marker=marker, color=colour[role], markersize=6, markeredgewidth=1.8,
                    )  # fmt: skip
            axes.set_ylim(bottom=0)
        page.panels[0].tick_params(labelbottom=False)
        page.panels[1].set_xlabel("seconds")
        handles = [
            Line2D([], [], color=colour[role], marker=marker, label=fitted(name, 2.6))
            for name, (role, marker) in zip(series, SERIES, strict=False)
        ]
        sums = {key: sum(value) for key, value in counts.items()}
        published, delivered = (sum(sums[name, way] for name in series) for way in (True, False))
        caption = f"{published:,} published, {delivered:,} delivered in {seconds(end - begin)}"
        figure = page.finish(caption, handles, [f"Counted by spans of {seconds(step)}."], headed=True)
        rows = [
            (clean(name), *(f"{sums[name, way]:,}" for way in (True, False)),
             *(f"{max(counts[name, way]) / step:,.4g}" for way in (True, False)))
            for name in series
        ]  # fmt: skip
        alt = [f"Messages a second by {by}, counted by spans of {seconds(step)}: {caption}."]
        alt += [
            f"{row[0]}: {row[1]} published, {row[3]} a second at most; {row[2]} delivered, {row[4]} at most."
            for row in rows
        ]
        heads = (by, "published", "delivered", "published a second, at most", "delivered a second, at most")
        return render(figure, " ".join([*alt, *tell_faults(reading)]), f"{caption}.", table(heads, rows))
