"""Where the decks are, and what they take from the lessons: one source, so that a deck shows what a lesson does."""

import copy
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from natsdemo.slides import PREPARE, SlideError

from . import UserError
from .notebooks import find_lessons, notebooks_dir


def decks_dir() -> Path:
    """Return the folder of the decks, beside that of the lessons."""
    return notebooks_dir().parent / "slides"


def find_deck(wanted: str) -> Path:
    """Return the deck of this name, or else the lesson: by name, number, or path."""
    decks = find_decks()
    for deck in decks:
        if wanted in (deck.stem, deck.name):
            return deck
    try:
        return find_lessons([wanted])[0]
    except UserError:
        names = ", ".join(deck.stem for deck in decks)
        raise UserError(f"There is no deck and no lesson {wanted}: choose from {names}, or a lesson as 05.") from None


def read_deck(path: Path) -> Any:
    """Return a deck, or a lesson, with its texts in one piece."""
    nbformat = import_module("nbformat")
    return nbformat.read(path, nbformat.NO_CONVERT)


def find_decks() -> list[Path]:
    """Return all decks, by name."""
    return sorted(decks_dir().glob("*.ipynb"))


def with_lesson_cells(deck: Mapping[str, Any]) -> Any:
    """Return a deck with what it takes from the lessons as the lessons have it now.

    A code cell whose metadata say `"natsdemo": {"from": "05-06"}` has the source, the outputs and the tags of the cell
    with that id in lesson 05. A picture `![](attachment:05-07.png)` in prose is what cell 05-07 drew, with its words.
    """
    deck = copy.deepcopy(dict(deck))
    for cell in deck["cells"]:
        taken = cell["metadata"].get("natsdemo", {}).get("from")
        if taken:
            lesson = _lesson_cell(taken)
            cell["source"], cell["outputs"] = lesson["source"], copy.deepcopy(lesson["outputs"])
            cell["execution_count"] = lesson["execution_count"]
            own = [tag for tag in cell["metadata"].get("tags", []) if tag == PREPARE]
            cell["metadata"]["tags"] = [*own, *lesson["metadata"].get("tags", [])]
        elif cell["cell_type"] == "markdown" and "attachment:" in "".join(cell["source"]):
            _attach(cell)
    return deck


def _attach(cell: dict[str, Any]) -> None:
    attached: dict[str, dict[str, str]] = {}

    def picture(found: re.Match[str]) -> str:
        name = found[1]
        for output in _lesson_cell(name).get("outputs", []):
            if "image/png" in output.get("data", {}):
                attached[f"{name}.png"] = {"image/png": "".join(output["data"]["image/png"]).strip()}
                alt = " ".join(output["metadata"]["image/png"]["alt"].split())
                return f"![{alt.translate({91: '(', 93: ')'})}](attachment:{name}.png)"
        raise SlideError(f"Cell {name} of the lessons has drawn nothing: choose one that has.")

    source = re.sub(r"!\[[^]]*\]\(attachment:([\w-]+)\.png\)", picture, "".join(cell["source"]))
    cell["source"] = source.splitlines(keepends=True)
    cell["attachments"] = attached


def _lesson_cell(name: str) -> dict[str, Any]:
    cells = _cells(find_lessons([name.split("-")[0]])[0])
    if name not in cells:
        raise SlideError(f"There is no cell {name} in the lessons: look up its id.")
    return cells[name]


@cache
def _cells(lesson: Path) -> dict[str, dict[str, Any]]:
    return {cell["id"]: cell for cell in json.loads(lesson.read_text(encoding="utf-8"))["cells"]}


def write_decks() -> None:
    """Bring all decks up to date with the lessons, in place."""
    for path in find_decks():
        deck = with_lesson_cells(json.loads(path.read_text(encoding="utf-8")))
        path.write_text(json.dumps(deck, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
