"""The browser that the tests look through, and a JupyterLab to look at."""

import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from natsdemo.server.loopback import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]

in_a_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's `chromium` to run browser tests"),
]


@contextmanager
def in_jupyterlab(folder: Path, cells: Sequence[str]) -> Iterator[str]:
    """The address of a notebook of these cells, opened in a JupyterLab of its own."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    made = [nbformat.v4.new_code_cell(text.strip()) for text in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), folder / "view.ipynb")
    port = free_port()
    options = {"port": port, "root_dir": folder, "token": "", "open_browser": False, "allow_root": True}
    settings = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    process = subprocess.Popen([sys.executable, "-m", "jupyter", "lab", *settings], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/lab/tree/view.ipynb"
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)  # until it listens
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
