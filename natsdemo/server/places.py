"""Where the lessons run: on servers of our own (embedded), on composed ones, or on somebody else's.

A place has what every lesson needs, `url`, `connect_options`, `start` and `close`, and as many of the verbs of
`Server` as it can carry out. What it cannot do it refuses in one sentence (`NotHere`).
"""

import asyncio
import html
import os
import re
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import nats
from nats.errors import Error, NoServersError

from .binary import ServerError
from .loopback import fetch
from .process import Server, State

COMPOSE_URL = "nats://127.0.0.1:4222"
COMPOSE_MONITOR_URL = "http://127.0.0.1:8222"


class NotHere(ServerError):
    """What was asked for cannot be done where the lesson runs."""


class External:
    """Somebody else's nats-server, named by `NATS_URL` (and `NATS_CREDS`, a credentials file, if it wants one).

    We connect and look; we start, stop and harm nothing.
    """

    name = "nats"
    state: State = "running"  # what we have made of it
    _remedy = "start one there, correct NATS_URL, or unset it to have one started for you"

    def __init__(self, url: str, credentials: str | Path | None = None) -> None:
        self.url = url
        self.credentials = credentials
        self.version = ""  # known once it has answered

    @property
    def shown_url(self) -> str:
        """The address without user, password or token, fit to be shown however malformed it is."""
        return re.sub(r"^(\w+://)?.*@", r"\1", self.url, flags=re.DOTALL)

    @property
    def connect_options(self) -> dict[str, Any]:
        """What `nats.connect` needs beside the address."""
        return {"user_credentials": str(self.credentials)} if self.credentials else {}

    async def start(self) -> Self:
        """Check that the server answers, lets us in and has JetStream; raise `ServerError` if not."""
        if self.credentials and not Path(self.credentials).is_file():
            raise ServerError(f"There is no credentials file {self.credentials}: correct NATS_CREDS.")
        errors: list[Exception] = []

        async def collect(error: Exception) -> None:
            errors.append(error)

        # One attempt, under a deadline of ours: nats-py would try for two minutes, and hangs on a TLS failure.
        options: dict[str, Any] = {
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0.1,
            "error_cb": collect,
        }
        try:
            client = await asyncio.wait_for(nats.connect(self.url, **options, **self.connect_options), 5)
        except (NoServersError, Error, OSError, ValueError) as error:
            if "Authorization" in f"{errors} {error!r}":
                raise ServerError(
                    f"The server at {self.shown_url} refuses these credentials: "
                    "correct NATS_URL (nats://user:password@host:port) or NATS_CREDS."
                ) from None
            if tls := next((e for e in (*errors, error) if isinstance(e, ssl.SSLError)), None):
                raise ServerError(
                    f"TLS with the server at {self.shown_url} fails ({tls.reason}): name the certificate of its "
                    "authority in SSL_CERT_FILE, or unset NATS_URL to have one started for you."
                ) from None
            raise ServerError(f"No nats-server answers at {self.shown_url}: {self._remedy}.") from None
        answered = client.connected_server_version
        self.version = f"{answered.major}.{answered.minor}.{answered.patch}"
        try:
            await client.jetstream().account_info()
        except Exception:
            raise ServerError(
                f"The server at {self.shown_url} has no JetStream for us: start it with `-js`, "
                "or unset NATS_URL to have one started for you."
            ) from None
        finally:
            await client.close()
        return self

    async def close(self) -> None:
        """Leave; nothing of the server's is touched."""

    def observe(self, observer: Callable[[str, str], None]) -> None:
        """Accept an observer that will never hear of anything, since no verb is ours here."""

    async def monitor(self, path: str) -> dict[str, Any]:
        """Refuse: monitoring pages are not ours to guess."""
        raise self._not_here(f"look at /{path} of")

    async def _refuse(self) -> None:
        raise self._not_here("stop, kill, pause, restart or reload")

    stop = kill = pause = resume = lame_duck = reload = _refuse

    async def restart(self) -> Self:
        """Refuse: it is not our server."""
        raise self._not_here("restart")

    def _not_here(self, deed: str) -> NotHere:
        return NotHere(f"We do not {deed} somebody else's server ({self.shown_url}): unset NATS_URL for this lesson.")

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} server at {self.shown_url}>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


class Composed(External):
    """The `nats` service of our `docker-compose.yml`; its verbs are `docker compose kill` and its like.

    A lesson finds it empty and has it to itself (`take`), as a fresh server would be, and leaves it running (`close`).
    Parameters: `url` and `monitor_url`, where the service is published; `service`, its name in the file.
    """

    _remedy = "run `docker compose up -d --wait nats`, or leave `--server compose` out to have one started for you"

    def __init__(self, url: str = COMPOSE_URL, monitor_url: str = COMPOSE_MONITOR_URL, service: str = "nats") -> None:
        super().__init__(url)
        self.name = service
        self.monitor_url = monitor_url
        self.state = "running"
        self._observers: list[Callable[[str, str], None]] = []

    async def take(self) -> bool:
        """Have the server running and empty, as a fresh one is: every stream on it is deleted, whoever made it.

        Return False, and delete nothing, if somebody else is connected to it. Raises `ServerError` if what answers
        there is not our service: then it is nothing of ours to empty.
        """
        if not await self._is_ours():
            raise ServerError(f"Our composed server does not run at {self.shown_url}: {self._remedy}.")
        if not await self._healthy():  # an earlier lesson ended before its end, and left it paused
            await self._compose("restart")
            await self._until_healthy()
        loop = asyncio.get_running_loop()
        end = loop.time() + 1  # what closed just now is still leaving
        while (await self.monitor("connz"))["connections"]:
            if loop.time() > end:
                return False
            await asyncio.sleep(0.05)
        client = await asyncio.wait_for(nats.connect(self.url, name="natsdemo", max_reconnect_attempts=1), 5)
        try:
            js = client.jetstream()
            while streams := await js.streams_info():  # one page of them
                for stream in streams:
                    await js.delete_stream(str(stream.config.name))
        finally:
            await client.close()
        return True

    async def start(self) -> Self:
        """Check that the server answers; if it was stopped, killed or paused here, have it running first."""
        if self.state == "running":
            return await super().start()
        if self.state == "paused":
            await self.resume()
        else:
            await self._verb("start", "start", "running")
        return await self._until_healthy()

    async def close(self) -> None:
        """Leave the server; what was stopped, killed or paused here runs again."""
        if self.state != "running":
            await self.start()

    async def monitor(self, path: str) -> dict[str, Any]:
        """Fetch a monitoring page as a dict, as `Server.monitor` does."""
        return await asyncio.to_thread(fetch, f"{self.monitor_url}/{path}")

    def observe(self, observer: Callable[[str, str], None]) -> None:
        """Have `observer(name, verb)` called whenever a verb was carried out on this server."""
        self._observers.append(observer)

    async def stop(self) -> None:
        """Shut the server down cleanly (`docker compose stop`)."""
        if self.state != "stopped":
            await self._verb("stop", "stop", "stopped")

    async def kill(self) -> None:
        """End the process with SIGKILL (`docker compose kill`)."""
        if self.state != "stopped":
            await self._verb("kill", "kill", "stopped")

    async def pause(self) -> None:
        """Freeze the process (`docker compose pause`)."""
        if self.state == "running":
            await self._verb("pause", "pause", "paused")

    async def resume(self) -> None:
        """Let a paused process go on (`docker compose unpause`)."""
        if self.state == "paused":
            await self._verb("resume", "unpause", "running")

    async def restart(self) -> Self:
        """Stop the server and start it again, with the same data, and wait until it answers."""
        await self.stop()
        return await self.start()

    async def _refuse(self) -> None:
        raise NotHere("We neither reload a composed server nor make it a lame duck: leave `--server compose` out.")

    lame_duck = reload = _refuse

    async def _is_ours(self) -> bool:
        """Whether compose has published our service at this address, so that nobody else can listen there."""
        try:
            return (await self._compose("port", "4222")).strip() == self.url.removeprefix("nats://")
        except ServerError:
            return False

    async def _healthy(self) -> bool:
        try:
            return (await self.monitor("healthz")).get("status") == "ok"
        except ServerError:
            return False

    async def _until_healthy(self, deadline: float = 15) -> Self:
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        while loop.time() < end:
            if await self._healthy():
                return self
            await asyncio.sleep(0.05)
        raise ServerError(f"The composed server is not healthy after {deadline:g} s: see `docker compose logs`.")

    async def _verb(self, verb: str, command: str, state: State) -> None:
        await self._compose(command)
        self.state = state
        for observer in self._observers:
            observer(self.name, verb)

    async def _compose(self, command: str, *more: str) -> str:
        """Run a compose command on our service and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(*compose_command(), command, self.name, *more),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, said = await process.communicate()
        if process.returncode:
            problem = " ".join(said.decode(errors="replace").split())
            raise ServerError(f"`docker compose {command} {self.name}` failed: {problem}.")
        return printed.decode(errors="replace")


def compose_command() -> list[str]:
    """Return the compose command of this machine, with our file; raise `ServerError` if there is none."""
    file = Path(__file__).parents[2] / "docker-compose.yml"
    if shutil.which("docker-compose"):
        return ["docker-compose", "-f", str(file)]
    if shutil.which("docker"):
        return ["docker", "compose", "-f", str(file)]
    raise ServerError("Neither `docker compose` nor `docker-compose` is here: install Docker, or leave --server out.")


Place = Server | External


def place(config: str = "") -> Place:
    """Return where lessons run, not started yet: `NATS_URL` if set, a composed server, else an embedded one.

    `NATSDEMO_SERVER=compose` chooses the composed server. `config` is for an embedded server only.
    """
    if os.environ.get("NATSDEMO_SERVER") == "compose":
        return Composed()
    if url := os.environ.get("NATS_URL"):
        return External(url, os.environ.get("NATS_CREDS"))
    return Server(config=config)
