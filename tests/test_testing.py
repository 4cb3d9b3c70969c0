import pytest

from natsdemo.history import History
from natsdemo.protocol import TO_CLIENT, TO_SERVER
from natsdemo.testing import story


def told(history: History) -> list[str]:
    """Name what passed, without the plumbing at the beginning of connections."""
    return [
        f"{event.client} {event.op} {event.subject}".strip() for event in history if event.op not in ("", "CONNECT")
    ]


def test_a_story_is_real_wire_bytes() -> None:
    history = story("a:pub1 b:got1", stamped=False)
    raw = [event.frame.raw for event in history if event.frame]
    assert raw[1:4] == [b"SUB orders 1\r\n", b"PING\r\n", b"PONG\r\n"]
    assert raw[5:] == [b"PUB orders 3\r\na 1\r\n", b"MSG orders 1 3\r\na 1\r\n"]


def test_messages_carry_stamps_by_default() -> None:
    published, delivered = story("a:pub1 b:got1").where(subject="orders", kind="frame")[1:]
    assert published.frame is not None
    assert delivered.frame is not None
    assert published.frame.headers == delivered.frame.headers == (("Natsdemo-Id", "a-1"),)
    assert (published.direction, delivered.direction) == (TO_SERVER, TO_CLIENT)


def test_a_millisecond_passes_from_word_to_word() -> None:
    history = story("a:pub1 a:pub2 a:pub3!delayed~2")
    assert [(round(e.time, 6), e.held) for e in history.publishes] == [(0, 0), (0.001, 0), (0.002, 0.002)]
    assert history.publishes[2].fate == "delayed"


def test_who_gets_something_subscribed_at_the_beginning() -> None:
    assert told(story("a:pub1 b:got1 c:got1/workers")) == [
        *("b SUB orders", "b PING", "b PONG", "c SUB orders", "c PING", "c PONG"),
        *("a HPUB orders", "b HMSG orders", "c HMSG orders"),
    ]
    assert [event.frame.queue for event in story("a:pub1 c:got1/workers").where(op="SUB") if event.frame] == ["workers"]


@pytest.mark.parametrize("said", ["b:sub?", "b:sub", "b:sub?/workers"])
def test_unless_the_story_says_when(said: str) -> None:
    assert told(story(f"a:pub1 {said} b:got1"))[:2] == ["a HPUB orders", "b SUB orders"]


def test_a_client_that_comes_back_has_a_new_connection() -> None:
    history = story("b:sub b:bye b:sub a:pub1 b:got1")
    assert [event.conn for event in history.where(op="SUB")] == [1, 2]
    assert [(event.kind, event.text) for event in history if event.text] == [
        ("client", "connected"), ("client", "disconnected"), ("client", "connected"), ("client", "connected")
    ]  # fmt: skip


def test_jetstream() -> None:
    history = story("a:jspub1 a:puback1@7 a:jspub2 a:none2 b:jsgot1@7*3 b:pull b:empty")
    frames = [event.frame for event in history if event.frame]
    asked, answered, again, nobody, got, pull, empty = frames[-7:]
    assert asked.reply
    assert asked.reply == answered.subject != again.reply == nobody.subject
    assert answered.payload == b'{"stream": "ORDERS", "seq": 7}'
    assert nobody.status == 503
    assert got.reply == "$JS.ACK.ORDERS.b.3.7.1.1000000000000000000.0"
    assert (empty.status, empty.subject) == (404, pull.reply)


def test_every_word_of_the_table_can_be_told() -> None:
    words = """!drop a:connect=quiet b:connect b:sub b:sub?/workers c:sub b:ping b:pong a:pub1 a:pub2>orders.eu=hello
        a:jspub3 a:puback3@1 a:again3@1 a:puberr3 a:none3 a:reply3=yes b:got1<a b:got2!dropped d:consumer?
        e:consumer=new e:jsgot3/e@1*2 e:pull e:empty b:got9<nobody b:unsub3/workers b:unsub a:refused a:refusedsub
        a:pub4!delayed~2 a:opaque a:bye"""
    history = story(words)
    assert not [event for event in history if event.op == "OPAQUE" and event.client != "a"]
    assert history.clients == ["a", "b", "c", "d", "e"]
    assert [event.text for event in history if event.kind == "fault"] == ["drop"]


@pytest.mark.parametrize(
    "word",
    ["pub1", "a:", "a:shout1", "a:_tell", "a:pub", "a:pub1!eaten", "b:got7", "!", "a:puback1@7", "a:none1",
     "b:jsgot1", "b:empty", "a:connect=loud", "b:got1/nobody", "a:pub1 ~3", "b:unsub1/workers"],
)  # fmt: skip
def test_a_malformed_story_names_the_word(word: str) -> None:
    with pytest.raises(ValueError, match="story") as caught:
        story(f"a:pub1 b:sub {word}")
    assert repr(word.split()[-1]) in str(caught.value)


def test_a_connected_client_does_not_connect_again() -> None:
    with pytest.raises(ValueError, match="'a:connect'"):
        story("a:pub1 a:connect")
