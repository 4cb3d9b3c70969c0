"""docker-compose.yml: valid, closed to the outside and, where a container engine answers, run for real."""

import asyncio
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import standin_image
import yaml
from conftest import Connect
from nats.errors import TimeoutError as NoAnswerError
from nats.js import JetStreamContext
from nats.js.errors import NoStreamResponseError

from natsdemo.server import Composed, Server, ServerError

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
LAB = SERVICES["lab"]
SERVERS = {name: service for name, service in SERVICES.items() if service is not LAB}
IMAGE: str = SERVERS["nats"]["image"]


def succeeds(*command: str, within: float = 20) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, timeout=within).returncode == 0


@pytest.fixture(params=["docker compose", "docker-compose"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """Compose, in the generation that is a plug-in and in the one that stands alone."""
    command: list[str] = request.param.split()
    if not succeeds(*command, "version"):
        pytest.skip(f"`{request.param}` is not installed")
    return command


def test_the_file_follows_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    subprocess.run(check, check=True)


def test_compose_accepts_the_file(command: list[str]) -> None:
    subprocess.run([*command, "-f", FILE, "--profile", "cluster", "config", "-q"], check=True)


def test_a_lab_and_one_server_always_and_three_in_the_profile() -> None:
    assert {name: service.get("profiles") for name, service in SERVICES.items()} == {
        "nats": None,
        "lab": None,
        "n1": ["cluster"],
        "n2": ["cluster"],
        "n3": ["cluster"],
    }


@pytest.mark.parametrize("service", SERVERS.values(), ids=SERVERS)
def test_a_server_is_pinned_watched_and_published_on_loopback_only(service: dict[str, Any]) -> None:
    assert service["image"] == IMAGE
    assert service["healthcheck"]["test"][:2] == ["CMD", "wget"]
    assert [port.rpartition(":")[2] for port in service["ports"]] == ["4222", "8222"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_lab_is_published_on_loopback_only_and_has_the_python_of_the_environment() -> None:
    assert LAB["ports"] == ["127.0.0.1:8888:8888"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (python,) = (line for line in environment["dependencies"] if str(line).startswith("python="))
    assert LAB["image"] == f"{python.replace('=', ':')}-slim"


def provided(tag: str, stand_in: Callable[[str], None]) -> Iterator[None]:
    """Has an image that the file names: here already, or pulled, or stood in for and removed afterwards."""
    if not succeeds("docker", "info"):
        pytest.skip("no container engine answers `docker info`: start Docker to run this test")
    if succeeds("docker", "image", "inspect", tag) or succeeds("docker", "pull", tag, within=300):
        yield
        return
    try:
        stand_in(tag)
    except FileNotFoundError as reason:
        pytest.skip(f"{tag} can't be pulled, nor a stand-in built: {reason}")
    warnings.warn(f"{tag} can't be pulled: ran on a stand-in, not on the official image", stacklevel=1)
    yield
    subprocess.run(["docker", "image", "rm", tag], check=True)


@pytest.fixture(scope="module")
def image() -> Iterator[None]:
    yield from provided(IMAGE, standin_image.build_nats)


@pytest.fixture(scope="module")
def python_image() -> Iterator[None]:
    yield from provided(LAB["image"], functools.partial(standin_image.build_python, owner=OWNER))


@dataclass(frozen=True)
class Compose:
    """Compose at work on a project of this test's own."""

    command: list[str]
    project: str
    file: Path

    def __call__(self, *arguments: str) -> str:
        """Returns what it printed."""
        command = [*self.command, "-f", str(self.file), "-p", self.project, *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8", timeout=300)
        return str(done.stdout)

    async def healthy(self, *services: str, within: float = 60) -> None:
        """Waits until these services, and no others of the project, are healthy."""
        ours = ["--filter", f"label=com.docker.compose.project={self.project}"]
        name = ["--format", '{{.Label "com.docker.compose.service"}}']
        deadline = time.monotonic() + within
        while (seen := lines("docker", "ps", "--filter", "health=healthy", *ours, *name)) != set(services):
            assert time.monotonic() < deadline, f"healthy: {seen}, wanted: {services}"
            await asyncio.sleep(0.1)


def lines(*command: str) -> set[str]:
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


@pytest.fixture
def compose(command: list[str], image: None) -> Iterator[Compose]:
    yield from composed(Compose(command, f"natsdemo-test-{os.getpid()}", FILE))


def composed(compose: Compose) -> Iterator[Compose]:
    """Leaves nothing of the project behind."""
    yield compose
    compose("--profile", "cluster", "down", "--volumes", "--timeout", "2")


async def publish(js: JetStreamContext, text: str, within: float = 30) -> None:
    """Publishes until it is acknowledged; the message's id keeps the repetitions out of the stream."""
    async with asyncio.timeout(within):
        while True:
            try:
                await js.publish("orders", text.encode(), timeout=1, headers={"Nats-Msg-Id": text})
                return
            except (NoAnswerError, NoStreamResponseError):
                await asyncio.sleep(0.1)


def server_name(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz", timeout=5) as answer:
        return str(json.load(answer)["server_name"])


@pytest.mark.docker
async def test_a_stream_outlives_its_server_and_its_container(compose: Compose, connect: Connect) -> None:
    compose("up", "-d", "nats")
    await compose.healthy("nats")
    assert await asyncio.to_thread(server_name, 8222) == "nats"
    js = (await connect("nats://127.0.0.1:4222")).jetstream()
    await js.add_stream(name="ORDERS", subjects=["orders"])
    await publish(js, "kept")
    for revive in ["start", "nats"], ["up", "-d", "--force-recreate", "nats"]:
        compose("kill", "nats")
        await compose.healthy()
        compose(*revive)
        await compose.healthy("nats")
        js = (await connect("nats://127.0.0.1:4222")).jetstream()
        assert (await js.get_msg("ORDERS", 1)).data == b"kept"


@pytest.mark.docker
async def test_a_cluster_goes_on_without_one_of_its_nodes(compose: Compose, connect: Connect) -> None:
    compose("--profile", "cluster", "up", "-d", *SERVERS)
    await compose.healthy(*SERVERS)
    assert [await asyncio.to_thread(server_name, port) for port in (8231, 8232, 8233)] == ["n1", "n2", "n3"]
    nc = await connect("nats://127.0.0.1:4231")
    assert nc.discovered_servers == []
    await nc.jetstream().add_stream(name="ORDERS", subjects=["orders"], num_replicas=3)
    for hurt, heal in ("pause", "unpause"), ("kill", "start"):
        compose(hurt, "n3")
        await compose.healthy("nats", "n1", "n2")
        await publish(nc.jetstream(), f"without n3, after {hurt}")
        compose(heal, "n3")
        await compose.healthy(*SERVERS)
    js = (await connect("nats://127.0.0.1:4233")).jetstream()
    assert (await js.stream_info("ORDERS")).state.messages == 2


@pytest.fixture
async def here(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> Composed:
    """The composed server as lessons have it."""
    compose("up", "-d", "nats")
    await compose.healthy("nats")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", compose.project)
    monkeypatch.setenv("NATSDEMO_SERVER", "compose")
    return Composed()


@pytest.mark.docker
async def test_lessons_may_hurt_it_and_leave_it_running(here: Composed) -> None:
    await here.kill()
    await here.kill()
    with pytest.raises(ServerError):
        await here.monitor("varz")
    await here.start()
    assert (await here.monitor("healthz"))["status"] == "ok"
    await here.pause()
    await here.resume()
    await here.pause()
    await here.close()
    assert here.state == "running"
    assert (await here.monitor("healthz"))["status"] == "ok"


@pytest.mark.docker
async def test_a_lesson_finds_it_empty_unless_it_is_in_use(here: Composed, connect: Connect) -> None:
    client = await connect(here.url)
    await client.jetstream().add_stream(name="ORDERS", subjects=["orders"])
    assert not await here.take()
    assert (await client.jetstream().stream_info("ORDERS")).config.name == "ORDERS"
    await client.close()
    await here.pause()  # by an earlier lesson, which has ended in the middle
    assert await Composed().take()
    assert await (await connect(here.url)).jetstream().streams_info() == []


@pytest.mark.docker
async def test_what_is_not_ours_is_not_emptied(compose: Compose, connect: Connect) -> None:
    async with Server(port=4222) as somebodys:
        client = await connect(somebodys.url)
        await client.jetstream().add_stream(name="ORDERS", subjects=["orders"])
        with pytest.raises(ServerError, match=r"^Our composed server does not run at .*: run `docker compose up -d"):
            await Composed().take()
        assert (await client.jetstream().stream_info("ORDERS")).config.name == "ORDERS"


@pytest.mark.docker
async def test_a_lesson_runs_on_it(here: Composed) -> None:
    """One, and the others as well in `make soak`."""
    await course("00")
    assert (await here.monitor("varz"))["total_connections"] > 0


async def course(*lessons: str) -> None:
    """Run these lessons, or all of them, one after the other."""
    run = [str(Path(sys.executable).with_name("natsdemo")), "run", "--json", "--jobs", "1", *lessons]
    done = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True)
    assert [lesson for lesson in json.loads(done.stdout) if not lesson["ok"]] == []


@pytest.mark.docker
@pytest.mark.slow
async def test_the_whole_course_runs_on_it(here: Composed) -> None:
    await course()


@pytest.mark.docker
@pytest.mark.slow
async def test_the_whole_course_runs_on_a_cluster_s_node(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    compose("--profile", "cluster", "up", "-d", *SERVERS)
    await compose.healthy(*SERVERS)
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:4232")
    await course()


# JupyterLab

# Whoever has the clone: an ordinary user, if we may make it theirs.
OWNER = 65534 if os.getuid() == 0 else os.getuid()


@pytest.fixture
def lab(command: list[str], image: None, python_image: None, tmp_path: Path) -> Iterator[Compose]:
    """A clone of somebody's, and compose in it."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "build", "__pycache__"))
    if os.getuid() == 0:
        for path in clone, *clone.rglob("*"):
            os.chown(path, OWNER, OWNER)
    yield from composed(Compose(command, f"natsdemo-test-{os.getpid()}", clone / FILE.name))


def status(url: str, method: str = "GET", body: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.mark.docker
@pytest.mark.slow
async def test_compose_alone_gives_jupyterlab_at_an_address_with_a_token(lab: Compose) -> None:
    lab("up", "-d")
    await lab.healthy("nats", "lab", within=600)
    address = re.search(r"http://127\.0\.0\.1:8888(/lab/tree/00\S+)\?token=(\w+)", lab("logs", "lab"))
    assert address, "its log tells the address"
    assert await asyncio.to_thread(status, address[0]) == 200
    files, token = "http://127.0.0.1:8888/api/contents/", f"?token={address[2]}"
    assert await asyncio.to_thread(status, files) == 403
    note = json.dumps({"type": "file", "format": "text", "content": "mine"}).encode()
    assert await asyncio.to_thread(status, f"{files}note.txt{token}", "PUT", note) == 201
    assert (lab.file.parent / "notebooks" / "note.txt").stat().st_uid == OWNER
    before = (await Composed().monitor("varz"))["total_connections"]
    done = lab("exec", "-T", "lab", "/lab/venv/bin/natsdemo", "run", "--json", "00", "10b")
    assert all(lesson["ok"] for lesson in json.loads(done)), done
    assert (await Composed().monitor("varz"))["total_connections"] > before, "a lesson uses the server beside it"
