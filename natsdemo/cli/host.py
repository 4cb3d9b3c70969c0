"""JupyterLab in this very process, so that nothing can outlive it; for `lab` and `present`."""

import asyncio
import contextlib
import http.client
import os
import secrets
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from natsdemo.server.loopback import HOST, free_port

from . import UserError

USUAL_PORT = 8888
AGAIN = 10  # seconds; a kernel gets five to end by itself
# Settings beside the reader's own, which win: no pop-up that asks about news, no look for updates.
SETTINGS = Path(__file__).parent / "jupyter"


class Host:
    """A JupyterLab on this machine only, which asks for a token that is part of the address.

    `root` is the folder that it shows; `page` is what it opens with; `port` is from `choose_port`; `log_level` is what
    Jupyter itself may speak of.
    """

    def __init__(self, root: Path, page: str, port: int, log_level: str = "ERROR") -> None:
        self.root, self.page, self.port, self.log_level = root, page, port, log_level
        self.token = secrets.token_hex(24)
        self._jupyter: Any = None

    @property
    def url(self) -> str:
        """Its address, for a browser."""
        return f"http://{HOST}:{self.port}{self.page}?token={self.token}"

    def run(
        self, *, browser: bool, handlers: list[tuple[Any, ...]] | None = None, then: Callable[[], None] | None = None
    ) -> None:
        """Serve until Ctrl-C; with `browser` in a window of its own.

        `handlers` are pages of ours, as Tornado wants them. `then` is called, in a thread, as soon as the page answers.
        """
        import zmq  # here, since Jupyter takes seconds to import and errors need none
        from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]

        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
            filter(None, (str(SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH")))
        )
        threading.Thread(target=self._announce, args=(then or self._say,), daemon=True).start()
        with tempfile.TemporaryDirectory(prefix="natsdemo-lab-") as scratch:
            self._jupyter = LabApp.initialize_server(
                argv=[
                    f"--ServerApp.root_dir={self.root}",
                    f"--ServerApp.ip={HOST}",
                    f"--ServerApp.port={self.port}",
                    "--ServerApp.port_retries=0",
                    f"--IdentityProvider.token={self.token}",
                    f"--ServerApp.open_browser={browser}",
                    "--ServerApp.allow_root=True",  # as in many containers; whoever has the token is who started it
                    f"--LabApp.default_url={self.page}",
                    f"--LabApp.workspaces_dir={scratch}",  # what is asked for, and no tabs of another day
                    f"--KernelManager.transport_encryption={'auto' if zmq.has('curve') else 'disabled'}",
                    "--LanguageServerManager.autodetect=False",  # it would ask npm
                    f"--Application.log_level={self.log_level}",
                ]
            )
            self._jupyter.web_app.add_handlers(".*", handlers or [])
            # Jupyter would ask first, or, without a terminal, forget its kernels.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: self.stop())
            self._jupyter.start()

    def stop(self) -> None:
        """End it and all its kernels."""
        # Tornado's own `add_callback` would not wake the loop, which a signal finds asleep when nothing happens.
        asyncio.run_coroutine_threadsafe(self._stop(), self._jupyter.io_loop.asyncio_loop)

    async def _stop(self) -> None:
        self._jupyter.http_server.stop()
        with contextlib.suppress(TimeoutError):  # or a page would replace the kernels that we end
            await asyncio.wait_for(self._jupyter.http_server.close_all_connections(), 1)
        self._jupyter.stop()
        # That fails when a kernel starts, or dies, in the middle of it, and then nothing ends.
        asyncio.get_running_loop().call_later(AGAIN, self.stop)

    def _say(self) -> None:
        print(f"natsdemo: {self.url}", flush=True)

    def _announce(self, then: Callable[[], None], deadline: float = 60) -> None:
        """Do what is to be done once the page is really there."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            try:
                link = http.client.HTTPConnection(HOST, self.port, timeout=10)
                link.request("GET", f"{self.page}?token={self.token}")
                status = link.getresponse().status
                link.close()
                if status == http.client.OK:
                    return then()
            except OSError:
                pass
            time.sleep(0.05)
        return None


def choose_port(wanted: int | None) -> int:
    """Return the port that is wanted, else the usual one, else a free one."""
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
