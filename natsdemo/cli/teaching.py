"""The teacher's guide and the glossary, made from what the lessons say of themselves."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .notebooks import find_lessons

MADE = "<!-- made by `make notebooks` out of the lessons -->"


class Plan(NamedTuple):
    """A course: its lessons by number, and what to say about it. `minutes` are those of the room's clock."""

    name: str
    minutes: int
    lessons: tuple[str, ...]
    remark: str


# Beside the lessons' own minutes a room needs time to bet aloud, to break things, and for its questions.
PLANS = (
    Plan(
        "90 minutes: what arrives", 90, ("00", "01", "05", "09"),
        "Begin with the lightning talk (`natsdemo present lightning`, 5 minutes). Everybody then runs 00 by themselves,"
        " so that the machines are known to work; bet aloud on the others, hands up, before anybody runs the cell."
        " Leave out all exercises but the first of 01.",
    ),
    Plan(
        "Half a day: what is kept", 210, ("00", "01", "05", "06", "09", "10", "11", "13"),
        "A break after 06 and after 10. Rounds three and later of 06 and 13 can go if time is short; 11 must not: its"
        " round two is what people remember. One exercise for each lesson, in pairs.",
    ),
    Plan(
        "A day: what it takes to run it", 420,
        ("00", "01", "05", "06", "09", "10", "10b", "11", "12", "13", "17", "18", "21", "22"),
        "Half a day as above, then lunch. In the afternoon the teacher shows 18 live (it wants a strong machine) while"
        " the room runs 17; 22 comes last, as a quiz in groups: each group defends one of the seven answers.",
    ),
)  # fmt: skip

# Each term, and the lesson whose sentence explains it.
TERMS = {
    "account": "19", "ack": "11", "ack wait": "11", "advisory": "11b", "backoff": "11b", "bucket": "15",
    "choreography": "08", "compare-and-set": "15", "consumer": "11", "coordinated omission": "20", "credit": "07",
    "dirty": "10b", "domain": "16", "double ack": "11", "event": "14", "fencing": "15", "gossip": "18",
    "idempotency key": "06", "inbox": "06", "lame duck": "17", "leader": "18", "leaf node": "16", "mapping": "04",
    "materialised view": "15", "mirror": "16", "nkey": "19", "nonce": "19", "object store": "15", "orchestrator": "08",
    "ordered consumer": "13", "origin": "16", "overtaken": "13", "page cache": "10b", "partition": "13",
    "pattern": "04", "puback": "10", "queue group": "05", "relay": "12", "reply subject": "06", "revision": "15",
    "route": "18", "sequence": "10", "sid": "03", "snapshot": "14", "stream": "10", "subject": "01",
    "time-to-live": "15", "token": "04", "upcaster": "14", "verdict": "00", "watchdog": "08",
}  # fmt: skip


class Bet(NamedTuple):
    """A question that a lesson asks before an experiment, and what its last run observed."""

    question: str
    options: list[str]
    observed: str


def guide() -> str:
    """Return the teacher's guide in Markdown: courses of three lengths, then every lesson with its bets."""
    lessons = {lesson.stem.partition("-")[0]: lesson for lesson in find_lessons([])}
    about = {number: _read(lesson)["metadata"]["natsdemo"] for number, lesson in lessons.items()}
    lines = [MADE, "# For the teacher", "", *_courses(about), "", "## Lesson by lesson", ""]
    lines += [
        "What people will get wrong are the bets: the question comes before the experiment, and what was observed is"
        " from the last run. Ask for hands before you run the cell; do not tell. What can be skipped everywhere: the"
        " reference appendix, “2018 said, today”, “Elsewhere”, and the exercises; their solutions are folded away.",
    ]  # fmt: skip
    for number, lesson in lessons.items():
        lines += ["", *_lesson(number, lesson, about[number])]
    return "\n".join([*lines, ""])


def _courses(about: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for plan in PLANS:
        minutes = sum(about[number]["minutes"] for number in plan.lessons)
        yield f"## {plan.name}"
        yield ""
        yield f"Lessons {', '.join(plan.lessons)}: {minutes} minutes of {plan.minutes}. {plan.remark}"
        yield ""
    yield "For a room: `natsdemo workshop --readers 30`. To show a lesson as slides: `natsdemo present 05`."


def _lesson(number: str, lesson: Path, about: Mapping[str, Any]) -> Iterator[str]:
    nb = _read(lesson)
    needs = ", ".join(name.partition("-")[0] for name in about["prerequisites"]) or "nothing"
    exercises = sum(_tagged(cell, "solution") for cell in nb["cells"])
    yield f"### [{number} {about['title']}]({lesson.name})"
    yield ""
    yield f"{about['minutes']} minutes, after {needs}; {about['level']}; {exercises} exercises. {about['thesis']}"
    yield ""
    yield from (f"- {experiment}" for experiment in about["experiments"])
    found = list(bets(nb))
    if found:
        yield ""
        yield "| the bet | what was observed |"
        yield "|---|---|"
        for bet in found:
            yield f"| {_cell(bet.question)} ({_cell(' / '.join(bet.options))}) | {_cell(bet.observed)} |"


def bets(nb: Mapping[str, Any]) -> Iterator[Bet]:
    """The bets of a lesson, in its order; the exercises ask for none."""
    asked: dict[str, tuple[str, list[str]]] = {}
    for cell in nb["cells"]:
        if cell["cell_type"] != "code" or _tagged(cell, "exercise") or _tagged(cell, "solution"):
            continue
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.Assign) and _calls(node.value, "predict"):
                assert isinstance(node.value, ast.Call)
                question, options = (ast.literal_eval(argument) for argument in node.value.args)
                asked[ast.unparse(node.targets[0])] = question, options
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".reveal"):
                name = ast.unparse(node.func).removesuffix(".reveal")
                observed = next(_observed(cell), "")
                if name in asked and observed:
                    yield Bet(*asked.pop(name), observed)


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


def _observed(cell: Mapping[str, Any]) -> Iterator[str]:
    for output in cell["outputs"]:
        text = "".join(output.get("data", {}).get("text/plain", ""))
        if text.startswith("Observed: "):
            yield text.removeprefix("Observed: ")


def glossary() -> str:
    """Return the glossary in Markdown: each term in the words of the lesson that explains it."""
    lessons = {lesson.stem.partition("-")[0]: lesson for lesson in find_lessons([])}
    lines = [MADE, "# Glossary", "", "Each term in the words of the lesson that explains it.", "", "| | |", "|---|---|"]
    for term, number in sorted(TERMS.items()):
        explained = re.sub(r"\s*:$", ".", explanation(term, _read(lessons[number])))
        lines.append(f"| **{term}** | {_cell(explained)} [{number}]({lessons[number].name}) |")
    return "\n".join([*lines, ""])


def explanation(term: str, nb: Mapping[str, Any]) -> str:
    """Return the first sentence of a lesson that has this term in italics, with what it leans on."""
    for cell in nb["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for paragraph in "".join(cell["source"]).split("\n\n"):
            sentences = re.split(r"(?<=[.?!:])\s+(?=[A-Z`“*(])", " ".join(paragraph.split()))
            for n, sentence in enumerate(sentences):
                if f"*{term}*" in sentence:
                    leans = n > 0 and re.match(r"(?:That|This|Such|So|It|Another|One)\b", sentence)
                    return " ".join(sentences[n - 1 : n + 1] if leans else [sentence])
    raise LookupError(f"No sentence of the lesson explains {term}.")


def _read(lesson: Path) -> Any:
    return json.loads(lesson.read_text(encoding="utf-8"))


def _tagged(cell: Mapping[str, Any], tag: str) -> bool:
    return tag in cell["metadata"].get("tags", [])


def _cell(text: str) -> str:
    """A text in a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")
