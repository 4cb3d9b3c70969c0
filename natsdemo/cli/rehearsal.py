"""What a rehearsal says about a deck: which slide, which moment, which time would go wrong."""

from collections.abc import Iterator, Sequence
from typing import TypedDict

from natsdemo.slides import Slide

MOST = 60.0  # seconds of a live moment
CODE = 22  # pixels of a slide 1280 wide: the smallest code


class Shown(TypedDict):
    """A slide as it was seen: by how many of its pixels something sticks out, and how small its code is, in them."""

    title: str
    overflow: int
    code: float


class Played(TypedDict):
    """A live moment as it went: how long the speaker waited for it, and it took; how many players it needed."""

    name: str
    slide: int
    state: str
    waited: float
    seconds: float
    tries: int
    problem: str


class Report(TypedDict):
    """What the page tells when it is through."""

    slides: list[Shown]
    moments: list[Played]
    problem: str


def troubles(report: Report, slides: Sequence[Slide], minutes: float | None) -> list[str]:
    """Return what would go wrong, a sentence for each; `minutes` are what the deck has."""
    return [*_shown(report), *_played(report, slides), *_timed(slides, minutes)]


def _shown(report: Report) -> Iterator[str]:
    if report["problem"]:
        yield f"The page stopped: {report['problem']}."
    for number, slide in enumerate(report["slides"], 1):
        if slide["overflow"]:
            yield f"Slide {number}, {slide['title']}: something sticks out by {slide['overflow']} pixels."
        if slide["code"] < CODE:
            yield f"Slide {number}, {slide['title']}: its code has {slide['code']:.0f} pixels, and a room reads {CODE}."


def _played(report: Report, slides: Sequence[Slide]) -> Iterator[str]:
    for moment in report["moments"]:
        what = f"Slide {moment['slide']}, moment {moment['name']}"
        if moment["state"] != "done":
            yield f"{what}: did not play, {moment['problem']}."
        elif moment["tries"] > 1:
            yield f"{what}: needed {moment['tries']} players, {moment['problem']}."
        if moment["seconds"] > MOST:
            yield f"{what}: took {moment['seconds']:.0f} s, and a room waits {MOST:.0f}."
        given = _given(slides, moment["slide"] - 1)
        if given is not None and moment["seconds"] > given:
            yield f"{what}: took {moment['seconds']:.0f} s, and the notes give it {given}."


def _given(slides: Sequence[Slide], at: int) -> int | None:
    """How many seconds the notes give to the slides of a moment, and to the one that leads to it."""
    last = max(n for n, slide in enumerate(slides) if slide.moment == slides[at].moment)
    begin = next((slide.at for slide in reversed(slides[: at + 1]) if slide.at is not None), None)
    end = next((slide.at for slide in slides[last + 1 :] if slide.at is not None), None)
    return None if begin is None or end is None else end - begin


def _timed(slides: Sequence[Slide], minutes: float | None) -> Iterator[str]:
    if all(slide.at is None for slide in slides):
        return  # a lesson
    before = -1
    for number, slide in enumerate(slides, 1):
        if slide.at is not None and slide.at <= before:
            yield f"Slide {number}, {slide.title}: its notes begin with a time that is over by then."
        elif slide.at is None and not slide.again:
            yield f"Slide {number}, {slide.title}: its notes do not say when you should be there, as in `12:30`."
        before = slide.at if slide.at is not None else before
    if minutes and before >= 60 * minutes:
        yield f"The last slide is due when the {minutes:g} minutes are over."
