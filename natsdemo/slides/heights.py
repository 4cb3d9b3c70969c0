"""How tall things will be on a slide of 1280 x 720, guessed from their letters; `overflows` has the last word."""

import html
import math
import re
from itertools import zip_longest

# What is left for content, and the font sizes, from the one we like best to the smallest that a room can read.
WIDTH, TALL = 1200, 720 - 44 - 52
SIZES = (36, 32, 28, 25, 22)

TEXT_SIZE = 24
CODE_COLUMNS = 92  # the longest line of code that is not wrapped
CODE_PADDING = 36
_SMALLEST_CODE, _LARGEST_CODE = 22, 30
_CODE_WIDE = 0.605  # of a letter of code, in ems
_PROSE_WIDE = 0.47  # of a letter of prose, on average
_PROSE_WIDTH = 1040
_CELL_WIDE, _CELL_TALL = 30, 18  # the padding of a cell of a table


def code_size(size: int, columns: int) -> int:
    """The font size of code beside prose of this size: as large as its longest line allows, from 22 to 30."""
    fits = int((WIDTH - CODE_PADDING) / (_CODE_WIDE * max(columns, 1)))
    return max(_SMALLEST_CODE, min(size - 3, _LARGEST_CODE, fits))


def prose_height(rendered: str, size: int) -> float:
    """The height of HTML: the lines of every paragraph, item and row of a table."""
    tall = 0.0
    for part in re.split(r"(<table\b.*?</table>)", rendered, flags=re.S):
        if part.startswith("<table"):
            tall += _table_height(part, size)
            continue
        for piece in re.split(r"</(?:p|li|h\d|div)>|<br */?>|<[uo]l\b[^>]*>", part):
            if text := _words(piece):
                tall += math.ceil(len(text) * _PROSE_WIDE * size / _PROSE_WIDTH) * 1.4 * size + 0.45 * size
    return tall


def _table_height(table: str, size: int) -> float:
    """A column is as wide as its longest line, or has its share of the slide where that is too much."""
    letter = _PROSE_WIDE * size
    rows = [_cells(row) for row in re.split(r"<tr\b|</thead>", table)]
    columns = list(zip_longest(*rows, fillvalue=[""]))
    most = [max(len(line) for cell in column for line in cell) * letter for column in columns]
    least = [
        max(len(word) for cell in column for line in cell for word in line.split(" ")) * letter for column in columns
    ]
    room = WIDTH - _CELL_WIDE * len(columns) - sum(least)
    share = min(1, max(0, room / max(1, sum(most) - sum(least))))
    wide = [low + share * (high - low) for low, high in zip(least, most, strict=True)]
    tall = 0.0
    for row in filter(None, rows):
        lines = [
            sum(max(1, math.ceil(len(line) * letter / max(have, 1) - 0.01)) for line in cell)
            for cell, have in zip(row, wide, strict=False)
        ]
        tall += max(lines) * 1.4 * size + _CELL_TALL
    return tall


def _cells(row: str) -> list[list[str]]:
    """The lines of each cell."""
    cells = re.findall(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", row, re.S)
    return [[_words(line) for line in re.split(r"<br */?>", cell)] for cell in cells]


def _words(rendered: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", rendered)).split())
