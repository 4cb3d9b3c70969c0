"""For tests, ours and yours: a whole run in one line.

    story("a:pub1 a:pub2 b:got2 b:got1")

is the `History` of a run in which `a` published two messages and `b` got them the wrong way round. It is made of real
wire bytes, so everything that reads a History (guarantees, figures, views) reads it. One millisecond passes from word
to word. See `story` for the words.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from natsdemo.history import FATES, History, pack
from natsdemo.messages import stamp
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, encode

__all__ = ["story"]

_WORD = re.compile(
    r"""(?P<client>\w+) : (?P<verb>[a-z]+\??) (?P<n>[0-9]+)?
    (?: <(?P<publisher>\w+) | >(?P<subject>[^\s/@=!~<]+) | /(?P<name>[\w-]+) | @(?P<seq>[0-9]+) | \*(?P<times>[0-9]+)
      | =(?P<text>[^\s!~]*) | !(?P<fate>[a-z]+) | ~(?P<held>[0-9]+) )*""",
    re.VERBOSE,
).fullmatch
STEP = 0.001  # seconds


def story(text: str, *, subject: str = "orders", stream: str = "ORDERS", stamped: bool = True) -> History:
    """Tell a History in words, `client:what`, separated by blanks.

    ==================  ==============================================================================================
    word                what passes
    ==================  ==============================================================================================
    ``a:pub1``          PUB: a publishes its message 1, stamped (unless ``stamped=False``), with its own payload
    ``a:jspub1``        the same with a reply inbox, as `js.publish` and `request` do
    ``a:puback1@7``     the answer to the last of these: the stream stored it as sequence 7
    ``a:again1@7``      the same, of a duplicate: it had been stored as sequence 7 before
    ``a:puberr1``       the answer: the stream could not
    ``a:none1``         the answer: 503, no responders
    ``a:reply1=yes``    the answer of some service
    ``b:sub``           SUB, PING and its PONG: from now on messages are owed to b
    ``b:sub?``          SUB alone
    ``b:sub/workers``   the same in the queue group workers (also with ?)
    ``b:unsub``         UNSUB; ``b:unsub3``: after three messages
    ``b:got1``          MSG: b gets message 1, of whoever published a 1 last
    ``b:jsgot1@7``      b gets it from its consumer, which is called b: sequence 7 of the stream
    ``b:consumer``      the server describes this consumer: deliver policy all, or ``b:consumer=new``
    ``b:consumer?``     nothing passes: this consumer was made before the recording began
    ``b:pull``          b asks for messages at once (no_wait), and ``b:empty``: the answer, 404, no messages
    ``b:ping b:pong``   PING, and the server's PONG
    ``b:connect``       CONNECT; ``b:connect=quiet`` asks for no echo. Without it, at the first word of b, and after bye
    ``b:bye``           the connection ends
    ``b:opaque``        bytes that are not plain NATS
    ``a:refused``       -ERR: a may not publish to the subject; ``a:refusedsub``: may not subscribe to it
    ``!drop``           a fault event with that text
    ==================  ==============================================================================================

    After the word, in any order: ``@7`` (stream sequence), ``*3`` (delivered for the third time), ``/workers`` (queue
    group; consumer), ``<a`` (whose message, for got and jsgot; it may be one that was never published), ``>orders.eu``
    (another subject), ``=text`` (payload), ``!dropped`` (a fate, see `FATES`), ``~2`` (held: it came two words ago).

    Who gets messages without ever saying ``sub`` or ``consumer`` did so at the beginning.

    :param subject: where messages go that name none.
    :param stream: the JetStream stream.
    :raises ValueError: a word is not one of these, or makes no sense there; it is named.
    """
    words = [_Word.read(word) for word in text.split()]
    said = {(word.client, word.verb) for word in words}
    begun = [
        _Word.read(f"{word.client}:{begins}" + (f"/{word.name}" if word.name else ""))
        for word in words
        if (begins := _BEGINS.get(word.verb)) and not {(word.client, begins), (word.client, f"{begins}?")} & said
    ]
    teller = _Teller(subject, stream, stamped)
    for word in [*dict.fromkeys(begun), *words]:
        teller.tell(word)
    return teller.history


_BEGINS = {"got": "sub", "jsgot": "consumer"}


class _Word(NamedTuple):
    """One word, taken apart. A fault has only a text."""

    word: str
    client: str = ""
    verb: str = ""
    n: str = ""
    publisher: str = ""
    subject: str = ""
    name: str = ""
    seq: str = ""
    times: str = ""
    text: str = ""
    fate: str = ""
    held: str = ""

    @classmethod
    def read(cls, word: str) -> _Word:
        if word[:1] == "!" and len(word) > 1:
            return cls(word, verb="!", text=word[1:])
        found = _WORD(word)
        if not found or (found["fate"] or "forwarded") not in FATES:
            raise ValueError(f"not a word of a story: {word!r}")
        return cls(word, *(part or "" for part in found.groups()))


@dataclass
class _Client:
    conn: int = 0  # 0: not connected
    sids: int = 0
    subscriptions: dict[str, str] = field(default_factory=dict)  # the sid of each queue group, "" without
    last: str = "1"  # the sid of the last subscription
    pulls: str = ""  # where answers to a pull go
    published: dict[int, Frame] = field(default_factory=dict)


class _Teller:
    """Writes the History, word by word."""

    def __init__(self, subject: str, stream: str, stamped: bool) -> None:
        self.history = History()
        self.subject, self.stream, self.stamped = subject, stream, stamped
        self.now = 0.0
        self.conns = 0
        self.clients: dict[str, _Client] = defaultdict(_Client)
        self.publisher: dict[int, str] = {}  # who published this number last
        self.delivered = 0
        self.stored: set[int] = set()
        self.verbs: dict[str, Callable[[], None]] = {
            "!": self.fault,
            "connect": self.connect,
            "bye": self.bye,
            "opaque": lambda: self.pass_bytes(TO_SERVER, b"\x16\x03\x01", opaque=True),
            "ping": lambda: self.pass_frame(TO_SERVER, Frame("PING")),
            "pong": lambda: self.pass_frame(TO_CLIENT, Frame("PONG")),
            "pub": lambda: self.publish(""),
            "jspub": lambda: self.publish(f"_INBOX.{self.word.client}.{self.word.n}.{len(self.history)}"),
            "puback": self.store,
            "again": lambda: self.answer({"stream": self.stream, "seq": int(self.word.seq), "duplicate": True}),
            "puberr": lambda: self.answer(
                {"error": {"code": 503, "description": "no"}, "stream": self.stream, "seq": 0}
            ),
            "reply": lambda: self.answer(self.word.text),
            "none": self.no_responders,
            "sub": self.subscribe_surely,
            "sub?": self.subscribe,
            "unsub": self.unsubscribe,
            "got": self.get,
            "jsgot": self.get_from_consumer,
            "consumer": self.describe_consumer,
            "consumer?": self.subscribe_inbox,
            "pull": self.pull,
            "empty": self.find_nothing,
            "refused": lambda: self.refuse("Publish"),
            "refusedsub": lambda: self.refuse("Subscription"),
        }

    def tell(self, word: _Word) -> None:
        self.word, self.client = word, self.clients[word.client]
        self.now += STEP
        if word.verb not in self.verbs:
            raise self.nonsense()
        if not self.client.conn and word.verb not in ("!", "connect"):
            self.open("")
        try:
            self.verbs[word.verb]()
        except (KeyError, ValueError):
            raise self.nonsense() from None

    def nonsense(self) -> ValueError:
        return ValueError(f"makes no sense in this story: {self.word.word!r}")

    # Bytes

    def pass_frame(self, direction: str, frame: Frame) -> None:
        self.pass_bytes(direction, encode(frame))

    def pass_bytes(self, direction: str, data: bytes, opaque: bool = False) -> None:
        fate, held = self.word.fate or "forwarded", int(self.word.held or 0) * STEP
        packed = pack(self.now, data, conn=self.client.conn, direction=direction, fate=fate, held=held, opaque=opaque)
        self.history.feed(packed)

    def fault(self) -> None:
        self.history.add(self.now, "fault", self.word.text)

    def open(self, options: str) -> None:
        self.conns += 1
        self.client.conn = self.conns
        said = {"name": self.word.client, "echo": options != "quiet", "headers": True, "protocol": 1}
        self.history.add(self.now, "client", "connected", conn=self.conns)
        encoded = encode(Frame("CONNECT", payload=json.dumps(said).encode()))
        self.history.feed(pack(self.now, encoded, conn=self.conns, direction=TO_SERVER))

    def connect(self) -> None:
        if self.client.conn or self.word.text not in ("", "quiet"):
            raise self.nonsense()
        self.open(self.word.text)

    def bye(self) -> None:
        self.history.add(self.now, "client", "disconnected", conn=self.client.conn)
        self.client.conn = 0

    # Publishing

    def publish(self, reply: str) -> None:
        word = self.word
        n = int(word.n)
        payload = word.text or f"{word.client} {n}"
        headers = tuple(stamp(word.client, n).items()) if self.stamped else None
        frame = Frame(
            "HPUB" if headers else "PUB",
            word.subject or self.subject,
            reply=reply,
            headers=headers,
            payload=payload.encode(),
        )
        self.client.published[n], self.publisher[n] = frame, word.client
        self.pass_frame(TO_SERVER, frame)

    def store(self) -> None:
        self.stored.add(int(self.word.seq))
        self.answer({"stream": self.stream, "seq": int(self.word.seq)})

    def answer(self, said: object) -> None:
        reply = self.client.published[int(self.word.n)].reply
        payload = said if isinstance(said, str) else json.dumps(said)
        self.pass_frame(TO_CLIENT, Frame("MSG", self.addressed(reply), sid="inbox", payload=payload.encode()))

    def no_responders(self) -> None:
        reply = self.client.published[int(self.word.n)].reply
        self.pass_frame(TO_CLIENT, Frame("HMSG", self.addressed(reply), sid="inbox", headers=(), status=503))

    def addressed(self, reply: str) -> str:
        if not reply:
            raise self.nonsense()
        return reply

    def refuse(self, what: str) -> None:
        text = f'Permissions Violation for {what} to "{self.word.subject or self.subject}"'
        self.pass_frame(TO_CLIENT, Frame("-ERR", payload=text.encode()))

    # Receiving

    def subscribe(self) -> None:
        self.client.sids += 1
        self.client.last = self.client.subscriptions[self.word.name] = str(self.client.sids)
        self.pass_frame(
            TO_SERVER, Frame("SUB", self.word.subject or self.subject, sid=self.client.last, queue=self.word.name)
        )

    def subscribe_surely(self) -> None:
        self.subscribe()
        self.pass_frame(TO_SERVER, Frame("PING"))
        self.pass_frame(TO_CLIENT, Frame("PONG"))

    def unsubscribe(self) -> None:
        self.pass_frame(TO_SERVER, Frame("UNSUB", sid=self.sid(), max_msgs=int(self.word.n or 0)))

    def sid(self) -> str:
        return self.client.subscriptions[self.word.name] if self.word.name else self.client.last

    def get(self) -> None:
        self.deliver(self.sid(), "")

    def get_from_consumer(self) -> None:
        self.delivered += 1
        seq, times = int(self.word.seq), int(self.word.times or 1)
        pending = sum(stored > seq for stored in self.stored)
        tokens = "$JS.ACK", self.stream, self.word.name or self.word.client, times, seq, self.delivered, 10**18, pending
        self.deliver("inbox", ".".join(map(str, tokens)))

    def deliver(self, sid: str, reply: str) -> None:
        n = int(self.word.n)
        publisher = self.word.publisher or self.publisher[n]
        frame = self.clients[publisher].published.get(n)
        if not frame:
            headers = tuple(stamp(publisher, n).items()) if self.stamped else None
            frame = Frame("PUB", self.subject, headers=headers, payload=f"{publisher} {n}".encode())
        payload = self.word.text.encode() or frame.payload
        op = "MSG" if frame.headers is None else "HMSG"
        subject = self.word.subject or frame.subject
        self.pass_frame(TO_CLIENT, Frame(op, subject, sid, reply=reply, headers=frame.headers, payload=payload))

    # JetStream

    def subscribe_inbox(self) -> None:
        self.pass_frame(TO_SERVER, Frame("SUB", f"_INBOX.{self.word.client}.*", sid="inbox"))

    def describe_consumer(self) -> None:
        self.subscribe_inbox()
        name = self.word.name or self.word.client
        asked = f"$JS.API.CONSUMER.CREATE.{self.stream}.{name}"
        self.pass_frame(TO_SERVER, Frame("PUB", asked, reply=f"_INBOX.{self.word.client}.new"))
        config = {"durable_name": name, "deliver_policy": self.word.text or "all", "filter_subject": self.word.subject}
        said = {"type": "io.nats.jetstream.api.v1.consumer_create_response", "stream_name": self.stream, "name": name,
                "config": config}  # fmt: skip
        payload = json.dumps(said).encode()
        self.pass_frame(TO_CLIENT, Frame("MSG", f"_INBOX.{self.word.client}.new", sid="inbox", payload=payload))

    def pull(self) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.word.name or self.word.client}"
        self.client.pulls = f"_INBOX.{self.word.client}.pull"
        self.pass_frame(
            TO_SERVER, Frame("PUB", subject, reply=self.client.pulls, payload=b'{"batch":1,"no_wait":true}')
        )

    def find_nothing(self) -> None:
        self.pass_frame(
            TO_CLIENT, Frame("HMSG", self.addressed(self.client.pulls), sid="inbox", headers=(), status=404)
        )
