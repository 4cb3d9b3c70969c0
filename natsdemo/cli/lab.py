"""`natsdemo lab`: JupyterLab on the lessons, in this very process, so that nothing can outlive it."""

import asyncio
import http.client
import os
import secrets
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from natsdemo.server import Composed, ServerError
from natsdemo.server.loopback import HOST, free_port

from . import UserError
from .notebooks import notebooks_dir

USUAL_PORT = 8888
# Settings beside the reader's own, which win: no pop-up that asks about news, no look for updates.
SETTINGS = Path(__file__).parent / "jupyter"


def lab(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser, or only say where.")] = True,
    port: Annotated[
        int | None,
        typer.Option(metavar="P", min=1, max=65535, help="The port of the page; 8888, or a free one."),
    ] = None,
    server: Annotated[
        Literal["embedded", "compose"] | None,
        typer.Option(help="Lessons start servers of their own, or use the one of `docker compose up -d`."),
    ] = None,
) -> None:
    """Open the lessons in JupyterLab.

    Its address is printed as soon as it answers. It listens on this machine only, and asks for a token that is
    part of the address. Ctrl-C ends it and every kernel.
    """
    folder = notebooks_dir()
    port = _port(port)
    _choose(server)

    import zmq  # here, since Jupyter takes seconds to import and errors need none
    from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]

    page = f"/lab/tree/{min(folder.glob('*.ipynb')).name}"
    token = secrets.token_hex(24)
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
        filter(None, (str(SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH")))
    )
    threading.Thread(target=_announce, args=(port, f"{page}?token={token}"), daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="natsdemo-lab-") as scratch:
        jupyter = LabApp.initialize_server(
            argv=[
                f"--ServerApp.root_dir={folder}",
                f"--ServerApp.ip={HOST}",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}",
                f"--ServerApp.open_browser={browser}",
                "--ServerApp.allow_root=True",  # as in many containers; whoever has the token is who started it
                f"--LabApp.default_url={page}",
                f"--LabApp.workspaces_dir={scratch}",  # the first lesson, and no tabs of another day
                f"--KernelManager.transport_encryption={'auto' if zmq.has('curve') else 'disabled'}",
                "--LanguageServerManager.autodetect=False",  # it would ask npm
                "--Application.log_level=ERROR",
            ]
        )
        # Jupyter would ask first, or, without a terminal, forget its kernels.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: jupyter.stop(from_signal=True))
        jupyter.start()


def _choose(server: str | None) -> None:
    """Have the kernels inherit where lessons run."""
    if server == "embedded":
        os.environ.pop("NATSDEMO_SERVER", None)
        os.environ.pop("NATS_URL", None)
    elif server == "compose":
        try:
            asyncio.run(Composed().start())
        except ServerError:
            raise UserError(
                f"No composed server with JetStream answers at {Composed().shown_url}: "
                "run `docker compose up -d` in the clone, then this again."
            ) from None
        os.environ["NATSDEMO_SERVER"] = "compose"


def _port(wanted: int | None) -> int:
    if _free(wanted or USUAL_PORT):
        return wanted or USUAL_PORT
    if wanted:
        raise UserError(f"Port {wanted} is taken by another program: choose another one, or leave --port out.")
    return free_port()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _announce(port: int, path: str, deadline: float = 60) -> None:
    """Print the address once the page is really there."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            link = http.client.HTTPConnection(HOST, port, timeout=10)
            link.request("GET", path)
            status = link.getresponse().status
            link.close()
            if status == http.client.OK:
                print(f"natsdemo: http://{HOST}:{port}{path}", flush=True)
                return
        except OSError:
            time.sleep(0.05)
