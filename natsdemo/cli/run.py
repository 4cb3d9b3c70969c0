"""`natsdemo run`: executes lessons as a reader would, from the first cell to the last, without a browser."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from natsdemo import faults

from . import UserError
from .claims import Lessons, emitted
from .notebooks import find_lessons, is_alone, with_outputs

# What `natsdemo.lesson` raises for a claim that is false.
CLAIM_FAILED = "ClaimFailed"
# What it emits of a sabotage: how often it hit.
SABOTAGE = "application/vnd.natsdemo.sabotage+json"

CELL_TIMEOUT = 120


class Result(NamedTuple):
    """How one lesson went. `claims` counts those that held, `hits` the frames that a sabotage has hit."""

    lesson: str
    ok: bool
    seconds: float
    claims: int
    failed_claim: str | None
    error: str | None
    hits: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name; `hits` only of a sabotage."""
        return {name: value for name, value in self._asdict().items() if name != "hits" or value is not None}

    def __str__(self) -> str:
        said = f"{self.claims} claim{'' if self.claims == 1 else 's'} held"
        if self.hits is not None and self.error is None:
            said = f"caught: {self.failed_claim}" if self.failed_claim else f"survived {self.hits} hits, {said}"
        elif self.failed_claim:
            said = f"not so: {self.failed_claim}"
        elif self.error:
            said = self.error
        return f"{'ok' if self.ok else 'FAILED':6}  {self.lesson:32}  {self.seconds:6.1f} s  {said}"


def run(
    lessons: Lessons = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects instead of lines.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Save the outputs in the notebooks; without it they stay as they are.")
    ] = False,
    sabotage: Annotated[
        str | None, typer.Option(metavar="FAULT", help="Break the wire behind the lesson's back: 'drop MSG nth=2'.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="How many lessons run at a time.")] = 2,
) -> int:
    """Execute lessons without a browser, and say which claims held.

    Each lesson runs in a fresh kernel, in its own folder; one that measures speed runs alone, when the others have
    ended. The exit code is 0 if every lesson ran to its end and every claim held. A lesson that failed is never
    written.

    With --sabotage, a second proxy between the Tap and the server loses, repeats or reorders messages: a good lesson
    is then caught out by a claim of its own (exit code 1), or survives, if it promised to. A sabotage that hit
    nothing is an error.
    """
    if sabotage:
        if write:
            raise UserError("--write keeps the outputs of an honest run: leave --sabotage out.")
        try:
            faults.parse(sabotage)
        except ValueError as problem:
            raise UserError(str(problem)) from None
    import_module("papermill")  # if it is missing, say so once, before any lesson
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it, too, ends the kernel and tidies up
    logging.getLogger("papermill").addHandler(logging.NullHandler())  # our line says it all
    found = find_lessons(lessons or [])

    def say(result: Result) -> None:
        if not as_json:
            print(result, flush=True)

    if len(found) == 1 or jobs == 1:
        results = []
        for lesson in found:
            results.append(execute(lesson, write=write, sabotage=sabotage))
            say(results[-1])
    else:
        results = asyncio.run(_side_by_side(found, jobs, write, sabotage, say))
    if as_json:
        print(json.dumps([result.as_dict() for result in results], indent=1, ensure_ascii=False))
    return 0 if all(result.ok for result in results) else 1


async def _side_by_side(
    lessons: list[Path], jobs: int, write: bool, sabotage: str | None, say: Callable[[Result], None]
) -> list[Result]:
    """Execute each lesson in a process of its own, so many at a time, and those that want to be alone at the end."""
    free = asyncio.Semaphore(jobs)

    async def one(lesson: Path) -> Result:
        async with free:
            result = await _in_a_process(lesson, write, sabotage)
        say(result)
        return result

    alone = [lesson for lesson in lessons if is_alone(lesson)]
    together = [lesson for lesson in lessons if lesson not in alone]
    results = dict(zip(together, await asyncio.gather(*map(one, together)), strict=True))
    for lesson in alone:
        results[lesson] = await one(lesson)
    return [results[lesson] for lesson in lessons]


async def _in_a_process(lesson: Path, write: bool, sabotage: str | None) -> Result:
    """Run `natsdemo run` for one lesson. What interrupts us interrupts it, and it tidies up by itself."""
    options = ["--json", *(["--write"] if write else []), *(["--sabotage", sabotage] if sabotage else [])]
    code = "from natsdemo.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "run", str(lesson), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said, problem = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        raise
    if not said:
        last = problem.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        return Result(lesson.stem, False, 0.0, 0, None, last[0])
    (result,) = json.loads(said)
    return Result(**result)


def execute(lesson: Path, *, write: bool = False, sabotage: str | None = None) -> Result:
    """Execute one notebook through papermill.

    `write` saves its outputs in place if it went well; `sabotage` is a fault, as text, for the wire behind its Tap.
    """
    nbformat = import_module("nbformat")
    start = time.monotonic()
    executed, error = None, None
    try:
        executed = run_cells(lesson, sabotage)
        error = first_error(executed)
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
    hits = _hits(executed) if sabotage and executed else None
    if sabotage and not hits and not other:
        other = f"the sabotage `{sabotage}` hit nothing, so it proves nothing"
    return Result(
        lesson.stem, not (failed or other), seconds, _claims(executed) if executed else 0, failed, other, hits
    )


def run_cells(lesson: Path, sabotage: str | None) -> Any:
    """Return the executed notebook, whether or not a cell raised."""
    nbformat, papermill = import_module("nbformat"), import_module("papermill")
    with tempfile.TemporaryDirectory(prefix="natsdemo-run-") as scratch:
        output = Path(scratch) / "executed.ipynb"
        # It raises even for a cell that is tagged to raise, so we look at the errors ourselves.
        with contextlib.suppress(papermill.PapermillExecutionError), _environment(lesson, sabotage):
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


@contextlib.contextmanager
def _environment(lesson: Path, sabotage: str | None) -> Iterator[None]:
    """Tell the lesson, which runs in a kernel of its own, that nobody is there to click, and what is to go wrong."""
    told = {
        "NATSDEMO_HEADLESS": "1",
        "JPY_SESSION_NAME": str(lesson),  # as in JupyterLab
        **({"NATSDEMO_SABOTAGE": sabotage} if sabotage else {}),
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _outputs(nb: Any) -> list[tuple[Any, Any]]:
    return [(cell, output) for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]


def first_error(nb: Any) -> tuple[str, str] | None:
    """Return name and text of the first exception that the lesson did not announce by the tag `raises-exception`."""
    for cell, output in _outputs(nb):
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
            return output.ename, output.evalue
    return None


def _hits(nb: Any) -> int:
    return sum(output.data[SABOTAGE]["hits"] for _, output in _outputs(nb) if SABOTAGE in output.get("data", {}))


def _claims(nb: Any) -> int:
    return sum(bool(claim["holds"]) for claim in emitted(nb))
