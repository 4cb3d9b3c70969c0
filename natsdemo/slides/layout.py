"""Which cells stand on which slide. Notebook in, slides out: nothing is run, and nothing is written."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .blocks import CLAIM, CODE_LINES, Block, code, inline, ledger, outputs, prose, rendered
from .heights import SIZES, TALL

# The tag of a live moment's cells that run ahead, where nobody looks.
PREPARE = "prepare"
# Cells for the reader's hands: a room sees neither them nor what they put out.
HIDDEN = {"setup", "skip", "exercise", "solution", "parameters", "appendix", "cleanup", PREPARE}
# Cells whose code only asks or checks: the room sees what they say.
PLUMBING = {"claim", "predict", "ledger"}

_GAP = 22
_TITLE, _AGAIN = (48, 46), (26, 80)  # height of a line, and how many letters it takes


class Slide(NamedTuple):
    """One slide: `again` if its title stood on the slide before, `below` if it goes on with the same theme.

    `notes` are the speaker's, as HTML, and `size` is the largest size of letters in which everything fits. `moment`
    names what is to run here, where there is a kernel.
    """

    title: str
    blocks: list[Block]
    notes: list[str]
    first: bool = False
    again: bool = False
    below: bool = False
    moment: str = ""

    @property
    def at(self) -> int | None:
        """When the talk should be here, in seconds: the time, as `12:30`, with which the notes begin."""
        found = re.match(r"\s*(?:<[^>]*>)*(\d+):([0-5]\d)\b", "".join(self.notes))
        return 60 * int(found[1]) + int(found[2]) if found else None

    @property
    def size(self) -> int:
        """The largest font size, in CSS pixels of a slide of 1280 x 720, in which it fits as far as we can guess."""
        return next((size for size in SIZES if self._fits(size)), SIZES[-1])

    def takes(self, *blocks: Block) -> bool:
        """Whether there is room for these too: at most one picture, 12 lines of code, and all in good letters."""
        both = self._replace(blocks=[*self.blocks, *blocks])
        pictures = sum(block.kind == "picture" for block in both.blocks)
        if self.first or pictures > 1 or sum(block.lines for block in both.blocks if block.kind == "code") > CODE_LINES:
            return False
        return len(both.blocks) == 1 or both._fits(SIZES[-2])

    def _fits(self, size: int) -> bool:
        high, letters = _AGAIN if self.again else _TITLE
        title = high * -(-len(re.sub(r"<[^>]*>", "", self.title)) // letters) + _GAP
        return title + sum(block.height(size) + _GAP for block in self.blocks) <= TALL


class _Part(NamedTuple):
    """A cell, or what stands under one heading of it."""

    kind: str  # of the slide: slide, subslide, fragment, notes; empty: goes on
    title: str
    blocks: list[Block]
    notes: str = ""
    moment: str = ""


class Moment(NamedTuple):
    """What happens live: cells that run ahead, where nobody looks, and those that run when the speaker says so.

    Each is a pair: the cell's name, and its source.
    """

    name: str
    prepare: list[tuple[str, str]]
    live: list[tuple[str, str]]


def moments_of(nb: Mapping[str, Any]) -> list[Moment]:
    """Return the live moments of a deck: code cells with the same `natsdemo.moment`."""
    moments: dict[str, Moment] = {}
    for cell in nb["cells"]:
        name = _moment(cell)
        if name and cell["cell_type"] == "code":
            moment = moments.setdefault(name, Moment(name, [], []))
            ahead = PREPARE in cell["metadata"].get("tags", [])
            (moment.prepare if ahead else moment.live).append((cell["id"], "".join(cell["source"])))
    return list(moments.values())


def _moment(cell: Mapping[str, Any]) -> str:
    return str(cell["metadata"].get("natsdemo", {}).get("moment", ""))


def slides_of(nb: Mapping[str, Any], folder: Path) -> list[Slide]:
    """Return the slides of a notebook that ran; `folder` is where the pictures of its prose are.

    `slideshow.slide_type` is obeyed. A cell without one belongs to the slide before, and goes to a slide of its own
    below that where there is no room, or where it has a heading.
    """
    slides: list[Slide] = []
    for part in _parts(nb, folder):
        if part.kind == "notes":
            if slides:
                slides[-1].notes.append(part.notes)
            continue
        opens = part.kind in ("slide", "subslide") or bool(part.title) or not slides
        for place, block in enumerate(part.blocks or [None]):
            begins = opens and place == 0
            if begins or (block and not slides[-1].takes(block)) or (place == 0 and _torn(slides[-1], part.blocks)):
                named = begins and bool(part.title)
                title = part.title if named or not slides else slides[-1].title
                below = bool(slides) and not (begins and part.kind == "slide")
                slides.append(Slide(title, [], [], named and not slides, not named, below))
            if block:
                fragment = part.kind == "fragment" and bool(slides[-1].blocks)
                slides[-1].blocks.append(block._replace(fragment=fragment))
                if part.moment:
                    slides[-1] = slides[-1]._replace(moment=part.moment)
    return [slide for slide in slides if slide.blocks or not slide.again]


def _torn(slide: Slide, blocks: list[Block]) -> bool:
    """Whether what would fit on a slide of its own does not fit on this one."""
    return not slide.takes(*blocks) and Slide(slide.title, [], [], again=True).takes(*blocks)


def _parts(nb: Mapping[str, Any], folder: Path) -> Iterator[_Part]:
    claims: list[Mapping[str, Any]] = []
    cells = list(nb["cells"])
    appendix = False  # from its first table to the next heading
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        kind = cell["metadata"].get("slideshow", {}).get("slide_type", "").replace("-", "")
        if cell["cell_type"] == "code":
            claims += [output["data"][CLAIM] for output in cell["outputs"] if CLAIM in output.get("data", {})]
        appendix = "appendix" in cell["metadata"].get("tags", []) or (appendix and not _headed(cell))
        if appendix or _hidden(cell):
            continue
        if kind == "notes":
            yield _Part(kind, "", [], rendered("".join(cell["source"])))
        elif cell["cell_type"] == "markdown":
            sections = _sections("".join(cell["source"]))
            if not kind and following and _hidden(following) and sections[-1][1].rstrip().endswith(":"):
                sections.pop()  # it introduces what is not shown
            yield from _prose(sections, kind, folder, cell.get("attachments", {}))
        elif cell["cell_type"] == "code":
            yield _Part(kind, "", _ran(cell, claims, folder), moment=_moment(cell))


def _hidden(cell: Mapping[str, Any]) -> bool:
    metadata = cell["metadata"]
    return metadata.get("slideshow", {}).get("slide_type") == "skip" or bool(HIDDEN & set(metadata.get("tags", [])))


def _headed(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "markdown" and any(title for title, _ in _sections("".join(cell["source"])))


def _prose(
    sections: list[tuple[str, str]], kind: str, folder: Path, attached: Mapping[str, Mapping[str, str]]
) -> Iterator[_Part]:
    """One part for each heading; one that has nothing below it is no slide, except where the author says so."""
    for title, text in sections:
        blocks = prose(text, folder, attached) if text.strip() else []
        if blocks or (title and kind):
            yield _Part(kind, inline(title), blocks)
            kind = ""


def _sections(markdown: str) -> list[tuple[str, str]]:
    """Headings of the first two levels and what stands below each; what stands above the first has none."""
    sections = [("", "")]
    fenced = False
    for line in markdown.split("\n"):
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.match(r"##?\s+(.+)", line)
        if heading:
            sections.append((heading[1], ""))
        else:
            title, text = sections[-1]
            sections[-1] = title, f"{text}{line}\n"
    return sections


def _ran(cell: Mapping[str, Any], claims: list[Mapping[str, Any]], folder: Path) -> list[Block]:
    tags = set(cell["metadata"].get("tags", []))
    if "ledger" in tags:
        return ledger(list({claim["sentence"]: claim for claim in claims}.values()))
    source = "".join(cell["source"])
    came = outputs(cell["outputs"], folder)
    if any(block.kind == "picture" for block in came):
        source = _before_the_picture(source)
    asked = bool(PLUMBING & tags) or ".reveal(" in source
    if _moment(cell):
        came = [block._replace(cell=cell["id"]) for block in came]
    return came if asked or not source.strip() else [*code(source), *came]


def _before_the_picture(source: str) -> str:
    """What a cell does before its last statement, which draws; nothing, if that only counts and prepares."""
    try:
        *before, last = ast.parse(source).body
    except (SyntaxError, ValueError):  # a magic command
        return source
    waits = any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for each in before for node in ast.walk(each))
    return "\n".join(source.split("\n")[: last.lineno - 1]) if waits else ""
