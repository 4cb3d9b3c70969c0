"""What one run of a load is, and what became of its messages: values in, values out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

# Of one delivery: the publisher, which of its messages, and when it came, in seconds of the machine's clock. What bears
# no stamp has no publisher, and is numbered as it came.
Arrival = tuple[str, int, float]


class Job(NamedTuple):
    """One run: each of `publishers` publishes `each` messages, of which the first bears the number `first`.

    They take turns, and together keep to `rate` messages a second; 0 is flat out.
    """

    publishers: int
    first: int
    each: int
    rate: float

    def due(self, publisher: str, n: int) -> float:
        """When this publisher's message `n` is due, in seconds from the start; 0 if all are due at once."""
        turn = int(publisher.removeprefix("publisher") or 1) - 1
        return ((n - self.first) * self.publishers + turn) / self.rate if self.rate else 0.0


class Received(NamedTuple):
    """What one subscriber received. Of messages without stamps only `messages` and `last` are known.

    `messages` counts deliveries, `duplicates` those of a message that had come before, `reordered` those that came
    after a later one of the same publisher. `last` is when the last one came, in seconds of the machine's clock.
    """

    messages: int
    duplicates: int
    reordered: int
    last: float


def account(arrivals: Iterable[Arrival]) -> Received:
    """Count what came, what came again, and what came too late to be in its publisher's order."""
    seen: dict[str, set[int]] = {}
    latest: dict[str, int] = {}
    messages = duplicates = reordered = 0
    last = 0.0
    for publisher, n, at in arrivals:
        messages += 1
        last = max(last, at)
        numbers = seen.setdefault(publisher, set())
        if n in numbers:
            duplicates += 1
        elif n < latest.get(publisher, 0):
            reordered += 1
        else:
            latest[publisher] = n
        numbers.add(n)
    return Received(messages, duplicates, reordered, last)


def histogram() -> HdrHistogram:
    """Make an empty histogram of microseconds, from 1 µs to a minute, good to three digits.

    Source: http://hdrhistogram.org
    """
    return HdrHistogram(1, 60_000_000, 3)


def late(arrivals: Iterable[Arrival], job: Job, start: float) -> HdrHistogram:
    """Record how long after it was due each message came, in microseconds."""
    made = histogram()
    for publisher, n, at in arrivals:
        made.record_value(max(round((at - start - job.due(publisher, n)) * 1e6), 1))
    return made
