"""The README says what is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from natsdemo.cli.claims import claims_page
from natsdemo.cli.notebooks import notebooks_dir, with_lessons

ROOT = notebooks_dir().parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_lessons_is_that_of_the_notebooks() -> None:
    assert with_lessons(README) == README, "run `make notebooks` and commit"


def test_the_page_of_claims_is_that_of_the_notebooks() -> None:
    page = (notebooks_dir() / "claims.md").read_text(encoding="utf-8")
    assert page == claims_page(), "run `make notebooks` and commit"


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


@pytest.mark.parametrize("target", re.findall(r"\bmake (\w+)", README))
def test_its_make_targets_are_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?:^|bin/|`)natsdemo (\w+)", README, re.MULTILINE))))
def test_its_commands_are_there(command: str) -> None:
    done = subprocess.run([Path(sys.executable).with_name("natsdemo"), command, "--help"], capture_output=True)
    assert done.returncode == 0
