"""`natsdemo present`: a deck on stage. Its moments are live, and what was recorded stands behind them."""

import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from natsdemo.slides import THEBE, SlideError, find_chromium, moments_of, outputs, page, slides_of, stage, visit

from . import UserError
from .decks import find_deck, read_deck
from .host import Host, choose_port
from .lab import Browser, Port, choose_server
from .notebooks import notebooks_dir
from .rehearsal import Report, troubles

PREFIX = "/natsdemo/present"


def present(
    deck: Annotated[str, typer.Argument(metavar="DECK", help="The name of a deck, or of a lesson.")] = "fast-messaging",
    browser: Browser = True,
    port: Port = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Go through the deck without anybody looking; needs Chromium.")
    ] = False,
) -> int:
    """Present a deck: slides in the browser, with live moments.

    L runs a moment, on real servers; R brings it back to its beginning, P shows what was recorded. S opens the notes
    with their timer, F fills the screen. Each moment has a kernel that is warm before you come to it, and an
    understudy. Nothing asks the network for anything. JupyterLab is at the same address, under /lab. Ctrl-C ends all.

    With --rehearse, the deck is gone through by itself: every moment runs, each slide is measured, the times are
    compared with those in the notes; what would go wrong is printed, and the exit code is 1 if there is anything.
    """
    path = find_deck(deck)
    name = path.stem
    host = Host(notebooks_dir().parent, f"{PREFIX}/{name}", choose_port(port), log_level="CRITICAL")
    try:
        if rehearse:
            find_chromium()
        _page(path, host.token, rehearse)  # what is wrong with it is said before anything starts
    except SlideError as problem:
        raise UserError(str(problem)) from None
    choose_server("embedded")  # a player and its understudy cannot share one, nor kill somebody else's
    _have_kernels_quiet()
    reports: list[Report] = []
    handlers = _handlers(path, host, rehearse, reports)
    if not rehearse:
        host.run(browser=browser, handlers=handlers)
        return 0
    host.run(browser=False, handlers=handlers, then=lambda: _visit(host, reports))
    if not reports:
        raise UserError("The rehearsal was ended before it was over.")
    return _verdict(path, reports[0])


def _have_kernels_quiet() -> None:
    """A kernel that is sent home while it starts says so at length; what we have to say is still heard."""
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _visit(host: Host, reports: list[Report]) -> None:
    """Have Chromium play the deck; the page itself says when it is over."""
    try:
        visit(host.url, until=lambda: bool(reports))
    except SlideError as problem:
        print(f"natsdemo: {problem}", file=sys.stderr)
    finally:
        host.stop()


def _verdict(path: Path, report: Report) -> int:
    nb = read_deck(path)
    slides = slides_of(nb, path.parent)
    found = troubles(report, slides, nb["metadata"].get("natsdemo", {}).get("minutes"))
    for moment in report["moments"]:
        print(f"{moment['state']:6}  slide {moment['slide']:3}  {moment['name']:28}  {moment['seconds']:5.1f} s")
    for trouble in found:
        print(f"TROUBLE  {trouble}")
    print(f"{len(slides)} slides, {len(report['moments'])} live moments, {len(found) or 'no'} troubles")
    return 1 if found else 0


def _page(path: Path, token: str, rehearse: bool) -> str:
    from natsdemo.figures.palette import colours  # here, since matplotlib takes its time

    nb = read_deck(path)
    live = stage(
        moments_of(nb),
        f"{PREFIX}/files",
        rehearse,
        token=token,
        folder=notebooks_dir().name,
        version=importlib.metadata.version("anywidget"),
    )
    title = nb["metadata"].get("natsdemo", {}).get("title", path.stem)
    return page(title, slides_of(nb, path.parent), colours(dark=False), live)


def _handlers(path: Path, host: Host, rehearse: bool, reports: list[Report]) -> list[tuple[Any, ...]]:
    """The pages of a deck; `reports` takes what a rehearsal has to say."""
    from jupyter_server.base.handlers import JupyterHandler
    from tornado import web

    class Deck(JupyterHandler):
        @web.authenticated
        def get(self) -> None:
            self.finish(_page(path, host.token, rehearse))

    class Blocks(JupyterHandler):
        @web.authenticated
        def post(self) -> None:
            blocks = outputs(json.loads(self.request.body), path.parent)
            self.finish(json.dumps([{"kind": block.kind, "html": block.html} for block in blocks]))

    class Over(JupyterHandler):
        @web.authenticated
        def post(self) -> None:
            reports.append(json.loads(self.request.body))

    class File(JupyterHandler):
        def get(self, name: str) -> None:
            kind = "css" if name.endswith(".css") else "javascript"
            self.set_header("Content-Type", f"text/{kind}; charset=utf-8")
            self.finish((_anywidget() if name == "anywidget.js" else THEBE / name).read_bytes())

    return [
        (rf"{PREFIX}/files/(thebe-core\.min\.js|thebe-core\.css|anywidget\.js)", File),
        (rf"{PREFIX}/{path.stem}", Deck),
        (rf"{PREFIX}/{path.stem}/blocks", Blocks),
        (rf"{PREFIX}/{path.stem}/report", Over),
    ]


def _anywidget() -> Path:
    """The browser's half of anywidget, where its wheel has put it."""
    for file in importlib.metadata.files("anywidget") or []:
        if file.parts[-3:] == ("nbextensions", "anywidget", "index.js"):
            return Path(str(file.locate()))
    raise UserError("anywidget has no browser side here: run `pip install --force-reinstall anywidget`.")
