"""The README says what is so."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from natsdemo.cli.claims import claims_page
from natsdemo.cli.notebooks import find_lessons, notebooks_dir, with_lessons
from natsdemo.cli.teaching import PLANS, Plan, bets, glossary, guide

ROOT = notebooks_dir().parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_lessons_is_that_of_the_notebooks() -> None:
    assert with_lessons(README) == README, "run `make notebooks` and commit"


def test_the_page_of_claims_is_that_of_the_notebooks() -> None:
    page = (notebooks_dir() / "claims.md").read_text(encoding="utf-8")
    assert page == claims_page(), "run `make notebooks` and commit"


def test_the_teacher_s_guide_and_the_glossary_are_those_of_the_notebooks() -> None:
    for name, made in (("teaching.md", guide()), ("glossary.md", glossary())):
        assert (notebooks_dir() / name).read_text(encoding="utf-8") == made, "run `make notebooks` and commit"


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_course_fits_into_its_time_and_leaves_out_nothing_that_it_needs(plan: Plan) -> None:
    minutes = 0
    for n, number in enumerate(plan.lessons):
        about = json.loads(find_lessons([number])[0].read_text(encoding="utf-8"))["metadata"]["natsdemo"]
        needs = {name.partition("-")[0] for name in about["prerequisites"]}
        assert needs <= set(plan.lessons[:n]), number
        minutes += about["minutes"]
    assert plan.minutes / 2 < minutes < 0.75 * plan.minutes, "the rest is for questions, and for what breaks"


def test_the_guide_has_every_bet() -> None:
    for lesson in find_lessons([]):
        nb = json.loads(lesson.read_text(encoding="utf-8"))
        asked = [cell for cell in nb["cells"] if "predict" in cell["metadata"].get("tags", [])]
        assert len(list(bets(nb))) == len(asked), lesson.stem


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


@pytest.mark.parametrize("target", re.findall(r"\bmake (\w+)", README))
def test_its_make_targets_are_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?:^|bin/|`)natsdemo ([\w-]+)", README, re.MULTILINE))))
def test_its_commands_are_there(command: str) -> None:
    done = subprocess.run([Path(sys.executable).with_name("natsdemo"), command, "--help"], capture_output=True)
    assert done.returncode == 0
