"""A deck on stage, in a real browser: the speaker's keys, what a moment shows, and all that may go wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from browsers import CHROMIUM, QUIET, in_a_browser
from playwright.sync_api import Browser, Page, sync_playwright

from natsdemo.cli import decks, rehearsal
from natsdemo.server.loopback import free_port
from natsdemo.slides import Slide, moments_of, slides_of

NATSDEMO = str(Path(sys.executable).with_name("natsdemo"))
DECKS = decks.find_decks()


def deck(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"cells": [{"metadata": {}, "outputs": [], "execution_count": None, **cell} for cell in cells]}


def taken(name: str, **metadata: Any) -> dict[str, Any]:
    about = {"from": name, **metadata.pop("natsdemo", {})}
    return {"cell_type": "code", "id": "x", "source": "", "metadata": {"natsdemo": about, **metadata}}


class TestOneSource:
    @pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
    def test_what_a_deck_takes_from_a_lesson_is_what_the_lesson_has(self, path: Path) -> None:
        nb = json.loads(path.read_text(encoding="utf-8"))
        assert nb == decks.with_lesson_cells(nb), "run `make notebooks`"

    @pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
    def test_all_code_of_a_deck_is_a_lesson_s(self, path: Path) -> None:
        nb = json.loads(path.read_text(encoding="utf-8"))
        assert all("from" in cell["metadata"]["natsdemo"] for cell in nb["cells"] if cell["cell_type"] == "code")

    def test_a_lesson_that_changes_changes_the_deck(self) -> None:
        made = decks.with_lesson_cells(deck(taken("01-43", tags=["prepare"])))
        (cell,) = made["cells"]
        assert "faults.drop" in "".join(cell["source"])
        assert cell["metadata"]["tags"] == ["prepare", "break-it"]
        cell["source"] = ["something = else"]
        assert decks.with_lesson_cells(made) != made

    def test_a_picture_comes_with_its_words(self) -> None:
        prose = {"cell_type": "markdown", "id": "p", "source": "## Five\n\n![](attachment:01-44.png)"}
        made = decks.with_lesson_cells(deck(prose))
        assert re.search(r"!\[.{30,}\]\(attachment:01-44\.png\)", "".join(made["cells"][0]["source"]))
        (slide,) = slides_of({"cells": [{**made["cells"][0], "source": "".join(made["cells"][0]["source"])}]}, Path())
        assert [block.kind for block in slide.blocks] == ["picture"]
        assert decks.with_lesson_cells(made) == made

    @pytest.mark.parametrize("name", ["01-99", "01-03", "77-01"])
    def test_what_is_not_there_is_said(self, name: str) -> None:
        picture = {"cell_type": "markdown", "id": "p", "source": f"![](attachment:{name}.png)"}
        with pytest.raises(Exception, match=r"There is no|has drawn nothing"):
            decks.with_lesson_cells(deck(picture))


def slide(title: str = "One", at: str = "", moment: str = "", again: bool = False) -> Slide:
    return Slide(title, [], [f"<p><strong>{at}</strong> say it</p>"] if at else [], again=again, moment=moment)


def played(**changed: Any) -> rehearsal.Played:
    usual = {"name": "m", "slide": 2, "state": "done", "waited": 0.1, "seconds": 3.0, "tries": 1, "problem": ""}
    return {**usual, **changed}  # type: ignore[typeddict-item]


class TestTroubles:
    SLIDES = (
        slide("Title", "0:00"),
        slide("Live", "1:00", "m"),
        slide("Live", "", "m", again=True),
        slide("End", "2:00"),
    )

    def troubles(
        self, *moments: rehearsal.Played, slides: Any = SLIDES, minutes: float = 5, **report: Any
    ) -> list[str]:
        told: Any = {"slides": [], "moments": list(moments), "problem": "", **report}
        return rehearsal.troubles(told, slides, minutes)

    def test_all_is_well(self) -> None:
        assert self.troubles(played()) == []

    @pytest.mark.parametrize(
        ("moment", "said"),
        [
            (played(state="saved", problem="Boom: it broke"), "did not play, Boom: it broke"),
            (played(tries=2, problem="the kernel died"), "needed 2 players"),
            (played(seconds=61.0), "a room waits 60"),
        ],
    )
    def test_a_moment_that_goes_wrong(self, moment: rehearsal.Played, said: str) -> None:
        assert said in " ".join(self.troubles(moment))

    def test_a_moment_that_the_notes_give_too_little(self) -> None:
        slides = [slide("Title", "0:00"), slide("Live", "1:00", "m"), slide("End", "1:02")]
        assert "took 3 s, and the notes give it 2" in self.troubles(played(), slides=slides)[0]

    def test_slides(self) -> None:
        report: Any = {
            "slides": [{"title": "Wide", "overflow": 12, "code": 13.3}],
            "moments": [],
            "problem": "it is closed",
        }
        assert rehearsal.troubles(report, self.SLIDES, 5) == [
            "The page stopped: it is closed.",
            "Slide 1, Wide: something sticks out by 12 pixels.",
            "Slide 1, Wide: its code has 13 pixels, and a room reads 22.",
        ]  # fmt: skip

    def test_times(self) -> None:
        slides = [slide("A", "1:00"), slide("B", "0:30"), slide("C"), slide("D", "", again=True), slide("E", "9:00")]
        assert self.troubles(slides=slides) == [
            "Slide 2, B: its notes begin with a time that is over by then.",
            "Slide 3, C: its notes do not say when you should be there, as in `12:30`.",
            "The last slide is due when the 5 minutes are over.",
        ]


@pytest.fixture
def stage() -> Iterator[subprocess.Popen[str]]:
    """The lightning talk on stage; the first line that it prints is where."""
    command = [NATSDEMO, "present", "lightning", "--no-browser", "--port", str(free_port())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def screen(stage: subprocess.Popen[str]) -> Iterator[Page]:
    """A deck of which all is loaded, at 1280 x 720; what it asks for outside of this machine fails the test."""
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        outside: list[str] = []
        errors: list[str] = []
        inside = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")
        page.context.on(
            "request", lambda asked: outside.append(asked.url) if not asked.url.startswith(inside) else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        assert stage.stdout
        page.goto(stage.stdout.readline().removeprefix("natsdemo:").strip())
        page.wait_for_function("window.stage")
        page.evaluate("stage.connected")
        yield page
        browser.close()
        assert outside == []
        assert errors == []


def go_to(page: Page, number: int) -> None:
    page.evaluate(
        "n => { const { h, v } = Reveal.getIndices(Reveal.getSlides()[n - 1]); Reveal.slide(h, v, 99); }", number
    )


def number(page: Page) -> int:
    return int(page.evaluate("Reveal.getSlides().indexOf(Reveal.getCurrentSlide()) + 1"))


def wait_for(page: Page, state: str, deadline: float = 120) -> None:
    ends = [state, "saved"]  # who has fallen back to what was recorded does nothing more
    page.wait_for_function("ends => ends.includes(stage.here().state)", arg=ends, timeout=1000 * deadline)
    assert page.evaluate("stage.here().state") == state, page.evaluate("stage.here().problem")


def ready(page: Page) -> float:
    """Wait until the moment of this slide may run; return how long that took."""
    begun = time.monotonic()
    page.wait_for_function("stage.here().state === 'waiting' && stage.here().player.isReady", timeout=60_000)
    return time.monotonic() - begun


def first(page: Page, moment: str) -> int:
    return int(page.evaluate("m => Reveal.getSlides().findIndex((slide) => slide.dataset.moment === m) + 1", moment))


def kill_the_kernel(page: Page) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    page.evaluate("code => { stage.here().player.session.kernel.requestExecute({ code }); }", code)


def servers() -> list[psutil.Process]:
    """Every nats-server below this process: those of the stage."""
    below = psutil.Process().children(recursive=True)
    return [each for each in below if each.name() == "nats-server"]


def understudied(page: Page) -> None:
    """Wait until somebody stands by for the moment of this slide."""
    page.wait_for_function("stage.here().understudy?.isReady", timeout=60_000)


def play(page: Page, moment: str) -> None:
    """Go to the first slide of a moment, and run it as the speaker does."""
    go_to(page, first(page, moment))
    ready(page)
    page.keyboard.press("l")
    wait_for(page, "done")


HERE = ".slides section.present:not(.stack)"


class TestOnStage:
    """Each test has a stage of its own, which takes seconds: so each looks at several things."""

    pytestmark = in_a_browser

    def test_a_key_runs_a_moment_in_the_place_of_what_was_recorded(self, screen: Page) -> None:
        at = first(screen, "stolen")
        recorded = screen.evaluate("n => Reveal.getSlides()[n].querySelector('[data-cell] img').src", at)
        go_to(screen, at + 1)
        image = screen.locator(f"{HERE} [data-cell] img")
        assert not image.is_visible(), "the room would see what is to come"

        go_to(screen, at)
        ready(screen)
        screen.keyboard.press("l")
        wait_for(screen, "done")
        assert number(screen) == at + 1, "it goes to where something is seen"
        assert image.is_visible()
        assert "dropped" in (image.get_attribute("alt") or "")
        assert image.get_attribute("src") != recorded
        screen.keyboard.press("ArrowRight")
        assert "A message was lost." in screen.locator(f"{HERE} .claim").inner_text()

        go_to(screen, first(screen, "cakes"))
        ready(screen)
        screen.get_by_role("button", name="run L").click()
        wait_for(screen, "done")
        assert "Observed: more than 8" in screen.locator(HERE).inner_text()

        screen.keyboard.press("p")
        assert screen.evaluate("stage.here().state") == "saved"
        assert image.is_visible()

    def test_widgets_answer_on_a_slide(self, screen: Page) -> None:
        play(screen, "seats")
        counts = screen.locator(".natsdemo-flow .counts")
        counts.get_by_text("1 published, 7 delivered, 0 lost").wait_for()
        screen.get_by_role("slider").first.focus()
        screen.keyboard.press("ArrowRight")
        assert number(screen) == first(screen, "seats"), "a slider keeps its arrow keys"
        screen.locator(".widget-readout").get_by_text("8", exact=True).wait_for()
        screen.get_by_role("button", name="publish once").click()
        counts.get_by_text("2 published, 15 delivered, 0 lost").wait_for()
        assert screen.evaluate("stickingOut(Reveal.getCurrentSlide())") == 0
        before = number(screen)
        screen.keyboard.press("ArrowRight")
        assert number(screen) == before + 1, "a button keeps the speaker's keys"

    def test_reset_takes_less_than_two_seconds_whatever_the_state(self, screen: Page) -> None:
        go_to(screen, first(screen, "cakes"))
        ready(screen)
        understudied(screen)
        screen.keyboard.press("l")
        wait_for(screen, "running")
        screen.keyboard.press("r")
        assert ready(screen) < 2
        understudied(screen)
        screen.keyboard.press("l")
        wait_for(screen, "done")
        screen.keyboard.press("r")
        assert ready(screen) < 2
        assert not screen.locator(f"{HERE} [data-cell] img").is_visible()

    def test_a_kernel_that_dies_is_replaced_on_the_same_slide(self, screen: Page) -> None:
        play(screen, "seats")
        understudied(screen)
        before = number(screen)
        screen.evaluate("window.died = stage.here().player")
        begun = time.monotonic()
        os.kill(kernel_pid(screen), signal.SIGKILL)
        screen.wait_for_function("stage.here().player !== died && stage.here().player.isReady", timeout=60_000)
        assert time.monotonic() - begun < 5
        assert number(screen) == before
        screen.get_by_text("the kernel died: L plays it again").wait_for()
        screen.keyboard.press("l")
        wait_for(screen, "done")
        screen.locator(".natsdemo-flow .counts").get_by_text("1 published, 7 delivered, 0 lost").wait_for()

        go_to(screen, first(screen, "cakes"))
        ready(screen)
        screen.keyboard.press("l")
        wait_for(screen, "running")
        os.kill(kernel_pid(screen), signal.SIGKILL)
        wait_for(screen, "done")
        assert screen.evaluate("stage.here().tries") == 2, "who dies in the middle is replaced, too"

    def test_with_a_core_busy_and_the_servers_killed_the_talk_goes_through(self, screen: Page) -> None:
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            for moment in ("seats", "stolen", "cakes"):
                go_to(screen, first(screen, moment))
                ready(screen)
                for server in servers():
                    server.kill()
                screen.keyboard.press("l")
                wait_for(screen, "done")
                if moment == "seats":  # its cell draws a panel: whether a server is behind it, only a click tells
                    screen.get_by_role("button", name="publish once").click()
                    screen.locator(".natsdemo-flow .counts").get_by_text("2 published, 14 delivered").wait_for()
        finally:
            busy.kill()
            busy.wait()

    def test_notes_open_with_a_timer_and_start_no_kernels(self, screen: Page) -> None:
        go_to(screen, 2)
        with screen.expect_popup() as popup:
            screen.keyboard.press("s")
        notes = popup.value.locator(".speaker-controls-notes .value")
        notes.get_by_text("Alice is on the left.").wait_for()
        popup.value.locator(".pacing").wait_for()
        popup.value.wait_for_function("frames.length === 2")
        frames = [frame for frame in popup.value.frames if frame.parent_frame]
        assert all(frame.evaluate("window.stage === undefined") for frame in frames)
        popup.value.keyboard.press("ArrowRight")
        screen.wait_for_function("Reveal.getSlides().indexOf(Reveal.getCurrentSlide()) === 2")

    def test_without_jupyter_what_was_recorded_is_shown(self, screen: Page, stage: subprocess.Popen[str]) -> None:
        go_to(screen, first(screen, "stolen"))
        ready(screen)
        stage.send_signal(signal.SIGSTOP)
        screen.keyboard.press("l")
        wait_for(screen, "saved", deadline=20)  # not only once every player has been tried
        assert screen.locator(f"{HERE} [data-cell] img").is_visible(), "Jupyter hangs"
        stage.send_signal(signal.SIGCONT)

        go_to(screen, first(screen, "seats"))
        ready(screen)
        stage.send_signal(signal.SIGINT)
        stage.wait(30)
        screen.keyboard.press("l")
        wait_for(screen, "saved")
        assert screen.locator(f"{HERE} [data-cell] img").is_visible()


def kernel_pid(page: Page) -> int:
    """The process of the kernel that plays here."""
    kernel = page.evaluate("stage.here().player.session.kernel.id")
    return next(
        each.pid for each in psutil.Process().children(recursive=True) if any(kernel in word for word in each.cmdline())
    )


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
@pytest.mark.browser
def test_rehearsal(path: Path) -> None:
    command = [NATSDEMO, "present", path.stem, "--rehearse", "--port", str(free_port())]
    ran = subprocess.run(command, capture_output=True, text=True)
    troubles = re.findall(r"^TROUBLE .*", ran.stdout, re.M)
    # On a machine that is busy somebody may have to be replaced, which is what the understudies are for. A claim that
    # was false the first time was false.
    busy = [trouble for trouble in troubles if "players" in trouble and "ClaimFailed" not in trouble]
    assert [trouble for trouble in troubles if trouble not in busy] == []
    assert ran.stderr == ""
    live = len(moments_of(json.loads(path.read_text(encoding="utf-8"))))
    assert len(re.findall(r"^done ", ran.stdout, re.M)) == live
    assert live >= {"fast-messaging": 8, "lightning": 3}[path.stem]


def test_an_unknown_deck_is_one_sentence() -> None:
    ran = subprocess.run([NATSDEMO, "present", "nothing"], capture_output=True, text=True)
    assert ran.returncode == 1
    assert re.fullmatch(r"natsdemo: There is no deck and no lesson nothing: .*lightning.*\n", ran.stderr)
