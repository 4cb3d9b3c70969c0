"""The pictures in words and in tables, for those who do not see them, and for GitHub, paper and a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .layout import Diagram
from .picture import table
from .reading import LOST, MESSAGES, Passage, Reading
from .text import clean, plural, seconds

__all__ = ["at_most", "tell_faults", "tell_lamport", "tell_servers"]


def tell_lamport(diagram: Diagram, reading: Reading) -> tuple[str, str, str]:
    """Return the alternative text, the caption and the table of a Lamport diagram."""
    passages = [p for p in reading.passages if p.role not in ("housekeeping", "subscribe", "unsubscribe")]
    published = [p for p in passages if p.to_server and p.role in MESSAGES]
    delivered = [p for p in passages if not p.to_server and p.role in MESSAGES and p.fate not in LOST]
    lost = [p for p in passages if p.fate in LOST]
    if not diagram.arrows:
        caption = "Nothing passed."
    else:
        counts = [f"{len(published):,} published", f"{len(delivered):,} delivered", f"{len(lost):,} lost"]
        caption = ", ".join(counts) + "."
    clients = sum(line.clients for line in diagram.lifelines if line.kind != "server")
    servers = sum(1 for line in diagram.lifelines if line.kind == "server")
    said = [
        f"Lamport diagram: {plural(clients, 'client')}, {plural(servers, 'server')}, "
        f"{seconds(max(reading.end - reading.begin, 0.0))}."
    ]
    if not diagram.arrows:
        said.append("Nothing passed.")
    by_client: dict[str, list[Passage]] = {}
    for p in passages:
        by_client.setdefault(reading.line(p), []).append(p)
    told = [sentence for name, those in by_client.items() if (sentence := _client(name, those))]
    said += at_most(told, 6, "client")
    said += at_most([_loss(reading, p) for p in lost], 5, "lost frame")
    if unheard := len(reading.unheard):
        said.append(f"Of {plural(unheard, 'published message')} no delivery was seen.")
    said += tell_faults(reading)
    said += tell_servers(reading)
    notes = [h for h in reading.happenings if h.kind == "note"]
    said += at_most([f"Note at {h.time:.4f} s: {clean(h.text, 90)}" for h in notes], 4, "note")
    if witnesses := sum(arrow.frames for arrow in diagram.arrows if arrow.witness):
        said.append(f"Highlighted as the verdict's witnesses: {plural(witnesses, 'arrow')}.")
    if diagram.bundle:
        said.append(f"{plural(len(passages), 'frame')} are bundled by spans of {seconds(diagram.bundle)}.")
    if diagram.left_out:
        said.append(f"Left out: {', '.join(diagram.left_out)}.")
    rows = [
        (
            f"{arrow.end:.4f}", clean(arrow.source), clean(arrow.target), arrow.role, arrow.label, f"{arrow.frames:,}",
            arrow.badge or arrow.fate,
        )
        for arrow in diagram.arrows
    ]  # fmt: skip
    return " ".join(said), caption, table(("seconds", "from", "to", "what", "which", "how many", "fate"), rows)


def tell_faults(reading: Reading) -> list[str]:
    """A sentence for each fault that was armed."""
    told = []
    for window in reading.windows:
        until = f"until {window.end:.4f} s" if window.end is not None else "and never healed"
        hits = f", {plural(window.hits, 'hit')}" if window.hits else ""
        told.append(f"Fault {clean(window.text, 80)} armed from {window.begin:.4f} s {until}{hits}.")
    return at_most(told, 4, "fault")


def tell_servers(reading: Reading) -> list[str]:
    """A sentence for each thing that was done to a server."""
    told = [h for h in reading.happenings if h.kind == "server"]
    return at_most(
        [f"{clean(h.node or reading.nodes[0])} at {h.time:.4f} s: {clean(h.text)}." for h in told],
        6,
        "change of a server",
    )


def at_most(told: list[str], most: int, what: str) -> list[str]:
    """Keep the first few sentences and count the rest."""
    return told if len(told) <= most else [*told[:most], f"And {plural(len(told) - most, f'more {what}')}."]


def _client(name: str, passages: Iterable[Passage]) -> str:
    sent: Counter[str] = Counter()
    got: Counter[str] = Counter()
    subjects: Counter[str] = Counter()
    for p in passages:
        if p.to_server:
            sent[p.role] += 1
            if p.role in MESSAGES:
                subjects[p.subject] += 1
        elif p.fate not in LOST:
            got["redelivery" if p.deliveries > 1 else p.role] += 1
    parts = []
    if count := sum(subjects.values()):
        what = "request" if sent["request"] and not sent["message"] else "message"
        where = clean(next(iter(subjects))) if len(subjects) == 1 else plural(len(subjects), "subject")
        parts.append(f"published {plural(count, what)} to {where}")
    for role, one, many in (("reply", "reply", "replies"), ("ack", "ack", "acks")):
        if sent[role]:
            parts.append(f"sent {plural(sent[role], one, many)}")
    names = (
        ("message", "message", ""), ("request", "request", ""), ("reply", "reply", "replies"), ("puback", "puback", ""),
        ("redelivery", "redelivery", "redeliveries"), ("error", "error", ""), ("opaque", "opaque piece", ""),
    )  # fmt: skip
    received = [plural(got[role], one, many) for role, one, many in names if got[role]]
    if received:
        parts.append(f"received {', '.join(received)}")
    return f"{clean(name)} {'; '.join(parts)}." if parts else ""


def _loss(reading: Reading, p: Passage) -> str:
    name = f"number {p.key[1]} of {clean(str(p.key[0]))}" if isinstance(p.key, tuple) else p.role
    line = clean(reading.line(p))
    way = f"from {line} to {clean(p.node)}" if p.to_server else f"from {clean(p.node)} to {line}"
    return f"Lost at {p.time:.4f} s {way}: {name}{f' ({clean(p.subject)})' if p.subject else ''}, {p.fate}."
