"""Which with which: rows against columns, and where they meet a yes, a no or a number."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeGuard

from matplotlib.figure import Figure

from .page import PAGE, fitted, nothing
from .palette import colours
from .picture import Picture, render, styled, table
from .sheet import Sheet, text_width
from .text import clean, plural
from .words import at_most

__all__ = ["Cell", "Grid", "grid", "matrix"]

Cell = bool | int | float | None

_MOST_ROWS, _MOST_COLUMNS = 40, 24
_LEAST = 5.0  # inches that are there for the columns, whatever the names are
_HIGH = 0.36  # inches of a row
_TURN = 45  # degrees, for names of columns that are wider than their column
_NAME = 2.2  # inches that a name may be long


class Grid(NamedTuple):
    """What is drawn: names of rows and columns, the cells row by row; and what is left out, in words."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    left_out: str


def grid(cells: Mapping[str, Mapping[str, Cell]]) -> Grid:
    """Lay out rows and columns in the order in which their names first come; what was not given is not known."""
    columns = list(dict.fromkeys(name for row in cells.values() for name in row))
    numbers = max((_wide(_drawable(value)) for row in cells.values() for value in row.values()), default=0.0)
    rows, shown = list(cells)[:_MOST_ROWS], columns[: min(_MOST_COLUMNS, int(_LEAST / max(numbers, 0.2)))]
    values = tuple(tuple(_drawable(cells[row].get(name)) for name in shown) for row in rows)
    beyond = [(len(cells) - len(rows), "more row"), (len(columns) - len(shown), "more column")]
    left_out = " and ".join(plural(count, what) for count, what in beyond if count)
    return Grid(tuple(rows), tuple(shown), values, f"Left out: {left_out}." if left_out else "")


def matrix(
    cells: Mapping[str, Mapping[str, Cell]], *, rows: str = "", columns: str = "", yes: str = "yes", no: str = "no",
    marked: Collection[tuple[str, str]] = (), marked_as: str = "marked", title: str = "", dark: bool = False,
) -> Picture:  # fmt: skip
    """Draw a grid of yes and no, or of numbers: `cells[row][column]` is True, False, a number, or None if not known.

    At most 40 rows and 24 columns are drawn, fewer of long numbers; the rest is counted. Numbers are in whatever unit
    they are given; the darker their cell, the further from 0.

    :param rows: what the rows are (“subscribed to”), as a heading; `columns` likewise.
    :param yes: the word for True; `no` is the word for False.
    :param marked: the (row, column) of cells to look at; `marked_as` says what they are.
    :param title: what is held against what; without one, the counts of each kind of cell.
    :param dark: on a dark card.
    """
    shown = grid(cells)
    values = [value for line in shown.cells for value in line]
    what = [plural(len(shown.rows), "row") + (f" ({clean(rows)})" if rows else "")]
    what += [plural(len(shown.columns), "column") + (f" ({clean(columns)})" if columns else "")]
    if not values:
        return nothing(dark, f"Matrix of {' and '.join(what)}.", "Nothing to show.")
    title, counts = clean(title, 120), _sum_up(values, yes, no)
    caption = f"{title}: {counts}" if title else counts
    places = [(r, c) for r, a in enumerate(shown.rows) for c, b in enumerate(shown.columns) if (a, b) in marked]
    lines = list(zip(shown.rows, shown.cells, strict=True))
    told = [f"{clean(name, 40)}: {_tell(shown.columns, line, yes, no)}." for name, line in lines]
    alt = [f"Matrix of {' and '.join(what)}: {caption}.", *at_most(told, 14, "row")]
    if places:
        pairs = [f"{clean(shown.rows[r], 40)} with {clean(shown.columns[c], 40)}" for r, c in places]
        alt += [f"Marked as {clean(marked_as)}: {_some(pairs)}."]
    with styled(dark):
        figure = _draw(shown, places, (rows, columns, yes, no, marked_as), title or counts, dark)
        body = [(clean(name), *(_word(value, yes, no) for value in line)) for name, line in lines]
        heads = (" \\ ".join(filter(None, (clean(rows), clean(columns)))), *map(clean, shown.columns))
        return render(figure, " ".join(filter(None, (*alt, shown.left_out))), f"{caption}.", table(heads, body))


def _drawable(value: Cell) -> Cell:
    """Whether it is infinite or no number at all is not known to a picture either."""
    return value if value is None or abs(value) < 1e300 else None


def _is_number(value: Cell) -> TypeGuard[float]:
    return value is not None and not isinstance(value, bool)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1e9 else f"{value:,.4g}"


def _wide(value: Cell) -> float:
    """How many inches a column with this number needs."""
    return text_width(_number(value), 11, True) + 0.14 if _is_number(value) else 0.0


def _word(value: Cell, yes: str, no: str) -> str:
    if value is None:
        return "not known"
    return _number(value) if _is_number(value) else clean(yes if value else no, 20)


def _sum_up(values: Sequence[Cell], yes: str, no: str) -> str:
    numbers = [value for value in values if _is_number(value)]
    counts = [(sum(value is each for value in values), _word(each, yes, no)) for each in (True, False, None)]
    parts = [f"{count:,} {word}" for count, word in counts if count]
    if numbers:
        parts.append(f"{plural(len(numbers), 'number')} from {_number(min(numbers))} to {_number(max(numbers))}")
    return ", ".join(parts)


def _tell(columns: Sequence[str], line: Sequence[Cell], yes: str, no: str) -> str:
    """Say a row: by its columns of each word, or where all but a few are the same, by those few."""
    words = [_word(value, yes, no) for value in line]
    if any(map(_is_number, line)):
        return _some([f"{clean(name, 40)} {word}" for name, word in zip(columns, words, strict=True)])
    most, *others = sorted(dict.fromkeys(words), key=words.count, reverse=True)
    pairs = list(zip(columns, words, strict=True))
    told = [f"{word} for {_some([clean(name, 40) for name, each in pairs if each == word])}" for word in others]
    return "; ".join([*told, f"else {most}" if told else f"{most} for all"])


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) <= 6 else [*names[:5], f"{len(names) - 5:,} more"])


def _draw(shown: Grid, places: list[tuple[int, int]], words: tuple[str, ...], title: str, dark: bool) -> Figure:
    rows, columns, yes, no, marked_as = words
    colour, sheet = colours(dark), Sheet()
    ink, grey, faint = colour["ink"], colour["note"], colour["faint"]
    (rows,), row_names, names = (
        [fitted(name, _NAME) for name in some] for some in ((rows,), shown.rows, shown.columns)
    )
    widest = max(map(text_width, names))
    numbers = max(_wide(value) for line in shown.cells for value in line)
    left = 0.45 + max(*map(text_width, row_names), text_width(rows, 11, True))
    turned = widest + 0.16 > (PAGE - left - 0.35) / len(names)
    slope = widest * math.cos(math.radians(_TURN)) if turned else 0.0
    step = min((PAGE - left - 0.35 - slope) / len(names), max(0.7, numbers, 0.0 if turned else widest + 0.16))
    top = (1.1 if columns else 0.8) + (widest * math.sin(math.radians(_TURN)) if turned else 0.2)
    right, bottom = left + step * len(names), top + _HIGH * len(row_names)
    most = max((abs(value) for line in shown.cells for value in line if _is_number(value)), default=0.0) or 1.0

    def cell(x: float, y: float, value: Cell, width: float = step, looked_at: bool = False) -> None:
        """Draw a cell around its middle: a tick, a dot, a question mark, or the number on a tint of its size.

        No tint lies over the highlighter: the two together are a third colour that means nothing.
        """
        half, tall = width / 2 - 0.035, _HIGH / 2 - 0.035
        if value is True:
            sheet.box(x - half, y - tall, x + half, y + tall, colour["delivered"])
            sheet.line([(x - 0.07, y), (x - 0.02, y + 0.055), (x + 0.08, y - 0.065)], colour["card"], 2.2, layer=6)
        elif value is False:
            sheet.box(x - 0.022, y - 0.022, x + 0.022, y + 0.022, grey, layer=1)
        elif value is None:
            sheet.write(x, y + 0.055, [("?", grey, True)], align="middle")
        else:
            tint = f"{colour['delivered']}{round(100 * abs(value) / most):02x}"
            if not looked_at:
                sheet.box(x - half, y - tall, x + half, y + tall, tint)
            sheet.write(x, y + 0.055, [(_number(value), ink, value != 0)], align="middle")

    def frame(x: float, y: float, width: float) -> None:
        """Mark a cell, from its top left corner: the highlighter, and a frame for who does not see it."""
        corners = [(x, y), (x + width, y), (x + width, y + _HIGH), (x, y + _HIGH), (x, y)]
        sheet.box(x, y, x + width, y + _HIGH, colour["witness"], layer=-1)
        sheet.line(corners, ink, 2.0, layer=6)

    sheet.write(0.3, 0.4, [(fitted(title, PAGE - 0.6, 14, True), ink, True)], size=14)
    sheet.write(left, 0.8, [(fitted(columns, PAGE - left - 0.3), grey, True)])
    sheet.write(left - 0.12, top - 0.1, [(rows, grey, True)], align="right")
    for y in (top + at * _HIGH for at in range(len(row_names) + 1)):
        sheet.line([(left, y), (right, y)], faint, 0.8, layer=1)
    for x in (left + at * step for at in range(len(names) + 1)):
        sheet.line([(x, top), (x, bottom)], faint, 0.8, layer=1)
    for r, c in places:
        frame(left + c * step, top + r * _HIGH, step)
    for r, line in enumerate(shown.cells):
        middle = top + (r + 0.5) * _HIGH
        sheet.write(left - 0.12, middle + 0.055, [(row_names[r], ink, False)], align="right")
        for c, value in enumerate(line):
            cell(left + (c + 0.5) * step, middle, value, looked_at=(r, c) in places)
    x, y = left, bottom + 0.32
    for each, word in ((True, yes), (False, no), (None, "not known")):
        if any(value is each for line in shown.cells for value in line):
            cell(x + 0.19, y, each, 0.4)
            x += 0.75 + sheet.write(x + 0.47, y + 0.055, [(fitted(word, 1.9), ink, False)])
    if places:
        x, y = (x, y) if x < PAGE - 3 else (left, y + 0.4)
        frame(x, y - _HIGH / 2, 0.4)
        sheet.write(x + 0.5, y + 0.055, [(fitted(marked_as, PAGE - x - 0.8), ink, False)])
    y = y if x > left or places else bottom - 0.1  # numbers need no legend
    sheet.write(left, y + 0.38, [(shown.left_out, grey, False)])
    height = y + (0.55 if shown.left_out else 0.3)
    for c, name in enumerate(() if turned else names):
        sheet.write(left + (c + 0.5) * step, top - 0.1, [(name, ink, False)], align="middle")
    figure = sheet.figure(PAGE, height, colour["card"])
    for c, name in enumerate(names if turned else ()):  # the sheet writes level only
        x, y = (left + (c + 0.5) * step) / PAGE, 1 - (top - 0.08) / height
        figure.text(x, y, name, rotation=_TURN, rotation_mode="anchor", ha="left", va="center")
    return figure
