"""The lessons in other hands: papermill, `jupyter execute`, and the dev container of VS Code and Codespaces."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import json5
import nbformat
import pytest
import yaml

from natsdemo.cli.claims import emitted
from natsdemo.cli.notebooks import notebooks_dir
from natsdemo.cli.run import first_error

ROOT = notebooks_dir().parent
CONTAINER: dict[str, Any] = json5.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))


def run(*command: str) -> None:
    """Run a tool of this environment at the root of the clone, as somebody in a terminal does."""
    tool = Path(sys.executable).with_name(command[0])
    done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr


def evidence(executed: Path) -> dict[str, str]:
    """What the claims of an executed lesson saw, by sentence; all of them held."""
    nb = nbformat.read(executed, nbformat.NO_CONVERT)
    assert first_error(nb) is None
    claims = emitted(nb)
    assert claims
    assert all(claim["holds"] for claim in claims)
    return {claim["sentence"]: claim["evidence"] for claim in claims}


def test_jupyter_execute_runs_a_lesson(tmp_path: Path) -> None:
    run("jupyter", "execute", "notebooks/00-start-here.ipynb", f"--output={tmp_path / 'out.ipynb'}")
    evidence(tmp_path / "out.ipynb")


def test_the_dev_container_has_the_environment_of_binder() -> None:
    name = yaml.safe_load((ROOT / "environment.yml").read_text())["name"]
    create, last = CONTAINER["postCreateCommand"].split(" && ")
    assert create == "conda env create --file environment.yml"
    assert last == f"conda run --name {name} --live-stream ./postBuild"
    python = Path(CONTAINER["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"])
    assert python == Path("/opt/conda/envs") / name / "bin" / "python"
    assert CONTAINER["remoteEnv"]["PATH"].split(os.pathsep)[0] == str(python.parent)


@pytest.mark.parametrize("page", CONTAINER["customizations"]["codespaces"]["openFiles"])
def test_codespaces_opens_what_is_there(page: str) -> None:
    assert (ROOT / page).is_file()
