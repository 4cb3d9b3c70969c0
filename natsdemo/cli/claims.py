"""`natsdemo claims`: everything that the lessons have proved, out of the outputs of their last run."""

import html
import json
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from .notebooks import find_lessons

Lessons = Annotated[
    list[str] | None,
    typer.Argument(metavar="LESSON", help="Numbers (01), names or paths; all lessons if left out."),
]

# What `natsdemo.lesson` emits for each claim that it checks.
CLAIM = "application/vnd.natsdemo.claim+json"

MARKS = {True: "✓", False: "✗", None: "–"}


class Proved(NamedTuple):
    """One claim of a lesson as its last run left it: `holds` is None where it was not about the versions that ran.

    `on` are the versions of nats-server and nats-py that ran, and `ran` the day, as 2026-11-23.
    """

    lesson: str
    sentence: str
    holds: bool | None
    evidence: str
    since: str
    until: str
    on: dict[str, str]
    ran: str

    def __str__(self) -> str:
        saw = f"\n         {self.evidence}" if self.evidence else ""
        return f"{MARKS[self.holds]} {self.lesson.partition('-')[0]:4}   {self.sentence}{saw}"


def emitted(nb: Any) -> list[dict[str, Any]]:
    """The claims among the outputs of a notebook."""
    outputs = [output for cell in nb["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]
    return [output["data"][CLAIM] for output in outputs if CLAIM in output.get("data", {})]


def proved(lesson: Path) -> list[Proved]:
    """Read what a committed lesson has claimed, and what it saw."""
    nb = json.loads(lesson.read_text(encoding="utf-8"))
    ran = nb["metadata"].get("natsdemo", {}).get("ran", "")
    return [
        Proved(
            lesson.stem,
            claim["sentence"],
            claim["holds"],
            claim["evidence"],
            claim.get("since", ""),
            claim.get("until", ""),
            claim.get("on", {}),
            ran,
        )
        for claim in {claim["sentence"]: claim for claim in emitted(nb)}.values()
    ]


def claims(
    lessons: Lessons = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects instead of lines.")] = False,
) -> int:
    """List what the lessons have proved about NATS.

    Each claim is shown with what was seen, on which versions, and when. Nothing is executed: this is what the outputs
    of the notebooks say. `natsdemo run --write` proves it anew.
    """
    found = {lesson: proved(lesson) for lesson in find_lessons(lessons or [])}
    everything = [claim for each in found.values() for claim in each]
    if as_json:
        print(json.dumps([claim._asdict() for claim in everything], indent=1, ensure_ascii=False))
        return 0
    for lesson, each in found.items():
        print(f"{lesson.stem}, {_ran(each)}")
        for claim in each:
            print(claim)
        print()
    held = sum(claim.holds is True for claim in everything)
    print(f"{held} of {len(everything)} claims held, in {len(found)} lessons")
    return 0


def claims_page() -> str:
    """Return the page of all claims in Markdown."""
    found = {lesson: proved(lesson) for lesson in find_lessons([])}
    lines = [
        "<!-- made by `make notebooks` out of the outputs of the lessons -->",
        "# What the lessons have proved",
        "",
        f"{sum(map(len, found.values()))} claims. Each is checked by its lesson whenever that is run, and stands here"
        " beside what was seen in the last run. The check is in the notebook, in the cell that shows the sentence.",
    ]
    for lesson, each in found.items():
        title = json.loads(lesson.read_text(encoding="utf-8"))["metadata"]["natsdemo"]["title"]
        lines += ["", f"## [{lesson.stem.partition('-')[0]} {title}]({lesson.name})", "", f"{_ran(each)}.", ""]
        lines += ["| | we claim | we saw |", "|---|---|---|"]
        lines += [f"| {MARKS[claim.holds]} | {_cell(claim.sentence)} | {_cell(claim.evidence)} |" for claim in each]
    return "\n".join([*lines, ""])


def _ran(each: list[Proved]) -> str:
    """On what a lesson ran, and when."""
    if not each:
        return "not run yet"
    versions = [f"{name} {version}" for name, version in sorted(each[-1].on.items(), reverse=True)]
    return ", ".join(filter(None, (f"run with {' and '.join(versions)}" if versions else "run", each[-1].ran)))


def _cell(text: str) -> str:
    """A text as a cell of a Markdown table: code stays code, and nothing else means anything."""
    parts = re.split(r"(`[^`]+`)", text)
    plain = [
        re.sub(r"([\\|*_\[\]~#])", r"\\\1", html.escape(part, quote=False)).replace("$", "&#36;") for part in parts
    ]
    code = [part.replace("|", "\\|") for part in parts]
    return "".join(code[k] if k % 2 else plain[k] for k in range(len(parts)))
