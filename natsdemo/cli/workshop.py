"""`natsdemo workshop`: a room of readers on one server or a cluster, and the teacher's page of how far they are."""

import asyncio
import datetime
import logging
import secrets
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from natsdemo.server import ServerError
from natsdemo.server.loopback import HOST, free_port
from natsdemo.workshop import Room

from .claims import proved
from .notebooks import find_lessons, notebooks_dir
from .serve import their_end, until_interrupted


def workshop(
    readers: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="How many seats.")] = 30,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="This machine's address in the room's network; TLS is on then.")
    ] = HOST,
    port: Annotated[int, typer.Option(metavar="P", min=1, max=65535, help="Where readers connect.")] = 4222,
    cluster: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many servers; the others listen at the ports after P.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where tickets and progress are kept; build/workshop if left out."),
    ] = None,
) -> None:
    """Serve a room of readers, with an account for each.

    It runs until Ctrl-C. For each reader there is a sheet in DIR/readers, with their ticket in it: give it to them and
    to nobody else. The page of progress is for this machine only; it knows of those readers who chose to report. A
    workshop that is started again in the same DIR knows its readers, and how far they were; delete DIR for a new one.
    """
    logging.getLogger("asyncio").addHandler(logging.NullHandler())  # it remarks on how TLS connections end
    folder = (out or notebooks_dir().parent / "build" / "workshop").absolute()
    room = Room(folder, readers, address=listen, port=port, cluster=cluster)
    asyncio.run(_serve(room, {lesson.stem: _claims(lesson) for lesson in find_lessons([])}))


def _claims(lesson: Path) -> int:
    """How many claims a lesson makes on what runs here."""
    return sum(claim.holds is not None for claim in proved(lesson))


async def _serve(room: Room, lessons: dict[str, int]) -> None:
    """Open the room and the page, say where they are, and wait for a signal or for the server's end."""
    async with until_interrupted(), room:
        port, secret = free_port(), secrets.token_urlsafe(12)
        page = _page(room, lessons, secret).listen(port, HOST)
        for server in room.servers:
            print(f"server    {server.url}{'' if room.address.is_loopback else ', with TLS'}")
        print(f"sheets    {room.folder}/readers: one for each of {len(room.tickets)} readers")
        print(f"progress  http://{HOST}:{port}/{secret}")
        try:
            await their_end(*room.servers)
        finally:
            page.stop()
        raise ServerError("The server was ended by somebody else: start the workshop again.")


def _page(room: Room, lessons: dict[str, int], secret: str) -> Any:
    """The teacher's page, at an address that nobody guesses."""
    web = import_module("tornado.web")  # here, since it comes with Jupyter only

    class Page(web.RequestHandler):  # type: ignore[name-defined,misc]
        async def get(self) -> None:
            now = datetime.datetime.now(datetime.UTC)
            self.finish(room.board.page(room.tickets, await room.here(), lessons, now))

    return web.Application([(f"/{secret}", Page)], log_function=lambda _: None)
