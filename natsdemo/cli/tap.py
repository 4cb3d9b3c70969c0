"""`natsdemo tap`, `draw` and `judge`: the Tap, the pictures and the verdicts, for any client in any language."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from natsdemo import faults
from natsdemo.history import History
from natsdemo.tap import Tap, TapError

from . import UserError

PICTURES = ("lamport", "timeline", "rates", "latency", "sequence_numbers")


def tap(
    to: Annotated[str, typer.Option(metavar="URL", help="The server to stand before.")] = "nats://127.0.0.1:4222",
    listen: Annotated[int, typer.Option(metavar="PORT", help="Where clients connect; 0 for a free port.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="What to break, as in 'drop PUB nth=3'; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Makes a fault with a probability repeatable.")] = 0,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the History there, as JSON lines.")] = None,
) -> int:
    """Show every frame that passes, and break what you ask for.

    It stands between clients and a server until Ctrl-C. Then `natsdemo draw FILE` makes pictures of what was saved,
    and `natsdemo judge FILE` says what was lost.
    """
    try:
        broken = [faults.parse(text) for text in fault or []]
    except ValueError as problem:
        raise UserError(str(problem)) from None
    if save and not save.parent.is_dir():
        raise UserError(f"There is no folder {save.parent} to save in: make it, or choose another.")
    return asyncio.run(_tap(to, listen, broken, seed, save))


async def _tap(to: str, port: int, broken: Sequence[faults.Fault], seed: int, save: Path | None) -> int:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    proxy = Tap(to, seed=seed, port=port)
    try:
        await proxy.start()
    except TapError as problem:
        raise UserError(str(problem)) from None
    with ExitStack() as stack:
        stack.enter_context(proxy.inject(*broken))
        proxy.history.observe(lambda new: print(*map(repr, new), sep="\n", flush=True))
        print(f"natsdemo: connect to {proxy.url}", flush=True)
        await ended.wait()
    await proxy.close()
    if save:
        proxy.history.save(save)
        print(f"natsdemo: {len(proxy.history)} events in {save}")
    return 0


def draw(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A History that `natsdemo tap --save` has kept.")],
    picture: Annotated[str, typer.Option(help=f"Which one: {', '.join(PICTURES)}.")] = "lamport",
    out: Annotated[Path | None, typer.Option("-o", metavar="PNG", help="By default beside FILE.")] = None,
) -> int:
    """Draw a picture of a saved History, and say what is on it."""
    if picture not in PICTURES:
        raise UserError(f"There is no picture {picture}: choose from {', '.join(PICTURES)}.")
    drawn = getattr(import_module("natsdemo.figures"), picture)(_load(file))
    path = out or file.with_suffix(".png")
    drawn.save(path)
    print(f"{drawn.alt}\nnatsdemo: drawn to {path}")
    return 0


def judge(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A History that `natsdemo tap --save` has kept.")],
) -> int:
    """Say what a saved History lost, duplicated or reordered.

    The exit code is 0 if every guarantee holds, 1 if one is violated, 2 if it cannot be known.
    """
    report = import_module("natsdemo.guarantees").judge(_load(file))
    print(report)
    return int(report.exit_code)


def _load(file: Path) -> History:
    try:
        return History.load(file)
    except OSError as problem:
        raise UserError(f"{file} cannot be read ({problem.strerror}): name a file of `natsdemo tap --save`.") from None
    except ValueError as problem:
        raise UserError(f"{problem} Name a file of `natsdemo tap --save`.") from None
