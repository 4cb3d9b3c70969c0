"""What the tests of figures look at: the pixels of a picture, and text that would break a careless one."""

import io

from PIL import Image

from natsdemo import figures
from natsdemo.figures import Picture

HOSTILE = "<script>alert('x')</script> $\\frac{1}{2}$ \x00\x1b[31m \u202e 世界 \ud83d"


def pixels(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.png))
    image.load()
    return image


def near(image: Image.Image, role: str) -> int:
    """How many pixels have this role's colour, more or less: 256 colours are all that a picture has."""
    red, green, blue = bytes.fromhex(figures.PALETTE["light"][role][1:])
    found = image.convert("RGB").getcolors(1 << 24) or []
    close = [n for n, seen in found if isinstance(seen, tuple)
             and abs(seen[0] - red) + abs(seen[1] - green) + abs(seen[2] - blue) < 24]  # fmt: skip
    return sum(close)
