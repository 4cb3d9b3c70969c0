"""One HTML file with everything inside: reveal.js, letters, styles, pictures, notes. It asks nobody for anything."""

import html
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from string import Template

from .blocks import Block
from .heights import code_size
from .layout import Slide

HERE = Path(__file__).parent
REVEAL = HERE / "reveal-5.2.1"
LICENCES = ("LICENSE", "LICENSE.source-sans-pro")


def page(title: str, slides: Sequence[Slide], palette: Mapping[str, str]) -> str:
    """Return the deck as one HTML file, in the colours of `palette`: roles such as `ink`, and what they look like."""
    return Template(_read(HERE / "deck.html")).substitute(
        title=html.escape(title),
        licences="\n\n".join(_read(REVEAL / name).strip() for name in LICENCES),
        reveal_css=_read(REVEAL / "reveal.css"),
        colours="".join(f"--{role}:{colour};" for role, colour in palette.items()),
        regular=_base64(REVEAL / "source-sans-pro-regular.woff"),
        semibold=_base64(REVEAL / "source-sans-pro-semibold.woff"),
        deck_css=_read(HERE / "deck.css"),
        slides="".join(_sections(slides)),
        reveal_js=_script(REVEAL / "reveal.js"),
        notes_js=_script(REVEAL / "notes.js"),
    )


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _base64(file: Path) -> str:
    return b64encode(file.read_bytes()).decode()


def _script(file: Path) -> str:
    """A script for inside of a page: without the address of its source map, and without an end of script in a text."""
    text = re.sub(r"^//# sourceMappingURL=.*$", "", _read(file), flags=re.M)
    return text.replace("</script", r"<\/script")


def _sections(slides: Sequence[Slide]) -> Iterator[str]:
    """A theme is a column: its first slide, and those below it."""
    yield "<section>"
    for before, slide in pairwise([None, *slides]):
        assert slide
        if before and not slide.below:
            yield "</section>\n<section>"
        yield _section(slide)
    yield "</section>"


def _section(slide: Slide) -> str:
    look = " ".join(filter(None, ("slide", "first" if slide.first else "", "again" if slide.again else "")))
    blocks = "".join(_block(block, slide.size) for block in slide.blocks)
    notes = f'<aside class="notes">{"".join(slide.notes)}</aside>' if slide.notes else ""
    heading = f"<h1>{slide.title}</h1>" if slide.title else ""
    return (
        f'\n<section><div class="{look}" style="font-size:{slide.size}px">{heading}'
        f'<div class="content">{blocks}</div></div>{notes}</section>'
    )


def _block(block: Block, size: int) -> str:
    look = f"{block.kind} fragment" if block.fragment else block.kind
    look += " wide" if block.columns > 87 else ""
    style = f' style="font-size:{code_size(size, block.columns)}px"' if block.kind == "code" else ""
    return f'<div class="{look}"{style}>{block.html}</div>'
