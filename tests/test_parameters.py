"""Each lesson has one cell tagged `parameters`, and holds with the values that it advises its reader to try."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest

from natsdemo.cli.claims import emitted
from natsdemo.cli.notebooks import find_lessons

LESSONS = find_lessons([])


class Parameter(NamedTuple):
    """A line `name = default  # what it is, and its unit; try advised`."""

    name: str
    default: Any
    advised: Any


def cells(lesson: Path) -> list[Any]:
    nb = nbformat.read(lesson, nbformat.NO_CONVERT)
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def tagged(lesson: Path) -> Any:
    (cell,) = [cell for cell in cells(lesson) if "parameters" in cell.metadata.get("tags", [])]
    return cell


def parameters(lesson: Path) -> list[Parameter]:
    """What the cell assigns; an error if it does anything else, or has a line without advice."""
    found = []
    for line in tagged(lesson).source.splitlines():
        (statement,) = ast.parse(line).body
        assert isinstance(statement, ast.Assign), line
        (target,) = statement.targets
        assert isinstance(target, ast.Name), line
        advice = re.search(r"  # \S.*; try (\S.*)$", line)
        assert advice, line
        found.append(Parameter(target.id, ast.literal_eval(statement.value), ast.literal_eval(advice[1])))
    return found


def names(cell: Any, context: type[ast.expr_context]) -> set[str]:
    """The names that a cell loads, or stores."""
    code = "" if cell.source.startswith("%%") else cell.source
    return {
        node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }


def execute(lesson: Path, output: Path, **given: Any) -> dict[str, str]:
    """Run a lesson with these parameters, as a reader does; return what its claims saw, by sentence. All held."""
    options = [part for name, value in given.items() for part in ("-p", name, str(value))]
    command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
    done = subprocess.run(
        [*command, f"notebooks/{lesson.name}", str(output), *options],
        cwd=lesson.parents[1],
        env=os.environ | {"NATSDEMO_HEADLESS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    claims = emitted(nbformat.read(output, nbformat.NO_CONVERT))
    assert claims
    assert all(claim["holds"] is not False for claim in claims)
    return {claim["sentence"]: claim["evidence"] for claim in claims}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
class TestTheCell:
    def test_it_only_assigns_literals_and_says_what_to_try(self, lesson: Path) -> None:
        for _, default, advised in parameters(lesson):
            assert advised != default
            assert isinstance(advised, str) == isinstance(default, str)

    def test_it_stands_before_every_use_and_nothing_assigns_anew(self, lesson: Path) -> None:
        at = tagged(lesson).id
        code = cells(lesson)
        place = [cell.id for cell in code].index(at)
        for name, *_ in parameters(lesson):
            assert [cell.id for cell in code if name in names(cell, ast.Store)] == [at]
            used = [index for index, cell in enumerate(code) if name in names(cell, ast.Load)]
            assert used, f"nothing uses {name}"
            assert used[0] > place, f"cell {code[used[0]].id} uses {name} before cell {at} gives it"


def test_a_lesson_runs_with_another_number(tmp_path: Path) -> None:
    (lesson,) = find_lessons(["01"])
    seen = execute(lesson, tmp_path / "out.ipynb", subscribers=50)
    assert seen["As many copies came out as there were subscriptions."] == "copies = 50"
    assert seen["Each of them was heard."] == "heard = 50"


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_holds_with_what_it_advises_to_try(lesson: Path, tmp_path: Path) -> None:
    execute(lesson, tmp_path / "out.ipynb", **{each.name: each.advised for each in parameters(lesson)})
