"""`natsdemo lab`: JupyterLab on the lessons."""

import asyncio
import os
from typing import Annotated, Literal

import typer

from natsdemo.server import Composed, ServerError

from . import UserError
from .host import Host, choose_port
from .notebooks import notebooks_dir

Port = Annotated[
    int | None,
    typer.Option(metavar="P", min=1, max=65535, help="The port of the page; 8888, or a free one."),
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser, or only say where.")]


def lab(
    browser: Browser = True,
    port: Port = None,
    server: Annotated[
        Literal["embedded", "compose"] | None,
        typer.Option(help="Lessons start servers of their own, or use the one of `docker compose up -d nats`."),
    ] = None,
) -> None:
    """Open the lessons in JupyterLab.

    Its address is printed as soon as it answers. It listens on this machine only, and asks for a token that is
    part of the address. Ctrl-C ends it and every kernel.
    """
    folder = notebooks_dir()
    port = choose_port(port)
    choose_server(server)
    Host(folder, f"/lab/tree/{min(folder.glob('*.ipynb')).name}", port).run(browser=browser)


def choose_server(server: str | None) -> None:
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
                "run `docker compose up -d --wait nats` in the clone, then this again."
            ) from None
        os.environ["NATSDEMO_SERVER"] = "compose"
