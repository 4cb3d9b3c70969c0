"""Exercises: one to five missing lines, and a check that watches the real wire."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from collections.abc import Awaitable, Callable

from ..history import History
from .look import EXERCISE_MIME, GOOD, NOTE, WARN, prose, show
from .progress import report

NOT_ATTEMPTED, NOT_YET, RIGHT = "not attempted", "not yet", "right"

Solve = Callable[[], Awaitable[object]]
Check = Callable[[History], str | None]


def attempted(solve: Solve) -> bool:
    """Whether no `...` stands any more where the missing lines belong."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(solve)))
    return not any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree))


async def answer(solve: Solve, check: Check, settle: Callable[[], Awaitable[History]], deadline: float = 10) -> str:
    """Run the reader's function and show what the wire says of it: not attempted; not yet, because …; or right.

    `check` gets the History of this run alone and returns why it is not right yet, or None.
    """
    if not attempted(solve):
        return _say(solve, NOT_ATTEMPTED, "replace the `...` and run the cell again.", NOTE)
    before = len(await settle())
    try:
        async with asyncio.timeout(deadline) as limit:
            await solve()
    except Exception as error:
        if limit.expired():
            return _say(solve, NOT_YET, f"it did not end within {deadline:g} seconds.", WARN)
        return _say(solve, NOT_YET, f"it raised {type(error).__name__}: {error}", WARN)
    if reason := check((await settle())[before:]):
        return _say(solve, NOT_YET, reason, WARN)
    return _say(solve, RIGHT, "the wire agrees.", GOOD)


def _say(solve: Solve, said: str, why: str, colour: str) -> str:
    mark = {NOT_ATTEMPTED: "○", NOT_YET: "…", RIGHT: "✓"}[said]
    joint = ", because " if said == NOT_YET else ": "
    show(
        f"{mark} {said}{joint}{why}",
        f'<div style="border-left:4px solid {colour};padding:2px 10px"><b>{mark} {said}</b>{joint}{prose(why)}</div>',
        {EXERCISE_MIME: {"answer": said, "why": why}},
    )
    report("exercise", solve.__name__, said)
    return said
