"""The command line, run as people run it: as a process."""

import asyncio
import contextlib
import datetime
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import psutil
import pytest
from conftest import Connect, Nest

from natsdemo.cli import UserError, claims, lab, notebooks
from natsdemo.server import Composed, Server
from natsdemo.server.loopback import free_port

NATSDEMO = str(Path(sys.executable).parent / "natsdemo")
COMMANDS = ["lab", "doctor", "server", "run", "bench", "claims", "workshop", "join"]

CLAIM = """\
from IPython.display import display
claim = {"sentence": "Two and two make four.", "holds": True, "evidence": "4"}
display({"application/vnd.natsdemo.claim+json": claim, "text/plain": "holds"}, raw=True)"""
FALSE_CLAIM = """\
class ClaimFailed(AssertionError): ...
raise ClaimFailed("Every message arrives.")"""
PATHS = """\
import os, sys, tempfile
print(os.getcwd(), sys.executable, tempfile.gettempdir() + "/natsdemo-abc/store")"""


def natsdemo(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [NATSDEMO, *map(str, arguments)], capture_output=True, text=True, timeout=90, cwd=cwd, env=os.environ | env
    )


@contextlib.asynccontextmanager
async def running(*arguments: str, cwd: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that stays, and is gone at the end whatever happens."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(NATSDEMO, *arguments, stdout=pipe, stderr=pipe, cwd=cwd)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process, within: float = 30) -> str:
    """The next line of its output; what it complains of if there is none."""
    assert process.stdout
    assert process.stderr
    said = (await asyncio.wait_for(process.stdout.readline(), within)).decode()
    return said or (await asyncio.wait_for(process.stderr.read(), within)).decode()


async def ended(process: asyncio.subprocess.Process, within: float = 15) -> int:
    return await asyncio.wait_for(process.wait(), within)


def assert_one_line(said: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert said.returncode == code, said
    assert said.stderr.startswith("natsdemo: ")
    assert said.stderr.count("\n") == 1, said.stderr
    for word in words:
        assert word in said.stderr


# Help and mistakes


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help_reads_well(command: list[str]) -> None:
    said = natsdemo(*command, "--help", COLUMNS="80")
    assert said.returncode == 0
    assert said.stderr == ""
    assert said.stdout.startswith(f"Usage: {' '.join(['natsdemo', *command])} ")
    assert max(map(len, said.stdout.splitlines())) <= 80
    assert "..." not in said.stdout.replace("[ARGS]...", "").replace("[LESSON]...", ""), "a summary that is cut off"


def test_alone_it_shows_all_commands() -> None:
    said = natsdemo()
    assert said.returncode == 0
    assert all(f"\n  {command} " in said.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["frobnicate"], "see `natsdemo --help`"),
        (["run", "--frobnicate"], "see `natsdemo run --help`"),
        (["lab", "--port", "many"], "see `natsdemo lab --help`"),
        (["lab", "--server", "theirs"], "compose"),
        (["server", "--cluster", "0"], "see `natsdemo server --help`"),
        (["server", "--cluster", "3", "--port", "4222"], "--port"),
    ],
)
def test_a_mistyped_command_line_is_one_line_that_points_to_the_help(arguments: list[str], word: str) -> None:
    assert_one_line(natsdemo(*arguments), 2, word)


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [("typer", "doctor", "cli"), ("papermill", "run", "lab"), ("jupyterlab.labapp", "lab", "lab")],
)
def test_what_is_not_installed_is_named(module: str, command: str, extra: str, lessons: Path) -> None:
    program = f"import sys; sys.modules[{module!r}] = None; from natsdemo.cli import main; main()"
    arguments = [str(lessons / "01-good.ipynb")] if command == "run" else []
    said = subprocess.run(
        [sys.executable, "-c", program, command, *arguments], capture_output=True, text=True, cwd=lessons.parent
    )
    assert_one_line(said, 1, module, f"pip install 'natsdemo[{extra}]'")


# doctor


def test_doctor_finds_this_machine_well() -> None:
    said = natsdemo("doctor", "--json")
    checks = {check["check"]: check for check in json.loads(said.stdout)}
    required = ["python", "packages", "binary", "server", "place", "ports", "disk", "kernel"]
    assert [name for name, check in checks.items() if check["required"]] == required
    assert [name for name, check in checks.items() if not check["required"]] == ["browser", "compose"]
    assert all(set(check) == {"check", "ok", "required", "detail"} for check in checks.values())
    assert all(checks[name]["ok"] for name in required), said.stdout
    assert "nats-py 2." in checks["packages"]["detail"]
    assert said.returncode == 0


@pytest.mark.parametrize(
    ("env", "to_do"),
    [
        ({"NATSDEMO_SERVER_BIN": "/nowhere/nats-server"}, "correct that path"),
        ({"NATS_URL": "nats://127.0.0.1:9"}, "correct NATS_URL"),
    ],
)
def test_doctor_says_what_to_do(env: dict[str, str], to_do: str) -> None:
    said = natsdemo("doctor", cwd=None, **env)
    assert said.returncode == 1
    assert any(line.startswith("to do: ") and to_do in line for line in said.stdout.splitlines()), said.stdout
    assert said.stderr == ""


# server


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_server_serves_until_it_is_ended(connect: Connect, nest: Nest, how: signal.Signals) -> None:
    port = free_port()
    async with running("server", "--port", str(port)) as process:
        said = await line(process)
        assert f"nats://127.0.0.1:{port} " in said
        await (await connect(f"nats://127.0.0.1:{port}")).flush()
        monitor = urlsplit(said.split()[-1])
        assert monitor.port
        assert get(monitor.port, "/healthz")[0] == 200
        process.send_signal(how)
        assert await ended(process) == (-how if how is signal.SIGKILL else 0)
        await nest.empty()


async def test_a_cluster_has_a_line_for_each_server(connect: Connect, nest: Nest) -> None:
    async with running("server", "--cluster", "3") as process:
        urls = [(await line(process)).split()[2] for _ in range(3)]
        clients = [await connect(url) for url in urls]
        heard = asyncio.Event()

        async def hear(_: Any) -> None:
            heard.set()

        await clients[0].subscribe("hello", cb=hear)
        await clients[0].flush()
        async with asyncio.timeout(5):
            while not heard.is_set():  # until the interest is known across the route
                await clients[2].publish("hello")
                await asyncio.wait([asyncio.create_task(heard.wait())], timeout=0.05)
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0
        await nest.empty()


async def test_server_notices_its_end(nest: Nest) -> None:
    async with running("server") as process:
        await line(process)
        for server in nest.servers():
            server.kill()
        assert await ended(process) == 1
        await nest.empty()


def test_server_says_what_is_wrong(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert_one_line(natsdemo("server", "--port", str(taken.getsockname()[1])), 1, "is taken")
    config = tmp_path / "nats.conf"
    assert_one_line(natsdemo("server", "--config", config), 1, "correct --config")
    config.write_text("max_payload: 1x {")
    assert_one_line(natsdemo("server", "--config", config), 1, "Parse error")


# run


def write_lesson(path: Path, *sources: str) -> None:
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "id": "c0", "metadata": {}, "source": ["# A lesson"]}]
    for i, source in enumerate(sources, 1):
        cell = {"cell_type": "code", "id": f"c{i}", "metadata": {}, "source": source.splitlines(keepends=True)}
        cells.append(cell | {"execution_count": None, "outputs": []})
    spec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nb = {"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(nb))


@pytest.fixture
def lessons(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_lesson(folder / "01-good.ipynb", CLAIM, CLAIM, PATHS)
    write_lesson(folder / "02-false.ipynb", CLAIM, FALSE_CLAIM, CLAIM)
    write_lesson(folder / "03-zero.ipynb", "1 / 0")
    return folder


def test_run_tells_a_false_claim_from_an_error_and_writes_nothing(lessons: Path) -> None:
    paths = sorted(lessons.iterdir())
    before = [path.read_bytes() for path in paths]
    said = natsdemo("run", "--json", *paths)
    results = json.loads(said.stdout)
    assert all(result.pop("seconds") > 0 for result in results)
    assert results == [
        {"lesson": "01-good", "ok": True, "claims": 2, "failed_claim": None, "error": None},
        {"lesson": "02-false", "ok": False, "claims": 1, "failed_claim": "Every message arrives.", "error": None},
        {
            "lesson": "03-zero",
            "ok": False,
            "claims": 0,
            "failed_claim": None,
            "error": "ZeroDivisionError: division by zero",
        },
    ]
    assert said.returncode == 1
    assert said.stderr == ""
    assert [path.read_bytes() for path in sorted(lessons.iterdir())] == before


def test_run_prints_a_line_a_lesson(lessons: Path) -> None:
    said = natsdemo("run", lessons / "01-good.ipynb", lessons / "03-zero.ipynb")
    zero, good = sorted(said.stdout.splitlines())  # they run side by side
    assert good.split() == ["ok", "01-good", good.split()[2], "s", "2", "claims", "held"]
    assert zero.startswith("FAILED  03-zero ")
    assert zero.endswith("ZeroDivisionError: division by zero")
    assert said.returncode == 1


def test_lessons_run_side_by_side_and_those_that_measure_alone(tmp_path: Path) -> None:
    """Two lessons meet, each seeing that the other runs; the one that is alone meets nobody."""
    here = "import os, pathlib, time\nhere = pathlib.Path('here')\nhere.mkdir(exist_ok=True)\n"
    come = here + "(here / str(os.getpid())).touch()\nend = time.monotonic() + 30\n"
    meet = come + "while len(list(here.iterdir())) < 2:\n    assert time.monotonic() < end\n    time.sleep(0.02)"
    leave = "pathlib.Path(f'left {os.getpid()}').touch()"
    write_lesson(tmp_path / "01-a.ipynb", meet, leave)
    write_lesson(tmp_path / "03-b.ipynb", meet, leave)
    write_lesson(
        tmp_path / "02-alone.ipynb", here + "assert len([*here.iterdir()]) == len([*here.parent.glob('left *')])"
    )
    alone = json.loads((tmp_path / "02-alone.ipynb").read_text())
    alone["metadata"]["natsdemo"] = {"alone": True}
    (tmp_path / "02-alone.ipynb").write_text(json.dumps(alone))
    results = json.loads(natsdemo("run", "--json", *sorted(tmp_path.glob("*.ipynb"))).stdout)
    assert [(result["lesson"], result["ok"], result["error"]) for result in results] == [
        ("01-a", True, None),
        ("02-alone", True, None),
        ("03-b", True, None),
    ]


def test_write_changes_outputs_and_their_hash_alone(lessons: Path) -> None:
    good, false = lessons / "01-good.ipynb", lessons / "02-false.ipynb"
    before, false_before = json.loads(good.read_text()), false.read_bytes()
    assert natsdemo("run", "--write", good).returncode == 0
    once = good.read_bytes()
    assert natsdemo("run", "--write", good, false).returncode == 1
    assert good.read_bytes() == once
    assert false.read_bytes() == false_before, "a lesson that failed is not written"

    after = json.loads(once)
    assert str(lessons) not in once.decode()
    assert sys.prefix not in once.decode()
    assert after["cells"][3]["outputs"][0]["text"] == ["… …/bin/python3 …\n"]
    today = datetime.date.today().isoformat()
    assert after["metadata"].pop("natsdemo") == {"source_hash": notebooks.source_hash(before), "ran": today}
    for cell in after["cells"][1:]:
        assert cell["outputs"]
        cell["outputs"], cell["execution_count"] = [], None
    assert after == before


def test_a_cell_may_announce_that_it_raises(tmp_path: Path) -> None:
    path = tmp_path / "raises.ipynb"
    write_lesson(path, "1 / 0", CLAIM)
    nb = json.loads(path.read_text())
    nb["cells"][1]["metadata"]["tags"] = ["raises-exception"]
    path.write_text(json.dumps(nb))
    (result,) = json.loads(natsdemo("run", "--json", path).stdout)
    assert (result["ok"], result["claims"]) == (True, 1)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("count", [1, 2])
async def test_an_interrupted_run_leaves_nothing(tmp_path: Path, how: signal.Signals, count: int) -> None:
    ups = [tmp_path / f"up{k}" for k in range(count)]
    for up in ups:
        write_lesson(
            tmp_path / f"{up.name}.ipynb",
            "from natsdemo.server import Server\nserver = await Server().start()",
            f"import os, pathlib\npathlib.Path({str(up)!r}).touch()\nawait __import__('asyncio').sleep(60)",
        )
    async with running("run", *(f"{up}.ipynb" for up in ups)) as process:
        async with asyncio.timeout(30):
            while not all(up.exists() for up in ups):  # noqa: ASYNC110 (other processes make them)
                await asyncio.sleep(0.02)
        kernels = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(how)
        assert await ended(process) == 130
        _, alive = psutil.wait_procs(kernels, timeout=3)
        assert not alive


def test_lessons_are_found_by_number_name_and_path(lessons: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "notebooks_dir", lambda: lessons)
    good, zero = lessons / "01-good.ipynb", lessons / "03-zero.ipynb"
    for wanted in ("1", "01", "good", "01-good", "01-good.ipynb", str(good)):
        assert notebooks.find_lessons([wanted]) == [good], wanted
    assert notebooks.find_lessons(["3", "1"]) == [zero, good]
    assert notebooks.find_lessons([]) == sorted(lessons.glob("*.ipynb"))
    with pytest.raises(UserError, match="choose from 01-good, 02-false, 03-zero"):
        notebooks.find_lessons(["4"])


def test_without_lessons_it_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natsdemo.__file__", str(tmp_path / "site-packages/natsdemo/__init__.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="clone of natsdemo"):
        notebooks.notebooks_dir()


def test_the_hash_is_of_the_sources_alone(lessons: Path) -> None:
    path = lessons / "01-good.ipynb"
    raw = json.loads(path.read_text())
    read = nbformat.read(path, nbformat.NO_CONVERT)
    assert notebooks.source_hash(raw) == notebooks.source_hash(read), "lines or one string, it is the same source"
    read.cells[1].execution_count = 7
    assert notebooks.source_hash(raw) == notebooks.source_hash(read)
    read.cells[0].source += "!"
    assert notebooks.source_hash(raw) != notebooks.source_hash(read)


# lab


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request(method, path)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_lab_answers_where_it_says_and_takes_its_kernels_with_it(
    lessons: Path, nest: Nest, how: signal.Signals
) -> None:
    port = free_port()
    async with running("lab", "--no-browser", "--port", str(port), cwd=lessons.parent) as process:
        said = await line(process)
        assert said.startswith(f"natsdemo: http://127.0.0.1:{port}/lab/tree/0"), said
        url = urlsplit(said.split()[1])
        assert get(port, f"{url.path}?{url.query}")[0] == 200
        assert get(port, "/api/kernels")[0] == 403, "it asks for the token"
        news = get(port, f"/lab/api/settings/@jupyterlab/apputils-extension:notification?{url.query}")[1]
        assert json.loads(news)["schema"]["properties"]["fetchNews"]["default"] == "false"

        assert get(port, f"/api/kernels?{url.query}", "POST")[0] == 201
        (kernel,) = psutil.Process(process.pid).children()
        assert kernel.cmdline()[0] == sys.executable
        listening = {c.laddr.ip for c in psutil.Process(process.pid).net_connections() if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}

        process.send_signal(how)
        assert await ended(process) == 0
        assert not kernel.is_running()
        await nest.empty()


async def test_ctrl_c_ends_a_lab_in_which_nothing_happens(lessons: Path) -> None:
    async with running("lab", "--no-browser", "--port", str(free_port()), cwd=lessons.parent) as process:
        await line(process)
        lab, before = psutil.Process(process.pid), None
        while before != (before := sum(lab.cpu_times()[:2])):  # noqa: ASYNC110 (a process tells nobody)
            await asyncio.sleep(0.5)  # until it has come to rest
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0


def test_lab_says_what_is_wrong(lessons: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert_one_line(natsdemo("lab", "--port", str(taken.getsockname()[1]), cwd=lessons.parent), 1, "is taken")


async def test_lab_tells_the_kernels_where_lessons_run(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "Composed", lambda: Composed(server.url))
    monkeypatch.setenv("NATSDEMO_SERVER", "")
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:9")
    await asyncio.to_thread(lab.choose_server, None)
    assert os.environ["NATS_URL"]
    await asyncio.to_thread(lab.choose_server, "compose")
    assert os.environ["NATSDEMO_SERVER"] == "compose"
    await asyncio.to_thread(lab.choose_server, "embedded")
    assert "NATSDEMO_SERVER" not in os.environ
    assert "NATS_URL" not in os.environ


def test_lab_wants_the_composed_server_up(lessons: Path) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 4222)) == 0:
            pytest.skip("something answers at 4222")
    start = time.monotonic()
    assert_one_line(natsdemo("lab", "--server", "compose", cwd=lessons.parent), 1, "docker compose up -d")
    assert time.monotonic() - start < 10


# claims


def test_claims_lists_what_the_last_run_has_proved(lessons: Path) -> None:
    good, zero = lessons / "01-good.ipynb", lessons / "03-zero.ipynb"
    assert natsdemo("claims", good).stdout.splitlines()[-1] == "0 of 0 claims held, in 1 lessons"
    natsdemo("run", "--write", good)
    (claim,) = json.loads(natsdemo("claims", "--json", good, zero).stdout)
    assert claim["lesson"] == "01-good"
    assert (claim["sentence"], claim["holds"], claim["evidence"]) == ("Two and two make four.", True, "4")
    assert claim["ran"] == datetime.date.today().isoformat()
    said = natsdemo("claims", good, zero).stdout
    assert "✓ 01     Two and two make four.\n         4\n" in said
    assert "03-zero, not run yet" in said
    assert said.endswith("1 of 1 claims held, in 2 lessons\n")


def test_a_cell_of_the_claims_page_means_nothing_but_code() -> None:
    assert claims._cell("Nobody gets `a|b` of <b> $x$ [1] *all*.") == (
        r"Nobody gets `a\|b` of &lt;b&gt; &#36;x&#36; \[1\] \*all\*."
    )
