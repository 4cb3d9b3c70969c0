"""Hand-written histories, a slow oracle, laws, and a real server behind a byte forwarder that records."""

import asyncio
import contextlib
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from types import SimpleNamespace
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from natsdemo.guarantees import (
    HOLDS,
    UNKNOWN,
    VIOLATED,
    Report,
    Verdict,
    at_least_once,
    at_most_once,
    exactly_once,
    in_order,
    judge,
    no_duplicates,
    no_loss,
)
from natsdemo.history import History, pack
from natsdemo.messages import stamp
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, Scanner, encode
from natsdemo.server import Server
from natsdemo.testing import story

JS = "a:jspub1 a:puback1@1 a:jspub2 a:puback2@2 a:jspub3 a:puback3@3"


patient = settings(deadline=None)  # a loaded machine is no fault of ours


def sent(history: History, **options: Any) -> dict[str, int]:
    """The counts that are not zero."""
    return {name: count for name, count in judge(history, **options)["no_loss"].counts._asdict().items() if count}


# Hand-written histories

NO_LOSS = {
    # nothing, and nothing to judge
    "": UNKNOWN,
    "a:pub1": UNKNOWN,
    "b:sub": UNKNOWN,
    "a:pub1 b:sub": UNKNOWN,
    # sane
    "a:pub1 a:pub2 b:got1 b:got2": HOLDS,
    "a:pub1 b:got1 a:pub2 b:got2 b:unsub a:pub3": HOLDS,
    "a:pub1 c:pub1 b:got1<c b:got1<a": HOLDS,
    "a:pub1 b:got1 c:got1": HOLDS,
    # head, hole, tail, all
    "b:sub a:pub1 a:pub2 b:got2": VIOLATED,
    "b:sub a:pub1 a:pub2 a:pub3 b:got1 b:got3": VIOLATED,
    "b:sub a:pub1 a:pub2 b:got1": VIOLATED,
    "b:sub a:pub1": VIOLATED,
    "b:sub c:sub a:pub1 b:got1": VIOLATED,
    # a frame that the Tap kept, and what it made itself
    "b:sub a:pub1!dropped a:pub2 b:got2": VIOLATED,
    "b:sub a:pub1 b:got1!dropped": VIOLATED,
    "b:sub a:pub1 b:got1!cut": VIOLATED,
    "b:sub a:pub1!duplicated": UNKNOWN,
    "b:sub?!dropped b:ping b:pong a:pub1": VIOLATED,
    # between SUB and its PONG nobody knows, unless it came
    "b:sub? a:pub1": UNKNOWN,
    "b:sub? a:pub1 b:got1": HOLDS,
    "b:sub? b:ping a:pub1 b:pong": UNKNOWN,
    "b:sub? b:ping b:pong a:pub1": VIOLATED,
    "b:ping b:sub? b:pong a:pub1": UNKNOWN,  # nats-py's flush does this
    "b:ping b:sub? b:pong b:ping b:pong a:pub1": VIOLATED,
    "b:ping b:sub? b:ping b:pong a:pub1": UNKNOWN,  # the first PONG answers the first PING
    "b:sub? b:ping!dropped b:pong a:pub1": UNKNOWN,
    "b:sub? b:ping b:pong!duplicated a:pub1": UNKNOWN,
    # one connection is read in order
    "a:sub? a:pub1": VIOLATED,
    "a:sub? a:pub1 a:got1": HOLDS,
    "a:pub1 a:sub? a:pub2 a:got2": HOLDS,
    "a:sub? a:pub1 a:unsub": VIOLATED,
    "a:connect=quiet a:sub? a:pub1": UNKNOWN,
    "a:connect=quiet a:sub b:sub a:pub1 b:got1": HOLDS,
    # the end of a subscription
    "b:sub b:unsub a:pub1": UNKNOWN,
    "b:sub a:pub1 b:unsub": UNKNOWN,
    "b:sub a:pub1 a:pub2 b:got2 b:unsub": VIOLATED,
    "b:sub a:pub1 a:ping a:pong b:unsub": VIOLATED,
    "b:sub a:ping a:pub1 a:pong b:unsub": UNKNOWN,
    "b:sub c:sub a:pub1 c:got1 b:unsub": VIOLATED,
    "b:sub a:pub1 b:unsub b:got1": HOLDS,
    "b:sub b:bye a:pub1": UNKNOWN,
    "b:sub a:pub1 b:bye": UNKNOWN,
    "b:sub a:pub1 b:got1!cut b:bye": VIOLATED,
    "b:sub a:pub1 b:got1 b:bye a:pub2 b:sub a:pub3 b:got3": HOLDS,
    "b:sub b:unsub2 a:pub1 a:pub2 a:pub3 b:got1 b:got2": HOLDS,
    "b:sub b:unsub2 a:pub1 a:pub2 a:pub3 b:got1": VIOLATED,
    "b:sub b:unsub2 a:pub1 a:pub2 a:pub3 b:got1 b:got3": VIOLATED,
    "b:sub a:pub1 a:pub2 b:got1 b:got2 b:unsub1 a:pub3": HOLDS,
    # queue groups
    "b:sub/q c:sub/q a:pub1 a:pub2 b:got1 c:got2": HOLDS,
    "b:sub/q c:sub/q a:pub1 a:pub2 c:got2": VIOLATED,
    "b:sub>orders.*/q c:sub>orders.eu/q a:pub1>orders.eu b:got1": HOLDS,
    "b:sub/q c:sub/r a:pub1 b:got1": VIOLATED,
    "b:sub/q c:sub?/q a:pub1": VIOLATED,
    "b:sub?/q c:sub?/q a:pub1": UNKNOWN,
    "b:sub/q c:sub/q b:bye a:pub1 c:got1": HOLDS,
    "b:sub/q c:sub/q b:unsub1 a:pub1 a:pub2 b:got1 c:got2": HOLDS,
    "b:sub/q b:unsub1/q a:pub1": VIOLATED,
    # wildcards and subjects of our own only
    "b:sub>orders.* a:pub1>orders.eu b:got1": HOLDS,
    "b:sub>orders.* a:pub1>orders.eu.x": UNKNOWN,
    "b:sub>> a:pub1>_INBOX.x a:pub2>$SYS.x": UNKNOWN,
    # what was refused is owed to nobody
    "b:sub a:pub1 a:refused": UNKNOWN,
    "b:sub a:pub1 a:pub2 a:refused b:got2": HOLDS,
    "b:sub? b:ping b:refusedsub b:pong a:pub1": UNKNOWN,
    # links that could not be read
    "b:sub a:pub1 b:got1 c:opaque": UNKNOWN,
    "b:sub a:pub1 b:opaque": UNKNOWN,
    "b:sub c:opaque a:pub1": VIOLATED,
    "b:sub c:opaque!cut a:pub1 b:got1": HOLDS,
    # JetStream
    f"{JS} b:jsgot1@1 b:jsgot2@2 b:jsgot3@3": HOLDS,
    f"{JS} b:jsgot1@1 b:jsgot3@3": VIOLATED,
    f"{JS} b:jsgot2@2 b:jsgot3@3": VIOLATED,
    f"{JS} b:jsgot1@1 b:jsgot2@2": UNKNOWN,  # it waits in the stream
    f"{JS} b:jsgot1@1 b:jsgot2@2 b:pull b:empty": VIOLATED,  # it does not
    f"b:pull {JS} b:jsgot1@1 b:pull b:jsgot2@2": UNKNOWN,
    f"{JS} b:jsgot1@1 b:jsgot2@2 b:jsgot3@3!dropped": VIOLATED,
    f"{JS} b:jsgot1@1 b:jsgot2@2!dropped b:jsgot3@3 b:jsgot2@2*2": HOLDS,
    f"b:consumer? {JS} b:jsgot1@1 b:jsgot3@3": VIOLATED,  # it wants this subject: it got it
    f"b:consumer? {JS} b:jsgot2@2 b:jsgot3@3": UNKNOWN,
    f"{JS} b:consumer=new a:jspub4 a:puback4@4 b:jsgot4@4": HOLDS,
    f"b:consumer=new {JS} b:jsgot2@2 b:jsgot3@3": VIOLATED,
    f"{JS} b:consumer=last b:jsgot3@3": HOLDS,
    f"{JS} b:consumer=last_per_subject b:jsgot3@3": HOLDS,
    "b:consumer>orders.eu a:jspub1>orders.us a:puback1@1 a:jspub2>orders.eu a:puback2@2 b:jsgot2@2": HOLDS,
    "b:consumer a:jspub1 a:none1 a:jspub2 a:puback2@1 b:jsgot2@1": HOLDS,
    "b:consumer a:jspub1 a:puback1@1 a:jspub2 b:jsgot1@1": HOLDS,  # nobody promised the second
    "b:consumer a:jspub1 a:puback1@1!dropped a:jspub2 a:puback2@2 b:jsgot2@2": HOLDS,
    # the PubAck may come later than the delivery; a stream may reuse a sequence that it lost
    "a:jspub1 b:jsgot1@1 a:puback1@1": HOLDS,
    "b:consumer a:jspub1 a:puback1@1 a:jspub2 a:puback2@1 b:jsgot2@1": VIOLATED,
    # a subscription beside a stream is owed what was published, stored or not
    "b:sub a:jspub1 a:puberr1": VIOLATED,
}


@pytest.mark.parametrize(("told", "outcome"), NO_LOSS.items(), ids=NO_LOSS)
def test_no_loss(told: str, outcome: object) -> None:
    assert no_loss(story(told)).outcome is outcome


NO_DUPLICATES = {
    "": UNKNOWN,
    "a:pub1": UNKNOWN,
    "a:pub1 b:got1": HOLDS,
    "b:sub a:pub1": HOLDS,  # lost, but not twice
    "a:pub1 b:got1 b:got1": VIOLATED,
    "a:pub1 b:got1 b:got1!duplicated": VIOLATED,
    "a:pub1 b:got1 b:got1!dropped": HOLDS,
    "a:pub1 a:pub1!duplicated b:got1 b:got1": VIOLATED,
    "a:pub1 a:pub1 b:got1 b:got1": VIOLATED,  # a's own retry
    "a:pub1 a:pub1 b:got1": HOLDS,
    "a:pub1 b:got1 c:got1": HOLDS,
    "b:sub/q c:sub/q a:pub1 b:got1 c:got1": VIOLATED,
    "b:sub/q c:sub/r a:pub1 b:got1 c:got1": HOLDS,
    "a:pub1>orders b:got1 b:pub1>done=a": HOLDS,
    f"{JS} b:jsgot1@1 b:jsgot2@2": HOLDS,
    f"{JS} b:jsgot1@1 b:jsgot1@1*2": VIOLATED,
    f"{JS} b:jsgot1@1!dropped b:jsgot1@1*2": HOLDS,
    f"{JS} b:jsgot1@1 b:jsgot1@1": VIOLATED,
    f"{JS} b:jsgot1@1 c:jsgot1@1": HOLDS,  # two consumers
    f"{JS} b:jsgot1@1/w c:jsgot1@1/w": VIOLATED,
    "a:jspub1 a:puback1@1 a:jspub1 a:puback1@2 b:jsgot1@1 b:jsgot1@2": VIOLATED,  # stored twice
    "a:jspub1 a:puback1@1 a:jspub1 a:again1@1 b:jsgot1@1": HOLDS,
    "b:got1<nobody b:got1<nobody": VIOLATED,
    "b:jsgot1@1<nobody b:jsgot1@1<nobody": VIOLATED,
}


@pytest.mark.parametrize(("told", "outcome"), NO_DUPLICATES.items(), ids=NO_DUPLICATES)
def test_no_duplicates(told: str, outcome: object) -> None:
    assert no_duplicates(story(told)).outcome is outcome


IN_ORDER = {
    "": UNKNOWN,
    "a:pub1 a:pub2": UNKNOWN,
    "a:pub1 b:got1": UNKNOWN,  # one message has no order
    "a:pub1 a:pub2 b:got1 b:got2": HOLDS,
    "a:pub1 a:pub2 b:got2 b:got1": VIOLATED,
    "a:pub1 a:pub2 a:pub3 b:got1 b:got3": HOLDS,
    "a:pub1 c:pub1 a:pub2 b:got1<c b:got1<a b:got2": HOLDS,  # two publishers have no common order
    "a:pub1 a:pub2 b:got2 b:got1!dropped": UNKNOWN,
    "a:pub1 a:pub2 b:got1 b:got2 b:got1": HOLDS,  # a duplicate is no inversion
    "a:pub2 a:pub1!reordered~2 b:got2 b:got1": VIOLATED,  # 1 came first
    "a:pub2 a:pub1 b:got2 b:got1": HOLDS,  # the numbers are only names
    "b:sub/q c:sub/q a:pub1 a:pub2 a:pub3 c:got2 b:got1 c:got3": HOLDS,  # members have no common order
    "b:sub/q c:sub/q a:pub1 a:pub2 a:pub3 c:got3 b:got2 c:got1": VIOLATED,
    "a:pub1 a:pub2 a:pub1 b:got2 b:got1": HOLDS,  # either 1 may have come
    "a:jspub1 a:none1 a:pub2 a:pub3 a:pub1 b:got2 b:got3 b:got1": HOLDS,  # only the second 1 can have come
    "a:jspub1 a:none1 a:pub2 a:pub3 a:pub1 b:got1 b:got2 b:got3": VIOLATED,
    f"{JS} b:jsgot1@1 b:jsgot2@2 b:jsgot1@1*2": HOLDS,
    f"{JS} b:jsgot2@2 b:jsgot1@1": VIOLATED,
    f"{JS} b:jsgot2@2/w c:jsgot1@1/w b:jsgot3@3/w": HOLDS,
}


@pytest.mark.parametrize(("told", "outcome"), IN_ORDER.items(), ids=IN_ORDER)
def test_in_order(told: str, outcome: object) -> None:
    assert in_order(story(told)).outcome is outcome


COMPOSED = {  # at most, at least, exactly once
    "": (UNKNOWN, UNKNOWN, UNKNOWN),
    "a:pub1 b:got1": (HOLDS, HOLDS, HOLDS),
    "b:sub a:pub1 a:pub2 b:got2": (HOLDS, VIOLATED, VIOLATED),
    "a:pub1 b:got1 b:got1": (VIOLATED, HOLDS, VIOLATED),
    "b:sub a:pub1 a:pub2 b:got2 b:got2": (VIOLATED, VIOLATED, VIOLATED),
    "b:sub? a:pub1 a:pub2 b:got2": (HOLDS, UNKNOWN, UNKNOWN),
    "b:sub? a:pub1 a:pub2 b:got2 b:got2": (VIOLATED, UNKNOWN, VIOLATED),
    "a:pub1 b:got1 b:got1<nobody": (UNKNOWN, HOLDS, UNKNOWN),
    "b:got1<nobody": (UNKNOWN, UNKNOWN, UNKNOWN),
    f"{JS} b:jsgot1@1 b:jsgot2@2 b:jsgot3@3 b:jsgot3@3*2": (VIOLATED, HOLDS, VIOLATED),
}


@pytest.mark.parametrize(("told", "outcomes"), COMPOSED.items(), ids=COMPOSED)
def test_the_names_for_combinations(told: str, outcomes: tuple[object, ...]) -> None:
    history = story(told)
    assert tuple(law(history).outcome for law in (at_most_once, at_least_once, exactly_once)) == outcomes
    assert [verdict.outcome for verdict in judge(history)][3:] == list(outcomes)


def test_loss_is_split_by_place_for_each_publisher_and_unit() -> None:
    told = "b:sub c:sub a:pub1 a:pub2 a:pub3 a:pub4 a:pub5 d:pub1 b:got2 b:got4 c:got1<d"
    counts = judge(story(told))["no_loss"].counts
    assert (counts.owed, counts.delivered, counts.lost) == (12, 3, 9)
    assert (counts.lost_head, counts.lost_hole, counts.lost_tail) == (1, 1, 7)


def test_publishes_are_counted_by_their_outcome() -> None:
    told = "a:pub1 a:jspub2 a:puback2@1 a:jspub3 a:puberr3 a:jspub4 a:none4 a:jspub5 a:jspub6 a:reply6=yes"
    assert sent(story(told)) == {"attempted": 6, "acknowledged": 1, "failed": 2, "unknown": 1}


def test_recovered_is_what_came_though_nobody_promised_it() -> None:
    counts = sent(story("b:consumer a:jspub1 a:puberr1 a:jspub2 a:pub3 b:jsgot1@1 b:jsgot2@2 b:jsgot3@3"))
    assert counts["recovered"] == 3
    assert "recovered" not in sent(story("b:sub a:jspub1 b:got1"))


def test_redelivery_is_told_apart_from_duplication() -> None:
    verdict = no_duplicates(story(f"{JS} b:jsgot1@1 b:jsgot2@2!dropped b:jsgot1@1*2 b:jsgot1@1 b:jsgot2@2*2"))
    counts = verdict.counts
    assert (counts.repeated, counts.duplicated, counts.redelivered) == (2, 1, 2)
    assert "Of 2 repetitions, 1 came as JetStream's redeliveries" in verdict.sentence


def test_inversions_are_the_deliveries_that_come_too_late() -> None:
    assert sent(story("a:pub1 a:pub2 a:pub3 a:pub4 b:got4 b:got1 b:got2 b:got3"))["reordered"] == 3
    assert sent(story("a:pub1 a:pub2 a:pub3 a:pub4 b:got2 b:got1 b:got4 b:got3"))["reordered"] == 2


# Identity

LOOKS = {  # without stamps: no_loss, no_duplicates, in_order
    "b:sub a:pub1 a:pub2 b:got2": (VIOLATED, HOLDS, UNKNOWN),
    "a:pub1 a:pub2 b:got2 b:got1": (HOLDS, HOLDS, VIOLATED),
    "a:pub1 b:got1 b:got1": (HOLDS, VIOLATED, UNKNOWN),
    "a:pub1=x a:pub2=x b:got1 b:got2": (UNKNOWN, UNKNOWN, UNKNOWN),
    "b:sub a:pub1=x a:pub2=x": (UNKNOWN, UNKNOWN, UNKNOWN),
    "b:sub a:pub1=x a:pub2=x a:pub3 b:got1": (VIOLATED, UNKNOWN, UNKNOWN),
    "a:pub1=x c:pub1=x b:got1": (UNKNOWN, UNKNOWN, UNKNOWN),
    "b:sub>* a:pub1>x=1 a:pub2>y=1 b:got1 b:got2": (HOLDS, HOLDS, HOLDS),
    "a:pub1=x a:pub2>other=x b:got1": (HOLDS, HOLDS, UNKNOWN),
    "b:sub>y a:pub1>x=1 a:pub2>x=1 a:pub3>y b:got3": (HOLDS, HOLDS, UNKNOWN),  # nobody was owed the twins
    "a:pub1 b:got1 b:got2<nobody": (HOLDS, UNKNOWN, UNKNOWN),
    # in a stream the sequence tells
    "a:jspub1=x a:puback1@1 a:jspub2=x a:puback2@2 b:jsgot1@1 b:jsgot2@2": (HOLDS, HOLDS, HOLDS),
    "a:jspub1=x a:puback1@1 a:jspub2=x a:puback2@2 b:jsgot2@2": (VIOLATED, HOLDS, UNKNOWN),
    "a:jspub1=x a:puback1@1 a:jspub2=x a:puback2@2 b:jsgot2@2 b:jsgot2@2": (VIOLATED, VIOLATED, UNKNOWN),
    "b:jsgot1@1<nobody b:jsgot1@1<nobody": (UNKNOWN, VIOLATED, UNKNOWN),
    "b:consumer a:jspub1=x a:jspub2=x b:jsgot2@2": (UNKNOWN, UNKNOWN, UNKNOWN),
}


@pytest.mark.parametrize(("told", "outcomes"), LOOKS.items(), ids=LOOKS)
def test_without_stamps_messages_are_known_by_their_looks_if_these_are_unique(
    told: str, outcomes: tuple[object, ...]
) -> None:
    assert tuple(verdict.outcome for verdict in judge(story(told, stamped=False)))[:3] == outcomes


def test_who_cannot_be_told_apart_hears_how_to_help() -> None:
    verdict = no_loss(story("a:pub1=x a:pub2=x b:got1", stamped=False))
    assert "2 messages to orders look the same" in verdict.sentence
    assert "stamp them" in verdict.sentence


def test_a_stamp_survives_a_mapped_subject() -> None:
    assert no_loss(story("b:sub>there a:pub1>here b:got1>there")).outcome is HOLDS


@pytest.mark.parametrize("stamped", [True, False])
def test_what_arrived_together_and_was_swapped_has_changed_its_order(stamped: bool) -> None:
    """As the Tap records `reorder` when nats-py sends several messages in one piece."""
    history = story("b:sub a:pub9")
    for n, fate in (1, ""), (3, ""), (2, "reordered"), (5, ""), (4, "reordered"):
        headers = tuple(stamp("a", n).items()) if stamped else None
        frames = Frame("HPUB", "orders", headers=headers), Frame("HMSG", "orders", sid="1", headers=headers)
        for frame, conn, direction in (frames[0], 2, TO_SERVER), (frames[1], 1, TO_CLIENT):
            plain = frame if stamped else frame._replace(op=frame.op[1:], payload=b"%d" % n)
            data = pack(1.0 + conn / 1000, encode(plain), conn=3 - conn, direction=direction, fate=fate or "forwarded")
            history.feed(data)
    assert in_order(history).counts.reordered == 2


def test_what_was_held_up_and_let_go_together_has_kept_its_order() -> None:
    """The time of arrival is the difference of two rounded ones, and may be a microsecond wrong."""
    for micro in range(40):
        history = story("b:sub a:pub9 b:got9")
        came, left = 1.0 + micro * 1e-7, 1.05 + micro * 3.3e-7
        for n, now in (1, came), (2, left), (3, left):
            frames = Frame("PUB", "orders", payload=b"%d" % n), Frame("MSG", "orders", sid="1", payload=b"%d" % n)
            fate = "forwarded" if now == came else "delayed"
            data = pack(now, encode(frames[0]), conn=2, direction=TO_SERVER, fate=fate, held=now - came)
            history.feed(data + pack(now + 0.001, encode(frames[1]), conn=1, direction=TO_CLIENT))
        assert in_order(history).outcome is HOLDS


def test_a_message_that_is_passed_on_with_its_stamp_is_another_message() -> None:
    history = History()

    def passes(conn: int, direction: str, frame: Frame) -> None:
        history.feed(pack(len(history) / 1000, encode(frame), conn=conn, direction=direction))

    header = tuple(stamp("alice", 1).items())
    passes(2, TO_SERVER, Frame("SUB", ">", sid="1"))
    passes(2, TO_SERVER, Frame("PING"))
    passes(2, TO_CLIENT, Frame("PONG"))
    for conn, subject in (1, "orders"), (2, "done"):
        passes(conn, TO_SERVER, Frame("HPUB", subject, headers=header))
        passes(2, TO_CLIENT, Frame("HMSG", subject, sid="1", headers=header))
    assert [verdict.outcome for verdict in judge(history)][:2] == [HOLDS, HOLDS]


# Seen whole, and at rest?


def test_an_unsettled_run_is_unknown_but_what_was_seen_stays_seen() -> None:
    assert no_loss(story("b:sub a:pub1").up_to_now(settled=False)).outcome is UNKNOWN
    assert (
        "had not come to rest, and 1 message had not come yet"
        in no_loss(story("b:sub a:pub1").up_to_now(settled=False)).sentence
    )
    assert [verdict.outcome for verdict in judge(story("a:pub1 a:pub2 b:got1 b:got2").up_to_now(settled=False))] == [
        UNKNOWN
    ] * 6
    told = story("a:pub1 a:pub2 b:got2 b:got1 b:got1")
    assert [verdict.outcome for verdict in judge(told.up_to_now(settled=False))][1:4] == [VIOLATED] * 3
    assert exactly_once(told.up_to_now(settled=False)).outcome is VIOLATED


def test_a_run_that_was_not_recorded_whole_is_unknown() -> None:
    history = History(limit=400)
    for event in story("a:pub1 b:got1 b:got1"):
        if event.frame:
            data = pack(event.time, event.frame.raw, conn=event.conn, direction=event.direction)
            history.feed(data)
    assert history.unrecorded
    assert {verdict.outcome for verdict in judge(history)} == {UNKNOWN}
    assert f"{history.unrecorded} records" in no_loss(history).sentence


def test_a_slice_without_its_beginning_says_so() -> None:
    whole = story("b:sub a:pub1 a:pub2 b:got2")
    verdict = no_loss(whole[[event.subject for event in whole].index("orders") + 3 :])
    assert verdict.outcome is UNKNOWN
    assert "b had subscribed before the recording began" in verdict.sentence


def test_a_deleted_consumer_of_the_same_name_is_another() -> None:
    def with_request(subject: str) -> History:
        history = story(f"b:consumer? {JS} b:jsgot1@1 b:jsgot2@2 b:jsgot3@3")
        again = story(f"b:consumer? {JS} b:jsgot1@1 b:jsgot2@2 b:jsgot3@3").deliveries
        history.feed(pack(1.0, encode(Frame("PUB", subject, reply="_INBOX.x")), conn=1, direction=TO_SERVER))
        for event in again[-3:]:
            assert event.frame
            history.feed(pack(1.0 + event.time, event.frame.raw, conn=1, direction=TO_CLIENT))
        return history

    assert no_duplicates(with_request("$JS.API.CONSUMER.INFO.ORDERS.b")).outcome is VIOLATED
    assert no_duplicates(with_request("$JS.API.CONSUMER.DELETE.ORDERS.b")).outcome is HOLDS
    assert no_duplicates(with_request("$JS.API.CONSUMER.RESET.ORDERS.b")).outcome is HOLDS
    assert no_duplicates(with_request("$JS.API.STREAM.DELETE.ORDERS")).outcome is HOLDS


def test_what_was_purged_is_not_lost() -> None:
    history = story(f"b:consumer? {JS} a:pub9>$JS.API.STREAM.PURGE.ORDERS a:jspub4 a:puback4@4 b:jsgot1@1 b:jsgot4@4")
    assert no_loss(history).outcome is UNKNOWN


# Whose, and of what


def test_judging_one_client_or_one_subject() -> None:
    history = story("b:sub>> c:sub>> a:pub1>x a:pub2>y b:got2 c:got1 c:got2 c:got2")
    assert no_loss(history).outcome is VIOLATED
    assert no_loss(history, client="c").outcome is HOLDS
    assert no_loss(history, subject="y").outcome is HOLDS
    assert no_duplicates(history, client="b").outcome is HOLDS
    assert no_duplicates(history, subject="x").outcome is HOLDS
    assert no_loss(history, client="nobody").outcome is UNKNOWN
    assert no_loss(history, subject="z").outcome is UNKNOWN


def handled(history: History, *numbers: int, client: str = "b") -> list[Frame]:
    """What a callback was given, as numbers of deliveries to this client."""
    came = [event.frame for event in history.deliveries.where(client=client, subject="orders") if event.frame]
    return [came[number - 1] for number in numbers]


RECEIVED = [
    ("a:pub1 a:pub2 a:pub3 b:got1 b:got2 b:got3", (1, 2, 3), (HOLDS, HOLDS, HOLDS), {"handled": 3}),
    ("a:pub1 a:pub2 b:got1 b:got2", (1,), (VIOLATED, HOLDS, UNKNOWN), {"handled": 1, "dropped_in_client": 1}),
    ("a:pub1 a:pub2 b:got1 b:got2", (), (VIOLATED, HOLDS, UNKNOWN), {"dropped_in_client": 2}),
    ("a:pub1 a:pub2 b:got1 b:got2", (2, 1), (HOLDS, HOLDS, VIOLATED), {"reordered": 1}),
    ("a:pub1 a:pub2 b:got1 b:got2", (1, 2, 1), (HOLDS, VIOLATED, HOLDS), {"duplicated": 1}),
    ("a:pub1 a:pub2 b:got2 b:got1", (2, 1), (HOLDS, HOLDS, HOLDS), {}),  # the client put it right
    ("b:sub a:pub1 a:pub2 b:got1", (1,), (VIOLATED, HOLDS, UNKNOWN), {"lost": 1}),  # lost on the wire already
    (f"{JS} b:jsgot1@1 b:jsgot2@2 b:jsgot3@3 b:jsgot1@1*2", (1, 2, 3), (HOLDS, HOLDS, HOLDS), {}),  # told once only
    (f"{JS} b:jsgot1@1 b:jsgot2@2 b:jsgot3@3 b:jsgot1@1*2", (1, 2, 3, 4), (HOLDS, VIOLATED, HOLDS), {"redelivered": 1}),
]


@pytest.mark.parametrize(("told", "numbers", "outcomes", "counts"), RECEIVED)
@pytest.mark.parametrize("stamped", [True, False])
def test_what_callbacks_handled_is_judged_beside_the_wire(
    told: str, numbers: tuple[int, ...], outcomes: tuple[object, ...], counts: dict[str, int], stamped: bool
) -> None:
    history = story(told, stamped=stamped)
    report = judge(history, received=handled(history, *numbers))
    assert tuple(verdict.outcome for verdict in report)[:3] == outcomes
    assert counts.items() <= {"dropped_in_client": 0, **report["no_loss"].counts._asdict()}.items()
    assert report["no_loss"].where == "in the callbacks of b"


def test_the_difference_between_wire_and_application_has_a_name() -> None:
    history = story("a:pub1 a:pub2 a:pub3 b:got1 b:got2 b:got3")
    assert no_loss(history).outcome is HOLDS
    verdict = no_loss(history, received=handled(history, 1))
    assert verdict.sentence == (
        "2 of 3 messages that a published to orders never reached the callbacks of b: 2 and 3 (the last). "
        "2 came on the wire and were dropped in the client."
    )


def test_messages_of_nats_py_are_taken_as_they_are() -> None:
    history = story("a:pub1 a:pub2 b:got1 b:got2")
    msgs = [SimpleNamespace(subject="orders", data=b"", reply="", headers=stamp("a", n)) for n in (1, 2)]
    assert no_loss(history, received=msgs).outcome is HOLDS
    stranger = SimpleNamespace(subject="orders", data=b"?", reply="", headers=None)
    assert at_most_once(history, received=[*msgs, stranger]).outcome is UNKNOWN


def test_with_several_receivers_it_must_be_said_whose_callbacks() -> None:
    history = story("a:pub1 b:got1 c:got1")
    with pytest.raises(ValueError, match="with client=: there are b, c"):
        no_loss(history, received=[])
    assert no_loss(history, received=handled(history, 1, client="c"), client="c").outcome is HOLDS


def test_of_a_queue_group_one_member_answers_for_its_part() -> None:
    history = story("b:sub/q c:sub/q a:pub1 a:pub2 b:got1 c:got2")
    assert no_loss(history, client="b", received=handled(history, 1)).outcome is HOLDS
    assert no_loss(history, client="b", received=[]).outcome is VIOLATED


# Verdicts


def test_a_verdict_has_no_truth_value() -> None:
    for value in (no_loss(story("a:pub1 b:got1")), judge(story("a:pub1 b:got1"))):
        with pytest.raises(TypeError, match="no truth value"):
            bool(value)


SENTENCES = {
    "b:sub a:pub1 a:pub2 a:pub3 a:pub4 b:got1 b:got4": (
        "2 of 4 messages that a published to orders never reached b: 2 and 3 (a hole in the middle)."
    ),
    "b:sub a:pub1 a:pub2 b:got2": "1 of 2 messages that a published to orders never reached b: 1 (the first).",
    "b:sub a:pub1 a:pub2": "2 of 2 messages that a published to orders never reached b: 1 and 2 (none came).",
    "b:sub c:sub/q a:pub1 a:pub2 b:got1 b:got2": (
        "2 of 2 messages that a published to orders never reached the queue group q: 1 and 2 (none came)."
    ),
    "b:sub " + " ".join(f"a:pub{n}" for n in range(1, 21)) + " b:got1": (
        "19 of 20 messages that a published to orders never reached b: 2, 3, 4, 5, 6 and 14 more (the last)."
    ),
    "b:sub c:sub a:pub1 a:pub2 c:got1": (
        "2 of 2 messages that a published to orders never reached b: 1 and 2 (none came). In all, 3 are lost."
    ),
    "b:sub>x b:sub>orders a:pub1": (
        "1 of 1 messages that a published to orders never reached b (orders): 1 (none came)."
    ),
    "a:pub1 b:got1": "The one message that was owed to b came.",
    "a:pub1 b:got1 b:got1": "The one message that was owed to b came.",
    "a:pub1": "Nothing was owed to anybody: nobody was seen to subscribe before 1 message was published.",
    "": "Nothing was published, so there is nothing to judge.",
}  # fmt: skip


@pytest.mark.parametrize(("told", "sentence"), SENTENCES.items())
def test_sentences(told: str, sentence: str) -> None:
    assert no_loss(story(told)).sentence == sentence


def test_a_verdict_prints_in_two_lines() -> None:
    verdict = no_loss(story("b:sub a:pub1 a:pub2 b:got2"))
    assert repr(verdict) == (
        "✗ no_loss VIOLATED: 1 of 2 messages that a published to orders never reached b: 1 (the first).\n"
        "  attempted 2, owed 2, delivered 1, lost 1, lost head 1"
    )
    assert "VIOLATED" in verdict._repr_html_()


def test_the_witness_is_the_smallest_proof() -> None:
    def witness(verdict: Verdict) -> str:
        return " ".join(f"{event.client}:{event.op}" for event in verdict.witness)

    assert witness(no_loss(story("b:sub a:pub1 a:pub2 b:got2"))) == "b:SUB b:PONG a:HPUB"
    assert witness(no_loss(story("a:sub? a:pub1"))) == "a:SUB a:HPUB"
    assert witness(no_loss(story(f"{JS} b:jsgot2@2"))) == "a:HPUB a:MSG"
    assert witness(no_duplicates(story("a:pub1 b:got1 c:got1 c:got1"))) == "a:HPUB c:HMSG c:HMSG"
    assert witness(no_duplicates(story("b:got1<nobody b:got1<nobody"))) == "b:HMSG b:HMSG"
    assert witness(in_order(story("a:pub1 a:pub2 b:got2 b:got1"))) == "a:HPUB a:HPUB b:HMSG b:HMSG"
    both = exactly_once(story("b:sub a:pub1 a:pub2 b:got2 b:got2"))
    assert witness(both) == "b:SUB b:PONG a:HPUB a:HPUB b:HMSG b:HMSG"
    assert both.sentence == "Of 2 messages owed, 1 never came, and 1 came again."
    assert judge(story("a:pub1 b:got1"))["exactly_once"].witness == ()


def test_a_report_is_a_table_and_an_exit_code() -> None:
    fine, lossy = judge(story("a:pub1 a:pub2 b:got1 b:got2")), judge(story("b:sub a:pub1 a:pub2 b:got2"))
    assert (fine.exit_code, lossy.exit_code, judge(story("")).exit_code) == (0, 1, 2)
    assert (fine.outcome, Report(()).outcome) == (HOLDS, UNKNOWN)
    assert [len(repr(report).splitlines()) for report in (fine, lossy)] == [6, 6]
    assert lossy._repr_html_().count("<tr>") == 6
    assert len(Report((*fine, *lossy))) == 12
    with pytest.raises(KeyError):
        fine["at_sea"]


@patient
@given(st.text(max_size=60), st.binary(max_size=60), st.text("<script>&\n\x1b‮\udcff", min_size=1, max_size=3000))
def test_whatever_comes_over_the_wire_prints_harmlessly(client: str, payload: bytes, name: str) -> None:
    name = "".join(name.split()) or "x"
    history = History()
    history.feed(
        pack(0, encode(Frame("CONNECT", payload=json.dumps({"name": client}).encode())), conn=1, direction=TO_SERVER)
    )
    for number, frame in enumerate([Frame("SUB", name, sid="1", queue=name), Frame("PUB", name, payload=payload)] * 2):
        history.feed(pack(number, encode(frame), conn=1, direction=TO_SERVER))
    history.feed(pack(9, encode(Frame("MSG", name, sid="1", payload=payload * 1000)), conn=1, direction=TO_CLIENT))
    for verdict in judge(history):
        assert repr(verdict).count("\n") == 1
        assert len(repr(verdict)) < 600
        assert all(letter.isprintable() or letter == "\n" for letter in repr(verdict))
        assert "<script>" not in verdict._repr_html_()
        verdict._repr_html_().encode()


# Against a slow oracle


class Sub:
    """One SUB of a told run: the place of the word, and what follows from the words after it."""

    def __init__(self, words: list[str], start: int) -> None:
        self.words, self.start = words, start
        self.queue = words[start].partition("?/")[2]
        self.client = words[start].split(":")[0]
        later = range(start + 1, len(words))
        self.end = next((i for i in later if words[i].startswith((f"{self.client}:unsub", f"{self.client}:bye"))), None)
        # The PONG that answers a PING sent after it: count both from the beginning of the connection.
        begin = max((i for i in range(start) if words[i] == f"{self.client}:bye"), default=-1)
        limit = next((i for i in later if words[i] == f"{self.client}:bye"), len(words))
        pings = [i for i in range(begin + 1, limit) if words[i] == f"{self.client}:ping"]
        pongs = [i for i in range(begin + 1, limit) if words[i] == f"{self.client}:pong"]
        proofs = [pong for ping, pong in zip(pings, pongs, strict=False) if ping > start]
        self.proven = min(proofs, default=None)


def processed(words: list[str], publish: int, by: int) -> bool:
    """Whether something that happened only after the server had read this publish was seen before."""
    who = words[publish].split(":")[0]
    pings = [i for i, word in enumerate(words) if word == f"{who}:ping"]
    pongs = [i for i, word in enumerate(words) if word == f"{who}:pong"]
    if any(ping > publish and pong < by for ping, pong in zip(pings, pongs, strict=False)):
        return True
    for i in range(publish, by):
        if ":got" in words[i]:
            n, _, publisher = words[i].split("got")[1].partition("<")
            if publisher == who and words.index(f"{who}:pub{n}") >= publish:
                return True
    return False


def owes(words: list[str], sub: Sub, publish: int) -> bool | None:
    if publish < sub.start or (sub.end is not None and publish > sub.end):
        return False
    own = words[publish].startswith(f"{sub.client}:")
    if not own and (sub.proven is None or publish < sub.proven):
        return None
    if sub.end is None or (own and words[sub.end].endswith("unsub")):
        return True
    return processed(words, publish, sub.end) or None


def oracle(words: list[str]) -> dict[str, int]:
    subs = [Sub(words, i) for i, word in enumerate(words) if ":sub?" in word]
    units: dict[object, list[Sub]] = defaultdict(list)
    for sub in subs:
        units[sub.queue or sub].append(sub)
    publishes = [i for i, word in enumerate(words) if ":pub" in word]
    counts: dict[str, int] = defaultdict(int)
    counts["attempted"] = len(publishes)
    for unit in units.values():
        came: list[tuple[Sub, int]] = []  # to whom, and what
        for i, word in enumerate(words):
            if ":got" in word:
                client, n, publisher = word.replace(":got", "<").split("<")
                to = [sub for sub in subs if sub.client == client and sub.start < i][-1]
                if to in unit:
                    came.append((to, words.index(f"{publisher}:pub{n}")))
        whats = [what for _, what in came]
        counts["delivered"] += len(set(whats))
        counts["repeated"] += len(whats) - len(set(whats))
        for publish in publishes:
            answers = [owes(words, sub, publish) for sub in unit]
            if publish in whats:
                counts["owed"] += 1
            elif True in answers:
                counts["owed"] += 1
                counts["lost"] += 1
                who = words[publish].split(":")[0]
                mine = [what for what in whats if words[what].startswith(f"{who}:")]
                if not mine or publish > max(mine):
                    counts["lost_tail"] += 1
                else:
                    counts["lost_head" if publish < min(mine) else "lost_hole"] += 1
            elif None in answers:
                counts["undecided"] += 1
        for index, (to, what) in enumerate(came):
            if what in whats[:index]:
                continue
            before = [other for sub, other in came[:index] if sub is to and other > what]
            firsts = [other for other in before if (to, other) in came[: whats.index(other) + 1]]
            who = words[what].split(":")[0]
            counts["reordered"] += any(words[other].startswith(f"{who}:") for other in firsts)
    counts["duplicated"] = counts["repeated"]
    return {name: count for name, count in counts.items() if count}


@st.composite
def runs(draw: Callable[..., Any]) -> list[str]:
    """Random words that make sense: two publishers, one of which listens too, and three more who listen."""
    words: list[str] = []
    numbers = {"a": 0, "c": 0}
    state = dict.fromkeys("abde", "")  # of its subscription: "", "on", "off"
    waiting = dict.fromkeys("abcde", 0)  # PINGs without an answer
    for _ in range(draw(st.integers(0, 30))):
        published = [f"{n}<{who}" for who, last in numbers.items() for n in range(1, last + 1)]
        choices = [f"{who}:pub{last + 1}" for who, last in numbers.items()] * 2
        choices += [f"{who}:ping" for who in waiting]
        choices += [f"{who}:pong" for who, count in waiting.items() if count] * 3
        choices += [f"{who}:sub?{'/q' if who in 'de' else ''}" for who, now in state.items() if now != "on"] * 2
        choices += [f"{who}:unsub" for who, now in state.items() if now == "on"]
        choices += [f"{who}:bye" for who, now in state.items() if now and who != "a"]
        choices += [f"{who}:got{what}" for who, now in state.items() if now for what in published[-4:]]
        word = draw(st.sampled_from(choices))
        who, verb = word.split(":")
        waiting[who] += {"ping": 1, "pong": -1}.get(verb, 0)
        if verb.startswith("pub"):
            numbers[who] += 1
        elif verb.startswith("sub"):
            state[who] = "on"
        elif verb == "unsub":
            state[who] = "off"
        elif verb == "bye":
            state[who], waiting[who] = "", 0
        words.append(word)
    return words


@patient
@given(runs())
def test_the_counts_are_those_of_a_slow_oracle(words: list[str]) -> None:
    assert sent(story(" ".join(words))) == oracle(words)


@patient
@given(runs(), st.booleans())
def test_outcomes_follow_from_the_counts(words: list[str], settled: bool) -> None:
    counts = oracle(words)
    loss, duplicates, order, *_ = judge(story(" ".join(words)).up_to_now(settled=settled))
    sure = settled and bool(counts)
    assert (loss.outcome is VIOLATED) == (sure and "lost" in counts)
    assert (loss.outcome is HOLDS) == (sure and "owed" in counts and not {"lost", "undecided"} & counts.keys())
    assert (duplicates.outcome is VIOLATED) == ("repeated" in counts)
    assert (duplicates.outcome is HOLDS) == (sure and "repeated" not in counts and "owed" in counts)
    assert (order.outcome is VIOLATED) == ("reordered" in counts)


# Laws


def facts(history: History) -> list[tuple[object, ...]]:
    return [(verdict.guarantee, verdict.outcome, verdict.counts, verdict.sentence) for verdict in judge(history)]


@patient
@given(runs(), st.randoms(use_true_random=False))
def test_fault_events_are_never_read(words: list[str], dice: random.Random) -> None:
    told = [told for word in words for told in ([f"!{word}", word] if dice.random() < 0.5 else [word])]
    assert facts(story(" ".join(told))) == facts(story(" ".join(words)))


@patient
@given(runs(), st.randoms(use_true_random=False))
def test_a_fate_is_only_read_for_what_left_the_tap(words: list[str], dice: random.Random) -> None:
    fates = {"pub": ["dropped", "cut", "delayed", "reordered"], "got": ["duplicated", "delayed", "reordered"]}
    told = [word + "".join(f"!{dice.choice(fates[verb])}" for verb in fates if f":{verb}" in word) for word in words]
    assert facts(story(" ".join(told))) == facts(story(" ".join(words)))


@st.composite
def sane(draw: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """Everybody listens, then everything is published, then everything comes; the publishes and the deliveries."""
    sizes = draw(st.fixed_dictionaries({"a": st.integers(2, 5), "c": st.integers(1, 5)}))
    published = [(who, n) for who, size in sizes.items() for n in range(1, size + 1)]
    plain = [[f"{to}:got{n}<{who}" for who, n in published] for to in "bf"]
    shared: dict[str, list[str]] = {"d": [], "e": []}
    for who, n in published:
        to = draw(st.sampled_from("de"))
        shared[to].append(f"{to}:got{n}<{who}")
    return [f"{who}:pub{n}" for who, n in published], merge(draw, [*plain, *shared.values()])


def merge(draw: Callable[..., Any], queues: Iterable[list[str]]) -> list[str]:
    """Any order of all of them that keeps the order within each."""
    queues = [list(queue) for queue in queues if queue]
    merged = []
    while queues:
        queue = draw(st.sampled_from(queues))
        merged.append(queue.pop(0))
        queues = [queue for queue in queues if queue]
    return merged


LISTEN = ["b:sub", "f:sub", "d:sub/q", "e:sub/q"]


@patient
@given(sane())
def test_a_sane_run_holds_however_connections_interleave(run: tuple[list[str], list[str]]) -> None:
    report = judge(story(" ".join(LISTEN + run[0] + run[1])))
    assert {verdict.outcome for verdict in report} == {HOLDS}
    assert report["no_loss"].counts.owed == 3 * len(run[0])


@patient
@given(sane(), st.randoms(use_true_random=False))
def test_each_damage_is_noticed_and_nothing_else(run: tuple[list[str], list[str]], dice: random.Random) -> None:
    publishes, deliveries = run
    victim = dice.randrange(len(deliveries))
    lossy = judge(story(" ".join(LISTEN + publishes + deliveries[:victim] + deliveries[victim + 1 :])))
    assert [verdict.outcome for verdict in lossy][:2] == [VIOLATED, HOLDS]
    assert lossy["in_order"].outcome is not VIOLATED
    assert lossy["no_loss"].counts.lost == 1
    twice = judge(story(" ".join([*LISTEN, *publishes, *deliveries, deliveries[victim]])))
    assert [verdict.outcome for verdict in twice][:3] == [HOLDS, VIOLATED, HOLDS]
    assert twice["no_duplicates"].counts.duplicated == 1


@patient
@given(sane(), st.randoms(use_true_random=False))
def test_two_of_one_publisher_that_change_places_are_noticed(
    run: tuple[list[str], list[str]], dice: random.Random
) -> None:
    publishes, deliveries = run
    pairs = [
        (i, j)
        for j in range(len(deliveries))
        for i in range(j)
        if deliveries[i][0] == deliveries[j][0] and deliveries[i][-1] == deliveries[j][-1]
    ]
    if pairs:
        i, j = dice.choice(pairs)
        deliveries[i], deliveries[j] = deliveries[j], deliveries[i]
        outcomes = [verdict.outcome for verdict in judge(story(" ".join(LISTEN + publishes + deliveries)))]
        assert outcomes[:3] == [HOLDS, HOLDS, VIOLATED]


# A real server, behind the plainest wiretap there is


@contextlib.asynccontextmanager
async def wiretap(server: Server, history: History) -> AsyncIterator[str]:
    """Forward bytes to a server and record them; yields where to connect."""
    conns = 0

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conn: int, direction: str) -> None:
        scanner = Scanner(direction)
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while data := await reader.read(1 << 16):
                whole = b"".join(scanner.feed(data))
                if whole:
                    history.feed(pack(time.monotonic(), whole, conn=conn, direction=direction))
                writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal conns
        conns += 1
        conn = conns
        history.add(time.monotonic(), "client", "connected", conn=conn)
        theirs, ours = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(forward(reader, ours, conn, TO_SERVER), forward(theirs, writer, conn, TO_CLIENT))
        history.add(time.monotonic(), "client", "disconnected", conn=conn)

    tap = await asyncio.start_server(serve, "127.0.0.1")
    async with tap:
        yield f"nats://127.0.0.1:{tap.sockets[0].getsockname()[1]}"
    await until(lambda: sum(event.text == "disconnected" for event in history) == conns)


async def barrier(client: Any) -> None:
    """Wait until the server has read all that was sent: nats-py's PING overtakes what is still queued."""
    await asyncio.sleep(0)
    await client.flush()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def tapped(server: Server) -> AsyncIterator[tuple[str, History]]:
    history = History()
    async with wiretap(server, history) as url:
        yield url, history


Tapped = tuple[str, History]


async def test_core_nats_on_a_real_server(tapped: Tapped) -> None:
    url, history = tapped
    got: list[Any] = []

    async def keep(msg: Any) -> None:
        got.append(msg)

    async with await nats.connect(url, name="bob") as bob, await nats.connect(url, name="alice") as alice:
        await bob.subscribe("orders.*", cb=keep)
        await alice.subscribe("orders.*", cb=keep)
        await barrier(bob)
        for n in range(1, 11):
            await alice.publish("orders.new", b"%d" % n, headers=stamp("alice", n))
        await until(lambda: len(got) == 20)
        report = judge(history)
        assert {verdict.outcome for verdict in report} == {HOLDS}
        assert sent(history) == {"attempted": 10, "owed": 20, "delivered": 20}
        assert no_loss(history, client="bob", received=got[:10]).counts.handled == 10


async def test_what_is_published_before_the_pong_is_undecided(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="bob") as bob, await nats.connect(url, name="alice") as alice:
        await bob.subscribe("orders")
        await until(lambda: history.where(op="SUB", client="bob"))
        pongs = len(history.where(op="PONG", client="bob"))
        await alice.publish("orders", b"1")
        await until(lambda: history.deliveries)
        assert len(history.where(op="PONG", client="bob")) == pongs
        assert no_loss(history).outcome is HOLDS
        sabotaged = History()
        for event in history:
            if event.frame and event.op != "MSG":
                sabotaged.feed(pack(event.time, event.frame.raw, conn=event.conn, direction=event.direction))
        assert no_loss(sabotaged).outcome is UNKNOWN
        assert no_loss(sabotaged).counts.undecided == 1


async def test_nats_py_sends_ping_before_a_queued_sub(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="bob") as bob:
        await bob.subscribe("orders")
        await bob.flush()
        await until(lambda: history.where(op="SUB", client="bob"))
        ops = [event.op for event in history.where(direction=TO_SERVER, client="bob") if event.op != "CONNECT"]
        assert ops[:3] == ["PING", "PING", "SUB"]  # the first is from connect


async def test_a_queue_group_is_one_unit_whatever_its_wildcards(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="b") as b, await nats.connect(url, name="c") as c:
        await b.subscribe("orders.*", queue="workers")
        await c.subscribe("orders.new", queue="workers")
        await barrier(b)
        await barrier(c)
        for n in range(1, 51):
            await b.publish("orders.new", b"%d" % n)
        await until(lambda: len(history.deliveries) == 50)
        assert {event.client for event in history.deliveries} == {"b", "c"}
        assert {verdict.outcome for verdict in judge(history)} == {HOLDS}
        assert no_loss(history).counts.owed == 50


async def test_limits_and_no_echo_on_a_real_server(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="b") as b, await nats.connect(url, name="a", no_echo=True) as a:
        limited = await b.subscribe("orders")
        await limited.unsubscribe(limit=3)
        await a.subscribe("orders")
        await barrier(b)
        await barrier(a)
        for n in range(1, 6):
            await a.publish("orders", b"%d" % n)
        await barrier(a)
        await until(lambda: len(history.deliveries) == 3)
        assert no_loss(history).outcome is HOLDS
        assert no_loss(history).counts.owed == 3


async def test_a_refused_publish_and_subscription_are_owed_to_nobody() -> None:
    config = "authorization { users = [{user: u, password: p, permissions: {publish: open, subscribe: open}}] }"
    history = History()
    async with Server(config=config) as server, wiretap(server, history) as url:
        errors: list[Exception] = []

        async def keep(error: Exception) -> None:
            errors.append(error)

        async with await nats.connect(url, user="u", password="p", name="a", error_cb=keep) as a:
            await a.subscribe("open")
            await a.subscribe("closed")
            await a.publish("closed", b"1")
            await a.publish("open", b"2")
            await barrier(a)
            await until(lambda: len(errors) == 2 and history.deliveries)
        assert no_loss(history).outcome is HOLDS
        assert sent(history) == {"attempted": 2, "failed": 1, "owed": 1, "delivered": 1}


async def test_a_pull_consumer_on_a_real_server(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="alice") as alice, await nats.connect(url, name="bob") as bob:
        js = alice.jetstream()
        await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.*"]))
        sub = await bob.jetstream().pull_subscribe("orders.new", durable="workers")
        for n in range(1, 6):
            await js.publish("orders.new", b"same", headers=stamp("alice", n) if n < 4 else None)
        await js.publish("orders.old", b"not wanted")
        first = [msg for _ in range(3) for msg in await sub.fetch(1)]
        assert no_loss(history).outcome is UNKNOWN
        assert "2 messages for the consumer workers did not come, and may still wait" in no_loss(history).sentence
        await first[1].nak()
        for msg in first[0], first[2]:
            await msg.ack()
        rest: list[Any] = []
        while len(rest) < 3:
            rest += await sub.fetch(10)
        for msg in rest:
            await msg.ack_sync()
        with pytest.raises(nats.errors.TimeoutError):
            await sub.fetch(10, timeout=0.2)
        report = judge(history)
        assert [verdict.outcome for verdict in report] == [HOLDS, VIOLATED, HOLDS, VIOLATED, HOLDS, VIOLATED]
        assert sent(history) == {
            "attempted": 6, "acknowledged": 6, "owed": 5, "delivered": 5, "repeated": 1, "redelivered": 1,
        }  # fmt: skip
        once = [*first, *(msg for msg in rest if msg.metadata.num_delivered == 1)]
        assert no_duplicates(history, received=once).outcome is HOLDS  # the application can put it right
        await js.publish("orders.new", b"6")
        assert no_loss(history).outcome is UNKNOWN


async def test_a_pull_that_leaves_nothing_pending_proves_the_loss(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="alice") as alice:
        js = alice.jetstream()
        await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders"]))
        sub = await js.pull_subscribe("orders", durable="workers")
        for n in range(1, 4):
            await js.publish("orders", b"%d" % n)
        await sub.fetch(1)
        async with await nats.connect(url.replace("127.0.0.1", "localhost")) as other:
            await other.jetstream().delete_msg("ORDERS", 3)
        await sub.fetch(1)
        verdict = no_loss(history)
        assert verdict.outcome is UNKNOWN  # it was deleted by request
        hidden = History()
        for event in history:
            if event.frame and "MSG.DELETE" not in event.subject:
                hidden.feed(pack(event.time, event.frame.raw, conn=event.conn, direction=event.direction))
        assert no_loss(hidden).outcome is VIOLATED
        assert no_loss(hidden).counts.lost_tail == 1


async def test_push_and_ordered_consumers_on_a_real_server(tapped: Tapped) -> None:
    url, history = tapped
    got: list[Any] = []

    async def keep(msg: Any) -> None:
        got.append(msg)

    async with await nats.connect(url, name="alice") as alice, await nats.connect(url, name="bob") as bob:
        js = alice.jetstream()
        await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders"]))
        for n in range(1, 4):
            await js.publish("orders", b"%d" % n)
        push = await bob.jetstream().subscribe("orders", cb=keep, config=ConsumerConfig(ack_policy=AckPolicy.NONE))
        await bob.jetstream().subscribe("orders", ordered_consumer=True, idle_heartbeat=0.5, cb=keep)
        await until(lambda: len(got) == 6)
        assert sent(history) == {"attempted": 3, "acknowledged": 3, "owed": 6, "delivered": 6}
        assert {verdict.outcome for verdict in judge(history)} == {HOLDS}
        await push.unsubscribe()
        await barrier(bob)
        await js.publish("orders", b"4")
        await until(lambda: len(got) == 7)
        assert no_loss(history).outcome is HOLDS  # the ephemeral consumer went with its subscription


async def test_publishes_that_fail_or_are_repeated_on_a_real_server(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="alice") as alice:
        js = alice.jetstream()
        await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders"], max_msg_size=100))
        with pytest.raises(nats.js.errors.NoStreamResponseError):
            await js.publish("nowhere", b"1")
        with pytest.raises(nats.js.errors.APIError):
            await js.publish("orders", b"x" * 200)
        for _ in range(2):
            await js.publish("orders", b"once", headers={"Nats-Msg-Id": "1", **stamp("alice", 1)})
        for _ in range(2):
            await js.publish("orders", b"twice", headers=stamp("alice", 2))
        assert sent(history) == {"attempted": 6, "acknowledged": 4, "failed": 2, "retried": 2}
        sub = await js.pull_subscribe("orders", durable="workers")
        for _ in range(3):
            await sub.fetch(1)
        verdict = no_duplicates(history)
        assert verdict.outcome is VIOLATED
        assert (verdict.counts.delivered, verdict.counts.duplicated, verdict.counts.redelivered) == (2, 1, 0)


async def test_requests_are_no_stream_publishes(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="alice") as alice, await nats.connect(url, name="bob") as bob:

        async def answer(msg: Any) -> None:
            await msg.respond(b"yes")

        await bob.subscribe("ask", cb=answer)
        await barrier(bob)
        assert (await alice.request("ask", b"?")).data == b"yes"
        assert sent(history) == {"attempted": 1, "owed": 1, "delivered": 1}
        assert no_loss(history).outcome is HOLDS


async def test_a_slow_callback_loses_what_the_wire_had_delivered(tapped: Tapped) -> None:
    url, history = tapped
    got: list[Any] = []
    go_on = asyncio.Event()

    async def slow(msg: Any) -> None:
        await go_on.wait()
        got.append(msg)

    async def quiet(_: Exception) -> None: ...

    async with await nats.connect(url, name="bob", error_cb=quiet) as bob:
        sub = await bob.subscribe("orders", cb=slow, pending_msgs_limit=5)
        for n in range(1, 21):
            await bob.publish("orders", b"%d" % n)
        await barrier(bob)
        await until(lambda: len(history.deliveries) == 20 and sub.delivered == 20)
        go_on.set()
        await until(lambda: len(got) >= 5 and not sub.pending_msgs)
        assert no_loss(history).outcome is HOLDS
        verdict = no_loss(history, received=got)
        assert verdict.outcome is VIOLATED
        assert verdict.counts.dropped_in_client == 20 - len(got) == verdict.counts.lost


async def test_a_client_that_reconnects_is_another_receiver(tapped: Tapped) -> None:
    url, history = tapped
    async with await nats.connect(url, name="alice") as alice:
        for n in range(1, 4):
            async with await nats.connect(url, name="bob") as bob:
                await bob.subscribe("orders")
                await barrier(bob)
                await alice.publish("orders", b"here %d" % n)
                await until(lambda: len(history.deliveries) * 2 == len(history.publishes) + 1)
            await until(lambda: history[-1].text == "disconnected")
            await alice.publish("orders", b"away %d" % n)
        await barrier(alice)
        assert no_loss(history).outcome is HOLDS
        assert sent(history) == {"attempted": 6, "owed": 3, "delivered": 3}


def test_a_hundred_thousand_events_take_seconds() -> None:
    history = story("b:sub>orders.* a:connect")
    conn = {event.client: event.conn for event in history}
    for n in range(1, 50_001):
        headers = tuple(stamp("a", n).items())
        frames = Frame("HPUB", "orders.new", headers=headers), Frame("HMSG", "orders.new", sid="1", headers=headers)
        history.feed(pack(1 + n / 1000, encode(frames[0]), conn=conn["a"], direction=TO_SERVER))
        history.feed(pack(1 + n / 1000, encode(frames[1]), conn=conn["b"], direction=TO_CLIENT))
    began = time.process_time()
    assert {verdict.outcome for verdict in judge(history)} == {HOLDS}
    assert time.process_time() - began < 15  # 3 to 4 on two cores
