"""Clusters are tested by their places, their words, their table and their pixels."""

import re
import warnings
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, share

from natsdemo.figures import clusters
from natsdemo.figures.clusters import places

GROUPS = {"lima": ["leaf"], "east": ["n1", "n2", "n3"], "west": ["w1", "w2"]}
LINKS = [
    ("leaf", "n1", "leaf", 1000), ("n1", "leaf", "leaf", 0), ("n1", "w1", "gateway", 600), ("n1", "w1", "gateway", 400),
    ("w1", "w2", "route", 1), ("n1", "n2", "route", 0), ("n2", "n1", "route", 0), ("n2", "n3", "route", 0),
]  # fmt: skip


@pytest.mark.parametrize("count", range(9))
def test_everybody_has_a_place_of_their_own(count: int) -> None:
    found = places(count)
    assert len(set(found)) == count
    assert all(-1.001 <= x <= 1.001 and -1.001 <= y <= 1.001 for x, y in found)


def test_words_and_table_have_what_was_counted() -> None:
    picture = clusters(
        GROUPS, LINKS, beside={"leaf": "lima publishes"}, title="The way", marked={"w2"}, marked_as="the subscriber's"
    )
    assert picture.alt == (
        "Clusters: The way: 6 servers, 5 connections. lima: leaf. east: n1, n2, n3. west: w1, w2. "
        "At leaf: lima publishes. 1,000 messages from leaf to n1 by leaf. 1,000 messages from n1 to w1 by gateway. "
        "1 message from w1 to w2 by route. Nothing on 2 connections. Marked as the subscriber's: w2."
    )
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", picture.table)]
    assert rows[1:4] == [
        ["leaf", "n1", "leaf", "1,000"],
        ["n1", "leaf", "leaf", "0"],
        ["n1", "w1", "gateway", "1,000"],
    ]


def test_what_was_counted_shows_and_so_does_a_mark() -> None:
    idle = clusters(GROUPS, [(a, b, kind, 0) for a, b, kind, _ in LINKS])
    busy = clusters(GROUPS, LINKS)
    assert share(busy, "published") > 2 * share(idle, "published") > 0
    assert share(clusters(GROUPS, LINKS, marked=["n1"]), "witness") > 0.001 > share(busy, "witness")
    assert idle.alt.endswith("Nothing on 5 connections.")


def test_both_directions_have_their_own_arrow() -> None:
    there, both = (clusters({"a": ["x", "y"]}, [("x", "y", "r", 5), ("y", "x", "r", back)]) for back in (0, 7))
    assert share(both, "published") > 1.2 * share(there, "published")
    assert "7 messages from y to x by r" in both.alt


def test_what_is_left_out_is_counted() -> None:
    crowd = {"a": [f"s{n}" for n in range(10)], "b": []}
    picture = clusters(crowd, [*((a, b, "route", 1) for a, b in pairwise(crowd["a"])), ("s0", "nobody", "route", 4)])
    assert "10 servers, 10 connections" in picture.alt
    assert picture.alt.endswith("Not drawn: 2 more servers and 3 more connections.")
    many = clusters({f"g{n}": [f"s{n}"] for n in range(7)}, [("s0", "s1", f"kind {n}", 1) for n in range(5)])
    assert many.alt.endswith("Not drawn: 2 more servers and 1 more connection.")


def test_without_servers_it_says_so() -> None:
    assert "There is no server." in clusters({}, [])._repr_html_()
    assert "0 servers, 1 connection" in clusters({"a": []}, [("x", "y", "route", 1)]).alt


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_picture_like_all_others(dark: bool) -> None:
    is_a_card_of_its_own(clusters(GROUPS, LINKS, dark=dark), dark)


def test_hostile_text_does_no_harm() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        links = [(HOSTILE, "b", HOSTILE, 3), ("b", HOSTILE, HOSTILE, 0)]
        beside = {HOSTILE: HOSTILE}
        picture = clusters(
            {HOSTILE: [HOSTILE, "b"]}, links, beside=beside, what=HOSTILE, title=HOSTILE, marked=[HOSTILE],
            marked_as=HOSTILE,
        )  # fmt: skip
        is_harmless(picture)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.sampled_from("stuvwxyz"), max_size=10), max_size=7),
    st.lists(
        st.tuples(
            st.sampled_from("stuvwxyz"), st.sampled_from("stuvwxyz"), st.sampled_from(["route", "leaf"]),
            st.integers(0, 10**9),
        ),
        max_size=20,
    ),
)  # fmt: skip
def test_anything_can_be_drawn(groups: dict[str, list[str]], links: list[tuple[str, str, str, int]]) -> None:
    assert clusters(groups, links).alt.startswith("Clusters: ")
