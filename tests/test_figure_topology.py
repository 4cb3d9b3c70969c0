"""A topology is tested by its columns, its words, its table and its pixels."""

import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, share

from natsdemo.figures import topology
from natsdemo.figures.topology import Link, ranks

BOXES = {"OSLO": ["40 messages", "1 … 40"], "LIMA": ["400 messages"], "ALL": ["140 messages"], "COPY": []}
LINKS = [Link("OSLO", "ALL", "lag 0"), Link("LIMA", "ALL", "lag 0", broken=True), Link("ALL", "COPY")]


def test_a_box_stands_to_the_right_of_all_that_point_at_it() -> None:
    assert ranks(BOXES, LINKS) == {"OSLO": 0, "LIMA": 0, "ALL": 1, "COPY": 2}
    assert ranks("abc", [Link("a", "b"), Link("b", "c"), Link("a", "c")]) == {"a": 0, "b": 1, "c": 2}


def test_what_closes_a_circle_moves_nothing() -> None:
    mesh = [Link("a", "b"), Link("b", "a"), Link("a", "c"), Link("c", "a"), Link("a", "a")]
    assert ranks("abc", mesh) == {"a": 0, "b": 1, "c": 1}


def test_words_and_table_have_what_was_measured() -> None:
    picture = topology(BOXES, LINKS, title="The cut", marked={"LIMA"}, marked_as="alone")
    assert picture.alt == (
        "Topology: The cut: 4 boxes, 3 arrows. OSLO: 40 messages, 1 … 40. LIMA: 400 messages. ALL: 140 messages. "
        "COPY. From OSLO to ALL: lag 0. From LIMA to ALL: cut, lag 0. From ALL to COPY: an arrow. "
        "Marked as alone: LIMA."
    )
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", picture.table)]
    assert rows[1:] == [
        ["OSLO", "", "40 messages, 1 … 40"],
        ["LIMA", "", "400 messages"],
        ["ALL", "", "140 messages"],
        ["COPY", "", ""],
        ["OSLO", "ALL", "lag 0"],
        ["LIMA", "ALL", "cut, lag 0"],
        ["ALL", "COPY", "an arrow"],
    ]


def test_a_cut_and_a_mark_show() -> None:
    whole, cut = (topology(BOXES, [Link("OSLO", "ALL", broken=broken)]) for broken in (False, True))
    assert share(cut, "lost") > 0.0005 > share(whole, "lost")
    assert share(topology(BOXES, marked=["ALL"]), "witness") > 0.005 > share(whole, "witness")


def test_plain_tuples_will_do() -> None:
    boxes = {name: ["up"] for name in ("n1", "n2", "n3")}
    plain = topology(boxes, [("n1", "n2"), ("n2", "n1", "3 ms"), ("n2", "n3")])
    links = topology(boxes, [Link("n1", "n2"), Link("n2", "n1", "3 ms"), Link("n2", "n3")])
    assert plain.alt == links.alt
    assert plain.png == links.png


def test_what_is_not_drawn_is_counted() -> None:
    many = {f"box {n}": ["a line"] * 9 for n in range(30)}
    picture = topology(many, [("box 1", "box 29"), ("box 1", "nowhere"), ("box 1", "box 2")])
    assert picture.alt.endswith("Not drawn: 6 more boxes and 2 more arrows.")
    assert "And 16 more parts." in picture.alt


def test_nothing_makes_a_picture_too() -> None:
    assert topology({}, [("a", "b")]).alt == "Topology: 0 boxes, 1 arrow. There is nothing to connect."


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = topology(BOXES, LINKS, dark=dark)
    is_a_card_of_its_own(picture, dark)
    assert share(picture, "card", dark) > 0.5


def test_hostile_text_is_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        boxes = {HOSTILE: [HOSTILE], "x": [HOSTILE]}
        picture = topology(
            boxes, [Link(HOSTILE, "x", HOSTILE, True)], title=HOSTILE, marked=[HOSTILE], marked_as=HOSTILE
        )
    is_harmless(picture)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.text(max_size=12), st.lists(st.text(max_size=40), max_size=7), max_size=9),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.text(max_size=40), st.booleans()), max_size=12),
)
def test_any_boxes_and_arrows_make_a_picture(
    boxes: dict[str, list[str]], links: list[tuple[int, int, str, bool]]
) -> None:
    names = [*boxes, *"0123456789"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = topology(boxes, [Link(names[a], names[b], text, cut) for a, b, text, cut in links])
    assert picture.width == 960
    picture._repr_html_().encode()
