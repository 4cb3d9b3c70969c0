"""Clients in a process of their own, which can then really be killed: `%%client NAME`, and `lab.spawn`."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from IPython import get_ipython

if TYPE_CHECKING:
    from .lab import Lab

# The cell's code, run with top-level await as in a notebook. When the notebook's kernel is gone, so is the pipe to our
# standard input, and we end.
_RUNNER = """
import ast, asyncio, inspect, os, sys, threading
url, name, code = sys.argv[1:]
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
async def main():
    space = {"__name__": name, "url": url, "name": name}
    done = eval(compile(code, f"<client {name}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space)
    if inspect.iscoroutine(done):
        await done
asyncio.run(main())
"""


class ClientProcess:
    """A client in a process of its own. `output` is what it has printed, line by line."""

    def __init__(self, name: str, url: str, code: str) -> None:
        self.name = name
        self.output: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", _RUNNER, url, name, code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"client-{name}")
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.output.append(line.rstrip("\n"))

    @property
    def running(self) -> bool:
        """Whether the process still lives."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would. Killing a dead one does no harm."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def __repr__(self) -> str:
        return f"<client {self.name}, {'running' if self.running else 'ended'}, {len(self.output)} lines printed>"


def code_of(program: Callable[[str, str], Awaitable[object]]) -> str:
    """Return the code that runs the source of an async function `program(url, name)` where nothing else is known."""
    return f"{textwrap.dedent(inspect.getsource(program))}\nawait {program.__name__}(url, name)\n"


def register(lab: Lab) -> None:
    """Make `%%client NAME` run its cell against this lab; outside IPython there is no such thing."""
    shell: Any = get_ipython()
    if shell is None:
        return

    def magic(line: str, cell: str) -> Any:
        return lab.start_client(line.strip() or "client", cell)

    shell.register_magic_function(magic, magic_kind="cell", magic_name="client")
