"""`natsdemo bench`: each figure with its unit, its repeats, and the bare socket of the same run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NATSDEMO = str(Path(sys.executable).parent / "natsdemo")
THROUGHPUT = ["bare socket", "raw frames", "raw frames, stamped", "nats-py", "nats-py, stamped"]


def test_json_has_every_figure_with_unit_spread_and_its_share_of_the_ceiling(tmp_path: Path) -> None:
    command = [NATSDEMO, "bench", "--json", "--size", "16"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path)
    told = json.loads(run.stdout)
    assert told["repeats"] == 5
    assert told["size"] == 16
    figures = {figure["name"]: figure for figure in told["figures"]}
    for figure in figures.values():
        assert len(figure["values"]) == 5
        assert 0 < figure["least"] <= figure["median"] <= figure["most"]
    throughput = [figure for figure in figures.values() if figure["unit"] == "messages/s"]
    assert [figure["name"] for figure in throughput] == THROUGHPUT
    assert figures["bare socket"]["of_ceiling"] == 1
    assert all(figure["of_ceiling"] > 0 for figure in throughput)
    assert {figure["unit"] for figure in figures.values()} == {"messages/s", "µs"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_json_there_are_a_table_and_a_picture(tmp_path: Path) -> None:
    run = subprocess.run([NATSDEMO, "bench"], capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path)
    assert all(name in run.stdout for name in THROUGHPUT)
    assert "drawn in bench.png" in run.stdout
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_size_that_is_none_is_one_line() -> None:
    run = subprocess.run([NATSDEMO, "bench", "--size", "-1"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "Traceback" not in run.stderr
