"""Checks and exports the decks: a notebook that ran becomes one HTML file with everything inside, and a PDF.

`slides_of` decides what is on which slide, `page` writes the file, `print_pdf` and `overflows` look at it in Chromium.
On stage the same page has live moments: `stage` is what it needs for them.
"""

from .blocks import SlideError, outputs
from .chromium import SIZES, find_chromium, overflows, print_pdf, visit
from .layout import PREPARE, Moment, Slide, moments_of, slides_of
from .page import THEBE, page, stage

__all__ = [
    "PREPARE",
    "SIZES",
    "THEBE",
    "Moment",
    "Slide",
    "SlideError",
    "find_chromium",
    "moments_of",
    "outputs",
    "overflows",
    "page",
    "print_pdf",
    "slides_of",
    "stage",
    "visit",
]
