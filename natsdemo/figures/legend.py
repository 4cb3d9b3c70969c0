"""How each kind of arrow looks, what the picture says about that, and what it says about itself."""

from __future__ import annotations

from typing import NamedTuple

from .layout import Arrow, Diagram
from .text import plural, seconds

__all__ = ["Style", "legend", "notes", "style_of"]


class Style(NamedTuple):
    """A role of the palette, a stroke, and a head: two kinds of arrow never differ by the colour alone."""

    colour: str
    dash: str
    hollow: bool
    width: float


def style_of(arrow: Arrow) -> Style:
    """Choose how an arrow looks."""
    if arrow.lost:
        return Style("lost", "solid", False, 1.8)
    if arrow.redelivered:
        return Style("redelivered", "solid", False, 2.4)
    to_server = arrow.to_server
    return {
        "message": Style("published" if to_server else "delivered", "solid", False, 1.8),
        "request": Style("published" if to_server else "delivered", "dashdot", False, 1.8),
        "reply": Style("ack", "dashed", True, 1.6),
        "puback": Style("ack", "dotted", True, 1.6),
        "ack": Style("ack", "dashed", False, 1.4),
        "error": Style("lost", "dashed", True, 1.6),
    }.get(arrow.role, Style("note", "solid", True, 1.1))


def legend(diagram: Diagram) -> list[tuple[str, Arrow]]:
    """Explain each kind of arrow that occurs, once."""
    found: dict[str, Arrow] = {}
    for arrow in diagram.arrows:
        if arrow.lost:
            name = "lost on the way"
        elif arrow.redelivered:
            name = "redelivered"
        elif arrow.fate == "duplicated":
            name = "copy"
        elif arrow.unheard:
            name = "published, no delivery seen"
        elif arrow.held:
            name = "held by the Tap"
        elif arrow.role == "message":
            name = "published" if arrow.to_server else "delivered"
        elif arrow.role == "housekeeping" or "subscribe" in arrow.role:
            name = "housekeeping"
        else:
            name = {"ack": "ack", "puback": "puback", "error": "error from the server"}.get(arrow.role, arrow.role)
        found.setdefault(name, arrow._replace(frames=1, witness=False))
    return list(found.items())


def notes(diagram: Diagram) -> str:
    """Say what is not to scale, what is bundled, and what was left out."""
    said = ["Time runs downwards in the order of events, not to scale."]
    if diagram.bundle:
        total = sum(arrow.frames for arrow in diagram.arrows)
        said.append(f"Bundled: {plural(total, 'frame')} by spans of {seconds(diagram.bundle)}; the wider, the more.")
    folded = [line for line in diagram.lifelines if line.kind == "folded"]
    if folded:
        said.append(f"{folded[0].clients:,} clients share one lifeline.")
    if any(arrow.witness for arrow in diagram.arrows):
        said.append("Highlighted: what the verdict rests on.")
    if diagram.left_out:
        said.append(f"Left out: {', '.join(diagram.left_out)}.")
    return " ".join(said)
