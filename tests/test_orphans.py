"""Whatever ends the owner ends its servers: within 2 seconds no process and no directory of theirs is left."""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Nest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

OPEN_A_SERVER = """
from natsdemo.server import Cluster, Server
server = await Server().start()
"""
OPEN_A_CLUSTER = """
from natsdemo.server import Cluster, Server
cluster = await Cluster().start()
"""


async def until(condition: Callable[[], object], deadline: float = 20) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not so after {deadline:g} s"
        await asyncio.sleep(0.01)


async def run(client: AsyncKernelClient, code: str) -> str:
    """Execute a cell and return what it printed; a cell that fails fails the test."""
    printed: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = await client.execute_interactive(code, allow_stdin=False, timeout=30, output_hook=hear)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)


async def message(client: AsyncKernelClient, kind: str) -> dict[str, Any]:
    """The next of this kind from the kernel."""
    while (message := await client.get_iopub_msg(timeout=20))["msg_type"] != kind:
        pass
    content: dict[str, Any] = message["content"]
    return content


@pytest.fixture(autouse=True)
def _own_jupyter(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jupyter's and IPython's own files belong into the test's directory too."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(nest.path / name.lower()))


@contextlib.asynccontextmanager
async def open_kernel(code: str) -> AsyncIterator[tuple[AsyncKernelManager, AsyncKernelClient]]:
    """A kernel that has run this cell."""
    file = (
        Path(tempfile.mkdtemp()) / "kernel.json"
    )  # sockets lie beside it: ports may be taken by the time they are used
    manager = AsyncKernelManager(transport="ipc", connection_file=str(file), ip=str(file.with_suffix("")))
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=30)
        await run(client, code)
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        manager.context.destroy()


def process(manager: AsyncKernelManager) -> int:
    pid = getattr(manager.provisioner, "pid", None)
    assert isinstance(pid, int)
    return pid


@pytest.mark.parametrize("time_of", range(1, 11))
async def test_kill_9_of_a_kernel_that_holds_a_cluster(nest: Nest, time_of: int) -> None:
    async with open_kernel(OPEN_A_CLUSTER) as (manager, _):
        assert len(nest.servers()) == 3
        assert len(nest.directories()) == 3
        os.kill(process(manager), signal.SIGKILL)
        await nest.empty(within=2)


async def test_interrupting_the_kernel_leaves_the_server_running_and_usable(nest: Nest) -> None:
    async with open_kernel(OPEN_A_SERVER) as (manager, client):
        [before] = nest.servers()
        client.execute("print('here'); import time; time.sleep(30)", stop_on_error=False)
        assert (await message(client, "stream"))["text"].strip() == "here"
        await manager.interrupt_kernel()
        await message(client, "error")
        use = """
            import nats
            client = await nats.connect(server.url)
            await client.jetstream().add_stream(name="S", subjects=["s"])
            print((await client.jetstream().publish("s", b"")).seq, server.state)
            await client.close()
        """
        assert await run(client, textwrap.dedent(use)) == "1 running\n"
        assert nest.servers() == [before]
        await run(client, "await server.close()")
        await nest.empty()


async def test_interrupting_the_kernel_while_it_starts_a_server(nest: Nest) -> None:
    async with open_kernel("from natsdemo.server import Server") as (manager, client):
        client.execute("while True:\n    server = await Server().start()\n    print(server)\n    await server.close()")
        await message(client, "stream")
        await manager.interrupt_kernel()
        await message(client, "error")
        os.kill(process(manager), signal.SIGKILL)
        await nest.empty(within=2)


async def test_restarting_the_kernel(nest: Nest) -> None:
    async with open_kernel(OPEN_A_SERVER) as (manager, _):
        await manager.restart_kernel(now=False)
        await nest.empty(within=2)


async def test_shutting_the_kernel_down(nest: Nest) -> None:
    async with open_kernel(OPEN_A_SERVER) as (manager, _):
        await manager.shutdown_kernel(now=False)
        await nest.empty(within=2)


async def test_kill_9_of_a_kernel_whose_server_is_paused_or_was_restarted(nest: Nest) -> None:
    more = "other = await Server('other').start(); await other.kill(); await other.start(); await server.pause()"
    async with open_kernel(OPEN_A_SERVER + more) as (manager, _):
        assert len(nest.servers()) == 2
        os.kill(process(manager), signal.SIGKILL)
        await nest.empty(within=2)


async def test_kill_9_of_a_kernel_whose_server_was_stopped(nest: Nest) -> None:
    async with open_kernel(OPEN_A_SERVER + "await server.stop()") as (manager, _):
        assert nest.servers() == []
        assert len(nest.directories()) == 1
        os.kill(process(manager), signal.SIGKILL)
        await nest.empty(within=2)


@pytest.mark.parametrize("verb", ["pause", "restart"])
async def test_kill_9_of_a_kernel_takes_its_clients_with_it(nest: Nest, verb: str) -> None:
    cell = f"""
        from natsdemo.lesson import open_lab, until
        lab = await open_lab()
        bob = lab.start_client("bob", "import asyncio; print(name); await asyncio.sleep(60)")
        await until(lambda: bob.output, 20)
        bob.{verb}()
    """
    async with open_kernel(textwrap.dedent(cell)) as (manager, client):
        bob = psutil.Process(int(await run(client, "print(bob.pid)")))
        os.kill(process(manager), signal.SIGKILL)
        await until(lambda: not bob.is_running() or bob.status() == psutil.STATUS_ZOMBIE, 2)
        await nest.empty(within=2)


# Jupyter itself


async def test_kill_9_of_jupyter(nest: Nest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:  # not where servers look for theirs: Jupyter takes seconds
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "jupyter_server", f"--port={port}", "--no-browser", "--allow-root"]
    options = ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={nest.path}"]
    with (nest.path / "jupyter.log").open("wb") as log:
        jupyter = subprocess.Popen([*command, *options], stdout=log, stderr=log, start_new_session=True)
    try:
        await until(lambda: answers(f"{address}/status"), 60)
        request = urllib.request.Request(f"{address}/kernels", data=b"{}", method="POST")
        await asyncio.to_thread(fetch, request)
        runtime = nest.path / "jupyter_runtime_dir"
        await until(lambda: list(runtime.glob("kernel-*.json")))
        client = AsyncKernelClient(connection_file=str(next(runtime.glob("kernel-*.json"))))
        client.load_connection_file()
        client.start_channels(hb=False)  # which would take a kernel that is slow to start for dead
        try:
            await client.wait_for_ready(timeout=30)
            await run(client, OPEN_A_CLUSTER)
        finally:
            client.stop_channels()
            client.context.destroy()
        assert len(nest.servers()) == 3
        jupyter.kill()
        await nest.empty(within=5)  # the kernel looks after its parent once a second
    finally:
        jupyter.kill()
        jupyter.wait()


def fetch(request: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=20) as page:
        return bytes(page.read())


def answers(url: str) -> bool:
    try:
        return bool(fetch(url))
    except (OSError, http.client.HTTPException):
        return False


# Plain programs


@contextlib.contextmanager
def program(directory: Path, code: str) -> Any:
    """A Python program that has printed a line, in a process group of its own as a terminal gives it."""
    text = f"import asyncio, os, sys, time\nfrom natsdemo.server import Server\n{textwrap.dedent(code)}"
    script = directory / "program.py"
    script.write_text(text)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        try:
            assert running.stdout
            assert running.stdout.readline()
            yield running
        finally:
            running.kill()


async def test_ctrl_c(nest: Nest) -> None:
    code = """
        async def main():
            async with Server() as server:
                print(server, flush=True)
                await asyncio.sleep(60)
        asyncio.run(main())
    """
    with program(nest.path, code) as running:
        assert len(nest.servers()) == 1
        os.killpg(running.pid, signal.SIGINT)
        await nest.empty(within=2)
        assert running.wait(5) == -signal.SIGINT


async def test_ctrl_c_without_a_with(nest: Nest) -> None:
    code = """
        async def main():
            server = await Server().start()
            print(server, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    with program(nest.path, code) as running:
        assert len(nest.servers()) == 1
        os.killpg(running.pid, signal.SIGINT)
        await nest.empty(within=2)


@pytest.mark.parametrize("end", ["1 / 0", "sys.exit(3)", "os._exit(3)", "pass"])
async def test_a_program_that_ends_without_closing(nest: Nest, end: str) -> None:
    code = f"""
        async def main():
            server = await Server().start()
            print(server, flush=True)
            {end}
        asyncio.run(main())
    """
    with program(nest.path, code) as running:
        running.wait(10)
        await nest.empty(within=2)


async def test_a_server_that_fails_in_the_set_up_cell(nest: Nest) -> None:
    code = """
        async def main():
            server = await Server().start()
            print(server, flush=True)
            await Server(port=server.port).start()
        asyncio.run(main())
    """
    with program(nest.path, code) as running:
        assert running.wait(10) == 1
        await nest.empty(within=2)


@pytest.mark.parametrize(
    "fork", ["os.fork()", "0 if multiprocessing.get_context('fork').Process(target=sleep).start() else 1"]
)
async def test_a_forked_child_that_outlives_the_owner_keeps_nothing_alive(nest: Nest, fork: str) -> None:
    code = f"""
        import multiprocessing
        def sleep():
            print(os.getpid(), flush=True)
            time.sleep(60)
        async def main():
            server = await Server().start()
            if {fork} == 0:
                sleep()
            time.sleep(60)
        asyncio.run(main())
    """
    with program(nest.path, code) as running:
        assert len(nest.servers()) == 1
        [child] = [child for child in psutil.Process(running.pid).children() if child.name() != "nats-server"]
    try:
        await nest.empty(within=2)
        assert child.is_running()
    finally:
        child.kill()
