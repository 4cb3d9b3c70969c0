"""`natsdemo slides`: decks and lessons as single files that any browser shows, executed on a real server first."""

import logging
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from natsdemo.slides import SlideError, find_chromium, page, print_pdf, slides_of

from . import UserError
from .decks import find_deck, find_decks, read_deck
from .notebooks import notebooks_dir, with_outputs
from .run import first_error, run_cells

app = typer.Typer(help="Build decks: notebooks with slides in them, and lessons.")


@app.command()
def build(
    decks: Annotated[
        list[str] | None,
        typer.Argument(metavar="DECK", help="Names of decks, or lessons (05); all decks if left out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the files go; build/slides if left out.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print each deck as PDF, too; needs Chromium.")] = False,
) -> int:
    """Build decks, and any lesson, as one HTML file each.

    The notebook is executed on a real server first. The file has everything inside and asks the network for nothing:
    open it in a browser; S opens the speaker's notes. With --pdf there is a page for each slide. The exit code is 0 if
    every deck was built; one that failed is not written.
    """
    import_module("papermill")  # if it is missing, say so once, before any deck
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it, too, ends the kernel and tidies up
    logging.getLogger("papermill").addHandler(logging.NullHandler())  # our line says it all
    found = _find(decks or [])
    try:
        if pdf:
            find_chromium()
    except SlideError as problem:
        raise UserError(str(problem)) from None
    folder = out or notebooks_dir().parent / "build" / "slides"
    folder.mkdir(parents=True, exist_ok=True)
    built = [_build(deck, folder, pdf, f"{number}/{len(found)}") for number, deck in enumerate(found, 1)]
    return 0 if all(built) else 1


def _find(wanted: list[str]) -> list[Path]:
    return [find_deck(name) for name in wanted] or find_decks()


def _build(notebook: Path, folder: Path, pdf: bool, progress: str) -> bool:
    """Build one deck and say how it went, while it goes."""
    start = time.monotonic()
    if sys.stderr.isatty():
        print(f"{progress}  {notebook.stem}: running it …", end="\r", file=sys.stderr, flush=True)
    try:
        said, ok = _built(notebook, folder, pdf), True
    except Exception as problem:  # a dead kernel, a time-out, a false claim: this deck's failure, not the others'
        said, ok = next(iter(str(problem).strip().splitlines()), type(problem).__name__), False
    seconds = time.monotonic() - start
    print(f"{'ok' if ok else 'FAILED':6}  {progress:5}  {notebook.stem:32}  {seconds:6.1f} s  {said}", flush=True)
    return ok


def _built(notebook: Path, folder: Path, pdf: bool) -> str:
    from natsdemo.figures.palette import colours  # here, since matplotlib takes its time

    executed = run_cells(notebook, None)
    if error := first_error(executed):
        raise SlideError(": ".join(error))
    nb = with_outputs(read_deck(notebook), executed, notebook.parent)
    made = slides_of(nb, notebook.parent)
    about = nb["metadata"].get("natsdemo", {})
    file = folder / f"{notebook.stem}.html"
    file.write_text(page(about.get("title", notebook.stem), made, colours(dark=False)), encoding="utf-8")
    if pdf:
        try:
            print_pdf(file, file.with_suffix(".pdf"))
        except SlideError:
            file.unlink()
            raise
    return f"{len(made)} slides in {file}{' and .pdf' if pdf else ''}"
