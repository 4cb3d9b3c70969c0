"""The bytes of messages by part: what is cut, counted, drawn and told."""

import re
import warnings
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import HOSTILE, is_a_card_of_its_own, is_harmless, near

from natsdemo.figures import bytes_on_wire
from natsdemo.figures.bytes_on_wire import PARTS, count, parts
from natsdemo.history import History
from natsdemo.testing import story

POST = b"POST /a.b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nrain"
ANSWER = b"HTTP/1.0 204 No Content\r\nServer: y\r\n\r\n"
BARE = b"GET / HTTP/1.1\r\n\r\n"


def named(raw: bytes) -> str:
    """The parts of a message that have a name of their own, in words."""
    return " ".join(f"{part}={piece.decode()}" for part, piece in parts(raw) if part != "blank or line end")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"PUB a.b 4\r\nrain\r\n", "operation=PUB subject=a.b length=4 payload=rain"),
        (b"PUB a.b r.1 4\r\nrain\r\n", "operation=PUB subject=a.b reply=r.1 length=4 payload=rain"),
        (b"PUB a.b  0\r\n\r\n", "operation=PUB subject=a.b length=0"),
        (b"MSG a.b 9 4\r\nrain\r\n", "operation=MSG subject=a.b sid=9 length=4 payload=rain"),
        (b"MSG a.b 9 r 4\r\nrain\r\n", "operation=MSG subject=a.b sid=9 reply=r length=4 payload=rain"),
        (
            b"HPUB a 23 24\r\nNATS/1.0\r\nRain: yes\r\n\r\nx\r\n",
            "operation=HPUB subject=a length=23 length=24 headers=NATS/1.0\r\nRain: yes\r\n\r\n payload=x",
        ),
        (
            b"HMSG a 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n",
            "operation=HMSG subject=a sid=1 reply=r length=12 length=12 headers=NATS/1.0\r\n\r\n",
        ),
        (b"SUB a.* 9\r\n", "operation=SUB subject=a.* sid=9"),
        (b"SUB a.* crew 9\r\n", "operation=SUB subject=a.* queue group=crew sid=9"),
        (b"UNSUB 9\r\n", "operation=UNSUB sid=9"),
        (b"UNSUB 9 2\r\n", "operation=UNSUB sid=9 length=2"),
        (b"PING\r\n", "operation=PING"),
        (b"PING \t\r\n", "operation=PING"),
        (b"pub\ta \t1\nx\r\n", "operation=pub subject=a length=1 payload=x"),
        (b"PUB \x0b 1\r\nx\r\n", "operation=PUB subject=\x0b length=1 payload=x"),
        (b'CONNECT {"a": 1}\r\n', 'operation=CONNECT text={"a": 1}'),
        (b"-ERR 'No'\r\n", "operation=-ERR text='No'"),
        (
            POST,
            "operation=POST subject=/a.b operation= HTTP/1.1 headers=Host: x\r\nContent-Length: 4\r\n\r\n payload=rain",
        ),
        (ANSWER, "operation=HTTP/1.0 204 No Content headers=Server: y\r\n\r\n"),
        (BARE, "operation=GET subject=/ operation= HTTP/1.1 headers=\r\n"),
        (b"HELLO server\r\n", "text=HELLO server\r\n"),
        (b"", ""),
    ],
)  # fmt: skip
def test_a_message_has_parts(raw: bytes, said: str) -> None:
    assert named(raw) == said


@given(st.one_of(st.binary(max_size=80), st.sampled_from([POST, ANSWER, BARE]).flatmap(
    lambda raw: st.integers(0, len(raw)).map(lambda size: raw[:size])
)))  # fmt: skip
def test_no_byte_is_lost_or_made_up(raw: bytes) -> None:
    cut = parts(raw)
    assert b"".join(piece for _, piece in cut) == raw
    assert count(cut).total() == len(raw)
    assert all(piece and part in PARTS for part, piece in cut)


def test_the_numbers_are_told_in_words_and_in_a_table() -> None:
    picture = bytes_on_wire({"by hand": b"PUB a.b 4\r\nrain\r\n", "over HTTP": POST})
    assert picture.caption == f"2 messages: 8 of {17 + len(POST)} bytes are payload."
    assert picture.alt.startswith(picture.caption)
    assert "by hand, 17: operation 3, subject 3, length 1, payload 4, blank or line end 6." in picture.alt
    heads = re.findall(r'<th scope="col">([^<]*)', picture.table)
    assert heads == ["message", "bytes", "operation", "subject", "length", "headers", "payload", "blank or line end"]
    row = re.findall(r"<td>([^<]*)", picture.table)[: len(heads)]
    assert row == ["by hand", "17", "3", "3", "1", "0", "4", "6"]


def test_a_history_gives_a_message_for_each_frame() -> None:
    history = story("b:sub a:pub1 b:got1")
    picture = bytes_on_wire(history.where(kind="frame", subject="orders"))
    told = re.findall(r"(\w+ → \w+), \d+:", picture.alt)
    assert told == ["b → server", "a → server", "server → b"]


@pytest.mark.parametrize("nothing", [History(), {}])
def test_nothing_makes_a_picture_too(nothing: History) -> None:
    assert bytes_on_wire(nothing).alt.endswith("Nothing passed.")


def test_the_longer_the_higher_up_to_four_lines_and_twelve_messages() -> None:
    heights = [bytes_on_wire({"x": b"x" * size}).height for size in (0, 58, 59, 232, 233, 100_000)]
    assert [later > earlier for earlier, later in pairwise(heights)] == [True, True, True, True, False]
    picture = bytes_on_wire({f"m{n}": b"PING\r\n" for n in range(100)})
    assert "m11, 6:" in picture.alt
    assert "m12" not in picture.alt
    assert "And 88 more messages." in picture.alt
    assert "100 messages: 0 of 600 bytes" in picture.alt
    assert "and 40 more rows" in picture.table


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_a_card_of_its_own_at_double_density(dark: bool) -> None:
    picture = bytes_on_wire({"x": b"PUB a 1\r\nx\r\n"}, dark=dark)
    is_a_card_of_its_own(picture, dark)
    for role in ("card", "server", "delivered", "redelivered", "published"):
        assert near(picture, role, dark), role


def test_hostile_text_is_escaped_and_never_interpreted() -> None:
    raw = b"PUB <img/src=x$> 9\r\n$\\alpha$\xff\r\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = bytes_on_wire({HOSTILE: raw, "$x$": HOSTILE.encode("utf-8", "surrogatepass")})
    is_harmless(picture)


@settings(max_examples=15, deadline=None)
@given(label=st.text(max_size=40), raw=st.binary(max_size=300))
def test_any_bytes_make_a_picture(label: str, raw: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bytes_on_wire({label: raw})._repr_html_().encode()
