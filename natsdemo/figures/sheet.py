"""A sheet to draw on, in inches from its top left corner: lines, arrow heads, crosses, boxes and lettering.

Everything is collected and handed to matplotlib at the end, a few collections in all. Words are drawn as the outlines
of their glyphs, which is ten times as fast as one text artist for each of hundreds, and leaves nothing to interpret:
no mathematics between dollar signs, no warning about a missing glyph, no measuring after the fact.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.patches import FancyBboxPatch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from .text import drawable, font_path, shorten

__all__ = ["DASHES", "Run", "Sheet", "fit", "text_width", "wrap"]

# The strokes of lines, in multiples of their width.
DASHES: dict[str, Any] = {
    "solid": "solid", "dashed": (0, (4.5, 2.2)), "dotted": (0, (1.2, 1.8)), "dashdot": (0, (6, 2, 1.2, 2)),
}  # fmt: skip

Run = tuple[str, str, bool]  # text, colour, bold


class Sheet:
    """What is to be drawn, by layers: the order in which the methods are called does not matter, the layer does."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, str, float, str], list[Sequence[tuple[float, float]]]] = defaultdict(list)
        self._shapes: dict[tuple[int, str, str, float], list[Sequence[tuple[float, float]]]] = defaultdict(list)
        self._boxes: list[tuple[tuple[float, float, float, float], str, str, int, float]] = []
        self._words: list[tuple[Path, str]] = []

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        width: float = 1.5,
        dash: str = "solid",
        layer: int = 3,
    ) -> None:
        """Draw a line through points."""
        self._lines[layer, colour, width, dash].append(points)

    def head(
        self, tip: tuple[float, float], tail: tuple[float, float], colour: str, *, size: float = 0.13, hollow: str = ""
    ) -> None:
        """Draw an arrow's head; `hollow` is the colour that it is then filled with."""
        x, y = tip
        angle = math.atan2(y - tail[1], x - tail[0])
        corners = [(x + size * math.cos(angle + turn), y + size * math.sin(angle + turn)) for turn in (2.74, -2.74)]
        self._shapes[5, hollow or colour, colour, 1.3 if hollow else 0.0].append([tip, *corners])

    def cross(self, x: float, y: float, colour: str, size: float = 0.075, layer: int = 6, width: float = 2.6) -> None:
        """Draw a cross."""
        for way in (1, -1):
            self.line([(x - size, y - way * size), (x + size, y + way * size)], colour, width, layer=layer)

    def ring(self, x: float, y: float, colour: str, fill: str, size: float = 0.062) -> None:
        """Draw a small circle."""
        turn = [math.tau * step / 24 for step in range(24)]
        self._shapes[6, fill, colour, 1.6].append([(x + size * math.cos(a), y + size * math.sin(a)) for a in turn])

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: str,
        edge: str = "none",
        layer: int = 0,
        corner: float = 0.0,
    ) -> None:
        """Fill a box, with round corners if wanted."""
        if corner or edge != "none":
            self._boxes.append(((x0, y0, x1, y1), fill, edge, layer, corner))
        else:
            self._shapes[layer, fill, "none", 0.0].append([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    def write(
        self, x: float, y: float, runs: Iterable[Run], *, size: float = 11, align: str = "left", behind: str = ""
    ) -> float:
        """Write runs of text on the base line `y`, over a patch of the colour `behind`; return how wide they are."""
        runs = list(runs)
        width = sum(text_width(text, size, bold) for text, _, bold in runs)
        x -= {"left": 0.0, "middle": width / 2, "right": width}[align]
        if behind and width:
            self.box(x - 0.03, y - 0.0112 * size, x + width + 0.03, y + 0.0032 * size, behind, layer=4)
        at = x
        for text, colour, bold in runs:
            if path := _outline(drawable(text), bold):
                scale = size / _UNIT
                self._words.append((Affine2D().scale(scale, -scale).translate(at, y).transform_path(path), colour))
            at += text_width(text, size, bold)
        return width

    def figure(self, width: float, height: float, card: str) -> Figure:
        """Hand everything to a matplotlib figure."""
        figure = Figure(figsize=(width, height), facecolor=card)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        for (layer, colour, line, dash), segments in self._lines.items():
            axes.add_collection(
                LineCollection(
                    segments, colors=colour, linewidths=line, linestyles=[DASHES[dash]], zorder=layer,
                    capstyle="butt",
                ),
                autolim=False,
            )  # fmt: skip
        for (layer, fill, edge, line), polygons in self._shapes.items():
            axes.add_collection(
                PolyCollection(polygons, facecolors=fill, edgecolors=edge, linewidths=line, zorder=layer), autolim=False
            )
        for (x0, y0, x1, y1), fill, edge, layer, corner in self._boxes:
            style = f"round,pad=0,rounding_size={corner}" if corner else "square,pad=0"
            axes.add_patch(
                FancyBboxPatch(
                    (x0, y0), x1 - x0, y1 - y0, style, facecolor=fill, edgecolor=edge, linewidth=1.3, zorder=layer
                )
            )
        if self._words:
            paths, fills = zip(*self._words, strict=True)
            axes.add_collection(PathCollection(paths, facecolors=fills, linewidths=0, zorder=7), autolim=False)
        return figure


_UNIT = 100 * 72  # glyphs are outlined at 100 points of 72 dots an inch


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = 11, bold: bool = False) -> float:
    """How many inches wide a text is drawn."""
    return sum(_glyph(char, bold)[1] for char in drawable(text)) * size / _UNIT


def fit(text: str, room: float, size: float = 11, bold: bool = False) -> str:
    """Cut a text to so many inches."""
    most = len(text)
    while most > 3 and text_width(text, size, bold) > room:
        most -= 1
        text = shorten(text, most)
    return text


def wrap(text: str, room: float) -> list[str]:
    """Break a text into lines of at most so many inches, between words."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@cache
def _font(bold: bool) -> FT2Font:
    font = FT2Font(str(font_path(bold)))
    font.set_size(100, 72)
    return font


@cache
def _glyph(char: str, bold: bool) -> tuple[Path, float]:
    font = _font(bold)
    glyph = font.load_char(ord(char), flags=LoadFlags.NO_HINTING)
    vertices, codes = font.get_path()
    return Path(vertices, codes), glyph.linearHoriAdvance / 65536


@lru_cache(maxsize=512)
def _outline(text: str, bold: bool) -> Path | None:
    at, parts = 0.0, []
    for char in text:
        path, advance = _glyph(char, bold)
        if not char.isspace():
            parts.append(Affine2D().translate(at, 0).transform_path(path))
        at += advance
    return Path.make_compound_path(*parts) if parts else None
