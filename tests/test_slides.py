"""Decks: what is on which slide, and what a browser makes of the file, with the network cut."""

import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsers import CHROMIUM, QUIET, in_a_browser
from playwright.sync_api import Page, sync_playwright

from natsdemo.cli.decks import find_deck
from natsdemo.cli.notebooks import find_lessons
from natsdemo.figures.palette import colours
from natsdemo.slides import SIZES, Moment, Slide, SlideError, moments_of, overflows, page, print_pdf, slides_of

NATSDEMO = str(Path(sys.executable).with_name("natsdemo"))
PNG = b64encode(bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8ffff3f0005fe02fe0def46b8"
    "0000000049454e44ae426082"
)).decode()  # fmt: skip
DRAWN = f"""\
from IPython.display import display
from base64 import b64decode
about = {{"alt": "a dot", "width": 960, "height": 400}}
display({{"image/png": b64decode("{PNG}")}}, metadata={{"image/png": about}}, raw=True)
"""
V4 = nbformat.v4
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}


def markdown(text: str, kind: str = "", *tags: str) -> Any:
    return V4.new_markdown_cell(text, metadata=_metadata(kind, tags))


def code(text: str, kind: str = "", *tags: str, out: Any = ()) -> Any:
    return V4.new_code_cell(text, metadata=_metadata(kind, tags), outputs=[*out])


def _metadata(kind: str, tags: tuple[str, ...]) -> dict[str, Any]:
    return {**({"slideshow": {"slide_type": kind}} if kind else {}), **({"tags": [*tags]} if tags else {})}


def text(value: str) -> Any:
    return V4.new_output("execute_result", {"text/plain": value})


def claim(sentence: str) -> Any:
    about = {"sentence": sentence, "holds": True, "evidence": "seen"}
    return V4.new_output("display_data", {"application/vnd.natsdemo.claim+json": about})


def picture(alt: str = "a dot") -> Any:
    about = {"image/png": {"alt": alt, "width": 960, "height": 400}}
    return V4.new_output("display_data", {"image/png": PNG}, metadata=about)


def laid_out(*cells: Any) -> list[Slide]:
    return slides_of(V4.new_notebook(cells=[markdown("# Deck", "slide"), *cells]), Path())[1:]


def kinds(slides: list[Slide]) -> list[list[str]]:
    return [[block.kind for block in slide.blocks] for slide in slides]


def test_slide_types_are_obeyed() -> None:
    slides = laid_out(
        markdown("## One\n\nfirst", "slide"),
        code("x = 1", "fragment"),
        markdown("to say", "notes"),
        markdown("more"),
        markdown("below", "subslide"),
        markdown("## Secret", "skip"),
        markdown("## Two\n\nsecond", "slide"),
    )
    assert kinds(slides) == [["prose", "code", "prose"], ["prose"], ["prose"]]
    assert [(slide.title, slide.again, slide.below) for slide in slides] == [
        ("One", False, False), ("One", True, True), ("Two", False, False),
    ]  # fmt: skip
    assert [block.fragment for block in slides[0].blocks] == [False, True, False]
    assert "to say" in slides[0].notes[0]


def test_plumbing_is_hidden_and_what_it_says_is_shown() -> None:
    slides = laid_out(
        markdown("## Set-up\n\nA cell that starts a server:"),
        code("lab = 1", "", "setup", out=[text("<Lab>")]),
        markdown("## Bet", "slide"),
        code("bet = predict()", "", "predict", out=[text("what?")]),
        code("claim(x)", "", "claim", out=[claim("It came."), claim("It came once.")]),
        code("bob.subscribe()", out=[text("<Subscription at 0x7f2389342590>")]),
        markdown("## Reference appendix\n\nEach row is executed:"),
        code("rows", "", "appendix", out=[text("rows")]),
        code("claim(rows)", "", "claim", out=[claim("Every row is so.")]),
        markdown("## What we proved", "slide"),
        code("what_we_proved()", "", "ledger", out=[text("all")]),
        markdown("## Exercise", "", "exercise"),
        markdown("## Clean-up"),
        code("await lab.close()", "", "cleanup"),
    )
    assert [slide.title for slide in slides] == ["Bet", "What we proved"]
    assert kinds(slides) == [["text", "claim", "code"], ["rich"]]
    assert slides[1].blocks[0].html.count("<li>") == 3


def test_one_picture_a_slide_and_its_own_call_is_plumbing() -> None:
    drawn = "start = 1\nfigures.lamport(history)"
    slides = laid_out(code(drawn, out=[picture()]), code(f"await x.publish()\n{drawn}", out=[picture()]))
    assert [kind for slide in kinds(slides) for kind in slide] == ["picture", "code", "picture"]
    assert all(slide.count("picture") <= 1 for slide in kinds(slides))
    assert all("figures" not in block.html for slide in slides for block in slide.blocks)


def test_code_has_at_most_12_lines_and_is_cut_between_statements() -> None:
    functions = "\n\n\n".join(f"def f{n}():\n    a = {n}\n\n    b = {n}\n    return a + b" for n in range(4))
    slides = laid_out(code(functions))
    lines = [sum(block.lines for block in slide.blocks) for slide in slides]
    assert max(lines) <= 12
    assert sum(slide.blocks[0].html.count("def") for slide in slides) == 4
    assert all(re.sub(r"<[^>]*>", "", slide.blocks[0].html).startswith("def") for slide in slides)


def test_a_long_table_goes_on_with_its_head() -> None:
    slides = laid_out(markdown("## T\n\n| a | b |\n|---|---|\n" + "| one | two |\n" * 30, "slide"))
    assert len(slides) > 1
    assert all("<th>a</th>" in slide.blocks[0].html for slide in slides)
    assert sum(slide.blocks[0].html.count("<td>one</td>") for slide in slides) == 30


def moment(source: str, name: str, *tags: str, out: Any = ()) -> Any:
    cell = code(source, "", *tags, out=out)
    cell["id"] = f"id-{source}"
    cell["metadata"]["natsdemo"] = {"moment": name}
    return cell


def test_a_moment_has_what_runs_ahead_and_what_runs_live() -> None:
    cells = [
        markdown("# Deck", "slide"),
        moment("lab", "one", "prepare", out=[text("<Lab>")]),
        moment("send", "one", out=[text("sent")]),
        markdown("## Between", "slide"),
        moment("draw", "two", out=[picture()]),
    ]
    nb = V4.new_notebook(cells=cells)
    assert moments_of(nb) == [
        Moment("one", [("id-lab", "lab")], [("id-send", "send")]),
        Moment("two", [], [("id-draw", "draw")]),
    ]
    slides = slides_of(nb, Path())
    assert [slide.moment for slide in slides] == ["", "one", "two"]
    assert [[(block.kind, block.cell) for block in slide.blocks] for slide in slides] == [
        [], [("code", ""), ("text", "id-send")], [("picture", "id-draw")],
    ]  # fmt: skip


def test_notes_begin_with_the_time_and_the_page_knows_how_long_each_slide_has() -> None:
    slides = laid_out(
        markdown("## One\n\nword", "slide"),
        markdown("**0:30** say it", "notes"),
        markdown("## Two\n\nword", "slide"),
        markdown("Half past, about", "notes"),
        markdown("## Three\n\nword", "slide"),
        markdown("**12:05** the end", "notes"),
    )
    assert [slide.at for slide in slides] == [30, None, 725]
    timed = page("Deck", slides, colours(dark=False))
    assert re.findall(r'data-timing="(\d+)"', timed) == ["695", "0", "0"]
    assert 'data-timing="' not in page("Deck", slides[1:2], colours(dark=False))


@pytest.mark.parametrize(
    "cell",
    [code("draw()", out=[picture(alt="")]), markdown("![](x.png)", "slide"), markdown("![a dot](x.png)", "slide")],
)
def test_a_picture_without_words_or_without_a_file_is_an_error(cell: Any) -> None:
    with pytest.raises(SlideError, match=r"alternative text|no picture x\.png"):
        laid_out(cell)


def built_from(notebook: Path, folder: Path) -> Path:
    """The deck of a notebook as it was saved."""
    nb = nbformat.read(notebook, as_version=4)
    deck = folder / f"{notebook.stem}.html"
    deck.write_text(page(notebook.stem, slides_of(nb, notebook.parent), colours(dark=False)), encoding="utf-8")
    return deck


def natsdemo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([NATSDEMO, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def test_a_deck_that_fails_is_not_written_and_the_next_one_is(tmp_path: Path) -> None:
    false, true = tmp_path / "false.ipynb", tmp_path / "true.ipynb"
    nbformat.write(V4.new_notebook(cells=[code("1 / 0")], metadata=KERNEL), false)
    nbformat.write(V4.new_notebook(cells=[markdown("# Mine"), code(DRAWN)], metadata=KERNEL), true)
    ran = natsdemo("slides", "build", false, true, "--out", tmp_path / "out")
    assert ran.returncode == 1
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["FAILED", "ok"]
    assert "ZeroDivisionError" in ran.stdout
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["true.html"]
    assert 'alt="a dot"' in (tmp_path / "out" / "true.html").read_text(encoding="utf-8")


def test_a_deck_that_cannot_be_printed_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook, broken = tmp_path / "deck.ipynb", tmp_path / "bin" / "chromium"
    nbformat.write(V4.new_notebook(cells=[markdown("# Deck", "slide")], metadata=KERNEL), notebook)
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    ran = natsdemo("slides", "build", notebook, "--out", tmp_path / "out", "--pdf")
    assert ran.returncode == 1
    assert "Chromium failed: exit code 3" in ran.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unknown_deck_is_one_sentence(tmp_path: Path) -> None:
    ran = natsdemo("slides", "build", "no-such-deck", "--out", tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("natsdemo: ")
    assert ran.stderr.count("\n") == 1


@pytest.fixture(scope="module", params=["00-start-here", "lightning", "fast-messaging"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lesson, run on a real server, as HTML and PDF; and both decks as they were saved: `make slides` runs them."""
    folder = tmp_path_factory.mktemp("built")
    if request.param == "00-start-here":
        ran = natsdemo("slides", "build", "00", "--out", folder, "--pdf")
        assert ran.returncode == 0, ran
        return folder / f"{request.param}.html"
    deck = built_from(find_deck(request.param), folder)
    print_pdf(deck, deck.with_suffix(".pdf"))
    return deck


@pytest.fixture
def screen() -> Iterator[Page]:
    """A browser whose network is cut."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
        yield context.new_page()
        browser.close()


def show(screen: Page, deck: Path) -> int:
    """Open a deck from disk, and return how many slides it has."""
    screen.goto(deck.as_uri())
    screen.wait_for_function("Reveal.isReady()")
    return int(screen.evaluate("Reveal.getTotalSlides()"))


def go_to(screen: Page, number: int) -> None:
    jump = "n => { const {h, v} = Reveal.getIndices(Reveal.getSlides()[n]); Reveal.slide(h, v, 99); }"
    screen.evaluate(jump, number)


# What the notes of the first slide say.
NOTES = {
    "00-start-here": "What you will have seen at the end",
    "lightning": "none of them has a bug",
    "fast-messaging": "0:00",
}


class TestInABrowser:
    pytestmark = in_a_browser

    def test_it_asks_for_nothing_and_complains_of_nothing(self, built: Path, screen: Page) -> None:
        asked: list[str] = []
        said: list[str] = []
        screen.on("request", lambda request: asked.append(request.url))
        screen.on("console", lambda message: said.append(message.text))
        screen.on("pageerror", lambda error: said.append(str(error)))
        count = show(screen, built)
        for _ in range(3 * count):  # a key for each slide and each fragment
            screen.keyboard.press("ArrowRight")
        assert screen.evaluate("Reveal.isLastSlide()")
        assert [url for url in asked if not url.startswith("data:")] == [built.as_uri()]
        assert said == []

    def test_notes_open(self, built: Path, screen: Page) -> None:
        asked: list[str] = []
        screen.context.on("request", lambda request: asked.append(request.url))
        show(screen, built)
        with screen.expect_popup() as popup:
            screen.keyboard.press("s")
        notes = popup.value.locator(".speaker-controls-notes .value")
        notes.get_by_text(NOTES[built.stem]).wait_for()
        assert all(url.startswith(("data:", "about:", built.as_uri())) for url in asked)

    def test_code_is_large_and_pictures_have_words(self, built: Path, screen: Page) -> None:
        show(screen, built)
        sizes = "[...document.querySelectorAll('.code')].map(code => parseFloat(getComputedStyle(code).fontSize))"
        assert min(screen.evaluate(sizes)) >= 22
        alts = screen.evaluate("[...document.images].map(image => image.alt)")
        assert len(alts) >= 2
        assert all(alts)

    def test_axe_finds_nothing(self, built: Path, screen: Page, tmp_path: Path) -> None:
        npm = shutil.which("npm")
        packed = npm and subprocess.run([npm, "pack", "--silent", "axe-core@4.14.1"], cwd=tmp_path, capture_output=True)
        if not packed or packed.returncode:
            pytest.skip("axe-core could not be fetched: install npm, and let it reach its registry")
        shutil.unpack_archive(next(tmp_path.glob("*.tgz")), tmp_path)
        count = show(screen, built)
        screen.add_script_tag(path=tmp_path / "package" / "axe.min.js")
        wrong = []
        for number in range(count):
            go_to(screen, number)
            found = screen.evaluate("axe.run().then(({violations}) => violations)")
            wrong += [(number + 1, each["id"], each["nodes"][0]["html"][:200]) for each in found]
        assert wrong == []

    def test_the_pdf_has_a_page_for_each_slide(self, built: Path, screen: Page) -> None:
        pages = re.findall(rb"/Type /Page\b", built.with_suffix(".pdf").read_bytes())
        assert len(pages) == show(screen, built)

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_built_fits(self, built: Path, size: tuple[int, int]) -> None:
        assert {slide: pixels for slide, pixels in overflows(built, *size).items() if pixels} == {}

    @pytest.mark.parametrize("lesson", find_lessons([]), ids=lambda path: path.stem)
    def test_every_lesson_fits(self, lesson: Path, tmp_path: Path) -> None:
        deck = built_from(lesson, tmp_path)
        for size in SIZES if lesson.stem[:2] in ("00", "01", "05") else SIZES[:1]:
            found = overflows(deck, *size)
            assert len(found) > 10
            assert {slide: pixels for slide, pixels in found.items() if pixels} == {}

    def test_an_overflow_is_found(self, tmp_path: Path) -> None:
        cells = [markdown("# Deck", "slide"), markdown("## Long\n\n" + "many words " * 400, "slide")]
        deck = tmp_path / "deck.html"
        made = slides_of(V4.new_notebook(cells=cells), tmp_path)
        deck.write_text(page("Deck", made, colours(dark=False)), encoding="utf-8")
        small, large = (overflows(deck, *size) for size in SIZES)
        assert small["1 Deck"] == 0
        assert small["2 Long"] > 100
        assert large["2 Long"] == pytest.approx(1.5 * small["2 Long"], abs=3)
