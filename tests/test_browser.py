"""The first lesson as a reader sees it: in JupyterLab, in a real browser."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import in_a_browser
from playwright.sync_api import Page

from natsdemo.server.loopback import free_port

pytestmark = in_a_browser


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where `natsdemo lab` has the first lesson open."""
    command = [str(Path(sys.executable).with_name("natsdemo")), "lab", "--no-browser", "--port", str(free_port())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        found = re.search(r"http\S+", process.stdout.readline())
        assert found
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        process.stdout.close()


def test_a_reader_runs_the_first_lesson_and_bets(address: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    idle = page.get_by_text("Python 3 (ipykernel) | Idle")
    idle.wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    answers = page.locator("button.widget-toggle-button", has_text="nothing, ever")
    answers.wait_for()  # the saved outputs, which are there from the beginning, have a list in its place
    page.locator(".jp-Cell.jp-mod-active .jp-InputPrompt", has_text=re.compile(r"\d")).wait_for()  # the last cell ran
    idle.wait_for()

    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    pictures = page.locator(".jp-Notebook figure img")
    assert pictures.count() == 2
    assert "bob received 1 message" in (pictures.first.get_attribute("alt") or "")
    answers.click()
    assert "mod-active" in (answers.get_attribute("class") or "")
    outside = [url for url in asked if "127.0.0.1" not in url and not url.startswith(("data:", "blob:"))]
    assert outside == []


def test_a_reader_turns_a_dial_and_the_picture_follows(address: str, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address.replace("00-start-here", "01-publish-subscribe"))
    idle = page.get_by_text("Python 3 (ipykernel) | Idle")
    idle.wait_for()
    page.locator(".jp-CodeCell .cm-content", has_text="live.panel(").click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Above Selected Cell", exact=True).click()
    page.locator(".jp-CodeCell", has_text="await say_it()").locator(
        ".jp-InputPrompt", has_text=re.compile(r"\d")
    ).wait_for()
    page.locator(".jp-CodeCell .cm-content", has_text="live.panel(").click()
    page.keyboard.press("Control+Enter")
    panel = page.locator(".jp-OutputArea-output .widget-vbox", has=page.get_by_role("slider"))
    panel.locator(".counts", has_text="1 published, 7 delivered, 0 lost").wait_for()

    panel.get_by_role("slider").first.press("ArrowRight")
    panel.get_by_text("publish once").click()
    panel.locator(".counts", has_text="2 published, 15 delivered, 0 lost").wait_for()
    assert errors == []
