"""The controls above a picture: what they call, what they say, and what is left of them without a front end."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Connect

from natsdemo import faults, figures, live
from natsdemo.faults import Fault
from natsdemo.guarantees import HOLDS, UNKNOWN, VIOLATED, Verdict, no_loss
from natsdemo.lesson import barrier, open_lab, until
from natsdemo.server import Server
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
    still, widget = displayed(made(Thing()), monkeypatch)
    assert set(widget) == {"application/vnd.jupyter.widget-view+json"}
    assert "&lt;b&gt;[]" in still["text/html"]
    assert "[workers: 3 of 0…8]" in still["text/plain"]


def displayed(panel: live.Panel, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the notebook gets when a cell ends with this panel."""
    outputs: list[dict[str, Any]] = []
    monkeypatch.setattr("natsdemo.live.audience.display", lambda data, **_: outputs.append(data))
    panel._ipython_display_()
    return outputs


def broken() -> object:
    return 1 / 0


async def test_a_hand_on_the_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATSDEMO_HEADLESS", raising=False)
    monkeypatch.setattr("natsdemo.live.controls._IDLE", 0.2)
    monkeypatch.setattr("natsdemo.live.controls._EVERY", 0.01)
    panel = made(thing := Thing())
    displayed(panel, monkeypatch)
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


# Faults as switches


class Wire:
    """A tap that knows which faults are at work."""

    def __init__(self) -> None:
        self.at_work: list[Fault] = []

    @contextlib.contextmanager
    def inject(self, *what: Fault) -> Iterator[None]:
        if faults.reset() in what:
            raise RuntimeError("<i>no</i>")
        self.at_work += what
        yield
        for fault in what:
            self.at_work.remove(fault)


DROP = faults.drop("MSG", subject="x", every=3)


async def test_a_fault_is_a_switch_with_the_fault_s_own_words() -> None:
    panel = live.panel(live.fault(wire := Wire(), DROP), view=str)
    assert repr(panel) == "[drop MSG subject=x every=3: off]"
    await panel.set("drop MSG subject=x every=3", True)
    await panel.set("drop MSG subject=x every=3", True)
    assert wire.at_work == [DROP]
    assert repr(panel) == "[drop MSG subject=x every=3: on]"
    await panel.set("drop MSG subject=x every=3", False)
    await panel.set("drop MSG subject=x every=3", False)
    assert wire.at_work == []
    with pytest.raises(ValueError, match="no dial or switch"):
        await panel.set(str(DROP), 2)
    with pytest.raises(ValueError, match="no button"):
        await panel.press(str(DROP))


async def test_a_cell_that_is_run_again_finds_its_fault_at_work_and_can_heal_it() -> None:
    wire, other = Wire(), Wire()
    first = live.panel(live.fault(wire, DROP), view=str)
    await first.set(str(DROP), True)
    again = live.panel(live.fault(wire, DROP), live.fault(wire, faults.stall()), view=str)
    assert repr(again) == "[drop MSG subject=x every=3: on]  [stall: off]"
    await again.set(str(DROP), True)
    assert wire.at_work == [DROP]
    await again.set(str(DROP), False)
    await first.set(str(DROP), False)
    assert wire.at_work == []
    assert "off" in repr(live.panel(live.fault(other, DROP), view=str))


async def test_a_switch_or_a_dial_that_fails_goes_back() -> None:
    thing = Thing()
    panel = live.panel(live.fault(Wire(), faults.reset()), live.dial("workers", 0, 8, 3, then=thing.act), view=str)
    with pytest.raises(RuntimeError):
        await panel.set("reset", True)
    thing.busy = True
    with pytest.raises(AssertionError):
        await panel.set("workers", 5)
    assert repr(panel) == "[reset: off]  [workers: 3 of 0…8]"


async def test_a_hand_on_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    panel = live.panel(live.fault(wire := Wire(), DROP), live.fault(wire, faults.reset()), view=str)
    displayed(panel, monkeypatch)
    drop, reset, said = panel._widget.children[0].children
    assert (drop.description, drop.value) == (str(DROP), False)
    drop.value = True
    await asyncio.gather(*panel._tasks)
    assert wire.at_work == [DROP]
    await panel.set(str(DROP), False)
    assert (drop.value, wire.at_work, len(panel._tasks)) == (False, [], 0)
    reset.value = True
    await asyncio.gather(*panel._tasks)
    assert (reset.value, wire.at_work) == (False, [])
    assert said.value.startswith("reset: RuntimeError: &lt;i&gt;no")


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A front end, and a panel that is soon idle."""
    monkeypatch.delenv("NATSDEMO_HEADLESS", raising=False)
    monkeypatch.setattr("natsdemo.live.controls._IDLE", 0.2)
    monkeypatch.setattr("natsdemo.live.controls._EVERY", 0.01)


# Processes


class Worker:
    """Something with a name and verbs, one of them async."""

    name = "worker1"

    def __init__(self) -> None:
        self.done: list[str] = []

    def kill(self) -> None:
        self.done.append("kill")

    async def restart(self) -> None:
        await asyncio.sleep(0)
        self.done.append("restart")


async def test_a_process_is_a_button_for_each_of_its_verbs() -> None:
    worker = Worker()
    panel = live.panel(live.process(worker, "kill", "restart"), live.process(worker, "kill", name="it"), view=str)
    assert repr(panel) == "[kill -9 worker1]  [restart worker1]  [kill -9 it]"
    await panel.press("kill -9 worker1")
    await panel.press("restart worker1")
    await panel.press("kill -9 it")
    assert worker.done == ["kill", "restart", "kill"]
    with pytest.raises(ValueError, match="has no verb 'pause'"):
        live.process(worker, "kill", "pause")
    with pytest.raises(ValueError, match="the same label"):
        live.panel(live.process(worker, "kill"), live.process(worker, "kill"), view=str)


# Read-outs


def test_a_verdict_is_a_line_of_the_still_as_of_then() -> None:
    said = Verdict("no_loss", HOLDS, "all <b>came</b>")
    panel = live.panel(live.verdict(lambda: said), view=lambda: "the view")
    still, _ = panel._repr_mimebundle_()
    assert still["text/plain"].splitlines()[1:] == ["✓ no_loss HOLDS: all <b>came</b>", "'the view'"]
    assert "<b>✓ no_loss HOLDS</b>: all &lt;b&gt;came&lt;/b&gt;</div>" in still["text/html"]
    said = Verdict("no_loss", VIOLATED, "one is lost")
    assert "✗ no_loss VIOLATED: one is lost\n" in panel._repr_mimebundle_()[0]["text/plain"]


async def test_an_async_judge_is_asked_after_each_touch_and_the_still_says_which() -> None:
    thing = Thing()

    async def judge() -> Verdict:
        await asyncio.sleep(0)
        return Verdict("no_loss", VIOLATED if thing.done else HOLDS, f"{len(thing.done)} lost")

    panel = live.panel(
        live.button("kill <one>", then=thing.kill),
        live.dial("workers", 0, 8, 3, then=thing.act),
        live.verdict(judge),
        view=str,
    )
    assert "? not judged yet: it is with each touch of a control.\n" in panel._repr_mimebundle_()[0]["text/plain"]
    await panel.press("kill <one>")
    still, _ = panel._repr_mimebundle_()
    assert "✗ no_loss VIOLATED: 1 lost (judged after “kill <one>”)\n" in still["text/plain"]
    assert "1 lost (judged after “kill &lt;one&gt;”)" in still["text/html"]
    await panel.set("workers", 4)
    assert "2 lost (judged after “workers: 4 of 0…8”)" in panel._repr_mimebundle_()[0]["text/plain"]


async def test_the_verdict_follows_though_the_view_does_so_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    lost = 0

    async def judge() -> Verdict:
        return Verdict("no_loss", UNKNOWN, f"<b>{lost}</b> lost")

    panel = live.panel(
        live.button("kill", then=Thing().kill), live.verdict(judge), view=live.flow(story("a:pub1 b:got1"))
    )
    displayed(panel, monkeypatch)
    (button, _), (line, _) = panel._widget.children[0].children, panel._widget.children[1:]
    assert "not judged yet" in line.value
    assert await until(lambda: "&lt;b&gt;0&lt;/b&gt; lost (judged when the panel was shown)" in line.value)
    await asyncio.gather(*panel._tasks)
    button.click()
    assert await until(lambda: "0&lt;/b&gt; lost (judged after “kill”)" in line.value)
    lost = 3
    assert await until(lambda: "3&lt;/b&gt; lost (judged after “kill”)" in line.value)
    await asyncio.gather(*panel._tasks)

    async def closed() -> Verdict:
        raise RuntimeError("<closed>")

    panel = live.panel(live.verdict(closed), view=str)
    displayed(panel, monkeypatch)
    await asyncio.gather(*panel._tasks)
    assert panel._said.value.startswith("verdict: RuntimeError: &lt;closed&gt;")


async def test_a_real_lab_is_broken_and_judged_from_a_panel(connect: Connect) -> None:
    lab = await open_lab(own=True)
    assert isinstance(lab.server, Server)
    try:
        bob, alice = await connect(lab.url, name="bob"), await connect(lab.url, name="alice")
        await bob.subscribe("x")
        await barrier(bob)
        numbers = itertools.count()

        async def talk() -> None:
            for n in itertools.islice(numbers, 3):
                await alice.publish("x", b"%d" % n)
            await barrier(alice)

        async def kept() -> Verdict:
            return no_loss(await lab.settle(), subject="x")

        panel = live.panel(
            live.button("talk", then=talk),
            live.fault(lab.tap, DROP),
            live.process(lab.server, "kill", "restart"),
            live.verdict(kept),
            view=live.flow(lab.history),
        )
        await panel.press("talk")
        assert "✓ no_loss HOLDS" in panel._repr_mimebundle_()[0]["text/plain"]
        await panel.set(str(DROP), True)
        await panel.press("talk")
        assert "✗ no_loss VIOLATED" in panel._repr_mimebundle_()[0]["text/plain"]
        await panel.set(str(DROP), False)
        told = [event.text for event in lab.history.where(kind="fault")]
        assert told == [f"armed: {DROP}", f"hit: {DROP}: MSG x", f"healed: {DROP}"]
        await panel.press("kill -9 nats")
        await panel.press("restart nats")
        assert [event.text for event in lab.history.where(kind="server")] == ["kill", "start"]
    finally:
        await lab.close()
