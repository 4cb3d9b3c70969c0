"""docker-compose.yml: valid, closed to the outside and, where a container engine answers, run for real."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
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

from natsdemo.server import Composed, ServerError

FILE = Path(__file__).parents[1] / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
IMAGE: str = SERVICES["nats"]["image"]


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


def test_one_server_always_and_three_in_the_profile() -> None:
    assert {name: service.get("profiles") for name, service in SERVICES.items()} == {
        "nats": None,
        "n1": ["cluster"],
        "n2": ["cluster"],
        "n3": ["cluster"],
    }


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_is_pinned_watched_and_published_on_loopback_only(service: dict[str, Any]) -> None:
    assert service["image"] == IMAGE
    assert service["healthcheck"]["test"][:2] == ["CMD", "wget"]
    assert [port.rpartition(":")[2] for port in service["ports"]] == ["4222", "8222"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.fixture(scope="module")
def image() -> Iterator[None]:
    """The image that the file names: here already, or pulled, or stood in for and removed afterwards."""
    if not succeeds("docker", "info"):
        pytest.skip("no container engine answers `docker info`: start Docker to run this test")
    if succeeds("docker", "image", "inspect", IMAGE) or succeeds("docker", "pull", IMAGE, within=300):
        yield
        return
    try:
        standin_image.build(IMAGE)
    except FileNotFoundError as reason:
        pytest.skip(f"{IMAGE} can't be pulled, nor a stand-in built: {reason}")
    warnings.warn(f"{IMAGE} can't be pulled: ran on a stand-in, not on the official image", stacklevel=1)
    yield
    subprocess.run(["docker", "image", "rm", IMAGE], check=True)


@dataclass(frozen=True)
class Compose:
    """Compose at work on a project of this test's own."""

    command: list[str]
    project: str

    def __call__(self, *arguments: str) -> None:
        subprocess.run([*self.command, "-f", FILE, "-p", self.project, *arguments], check=True, timeout=120)

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
    compose = Compose(command, f"natsdemo-test-{os.getpid()}")
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
    compose("up", "-d")
    await compose.healthy("nats")
    assert await asyncio.to_thread(server_name, 8222) == "nats"
    js = (await connect("nats://127.0.0.1:4222")).jetstream()
    await js.add_stream(name="ORDERS", subjects=["orders"])
    await publish(js, "kept")
    for revive in ["start", "nats"], ["up", "-d", "--force-recreate"]:
        compose("kill", "nats")
        await compose.healthy()
        compose(*revive)
        await compose.healthy("nats")
        js = (await connect("nats://127.0.0.1:4222")).jetstream()
        assert (await js.get_msg("ORDERS", 1)).data == b"kept"


@pytest.mark.docker
async def test_a_cluster_goes_on_without_one_of_its_nodes(compose: Compose, connect: Connect) -> None:
    compose("--profile", "cluster", "up", "-d")
    await compose.healthy(*SERVICES)
    assert [await asyncio.to_thread(server_name, port) for port in (8231, 8232, 8233)] == ["n1", "n2", "n3"]
    nc = await connect("nats://127.0.0.1:4231")
    assert nc.discovered_servers == []
    await nc.jetstream().add_stream(name="ORDERS", subjects=["orders"], num_replicas=3)
    for hurt, heal in ("pause", "unpause"), ("kill", "start"):
        compose(hurt, "n3")
        await compose.healthy("nats", "n1", "n2")
        await publish(nc.jetstream(), f"without n3, after {hurt}")
        compose(heal, "n3")
        await compose.healthy(*SERVICES)
    js = (await connect("nats://127.0.0.1:4233")).jetstream()
    assert (await js.stream_info("ORDERS")).state.messages == 2


@pytest.mark.docker
async def test_the_lessons_run_on_it_and_may_hurt_it(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    compose("up", "-d")
    await compose.healthy("nats")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", compose.project)
    monkeypatch.setenv("NATSDEMO_SERVER", "compose")
    run = [str(Path(sys.executable).with_name("natsdemo")), "run", "--json"]
    done = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, timeout=300)
    assert all(lesson["ok"] for lesson in json.loads(done.stdout)), done.stdout
    async with Composed() as server:
        await server.kill()
        with pytest.raises(ServerError):
            await server.monitor("varz")
        await server.restart()
        assert (await server.monitor("healthz"))["status"] == "ok"
