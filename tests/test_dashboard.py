"""The dashboard without a browser: what it reads and when, its still, and what a browser is told; and the vitals."""

import asyncio
import importlib
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import pytest
from conftest import Connect
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless

from natsdemo import live
from natsdemo.figures import gauges
from natsdemo.history import History, pack
from natsdemo.lesson import barrier, open_lab, until
from natsdemo.live.vitals import _Lateness
from natsdemo.protocol import TO_CLIENT, TO_SERVER
from natsdemo.server import Server

module = importlib.import_module("natsdemo.live.dashboard")  # in the package, that is the name of its function


class Source:
    """Numbers to read: each time one more, or an error."""

    def __init__(self, name: str = "lag, orders") -> None:
        self.name, self.asked, self.broken = name, 0, False

    async def __call__(self) -> dict[str, float]:
        self.asked += 1
        if self.broken:
            raise OSError("nobody is there")
        return {self.name: self.asked}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.01)


class Front:
    """What a browser would know."""

    def __init__(self, board: live.Dashboard) -> None:
        self.board, self.rows, self.last = board, [], {}  # type: live.Dashboard, list[list[float | None]], dict[str, Any]
        board.widget().send = self.take

    def take(self, message: dict[str, Any]) -> None:
        json.dumps(message, allow_nan=False)
        if message["names"] != self.last.get("names") or message["from"] > len(self.rows):
            self.rows = []
        self.rows = [*self.rows[: message["from"]], *message["rows"]]
        self.last = message

    def look(self) -> None:
        self.board._asked(None, {}, None)

    def column(self, name: str) -> list[float | None]:
        at = self.last["names"].index(name) + 1
        return [row[at] for row in self.rows]


async def test_it_reads_until_a_condition_and_no_longer() -> None:
    board = live.dashboard(source := Source())
    assert source.asked == 0
    assert await board.until(lambda numbers: numbers["lag, orders"] >= 4)
    assert not await board.until(lambda _: False, deadline=0.05)
    asked = source.asked
    assert [reading.numbers["lag, orders"] for reading in board.readings] == list(range(1, asked + 1))
    times = [reading.at for reading in board.readings]
    assert times == sorted(times)
    with pytest.raises(ZeroDivisionError):
        await board.until(lambda _: 1 / 0)


async def test_its_still_is_the_gauges_of_the_same_readings() -> None:
    board = live.dashboard(Source(), alerts={"lag, orders": 2.5}, title="The shop")
    await board.until(lambda numbers: numbers["lag, orders"] >= 2)
    board.mark("a burst")
    await board.until(lambda numbers: numbers["lag, orders"] >= 4)
    times = [reading.at for reading in board.readings]
    alerts = {"lag, orders": [False, False, True, True]}
    wanted = gauges(times, {"lag, orders": [1, 2, 3, 4]}, alerts=alerts, marks=board.marks, title="The shop")
    assert board.still == wanted
    assert times[1] <= board.marks["a burst"] <= times[2]
    assert "its alert was on" in repr(board)
    is_a_card_of_its_own(board.still, dark=False)


async def test_nothing_read_is_said() -> None:
    assert "Nothing was read" in live.dashboard(Source()).still.alt


async def test_what_cannot_be_read_is_left_open_and_said() -> None:
    board = live.dashboard(source := Source(), alerts={"lag, order": 1})
    front = Front(board)
    await board.until(lambda _: True)
    assert "lag, order." in front.last["trouble"], "an alert that can never ring"
    source.broken = True
    assert not await board.until(lambda _: True, deadline=0.05)
    assert "OSError: nobody is there" in front.last["trouble"]
    source.broken = False
    await board.until(lambda _: True)
    column = front.column("lag, orders")
    assert (column[0], column[1], column[-1]) == (1, None, source.asked)
    assert "–" in board.still.table


async def test_a_time_without_readings_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GAP", 0.0)
    board = live.dashboard(Source())
    for _ in range(2):
        await board.until(lambda _: True)
    assert [dict(reading.numbers) for reading in board.readings] == [{"lag, orders": 1}, {}, {"lag, orders": 2}]


async def test_it_keeps_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    board = live.dashboard(Source())
    front = Front(board)
    await board.until(lambda numbers: numbers["lag, orders"] == 5)
    assert [reading.numbers["lag, orders"] for reading in board.readings] == [3, 4, 5]
    assert front.column("lag, orders") == [1, 2, 3, 4, 5]


async def test_it_reads_while_a_browser_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DEAF", 0.1)
    board = live.dashboard(source := Source())
    front = Front(board)
    await board.until(lambda numbers: numbers["lag, orders"] >= 2)
    front.rows, front.last = [], {}  # another browser, which knows nothing
    front.look()
    assert front.column("lag, orders") == [1, 2]
    assert await until(lambda: source.asked > 4)
    task = board._task
    assert task
    assert await until(task.done), "it stops when nobody looks"
    asked = source.asked
    assert front.column("lag, orders") == list(range(1, asked + 1))
    front.look()
    assert await until(lambda: source.asked > asked), "and begins again"
    board.close()
    assert await until(lambda: board._task and board._task.done())
    asked = source.asked
    front.look()
    assert front.last["closed"]
    assert board._task
    assert board._task.done()
    assert source.asked == asked


async def test_a_number_that_comes_later_has_its_place() -> None:
    async def read() -> Mapping[str, float]:
        return {"a": 1} if len(board.readings) < 2 else {"b": math.inf, "a": 2}

    board = live.dashboard(read)
    front = Front(board)
    await board.until(lambda numbers: "b" in numbers)
    assert (front.column("a"), front.column("b")) == ([1, 1, 2], [None, None, None])


async def test_hostile_names_stay_text() -> None:
    board = live.dashboard(Source(HOSTILE), alerts={HOSTILE: 0}, title=HOSTILE)
    board.mark(HOSTILE)
    await board.until(lambda _: True)
    is_harmless(board.still)


async def test_it_is_the_view_of_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("natsdemo.live.audience.display", lambda data, **_: shown.append(data))
    board = live.dashboard(Source())

    async def act() -> None:
        board.mark("pressed")

    panel = live.panel(live.button("press", then=act), view=board)
    await panel.press("press")
    await board.until(lambda _: True)
    monkeypatch.setenv("NATSDEMO_HEADLESS", "1")
    panel._ipython_display_()
    board._ipython_display_()
    assert [sorted(data) for data in shown] == [["image/png", "text/html", "text/plain"]] * 2
    assert board.still.alt in shown[0]["text/plain"]
    monkeypatch.delenv("NATSDEMO_HEADLESS")
    panel._ipython_display_()
    assert panel._widget.children[-1] is board.widget()
    assert list(shown[-1]) == ["application/vnd.jupyter.widget-view+json"]


# The vital signs


def passed(history: History, ago: float, text: bytes, *, to_client: bool = False, fate: str = "forwarded") -> None:
    """`ago` is counted from when the test began, so that it may take its time."""
    assert history._record.began
    direction = TO_CLIENT if to_client else TO_SERVER
    conn = 2 if to_client else 1
    history.feed(pack(history._record.began + 10 - ago, text, conn=conn, direction=direction, fate=fate))


def begun() -> History:
    history = History()
    history.feed(pack(time.monotonic() - 10, b"PING\r\n", conn=1, direction=TO_SERVER))
    return history


def in_milliseconds(lateness: _Lateness) -> tuple[float, ...]:
    return tuple(round(seconds * 1e3) if seconds == seconds else seconds for seconds in lateness.percentiles())


def test_latency_counts_to_the_first_delivery_even_in_a_later_reading() -> None:
    lateness = _Lateness(history := begun())
    passed(history, 0.8, b"PUB a 1\r\nx\r\n")
    assert all(map(math.isnan, lateness.percentiles()))
    passed(history, 0.5, b"MSG a 1 1\r\nx\r\n", to_client=True)
    passed(history, 0.2, b"MSG a 1 1\r\nx\r\n", to_client=True)
    assert in_milliseconds(lateness) == (300, 300)


def test_a_message_is_known_by_its_first_header_or_by_a_payload_of_its_own() -> None:
    lateness = _Lateness(history := begun())
    stamped = b"HPUB a 30 31\r\nNATS/1.0\r\nNatsdemo-Id: p-%d\r\n\r\nx\r\n"
    for n, late in ((1, 0.4), (2, 0.3)):
        passed(history, 0.5, stamped % n)
        passed(history, 0.5 - late, stamped.replace(b"HPUB a", b"HMSG a 1") % n, to_client=True)
    for text in (b"y", b"y", b""):  # twice the same, and nothing at all
        passed(history, 0.5, b"PUB a %d\r\n%s\r\n" % (len(text), text))
        passed(history, 0.5, b"MSG a 1 %d\r\n%s\r\n" % (len(text), text), to_client=True)
    passed(history, 0.5, b"PUB $JS.API.INFO 1\r\nz\r\n")
    passed(history, 0.5, b"MSG a 1 1\r\nz\r\n", to_client=True)
    assert in_milliseconds(lateness) == (300, 400)


def test_what_is_published_again_while_it_is_awaited_is_not_judged() -> None:
    lateness = _Lateness(history := begun())
    passed(history, 0.8, b"PUB a 1\r\nx\r\n")
    lateness.percentiles()
    passed(history, 0.5, b"PUB a 1\r\nx\r\n")
    lateness.percentiles()
    passed(history, 0.4, b"MSG a 1 1\r\nx\r\n", to_client=True)
    assert all(map(math.isnan, lateness.percentiles()))


def test_what_was_lost_was_not_delivered() -> None:
    lateness = _Lateness(history := begun())
    passed(history, 0.8, b"PUB a 1\r\nx\r\n")
    passed(history, 0.5, b"MSG a 1 1\r\nx\r\n", to_client=True, fate="dropped")
    assert all(map(math.isnan, lateness.percentiles()))


def test_what_passed_while_nobody_read_is_not_looked_at() -> None:
    lateness = _Lateness(history := begun())
    passed(history, 9, b"PUB a 1\r\nx\r\n")
    passed(history, 0.5, b"MSG a 1 1\r\nx\r\n", to_client=True)
    assert all(map(math.isnan, lateness.percentiles()))


def test_a_sample_of_much_traffic_is_small_and_right() -> None:
    lateness = _Lateness(history := begun())
    for n in range(0, 10_000, 100):
        batch = range(n, n + 100)
        passed(history, 0.5, b"".join(b"PUB a 6\r\n%06d\r\n" % each for each in batch))
        passed(history, 0.4, b"".join(b"MSG a 1 6\r\n%06d\r\n" % each for each in batch), to_client=True)
    assert in_milliseconds(lateness) == (100, 100)
    assert 50 < len(lateness._took) <= 300


async def test_the_vitals_of_a_server(connect: Connect) -> None:
    lab = await open_lab()
    alice, bob = await connect(lab.url, name="alice"), await connect(lab.url, name="bob")
    await bob.subscribe("hello")
    await barrier(bob)
    js = alice.jetstream()
    await js.add_stream(name="ORDERS", subjects=["orders"])
    crew = await bob.jetstream().pull_subscribe("orders", "crew")
    board = live.dashboard(live.vitals(lab.server, lab.history))
    await board.until(lambda numbers: numbers["messages in, a second"] == 0)
    for n in range(5):
        await js.publish("orders", b"order %d" % n)
        await alice.publish("hello", b"hello %d" % n)
    (first, *_) = await crew.fetch(2)
    assert await board.until(lambda numbers: numbers["lag, messages"] == 3 and numbers["not acked, messages"] == 2)
    numbers = board.readings[-1].numbers
    assert (numbers["connections"], numbers["slow consumers"]) == (2, 0)
    assert numbers["messages in, a second"] >= 10
    assert numbers["messages out, a second"] >= 7
    assert 0 < numbers["latency p50, ms"] <= numbers["latency p99, ms"] < 5000
    await first.ack()
    assert await board.until(lambda numbers: numbers["not acked, messages"] == 1)
    assert await board.until(lambda numbers: math.isnan(numbers["latency p50, ms"])), "the last second had none"
    assert isinstance(lab.server, Server)
    await lab.server.restart()
    assert await board.until(lambda numbers: numbers["messages in, a second"] == 0)
    assert all(reading.numbers.get("messages in, a second", 0) >= 0 for reading in board.readings)
    await lab.close()


class Page:
    """A server of a cluster, as its pages tell."""

    def __init__(self, name: str, leader: str) -> None:
        self.name, self.leader = name, leader

    async def monitor(self, path: str) -> dict[str, Any]:
        if path == "varz":
            counts = {"in_msgs": 1, "out_msgs": 2, "slow_consumers": 3, "connections": 4}
            return {"server_name": self.name, **counts}
        consumer = {"num_pending": 5, "num_ack_pending": 6, "cluster": {"leader": self.leader}}
        return {"account_details": [{"stream_detail": [{"consumer_detail": [consumer]}, {}]}, {}]}


async def test_a_clusters_vitals_are_added_up_and_replicas_count_once() -> None:
    numbers = await live.vitals({name: Page(name, "n2") for name in ("n1", "n2", "n3")}, begun())()
    assert (numbers["connections"], numbers["slow consumers"]) == (12, 9)
    assert (numbers["lag, messages"], numbers["not acked, messages"]) == (5, 6)
    assert numbers["messages in, a second"] == 0
    assert math.isnan(numbers["latency p99, ms"])


async def test_two_who_wait_read_no_more_often_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.1)
    board = live.dashboard(source := Source())
    await asyncio.gather(*(board.until(lambda _: False, deadline=0.25) for _ in range(4)))
    assert source.asked <= 8
