"""In which order work was done, in several arrangements: what overtook what, within its key or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .page import Page, fitted, nothing
from .picture import Picture, render, styled, table
from .text import clean, plural
from .words import at_most

__all__ = ["Completed", "completed", "completions"]

_MOST_PANELS = 6
# For each kind: its role in the palette, its mark, whether that is filled.
_MARKS = {
    "in order": ("delivered", "o", True),
    "overtaken by another key": ("redelivered", "s", False),
    "overtaken": ("lost", "^", True),
    "overtaken within its key": ("lost", "^", True),
}


class Completed(NamedTuple):
    """One arrangement: the numbers as they were done, and those after which a greater one had been done before."""

    name: str
    numbers: tuple[int, ...]
    overtaken: tuple[int, ...]
    within: tuple[int, ...]  # of the overtaken, those that one of the same key overtook

    def kind(self, number: int, keyed: bool) -> str:
        """What befell a number, in words."""
        if number in self.within:
            return "overtaken within its key" if keyed else "overtaken"
        return "overtaken by another key" if number in self.overtaken else "in order"

    def told(self, keyed: bool) -> str:
        """The counts in words."""
        if not self.overtaken:
            return "all in order"
        return f"{len(self.overtaken):,} overtaken" + (f", {len(self.within):,} within a key" if keyed else "")


def completed(name: str, numbers: Sequence[int], key: Callable[[int], Hashable] | None = None) -> Completed:
    """Find what was overtaken: whatever comes after something greater; and which of it by one of its own key."""
    of_key: dict[Hashable, list[int]] = defaultdict(list)
    for number in numbers:
        of_key[key(number) if key else ""].append(number)
    within = {number for own in of_key.values() for number in _late(own)}
    return Completed(name, tuple(numbers), tuple(_late(numbers)), tuple(n for n in numbers if n in within))


def _late(numbers: Sequence[int]) -> list[int]:
    return [number for number, top in zip(numbers, accumulate(numbers, max), strict=True) if number < top]


def completions(
    runs: Mapping[str, Sequence[int]],
    *,
    key: Callable[[int], Hashable] | None = None,
    title: str = "",
    dark: bool = False,
) -> Picture:
    """Draw for each run in which order numbered messages were done: published to the right, done upwards.

    In order is a straight diagonal. What was done after something that was published later has a mark of its own,
    another one if both are of the same key. At most six runs are drawn; what is left out is counted, and is in the
    table.

    :param runs: by name, the numbers of the messages in the order in which they were done: `{"two workers": [2, 1]}`.
    :param key: gives the key of a number, within which order matters; without it all are of one key.
    :param title: what is shown.
    :param dark: on a dark card.
    """
    found = [completed(name, numbers, key) for name, numbers in runs.items()]
    keyed = key is not None
    title = clean(title, 200) or f"The order in which work was done, in {plural(len(found), 'arrangement')}"
    with styled(dark):
        if not any(run.numbers for run in found):
            return nothing(dark, f"{title}.", "Nothing was done.")
        shown = found[:_MOST_PANELS]
        heights = {1: 3.4, 2: 2.9, 3: 2.3}
        page = Page.multiples(dark, len(shown), heights, across="published as number", up="done as number")
        handles: dict[str, Line2D] = {}
        for axes, run in zip(page.panels, shown, strict=False):
            _draw(axes, run, keyed, page.colour, handles)
            axes.set_title(fitted(run.name, page.panel_width + 0.4, 11, bold=True), fontsize=11, pad=7)
        left_out = len(found) - len(shown)
        notes = [f"Left out: {plural(left_out, 'more run')}."] if left_out else []
        figure = page.finish(title, [handles[kind] for kind in _MARKS if kind in handles], notes, headed=True)
        told = [f"{clean(run.name)}: {len(run.numbers):,} done, {run.told(keyed)}." for run in found]
        alt = [f"{title}: published order against the order in which it was done.", *at_most(told, _MOST_PANELS, "run")]
        heads = ("run", "done", "overtaken", *(["overtaken within a key"] if keyed else []), "in this order")
        cells = [
            (clean(run.name), f"{len(run.numbers):,}", f"{len(run.overtaken):,}",
             *([f"{len(run.within):,}"] if keyed else []), _listed(run.numbers))
            for run in found
        ]  # fmt: skip
        return render(figure, " ".join([*alt, *notes]), f"{title}.", table(heads, cells))


def _listed(numbers: Sequence[int]) -> str:
    more = len(numbers) - 60
    return " ".join(map(str, numbers[:60])) + (f" and {more:,} more" if more > 0 else "")


def _draw(axes: Any, run: Completed, keyed: bool, colour: Mapping[str, str], handles: dict[str, Line2D]) -> None:
    ways = list(enumerate(run.numbers, 1))
    low, high = min(run.numbers, default=1), max(run.numbers, default=1)
    axes.plot([low, low + len(ways) - 1], [1, len(ways)], color=colour["faint"], linewidth=1.4, zorder=1)
    if len(ways) <= 300:
        axes.plot([x for _, x in ways], [y for y, _ in ways], color=colour["note"], linewidth=0.9, zorder=2)
    kinds = {number: run.kind(number, keyed) for number in run.numbers}
    for kind, (role, marker, filled) in _MARKS.items():
        points = [(x, y) for y, x in ways if kinds[x] == kind]
        if points:
            drawn = axes.plot(
                [x for x, _ in points], [y for _, y in points], linestyle="none", marker=marker, color=colour[role],
                markerfacecolor=colour[role] if filled else colour["card"], label=kind, clip_on=False,
                markersize=max(3.0, min(6.0, 260 / len(ways))) + (kind != "in order"), markeredgewidth=1.4,
                zorder=3 + (kind != "in order"),
            )[0]  # fmt: skip
            handles.setdefault(kind, drawn)
    words = run.told(keyed).replace(", ", "\n")
    axes.text(0.98, 0.04, words, transform=axes.transAxes, ha="right", va="bottom", zorder=5)
    axes.set_xlim(low - 0.6, high + 0.6)
    axes.set_ylim(0.4, len(ways) + max(len(ways) * 0.05, 0.6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.grid(True, axis="both")
