"""`natsdemo join`: a reader's seat in a workshop."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from natsdemo.workshop import Seat, Ticket

from .lab import Browser, Port, lab


def join(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The ticket that your teacher gave you.")],
    report: Annotated[
        bool, typer.Option("--report", help="Let the teacher see which claims you have proved, and which exercises.")
    ] = False,
    browser: Browser = True,
    port: Port = None,
) -> None:
    """Take your seat in a workshop, with the lessons in JupyterLab.

    They run on the workshop's server, in an account that is yours alone; those that kill or configure their server
    start one of their own. With --report the teacher is told which lesson you are in, which claims held and how the
    exercises went, and nothing else. Ctrl-C ends it and every kernel.
    """
    with taken(Seat(Ticket.load(file), report=report)) as environment:
        for name in ("NATS_CREDS", "NATSDEMO_SERVER", "NATSDEMO_PROGRESS"):  # of another day
            os.environ.pop(name, None)
        os.environ.update(environment)  # for the kernels
        lab(browser=browser, port=port)


@contextlib.contextmanager
def taken(seat: Seat) -> Iterator[dict[str, str]]:
    """Have the seat inside a `with` block; it lives in a thread, since Jupyter wants this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="natsdemo-seat", daemon=True)
    thread.start()

    def carry_out(what: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(what, loop).result()

    try:
        carry_out(seat.start())
        yield seat.environment
    finally:
        carry_out(seat.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
