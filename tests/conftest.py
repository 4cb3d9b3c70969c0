"""What every test gets: a temporary directory of its own, and the proof that it left nothing behind."""

import asyncio
import contextlib
import inspect
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import psutil
import pytest
from browsers import CHROMIUM, QUIET
from nats.aio.client import Client
from playwright.sync_api import Page, sync_playwright

from natsdemo.server import Server, ServerError, find_binary

Connect = Callable[..., Awaitable[Client]]

# Threads that a library starts once for the whole process, and ends with it.
PROCESS_WIDE = ("TMonitor",)  # tqdm's, behind papermill's progress bar


pytest.register_assert_rewrite("pictures")


def pytest_configure(config: pytest.Config) -> None:
    # nats-py drops the stream of an attempt to reconnect that failed half-way; asyncio closes it then. A socket that
    # stays open is still found by `nest`.
    config.addinivalue_line("filterwarnings", "ignore:unclosed <StreamWriter:ResourceWarning")


def pytest_sessionstart(session: pytest.Session) -> None:
    # Whoever starts us in the background has us ignore Ctrl-C, and what we start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        find_binary()
    except ServerError as error:
        pytest.exit(str(error), returncode=1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, the tests of a file stay together, unless they say which others they belong to."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


class Nest:
    """The temporary directory of one test, and what was started in there.

    Server and guard have the path of the server's directory in their command lines: so they are found, whoever
    started them, and those of other tests are not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = set(psutil.pids())

    def processes(self) -> list[psutil.Process]:
        """Those that mention this directory, and our own descendants, as far as this test started them."""
        return [process for pid in set(psutil.pids()) - self._before if (process := self._ours(pid))]

    def _ours(self, pid: int) -> psutil.Process | None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            command = " ".join(process.cmdline())
            ours = any(parent.pid == os.getpid() for parent in process.parents())
            if str(self.path) in command or (ours and "resource_tracker" not in command):
                return process
        return None

    def servers(self) -> list[psutil.Process]:
        """The nats-servers that run, without their guards."""
        return [process for process in self._of_servers() if _named(process) == "nats-server"]

    def directories(self) -> list[Path]:
        """The directories of servers."""
        return list(self.path.glob("natsdemo-*"))

    def left(self) -> list[object]:
        """Everything that servers could leave behind: themselves, their guards, their directories."""
        return [*self._of_servers(), *self.directories()]

    def _of_servers(self) -> list[psutil.Process]:
        return [process for process in self.processes() if f"{self.path}/natsdemo-" in _command(process)]

    async def empty(self, within: float = 2) -> float:
        """Wait until nothing is left, and return how long that took; fail after `within` seconds."""
        start = time.monotonic()
        while left := self.left():
            assert time.monotonic() < start + within, f"left after {within:g} s: {left}"
            await asyncio.sleep(0.01)
        return time.monotonic() - start


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _named(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _sockets() -> set[int]:
    found = set()
    for descriptor in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):
            status = os.fstat(int(descriptor.name))
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return found


@pytest.fixture(autouse=True)
def nest(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Nest]:
    """The test's own temporary directory, and the proof that no process, directory, thread or socket survives.

    It is set up before the test's event loop and torn down after it.
    """
    nest = Nest(Path(tempfile.mkdtemp(prefix="t-", dir=tmp_path_factory.getbasetemp())))
    monkeypatch.setattr(tempfile, "tempdir", str(nest.path))
    monkeypatch.setenv("TMPDIR", str(nest.path))
    for name in ("NATS_URL", "NATS_CREDS", "NATSDEMO_SERVER", "NATSDEMO_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    threads, sockets = set(threading.enumerate()), _sockets()

    def left() -> list[object]:
        living = [t for t in set(threading.enumerate()) - threads if type(t).__name__ not in PROCESS_WIDE]
        return [*nest.processes(), *nest.directories(), *living, *(f"socket {n}" for n in _sockets() - sockets)]

    yield nest
    deadline = time.monotonic() + 3
    while (found := left()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in nest.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert not found, f"the test left behind: {found}"


@pytest.fixture(autouse=True)
def _tasks(nest: Nest, request: pytest.FixtureRequest) -> None:
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_task_left")


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    """The proof that no asyncio task survives; torn down last of all that runs in the test's event loop."""
    yield
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        left = (await asyncio.wait(others, timeout=3))[1]
        assert not left, f"the test left behind: {left}"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A nats-server that runs."""
    async with Server() as server:
        yield server


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`await connect(url, ...)` is `nats.connect` that reconnects quickly and quietly, and is closed by itself."""
    clients: list[Client] = []

    async def quiet(_: Exception) -> None: ...

    async def connect(url: str | list[str], **options: Any) -> Client:
        defaults = {"reconnect_time_wait": 0.05, "max_reconnect_attempts": -1, "error_cb": quiet}
        async with asyncio.timeout(5):
            client = await nats.connect(url, **(defaults | options))
        clients.append(client)
        return client

    yield connect
    for client in clients:
        await client.close()
        task = client._reconnection_task
        while task and not task.done():  # nats-py now and then swallows a cancellation, and would dial for ever
            task.cancel()
            await asyncio.sleep(0.01)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    pem = tmp_path / "server.pem"
    command = "openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=natsdemo"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", pem],
        check=True,
        capture_output=True,
    ) if shutil.which("openssl") else pytest.skip("openssl is not installed: no certificate for this test")
    certificate = pem.read_text()
    (tmp_path / "ca.pem").write_text(certificate[certificate.index("-----BEGIN CERTIFICATE") :])
    return pem


@pytest.fixture
def page() -> Iterator[Page]:
    """A tall window, so that JupyterLab renders every cell."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 12_000})
        page.set_default_timeout(30_000)
        yield page
        browser.close()
