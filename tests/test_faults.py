"""Faults as values, and what each does to the frames of one link: no sockets, and time is a number."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsdemo import faults
from natsdemo.faults import Armed, Fault, delay, drop, duplicate, parse, partition, reorder, reset, stall, throttle
from natsdemo.history import History
from natsdemo.protocol import TO_CLIENT, TO_SERVER, Frame, decode, encode
from natsdemo.tap.link import Link, Passed


def pub(subject: str, payload: bytes = b"") -> bytes:
    return encode(Frame("PUB", subject=subject, payload=payload))


def msg(sid: int, payload: bytes, subject: str = "orders") -> bytes:
    return encode(Frame("MSG", subject=subject, sid=str(sid), payload=payload))


def msgs(*payloads: int | str, sid: int = 1) -> bytes:
    return b"".join(msg(sid, f"{payload}".encode()) for payload in payloads)


def payloads(data: bytes) -> str:
    """What messages carry, in their order."""
    return b" ".join(re.findall(rb"(?:MSG|PUB)[^\n]*\n([^\r]*)\r\n", data)).decode()


def fates(records: bytes) -> list[tuple[str, str]]:
    history = History()
    history.feed(records)
    return [(event.frame.payload.decode(), event.fate) for event in history if event.frame]


class Clocked:
    """A link that delivers what is due, whenever it is due, and keeps what came of it."""

    def __init__(self, *armed: Fault, direction: str = TO_CLIENT) -> None:
        self.link = Link(1, direction)
        self.armed = [Armed(fault) for fault in armed]
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self.records = b""
        self.hits: list[str] = []

    def take(self, data: bytes) -> "Clocked":
        self._keep(self.link.take(data, self.now, self.armed))
        return self

    def wait(self, seconds: float) -> "Clocked":
        end = self.now + seconds
        while (due := self.link.next_due()) is not None and due <= end:
            self.now = max(due, self.now)
            self._keep(self.link.take(b"", self.now, self.armed))
        self.now = end
        return self

    def heal(self) -> "Clocked":
        self.armed.clear()
        self.link.shape(self.now, stalled=False, rate=0)
        return self.take(b"")

    def _keep(self, passed: Passed) -> None:
        if passed.data:
            self.sent.append((round(self.now, 6), payloads(passed.data)))
        self.records += passed.records
        self.hits += [decode(hit.raw).payload.decode() for hit in passed.hits]

    @property
    def order(self) -> str:
        return " ".join(text for _, text in self.sent)


# Values


WORDS = st.text(st.characters(exclude_characters=". \t\r\n*>", exclude_categories=["Cs"]), min_size=1, max_size=8)
SUBJECTS = st.lists(WORDS | st.just("*"), min_size=1, max_size=4).map(".".join)
AMOUNTS = st.one_of(
    st.just({}),
    *(st.fixed_dictionaries({name: st.integers(1, 10**6)}) for name in ("nth", "first", "every")),
    st.fixed_dictionaries({"probability": st.floats(0, 1)}),
)
WHERE = st.fixed_dictionaries({}, optional={"client": st.text(max_size=20), "node": st.text(max_size=20)})
SECONDS = st.floats(0.001, 100)


@st.composite
def any_fault(draw: st.DrawFn) -> Fault:
    where = draw(WHERE)
    make = draw(st.sampled_from([drop, delay, duplicate, reorder, reset, stall, throttle, partition, "reset at once"]))
    if make == "reset at once" or make is partition:
        return (partition if make is partition else reset)(**where)
    if make in (stall, throttle):
        where |= draw(st.fixed_dictionaries({}, optional={"direction": st.sampled_from([TO_SERVER, TO_CLIENT])}))
        return stall(**where) if make is stall else throttle(draw(st.floats(1, 1e9)), **where)
    op = draw(st.sampled_from(list(faults._OPS)))
    what = where | draw(AMOUNTS)
    if op in ("PUB", "MSG", "SUB") and draw(st.booleans()):
        what["subject"] = draw(SUBJECTS)
    if make is delay:
        return delay(op, draw(SECONDS), draw(st.none() | st.floats(0, 10)), **what)
    if make is reorder:
        return reorder(op, draw(SECONDS), **what)
    made: Fault = make(op, **what)  # type: ignore[operator]
    return made


@given(any_fault())
def test_a_fault_is_read_back_from_its_text(fault: Fault) -> None:
    assert parse(str(fault)) == fault
    assert "\n" not in str(drop("PUB", subject="orders.>"))


def test_the_text_is_what_a_person_would_write() -> None:
    for text in ("drop PUB subject=orders.> nth=3", "stall direction=to_client", "reset", "delay MSG seconds=0.5"):
        assert str(parse(text)) == text
    assert parse("drop pub") == drop("PUB")
    assert parse("reorder MSG") == reorder("MSG")
    assert parse("partition 'client=the till'") == partition(client="the till")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "'",
        "lose PUB",
        "drop",
        "drop XYZ",
        "drop PUB now",
        "drop PUB sooner=1",
        "drop PUB op=MSG",
        "drop PUB kind=stall",
        "drop PUB nth=1 nth=2",
        "drop PUB nth=0",
        "drop PUB nth=1.5",
        "drop PUB nth=2 first=3",
        "drop PUB every=x",
        "drop PUB probability=1.5",
        "drop PUB probability=nan",
        "drop PUB seconds=1",
        "drop PUB subject=a..b",
        "drop PUB subject=>.a",
        "drop PUB subject=",
        "drop PUB direction=to_client",
        "drop PUB direction=up",
        "drop PING subject=a",
        "delay PUB",
        "delay PUB seconds=-1",
        "delay PUB seconds=inf",
        "stall PUB",
        "stall nth=1",
        "stall subject=a",
        "throttle",
        "throttle bytes_per_second=0",
        "partition direction=to_client",
        "reset direction=to_client",
        "reset nth=2",
    ],
)
def test_nonsense_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]{10,160}[.]$"):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_fault_or_an_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize("wrong", [{"nth": True}, {"nth": "2"}, {"probability": "0.5"}, {"client": 7}])
def test_values_of_the_wrong_type_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        drop("PUB", **wrong)


# What is hit


def hits(fault: Fault, *frames: bytes, seed: int = 0) -> str:
    armed = Armed(fault, seed)
    return " ".join(f"{n}" for n, raw in enumerate(frames, 1) if armed.hit(decode(raw)))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (drop("PUB"), "1 2 3 4 5 6"),
        (drop("PUB", nth=2), "2"),
        (drop("PUB", first=2), "1 2"),
        (drop("PUB", every=3), "3 6"),
        (drop("PUB", probability=0), ""),
        (drop("PUB", probability=1), "1 2 3 4 5 6"),
        (drop("MSG"), ""),
    ],
)
def test_how_much_is_hit(fault: Fault, expected: str) -> None:
    assert hits(fault, *[pub("orders")] * 6) == expected


def test_with_a_seed_chance_repeats_itself() -> None:
    frames = [pub("orders")] * 200
    fault = drop("PUB", probability=0.5)
    assert hits(fault, *frames, seed=1) == hits(fault, *frames, seed=1)
    assert hits(fault, *frames, seed=1) != hits(fault, *frames, seed=2)
    assert 60 < len(hits(fault, *frames).split()) < 140
    seconds = [Armed(delay("PUB", 1, jitter=0.5), seed).seconds() for seed in (1, 1, 2)]
    assert seconds[0] == seconds[1] != seconds[2]
    assert all(0.5 <= each <= 1.5 for each in seconds)


def test_without_a_subject_only_the_application_is_hit() -> None:
    frames = [
        pub("orders.new"),
        pub("_INBOX.x.y"),
        pub("$JS.API.INFO"),
        pub("$JS.ACK.s.c.1.1.1.1.0"),
        pub("orders.old"),
    ]
    assert hits(drop("PUB"), *frames) == "1 5"
    assert hits(drop("PUB", nth=2), *frames) == "5"
    assert hits(drop("PUB", subject="_INBOX.>"), *frames) == "2"
    assert hits(drop("PUB", subject="$JS.ACK.>"), *frames) == "4"
    assert hits(drop("PUB", subject="orders.*", nth=2), *frames) == "5"


def test_headers_make_no_other_operation() -> None:
    with_headers = encode(Frame("HPUB", subject="orders", headers=(("a", "b"),)))
    assert hits(drop("PUB"), with_headers, pub("orders")) == "1 2"


def test_whom_a_fault_concerns() -> None:
    armed = Armed(drop("PUB", client="alice", node="n1"))
    assert armed.concerns("alice", "n1", TO_SERVER)
    assert not armed.concerns("bob", "n1", TO_SERVER)
    assert not armed.concerns("alice", "n2")
    one_way = Armed(stall(direction=TO_CLIENT))
    assert one_way.concerns("bob", "n2")
    assert one_way.concerns("bob", "n2", TO_CLIENT)
    assert not one_way.concerns("bob", "n2", TO_SERVER)


# What happens to it


def test_drop() -> None:
    link = Clocked(drop("MSG", nth=2)).take(msgs(1, 2, 3))
    assert link.order == "1 3"
    assert fates(link.records) == [("1", "forwarded"), ("2", "dropped"), ("3", "forwarded")]
    assert link.hits == ["2"]


def test_duplicate() -> None:
    link = Clocked(duplicate("MSG", nth=2)).take(msgs(1, 2, 3))
    assert link.order == "1 2 2 3"
    assert fates(link.records)[1:3] == [("2", "forwarded"), ("2", "duplicated")]
    assert Clocked(duplicate("MSG"), duplicate("MSG")).take(msgs(1)).order == "1 1 1"


def test_delay_keeps_the_order() -> None:
    link = Clocked(delay("MSG", 0.5, nth=2)).take(msgs(1, 2, 3)).wait(0.2).take(msgs(4)).wait(1)
    assert link.sent == [(0.0, "1"), (0.5, "2 3 4")]
    assert dict(fates(link.records)) == {"1": "forwarded", "2": "delayed", "3": "forwarded", "4": "forwarded"}


def test_delay_with_jitter_stays_within_it() -> None:
    link = Clocked(delay("MSG", 0.5, jitter=0.2))
    for n in range(20):
        link.take(msgs(n)).wait(5)
    lags = [at - 5 * n for n, (at, _) in enumerate(link.sent)]
    assert all(0.3 <= lag <= 0.7 for lag in lags)
    assert len(set(lags)) == 20


def test_reorder_swaps_neighbours() -> None:
    link = Clocked(reorder("MSG", nth=2)).take(msgs(1, 2, 3, 4))
    assert link.order == "1 3 2 4"
    assert dict(fates(link.records))["2"] == "reordered"
    assert link.hits == ["2"]
    assert Clocked(reorder("MSG")).take(msgs(1, 2, 3, 4)).order == "2 1 4 3"
    assert Clocked(reorder("MSG", every=2)).take(msgs(1, 2, 3, 4, 5, 6)).wait(1).order == "1 3 2 5 4 6"


def test_reorder_that_cannot_act_is_no_hit() -> None:
    link = Clocked(reorder("MSG", first=2)).take(msgs(1, 2, 3))
    assert link.order == "2 1 3"
    assert link.hits == ["1"]


def test_reorder_looks_for_a_neighbour_in_the_same_subscription() -> None:
    link = (
        Clocked(reorder("MSG", nth=1)).take(msgs(1, sid=7) + msgs("x", "y", sid=8) + b"PING\r\n").take(msgs(2, sid=7))
    )
    assert link.order == "x y 2 1"
    both = Clocked(reorder("MSG", first=2)).take(
        msgs("a", sid=7) + msgs("x", sid=8) + msgs("b", sid=7) + msgs("y", sid=8)
    )
    assert both.order == "b a y x"


def test_reorder_looks_for_a_neighbour_among_what_it_means() -> None:
    link = Clocked(reorder("PUB", subject="orders"), direction=TO_SERVER)
    link.take(pub("orders", b"1") + pub("$JS.API.x", b"api") + pub("other", b"x") + pub("orders", b"2"))
    assert link.order == "api x 2 1"


def test_reorder_releases_on_its_deadline() -> None:
    link = Clocked(reorder("MSG", 0.2, nth=2)).take(msgs(1, 2)).wait(5)
    assert link.sent == [(0.0, "1"), (0.2, "2")]


def test_a_copy_does_not_wait_with_a_swap() -> None:
    link = Clocked(duplicate("MSG", nth=1), reorder("MSG", nth=1)).take(msgs(1) + msgs("x", sid=9))
    assert link.sent == [(0.0, "1 x")]
    assert link.wait(1).order == "1 x 1"


def test_stall_holds_and_heals() -> None:
    link = Clocked()
    link.link.shape(0, stalled=True, rate=0)
    link.take(msgs(1, 2)).wait(5)
    assert not link.sent
    assert link.link.waiting == len(msgs(1, 2))
    assert link.heal().sent == [(5.0, "1 2")]
    assert link.link.waiting == 0


def test_throttle_passes_its_rate_and_no_more() -> None:
    link = Clocked()
    link.link.shape(0, stalled=False, rate=1000)
    size = len(msgs(1))
    for n in range(100):
        link.take(msgs(n % 10))
    link.wait(1)
    assert size * len(link.order.split()) == pytest.approx(1000, rel=0.03)
    link.wait(10)
    assert link.sent[-1][0] == pytest.approx(100 * size / 1000)
    link.wait(10)
    passed = len(link.sent)
    link.take(msgs(1) * 2).wait(size / 1000)
    assert len(link.sent) == passed + 1, "idle time is not saved up"


def test_throttle_keeps_its_rate_though_it_wakes_late() -> None:
    link = Link(1, TO_CLIENT)
    link.shape(0, stalled=False, rate=100_000)
    size = len(msgs(1))
    link.take(msgs(1) * 10_000, 0)
    sent = sum(len(link.take(b"", 0.01 * n).data) for n in range(101))  # every 10 ms, 45 times too late
    assert sent == pytest.approx(100_000, abs=2 * size)


def test_a_throttle_that_ends_leaves_nothing_behind() -> None:
    link = Clocked()
    link.link.shape(0, stalled=False, rate=1)
    link.take(msgs(1, 2)).wait(3)
    assert not link.sent
    link.heal()
    assert link.take(msgs(3)).sent == [(3.0, "1 2"), (3.0, "3")]


def test_reset_cuts_its_frame_and_all_behind_it() -> None:
    link = Clocked(reset("MSG", nth=2)).take(msgs(1, 2, 3) + b"MSG a 1 9\r\nhal")
    link.records += link.link.cut(0)
    assert link.order == "1"
    assert fates(link.records) == [("1", "forwarded"), ("2", "cut"), ("3", "cut"), ("", "cut")]


def test_the_first_fault_that_loses_a_frame_ends_its_story() -> None:
    link = Clocked(duplicate("MSG", nth=1), drop("MSG", nth=1), reset("MSG", nth=2)).take(msgs(1, 2, 3))
    assert link.hits == ["1", "2"]
    assert fates(link.records) == [("1", "dropped"), ("2", "cut"), ("3", "cut")]


def test_every_fault_says_what_it_stands_in_for() -> None:
    for kind in faults.KINDS:
        assert "tands in for" in " ".join((getattr(faults, kind).__doc__ or "").split())
