"""The controls above a picture: what they call, what they say, and what is left of them without a front end."""

import asyncio

import pytest

from natsdemo import figures, live
from natsdemo.testing import story


class Thing:
    """Something to act on: what was done to it, and at most one action at a time."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.busy = False

    async def act(self, value: object) -> None:
        assert not self.busy
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        self.done.append(value)

    async def kill(self) -> None:
        await self.act("killed")

    def __repr__(self) -> str:
        return f"<b>{self.done}"


def made(thing: Thing) -> live.Panel:
    return live.panel(
        live.dial("workers", 0, 8, 3, then=thing.act), live.button("kill one", then=thing.kill), view=lambda: thing
    )


async def test_a_dial_and_a_button_do_what_they_were_given() -> None:
    panel = made(thing := Thing())
    await panel.set("workers", 5)
    await panel.press("kill one")
    assert thing.done == [5, "killed"]
    assert repr(panel) == "[workers: 5 of 0…8]  [kill one]"


async def test_actions_take_turns() -> None:
    panel = made(thing := Thing())
    await asyncio.gather(panel.set("workers", 1), panel.press("kill one"), panel.set("workers", 2))
    assert thing.done == [1, "killed", 2]


async def test_what_is_not_there_is_refused_in_a_sentence() -> None:
    panel = made(thing := Thing())
    for action in (panel.set("workers", 9), panel.set("kill one", 1), panel.press("workers"), panel.press("nothing")):
        with pytest.raises(ValueError, match=r"choose from \[workers: 3 of 0…8\]"):
            await action
    assert thing.done == []
    with pytest.raises(ValueError, match="the same label"):
        live.panel(live.button("a", thing.kill), live.button("a", thing.kill), view=str)


def test_its_still_tells_the_story_where_nobody_can_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSDEMO_HEADLESS", "1")
    picture = figures.lamport(story("a:pub1 b:got1"))
    panel = live.panel(live.button("<script>", Thing().kill), view=lambda: picture)
    bundle, metadata = panel._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    assert picture.alt in bundle["text/plain"]
    assert "[<script>]" in bundle["text/plain"]
    assert "<img alt=" in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert metadata["image/png"]["alt"] == picture.alt


def test_with_a_front_end_the_same_still_stands_beside_the_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATSDEMO_HEADLESS", raising=False)
    bundle, _ = made(Thing())._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "&lt;b&gt;[]" in bundle["text/html"]
    assert "[workers: 3 of 0…8]" in bundle["text/plain"]


def broken() -> object:
    return 1 / 0


async def test_a_hand_on_the_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATSDEMO_HEADLESS", raising=False)
    monkeypatch.setattr("natsdemo.live.controls._IDLE", 0.2)
    monkeypatch.setattr("natsdemo.live.controls._EVERY", 0.01)
    panel = made(thing := Thing())
    panel._repr_mimebundle_()
    controls, picture = panel._widget.children
    slider, button, said = controls.children
    slider.value = 7
    button.click()
    await asyncio.gather(*panel._tasks)
    assert thing.done == [7, "killed"]
    assert picture.value == "<pre>&lt;b&gt;[7, &#x27;killed&#x27;]</pre>"
    await panel.set("workers", 2)
    assert (slider.value, thing.done[-1], len(panel._tasks)) == (2, 2, 0)

    drawn = 0
    monkeypatch.setattr("natsdemo.live.controls._EVERY", 0.05)
    monkeypatch.setattr("natsdemo.live.controls._IDLE", 0.5)
    for _ in range(5):  # of five touches only the last one is followed
        button.click()
    panel._view = lambda: drawn_again()

    def drawn_again() -> str:
        nonlocal drawn
        drawn += 1
        return "the same"

    await asyncio.gather(*panel._tasks)
    assert drawn < 20, "one draws at most eleven times before it is idle, five draw fifty times"

    panel._view = broken
    button.click()
    await asyncio.gather(*panel._tasks)
    assert said.value.startswith("kill one: ZeroDivisionError")
    panel._view = lambda: thing

    thing.busy = True  # so that the next action fails
    button.click()
    await asyncio.gather(*panel._tasks)
    assert said.value.startswith("kill one: AssertionError")
