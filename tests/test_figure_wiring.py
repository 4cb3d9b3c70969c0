"""The wiring is tested by its hubs and ends, its words, its table and its pixels."""

import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, share

from natsdemo.figures import wiring
from natsdemo.figures.wiring import End, Hub, hubs
from natsdemo.history import History
from natsdemo.testing import story

CALLS = [("shop", "payment", True), ("shop", "mail", True), ("shop", "payment", True), ("shop", "mail", False)]
SHOP = story(
    "pay:sub/tills>orders.placed pay2:sub/tills>orders.placed audit:sub>orders.placed "
    "shop:pub1>orders.placed pay:got1 audit:got1 shop:pub2>orders.placed pay2:got2 audit:got2 pay:pub3>orders.paid"
)


def test_a_subject_stands_between_those_who_speak_and_those_who_hear() -> None:
    heard = End("pay", "tills", 1), End("audit", "", 2), End("pay2", "tills", 1)
    assert hubs(SHOP) == [
        Hub("orders.placed", (End("shop", "", 2),), heard),
        Hub("orders.paid", (End("pay", "", 1),), (End("", "", 1),)),
    ]


def test_what_nobody_hears_has_a_loose_end() -> None:
    picture = wiring(SHOP)
    assert picture.caption == "3 published, 4 delivered, 1 heard by nobody."
    assert "On orders.paid: from pay 1; to nobody 1." in picture.alt


def test_a_call_has_neither_subject_nor_server() -> None:
    (hub,) = hubs(History(), calls=CALLS)
    assert hub == Hub("", (End("shop"),), (End("payment", "", 2), End("mail", "", 1, 1)))
    picture = wiring(History(), calls=CALLS)
    assert picture.alt.startswith(
        "Wiring: 3 calls answered, 1 failed. shop calls payment 2, mail 1 (1 failed)."
    )  # fmt: skip


def test_calls_stand_above_the_messages() -> None:
    assert [hub.subject for hub in hubs(SHOP, calls=CALLS)] == ["", "orders.placed", "orders.paid"]


def test_what_was_lost_on_the_way_is_told_apart() -> None:
    found = hubs(story("shop:pub1 shop:pub2!dropped mail:got1 audit:got1!cut"))
    assert found == [Hub("orders", (End("shop", "", 1, 1),), (End("mail", "", 1), End("audit", "", 0, 1)))]


def test_from_a_moment_on_only_what_came_later_counts_and_groups_are_still_known() -> None:
    moment = next(event.number for event in SHOP.publishes if event.frame and event.frame.payload == b"shop 2")
    assert hubs(SHOP, since=moment)[0] == Hub(
        "orders.placed", (End("shop", "", 1),), (End("pay2", "tills", 1), End("audit", "", 1))
    )


def test_inboxes_and_the_jetstream_api_are_left_out() -> None:
    assert [hub.subject for hub in hubs(story("a:jspub1 a:none1 b:pull"))] == ["orders"]


def test_what_is_marked_is_named() -> None:
    plain, picture = wiring(SHOP), wiring(SHOP, marked={"shop", "no such program"}, marked_as="edited")
    assert "Marked as edited: shop." in picture.alt
    assert "Marked" not in plain.alt
    assert share(picture, "witness") > 0.005 > share(plain, "witness")


def test_a_table_has_the_same_numbers() -> None:
    rows = [
        re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", wiring(SHOP, calls=CALLS).table)
    ]
    assert rows[1:] == [
        ["(a call)", "to", "payment", "2", "0"],
        ["(a call)", "to", "mail", "1", "1"],
        ["orders.placed", "from", "shop", "2", "0"],
        ["orders.placed", "to", "pay", "1", "0"],
        ["orders.placed", "to", "audit", "2", "0"],
        ["orders.placed", "to", "pay2", "1", "0"],
        ["orders.paid", "from", "pay", "1", "0"],
        ["orders.paid", "to", "nobody", "1", "0"],
    ]


def test_what_does_not_fit_is_counted() -> None:
    (hub,) = hubs(story("a:pub1 " + " ".join(f"b{n}:got1" for n in range(20))))
    assert hub.listeners[-1] == End("13 more programs", "", 13)
    many = wiring(story(" ".join(f"a:pub{n}>s{n}" for n in range(1, 20))))
    assert many.alt.endswith("Left out: 3 more callers and subjects.")
    assert "And 6 more subjects." in many.alt
    assert many.caption == "19 published, 0 delivered, 19 heard by nobody."


def test_nothing_makes_a_picture_too() -> None:
    assert wiring(History()).alt == "Wiring. Nothing passed."
    assert wiring(story("a:opaque")).alt == "Wiring. Nothing passed."


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = wiring(SHOP, calls=CALLS, dark=dark)
    is_a_card_of_its_own(picture, dark)
    assert share(picture, "card", dark) > 0.7
    assert share(picture, "lost", dark) > 0.0005


def test_hostile_text_is_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = wiring(
            story("a:pub1>x$^$&\\frac b:got1"), calls=[(HOSTILE, HOSTILE, False)], marked={HOSTILE}, marked_as=HOSTILE
        )
    is_harmless(picture)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40), st.booleans()), min_size=1, max_size=12))
def test_any_names_make_a_picture_whose_numbers_add_up(calls: list[tuple[str, str, bool]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wiring(History(), calls=calls)._repr_html_().encode()
    ends = [end for hub in hubs(History(), calls=calls) for end in hub.listeners]
    assert sum(end.passed + end.lost for end in ends) == len(calls)
