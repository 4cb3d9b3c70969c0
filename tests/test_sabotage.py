"""The kit's own mutation test: over a wire that misbehaves, a lesson must notice, or survive for a reason."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from natsdemo.cli.notebooks import find_lessons


class Row(NamedTuple):
    """A lesson over a misbehaving wire: the claim that must catch it, or why no claim need to."""

    lesson: str
    sabotage: str
    caught_by: str | None = None
    survives_because: str | None = None


THREE_IN_ORDER = "Bob heard three messages, in the order in which Alice sent them."

TABLE = [
    Row("00", "drop MSG subject=hello nth=1", caught_by="Bob heard what Alice said, once."),
    Row("00", "duplicate MSG subject=hello nth=1", caught_by="Bob heard what Alice said, once."),
    Row("00", "drop PUB subject=story nth=1", caught_by="Only the second message is missing."),
    Row("00", "delay MSG seconds=0.05", survives_because="no claim is about time, and TCP keeps the order"),
    Row("01", "drop MSG subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "drop PUB subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "duplicate MSG subject=weather.oslo nth=1", caught_by=THREE_IN_ORDER),
    Row("01", "duplicate PUB subject=weather.oslo nth=3", caught_by=THREE_IN_ORDER),
    Row("01", "reorder MSG subject=weather.oslo nth=1", caught_by=THREE_IN_ORDER),
    Row("01", "reorder PUB subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "reset PUB subject=weather.oslo nth=2", caught_by=THREE_IN_ORDER),
    Row("01", "drop MSG probability=0.2", caught_by=THREE_IN_ORDER),
    Row("01", "drop MSG subject=weather.bergen nth=3", caught_by="Each of three subscribers got its own copy."),
    Row("01", "drop MSG subject=news nth=777", caught_by="As many copies came out as there were subscriptions."),
    Row("01", "delay MSG seconds=0.01 every=50", survives_because="no claim is about time, and TCP keeps the order"),
    Row("02", "drop PUB subject=orders.placed nth=1", caught_by="The mail for the order went out."),
    Row("02", "drop MSG subject=orders.placed client=audit nth=1", caught_by="The audit heard the next order."),
    Row("02", "duplicate MSG subject=orders.shipped nth=4", caught_by="The mail, restarted, hears what comes now."),
    Row("02", "reorder MSG subject=orders.shipped nth=5", caught_by="The mail, restarted, hears what comes now."),
    Row("02", "reset PUB subject=orders.shipped nth=5", caught_by="Nobody else was cut off, or sent an error."),
    Row("02", "drop MSG subject=orders.shipped nth=20", caught_by="Each order was handed to one of the two."),
    Row("02", "drop MSG subject=price nth=1", caught_by="The clerk got the price."),
    Row(
        "02",
        "delay MSG seconds=0.02",
        survives_because="work has a least time, no claim has a most, and TCP keeps the order",
    ),
    Row("03", "drop MSG subject=weather.oslo nth=1", caught_by="Four typed lines and a payload made us a NATS client."),
    Row("03", "drop PUB subject=greetings nth=2", caught_by="Bob was sent the same bytes, typed or by nats-py."),
    Row("03", "duplicate MSG subject=greetings nth=1", caught_by="Bob was sent the same bytes, typed or by nats-py."),
    Row("03", "drop MSG subject=my", caught_by="A blank in a subject was no error: it made another subject."),
    Row("03", "drop MSG subject=me nth=2", caught_by="PUB and SUB were enough to make a stream and get its puback."),
    Row("03", "reset PUB subject=roll.call nth=3", caught_by="All the same Bob was sent every roll call, once."),
    Row("03", "drop PUB subject=typed.rome", caught_by="A confirmed message took most of HTTP's bytes"),
    Row(
        "03",
        "reorder PUB subject=roll.call every=3",
        survives_because="the same forty come, and none is told from another",
    ),
    Row("03", "delay MSG seconds=0.05", survives_because="no claim is about time, and TCP keeps the order"),
    Row("04", "drop MSG subject=door.> client=carol nth=2", caught_by="Carol heard all three subjects"),
    Row("04", "reorder MSG subject=door.> client=bob nth=1", caught_by="Bob heard what fits `door.*.open`"),
    Row("04", "drop MSG subject=orders.new nth=3", caught_by="On every pair the server does what `matches`"),
    Row("04", "duplicate MSG subject=orders.new.eu nth=1", caught_by="On every pair the server does what `matches`"),
    Row("04", "reset PUB subject=price nth=100", caught_by="While the weights changed under load, no message"),
    Row("04", "reorder PUB subject=cart.ann nth=3", caught_by="Each worker got its messages in the order"),
    Row("04", "drop MSG subject=quote client=carol nth=50", caught_by="Without the mapping nothing is lost"),
    Row("04", "delay MSG seconds=0.01 every=50", survives_because="no claim is about time, and TCP keeps the order"),
    Row("05", "drop MSG subject=posters nth=1", caught_by="Three subscribed, and one of them got the message."),
    Row("05", "duplicate MSG subject=orders.new nth=77", caught_by="What one of them got, the other did not."),
    Row("05", "drop PUB subject=coins nth=1234", caught_by="Each message went to one hand."),
    Row("05", "reorder MSG subject=parcels nth=20", caught_by="Each worker got its parcels in order."),
    Row("05", "drop MSG subject=jobs.monday nth=200", caught_by="On Monday the wire lost nothing."),
    Row("05", "duplicate PUB subject=jobs.tuesday nth=40", caught_by="And nothing came twice on Tuesday."),
    Row("05", "reset PUB subject=jobs.tuesday nth=60", caught_by="Workers came and went, and the wire lost nothing."),
    Row("05", "drop PUB subject=tea.two nth=30", caught_by="A patient drain missed nothing, though idle."),
    Row(
        "05",
        "delay MSG subject=coins seconds=0.01 every=50",
        survives_because="no claim is about time, and TCP keeps the order",
    ),
    Row("06", "drop MSG subject=time nth=1", caught_by="The answer came to the address that Ann made up."),
    Row("06", "drop PUB subject=_INBOX.> nth=2", caught_by="`request` does on the wire what we did by hand."),
    Row("06", "drop MSG subject=quote nth=2", caught_by="Three services did the work."),
    Row("06", "duplicate MSG subject=math.root nth=5", caught_by="Two instances shared 21 requests, each got by one"),
    Row("06", "drop PUB subject=pay.* nth=2", caught_by="The bank had paid in two of the three."),
    Row("06", "reset MSG subject=pay.unheard", caught_by="Ann was told the same thing three times."),
    Row("06", "drop MSG probability=0.1", caught_by="Twenty roots came back."),
    Row("06", "duplicate MSG subject=till.once nth=2", survives_because="with its key, a request may come twice"),
    Row("07", "drop MSG subject=plant.7 nth=4", caught_by="The sensor that sent first was heard last."),
    Row("07", "reorder PUB subject=plant.* nth=15", caught_by="Each sensor's own order was kept."),
    Row("07", "drop MSG subject=_INBOX.> nth=2", caught_by="The first five offers are the quick ones"),
    Row("07", "duplicate MSG subject=_INBOX.> nth=2", caught_by="The first five offers are the quick ones"),
    Row("07", "drop MSG subject=atlas nth=10", caught_by="Three questions to seven shops made 21 answers."),
    Row("07", "drop MSG subject=orders.parsed nth=5", caught_by="The slow stage was sent every order."),
    Row("07", "reset PUB subject=bills.raw nth=50", caught_by="All hundred bills were stored, in order."),
    Row("07", "drop MSG subject=bills.stored nth=7", survives_because="a lost credit costs pace, and no bill"),
    Row("08", "drop MSG subject=lamps.paid.1 nth=1", caught_by="The lamp came, once."),
    Row("08", "duplicate PUB subject=lamps.placed.1", caught_by="The lamp came, once."),
    Row("08", "drop PUB subject=vases.paid.902", caught_by="Both vases were sent."),
    Row("08", "drop MSG subject=books.paid.20 nth=1", caught_by="The event of book 20 came twice to shipping."),
    Row("08", "reorder PUB subject=chairs.placed.* nth=2", caught_by="Order 42 has a receipt and a cancellation."),
    Row("08", "reset PUB subject=clocks.placed.500", caught_by="The three orders hang."),
    Row("08", "drop MSG subject=rings.paid.60 nth=1", caught_by="In the end ring 60 was charged once and sent once."),
    Row(
        "08",
        "duplicate PUB subject=chairs.placed.41",
        survives_because="a saga's sum holds: a fourth order fails too, and is refunded",
    ),
    Row("09", "drop MSG subject=hello nth=2", caught_by="On a good day all five stations count three."),
    Row("09", "drop PUB subject=orders nth=500", caught_by="One run of a thousand orders is missing."),
    Row("09", "duplicate MSG subject=orders nth=700", caught_by="All others came once, in order."),
    Row("09", "reorder MSG subject=orders nth=700", caught_by="All others came once, in order."),
    Row("09", "reset PUB subject=orders nth=500", caught_by="One run of a thousand orders is missing."),
    Row("09", "drop PUB subject=ticks nth=400", caught_by="All thousand ticks came to Carol's client."),
    Row("09", "drop MSG subject=ticks nth=3", caught_by="All thousand ticks came to Carol's client."),
    Row("09", "drop MSG subject=barred nth=50", caught_by="With the barrier, all hundred were there"),
    Row("10", "drop PUB subject=weather.rome nth=1", caught_by="A puback names a stream and a sequence."),
    Row("10", "drop MSG subject=weather.rome nth=2", caught_by="Carol came late and missed nothing."),
    Row("10", "drop PUB subject=$JS.ACK.WEATHER.> nth=1", caught_by="For Carol, who has acked both, nothing waits."),
    Row("10", "reset PUB subject=interest.rome nth=3", caught_by="Each stream acknowledged all ten."),
    Row("10", "drop PUB subject=$JS.ACK.interest.> nth=20", caught_by="Interest ends with the last consumer's ack."),
    Row("10", "duplicate PUB subject=old nth=4", caught_by="What Bob lacks are the two oldest orders."),
    Row("10", "drop MSG subject=disk.kill nth=50", caught_by="After `kill -9` each of them is there, under the number"),
    Row(
        "10", "reorder MSG subject=room nth=4", survives_because="what is kept does not depend on the order of reading"
    ),
    Row("10b", "drop PUB subject=orders.kept nth=100", caught_by="Two hundred orders were acknowledged."),
    Row("10b", "drop MSG subject=_INBOX.> nth=60", caught_by="Two hundred orders were acknowledged."),
    Row(
        "10b",
        "drop MSG subject=orders.killed nth=50",
        caught_by="A killed process loses no order that it acknowledged.",
    ),
    Row("10b", "reset PUB subject=orders.cut nth=10", caught_by="After it, a hundred acknowledged orders are gone."),
    Row("10b", "duplicate MSG subject=orders.again nth=5", caught_by="What was said again after a cut is all there."),
    Row(
        "10b", "duplicate PUB every=7", survives_because="every order has its Nats-Msg-Id, so the stream knows it again"
    ),
    Row("10b", "reorder MSG subject=orders.again nth=3", survives_because="orders are compared by sequence number"),
    Row("11", "drop MSG subject=letters nth=2", caught_by="It knew of five out, and two of them unanswered."),
    Row("11", "drop MSG subject=letters nth=4", survives_because="the clerk would not have answered that one anyhow"),
    Row("11", "drop PUB subject=$JS.ACK.LETTERS.> nth=2", caught_by="It knew of five out, and two of them unanswered."),
    Row("11", "drop MSG subject=cakes nth=2", caught_by="All eight were out before the first was done."),
    Row("11", "drop PUB subject=$JS.ACK.PIES.> nth=30", caught_by="Eight pies were baked, each once."),
    Row("11", "drop PUB subject=$JS.ACK.CALLS.> nth=1", caught_by="Two came again: nak, and no answer."),
    Row("11", "drop MSG subject=calls nth=4", caught_by="Two came again: nak, and no answer."),
    Row("11", "drop PUB subject=bills nth=2", caught_by="Bill 2 was paid twice."),
    Row(
        "11",
        "reset PUB nth=20",
        survives_because="the publisher publishes again under the same id until it has a puback",
    ),
    Row("11b", "drop MSG subject=jobs.limit nth=4", caught_by="The poisoned order came three times."),
    Row("11b", "duplicate PUB subject=jobs.third nth=1", caught_by="The mended order was packed, once."),
    Row(
        "11b",
        "drop MSG subject=$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.> nth=1",
        caught_by="When a worker asked, the advisory came.",
    ),
    Row("11b", "drop PUB subject=$JS.ACK.PARCELS.narrow.> nth=10", caught_by="Who had five out got nothing twice."),
    Row("11b", "duplicate PUB every=7", caught_by="Who had five out got nothing twice."),
    Row("11b", "drop MSG subject=boxes nth=30", caught_by="Each box was done, and done once."),
    Row("11b", "reset PUB subject=parcels nth=50", caught_by="With a thousand, nearly all were out at once."),
    Row("12", "drop PUB subject=orders.hello nth=1", caught_by="On a good day, both books have the order once."),
    Row("12", "drop PUB subject=$JS.ACK.> nth=1", caught_by="On a good day, both books have the order once."),
    Row("12", "duplicate MSG subject=orders.hello nth=1", caught_by="On a good day, both books have the order once."),
    Row("12", "duplicate PUB subject=orders.quit-b", caught_by="Both publishes ended in the same time-out."),
    Row(
        "12",
        "drop PUB subject=orders.bicycle",
        caught_by="The bicycle got a puback, with the sequence number of the tea.",
    ),
    Row(
        "12",
        "drop PUB subject=orders.havoc nth=5",
        survives_because="the relay's order stays in the outbox, and is said again",
    ),
    Row(
        "12",
        "duplicate PUB subject=orders.havoc every=3",
        survives_because="an order of the outbox may come twice: it has its id",
    ),
    Row("12", "drop MSG subject=orders.booked nth=2", caught_by="Who dies between booking and ack is booked twice."),
    Row(
        "13", "drop MSG subject=walk.* nth=40", caught_by="On six subjects, 600 messages: each came once, in its place."
    ),
    Row(
        "13",
        "reorder PUB subject=walk.* nth=7",
        caught_by="One connection to one subscription: everything comes in order.",
    ),
    Row(
        "13", "duplicate PUB subject=moves.* nth=8", caught_by="One worker does the thirty in the order of publishing."
    ),
    Row("13", "drop PUB subject=moves.* nth=8", caught_by="One worker does the thirty in the order of publishing."),
    Row(
        "13",
        "drop PUB subject=$JS.ACK.MOVES.one.> nth=6",
        caught_by="With one unacked message at a time, three workers and three naks keep the order.",
    ),
    Row("13", "reset PUB subject=log nth=100", caught_by="Four hundred lines are stored."),
    Row("13", "drop PUB subject=retry.* nth=9", caught_by="The retried move is the last in the stream."),
    Row(
        "13",
        "reset MSG subject=log nth=60",
        survives_because="an ordered consumer mends a broken connection, twice as well as once",
    ),
    Row("14", "duplicate PUB subject=accounts.zoe nth=2", caught_by="Three events make a balance of 75."),
    Row(
        "14", "drop PUB subject=accounts.joint nth=1", caught_by="Two checked withdrawals took the account below zero."
    ),
    Row("14", "drop PUB subject=$KV.snapshots.bank", caught_by="The tail is only twenty events."),
    Row("14", "reset PUB nth=20", caught_by="The killed bank had heard the whole day."),
    Row("14", "duplicate PUB every=7", caught_by="The killed bank had heard the whole day."),
    Row(
        "14",
        "drop MSG subject=accounts.hal nth=100",
        survives_because="an ordered consumer notices the gap and reads on from there",
    ),
    Row("14", "duplicate PUB subject=accounts.race3 nth=1", caught_by="In each race one teller paid and one declined."),
    Row("15", "drop PUB subject=$KV.counts.put nth=7", caught_by="All sixty puts were stored."),
    Row("15", "drop PUB subject=$KV.counts.update nth=5", caught_by="With `update` the counter has each number once."),
    Row("15", "duplicate PUB subject=$O.films.C.* nth=3", caught_by="What comes back is what we put in."),
    Row("15", "drop PUB subject=$KV.accounts.ann nth=1", caught_by="Forty are in nobody's account."),
    Row("15", "duplicate PUB subject=book.write nth=2", caught_by="The kill doubled no number."),
    Row(
        "15",
        "drop MSG subject=$KV.stock.* nth=60",
        survives_because="a watcher is an ordered consumer: it notices the gap and begins again there",
    ),
    Row(
        "15",
        "drop PUB subject=$KV.election.leader nth=3",
        survives_because="who hears nothing of an attempt or a renewal tries again before the time is over",
    ),
    Row(
        "15",
        "reset PUB subject=book.write nth=2",
        survives_because="a leader that is cut off reconnects, and reads the last number anew",
    ),
    Row(
        "16",
        "drop PUB subject=orders.zoe nth=2",
        caught_by="The mirror has the ten orders, under the same sequence numbers.",
    ),
    Row(
        "16",
        "drop MSG subject=orders.max client=bea nth=2",
        caught_by="The mirror has the ten orders, under the same sequence numbers.",
    ),
    Row(
        "16",
        "duplicate PUB subject=oslo.sales nth=7",
        caught_by="Each shop's sales are in its order, none missing, none twice.",
    ),
    Row(
        "16",
        "reset PUB subject=rome.sales nth=30",
        caught_by="Each shop's sales are in its order, none missing, none twice.",
    ),
    Row("16", "drop PUB subject=oslo.till nth=4", caught_by="All 22 sales were acknowledged."),
    Row(
        "16",
        "drop MSG subject=book.new nth=3",
        caught_by="The mirror is ten messages of one stream and five of another.",
    ),
    Row("16", "drop MSG subject=lima.sold nth=50", caught_by="All 400 are there: in order, none lost, none twice."),
    Row(
        "16",
        "duplicate PUB subject=oslo.desk nth=3",
        survives_because="its id says who and which, and the shop's own stream knows it",
    ),
    Row(
        "16",
        "reorder PUB subject=oslo.sales nth=5",
        survives_because="each sale waits for its puback: there is no next one to change places with",
    ),
    Row("16", "delay MSG seconds=0.02 every=10", survives_because="no claim is about time, and TCP keeps the order"),
    Row("17", "drop MSG subject=news.calm nth=240", caught_by="On a calm day nobody misses anything."),
    Row("17", "duplicate MSG subject=jobs.calm nth=115", caught_by="On a calm day nothing comes twice."),
    Row("17", "drop PUB subject=film nth=20", caught_by="Eve got every frame."),
    Row("17", "drop PUB subject=jobs.calm nth=115", caught_by="On a calm day nobody misses anything."),
    Row("17", "drop MSG subject=news.heeded client=ann nth=100", caught_by="Heeding the notice, nobody lost anything."),
    Row(
        "17", "reset PUB nth=20", survives_because="a run counts from when everybody hears, and who was cut off is back"
    ),
    Row(
        "17", "delay MSG seconds=0.01 every=10", survives_because="ten milliseconds are no gap, and TCP keeps the order"
    ),
    Row(
        "18",
        "delay PUB subject=followed seconds=9 nth=50",
        caught_by="A follower's death cost less than half of that of a leader.",
    ),
    Row(
        "18",
        "drop PUB subject=$JS.API.STREAM.LEADER.STEPDOWN.asked",
        caught_by="Asked, the leader went, and another took over.",
    ),
    Row(
        "18",
        "delay PUB subject=asked seconds=8 nth=60",
        caught_by="To ask the leader to go cost less than half of its death.",
    ),
    Row(
        "18",
        "drop PUB subject=killed every=7",
        survives_because="what is not acknowledged is tried again, with the same Nats-Msg-Id",
    ),
    Row("18", "duplicate PUB subject=followed every=3", survives_because="each message has a Nats-Msg-Id"),
    Row(
        "18",
        "drop MSG subject=_INBOX.> client=updated every=20",
        survives_because="a puback that is lost is had by trying again, as a duplicate of the same number",
    ),
    Row("18", "reset PUB subject=updated nth=70", survives_because="the till reconnects, and tries again"),
    Row("19", "drop MSG subject=salary.ann nth=1", caught_by="Ann got her answer."),
    Row(
        "19",
        "drop PUB subject=salary.ann nth=2",
        caught_by="Eve read payroll's answer to Ann, and had to guess nothing.",
    ),
    Row("19", "drop MSG subject=hr.news.picnic", caught_by="Eve heard HR's news, under the shop's name for it."),
    Row("19", "drop -ERR client=eve nth=9", caught_by="With rules, each could do what the work needs, and no more."),
    Row("19", "reset PUB nth=20", caught_by="Without rules, everybody could do everything."),
    Row("19", "duplicate PUB every=7", caught_by="Fifty good messages arrived, and none was called refused."),
    Row("19", "drop PUB subject=payslips.ann", caught_by="The clerk, who may not hear payslips, read one through"),
    Row(
        "19",
        "duplicate MSG subject=salary.ann nth=2",
        survives_because="who asks takes the first answer, and a question may come twice",
    ),
    Row("20", "drop MSG subject=till nth=5", caught_by="The till answered every question."),
    Row(
        "20", "duplicate PUB subject=tapped nth=900", caught_by="In no run was a message lost, doubled or out of order."
    ),
    Row("20", "drop MSG subject=tapped nth=700", caught_by="In no run was a message lost, doubled or out of order."),
    Row("20", "reorder MSG subject=tapped nth=900", caught_by="In no run was a message lost, doubled or out of order."),
    Row("20", "drop PUB subject=till nth=300", caught_by="Each question of those days was answered."),
    Row("20", "reset PUB subject=till nth=300", caught_by="Each question of those days was answered."),
    Row(
        "20",
        "delay MSG subject=till seconds=0.01 every=50",
        survives_because="one answer in fifty is 10 ms late; what the lesson claims of time is a ratio with 300",
    ),
    Row("21", "drop MSG subject=orders.new nth=2", caught_by="The server counted what the wire carried."),
    Row(
        "21",
        "drop MSG subject=$SYS.ACCOUNT.SHOP.DISCONNECT nth=7",
        caught_by="Ops heard who left, and why, twenty times.",
    ),
    Row(
        "21",
        "duplicate PUB subject=orders.new nth=2",
        caught_by="Three orders went into the server, and three came out.",
    ),
    Row("21", "reset PUB subject=order.new nth=50", caught_by="A hundred orders went in, and none came out."),
    Row(
        "21", "drop MSG subject=trace.reports nth=2", caught_by="Each message went where its trace had gone before it."
    ),
    Row(
        "21", "drop PUB subject=day.calm nth=10", caught_by="Orders stayed undone on those nine days, and on no other."
    ),
    Row(
        "21",
        "drop MSG subject=$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
        caught_by="What was given up is not pending: an advisory tells.",
    ),
    Row(
        "21",
        "drop PUB subject=shop.orders nth=30",
        survives_because="an order that never reached the stream is in nobody's lag",
    ),
    Row("22", "drop PUB subject=price.roses nth=3", caught_by="Each question had two answers"),
    Row("22", "duplicate PUB subject=price.roses nth=2", caught_by="Each question had two answers"),
    Row("22", "drop MSG subject=price.roses client=prices-1 nth=7", caught_by="Each question had two answers"),
    Row("22", "drop MSG subject=shop.placed.17 nth=2", caught_by="Again the slow one was handed out twice."),
    Row(
        "22",
        "drop PUB subject=shop.placed.5 nth=1",
        survives_because="the mended shop says an order until the stream has it, under one id",
    ),
    Row(
        "22",
        "duplicate PUB subject=shop.paid.* nth=4",
        survives_because="a payment has an id of its own, so the stream knows it again",
    ),
    Row(
        "22",
        "drop MSG subject=shop.placed.9 nth=1",
        survives_because="what the bank never acked is handed out again",
    ),
    Row(
        "22",
        "reset PUB subject=shop.paid.* nth=6",
        survives_because="who is cut off reconnects, and says it again under the same id",
    ),
]


def run(lesson: str, sabotage: str) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("natsdemo")), "run", lesson, "--sabotage", sabotage, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    result: dict[str, Any] = json.loads(done.stdout)[0]
    assert result["ok"] == (done.returncode == 0)
    return result


def rows() -> Iterator[Any]:
    """The table as parameters: a group for each lesson, so that workers share it; its first two rows in every run."""
    so_far = Counter[str]()
    for row in TABLE:
        so_far[row.lesson] += 1
        marks = [pytest.mark.xdist_group(f"sabotage-{row.lesson}")]
        if so_far[row.lesson] > 2:
            marks.append(pytest.mark.slow)
        yield pytest.param(row, id=f"{row.lesson}: {row.sabotage}", marks=marks)


@pytest.mark.parametrize("row", list(rows()))
def test_the_lesson_notices_or_survives_for_a_reason(row: Row) -> None:
    result = run(row.lesson, row.sabotage)
    assert result["error"] is None, "caught by a crash is not caught"
    assert result["hits"], "a sabotage that hit nothing proves nothing"
    assert (row.caught_by is None) != (row.survives_because is None)
    if row.caught_by is None:
        assert result["ok"], row.survives_because
    else:
        assert (result["failed_claim"] or "").startswith(row.caught_by), result


def test_a_sabotage_that_hits_nothing_is_an_error() -> None:
    result = run("00", "drop MSG subject=nobody.ever.says.this")
    assert not result["ok"]
    assert "hit nothing" in result["error"]


def test_every_lesson_has_rows() -> None:
    of = Counter(row.lesson for row in TABLE)
    assert set(of) == {lesson.stem.partition("-")[0] for lesson in find_lessons([])}
    assert min(of.values()) >= 3
