"""Decks as Chromium sees them: printed, and measured. Its command line is all that is needed for that."""

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .blocks import SlideError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The screens that a deck has to fit.
SIZES = ((1280, 720), (1920, 1080))
_DEADLINE = 180
_WALK = [Path(__file__).with_name(name) for name in ("measure.js", "walk.js")]


def find_chromium() -> str:
    """Return the path of Chromium."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise SlideError("There is no Chromium here: install `chromium` (Debian) or Google Chrome, and put it on the PATH.")


def print_pdf(deck: Path, pdf: Path) -> None:
    """Write a built deck as PDF, a page for each slide with all its fragments shown."""
    _chromium(f"--print-to-pdf={pdf.absolute()}", "--no-pdf-header-footer", deck.absolute().as_uri())
    if not pdf.is_file():
        raise SlideError(f"Chromium could not print {deck.name}: open it in a browser, and print it from there.")


def overflows(deck: Path, width: int, height: int) -> dict[str, int]:
    """Return, by slide (number and title), by how many pixels it overflows on a screen of this size; 0 if it fits."""
    with tempfile.TemporaryDirectory(prefix="natsdemo-slides-") as scratch:
        measured, frame = Path(scratch) / "deck.html", Path(scratch) / "frame.html"
        script = f"<script>{''.join(file.read_text(encoding='utf-8') for file in _WALK)}</script></body>"
        last = deck.read_text(encoding="utf-8").rsplit("</body>", 1)  # others are inside of scripts
        measured.write_text(script.join(last), encoding="utf-8")
        frame.write_text(
            f'<body><iframe src="deck.html" style="border:0;width:{width}px;height:{height}px"></iframe><pre></pre>'
            "<script>onmessage = ({data}) => { if (data.overflows) "
            'document.querySelector("pre").textContent = JSON.stringify(data.overflows); };</script></body>'
        )
        seen = _chromium("--dump-dom", f"--window-size={width},{height}", frame.as_uri())
    found = re.search(r"<pre>(.+?)</pre>", seen, re.S)
    if not found:
        raise SlideError(f"Chromium could not show {deck.name}: open it in a browser and look at its console.")
    return dict(json.loads(html.unescape(found[1])))


def visit(url: str, until: Callable[[], bool]) -> None:
    """Keep a page open, without a window, until it has done what it is to do."""
    with tempfile.TemporaryDirectory(prefix="natsdemo-chromium-", ignore_cleanup_errors=True) as profile:
        command = [*_command(profile), "--window-size=1280,800", "--remote-debugging-port=0", url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not until():
                if process.poll() is not None:
                    raise SlideError("Chromium ended by itself: open the deck with `natsdemo present`, and look.")
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait()


def _command(profile: str) -> list[str]:
    return [
        find_chromium(), "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]  # fmt: skip


def _chromium(*arguments: str) -> str:
    """Run it once, without a window, without the network and with a profile that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="natsdemo-chromium-", ignore_cleanup_errors=True) as profile:
        command = [*_command(profile), "--virtual-time-budget=60000", *arguments]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE, check=True)
        except subprocess.TimeoutExpired:
            raise SlideError(
                f"Chromium did not answer within {_DEADLINE} s: close other programs, try again."
            ) from None
        except subprocess.CalledProcessError as failed:
            last = failed.stderr.strip().splitlines()[-1:] or [f"exit code {failed.returncode}"]
            raise SlideError(f"Chromium failed: {last[0]}") from None
    return ran.stdout
