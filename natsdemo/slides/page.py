"""One HTML file with everything inside: reveal.js, letters, styles, pictures, notes. It asks nobody for anything."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from string import Template

from .blocks import Block
from .heights import code_size
from .layout import Moment, Slide

HERE = Path(__file__).parent
REVEAL = HERE / "reveal-5.2.1"
LICENCES = ("LICENSE", "LICENSE.source-sans-pro")
# What a deck on stage asks its server for: thebe-core, which talks to kernels and draws their widgets.
THEBE = HERE / "thebe-core-0.5.0"


def page(title: str, slides: Sequence[Slide], palette: Mapping[str, str], stage: str = "") -> str:
    """Return the deck as one HTML file, in the colours of `palette`: roles such as `ink`, and what they look like.

    `stage` is what `stage` returns, for a deck whose moments are live.
    """
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
        timing="0" if any(slide.at is not None for slide in slides) else "null",
        stage=stage,
    )


def stage(moments: Sequence[Moment], files: str, rehearse: bool, **knows: object) -> str:
    """Return what brings a deck to life, for `page`.

    `files` is the address of the folder that has the files in `THEBE`, and `anywidget.js`. `knows` is what the page has
    to know of its server: the `token`, the `folder` that kernels start in, the `version` of anywidget. With `rehearse`
    it plays by itself.
    """
    told = json.dumps({"moments": [moment._asdict() for moment in moments], "files": files, **knows})
    told = told.replace("</", "<\\/")
    return "\n".join(
        [
            f'<link rel="stylesheet" href="{files}/thebe-core.css">',
            f"<style>\n{_read(HERE / 'stage.css')}</style>",
            f'<script src="{files}/thebe-core.min.js"></script>',
            f'<script type="application/json" id="stage-moments">{told}</script>',
            *(f"<script>\n{_script(HERE / name)}</script>" for name in ("measure.js", "stage.js")),
            *([f"<script>\n{_script(HERE / 'rehearse.js')}</script>"] if rehearse else []),
        ]
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
    for (before, slide), seconds in zip(pairwise([None, *slides]), _timings(slides), strict=True):
        assert slide
        if before and not slide.below:
            yield "</section>\n<section>"
        yield _section(slide, seconds)
    yield "</section>"


def _timings(slides: Sequence[Slide]) -> Iterator[int | None]:
    """How long each slide may stay, in seconds; reveal.js shows the speaker whether it did. None for all if untimed."""
    times = [slide.at for slide in slides]
    for place, time in enumerate(times):
        after = next((later for later in times[place + 1 :] if later is not None), None)
        if time is not None and after is not None:
            yield after - time
        else:
            yield 0 if any(known is not None for known in times) else None


def _section(slide: Slide, seconds: int | None) -> str:
    look = " ".join(filter(None, ("slide", "first" if slide.first else "", "again" if slide.again else "")))
    blocks = "".join(_block(block, slide.size) for block in slide.blocks)
    notes = f'<aside class="notes">{"".join(slide.notes)}</aside>' if slide.notes else ""
    attributes = f' data-moment="{html.escape(slide.moment)}"' if slide.moment else ""
    attributes += f' data-timing="{seconds}"' if seconds is not None else ""
    heading = f"<h1>{slide.title}</h1>" if slide.title else ""
    return (
        f'\n<section{attributes}><div class="{look}" style="font-size:{slide.size}px">{heading}'
        f'<div class="content">{blocks}</div></div>{notes}</section>'
    )


def _block(block: Block, size: int) -> str:
    look = f"{block.kind} fragment" if block.fragment else block.kind
    look += " wide" if block.columns > 87 else ""
    style = f' style="font-size:{code_size(size, block.columns)}px"' if block.kind == "code" else ""
    cell = f' data-cell="{html.escape(block.cell)}"' if block.cell else ""
    return f'<div class="{look}"{style}{cell}>{block.html}</div>'
