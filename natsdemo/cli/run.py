"""`natsdemo run`: executes lessons as a reader would, from the first cell to the last, without a browser."""

import contextlib
import json
import logging
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from .notebooks import find_lessons, with_outputs

# What `natsdemo.lesson` emits for each claim that it checks, and the exception it raises for a false one.
CLAIM = "application/vnd.natsdemo.claim+json"
CLAIM_FAILED = "ClaimFailed"

CELL_TIMEOUT = 120


class Result(NamedTuple):
    """How one lesson went. `claims` counts those that held."""

    lesson: str
    ok: bool
    seconds: float
    claims: int
    failed_claim: str | None
    error: str | None

    def __str__(self) -> str:
        said = f"{self.claims} claim{'' if self.claims == 1 else 's'} held"
        if self.failed_claim:
            said = f"not so: {self.failed_claim}"
        elif self.error:
            said = self.error
        return f"{'ok' if self.ok else 'FAILED':6}  {self.lesson:32}  {self.seconds:6.1f} s  {said}"


def run(
    lessons: Annotated[
        list[str] | None,
        typer.Argument(metavar="LESSON", help="Numbers (01), names or paths; all lessons if left out."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects instead of lines.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Save the outputs in the notebooks; without it they stay as they are.")
    ] = False,
) -> int:
    """Execute lessons without a browser, and say which claims held.

    Each lesson runs in a fresh kernel, in its own folder. The exit code is 0 if every lesson ran to its end and
    every claim held. A lesson that failed is never written.
    """
    import_module("papermill")  # if it is missing, say so once, before any lesson
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it, too, ends the kernel and tidies up
    logging.getLogger("papermill").addHandler(logging.NullHandler())  # our line says it all
    results = []
    for lesson in find_lessons(lessons or []):
        results.append(execute(lesson, write=write))
        if not as_json:
            print(results[-1], flush=True)
    if as_json:
        print(json.dumps([result._asdict() for result in results], indent=1, ensure_ascii=False))
    return 0 if all(result.ok for result in results) else 1


def execute(lesson: Path, *, write: bool = False) -> Result:
    """Execute one notebook through papermill; `write` saves its outputs in place if it went well."""
    nbformat = import_module("nbformat")
    start = time.monotonic()
    executed, error = None, None
    try:
        executed = _execute(lesson)
        error = _first_error(executed)
    except Exception as stopped:  # a dead kernel, a time-out, a broken file: this lesson's failure, not the run's
        error = type(stopped).__name__, str(stopped)
    seconds = round(time.monotonic() - start, 2)
    if write and error is None:
        nbformat.write(with_outputs(nbformat.read(lesson, nbformat.NO_CONVERT), executed, lesson.parent), lesson)
    failed, other = None, None
    if error and error[0] == CLAIM_FAILED:
        failed = error[1]
    elif error:
        other = ": ".join(filter(None, (error[0], *error[1].strip().splitlines()[:1])))
    return Result(lesson.stem, error is None, seconds, _claims(executed) if executed else 0, failed, other)


def _execute(lesson: Path) -> Any:
    """Return the executed notebook, whether or not a cell raised."""
    nbformat, papermill = import_module("nbformat"), import_module("papermill")
    with tempfile.TemporaryDirectory(prefix="natsdemo-run-") as scratch:
        output = Path(scratch) / "executed.ipynb"
        # It raises even for a cell that is tagged to raise, so we look at the errors ourselves.
        with contextlib.suppress(papermill.PapermillExecutionError):
            papermill.execute_notebook(
                str(lesson),
                str(output),
                kernel_name="python3",
                cwd=str(lesson.parent),
                progress_bar={"desc": lesson.stem, "leave": False} if sys.stderr.isatty() else False,
                execution_timeout=CELL_TIMEOUT,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # it remarks on its transport and its end
            )
        return papermill.execute.remove_error_markers(nbformat.read(output, nbformat.NO_CONVERT))


def _outputs(nb: Any) -> list[tuple[Any, Any]]:
    return [(cell, output) for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]


def _first_error(nb: Any) -> tuple[str, str] | None:
    """Return name and text of the first exception that the lesson did not announce by the tag `raises-exception`."""
    for cell, output in _outputs(nb):
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
            return output.ename, output.evalue
    return None


def _claims(nb: Any) -> int:
    claims = [output.data[CLAIM] for _, output in _outputs(nb) if CLAIM in output.get("data", {})]
    return sum(bool(claim["holds"]) for claim in claims)
