"""The kit's own mutation test: over a wire that misbehaves, a lesson must notice, or survive for a reason."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from natsdemo.cli.notebooks import find_lessons


class Row(NamedTuple):
    """A lesson over a misbehaving wire: the claim that must catch it, or why no claim need to."""

    lesson: str
    sabotage: str
    caught_by: str | None = None
    survives_because: str | None = None


THREE_IN_ORDER = "Bob heard three messages, in the order in which Alice sent them."

TABLE = [
    Row("00", "drop MSG subject=hello nth=1", caught_by="Bob heard what Alice said, once."),
    Row("00", "duplicate MSG subject=hello nth=1", caught_by="Bob heard what Alice said, once."),
    Row("00", "drop PUB subject=story nth=1", caught_by="Only the second message is missing."),
    Row("00", "delay MSG seconds=0.05", survives_because="no claim is about time, and TCP keeps the order"),
    Row("01", "drop MSG subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "drop PUB subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "duplicate MSG subject=weather.oslo nth=1", caught_by=THREE_IN_ORDER),
    Row("01", "duplicate PUB subject=weather.oslo nth=3", caught_by=THREE_IN_ORDER),
    Row("01", "reorder MSG subject=weather.oslo nth=1", caught_by=THREE_IN_ORDER),
    Row("01", "reorder PUB subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "reset PUB subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "drop MSG probability=0.2", caught_by=THREE_IN_ORDER),
    Row("01", "drop MSG subject=weather.bergen nth=3", caught_by="Each of three subscribers got its own copy."),
    Row("01", "drop MSG subject=news nth=777", caught_by="As many copies came out as there were subscriptions."),
    Row("01", "delay MSG seconds=0.01 every=50", survives_because="no claim is about time, and TCP keeps the order"),
]


def run(lesson: str, sabotage: str) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("natsdemo")), "run", lesson, "--sabotage", sabotage, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    result: dict[str, Any] = json.loads(done.stdout)[0]
    assert result["ok"] == (done.returncode == 0)
    return result


# A group for each lesson, so that several workers share the table.
ROWS = [
    pytest.param(row, id=f"{row.lesson}: {row.sabotage}", marks=pytest.mark.xdist_group(f"sabotage-{row.lesson}"))
    for row in TABLE
]


@pytest.mark.parametrize("row", ROWS)
def test_the_lesson_notices_or_survives_for_a_reason(row: Row) -> None:
    result = run(row.lesson, row.sabotage)
    assert result["error"] is None, "caught by a crash is not caught"
    assert result["hits"], "a sabotage that hit nothing proves nothing"
    assert (row.caught_by is None) != (row.survives_because is None)
    if row.caught_by is None:
        assert result["ok"], row.survives_because
    else:
        assert (result["failed_claim"] or "").startswith(row.caught_by), result


def test_a_sabotage_that_hits_nothing_is_an_error() -> None:
    result = run("00", "drop MSG subject=nobody.ever.says.this")
    assert not result["ok"]
    assert "hit nothing" in result["error"]


def test_every_lesson_has_rows() -> None:
    rows = Counter(row.lesson for row in TABLE)
    assert set(rows) == {lesson.stem.partition("-")[0] for lesson in find_lessons([])}
    assert min(rows.values()) >= 3
