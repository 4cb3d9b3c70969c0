"""Clients in a process of their own, which can then really be killed: `%%client NAME`, and `lab.spawn`."""

from __future__ import annotations

import inspect
import os
import signal
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
    """A client in a process of its own. `output` is what it has printed, line by line, since it was first started."""

    def __init__(self, name: str, url: str, code: str) -> None:
        self.name = name
        self.output: list[str] = []
        self._given = url, name, code
        self._start()

    def _start(self) -> None:
        # A process group of its own: the kernel's interrupt is not for it. But in the kernel's session: a process that
        # is paused cannot see that the pipe is gone; when the owner of a group ends while somebody in it is stopped,
        # the system sends all of them SIGHUP and SIGCONT (POSIX, `_exit`), a session of its own would have no owner.
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", _RUNNER, *self._given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self._paused = False
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"client-{self.name}")
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.output.append(line.rstrip("\n"))

    @property
    def running(self) -> bool:
        """Whether the process still lives, be it paused or not."""
        return self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id, None once it has ended."""
        return self._process.pid if self.running else None

    def pause(self) -> None:
        """Freeze the process (SIGSTOP), as a suspended machine would; one that is not running stays as it is."""
        if self.running and not self._paused:
            self._process.send_signal(signal.SIGSTOP)
            os.waitpid(self._process.pid, os.WUNTRACED)
            self._paused = True

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        if self._paused:
            self._process.send_signal(signal.SIGCONT)
            self._paused = False

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would. Killing a dead one does no harm."""
        self._process.kill()
        self._process.wait()
        self._paused = False
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def restart(self) -> None:
        """Kill the process, if it still lives, and start the same code anew under the same name."""
        self.kill()
        self._start()

    def __repr__(self) -> str:
        state = "paused" if self._paused else "running" if self.running else "ended"
        return f"<client {self.name}, {state}, {len(self.output)} lines printed>"


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
