"""Judges a History: what was lost, repeated or reordered between publishers and those who receive."""

from .judge import (
    HOLDS,
    UNKNOWN,
    VIOLATED,
    at_least_once,
    at_most_once,
    exactly_once,
    in_order,
    judge,
    no_duplicates,
    no_loss,
)  # fmt: skip
from .reading import Handled
from .verdict import Counts, Outcome, Report, Verdict

__all__ = [
    "HOLDS",
    "UNKNOWN",
    "VIOLATED",
    "Counts",
    "Handled",
    "Outcome",
    "Report",
    "Verdict",
    "at_least_once",
    "at_most_once",
    "exactly_once",
    "in_order",
    "judge",
    "no_duplicates",
    "no_loss",
]
