"""`natsdemo doctor`: looks at everything that the lessons need, one line each, and says what to do."""

import asyncio
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from natsdemo.server import Server, ServerError, find_binary, place
from natsdemo.server.loopback import HOST
from natsdemo.server.places import compose_command

OLDEST_PYTHON = (3, 11)
SPACE = 500_000_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "run `make venv` in the clone, or `pip install 'natsdemo[lab]'`"


class Check(NamedTuple):
    """What was looked at, whether it is well, whether lessons need it, and what was found or is to be done."""

    check: str
    ok: bool
    required: bool
    detail: str

    def __str__(self) -> str:
        found = "ok" if self.ok else "to do:"
        return f"{found:6} {self.check:9} {self.detail}{'' if self.required or self.ok else ' (optional)'}"


class ToDoError(Exception):
    """What a check found missing; its text says what to do."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects instead of lines.")] = False,
) -> int:
    """Check this machine, and say what to do about what is missing.

    The exit code is 0 if everything that the lessons need is there.
    """
    checks = []
    for name, look, required in CHECKS:
        try:
            checks.append(Check(name, True, required, look()))
        except (ToDoError, ServerError) as missing:
            checks.append(Check(name, False, required, str(missing)))
        if not as_json:
            print(checks[-1], flush=True)
    if as_json:
        print(json.dumps([check._asdict() for check in checks], indent=1, ensure_ascii=False))
    return 0 if all(check.ok for check in checks if check.required) else 1


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise ToDoError(f"Python {version} is too old: make an environment with Python 3.11 or newer.")
    return f"{version} at {sys.executable}"


def _packages() -> str:
    """Hold what is installed against what our own metadata ask for, the extras of the lab included."""
    asked = [text for text in importlib.metadata.requires("natsdemo") or [] if not text.startswith("natsdemo[")]
    found = {}
    for name in (re.split(r"[^\w.-]", text)[0] for text in asked):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise ToDoError(f"{name} is not installed: {INSTALL}.") from None
    from packaging.requirements import Requirement  # JupyterLab needs it, so it is here by now

    for requirement in map(Requirement, asked):
        if not requirement.specifier.contains(found[requirement.name], prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            raise ToDoError(f"{requirement.name} is {found[requirement.name]}, we need {wanted}: {INSTALL}.")
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _binary() -> str:
    binary = find_binary()
    return f"nats-server {'.'.join(map(str, binary.version))} at {binary.path}"


def _start() -> str:
    async def try_it() -> float:
        start = time.perf_counter()
        async with Server():
            return time.perf_counter() - start

    return f"ready {asyncio.run(try_it()) * 1000:.0f} ms after its start"


def _place() -> str:
    async def try_it() -> str:
        async with place() as here:
            return repr(here) if isinstance(here, Server) else f"{here!r} answers"

    if os.environ.get("NATSDEMO_SERVER") != "compose" and not os.environ.get("NATS_URL"):
        return "each lesson starts a server of its own"
    return asyncio.run(try_it())


def _ports() -> str:
    try:
        with socket.create_server((HOST, 0)) as listener, socket.create_connection(listener.getsockname(), 2):
            return f"programs can listen and connect on {HOST}"
    except OSError as error:
        raise ToDoError(f"nothing can listen on {HOST} ({error}): look at the firewall or the sandbox.") from None


def _disk() -> str:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    said = f"{free / 1e9:.1f} GB free in {folder}"
    if free < SPACE:
        raise ToDoError(f"only {said}: make room for {SPACE / 1e9:.1f} GB, or set TMPDIR to a larger disk.")
    return said


def _kernel() -> str:
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        raise ToDoError(f"Jupyter is not installed: {INSTALL}.") from None
    try:
        python = Path(KernelSpecManager().get_kernel_spec("python3").argv[0])
    except NoSuchKernel:
        raise ToDoError("there is no kernel `python3`: run `python -m ipykernel install --sys-prefix`.") from None
    # A bare name means the Python that starts the kernel, which is this one.
    if python.parent != Path() and python.parent != Path(sys.executable).parent:
        raise ToDoError(f"the kernel `python3` is {python}: run `python -m ipykernel install --sys-prefix`.")
    return "python3 is this environment's Python"


def _browser() -> str:
    for name in BROWSERS:
        if found := shutil.which(name):
            return f"{found}, for the browser tests"
    raise ToDoError("no Chromium for the browser tests: install it, Debian's `chromium` for one.")


def _compose() -> str:
    command = compose_command()
    said = " ".join(command[: command.index("-f")])
    try:
        answer = subprocess.run([*command, "ps"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToDoError(f"`{said}` does not answer ({error}): start Docker.") from None
    if answer.returncode:
        raise ToDoError(f"`{said}` reaches no engine: start Docker.")
    return f"`{said}` reaches an engine"


# What is looked at, in this order; whether lessons need it.
CHECKS: list[tuple[str, Callable[[], str], bool]] = [
    ("python", _python, True),
    ("packages", _packages, True),
    ("binary", _binary, True),
    ("server", _start, True),
    ("place", _place, True),
    ("ports", _ports, True),
    ("disk", _disk, True),
    ("kernel", _kernel, True),
    ("browser", _browser, False),
    ("compose", _compose, False),
]
