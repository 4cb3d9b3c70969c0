"""How the lesson's own outputs look: text for every reader, HTML on top, and a machine's copy for the tests."""

from __future__ import annotations

import html
import re
from typing import Any

from IPython.display import display

CLAIM_MIME = "application/vnd.natsdemo.claim+json"
NEEDS_MIME = "application/vnd.natsdemo.needs+json"
EXERCISE_MIME = "application/vnd.natsdemo.exercise+json"
VERDICTS_MIME = "application/vnd.natsdemo.verdicts+json"
SABOTAGE_MIME = "application/vnd.natsdemo.sabotage+json"

GOOD = "#009E73"
NOTE = "#0072B2"
WARN = "#E69F00"
BAD = "#D55E00"
QUIET = "opacity:.75"


def show(text: str, markup: str, more: dict[str, Any] | None = None) -> None:
    """Display one output in all its forms."""
    display({"text/plain": text, "text/html": markup, **(more or {})}, raw=True)


def prose(text: str) -> str:
    """A sentence of the lesson as HTML: escaped, and what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
