"""A dashboard: numbers that are read again and again, drawn by the browser while somebody looks."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from natsdemo.figures import Picture, gauges

from .audience import View, front

__all__ = ["Dashboard", "Reading", "dashboard"]

_EVERY = 0.2  # seconds from one reading to the next
_KEPT = 300  # readings: a minute of them
_GAP = 2.0  # seconds without a reading, over which no line is drawn
_DEAF = 30.0  # seconds without a word from any browser, after which nothing is read any more

Read = Callable[[], Awaitable[Mapping[str, float]]]


class Reading(NamedTuple):
    """What was read `at` so many seconds after the dashboard was made; no `numbers` where nothing could be read."""

    at: float
    numbers: Mapping[str, float]


def dashboard(read: Read, *, alerts: Mapping[str, float] | None = None, title: str = "") -> Dashboard:
    """Return a panel for each number that `read()` returns, over the last minute; end the cell with it.

    :param read: an async function that returns numbers by name, with the unit in the name: `{"lag, orders": 12}`; or
        `vitals(lab.server, lab.history)`. It is asked five times a second, while somebody looks or `until` waits.
    :param alerts: for a number of that name the limit above which its alert rings: `{"lag, orders": 100}`.
    :param title: what the still is headed by, instead of its counts.

    It can be the `view` of a `panel`, too. Where no browser looks it is a still picture of what was read up to now.
    """
    return Dashboard(read, alerts=alerts, title=title)


class Dashboard(View):
    """The numbers of the last minute (`readings`), the moments that were marked (`marks`), and the widget."""

    def __init__(self, read: Read, *, alerts: Mapping[str, float] | None = None, title: str = "") -> None:
        self._ask, self._title = read, title
        self.alerts = dict(alerts or {})
        self.readings: list[Reading] = []
        self.marks: dict[str, float] = {}
        self._began = self._next = time.monotonic()
        self._count = 0  # of all readings so far
        self._trouble = ""
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._heard = 0.0
        self._widget: Any = None
        self._told: list[str] = []

    @property
    def still(self) -> Picture:
        """What was read in the last minute, as a picture."""
        numbers = {name: [reading.numbers.get(name, math.nan) for reading in self.readings] for name in self._names}
        alerts = {name: [value > self.alerts[name] for value in numbers[name]] for name in self.alerts.keys() & numbers}
        times = [reading.at for reading in self.readings]
        return gauges(times, numbers, alerts=alerts, marks=self.marks, title=self._title)

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for reading in self.readings for name in reading.numbers))

    def widget(self) -> Any:
        """The widget, where there is somebody to look at it, else None."""
        if self._widget is None:
            self._widget = front("dashboard", self._asked, alerts=dict(self.alerts))
        return self._widget

    async def until(self, condition: Callable[[Mapping[str, float]], object], deadline: float = 5.0) -> bool:
        """Read until `condition(numbers)` is true, at most `deadline` seconds; return whether it came true.

        What cannot be read (a server is down) is left open, and read again. A `condition` that raises, raises here.
        """
        end = time.monotonic() + deadline
        while True:
            numbers = await self._read()
            if numbers and condition(numbers):
                return True
            if time.monotonic() > end:
                return False

    def mark(self, name: str) -> None:
        """Mark this moment, by a line through all panels. A name has one moment, the last."""
        self.marks[name] = time.monotonic() - self._began

    def close(self) -> None:
        """Read no more when somebody looks; what is shown stays."""
        self._closed = True
        if self._task:
            self._task.cancel()
        if self._widget:
            self._tell(0)

    async def _read(self) -> Mapping[str, float]:
        """Read once, when it is time to, and have it shown."""
        async with self._turn:
            await asyncio.sleep(self._next - time.monotonic())
            numbers: Mapping[str, float] = {}
            try:
                numbers = dict(await self._ask())
                unknown = self.alerts.keys() - numbers.keys()
                self._trouble = f"No number has the name of an alert: {', '.join(sorted(unknown))}." if unknown else ""
            except Exception as error:
                self._trouble = f"Could not read: {type(error).__name__}: {error}"
            now = time.monotonic()
            last = self.readings[-1].at if self.readings else math.inf
            new = [Reading(last + _EVERY, {})] if now - self._began - last > _GAP else []
            new.append(Reading(now - self._began, numbers))
            self.readings += new
            del self.readings[:-_KEPT]
            self._count += len(new)
            self._next = now + _EVERY
            if self._widget:
                self._tell(len(new))
            return numbers

    def _asked(self, _widget: object, _message: object, _buffers: object) -> None:
        """A browser looks. One that has just come has nothing yet, and one that was away lacks some."""
        self._heard = time.monotonic()
        self._tell(len(self.readings))
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        while time.monotonic() - self._heard < _DEAF:
            await self._read()

    def _tell(self, last: int) -> None:
        """Send the last so many readings, or all if there are new numbers in them."""
        names = self._names
        if names != self._told:
            self._told, last = names, len(self.readings)
        rows = [[round(at, 3), *map(numbers.get, names)] for at, numbers in self.readings[len(self.readings) - last :]]
        self._widget.send(
            {
                "names": names,
                "rows": [
                    [value if value is not None and math.isfinite(value) else None for value in row] for row in rows
                ],
                "from": self._count - last,
                "marks": self.marks,
                "trouble": self._trouble,
                "closed": self._closed,
            }
        )
