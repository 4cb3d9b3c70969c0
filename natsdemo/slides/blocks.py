"""What stands on a slide, piece by piece: prose, code, what came out, a picture; each guesses how tall it will be."""

import html
import math
import mimetypes
import re
import struct
import textwrap
from base64 import b64decode, b64encode
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .heights import CODE_COLUMNS, CODE_PADDING, SIZES, TALL, TEXT_SIZE, WIDTH, code_size, prose_height

CODE_LINES = 12
_SHOWN_LINES, _SHOWN_COLUMNS = 8, 80
_LEAST_PICTURE = 400
_MOST = TALL - 120  # what a title leaves

CLAIM = "application/vnd.natsdemo.claim+json"
_MARKS = {True: "✓", False: "✗", None: "–"}


class SlideError(Exception):
    """A deck that cannot be built as it is; its text is one sentence that says what to change."""


class Block(NamedTuple):
    """A piece of a slide, as HTML. `lines` and `columns` are those of code; `size` is a picture's, in CSS pixels.

    `cell` names the live cell that it came from: on stage, what the cell puts out then takes its place.
    """

    kind: Literal["prose", "code", "text", "rich", "claim", "picture"]
    html: str
    lines: int = 0
    columns: int = 0
    size: tuple[int, int] = (0, 0)
    fragment: bool = False
    cell: str = ""

    def height(self, size: int) -> float:
        """How tall it will be, about, where the slide's letters have this size; of a picture, the least."""
        if self.kind == "picture":
            width, height = self.size
            return min(WIDTH * height / width, _LEAST_PICTURE)
        if self.kind == "code":
            return self.lines * 1.4 * code_size(size, self.columns) + CODE_PADDING
        if self.kind == "text":
            return self.lines * 1.35 * TEXT_SIZE + 10
        return prose_height(self.html, size)


def prose(markdown: str, folder: Path, attached: Mapping[str, Mapping[str, str]] | None = None) -> list[Block]:
    """Markdown as it is, with its pictures inside; each of them needs alternative text.

    `attached` are the cell's attachments, each by its kind, in base 64. One that is a paragraph by itself is a picture.
    """
    blocks: list[Block] = []
    before, *others = re.split(r"^!\[([^]]*)\]\(attachment:([^)]+)\)\s*$", markdown, flags=re.M)
    for alt, name, after in zip(*[iter(["", "", before, *others])] * 3, strict=True):
        if name:
            png = (attached or {}).get(name, {}).get("image/png", "")
            if not png:
                raise SlideError(f"There is no attachment {name}: `make notebooks` takes it from its lesson.")
            width, height = struct.unpack(">II", b64decode(png[:48])[16:24])
            blocks.append(_picture_of(png, alt, (width, height)))
        if after.strip():
            blocks += _parts(Block("prose", _with_pictures(rendered(after), folder)))
    return blocks


def _parts(block: Block) -> list[Block]:
    """A long table in parts that each fit on a slide, all with its head; what stands above and below is by itself."""
    found = re.search(r"((?:<h2>[^\n]*?</h2>\s*)?)(<table\b.*?</table>)", block.html, re.S)
    if not found or block.height(SIZES[-2]) <= _MOST:
        return [block]
    heading, table = found.groups()
    head = re.split(r"(?<=</thead>)" if "</thead>" in table else r"(?=<tr\b)", table, maxsplit=1)[0]
    tables = [""]
    for row in re.findall(r"<tr\b.*?</tr>", table.removeprefix(head), re.S):
        if tables[-1] and prose_height(f"{head}{tables[-1]}{row}</table>", SIZES[-2]) > _MOST:
            tables.append("")
        tables[-1] += row
    tables = [f"{head}<tbody>{rows}</tbody></table>" for rows in tables]
    pieces = [block.html[: found.start()], heading + tables[0], *tables[1:], block.html[found.end() :]]
    return [block._replace(html=piece) for piece in pieces if piece.strip()]


def rendered(markdown: str) -> str:
    """Markdown as HTML; a heading is one step below the slide's title, and a link to a neighbouring file is text."""
    made: str = import_module("mistune").create_markdown(escape=False, plugins=["table", "strikethrough"])(markdown)
    return _tidy(made)


def _tidy(made: str) -> str:
    made = re.sub(r'<a href="(?!https?:|mailto:)[^"]*">(.*?)</a>', r"\1", made, flags=re.S)
    return re.sub(r"<(/?)h[1-6]>", r"<\1h2>", made).replace("<th></th>", "<td></td>")


def inline(markdown: str) -> str:
    """One sentence of Markdown as HTML, without a paragraph around it."""
    return rendered(markdown).strip().removeprefix("<p>").removesuffix("</p>")


def _with_pictures(text: str, folder: Path) -> str:
    def embed(tag: re.Match[str]) -> str:
        source = re.search(r'src="([^"]*)"', tag[0])
        if not re.search(r'alt="[^"]+"', tag[0]):
            raise SlideError(f"The picture {source[1][:60] if source else ''} has no alternative text: write one.")
        if not source or source[1].startswith("data:"):
            return tag[0]
        file = folder / html.unescape(source[1])
        if not file.is_file():
            raise SlideError(f"There is no picture {source[1]} in {folder}: a deck takes its pictures from files.")
        kind = mimetypes.guess_type(file.name)[0] or "image/png"
        return tag[0].replace(source[0], f'src="data:{kind};base64,{b64encode(file.read_bytes()).decode()}"')

    return re.sub(r"<img\b[^>]*>", embed, text)


def code(source: str) -> list[Block]:
    """Code in Python, coloured, in parts of at most 12 lines; it is cut where a statement at the margin begins."""
    lines = re.sub(r"\n{3,}", "\n\n", source.strip("\n")).split("\n")
    if len(lines) > CODE_LINES:  # air is the first to go: inside of functions, then all of it
        lines = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if line or not after.startswith(" ")]
    if len(lines) > CODE_LINES and sum(map(bool, lines)) <= CODE_LINES:
        lines = [line for line in lines if line]
    parts = []
    while len(lines) > CODE_LINES:
        starts = [k for k in range(1, CODE_LINES + 1) if re.match(r"[^\s)\]}]", lines[k])]
        blank = [k for k in starts if not lines[k - 1].strip()]
        cut = max(blank or starts or [CODE_LINES])
        parts.append(lines[:cut])
        lines = lines[cut:]
    return [_code("\n".join(part).strip("\n")) for part in [*parts, lines]]


def _code(source: str) -> Block:
    highlight, lexers, formatters = (import_module(f"pygments{name}") for name in ("", ".lexers", ".formatters"))
    coloured = highlight.highlight(source, lexers.PythonLexer(), formatters.HtmlFormatter(nowrap=True)).rstrip("\n")
    columns = max(map(len, source.split("\n")))
    lines = sum(max(1, math.ceil(len(line) / CODE_COLUMNS)) for line in source.split("\n"))
    return Block("code", f"<pre><code>{coloured}</code></pre>", lines=lines, columns=columns)


def outputs(found: Any, folder: Path) -> list[Block]:
    """What a cell has put out, as far as an audience wants to see it: no warnings, no address of an object."""
    blocks: list[Block] = []
    for output in found:
        block = _output(output, folder)
        if block and block.kind == "claim" and blocks and blocks[-1].kind == "claim":
            blocks[-1] = block._replace(html=blocks[-1].html + block.html)  # what is claimed together stays together
        elif block:
            blocks += _parts(block)
    return blocks


def _output(output: Any, folder: Path) -> Block | None:
    if output["output_type"] == "stream":
        return _text(output["text"]) if output["name"] == "stdout" else None
    if output["output_type"] == "error":
        return _text(f"{output['ename']}: {output['evalue']}")
    data = output["data"]
    if CLAIM in data:
        return _claim(data[CLAIM])
    if "image/png" in data:
        return _picture(data, output.get("metadata", {}).get("image/png", {}))
    if "text/html" in data:
        return Block("rich", _with_pictures(_tidy(re.sub(r' style="[^"]*"', "", data["text/html"])), folder))
    text = data.get("text/plain", "")
    return None if re.fullmatch(r"<.* at 0x[0-9a-f]+>", text) else _text(text)


def _text(text: str) -> Block | None:
    lines = [part for line in text.strip().split("\n") for part in textwrap.wrap(line, _SHOWN_COLUMNS) or [""]]
    if not any(lines):
        return None
    if len(lines) > _SHOWN_LINES:
        left_out = len(lines) - _SHOWN_LINES + 1
        lines = [*lines[: _SHOWN_LINES - 1], f"… and {left_out} more lines"]
    return Block("text", f"<pre>{html.escape(chr(10).join(lines))}</pre>", lines=len(lines))


def _claim(claim: Mapping[str, Any]) -> Block:
    mark = _MARKS[claim["holds"]]
    saw = f"<br><small>{html.escape(claim['evidence'])}</small>" if claim["evidence"] else ""
    return Block("claim", f'<p><b class="mark">{mark}</b> {inline(claim["sentence"])}{saw}</p>')


def ledger(claims: list[Mapping[str, Any]]) -> list[Block]:
    """All claims as lists that each fill a slide; what was seen has stood beside them before."""
    most = 9
    count = math.ceil(len(claims) / most)
    each = math.ceil(len(claims) / max(count, 1))
    parts = [claims[k * each : (k + 1) * each] for k in range(count)]
    items = [
        "".join(f'<li><b class="mark">{_MARKS[claim["holds"]]}</b> {inline(claim["sentence"])}</li>' for claim in part)
        for part in parts
    ]
    return [Block("rich", f'<ul class="ledger">{item}</ul>') for item in items]


def _picture(data: Mapping[str, Any], about: Mapping[str, Any]) -> Block:
    size = int(about.get("width", 16)), int(about.get("height", 9))
    return _picture_of("".join(data["image/png"].split()), about.get("alt", ""), size)


def _picture_of(png: str, alt: str, size: tuple[int, int]) -> Block:
    if not alt:
        raise SlideError("A picture that a cell drew has no alternative text: put it into the output's metadata.")
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
    return Block("picture", f"<figure>{image}</figure>", size=size)
