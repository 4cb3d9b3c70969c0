"""The journeys are tested by their steps, their words, their table and their pixels."""

import html
import json
import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import is_a_card_of_its_own

from natsdemo.figures import journeys
from natsdemo.figures.journeys import Journey, follow
from natsdemo.figures.reading import read
from natsdemo.history import History, pack
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode
from natsdemo.testing import story

ENDS = ("*.sent.*",)


def followed(history: History, by: int | str = 3, ends: tuple[str, ...] = ENDS) -> list[Journey]:
    return follow(history, read(history), by, 2, ends)[0]


def told(history: History) -> list[str]:
    return [f"{each.id}: {', '.join(map(str, each.steps))}; {each.end}" for each in followed(history)]


def unstamped(text: str) -> History:
    return story(text, stamped=False)


SHOP = unstamped(
    "c:pub1>x.placed.1 p:got1<c c:pub2>x.placed.2 p:got2<c p:pub1>x.paid.1 s:got1<p p:bye c:pub3>x.placed.3 "
    "s:pub1>x.sent.1 c:got1<s p:connect c:pub4>x.placed.2 p:got4<c c:pub5>nowhere"
)


def test_what_carries_an_id_stands_in_one_row_whoever_published_it() -> None:
    assert told(SHOP) == [
        "1: placed, paid, sent; ended",
        "2: placed, placed; no end",
        "3: placed (heard by nobody); no end",
    ]


def test_the_id_may_be_a_header() -> None:
    history = story("a:pub1>x b:got1 a:pub2>y a:pub1>z")
    journeys_found, _ = follow(history, read(history), "Natsdemo-Id")
    assert [(each.id, [step.what for step in each.steps]) for each in journeys_found] == [
        ("a-1", ["x", "z"]),
        ("a-2", ["y"]),
    ]
    assert journeys(history, by="Order").caption == "Nothing passed but 3 messages without an id."


def test_what_happened_is_the_whole_subject_or_one_of_its_tokens() -> None:
    history = unstamped("a:pub1>x.placed.1 a:pub2>y.1")
    by_token, without = follow(history, read(history), 3, 2)
    assert [step.what for each in by_token for step in each.steps] == ["placed"]
    assert without == 1
    whole, _ = follow(history, read(history), 2, 3)
    assert [step.what for each in whole for step in each.steps] == ["1", "y.1"]


def test_only_who_says_what_an_end_is_is_told_about_ends() -> None:
    assert [each.end for each in followed(SHOP, ends=())] == ["", "", ""]
    assert journeys(SHOP, by=3).caption == "3 journeys, 1 message without an id."
    assert journeys(SHOP, by=3, ends=ENDS).caption == "3 journeys, 1 ended, 2 without an end, 1 message without an id."


def test_a_message_that_was_lost_ends_nothing() -> None:
    assert told(unstamped("a:pub1>x.sent.1!dropped")) == ["1: sent (lost); no end"]
    assert told(unstamped("a:pub1>x.sent.1 b:got1!dropped")) == ["1: sent (lost); ended"]


def test_a_copy_on_the_wire_is_no_second_message() -> None:
    history = unstamped("a:pub1>x.paid.1 b:got1 b:got1!duplicated")
    assert told(history) == ["1: paid (delivered 2 times); no end"]
    assert "×" not in followed(history)[0].repeated


def test_what_was_published_again_is_counted() -> None:
    history = unstamped("a:pub1>x.paid.1 a:pub2>x.paid.1 a:pub3>x.sent.1")
    assert followed(history)[0].repeated == "paid ×2"


def test_messages_that_look_the_same_are_heard_one_by_one() -> None:
    both = "a:pub1>x.sent.1=same a:pub2>x.sent.1=same"
    assert told(unstamped(f"{both} b:got1 b:got2")) == ["1: sent, sent; ended"]
    assert told(unstamped(f"{both} b:got1")) == ["1: sent, sent (heard by nobody); ended"]
    assert told(unstamped(f"b:sub>x.sent.* c:sub>x.sent.* {both} b:got1 c:got1 b:got2 c:got2")) == [
        "1: sent, sent; ended"
    ]


def test_what_is_said_again_after_a_loss_is_heard() -> None:
    again = "a:pub1>x.sent.1=same!dropped a:pub2>x.sent.1=same b:got2"
    assert told(unstamped(again)) == ["1: sent (lost), sent; ended"]


def test_who_comes_later_has_not_heard_what_was_before() -> None:
    history = unstamped("a:pub1>x.sent.1=same b:sub>x.sent.* a:pub2>x.sent.1=same b:got2")
    assert told(history) == ["1: sent (heard by nobody), sent; ended"]


def test_a_queue_group_hears_as_one() -> None:
    both = "a:pub1>x.sent.1=same a:pub2>x.sent.1=same"
    history = unstamped(f"b:sub/g>x.sent.* c:sub/g>x.sent.* {both} b:got1/g c:got2/g")
    assert told(history) == ["1: sent, sent; ended"]


def test_requests_are_messages_and_replies_are_not() -> None:
    assert told(unstamped("a:jspub1>x.paid.1 a:reply1=yes")) == ["1: paid (heard by nobody); no end"]


@pytest.mark.parametrize("tokens", [{"by": 0}, {"by": 3, "what": 0}, {"by": -1}])
def test_tokens_are_counted_from_one(tokens: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        journeys(SHOP, **tokens)  # type: ignore[arg-type]


def test_the_alternative_text_tells_the_rows_and_who_was_gone() -> None:
    alt = journeys(SHOP, by=3, what=2, ends=ENDS).alt
    assert alt.startswith("Journeys by token 3 of the subject: 3 journeys, 1 ended, 2 without an end, 1 message")
    assert "1: placed, paid, sent; ended. 2: placed, placed; no end." in alt
    assert re.search(r"p is gone from 0\.\d{4} s\.", alt)
    assert "Fault <b>$x armed from" in journeys(shouted("a", "x.sent.1", "7"), by=3).alt


def test_a_table_has_the_same_rows() -> None:
    picture = journeys(SHOP, by=3, what=2, ends=ENDS)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", picture.table)]
    assert [(row[0], row[1], row[5]) for row in rows] == [
        ("1", "3", "ended"),
        ("2", "2", "no end"),
        ("3", "1", "no end"),
    ]


def test_of_many_those_without_an_end_are_drawn_and_the_rest_is_counted() -> None:
    words = [f"a:pub{n}>x.{'placed' if n == 100 else 'sent'}.{n}" for n in range(1, 101)]
    picture = journeys(unstamped(" ".join(words)), by=3, what=2, ends=ENDS)
    assert picture.caption == "100 journeys, 99 ended, 1 without an end."
    assert "And 92 more journeys." in picture.alt
    assert picture.height < 1400
    assert journeys(unstamped(" ".join(words[:20])), by=3, what=2).height < picture.height


def test_a_seventh_kind_and_its_like_share_a_mark() -> None:
    words = [f"a:pub{n}>x.kind{n}.1" for n in range(1, 10)]
    assert journeys(unstamped(" ".join(words)), by=3, what=2).png != journeys(unstamped(words[0]), by=3, what=2).png


@pytest.mark.parametrize("dark", [False, True])
def test_the_picture_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = journeys(SHOP, by=3, what=2, ends=ENDS, dark=dark)
    is_a_card_of_its_own(picture, dark)


def test_nothing_makes_a_picture_too() -> None:
    assert journeys(History(), by=3).caption == "Nothing passed."


def shouted(name: str, subject: str, header: str) -> History:
    history = History()
    history.add(0.0, "client", "connected", conn=1)
    connect = Frame("CONNECT", payload=json.dumps({"name": name}).encode())
    history.feed(pack(0.0, encode(connect), conn=1, direction=TO_SERVER))
    for time in (0.1, 0.2):
        headers = (("Order", header),)
        history.feed(
            pack(time, encode(Frame("HPUB", subject, headers=headers, payload=b"")), conn=1, direction=TO_SERVER)
        )
        delivered = Frame("HMSG", subject, sid="1", headers=headers, payload=b"")
        history.feed(pack(time + 0.01, encode(delivered), conn=1, direction=TO_CLIENT, fate="duplicated"))
        history.add(time + 0.02, "client", "disconnected", conn=1)
    history.add(0.3, "fault", "armed: <b>$x")
    return history


def test_hostile_text_is_escaped_and_never_interpreted() -> None:
    hostile = "<script>alert('x')</script>$\\frac{1}{2}$世界"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for by in (1, "Order"):
            picture = journeys(shouted(hostile * 9, hostile, hostile * 9), by=by)
            assert "<script" not in picture._repr_html_()
            assert html.escape(picture.alt) in picture._repr_html_()
            assert len(picture.alt) < 4000


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.text(max_size=40),
    subject=st.text("ab.*<$&é世\u202e", min_size=1, max_size=30),
    header=st.text("ab<$\u202e世", max_size=30),
)
def test_any_text_makes_a_picture(name: str, subject: str, header: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = shouted(name.encode("utf-8", "replace").decode(), subject, header)
        journeys(history, by=1)._repr_html_().encode()
        journeys(history, by="Order", what=1, ends=(subject,))._repr_html_().encode()
