"""One written palette for every picture, light and dark, and the style that goes with it.

The colours are those of Okabe and Ito, made darker on white and lighter on black until each has a contrast of at least
3:1 on its card (text of at least 4.5:1), so that they survive colour blindness and a projector. No picture tells
anything by colour alone: each role also has a line, a mark or a word of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PALETTE", "SERIES", "STYLE", "colours"]

# The roles: the card that everything stands on (never transparent), ink for words, faint for lines that only guide the
# eye; then what passes, and what is done. `window` fills the time in which a fault was armed, `witness` is the
# highlighter under what a verdict points at.
PALETTE: Mapping[str, Mapping[str, str]] = {
    "light": {
        "card": "#ffffff", "ink": "#1b1f24", "faint": "#c9ced6", "note": "#5d6570",
        "published": "#0072b2", "delivered": "#007f5f", "lost": "#c8400a", "redelivered": "#a86400", "ack": "#9c3f7d",
        "server": "#2f3640", "client": "#eaf0f6", "fault": "#b03a06", "window": "#fbe6da", "witness": "#f5ec6e",
    },
    "dark": {
        "card": "#14181f", "ink": "#f2f4f7", "faint": "#4a525e", "note": "#aab3bf",
        "published": "#63b8ea", "delivered": "#35c79d", "lost": "#ff8653", "redelivered": "#f2b33d", "ack": "#e59ac8",
        "server": "#dfe4ea", "client": "#28303b", "fault": "#ff9d73", "window": "#3d2619", "witness": "#6e6614",
    },
}  # fmt: skip

# For what has no role of its own, such as subjects in a chart: the colour's role and a mark, so that neither is needed
# to see the other. The last is for all that is left.
SERIES = (
    ("published", "o"), ("redelivered", "s"), ("delivered", "^"), ("ack", "D"), ("lost", "v"), ("note", "x"),
)  # fmt: skip


def colours(dark: bool) -> Mapping[str, str]:
    """Return the palette's half for a dark or a light card."""
    return PALETTE["dark" if dark else "light"]


def STYLE(dark: bool) -> dict[str, Any]:  # noqa: N802 (it is a constant, twice)
    """Return matplotlib's rcParams for all our pictures: nothing under 11 pt, no chart junk, and `$` is a character."""
    colour = colours(dark)
    return {
        "font.family": "DejaVu Sans", "font.size": 11, "axes.titlesize": 13, "axes.titleweight": "bold",
        "axes.titlelocation": "left", "axes.titlepad": 12, "axes.labelsize": 11, "legend.fontsize": 11,
        "xtick.labelsize": 11, "ytick.labelsize": 11, "text.parse_math": False, "axes.unicode_minus": True,
        "figure.facecolor": colour["card"], "axes.facecolor": colour["card"], "savefig.facecolor": colour["card"],
        "text.color": colour["ink"], "axes.labelcolor": colour["ink"], "axes.edgecolor": colour["note"],
        "xtick.color": colour["note"], "ytick.color": colour["note"], "xtick.labelcolor": colour["ink"],
        "ytick.labelcolor": colour["ink"], "grid.color": colour["faint"], "grid.linewidth": 0.6,
        "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 2.0, "lines.solid_capstyle": "butt",
    }  # fmt: skip
