"""A finished picture: its pixels, the same in words, and the same in numbers."""

from __future__ import annotations

import html
import io
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .palette import STYLE

__all__ = ["DENSITY", "WIDTH", "Picture", "render", "styled", "table"]

WIDTH = 960  # CSS pixels: a notebook's column, and a slide of 1280 with its margins
DENSITY = 2  # pixels of the PNG per CSS pixel
INCH = 100  # CSS pixels per inch of a figure, so that matplotlib's 11 points are 11 points on the page
_MOST_ROWS = 60


class Picture(NamedTuple):
    """A picture that reads without JavaScript, without trust and without eyes.

    `png` is of double density; `alt` tells what is in the picture, with its numbers; `caption` is one line about it;
    `table` has the same numbers as HTML. A notebook shows it as it is: no call to `display` or `plt.show` is needed.
    """

    png: bytes
    alt: str
    caption: str
    table: str
    width: int
    height: int

    def save(self, path: str | Path) -> None:
        """Write the PNG file; it carries the alternative text along as its description."""
        Path(path).write_bytes(self.png)

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        source = f"data:image/png;base64,{b64encode(self.png).decode()}"
        return (
            f'<figure style="margin:0"><img alt="{html.escape(self.alt)}" src="{source}" width="{self.width}" '
            f'style="max-width:100%;height:auto"><figcaption>{html.escape(self.caption)}</figcaption></figure>'
            f"<details><summary>The same as a table</summary>{self.table}</details>"
        )

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Offer one output in three forms; every viewer takes the one that it likes best, so it is seen once.

        JupyterLab (also where a notebook is not trusted), VS Code, nbviewer and nbconvert take the HTML, since
        Lab drops the `alt` of an image; slides and LaTeX are told to prefer, or know nothing but, the image; a terminal
        and `git diff` show the text. One bundle is one output: nothing is displayed twice.
        """
        size = {"alt": self.alt, "width": self.width, "height": self.height}
        data = {"text/html": self._repr_html_(), "image/png": b64encode(self.png).decode(), "text/plain": self.alt}
        return data, {"image/png": size}


@contextmanager
def styled(dark: bool) -> Iterator[None]:
    """Draw in our own style, whatever the reader has set up for theirs, and leave theirs as it was."""
    with matplotlib.style.context(STYLE(dark), after_reset=True):
        yield


def render(figure: Figure, alt: str, caption: str, rows: str) -> Picture:
    """Make the pixels. A palette of 256 colours is all that flat colours need: a quarter of the size, twice as fast."""
    figure.set_figheight(round(figure.get_figheight() * INCH) / INCH)  # whole CSS pixels
    canvas: Any = FigureCanvasAgg(figure)
    figure.set_dpi(INCH * DENSITY)
    canvas.draw()
    width, height = canvas.get_width_height(physical=True)
    image = Image.frombytes("RGB", (width, height), bytes(canvas.buffer_rgba()), "raw", "RGBX")
    image = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=6, dpi=(INCH * DENSITY, INCH * DENSITY), pnginfo=_described(alt))
    return Picture(data.getvalue(), alt, caption, rows, width // DENSITY, height // DENSITY)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write an HTML table, escaped, of at most 60 rows; what is left out is counted."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows[:_MOST_ROWS]
    )
    more = f"<p>and {len(rows) - _MOST_ROWS:,} more rows</p>" if len(rows) > _MOST_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _described(alt: str) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("Description", alt)
    return info
