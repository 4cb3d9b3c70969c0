"""A state by sequence: steps, a floor, marks, and all of it again in words and in a table."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_harmless

from natsdemo import figures
from natsdemo.figures import Picture, states
from natsdemo.figures.states import runs_below


def test_words_and_table_have_the_values() -> None:
    picture = states(
        {"ada": {1: 1000, 3: -20}, "bob": {2: 5}}, floor=0, marks={2: "lunch"}, value="crowns", title="A day"
    )
    assert picture.alt == (
        "States: A day: 2 lines of crowns by sequence number in the stream. "
        "ada: 1,000 at 1, -20 at 3, between -20 and 1,000; under 0 at 3. bob: 5 at 2, 5 at 2, between 5 and 5. "
        "At 2: lunch."
    )
    assert "<tr><td>2</td><td>–</td><td>5</td></tr>" in picture.table
    assert picture.caption == "A day: 2 lines of crowns by sequence number in the stream."


def test_what_is_below_the_floor_is_found_run_by_run() -> None:
    values = {1: 5.0, 2: -1.0, 4: -2.0, 6: 0.0, 9: -1.0}
    assert runs_below(values, 0) == [(2, 4), (9, 9)]
    assert runs_below(values, None) == []
    assert runs_below({}, 0) == []


def test_being_below_the_floor_shows() -> None:
    safe, broke = (states({"ada": {1: 10, 2: low}}, floor=0) for low in (1, -9))
    assert safe.png != broke.png
    assert "under 0" in broke.alt
    assert "under 0" not in safe.alt


def test_nothing_is_said_to_be_nothing() -> None:
    assert "No event, no state." in states({}).alt
    assert "No event, no state." in states({"ada": {}}).alt


def test_what_is_not_drawn_is_counted() -> None:
    picture = states({f"line {n}": {1: n} for n in range(9)}, marks=dict.fromkeys(range(10), "x"))
    assert "Not drawn: 4 more lines and 4 more marks." in picture.alt
    assert picture.table.count("<th scope") == 10


def test_no_number_is_no_value() -> None:
    with pytest.raises(ValueError, match="finite"):
        states({"ada": {1: float("nan")}})


def test_hostile_names_are_escaped() -> None:
    picture = states({HOSTILE: {1: 1}}, marks={1: HOSTILE}, value=HOSTILE, sequence=HOSTILE, title=HOSTILE)
    is_harmless(picture)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.text(max_size=12),
        st.dictionaries(st.integers(0, 10**6), st.integers(-(10**6), 10**6), max_size=70),
        max_size=7,
    ),
    st.dictionaries(st.integers(0, 10**6), st.text(max_size=60), max_size=8),
    st.booleans(),
)
def test_any_states_make_a_picture(lines: dict[str, dict[int, float]], marks: dict[int, str], dark: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = states(lines, marks=marks, floor=0, dark=dark)
    assert isinstance(picture, Picture)
    assert picture.width == figures.picture.WIDTH
    assert picture.png.startswith(b"\x89PNG")
