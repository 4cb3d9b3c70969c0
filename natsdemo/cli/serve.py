"""`natsdemo server`: a real nats-server, or a cluster, in the foreground for programs of any language."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from natsdemo.server import Cluster, Server, ServerError

from . import UserError


def server(
    cluster: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many servers; more than one are a cluster.")
    ] = 1,
    port: Annotated[
        int | None,
        typer.Option(metavar="P", min=1, max=65535, help="Where clients of a single server connect; many try 4222."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Further configuration, in nats-server's own language.")
    ] = None,
) -> None:
    """Run a nats-server until Ctrl-C, for programs in any language.

    It listens on this machine only, has JetStream and monitoring on, and takes its data with it when it ends.
    """
    if cluster > 1 and port:
        raise typer.BadParameter("--port is for a single server, a cluster chooses its own ports")
    try:
        text = config.read_text() if config else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"{config} cannot be read ({reason}): correct --config.") from None
    asyncio.run(_serve(Cluster(cluster, config=text) if cluster > 1 else Server(port=port, config=text)))


async def _serve(world: Server | Cluster) -> None:
    """Start it, say where it is, and wait for a signal or for its end."""
    async with until_interrupted(), world:
        servers = [world] if isinstance(world, Server) else list(world.values())
        for one in servers:
            print(f"{one.name:5} clients {one.url}   monitoring {one.monitor_url}")
        await their_end(*servers)
        raise ServerError("The server was ended by somebody else: start it again with `natsdemo server`.")


@contextlib.asynccontextmanager
async def until_interrupted() -> AsyncIterator[None]:
    """End what runs inside at Ctrl-C, SIGTERM or SIGHUP, and say so."""
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        print("Ended.")


async def their_end(*servers: Server) -> None:
    """Say how to end it, and return when none of the servers runs any more."""
    print("Ctrl-C ends it.", flush=True)
    while any(one.state != "stopped" for one in servers):  # noqa: ASYNC110 (a process tells nobody)
        await asyncio.sleep(0.2)
