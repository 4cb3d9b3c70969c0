"""Watch messages flow: dots that travel between places, counted exactly, fed by a History."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from natsdemo.figures import Picture
from natsdemo.figures.flow import SLOTS, picture, stage, tints
from natsdemo.figures.scene import Scene
from natsdemo.history import History

from .audience import View, front

__all__ = ["Flow", "flow"]

_TICK = 1 / 30  # seconds from one look to the next; in between, the browser moves the dots by itself
_DEAF = 600.0  # seconds without a word from any browser, after which nobody is told any more


def flow(history: History, *, since: int = 0) -> Flow:
    """Return a view in which the messages of a History travel between clients and server; end the cell with it.

    :param history: a lab's `history`, which is followed while it grows, or a part of one, which can be played again.
    :param since: the number of the event from which on it is shown.

    Where no browser looks it is a still picture of what has passed up to now.
    """
    return Flow(history, since)


class Flow(View):
    """A scene that follows a History, and the widgets that show it."""

    def __init__(self, history: History, since: int = 0) -> None:
        self._history, self._seen = history, since
        self._scene = Scene()
        self._new: list[History] = []
        self._stop: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._heard = 0.0
        self._widget: Any = None
        self._told: tuple[Any, Any] = (None, None)
        self._scene.recall(history[:since])
        self._catch_up()

    @property
    def still(self) -> Picture:
        """What has passed up to now, as a picture."""
        if self._stop is None:
            self._catch_up()
        return picture(self._scene)

    def widget(self) -> Any:
        """The widget, where there is somebody to look at it, else None."""
        if self._widget is None:
            page, streams = _page(self._scene), _streams(self._scene)
            moves = self._scene.moves.tobytes()
            self._widget = front("flow", self._asked, page=page, streams=streams, moves=moves)
        return self._widget

    def close(self) -> None:
        """Follow the History no longer; what is shown stays."""
        if self._stop:
            self._stop()
        if self._task:
            self._task.cancel()

    def _catch_up(self) -> None:
        """Read what is not read yet, if the History is not observed just now."""
        new = self._history[self._seen :]
        self._seen += len(new)
        self._scene.read([new])

    def _asked(self, _widget: object, message: dict[str, Any], _buffers: object) -> None:
        """A browser looks, and has so many moves already."""
        self._heard = time.monotonic()
        if self._stop is None:
            self._catch_up()
            try:
                self._stop = self._history.observe(self._new.append)
            except TypeError:  # a part of a History does not grow
                self._stop = lambda: None
            else:
                self._task = asyncio.ensure_future(self._follow())
        self._told = (None, None)
        self._tell(int(message["have"]), None)

    async def _follow(self) -> None:
        while time.monotonic() - self._heard < _DEAF:
            await asyncio.sleep(_TICK)
            if self._new:
                have, since = len(self._scene.moves) // 3, self._new[0][0].time
                self._scene.read(list(self._unseen()))
                self._new.clear()
                self._tell(have, since)
        assert self._stop
        self._stop()
        self._stop = self._task = None

    def _unseen(self) -> Iterator[History]:
        """What was observed, each event once: some may have been read before, or passed before we observed."""
        for view in self._new:
            begin = view[0].number
            if begin > self._seen:
                yield self._history[self._seen : begin]
            if begin + len(view) > self._seen:
                yield view[max(self._seen - begin, 0) :]
                self._seen = begin + len(view)

    def _tell(self, have: int, since: float | None) -> None:
        """Send what a browser with `have` moves lacks, in one binary message."""
        streams = _streams(self._scene)
        shape = self._scene.shape, [len(stream["consumers"]) for stream in streams.values()]
        message: dict[str, Any] = {"from": have, "time": self._scene.time}
        if self._task:
            message["now"] = self._history.now
        if since is not None:
            message["since"] = since
        if shape != self._told[0]:
            message["page"] = _page(self._scene)
        if streams != self._told[1]:
            message["streams"] = streams
        self._told = shape, streams
        self._widget.send(message, buffers=[self._scene.moves[3 * have :].tobytes()])


def _page(scene: Scene) -> dict[str, Any]:
    """All that stays as it is while messages move."""
    plan, tint, struck, names = stage(scene), tints(scene), scene.struck(), scene.names()
    states = {"stops": "gone", "pauses": "paused"}
    return {
        "width": plan.width,
        "height": plan.height,
        "floor": plan.floor,
        "slots": SLOTS,
        "server": plan.server,
        "nodes": ", ".join(scene.node_names()),
        "groups": plan.groups,
        "faults": scene.faults[:],
        "places": [
            {"name": names[at], "box": plan.places[at], "side": place.side, "tint": tint.get(at, ""),
             "struck": at in struck, "state": states.get(place.state, "")}
            for at, place in enumerate(scene.places)
        ],
        "lanes": [
            {"name": name, "kind": lane.kind, "box": plan.lanes[at]}
            for at, (lane, name) in enumerate(zip(scene.lanes, scene.lane_names(), strict=True))
        ],
        "routes": [
            (r.kind, r.place, r.to_server, r.lane, tint.get(r.publisher, ""), r.fate, r.times) for r in scene.routes
        ],
    }  # fmt: skip


def _streams(scene: Scene) -> dict[str, Any]:
    """Where each stream and its consumers are."""
    return {
        str(at): {
            "stored": stored,
            "consumers": [(name, *position) for name, position in list(scene.positions[at].items())[:3]],
        }
        for at, stored in scene.stored.items()
    }
