"""The matrix is tested by its grid, its words, its table and its pixels."""

import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, pixels, share

from natsdemo.figures import matrix
from natsdemo.figures.matrix import Cell, grid

HEARD = {
    "orders.*": {"orders": False, "orders.new": True},
    "orders.>": {"orders": False, "orders.new": True, "orders.new.eu": True},
}


def test_rows_and_columns_stand_in_the_order_in_which_they_come() -> None:
    shown = grid({"b": {"y": 1, "x": 2}, "a": {"z": 3}})
    assert (shown.rows, shown.columns) == (("b", "a"), ("y", "x", "z"))
    assert shown.cells == ((1, 2, None), (None, None, 3))


def test_the_alternative_text_tells_every_cell() -> None:
    picture = matrix(HEARD, rows="subscribed to", columns="published to", yes="heard", no="not heard")
    assert picture.caption == "3 heard, 2 not heard, 1 not known."
    assert picture.alt == (
        "Matrix of 2 rows (subscribed to) and 3 columns (published to): 3 heard, 2 not heard, 1 not known. "
        "orders.*: heard for orders.new; not known for orders.new.eu; else not heard. "
        "orders.>: not heard for orders; else heard."
    )


def test_a_row_of_one_word_says_so_once() -> None:
    assert "a: yes for all." in matrix({"a": {"x": True, "y": True}}).alt


def test_numbers_are_told_one_by_one() -> None:
    picture = matrix({"alice": {"0": 1200, "1": 0}, "bob": {"0": 0.12345, "1": -3}}, rows="key")
    assert picture.caption == "4 numbers from -3 to 1,200."
    assert "alice: 0 1,200, 1 0. bob: 0 0.1235, 1 -3." in picture.alt


def test_a_title_stands_before_the_counts() -> None:
    picture = matrix({"a": {"x": 3}}, title="Messages")
    assert picture.caption == "Messages: 1 number from 3 to 3."
    assert "1 column: Messages: 1 number" in picture.alt
    assert picture.png != matrix({"a": {"x": 3}}).png


def test_what_is_marked_is_named() -> None:
    marked = {("orders.>", "orders"), ("orders.>", "no such column")}
    plain, picture = matrix(HEARD), matrix(HEARD, marked=marked, marked_as="a bet")
    assert picture.alt.endswith("Marked as a bet: orders.> with orders.")
    assert "Marked" not in plain.alt
    assert plain.png != picture.png


def test_a_table_has_the_same_cells() -> None:
    picture = matrix(HEARD, rows="subscribed to", columns="published to", yes="heard", no="silent")
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", picture.table)]
    assert rows == [
        ["subscribed to \\ published to", "orders", "orders.new", "orders.new.eu"],
        ["orders.*", "silent", "heard", "not known"],
        ["orders.&gt;", "silent", "heard", "heard"],
    ]


def test_what_does_not_fit_is_counted() -> None:
    many = {f"row {r}": {f"column {c}": c % 2 == 0 for c in range(50)} for r in range(60)}
    shown = grid(many)
    assert (len(shown.rows), len(shown.columns)) == (40, 24)
    picture = matrix(many)
    assert picture.alt.endswith("And 26 more rows. Left out: 20 more rows and 26 more columns.")
    assert len(picture.alt) < 4000
    wide = grid({"a": {str(c): 123_456_789 for c in range(20)}})
    assert 2 <= len(wide.columns) < 10, "a number is never smaller than the rest of the writing"


def test_no_number_and_no_end_are_not_known() -> None:
    shown = grid({"a": {"nan": float("nan"), "inf": float("-inf"), "huge": 10**400, "large": 10**40}})
    assert shown.cells == ((None, None, None, 10**40),)
    assert "large 1e+40" in matrix({"a": {"large": 10**40}}).alt


@pytest.mark.parametrize("cells", [{}, {"a": {}}])
def test_nothing_makes_a_picture_too(cells: dict[str, dict[str, Cell]]) -> None:
    assert matrix(cells, rows="key").alt.endswith("Nothing to show.")


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = matrix(HEARD, marked={("orders.>", "orders")}, dark=dark)
    is_a_card_of_its_own(picture, dark)
    assert share(picture, "card", dark) > 0.7
    assert share(picture, "delivered", dark) > 0.01
    assert share(picture, "witness", dark) > 0.005


def test_a_yes_is_seen_without_its_colour() -> None:
    yes, no = (pixels(matrix({"a": {"x": value}}, yes="w", no="w")).convert("L") for value in (True, False))
    assert yes.tobytes() != no.tobytes()


def test_a_marked_number_has_the_highlighter_for_itself() -> None:
    plain, marked = (matrix({"a": {"x": 9}}, marked=places) for places in ((), {("a", "x")}))
    assert share(plain, "witness") == 0 < share(marked, "witness")
    assert share(matrix({"a": {"x": 0}}, marked={("a", "x")}), "witness") == pytest.approx(
        share(marked, "witness"), rel=0.05
    )


def test_the_larger_number_is_the_darker() -> None:
    tints = [share(matrix({"a": {"x": n, "y": 100}}), "card") for n in (0, 60)]
    assert tints[0] > tints[1]


def test_long_names_are_turned_and_keep_inside_the_page() -> None:
    names = [f"orders.eu.{n}.paid.by.card" for n in range(12)]
    picture = matrix({name: dict.fromkeys(names, True) for name in names})
    image = pixels(picture).convert("L")
    for edge in (0, image.width - 12):
        strip = image.crop((edge, 0, edge + 12, image.height))
        assert min(strip.tobytes()) > 240, "nothing is written over the edge"


def test_hostile_text_is_escaped_and_never_interpreted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = matrix(
            {HOSTILE: {HOSTILE: True, "$^$": 1}}, rows=HOSTILE, columns=HOSTILE, yes=HOSTILE, no=HOSTILE, title=HOSTILE,
            marked={(HOSTILE, HOSTILE)}, marked_as=HOSTILE,
        )  # fmt: skip
    is_harmless(picture)


cells = st.dictionaries(
    st.text(max_size=30),
    st.dictionaries(st.text(max_size=30), st.none() | st.booleans() | st.integers() | st.floats(), max_size=4),
    max_size=4,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cells)
def test_any_cells_make_a_picture(given_cells: dict[str, dict[str, Cell]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = matrix(given_cells)
    assert picture.alt.startswith("Matrix of ")
    picture._repr_html_().encode()
