"""How late: the percentiles of the time from publishing to delivery."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

from natsdemo.history import History

from .page import Page, nothing
from .picture import Picture, render, styled, table
from .reading import LOST, MESSAGES, Reading, identities, read
from .text import plural, seconds

__all__ = ["PERCENTILES", "latencies", "latency", "percentiles"]

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_BEYOND = 5  # a percentile is drawn if so many of the sample are beyond it


def percentiles(sample: Sequence[float]) -> dict[float, float | None]:
    """Map each of `PERCENTILES` to its value by nearest rank, None if fewer than five of the sample are beyond it."""
    ordered = sorted(sample)
    size = len(ordered)
    told: dict[float, float | None] = {}
    for percent in PERCENTILES:
        rank = max(math.ceil(round(size * percent / 100, 6)), 1)
        told[percent] = ordered[rank - 1] if size - rank >= _BEYOND else None
    return told


def latencies(reading: Reading) -> tuple[list[float], int]:
    """Seconds from publishing to each receiver's first delivery, and how many deliveries are of no known message."""
    published = identities(reading)
    sample: list[float] = []
    seen: set[tuple[Hashable, str]] = set()
    unknown = 0
    for p in reading.passages:
        if p.to_server or p.role not in MESSAGES or p.fate in LOST:
            continue
        source = published.get(p.key)
        if source is None:
            unknown += 1
        elif (receipt := (p.key, reading.receiver(p))) not in seen:
            seen.add(receipt)
            sample.append(max(p.time - (source.time - source.held), 0.0))
    return sample, unknown


def latency(history: History, *, dark: bool = False) -> Picture:
    """Draw the percentiles of the time from publishing to delivery, as seen at the Tap.

    It counts from when the publisher's frame reached the Tap to when the receiver's left it. A message is known by its
    stamp, else by a unique subject and payload, else it is left out and counted. Of what came more than once to a
    receiver, the first time counts. A percentile that the sample cannot support (fewer than five are beyond it) is said
    to be so, and not drawn.
    """
    sample, unknown = latencies(read(history))
    sample.sort()
    size = len(sample)
    told = percentiles(sample)
    with styled(dark):
        left_out = f"Left out: {plural(unknown, 'delivery', 'deliveries')} of messages that cannot be told apart."
        if not sample:
            return nothing(dark, "Latency.", f"Nothing was delivered.{f' {left_out}' if unknown else ''}")
        drawn = [(f"{percent:g} %", -math.log10(1 - percent / 100), value) for percent, value in told.items() if value]
        drawn.append(("max", max(math.log10(2 * size), (drawn[-1][1] if drawn else 0) + 0.35), sample[-1]))
        page = Page(dark, 2.9, left=1.1)
        axes, colour = page.panels[0], page.colour
        median = sample[size // 2]
        unit, name = next(((u, n) for u, n in ((1.0, "s"), (1e3, "ms")) if median * u >= 1), (1e6, "µs"))
        curve = [(-math.log10(1 - (at + 0.5) / size), sample[at] * unit) for at in _places(size)]
        axes.plot([x for x, _ in curve], [y for _, y in curve], color=colour["delivered"], linewidth=2.4)
        if sample[-1] > 30 * max(median, 1e-9) and sample[0] > 0:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_ylim(sample[0] * unit / 1.5, sample[-1] * unit * 2.5)
        else:
            axes.set_ylim(0, max(sample[-1] * unit, 1e-3) * 1.25)
        for _, x, value in drawn:
            axes.plot([x], [value * unit], marker="o", color=colour["delivered"], markersize=8, clip_on=False)
            axes.annotate(
                seconds(value), (x, value * unit), (0, 11), textcoords="offset points", ha="center", fontweight="bold",
                fontsize=12, bbox={"facecolor": colour["card"], "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g} {name}"))
        axes.xaxis.set_major_locator(FixedLocator([x for _, x, _ in drawn]))
        axes.xaxis.set_major_formatter(FixedFormatter([label for label, _, _ in drawn]))
        axes.set_xlim(0, drawn[-1][1] * 1.08)
        axes.grid(True, axis="x")
        axes.set_xlabel("so many of the deliveries took no longer")
        few = [
            f"{percent:g} % (it needs {round(_BEYOND * 100 / (100 - percent)):,} deliveries)"
            for percent, value in told.items()
            if value is None
        ]
        notes = [f"Not drawn: {', '.join(few)}."] if few else []
        notes += [left_out] if unknown else []
        title = f"Latency of {plural(size, 'delivery', 'deliveries')}, as seen at the Tap"
        figure = page.finish(title, [], notes)
        caption = f"{title}: {', '.join(f'{label} {seconds(value)}' for label, _, value in drawn)}."
        rows = [
            (f"{each:g} %", seconds(value) if value is not None else "not supported") for each, value in told.items()
        ]
        rows += [("max", seconds(sample[-1])), ("deliveries", f"{size:,}"), ("cannot be told apart", f"{unknown:,}")]
        alt = " ".join(["Percentile curve.", caption, *notes])
        return render(figure, alt, caption, table(("percentile", "latency"), rows))


def _places(size: int) -> list[int]:
    """Which of the sample to draw: all of the slowest, some hundreds of the rest."""
    return sorted({int(size * at / 800) for at in range(800)} | set(range(max(size - 100, 0), size)))
