"""The kit's own mutation test: over a wire that misbehaves, a lesson must notice, or survive for a reason."""

import json
import subprocess
import sys
from collections import Counter
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
]


def run(lesson: str, sabotage: str) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("natsdemo")), "run", lesson, "--sabotage", sabotage, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    result: dict[str, Any] = json.loads(done.stdout)[0]
    assert result["ok"] == (done.returncode == 0)
    return result


# A group for each lesson, so that several workers share the table.
ROWS = [
    pytest.param(row, id=f"{row.lesson}: {row.sabotage}", marks=pytest.mark.xdist_group(f"sabotage-{row.lesson}"))
    for row in TABLE
]


@pytest.mark.parametrize("row", ROWS)
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
    rows = Counter(row.lesson for row in TABLE)
    assert set(rows) == {lesson.stem.partition("-")[0] for lesson in find_lessons([])}
    assert min(rows.values()) >= 3
