"""What every picture owes its viewer, whatever it shows; and how the tests look at its pixels."""

import html
import io

from PIL import Image

from natsdemo.figures import PALETTE, Picture

# Text that would break a careless picture: markup, mathematics, what does not print, what turns the line round.
HOSTILE = "<script>alert('x')</script> $\\frac{1}{2}$ \x00\x1b[31m \u202e 世界 \ud83d"


def pixels(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.png))
    image.load()
    return image


def near(picture: Picture, role: str, dark: bool = False) -> int:
    """How many pixels have about this role's colour: 256 colours are all that a picture has."""
    wanted = bytes.fromhex(PALETTE["dark" if dark else "light"][role][1:])
    found = pixels(picture).convert("RGB").getcolors(1 << 24) or []
    return sum(
        count
        for count, seen in found
        if isinstance(seen, tuple) and all(abs(a - b) <= 12 for a, b in zip(seen, wanted, strict=True))
    )


def share(picture: Picture, role: str, dark: bool = False) -> float:
    """How much of a picture has about this role's colour."""
    return near(picture, role, dark) / (4 * picture.width * picture.height)


def is_a_card_of_its_own(picture: Picture, dark: bool) -> None:
    """It has the page's width at double density, its own background, and its description inside."""
    image = pixels(picture)
    assert picture.width == 960
    assert image.size == (2 * picture.width, 2 * picture.height)
    assert "transparency" not in image.info
    assert image.info["Description"] == picture.alt
    corner = image.convert("RGB").getpixel((2, 2))
    assert isinstance(corner, tuple)
    card = bytes.fromhex(PALETTE["dark" if dark else "light"]["card"][1:])
    assert all(abs(seen - wanted) <= 3 for seen, wanted in zip(corner, card, strict=True))


def is_harmless(picture: Picture) -> None:
    """Nothing hostile in it is markup, and all of it can be written to a file."""
    shown = picture._repr_html_()
    for bad in ("<script", "<img/src", "<img src=x", "<p>$", "<n1>", "\x00", "\x1b", "\u202e"):
        assert bad not in shown
    assert f'alt="{html.escape(picture.alt)}"' in shown
    shown.encode()
    picture.alt.encode()
    picture.table.encode()
