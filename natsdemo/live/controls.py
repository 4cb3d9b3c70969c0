"""Dials and buttons that act on the real system, above a picture that follows what happens."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from IPython.core.formatters import DisplayFormatter

from .audience import widgets

_FORMATTER = DisplayFormatter()

# A panel draws at most this often, and never more than a quarter of the time: callbacks share its event loop.
_EVERY = 0.5
# It stops following when the picture has not changed for so long; the next touch starts it again.
_IDLE = 3.0


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


def dial(label: str, low: int, high: int, value: int, then: Callable[[int], Awaitable[object]]) -> Dial:
    """Return a slider for a `panel`: `then(value)` is an async function, called with what the reader has chosen."""
    return Dial(label, low, high, value, then)


def button(label: str, then: Callable[[], Awaitable[object]]) -> Button:
    """Return a button for a `panel`: `then()` is an async function."""
    return Button(label, then)


def panel(*controls: Dial | Button, view: Callable[[], Any]) -> Panel:
    """Return controls above a picture; end the cell with it.

    `view` is called without arguments and returns what to show: a `Picture`, a verdict, anything with an HTML form. It
    is called anew after each touch, and then for as long as the picture changes. Labels are unique.
    """
    return Panel(*controls, view=view)


class Panel:
    """Controls and a picture. `set` and `press` do what the reader's hand does, and are awaited until it is done.

    Without a front end, or without ipywidgets, it is the picture alone, with a line that names the controls.
    """

    _last_touch: object = None  # only what was touched last is followed, and by one

    def __init__(self, *controls: Dial | Button, view: Callable[[], Any]) -> None:
        self.controls: dict[str, Dial | Button] = {control.label: control for control in controls}
        if len(self.controls) < len(controls):
            raise ValueError("Two controls of a panel have the same label: give each a name of its own.")
        self._view = view
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._widget: Any = None
        self._sliders: dict[str, Any] = {}
        self._picture: Any = None
        self._said: Any = None

    async def set(self, label: str, value: int) -> None:
        """Turn a dial. Raises `ValueError` if the panel has none of that name, or the value is out of its range."""
        control = self.controls.get(label)
        if not isinstance(control, Dial) or not control.low <= value <= control.high:
            raise ValueError(f"There is no dial {label!r} that goes to {value}: choose from {self}.")
        self.controls[label] = control._replace(value=value)
        if label in self._sliders:
            self._sliders[label].value = value
        async with self._turn:
            await control.then(value)

    async def press(self, label: str) -> None:
        """Press a button. Raises `ValueError` if the panel has none of that name."""
        control = self.controls.get(label)
        if not isinstance(control, Button):
            raise ValueError(f"There is no button {label!r}: choose from {self}.")
        async with self._turn:
            await control.then()

    def __repr__(self) -> str:
        return "  ".join(f"[{control}]" for control in self.controls.values())

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle, metadata = self._still()
        if widget := self._front(bundle["text/html"]):
            bundle = widget._repr_mimebundle_() | bundle
        bundle["text/plain"] = f"{self!r}\n{bundle['text/plain']}"
        bundle["text/html"] = (
            f'<div><small style="opacity:.75">Controls, where a kernel runs: {html.escape(repr(self))}</small>'
            f"{bundle['text/html']}</div>"
        )
        return bundle, metadata

    def _still(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The view as it is now, in all its forms."""
        bundle, metadata = _FORMATTER.format(self._view())
        bundle.setdefault("text/html", f"<pre>{html.escape(bundle['text/plain'])}</pre>")
        return bundle, metadata

    def _front(self, still: str) -> Any:
        """The widgets, where there is somebody to touch them."""
        ipywidgets = widgets()
        if ipywidgets and self._widget is None:
            self._picture, self._said = ipywidgets.HTML(still), ipywidgets.HTML()
            made = [self._made(ipywidgets, control) for control in self.controls.values()]
            self._widget = ipywidgets.VBox([ipywidgets.HBox([*made, self._said]), self._picture])
        return ipywidgets and self._widget

    def _made(self, ipywidgets: Any, control: Dial | Button) -> Any:
        if isinstance(control, Button):
            made = ipywidgets.Button(description=control.label, layout={"width": "auto"})
            made.on_click(lambda _: self._touch(control.label, self.press(control.label)))
            return made
        made = ipywidgets.IntSlider(
            control.value, control.low, control.high, description=control.label, continuous_update=False
        )
        made.observe(lambda change: self._turned(control.label, change["new"]), names="value")
        self._sliders[control.label] = made
        return made

    def _turned(self, label: str, value: int) -> None:
        control = self.controls[label]
        if isinstance(control, Dial) and control.value != value:  # else it was `set` that moved the slider
            self._touch(label, self.set(label, value))

    def _touch(self, label: str, action: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._act(label, action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, label: str, action: Awaitable[None]) -> None:
        """Do it, say how it went, and follow what comes of it."""
        self._said.value = "…"
        try:
            await action
            self._said.value = ""
            await self._follow()
        except Exception as error:
            said = f"{label}: {type(error).__name__}: {error}. If the lab is closed, run the cells again from the top."
            self._said.value = html.escape(said)

    async def _follow(self) -> None:
        """Draw anew while there is something new, until this panel or another one is touched again."""
        touch = Panel._last_touch = object()
        changed = time.monotonic()
        while Panel._last_touch is touch and time.monotonic() - changed < _IDLE:
            began = time.monotonic()
            picture = self._still()[0]["text/html"]
            if picture != self._picture.value:
                self._picture.value = picture
                changed = time.monotonic()
            await asyncio.sleep(max(_EVERY, 3 * (time.monotonic() - began)))
