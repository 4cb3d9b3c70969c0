"""The flow view without a browser: what a scene counts, where it puts things, its still, and what a browser is told."""

import json
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless

from natsdemo import figures, live
from natsdemo.figures import scene as scenes
from natsdemo.figures.flow import stage
from natsdemo.figures.reading import LOST, read
from natsdemo.figures.scene import Scene
from natsdemo.history import History, pack
from natsdemo.lesson import until
from natsdemo.protocol import TO_SERVER, Frame, encode
from natsdemo.testing import story

COUNTED = ("message", "request", "reply")

WORDS = st.sampled_from(
    ["a:pub1", "a:pub2", "b:pub1", "a:pub3>other", "a:jspub4", "a:puback4@1", "a:pub5!dropped", "c:got1", "d:got1",
     "c:got2!dropped", "c:got3>other", "d:got2/crew", "c:jsgot4@1", "c:jsgot4@1*2", "a:ping", "c:reply1=yes"]
)  # fmt: skip


def told(words: list[str]) -> History:
    """A story of those words that make sense where they stand."""
    kept: list[str] = []
    for word in words:
        try:
            story(" ".join([*kept, word]))
        except ValueError:
            continue
        kept.append(word)
    return story(" ".join(kept))


def counted(history: History) -> tuple[int, int, int]:
    """Published, delivered and lost, as the pictures' reader counts them."""
    passages = [p for p in read(history).passages if p.role in COUNTED]
    return (
        sum(p.to_server for p in passages),
        sum(not p.to_server and p.fate not in LOST for p in passages),
        sum(p.fate in LOST for p in passages),
    )


@settings(max_examples=60, deadline=None)
@given(words=st.lists(WORDS, max_size=25), cut=st.integers(1, 9), few=st.sampled_from([0, 4, 60]))
def test_it_counts_as_the_pictures_do_however_it_is_read(words: list[str], cut: int, few: int) -> None:
    history = told(words)
    scene = Scene()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "_FEW", few)
        for begin in range(0, len(history), cut):
            scene.read([history[begin : begin + cut]])
    assert (scene.published, scene.delivered, scene.lost) == counted(history)
    assert sum(scene.moves[2::3]) == sum(scene.counts)
    assert sum(scene.sent(at) for at in range(len(scene.places))) == scene.published
    assert sum(scene.got(at) for at in range(len(scene.places))) == scene.delivered


def scene_of(history: History) -> Scene:
    scene = Scene()
    scene.read([history])
    return scene


def test_who_only_publishes_stands_left_and_groups_stand_together() -> None:
    scene = scene_of(story("a:pub1 b:sub c:sub/crew d:sub e:sub/crew b:got1 c:got1 d:got1"))
    assert {place.name: place.side for place in scene.places} == {
        "a": "left",
        "b": "right",
        "c": "right",
        "d": "right",
        "e": "right",
    }
    plan = stage(scene)
    assert [name for name, _, _ in plan.groups] == ["group crew"]
    tops = {place.name: plan.places[at][1] for at, place in enumerate(scene.places)}
    assert sorted(tops, key=tops.__getitem__)[-2:] == ["c", "e"]


def test_who_had_subscribed_before_stands_right_and_in_its_group() -> None:
    history = story("b:sub/crew c:sub/crew a:pub1 b:got1 a:pub2 c:got2")
    begin = next(event.number for event in history.publishes)
    scene = Scene()
    scene.recall(history[:begin])
    scene.read([history[begin:]])
    assert [(place.name, place.side, place.group) for place in scene.places] == [
        ("a", "left", ""),
        ("b", "right", "crew on orders"),
        ("c", "right", "crew on orders"),
    ]


def test_a_stream_is_filled_and_each_consumer_has_its_place() -> None:
    words = "a:jspub1 a:puback1@1 a:jspub2 a:puback2@2 a:jspub3 a:puback3@3 c:jsgot1@1 c:jsgot2@2"
    scene = scene_of(story(words))
    (lane,) = scene.stored
    assert scene.lanes[lane] == scenes.Lane("ORDERS", "stream")
    assert scene.stored[lane] == 3
    assert scene.positions[lane] == {"c": (2, 0)}
    assert "Stream ORDERS is at 3; consumer c is at 2." in figures.flow(story(words)).alt


def test_subjects_that_differ_by_a_number_share_a_lane() -> None:
    scene = scene_of(story("a:pub1>orders.1.paid a:pub2>orders.22.paid a:pub3>orders.x1.paid"))
    assert scene.lane_names() == ["orders.*.paid", "orders.x1.paid"]


def test_a_redelivery_comes_with_its_count() -> None:
    scene = scene_of(story("a:jspub1 a:puback1@1 c:jsgot1@1 c:jsgot1@1*2"))
    assert [route.times for route in scene.routes if route.kind == "message" and not route.to_server] == [0, 2]


def test_a_delivery_has_the_colour_of_its_publisher_where_that_is_known() -> None:
    scene = scene_of(story("a:pub1 b:pub2 c:got1 c:got2"))
    names = [scene.places[route.publisher].name for route in scene.routes if not route.to_server]
    assert names == ["a", "b"]


def test_an_armed_fault_shades_the_links_that_it_may_strike() -> None:
    history = story("a:pub1 b:got1 c:got1")
    history.add(1.0, "fault", "armed: drop MSG client=b nth=3")
    scene = scene_of(history)
    assert [scene.places[at].name for at in scene.struck()] == ["b"]
    history.add(2.0, "fault", "healed: drop MSG client=b nth=3 (0 hits)")
    assert scene_of(history).struck() == set()


def test_what_is_done_to_a_server_is_seen() -> None:
    history = story("a:pub1 b:got1")
    history.add(1.0, "server", "killed", node="n1")
    assert scene_of(history).node_names() == ["n1 (stopped)", "nats-server"]


def test_that_nobody_listens_is_no_reply() -> None:
    scene = scene_of(story("a:jspub1 a:none1"))
    assert (scene.published, scene.delivered) == (1, 0)


def test_a_thousand_clients_share_the_last_place() -> None:
    scene = scene_of(story("a:pub1 " + " ".join(f"c{n}:got1" for n in range(1000))))
    assert len(scene.places) == 9
    assert "993 more clients" in scene.names()
    assert scene.delivered == 1000
    plan = stage(scene)
    assert all(bottom <= plan.floor for _, _, _, bottom in plan.places)


def test_who_changes_sides_leaves_room_for_who_comes_later() -> None:
    crowd = " ".join(f"c{n}:sub?" for n in range(1, 8))  # seven on the right; an eighth comes from the left
    scene = scene_of(story(f"{crowd} x:pub1 x:sub? d:sub? e:sub?"))
    assert [place.side for place in scene.places] == ["right"] * 8
    assert scene.names()[-1] == "3 more clients"


async def test_a_browser_that_was_away_lacks_nothing_when_it_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("natsdemo.live.flow"), "_DEAF", 0.0)
    history = story("a:pub1 b:got1")
    view = live.flow(history)
    front = Front(view)
    view._asked(None, {"have": 0}, None)
    assert await until(lambda: view._task is None)
    history.feed(pack(2.0, encode(Frame("PUB", "orders", payload=b"late")), conn=1, direction=TO_SERVER))
    view._asked(None, {"have": len(front.moves) // 12}, None)
    assert front.published == 2
    view.close()


def test_its_still_is_a_picture_like_the_others() -> None:
    for dark in (False, True):
        picture = figures.flow(story("a:pub1 a:pub2!dropped b:sub/crew c:sub/crew b:got1"), dark=dark)
        is_a_card_of_its_own(picture, dark=dark)
        assert "2 published, 1 delivered, 1 lost" in picture.alt
    assert "Nothing passed" in figures.flow(History()).alt


def test_hostile_names_stay_text() -> None:
    connect = Frame("CONNECT", payload=json.dumps({"name": HOSTILE}).encode("utf-8", "surrogatepass"))
    publish = Frame("PUB", subject="<img/src=x>", payload=b"x")
    history = History()
    for frame in (connect, publish):
        history.feed(pack(1.0, encode(frame), conn=1, direction=TO_SERVER))
    history.add(1.0, "fault", f"armed: {HOSTILE}")
    picture = figures.flow(history)
    assert "&lt;img/src" in picture.table
    is_harmless(picture)


class Front:
    """What a browser would get."""

    def __init__(self, view: live.Flow) -> None:
        self.view, self.page, self.moves = view, {}, bytearray()  # type: tuple[live.Flow, dict[str, Any], bytearray]
        self.sent: list[dict[str, Any]] = []
        view.widget().send = self.take

    def take(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        json.dumps(message)
        self.sent.append(message)
        self.page = message.get("page", self.page)
        assert len(self.moves) == 12 * message["from"]
        self.moves += buffers[0]

    @property
    def published(self) -> int:
        triples = memoryview(self.moves).cast("I")
        routes = self.page["routes"]
        return sum(
            triples[at + 2]
            for at in range(0, len(triples), 3)
            if routes[triples[at + 1]][0] in COUNTED and routes[triples[at + 1]][2]
        )


async def test_a_browser_is_told_all_that_has_passed_and_then_what_comes() -> None:
    history = story("a:pub1 b:got1")
    view = live.flow(history)
    front = Front(view)
    view._asked(None, {"have": 0}, None)
    assert front.published == 1
    more = story("a:pub1 a:pub2 a:pub3")
    for event in more.publishes:
        assert event.frame
        history.feed(pack(2.0, event.frame.raw, conn=1, direction=TO_SERVER))
    assert await until(lambda: front.published == 4)
    assert view.still.alt.startswith("Flow: 4 published")
    view.close()


async def test_a_part_of_a_history_can_be_looked_at_too() -> None:
    view = live.flow(story("a:pub1 b:got1 a:pub2 b:got2")[:4])
    front = Front(view)
    view._asked(None, {"have": 0}, None)
    view._asked(None, {"have": len(front.moves) // 12}, None)
    assert "now" not in front.sent[-1]


async def test_without_a_front_end_it_is_its_still(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("natsdemo.live.audience.display", lambda data, **_: shown.append(data))
    monkeypatch.setenv("NATSDEMO_HEADLESS", "1")
    live.flow(story("a:pub1 b:got1"))._ipython_display_()
    assert [sorted(data) for data in shown] == [["image/png", "text/html", "text/plain"]]
    monkeypatch.delenv("NATSDEMO_HEADLESS")
    live.flow(story("a:pub1 b:got1"))._ipython_display_()
    assert "natsdemo-still" in shown[1]["text/html"]
    assert list(shown[2]) == ["application/vnd.jupyter.widget-view+json"]
