"""Strips: where a state begins and ends, in the picture, in words and in the table."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import strips
from natsdemo.figures.strips import Block, blocks

KEPT = {"found": ["kept"] * 100 + ["another"] * 20 + ["gone"] * 80}


def test_blocks_begin_and_end_where_the_state_changes() -> None:
    assert blocks(["a", "a", "", "b"], 301) == [Block(301, 302, "a"), Block(303, 303, ""), Block(304, 304, "b")]
    assert [block.size for block in blocks("aab")] == [2, 1]
    assert blocks([]) == []


def test_words_and_table_have_the_numbers_of_the_strips() -> None:
    picture = strips(KEPT, first=201, numbered="sequence number", title="After the power cut")
    assert picture.alt == (
        "Strips: After the power cut. By sequence number. found: 201 to 300 kept, 301 to 320 another, 321 to 400 gone."
    )
    assert picture.caption == "After the power cut."
    assert "<tr><td>found</td><td>301</td><td>320</td><td>20</td><td>another</td></tr>" in picture.table


def test_a_block_is_as_long_as_it_has_numbers() -> None:
    short, long = (near(strips({"disk": ["on disk"] * n + [""] * (200 - n)}), "delivered") for n in (80, 160))
    assert short / long == pytest.approx(0.5, abs=0.03)


def test_what_is_nothing_is_not_drawn() -> None:
    picture = strips({"acked": ["acked"] * 9, "synced": [""] * 9})
    assert "synced: nothing." in picture.alt
    assert "<td>synced</td><td>1</td><td>9</td><td>9</td><td>nothing</td>" in picture.table


def test_a_state_is_painted_as_it_is_told_and_others_take_what_is_free() -> None:
    picture = strips({"row": ["gone"] * 50 + ["kept"] * 50}, roles={"gone": "delivered"})
    plain = strips({"row": ["gone"] * 50 + ["kept"] * 50})
    assert near(picture, "delivered") == pytest.approx(near(plain, "delivered"), rel=0.1)
    assert near(picture, "published") > 500


def test_more_states_than_can_be_told_apart_are_refused() -> None:
    strips({"row": list("abcdef")})
    with pytest.raises(ValueError, match="Six states"):
        strips({"row": list("abcdefg")})
    with pytest.raises(ValueError, match="paints no state"):
        strips({"row": ["kept"]}, roles={"kept": "card"})


def test_what_is_not_drawn_is_counted_and_in_the_table() -> None:
    many = {f"r{n}": ["a", "b"] for n in range(15)}
    assert strips(many).alt.endswith("And 3 more rows. Not drawn: 3 more rows.")
    picture = strips({"row": ["a", "b"] * 130})
    assert picture.alt.endswith("8 b, And 252 more blocks. Not drawn: 60 more blocks.")
    assert "<p>and 200 more rows</p>" in picture.table


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = strips(KEPT, dark=dark)
    is_a_card_of_its_own(picture, dark)


def test_nothing_makes_a_picture_too() -> None:
    assert strips({}).alt == "Strips: 0 strips of 0. Nothing is there."
    assert strips({"row": []}).alt == "Strips: 1 strip of 0. Nothing is there."


def test_hostile_names_are_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = strips({HOSTILE: [HOSTILE, "$^$"] * 3}, title=HOSTILE, numbered=HOSTILE)
    is_harmless(picture)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.text(max_size=30), st.lists(st.sampled_from(["", "a", "b " * 40]), max_size=300), max_size=15),
    st.integers(-(10**6), 10**9),
)
def test_any_states_make_a_picture(rows: dict[str, list[str]], first: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strips(rows, first=first)._repr_html_().encode()
