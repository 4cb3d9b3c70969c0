"""Latencies beside each other on HdrHistogram's scale of percentiles, where the last per cent has most of the room."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

from .latency import PERCENTILES
from .latency import percentiles as ranked
from .page import Page, nothing
from .palette import SERIES
from .picture import Picture, render, styled, table
from .text import clean, plural, seconds
from .words import at_most

__all__ = ["percentiles"]

_MOST = 4  # curves that are still told from each other
_LEAST = 1e-6  # seconds: what is less is drawn here, since the scale has no zero
_POINTS = 400


def percentiles(repeats: Mapping[str, Sequence[Sequence[float]]], *, title: str = "", dark: bool = False) -> Picture:
    """Draw a percentile curve of all repeats together, each repeat as a thin line, and the median of the repeats.

    A percentile is marked if each repeat supports it: at least five of its sample are beyond it. At most four curves
    are drawn; what is left out is counted, and is in the table.

    Source: https://hdrhistogram.github.io/HdrHistogram/

    :param repeats: by the name of a curve its repeats, each of them a sample of latencies in seconds.
    :param title: what was measured.
    :param dark: on a dark card.
    """
    if any(not 0 <= value < math.inf for each in repeats.values() for sample in each for value in sample):
        raise ValueError("A latency is a number of seconds from 0.")
    curves = {name: [sorted(sample) for sample in each if sample] for name, each in repeats.items()}
    curves = {name: samples for name, samples in curves.items() if samples}
    title = clean(title, 200) or f"{plural(len(curves), 'latency', 'latencies')}, by percentile"
    with styled(dark):
        if not curves:
            return nothing(dark, f"Percentile curves: {title}.", "Nothing was measured.")
        found = {name: _marks(samples) for name, samples in curves.items()}
        shown = list(curves)[:_MOST]
        page = Page(dark, 3.4, left=1.1)
        axes, colour = page.panels[0], page.colour
        handles: list[Any] = []
        for name, (role, mark) in zip(shown, SERIES, strict=False):
            for sample in curves[name]:
                axes.plot(*_curve(sample), color=colour[role], linewidth=0.9, alpha=0.55)
            axes.plot(*_curve(sorted(chain(*curves[name]))), color=colour[role], linewidth=2.4)
            for percent, values in found[name].items():
                at, value = _place(percent / 100), max(median(values), _LEAST)
                highest = value >= max(median(found[other].get(percent, [0])) for other in shown)
                axes.plot([at], [value], mark, color=colour[role], markersize=8, zorder=4)
                axes.annotate(
                    seconds(value), (at, value), (0, 10 if highest else -21), textcoords="offset points", ha="center",
                    fontweight="bold", color=colour[role], zorder=5,
                    bbox={"facecolor": colour["card"], "edgecolor": "none", "pad": 1.2},
                )  # fmt: skip
            handles.append(Line2D([], [], color=colour[role], marker=mark, linewidth=2.4, label=clean(name)))
        handles.append(Line2D([], [], color=colour["note"], linewidth=0.9, label="one repeat"))
        drawn = [value for name in shown for sample in curves[name] for value in sample]
        end = _place(1 - 0.5 / max(sum(map(len, curves[name])) for name in shown))
        ticks = [0.0, *(percent / 100 for percent in PERCENTILES if _place(percent / 100) < end)]
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
        axes.set_ylim(max(min(drawn), _LEAST) / 3, max(*drawn, _LEAST) * 3)
        axes.set_xlim(0, end * 1.02)
        axes.xaxis.set_major_locator(FixedLocator([_place(share) for share in ticks]))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{100 * share:g} %" for share in ticks]))
        axes.grid(True, axis="x")
        axes.set_xlabel("so many took no longer")
        more = len(curves) - len(shown)
        notes = [f"Not drawn: {plural(more, 'more curve')}."] if more else []
        figure = page.finish(title, handles, notes)
        told = [f"{clean(name)} ({_counted(samples)}): {_tell(found[name])}." for name, samples in curves.items()]
        lines = [
            (clean(name), _name(percent), seconds(median(values)), seconds(min(values)), seconds(max(values)),
             str(len(values)))
            for name, samples in curves.items()
            for percent, values in (found[name] | {100.0: [sample[-1] for sample in samples]}).items()
        ]  # fmt: skip
        alt = " ".join([f"Percentile curves: {title}.", *at_most(told, _MOST, "curve"), *notes])
        head = ("latency", "percentile", "median", "least", "most", "repeats")
        return render(figure, alt, f"{title}.", table(head, lines))


def _marks(samples: Sequence[Sequence[float]]) -> dict[float, list[float]]:
    """Each percentile that every repeat supports, and what it was in each."""
    each = [ranked(sample) for sample in samples]
    values = {percent: [one[percent] for one in each] for percent in PERCENTILES}
    return {percent: [v for v in those if v is not None] for percent, those in values.items() if None not in those}


def _place(share: float) -> float:
    """Where a percentile stands: 90 %, 99 % and 99.9 % are as far from each other."""
    return -math.log10(1 - share)


def _curve(ordered: Sequence[float]) -> tuple[list[float], list[float]]:
    """Points of a curve: some hundreds, and the slowest of all."""
    size = len(ordered)
    places = sorted({size * k // _POINTS for k in range(_POINTS)} | set(range(max(size - _POINTS, 0), size)))
    return [_place((at + 0.5) / size) for at in places], [max(ordered[at], _LEAST) for at in places]


def _counted(samples: Sequence[Sequence[float]]) -> str:
    return f"{plural(len(samples), 'repeat')}, {plural(sum(map(len, samples)), 'answer')}"


def _name(percent: float) -> str:
    return "max" if percent == 100 else f"{percent:g} %"


def _tell(found: Mapping[float, Sequence[float]]) -> str:
    told = [
        f"{percent:g} % {seconds(median(values))} ({seconds(min(values))} to {seconds(max(values))})"
        for percent, values in found.items()
    ]
    return ", ".join(told) or "too few for any percentile"
