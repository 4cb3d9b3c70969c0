"""Checks and exports the decks: a notebook that ran becomes one HTML file with everything inside, and a PDF.

`slides_of` decides what is on which slide, `page` writes the file, `print_pdf` and `overflows` look at it in Chromium.
"""

from .blocks import SlideError
from .chromium import SIZES, find_chromium, overflows, print_pdf
from .layout import Slide, slides_of
from .page import page

__all__ = ["SIZES", "Slide", "SlideError", "find_chromium", "overflows", "page", "print_pdf", "slides_of"]
