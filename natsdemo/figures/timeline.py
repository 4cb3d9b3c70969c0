"""Who spoke when: a lane for each client and server."""

from __future__ import annotations

from collections import Counter, defaultdict

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator

from natsdemo.history import History

from .layout import MOST_CLIENTS
from .page import PAGE, Page, fitted, nothing
from .picture import INCH, Picture, render, styled, table
from .reading import LOST, MESSAGES, Reading, read
from .text import clean, drawable, plural, seconds
from .words import at_most, tell_faults, tell_servers

__all__ = ["timeline"]

_COUNTED = ("published", "delivered", "lost", "redelivered", "replies", "acks")
_Tick = tuple[str, str, str, float, float]  # name, role in the palette, marker, shift from the lane, size


def timeline(history: History, *, dark: bool = False) -> Picture:
    """Draw a lane for each client and server over real time.

    A tick above a client's lane is a frame that it sent, one below a frame that it received; a cross is one that was
    lost. A lane is drawn while the client was connected or the server up; what was done to a server stands at its lane.
    The time in which a fault was armed is shaded.
    """
    reading = read(history)
    with styled(dark):
        if not reading.passages and not reading.happenings:
            return nothing(dark, "Timeline.")
        lanes, fold = _lanes(reading)
        page = Page(dark, 0.2 + 0.46 * len(lanes), left=1.75)
        axes, colour = page.panels[0], page.colour
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("seconds")
        begin, end = page.time_axis(axes, reading)
        page.shade(reading, end)
        place = {name: -at for at, name in enumerate(lanes)}
        axes.set_ylim(-len(lanes) + 0.45, 0.55)
        axes.yaxis.set_major_locator(FixedLocator(list(place.values())))
        axes.yaxis.set_major_formatter(FixedFormatter([fitted(name, 1.5) for name in lanes]))
        for name, spans in _present(reading, fold, end).items():
            server = name in reading.nodes
            for since, until, state in spans if name in place else ():
                axes.plot(
                    [since, until], [place[name]] * 2, zorder=1,
                    color=colour["server" if server and state == "starts" else "faint"],
                    linewidth=6 if server and state != "stops" else 2.2,
                    linestyle="solid" if state == "starts" else (0, (1, 1.2)),
                )  # fmt: skip
        inch = (page.panel_width) / (end - begin)
        said: dict[str, float] = {}
        for h in reading.happenings:
            node = h.node or reading.nodes[0]
            if h.kind == "server" and (h.time - said.get(node, -1e9)) * inch > 0.6:
                said[node] = h.time
                axes.annotate(
                    drawable(clean(h.text, 24)), (h.time, place[node]), (0, 5), textcoords="offset points", zorder=5,
                    ha="right" if (end - h.time) * inch < 0.8 else "left",
                    color=colour["lost" if h.turn == "stops" else "note"],
                )  # fmt: skip
                if h.turn == "stops":
                    axes.plot([h.time], [place[node]], "x", color=colour["lost"], markersize=8, markeredgewidth=2.4)
        kinds: dict[str, Line2D] = {}
        dots = (PAGE - 2.1) * INCH * 2 / (end - begin)  # more ticks than pixels are not to be seen
        for (label, role, marker, shift, size), points in _ticks(reading, fold, dots).items():
            drawn = axes.plot(
                [at for at, _ in points], [place[name] + shift for _, name in points], linestyle="none", marker=marker,
                color=colour[role], markersize=size, markeredgewidth=1.7, label=label, zorder=3,
            )[0]  # fmt: skip
            kinds.setdefault(label, drawn)
        counts = _counts(reading)
        spelled = _spell(counts[""])
        notes = ["Ticks above a lane are what it sent, ticks below are what it received."]
        if fold:
            notes.append(f"{len(fold):,} clients share one lane.")
        figure = page.finish(spelled, kinds.values(), notes)
        rows = [(name, *(f"{counts[name][what]:,}" for what in _COUNTED)) for name in counts if name]
        alt = [f"Timeline of {seconds(end - begin)}, {plural(len(lanes), 'lane')}: {spelled}."]
        alt += at_most([f"{clean(row[0])}: {_spell(counts[row[0]])}." for row in rows], 8, "client")
        alt += [*tell_faults(reading), *tell_servers(reading)]
        rows = [(clean(row[0]), *row[1:]) for row in rows]
        return render(figure, " ".join(alt), f"{spelled}.", table(("client", *_COUNTED), rows))


def _lanes(reading: Reading) -> tuple[list[str], dict[str, str]]:
    clients = list(dict.fromkeys(reading.lines.values()))
    fold: dict[str, str] = {}
    if len(clients) > MOST_CLIENTS:
        busy = Counter(
            reading.line(p) for p in reading.passages if p.role in MESSAGES and (p.to_server or p.fate in LOST)
        )
        kept = [name for name, _ in busy.most_common(MOST_CLIENTS - 1)]
        kept += [name for name in clients if name not in busy][: MOST_CLIENTS - 1 - len(kept)]
        fold = {name: f"{len(clients) - len(kept):,} more clients" for name in clients if name not in kept}
        clients = [name for name in clients if name in kept]
    return [*clients, *dict.fromkeys(fold.values()), *reading.nodes], fold


def _present(reading: Reading, fold: dict[str, str], end: float) -> dict[str, list[tuple[float, float, str]]]:
    """When each lane was there, and how: servers from the beginning, clients from when they are first seen."""
    turns: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for p in reading.passages:
        name = fold.get(line := reading.line(p), line)
        if name not in turns:
            turns[name].append((p.time - p.held, "starts"))
    for h in reading.happenings:
        if h.kind == "server" and h.turn:
            turns[h.node or reading.nodes[0]].append((h.time, h.turn))
        elif h.kind == "client" and h.turn and (line := reading.line(h)) not in fold and line in turns:
            turns[line].append((h.time, h.turn))
    for node in reading.nodes:
        turns[node].insert(0, (reading.begin, "starts"))
    spans: dict[str, list[tuple[float, float, str]]] = {}
    for name, those in turns.items():
        those.sort(key=lambda turn: turn[0])
        until = [time for time, _ in those[1:]] + [end]
        whole = [(since, till, how) for (since, how), till in zip(those, until, strict=True)]
        spans[name] = [span for span in whole if span[2] != "stops" or name in reading.nodes]
    return spans


def _ticks(reading: Reading, fold: dict[str, str], dots: float) -> dict[_Tick, set[tuple[float, str]]]:
    ticks: dict[_Tick, set[tuple[float, str]]] = defaultdict(set)
    for p in reading.passages:
        kind = _tick(p.role, p.fate, p.to_server, p.deliveries)
        if kind:
            line = reading.line(p)
            ticks[kind].add((round(p.time * dots) / dots, fold.get(line, line)))
    return ticks


def _tick(role: str, fate: str, to_server: bool, deliveries: int) -> _Tick | None:
    if fate in LOST:
        return "lost", "lost", "x", 0.0, 8.0
    if role in MESSAGES:
        if to_server:
            return "published", "published", "|", 0.17, 9.0
        return (
            ("redelivered", "redelivered", "v", -0.2, 6.5)
            if deliveries > 1
            else ("delivered", "delivered", "|", -0.17, 9.0)
        )
    if role in ("reply", "puback", "ack"):
        return "ack, puback or reply", "ack", ".", 0.2 if to_server else -0.2, 6.0
    return ("error from the server", "lost", "*", -0.2, 8.0) if role == "error" else None


def _counts(reading: Reading) -> dict[str, Counter[str]]:
    """Count by client, and under "" all together."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for p in reading.passages:
        told = ["lost"] if p.fate in LOST else []
        if p.role in MESSAGES and p.to_server:
            told.append("published")
        elif not told and p.role in MESSAGES:
            told.append("redelivered" if p.deliveries > 1 else "delivered")
        elif not told and p.role in ("reply", "ack"):
            told.append({"reply": "replies", "ack": "acks"}[p.role])
        for what in told:
            counts[reading.line(p)][what] += 1
            counts[""][what] += 1
    return counts


def _spell(counts: Counter[str]) -> str:
    one = {"replies": "reply", "acks": "ack"}
    told = [plural(counts[what], one.get(what, what), what) for what in _COUNTED if counts[what]]
    return ", ".join(told) or "no messages"
