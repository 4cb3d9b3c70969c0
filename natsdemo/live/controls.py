"""Controls that act on the real system, and read-outs of what became of it, above a picture that follows."""

from __future__ import annotations

import asyncio
import contextlib
import html
import inspect
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from IPython.core.formatters import DisplayFormatter

from natsdemo.faults import Fault
from natsdemo.guarantees import HOLDS, UNKNOWN, VIOLATED, Outcome, Verdict

from .audience import View, show, widgets

_FORMATTER = DisplayFormatter()

# A panel looks at most this often, and never works more than a quarter of the time: callbacks share its event loop.
_EVERY = 0.5
# It stops following when nothing has changed for so long; the next touch starts it again.
_IDLE = 3.0

# What belongs together stays together, and a row that is full goes on below.
_ROW = {"flex_flow": "row wrap"}
_ROWS = {"flex_flow": "row wrap", "grid_gap": "2px 16px"}
_COLOURS = {HOLDS: "#009E73", VIOLATED: "#D55E00", UNKNOWN: "#E69F00"}


class Breakable(Protocol):
    """What takes faults: a Tap."""

    def inject(self, *faults: Fault) -> contextlib.AbstractContextManager[None]:
        """Have faults at work inside a `with` block."""


class Named(Protocol):
    """What a `process` button acts on: a Server, a `ClientProcess`, anything with a name and with verbs."""

    @property
    def name(self) -> str:
        """What it is called on the buttons."""


Judge = Callable[[], Verdict | Awaitable[Verdict]]


class Dial(NamedTuple):
    """A slider from `low` to `high`; `then(value)` is awaited when it is let go."""

    label: str
    low: int
    high: int
    value: int
    then: Callable[[int], Awaitable[object]]

    def __str__(self) -> str:
        return f"{self.label}: {self.value} of {self.low}…{self.high}"


class Button(NamedTuple):
    """A button; `then()` is awaited when it is pressed."""

    label: str
    then: Callable[[], Awaitable[object]]

    def __str__(self) -> str:
        return self.label


class Switch(NamedTuple):
    """A switch that is on or off; `then(on)` is awaited when it is turned."""

    label: str
    value: bool
    then: Callable[[bool], Awaitable[object]]

    def __str__(self) -> str:
        return f"{self.label}: {'on' if self.value else 'off'}"


class Readout(NamedTuple):
    """A line that says what `judge()` returns."""

    judge: Judge


Control = Dial | Button | Switch | Readout

# The faults that switches have armed. A fault belongs to its Tap and not to a panel: where the cell is run again, the
# new switch is on already, and turns off what the old one turned on.
_armed: MutableMapping[Breakable, dict[Fault, contextlib.ExitStack]] = WeakKeyDictionary()


def dial(label: str, low: int, high: int, value: int, then: Callable[[int], Awaitable[object]]) -> Dial:
    """Return a slider for a `panel`: `then(value)` is an async function, called with what the reader has chosen."""
    return Dial(label, low, high, value, then)


def button(label: str, then: Callable[[], Awaitable[object]]) -> Button:
    """Return a button for a `panel`: `then()` is an async function."""
    return Button(label, then)


def fault(tap: Breakable, what: Fault) -> Switch:
    """Return a switch for a `panel`, labelled with the fault's own words: on, the fault is at work; off, it is healed.

    :param tap: where it is injected, `lab.tap` for example; at most once, however many switches there are.
    :param what: the fault, `faults.drop("MSG", subject="orders", every=3)` for example.
    """
    armed = _armed.setdefault(tap, {})

    async def then(on: bool) -> None:
        if on and what not in armed:
            block = contextlib.ExitStack()
            block.enter_context(tap.inject(what))
            armed[what] = block
        elif not on and what in armed:
            armed.pop(what).close()

    return Switch(str(what), what in armed, then)


def process(thing: Named, *verbs: str, name: str | None = None) -> list[Control]:
    """Return buttons for a `panel`, one for each of these verbs of a process: "kill -9 worker1", "restart worker1".

    :param thing: a Server, a client of `lab.spawn`, or whatever else has these verbs as methods, async or not.
    :param verbs: `"kill"`, `"stop"`, `"pause"`, `"resume"`, `"restart"`, …
    :param name: what to call it, by default its own name.

    Raises `ValueError` if it has no such verb.
    """
    for verb in verbs:
        if not callable(getattr(thing, verb, None)):
            raise ValueError(f"{thing!r} has no verb {verb!r}.")
    words = {"kill": "kill -9"}
    return [Button(f"{words.get(verb, verb)} {name or thing.name}", partial(_do, thing, verb)) for verb in verbs]


async def _do(thing: Named, verb: str) -> None:
    done = getattr(thing, verb)()
    if inspect.isawaitable(done):
        await done


def verdict(judge: Judge) -> Readout:
    """Return a line for a `panel` that says what a judge says: the outcome and its sentence.

    :param judge: returns a verdict, or is async: `async def kept(): return no_loss(await lab.settle(1))`. It is asked
        when the panel is shown, after each touch, and then for as long as its verdict changes.
    """
    return Readout(judge)


def panel(*controls: Control | list[Control], view: Callable[[], Any] | View) -> Panel:
    """Return controls above a picture; end the cell with it.

    :param controls: any of `dial`, `button`, `fault` and `verdict`, and lists of them, as `process` returns: these stay
        together. Labels are unique.
    :param view: a `flow` or a `dashboard`, which follow by themselves; or what is called without arguments and returns
        what to show: a `Picture`, a verdict, anything with an HTML form. It is called anew after each touch, and then
        for as long as the picture changes.

    Raises `ValueError` if two controls have the same label.
    """
    return Panel(*controls, view=view)


class Panel:
    """Controls and a picture. `set` and `press` do what the reader's hand does, and are awaited until it is done.

    Without a front end, or without ipywidgets, it is the picture alone, with a line that names the controls, and what
    the read-outs say.
    """

    _last_touch: object = None  # only what was touched last is followed, and by one

    def __init__(self, *controls: Control | list[Control], view: Callable[[], Any] | View) -> None:
        groups = [each if isinstance(each, list) else [each] for each in controls]
        flat = [control for group in groups for control in group]
        self._readouts = [control for control in flat if isinstance(control, Readout)]
        labelled = [control for control in flat if not isinstance(control, Readout)]
        self.controls: dict[str, Dial | Button | Switch] = {control.label: control for control in labelled}
        if len(self.controls) < len(labelled):
            raise ValueError("Two controls of a panel have the same label: give each a name of its own.")
        self._groups = [[each.label for each in group if not isinstance(each, Readout)] for group in groups]
        self._view = view
        self._turn, self._judging = asyncio.Lock(), asyncio.Lock()
        self._verdicts: list[Verdict] = []
        self._judged = ""  # when
        self._tasks: set[asyncio.Task[None]] = set()
        self._widget: Any = None
        self._knobs: dict[str, Any] = {}
        self._lines: Any = None
        self._picture: Any = None
        self._said: Any = None

    async def set(self, label: str, value: int) -> None:
        """Turn a dial, or a switch on (`True`) or off (`False`). What fails is turned back, and raises what it raised.

        Raises `ValueError` if the panel has none of that name, or the value is out of its range.
        """
        await self._judge(await self._set(label, value))

    async def _set(self, label: str, value: int) -> str:
        """Do it, and return what to say of a verdict that comes next."""
        before = self.controls.get(label)
        turned: Dial | Switch
        match before:
            case Dial() if before.low <= value <= before.high:
                turned, act = before._replace(value=value), partial(before.then, value)
            case Switch() if value in (True, False):
                turned, act = before._replace(value=bool(value)), partial(before.then, bool(value))
            case _:
                raise ValueError(f"There is no dial or switch {label!r} that goes to {value}: choose from {self}.")
        self._turn_to(turned)
        try:
            async with self._turn:
                await act()
        except BaseException:
            if self.controls[label] is turned:
                self._turn_to(before)
            raise
        return f"after “{turned}”"

    def _turn_to(self, control: Dial | Switch) -> None:
        self.controls[control.label] = control
        if control.label in self._knobs:
            self._knobs[control.label].value = control.value

    async def press(self, label: str) -> None:
        """Press a button. Raises `ValueError` if the panel has none of that name."""
        await self._judge(await self._press(label))

    async def _press(self, label: str) -> str:
        control = self.controls.get(label)
        if not isinstance(control, Button):
            raise ValueError(f"There is no button {label!r}: choose from {self}.")
        async with self._turn:
            await control.then()
        return f"after “{control}”"

    async def _show(self) -> str:
        return "when the panel was shown"

    async def _judge(self, when: str) -> bool:
        """Have the read-outs say what is so now; return whether that is new."""
        async with self._judging:  # the last one asked has the last word
            verdicts = [said if isinstance(said := each.judge(), Verdict) else await said for each in self._readouts]
            new, self._verdicts, self._judged = verdicts != self._verdicts, verdicts, when
            if self._lines:
                self._lines.value = "".join(_html(verdict, when) for verdict in verdicts)
            return new

    def _lines_now(self) -> list[tuple[Verdict | None, str]]:
        """What the read-outs say at this moment, and when an async judge, which cannot be asked here, last said it."""
        lines: list[tuple[Verdict | None, str]] = []
        for at, readout in enumerate(self._readouts):
            said = readout.judge()
            if isinstance(said, Verdict):
                lines.append((said, ""))
            else:
                if inspect.iscoroutine(said):
                    said.close()
                lines.append((self._verdicts[at] if self._verdicts else None, self._judged))
        return lines

    def __repr__(self) -> str:
        return "  ".join(f"[{control}]" for control in self.controls.values())

    def _ipython_display_(self) -> None:
        still, metadata = self._repr_mimebundle_()
        front = self._front()
        show(still, metadata, front)
        if front and self._readouts:
            self._touch("verdict", self._show())

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle, metadata = self._still()
        lines = self._lines_now()
        bundle["text/plain"] = "\n".join([repr(self), *(_text(*line) for line in lines), bundle["text/plain"]])
        bundle["text/html"] = (
            f'<div><small style="opacity:.75">Controls, where a kernel runs: {html.escape(repr(self))}</small>'
            f"{''.join(_html(*line) for line in lines)}{bundle['text/html']}</div>"
        )
        return bundle, metadata

    def _still(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The view as it is now, in all its forms."""
        if not callable(self._view):
            return self._view.still._repr_mimebundle_()
        bundle, metadata = _FORMATTER.format(self._view())
        bundle.setdefault("text/html", f"<pre>{html.escape(bundle['text/plain'])}</pre>")
        return bundle, metadata

    def _front(self) -> Any:
        """The widgets, where there is somebody to touch them."""
        ipywidgets = widgets()
        if ipywidgets and self._widget is None:
            if not callable(self._view):
                self._picture = self._view.widget()
            else:
                self._picture = ipywidgets.HTML(self._still()[0]["text/html"])
            self._said = ipywidgets.HTML()
            self._lines = ipywidgets.HTML("".join(_html(*line) for line in self._lines_now()))
            groups = [[self._made(ipywidgets, self.controls[label]) for label in group] for group in self._groups]
            rows = [ipywidgets.HBox(group, layout=_ROW) if len(group) > 1 else group[0] for group in groups if group]
            lines = [self._lines] if self._readouts else []
            self._widget = ipywidgets.VBox([ipywidgets.HBox([*rows, self._said], layout=_ROWS), *lines, self._picture])
            self._widget.add_class("natsdemo-live")
        return ipywidgets and self._widget

    def _made(self, ipywidgets: Any, control: Dial | Button | Switch) -> Any:
        if isinstance(control, Button):
            made = ipywidgets.Button(description=control.label, layout={"width": "auto"})
            made.on_click(lambda _: self._touch(control.label, self._press(control.label)))
            return made
        if isinstance(control, Dial):
            made = ipywidgets.IntSlider(
                control.value, control.low, control.high, description=control.label, continuous_update=False
            )
        else:
            made = ipywidgets.Checkbox(control.value, description=control.label, indent=False, layout={"width": "auto"})
        made.observe(lambda change: self._turned(control.label, change["new"]), names="value")
        self._knobs[control.label] = made
        return made

    def _turned(self, label: str, value: int) -> None:
        control = self.controls[label]
        if not isinstance(control, Button) and control.value != value:  # else it was `set` that moved it
            self._touch(label, self._set(label, value))

    def _touch(self, label: str, action: Awaitable[str]) -> None:
        task = asyncio.ensure_future(self._act(label, action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, label: str, action: Awaitable[str]) -> None:
        """Do it, say how it went, and follow what comes of it."""
        self._said.value = "…"
        try:
            when = await action
            self._said.value = ""
            if self._readouts or callable(self._view):
                await self._follow(when)
        except Exception as error:
            said = f"{label}: {type(error).__name__}: {error}. If the lab is closed, run the cells again from the top."
            self._said.value = html.escape(said)

    async def _follow(self, when: str) -> None:
        """Look anew while there is something new, until this panel or another one is touched again."""
        touch = Panel._last_touch = object()
        changed = time.monotonic()
        while Panel._last_touch is touch:
            began = time.thread_time()  # waiting, for a run to come to rest for example, is no work
            if await self._judge(when) | self._draw():
                changed = time.monotonic()
            elif time.monotonic() - changed > _IDLE:
                break
            await asyncio.sleep(max(_EVERY, 3 * (time.thread_time() - began)))

    def _draw(self) -> bool:
        """Draw the picture, if it does not follow by itself; return whether it is a new one."""
        if not callable(self._view):
            return False
        before, self._picture.value = self._picture.value, self._still()[0]["text/html"]
        return bool(before != self._picture.value)


def _words(verdict: Verdict | None, when: str) -> tuple[Outcome, str, str]:
    """What a read-out says: which outcome, its name, and the sentence."""
    if verdict is None:
        return UNKNOWN, f"{UNKNOWN.mark} not judged yet", "it is with each touch of a control."
    told = f" (judged {when})" if when else ""
    outcome = verdict.outcome
    return outcome, f"{outcome.mark} {verdict.name} {outcome.value}", f"{verdict.sentence}{told}"


def _text(verdict: Verdict | None, when: str) -> str:
    return ": ".join(_words(verdict, when)[1:])


def _html(verdict: Verdict | None, when: str) -> str:
    outcome, name, sentence = _words(verdict, when)
    return (
        f'<div style="border-left:4px solid {_COLOURS[outcome]};padding:2px 10px;margin:4px 0;line-height:1.4">'
        f"<b>{html.escape(name)}</b>: {html.escape(sentence)}</div>"
    )
