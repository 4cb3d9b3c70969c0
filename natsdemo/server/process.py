"""One real nats-server process, which never outlives us.

Rules of this module:
1. Whatever ends the owner (a kernel restart, SIGKILL, Ctrl-C, an exception), the server goes with it and its
   directory too; `guard` sees to that.
2. What interrupts the owner's process group (the kernel's interrupt button) does not reach the server.
3. The server's log goes to a file. An unread pipe would stall nats-server once it is full.
4. A port, once chosen, stays: it is the address that the reader's client reconnects to.
"""

import asyncio
import contextlib
import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, Self

from . import guard
from .binary import ServerError, find_binary
from .loopback import HOST, fetch, free_port

ROOM = 10_000_000  # bytes on the disk, or it is full as far as a server is concerned

State = Literal["running", "paused", "stopped"]


class Server:
    """A nats-server process on loopback, with JetStream and monitoring on and a directory of its own.

    Use it with `async with Server() as server`, or in a notebook with `await server.start()` and, at the end,
    `await server.close()`. `nats.connect(server.url)` is all that a client needs.

    Parameters: `name`, the server's name; `config`, text in nats-server's own configuration language, used
    verbatim (change the attribute and `restart` or `reload`); `port`, the client port, by default a free one;
    `store_dir`, where JetStream keeps its files, by default inside the server's own directory, which is
    removed on `close`; `binary`, see `find_binary`; `flags` and `settings`, command-line arguments and configuration
    that a cluster adds.
    """

    def __init__(
        self,
        name: str = "nats",
        *,
        config: str = "",
        port: int | None = None,
        store_dir: str | Path | None = None,
        binary: str | Path | None = None,
        flags: tuple[str, ...] = (),
        settings: str = "",
    ) -> None:
        self.name = name
        self.config = config
        self.port = port
        self._flags = flags
        self._settings = settings
        self._given_port = port
        self._known = False  # its port, by clients
        self._monitor_port: int | None = None
        self._store_dir = store_dir
        self._binary = binary
        self._dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._observers: list[Callable[[str, str], None]] = []

    # What it is

    @property
    def url(self) -> str:
        """Where clients connect, `nats://127.0.0.1:port`."""
        return f"nats://{HOST}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """Where the monitoring pages are, `http://127.0.0.1:port`."""
        return f"http://{HOST}:{self._monitor_port}"

    @property
    def version(self) -> str:
        """The version of nats-server, `"2.15.1"` for example."""
        return ".".join(map(str, find_binary(self._binary).version))

    @property
    def pid(self) -> int | None:
        """The process id of nats-server, None while it is stopped."""
        return self._process.pid if self._process and self.state != "stopped" else None

    @property
    def state(self) -> State:
        """What the process does now: `running`, `paused` or `stopped`."""
        if self._process is None or self._process.poll() is not None:
            return "stopped"
        return "paused" if self._paused else "running"

    @property
    def directory(self) -> Path:
        """The server's own directory: configuration, log and, unless told otherwise, JetStream's store."""
        if self._dir is None:
            raise ServerError(f"Server {self.name} has no directory yet: `await server.start()` first.")
        return self._dir

    @property
    def empty(self) -> bool:
        """Whether it has no data: it was never started, or closed since, and nobody keeps its store."""
        return self._dir is None and not (self._store_dir and Path(self._store_dir).exists())

    @property
    def store_dir(self) -> Path:
        """Where JetStream keeps its files."""
        return Path(self._store_dir) if self._store_dir else self.directory / "store"

    @property
    def log(self) -> str:
        """Everything that the server has logged since it was first started."""
        return self._log_since(0)

    async def monitor(self, path: str) -> dict[str, Any]:
        """Fetch a monitoring page, `"varz"` or `"connz?subs=1"` for example, as a dict.

        Raises `ServerError` when the server does not answer. A page that answers with an error status
        (`healthz` does, while something is wrong) is returned like any other.
        Source: https://docs.nats.io/running-a-nats-service/nats_admin/monitoring
        """
        return await asyncio.to_thread(fetch, f"{self.monitor_url}/{path}")

    def observe(self, observer: Callable[[str, str], None]) -> None:
        """Have `observer(name, verb)` called whenever a verb was carried out on this server."""
        self._observers.append(observer)

    # Verbs

    async def start(self) -> Self:
        """Start the process and wait until it answers; do nothing if it runs.

        Raises `ServerError` with the server's own reason if it will not start, and then leaves nothing behind.
        """
        stopped = self.state == "stopped"
        async with self._starting():
            await self._launch()
            await self._until_ready(self._answers)
        self._known = True
        if stopped:
            self._announce("start")
        return self

    async def stop(self) -> None:
        """Shut the server down cleanly and wait for its end; its data stay for the next `start`."""
        await self._end(signal.SIGTERM, "stop")

    async def kill(self) -> None:
        """End the process with SIGKILL, as a crash would; its data stay as the crash left them."""
        await self._end(signal.SIGKILL, "kill")

    async def pause(self) -> None:
        """Freeze the process (SIGSTOP), as a long garbage collection or a suspended machine would."""
        if self.state == "running":
            assert self._process
            self._process.send_signal(signal.SIGSTOP)
            os.waitpid(self._process.pid, os.WUNTRACED)
            self._paused = True
            self._announce("pause")

    async def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        if self.state == "paused":
            assert self._process
            self._process.send_signal(signal.SIGCONT)
            self._paused = False
            self._announce("resume")

    async def restart(self) -> Self:
        """Stop the server and start it again, on the same port, with the same data."""
        await self.stop()
        return await self.start()

    async def lame_duck(self) -> None:
        """Tell the server to leave: it warns its clients, then closes them one by one, then ends.

        How long that takes is the configuration's `lame_duck_duration` (2 minutes; 30 s at the least) after
        `lame_duck_grace_period` (10 s). Source: https://docs.nats.io/running-a-nats-service/nats_admin/lame_duck_mode
        """
        self._signal(signal.SIGUSR2, "lame_duck")
        self._announce("lame_duck")

    async def reload(self) -> None:
        """Have the running server read its `config` again (SIGHUP) and wait until it has.

        Raises `ServerError` with the server's reason if it refuses the new configuration.
        """
        before = (self.directory / "log").stat().st_size
        self._write_config()
        self._signal(signal.SIGHUP, "reload")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            since = self._log_since(before)
            if "Reloaded server configuration" in since:
                self._announce("reload")
                return
            if refused := re.search(r"\[ERR\] Failed to reload server configuration: (.*)", since):
                raise ServerError(f"Server {self.name} keeps its old configuration: {_one_line(refused[1])}.")
            await asyncio.sleep(0.005)
        raise ServerError(f"Server {self.name} did not reload within 5 seconds: see `server.log`.")

    async def close(self) -> None:
        """Stop the server and remove its directory. Closing twice does no harm."""
        await self.stop()
        if self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None
        guard.tell(self._process, "bye")
        self._process = None
        self.port, self._known = self._given_port, False

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # How

    @contextlib.asynccontextmanager
    async def _starting(self) -> AsyncIterator[None]:
        """A first start that fails takes the directory with it; a later one keeps the data."""
        first = self._dir is None
        try:
            yield
        except BaseException:
            if first:
                await self._end(signal.SIGKILL, "kill")  # what is not yet nats-server is deaf to everything else
                await self.close()
            raise

    async def _launch(self) -> None:
        """Have a process that is running, not yet known to answer."""
        if self.state == "paused":
            await self.resume()
        if self.state == "running":
            return
        binary = find_binary(self._binary)
        directory = self._prepare()
        if self.port is None:
            self.port = free_port()
        if self._monitor_port is None:
            self._monitor_port = free_port()
        command = [
            *(str(binary.path), "-c", str(directory / "server"), "-a", HOST),
            *("-p", str(self.port), "-m", str(self._monitor_port)),
            *("-js", *self._flags),
        ]
        last = self._process
        with (directory / "log").open("ab") as log:
            self._log_start = log.tell()
            self._process = guard.start(command, directory, log)
        guard.tell(last, "bye")  # the guard of an earlier process; the new one guards the directory too
        self._paused = False

    def _prepare(self) -> Path:
        """Have the directory, with the configuration in it, on a disk that is not full."""
        try:
            if self._dir is None:
                self._dir = Path(tempfile.mkdtemp(prefix="natsdemo-"))
                _check_room(self._dir)
                _check_room(self.store_dir)
            self._write_config()
        except OSError as error:
            reason = ": ".join(str(part) for part in (error.strerror, error.filename) if part)
            raise ServerError(
                f"Server {self.name} has nowhere to keep its files ({reason}): set TMPDIR to a directory of yours."
            ) from None
        return self._dir

    async def _until_ready(self, ready: Callable[[], bool], deadline: float = 20) -> None:
        """Wait for `ready`, in a thread since it blocks; a server that ended or never answers is an error."""
        end = time.monotonic() + deadline
        pause = 0.002
        while not await asyncio.to_thread(ready):
            if self.state == "stopped":
                reason = self._reason()
                if not self._other_ports(reason):
                    raise ServerError(self._explain(reason))
                await self._launch()
            elif time.monotonic() > end:
                last = _one_line(self._log_since(self._log_start).strip().rpartition("\n")[2])
                await self.kill()
                raise ServerError(f"Server {self.name} did not get ready in {deadline:g} s; its last words: {last}.")
            pause = min(pause * 1.3, 0.05)
            await asyncio.sleep(pause)

    def _answers(self) -> bool:
        """Whether it says INFO, answers PING, and calls itself healthy."""
        assert self.port
        try:
            with socket.create_connection((HOST, self.port), timeout=0.3) as link, link.makefile("rb") as said:
                try:
                    info = json.loads(said.readline().removeprefix(b"INFO "))
                except TimeoutError:  # with `handshake_first` it says nothing before TLS
                    info = fetch(f"{self.monitor_url}/varz")
                    if not info.get("tls_required"):
                        return False
                if not (info.get("auth_required") or info.get("tls_required")):
                    link.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
                    if said.readline() != b"PONG\r\n":
                        return False
            return bool(fetch(f"{self.monitor_url}/healthz").get("status") == "ok")
        except (OSError, ValueError, ServerError):
            return False

    def _reason(self) -> str:
        """What the log says of why the server ended."""
        said = self._log_since(self._log_start).strip().splitlines()
        fatal = [line for line in said if "[FTL]" in line or line.startswith("nats-server: ")]
        line = (fatal or said or ["it ended without a word"])[-1]
        return _one_line(re.sub(r"^(\[\d+\] \S+ \S+ \[FTL\]|nats-server:) ", "", line))

    def _log_since(self, start: int) -> str:
        path = self.directory / "log"
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def _other_ports(self, reason: str) -> bool:
        """Somebody was quicker: forget a port that we had chosen, and say whether that is worth another try."""
        if _taken(reason) == self._monitor_port:
            self._monitor_port = None
            return True
        if _taken(reason) == self.port and self._given_port is None and not self._known:
            self.port = None
            return True
        return False

    def _explain(self, reason: str) -> str:
        if port := _taken(reason):
            return f"Port {port} is taken by another program: end that one, or choose another port."
        return f"Server {self.name} did not start: {reason.replace(str(self._dir), '…')}."

    async def _end(self, how: signal.Signals, verb: str) -> None:
        if self._process is None or self.state == "stopped":
            guard.tell(self._process, "gone")
            return
        self._process.send_signal(how)
        if self._paused:
            self._process.send_signal(signal.SIGCONT)
        try:
            await asyncio.to_thread(self._process.wait, 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._paused = False
        guard.tell(self._process, "gone")
        if self._known:
            self._announce(verb)

    def _signal(self, number: signal.Signals, verb: str) -> None:
        if self.state != "running":
            raise ServerError(f"Server {self.name} is {self.state}: start or resume it before `{verb}`.")
        assert self._process
        self._process.send_signal(number)

    def _write_config(self) -> None:
        # These are no flags, since for a reload only the file counts: a server that would lose its name or its
        # store refuses, and 2.10 would stop JetStream.
        ours = {"server_name": self.name, "store_dir": str(self.store_dir), "jetstream": "enabled"}
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in ours.items()]
        text = "\n".join([*lines, self._settings, "include ./config", ""])
        (self.directory / "server").write_text(text, encoding="utf-8")
        (self.directory / "config").write_text(self.config, encoding="utf-8")

    def _announce(self, verb: str) -> None:
        for observer in self._observers:
            observer(self.name, verb)

    def __repr__(self) -> str:
        return f"<Server {self.name} {self.state}{f' at {self.url}' if self.port else ''}>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def _check_room(path: Path) -> None:
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if (free := shutil.disk_usage(there).free) < ROOM:
        raise ServerError(
            f"The disk of {path} is full ({free / 1e6:.1f} MB left, a server wants {ROOM / 1e6:.0f}): "
            "make room, or set TMPDIR (or `store_dir`) to a directory on another disk."
        )


def _taken(reason: str) -> int | None:
    """The port that the server found taken."""
    found = re.search(r":(\d+): bind: address already in use", reason)
    return int(found[1]) if found else None


def _one_line(text: str) -> str:
    text = text.replace("error parsing include file './config', ", "").replace("'\x00'", "the end")
    return " ".join(text.split()).rstrip(".")
