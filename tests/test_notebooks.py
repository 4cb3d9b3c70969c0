"""The form that every lesson keeps; whether its facts are so is for its own claims, and for `test_sabotage`."""

import getpass
import re
import socket
from pathlib import Path
from typing import Any

import nbformat
import pytest

from natsdemo.cli.notebooks import notebooks_dir, source_hash
from natsdemo.lesson.look import CLAIM_MIME, EXERCISE_MIME

LESSONS = sorted(notebooks_dir().glob("*.ipynb"))
SKELETON = [
    "guarantee box", "where you meet it", "set-up", "break it", "exercise 1", "exercise 2", "what we proved",
    "elsewhere", "what to read next", "clean-up",
]  # fmt: skip


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def code(lesson: Any, *tags: str) -> list[Any]:
    cells = [cell for cell in lesson.cells if cell.cell_type == "code"]
    return [cell for cell in cells if set(tags) <= set(cell.metadata.get("tags", []))]


def data(cell: Any, mime: str) -> list[Any]:
    return [output["data"][mime] for output in cell.outputs if mime in output.get("data", {})]


def test_it_says_what_it_is_for(lesson: Any) -> None:
    about = lesson.metadata["natsdemo"]
    assert about["thesis"]
    assert 1 <= len(about["experiments"]) <= 4
    assert about["picture"]
    assert {"title", "minutes", "prerequisites", "level"} <= set(about)


def test_it_keeps_the_skeleton(lesson: Any) -> None:
    prose = [cell.source for cell in lesson.cells if cell.cell_type == "markdown"]
    headings = [line.lstrip("# ").lower() for text in prose for line in text.splitlines() if line.startswith("#")]
    places = [next((n for n, heading in enumerate(headings) if heading.startswith(part)), -1) for part in SKELETON]
    places = [
        place if place >= 0 else headings.index(f"the {part}") for place, part in zip(places, SKELETON, strict=True)
    ]
    assert places == sorted(places)
    assert "**When you need this:**" in prose[0]
    assert 25 <= len(lesson.cells) <= 70


def test_its_guarantee_box_is_the_same_table_as_everywhere(lesson: Any) -> None:
    box = next(cell.source for cell in lesson.cells if "uarantee box" in cell.source)
    assert re.findall(r"^\| \*\*(.+?)\*\*", box, re.MULTILINE) == ["delivery", "order", "who may lose what"]


def test_other_systems_speak_for_themselves(lesson: Any) -> None:
    elsewhere = next(cell.source for cell in lesson.cells if "## Elsewhere" in cell.source)
    links = re.findall(r"\]\((https://[^)]+)\)", elsewhere.partition("## Elsewhere")[2])
    assert len(links) >= 2
    assert not [link for link in links if "nats.io" in link]


def test_cells_are_small(lesson: Any) -> None:
    for cell in lesson.cells:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if cell.cell_type == "markdown":
            words = re.sub(r"^(\|.*\||\d\. .*)$", "", cell.source, flags=re.MULTILINE).split()
            assert len(words) <= 60, cell.source
            continue
        assert max(map(len, lines)) <= 92, cell.source
        if not {"exercise", "solution"} & set(cell.metadata.get("tags", [])):
            assert len(lines) <= 10, cell.source


def test_nothing_sleeps_a_fixed_time(lesson: Any) -> None:
    for cell in code(lesson):
        for line in cell.source.splitlines():
            if re.search(r"\bsleep\((?!0\))", line):
                assert "# the work" in line, line


def test_links_lead_somewhere(lesson: Any) -> None:
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)]+)\)", cell.source):
                assert target.startswith("https://") or (notebooks_dir() / target).exists(), target


def test_outputs_are_those_of_these_sources(lesson: Any) -> None:
    assert lesson.metadata["natsdemo"].get("source_hash") == source_hash(lesson), "run `make notebooks` and commit"
    assert all(cell.execution_count for cell in code(lesson))


def test_outputs_name_nobody_and_no_place(lesson: Any) -> None:
    outputs = str([cell.outputs for cell in code(lesson)])
    outputs = re.sub(r"base64,[A-Za-z0-9+/=\\n]+|'image/png': '[^']*'", "", outputs)
    for place in {str(Path.home()), str(notebooks_dir().parent)} - {"/"}:
        assert place not in outputs
    host = socket.gethostname()  # a word of its own: a short one occurs in random ids
    assert host == "localhost" or not re.search(rf"(?<!\w){re.escape(host)}(?!\w)", outputs)
    assert not re.search(rf"/home/|/Users/|\b{re.escape(getpass.getuser())}@", outputs)


def test_every_picture_tells_itself_in_words(lesson: Any) -> None:
    for cell in code(lesson):
        for markup in data(cell, "text/html"):
            for image in re.findall(r"<img[^>]*>", "".join(markup)):
                assert re.search(r'alt="[^"]{30,}"', image)
        assert not data(cell, "application/vnd.jupyter.widget-view+json"), "shows an error without its kernel"


def test_every_claim_holds_and_there_are_some(lesson: Any) -> None:
    claims = [claim for cell in code(lesson) for claim in data(cell, CLAIM_MIME)]
    assert len(claims) >= 5
    assert all(claim["holds"] for claim in claims)
    assert len({claim["sentence"] for claim in claims}) == len(claims), "a sentence is claimed once"


def test_stubs_are_not_attempted_and_solutions_are_right(lesson: Any) -> None:
    stubs, solutions = code(lesson, "exercise"), code(lesson, "solution")
    assert len(stubs) == len(solutions) >= 2
    assert {answer["answer"] for cell in stubs for answer in data(cell, EXERCISE_MIME)} == {"not attempted"}
    assert [answer["answer"] for cell in solutions for answer in data(cell, EXERCISE_MIME)] == ["right"] * len(
        solutions
    )
    assert all(cell.metadata["jupyter"]["source_hidden"] for cell in solutions)
