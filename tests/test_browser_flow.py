"""The flow view as a person sees it: in JupyterLab, in a real browser, with the buttons that a person clicks."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import in_a_browser, in_jupyterlab
from conftest import Nest
from playwright.sync_api import Locator, Page

pytestmark = in_a_browser

SET_UP = """
import asyncio, nats
from natsdemo import live
from natsdemo.lesson import barrier, open_lab, until
lab = await open_lab()
alice = await nats.connect(lab.url, name="alice")
bob = await nats.connect(lab.url, name="bob <script>alert(1)</script>")
heard = []
async def note(message):
    heard.append(message)
await bob.subscribe("orders.*", cb=note)
await barrier(bob)
async def say(count):
    for n in range(count):
        await alice.publish("orders.<b>new</b>", b"%d" % n)
        if n % 500 == 499:
            await barrier(alice)
    await lab.settle()
"""

VIEW = """
live.panel(
    live.button("say ten", then=lambda: say(10)),
    live.button("say many", then=lambda: say(100_000)),
    view=live.flow(lab.history),
)
"""


WORK = """
from natsdemo.guarantees import no_loss
from natsdemo.protocol import Frame
async def program(url, name):
    import asyncio, nats
    async def work(message):
        await asyncio.sleep(0.01 if int(message.data) < 50 else 60)  # from the second round on it is at work
        print(message.data.decode())
    nc = await nats.connect(url, name=name)
    await nc.subscribe("jobs", cb=work)
    await asyncio.sleep(0)
    await nc.flush()
    print("ready")
    await asyncio.Event().wait()
worker = lab.spawn("worker", program)
await until(lambda: worker.output, 20)
async def send():
    for n in range(40):
        await alice.publish("jobs", b"%d" % len(lab.history.where(subject="jobs").publishes))
        await barrier(alice)
async def handled():
    done = [Frame("MSG", subject="jobs", payload=line.encode()) for line in worker.output[1:]]
    return no_loss(await lab.settle(1), subject="jobs", client="worker", received=done)
live.panel(
    live.button("send 40 jobs", then=send),
    live.process(worker, "kill"),
    live.verdict(handled),
    view=live.flow(lab.history),
)
"""


@pytest.fixture
def notebook(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a notebook in JupyterLab: the set-up, and a cell with a view."""
    with in_jupyterlab(tmp_path, [SET_UP, getattr(request, "param", VIEW)]) as address:
        yield address


def run_all(page: Page) -> Locator:
    """Run the notebook as a person does, and return the view."""
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    view = page.locator(".natsdemo-flow")
    says(view, "0 published, 0 delivered, 0 lost")
    return view


def says(view: Locator, text: str, timeout: int = 30_000) -> None:
    view.locator(".counts", has_text=text).wait_for(timeout=timeout)


def test_it_shows_as_many_messages_as_passed(notebook: str, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(notebook)
    view = run_all(page)
    page.get_by_role("button", name="say ten").click()
    says(view, "10 published, 10 delivered, 0 lost")
    page.get_by_role("button", name="say many").click()
    says(view, "100,010 published, 100,010 delivered, 0 lost", timeout=90_000)

    canvas = view.locator("canvas")
    canvas.press("Home")
    canvas.press("Space")
    canvas.press("ArrowRight")
    view.get_by_role("button", name="Pause or go on (space)").get_by_text("play").wait_for()
    assert re.match(r"10 published, 0 delivered", view.locator(".counts").inner_text())
    canvas.press("End")
    says(view, "100,010 published, 100,010 delivered, 0 lost")
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="say ten").click()
    says(view, "100,020 published, 100,020 delivered, 0 lost")
    assert errors == []


@pytest.mark.parametrize("notebook", [WORK], indirect=True)
def test_a_worker_killed_from_the_panel_is_dead_and_the_verdict_changes(notebook: str, page: Page, nest: Nest) -> None:
    page.goto(notebook)
    view = run_all(page)
    page.get_by_role("button", name="send 40 jobs").click()
    page.get_by_text("HOLDS").wait_for()
    (worker,) = [process for process in nest.processes() if process.cmdline()[-2:-1] == ["worker"]]
    page.get_by_role("button", name="send 40 jobs").click()
    says(view, "80 published, 80 delivered, 0 lost")
    page.get_by_role("button", name="kill -9 worker").click()
    page.get_by_text("VIOLATED").wait_for()
    worker.wait(5)


def test_its_still_takes_its_place_when_it_is_gone(notebook: str, page: Page, nest: Nest) -> None:
    page.goto(notebook)
    view = run_all(page)
    still = page.locator(".natsdemo-still")
    assert not still.is_visible()
    page.locator(".jp-CodeCell .cm-content", has_text="live.panel(").click()
    page.keyboard.press("Control+Enter")
    says(view, "0 published")
    assert view.count() == 1

    page.keyboard.press("Control+s")
    page.locator(".jp-mod-current[title*='view.ipynb']:not(.jp-mod-dirty)").wait_for()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Restart Kernel…$")).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.reload()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    still.wait_for()
    assert page.get_by_text("Error displaying widget").filter(visible=True).count() == 0
    end = time.monotonic() + 10
    while nest.servers() and time.monotonic() < end:
        time.sleep(0.1)  # until the old kernel's is gone
    assert nest.servers() == []


BOARD = """
numbers = {"lag, orders": 3, "<img src=x onerror=alert(1)>": 0.5}
async def read():
    return numbers
async def burst():
    board.mark("a burst")
    numbers["lag, orders"] = 120
async def leave():
    board.close()
board = live.dashboard(read, alerts={"lag, orders": 100})
live.panel(live.button("burst", then=burst), live.button("close", then=leave), view=board)
"""


@pytest.mark.parametrize("notebook", [BOARD], indirect=True)
def test_a_dashboard_shows_what_is_read_and_says_when_its_alert_rings(notebook: str, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(notebook)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.get_by_role("img", name="Dashboard: lag, orders: 3; <img src=x onerror=alert(1)>: 0.5.").wait_for()
    board = page.locator(".natsdemo-dashboard")
    page.get_by_role("button", name="burst").click()
    page.get_by_role("img", name="lag, orders: 120, alert").wait_for()
    board.get_by_text("1: a burst").wait_for()
    board.locator(".spoken", has_text="Alert: lag, orders.").wait_for()
    assert board.locator("img").count() == 0
    drawn = board.locator("canvas").evaluate(
        "canvas => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.buffer)).size"
    )
    assert drawn > 20, "the canvas has more than its card on it"
    page.get_by_role("button", name="close").click()
    board.get_by_text("It is closed").wait_for()
    assert errors == []
