"""Subjects, payloads and names are hostile: what may be shown of them, in alt texts, tables and pictures."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

__all__ = ["clean", "drawable", "plural", "seconds", "shorten", "show_payload"]

_ESCAPED = frozenset(["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])  # controls, bidi marks, lone surrogates, unassigned
_UNKNOWN = "\N{WHITE VERTICAL RECTANGLE}"


@lru_cache(maxsize=4096)
def clean(text: str, most: int = 60) -> str:
    """Make one line of visible characters, at most `most` of them."""
    cut = text[: most + 1]
    shown = cut if cut.isascii() and cut.isprintable() else "".join(map(_visible, cut))
    return shorten(shown, most) if len(text) > most or len(shown) > most else shown


@lru_cache(maxsize=1024)
def drawable(text: str) -> str:
    """Put a rectangle where the pictures' font has no such character."""
    return text if text.isascii() else "".join(char if ord(char) in _charmap() else _UNKNOWN for char in text)


def shorten(text: str, most: int) -> str:
    """Cut a text to `most` characters, of which the last then is an ellipsis."""
    return text if len(text) <= most else f"{text[: max(most - 1, 0)]}…"


def show_payload(payload: bytes, most: int = 24) -> str:
    """Show a payload as quoted text, or by its size if it is none; of megabytes only the beginning is looked at."""
    if not payload:
        return "(empty)"
    text = payload[: 4 * most].decode("utf-8", "surrogateescape")
    odd = sum(1 for char in text if unicodedata.category(char) in _ESCAPED)
    if odd * 3 > len(text):
        return f"({plural(len(payload), 'byte')})"
    return f'"{clean(text, most)}"'


def plural(count: int, one: str, many: str = "") -> str:
    """Count in words: 1 message, 1,204 messages."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def seconds(value: float) -> str:
    """Write a duration with two or three significant digits and its unit."""
    for scale, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * scale >= 1 or unit == "µs":
            return f"{value * scale:.3g} {unit}" if value * scale < 1000 else f"{value * scale:,.0f} {unit}"
    raise AssertionError


def font_path(bold: bool = False) -> Path:
    """Where the font that matplotlib brings along is, so that a picture is the same on every machine."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"


@cache
def _charmap() -> frozenset[int]:
    return frozenset(FT2Font(str(font_path())).get_charmap()) & frozenset(
        FT2Font(str(font_path(bold=True))).get_charmap()
    )


def _visible(char: str) -> str:
    if unicodedata.category(char) not in _ESCAPED:
        return " " if char.isspace() else char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode() if not 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"
