"""Where the lessons are, and what is kept of one that was executed. Imports no command-line library."""

import contextlib
import copy
import datetime
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import natsdemo

from . import UserError

WIDGET = "application/vnd.jupyter.widget-view+json"


def notebooks_dir() -> Path:
    """Return the folder of the lessons: that of the checkout we are installed from, else `./notebooks`."""
    for folder in (Path(natsdemo.__file__).parents[1] / "notebooks", Path("notebooks").absolute()):
        if any(folder.glob("*.ipynb")):
            return folder
    raise UserError("There are no lessons here: run this in a clone of natsdemo, where the folder `notebooks` is.")


def find_lessons(wanted: Sequence[str]) -> list[Path]:
    """Return the notebooks that are named by number (`1`, `01`), by name or by path; all lessons if none is."""
    if not wanted:
        return sorted(notebooks_dir().glob("*.ipynb"))
    return [_find(name) for name in wanted]


def _find(wanted: str) -> Path:
    path = Path(wanted)
    if path.suffix == ".ipynb" and path.is_file():
        return path.absolute()
    lessons = sorted(notebooks_dir().glob("*.ipynb"))
    for lesson in lessons:
        number, _, name = lesson.stem.partition("-")
        if path.name.removesuffix(".ipynb") in (lesson.stem, name, number, number.lstrip("0") or "0"):
            return lesson
    raise UserError(f"There is no lesson {wanted}: choose from {', '.join(lesson.stem for lesson in lessons)}.")


def is_alone(lesson: Path) -> bool:
    """Whether a lesson asks for the machine for itself, since it measures speed: `"alone": true` in its metadata."""
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads(lesson.read_text(encoding="utf-8"))["metadata"].get("natsdemo", {}).get("alone"))
    return False  # what is no notebook fails when it runs


def source_hash(nb: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all cells' types and sources: what saved outputs were made from."""
    digest = hashlib.sha256()
    for cell in nb["cells"]:
        digest.update(f"{cell['cell_type']}\n{''.join(cell['source'])}\0".encode())
    return digest.hexdigest()


def with_outputs(nb: Any, executed: Any, folder: Path) -> Any:
    """Return `nb` with the outputs of its executed copy, the hash of what they were made from, and the day.

    Everything else stays as the author left it. Widgets become their static picture or text, since a view
    without its kernel shows an error; paths of this machine, `folder` among them, become `…`.
    """
    nb = copy.deepcopy(nb)
    paths = _machine_paths(folder)
    for cell, ran in zip(nb.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.execution_count = ran.execution_count
            cell.outputs = _portable(ran.outputs, paths)
    about = nb.metadata.setdefault("natsdemo", {})
    about["source_hash"], about["ran"] = source_hash(nb), datetime.date.today().isoformat()
    return nb


def _portable(value: Any, paths: re.Pattern[str]) -> Any:
    """Return an output, or any part of one, without widget views and without paths of this machine."""
    if isinstance(value, str):
        return paths.sub("…", value)
    if isinstance(value, list):
        return [_portable(item, paths) for item in value]
    if isinstance(value, dict):
        portable = {
            key: item if key.startswith("image/") else _portable(item, paths)
            for key, item in value.items()
            if key != WIDGET
        }
        return type(value)(portable)
    return value


def _machine_paths(folder: Path) -> re.Pattern[str]:
    """Match `folder`, the checkout, the environment and the home folder, and anything in the temporary folder."""
    home = str(Path.home())
    places = {str(folder), str(Path(natsdemo.__file__).parents[1]), sys.prefix, sys.base_prefix, home}
    places |= {place.replace(home, "~", 1) for place in places if place.startswith(f"{home}/")}
    fixed = "|".join(re.escape(place) for place in sorted(places - {"/"}, key=len, reverse=True))
    return re.compile(rf"{re.escape(tempfile.gettempdir())}/[\w./-]*\w|(?<![\w/])(?:{fixed})(?![\w-])")


def lessons_table() -> str:
    """Return the table of lessons in Markdown, made from their metadata."""
    rows = ["| lesson | the thesis | minutes |", "|---|---|---|"]
    for path in find_lessons([]):
        about = json.loads(path.read_text())["metadata"]["natsdemo"]
        link = f"[{path.stem.partition('-')[0]} {about['title']}](notebooks/{path.name})"
        rows.append(f"| {link} | {about['thesis']} | {about['minutes']} |")
    return "\n".join(rows)


def with_lessons(readme: str) -> str:
    """Return the README with the table of lessons as it should be."""
    begin, end = "<!-- lessons: made by `make notebooks` -->", "<!-- /lessons -->"
    before, _, rest = readme.partition(begin)
    return f"{before}{begin}\n{lessons_table()}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    from .claims import claims_page
    from .decks import write_decks
    from .teaching import glossary, guide

    page = notebooks_dir().parent / "README.md"
    page.write_text(with_lessons(page.read_text()))
    (notebooks_dir() / "claims.md").write_text(claims_page(), encoding="utf-8")
    (notebooks_dir() / "teaching.md").write_text(guide(), encoding="utf-8")
    (notebooks_dir() / "glossary.md").write_text(glossary(), encoding="utf-8")
    write_decks()
