"""What a message costs: its bytes as they crossed the wire, one box a byte, coloured by part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from natsdemo.history import History
from natsdemo.protocol import TO_SERVER, ProtocolError, decode

from .page import PAGE, fitted, nothing
from .palette import colours
from .picture import Picture, render, styled, table
from .sheet import Sheet, text_width, wrap
from .text import clean, plural

__all__ = ["bytes_on_wire"]

# The parts, in the order in which they stand in a frame, and the palette's role that fills their boxes.
PARTS = {
    "operation": "server", "subject": "delivered", "queue group": "fault", "sid": "lost", "reply": "ack",
    "length": "redelivered", "headers": "note", "text": "client", "payload": "published", "blank or line end": "card",
}  # fmt: skip
_BLANK = "blank or line end"

# The words behind an operation, when it has so many of them.
_FORMS = {
    "PUB": {2: "subject length", 3: "subject reply length"},
    "HPUB": {3: "subject length length", 4: "subject reply length length"},
    "MSG": {3: "subject sid length", 4: "subject sid reply length"},
    "HMSG": {4: "subject sid length length", 5: "subject sid reply length length"},
    "SUB": {2: "subject sid", 3: "subject queue_group sid"},
    "UNSUB": {1: "sid", 2: "sid length"},
}
_SPACE = b" \t\r\n"
_PIECES = re.compile(rb"[ \t\r\n]+|[^ \t\r\n]+").findall
_HTTP = re.compile(rb"(HTTP/1\.[01] [^\r\n]*|[A-Z]+) ?([^ \r\n]*)( HTTP/1\.[01])?(\r\n)").match

_MOST, _LINES, _BYTES = 12, 4, 58  # messages, lines of a message, bytes of a line
_CELL, _STEP = 0.155, 0.265  # inches
_LEFT = (PAGE - _BYTES * _CELL) / 2


def bytes_on_wire(messages: History | Mapping[str, bytes], *, dark: bool = False) -> Picture:
    """Lay out messages byte by byte, and count what is payload and what is wrapped around it.

    NATS is read frame by frame, HTTP/1 as one request or answer; of anything else all is text. Twelve messages are
    drawn, each to its fourth line; what does not fit is counted.

    :param messages: the bytes of each message by its label; or a History, of which each frame is a message.
    :param dark: on a dark card.
    :returns: the picture; its table counts the bytes of each part.
    """
    if isinstance(messages, History):
        rows = [(_label(e.direction == TO_SERVER, e.client), e.frame.raw) for e in messages if e.frame]
    else:
        rows = list(messages.items())
    with styled(dark):
        if not rows:
            return nothing(dark, "Bytes by part.")
        cut = [(label, parts(raw)) for label, raw in rows]
        counts = [count(pieces) for _, pieces in cut]
        total, payload = sum(map(Counter.total, counts)), sum(each["payload"] for each in counts)
        caption = f"{plural(len(rows), 'message')}: {payload:,} of {plural(total, 'byte')} are payload."
        figure = _draw(cut, counts, caption, dark)
        used = [part for part in PARTS if any(each[part] for each in counts)]
        lines = [
            (clean(label), f"{each.total():,}", *(f"{each[part]:,}" for part in used))
            for (label, _), each in zip(cut, counts, strict=True)
        ]
        told = [f"{caption} Counted in bytes by part."]
        for label, whole, *sizes in lines[:_MOST]:
            named = [f"{part} {size}" for part, size in zip(used, sizes, strict=True) if size != "0"]
            told.append(f"{label}, {whole}: {', '.join(named)}.")
        if len(lines) > _MOST:
            told.append(f"And {plural(len(lines) - _MOST, 'more message')}.")
        return render(figure, " ".join(told), caption, table(("message", "bytes", *used), lines))


def parts(raw: bytes) -> list[tuple[str, bytes]]:
    """Cut the bytes of one message into (part, bytes), in their order; joined they are the same again."""
    try:
        frame = decode(raw)
    except ProtocolError:
        return _http_parts(raw)
    line_end = raw.index(b"\n") + 1
    first, *rest = _PIECES(raw[:line_end])
    found = [("operation", first)]
    if form := _FORMS.get(frame.op):
        words = [piece.strip(_SPACE) for piece in rest]
        names = iter(form[sum(map(bool, words))].split())
        found += [
            (next(names).replace("_", " ") if word else _BLANK, piece) for word, piece in zip(words, rest, strict=True)
        ]
    else:
        line = b"".join(rest)
        start, end = len(line) - len(line.lstrip(_SPACE)), len(line.rstrip(_SPACE))
        found += [(_BLANK, line[:start]), ("text", line[start:end]), (_BLANK, line[max(start, end) :])]
    if len(raw) > line_end:
        body = raw[line_end:-2]
        headers = len(body) - len(frame.payload)
        found += [("headers", body[:headers]), ("payload", frame.payload), (_BLANK, raw[-2:])]
    return [(part, piece) for part, piece in found if piece]


def count(pieces: Sequence[tuple[str, bytes]]) -> Counter[str]:
    """How many bytes each part has."""
    counts: Counter[str] = Counter()
    for part, piece in pieces:
        counts[part] += len(piece)
    return counts


def _http_parts(raw: bytes) -> list[tuple[str, bytes]]:
    """An HTTP/1 request or answer: the path is what the subject is to NATS."""
    first = _HTTP(raw)
    head_end = raw.find(b"\r\n\r\n") + 4
    if not first or head_end < 4:
        return [("text", raw)] if raw else []
    word, path, version, _ = first.groups(default=b"")
    blank = raw[len(word) : first.start(2)]
    found = [
        ("operation", word), (_BLANK, blank), ("subject", path), ("operation", version),
        (_BLANK, b"\r\n"), ("headers", raw[first.end() : max(head_end, first.end())]),
        ("payload", raw[max(head_end, first.end()) :]),
    ]  # fmt: skip
    return [(part, piece) for part, piece in found if piece]


def _label(to_server: bool, client: str) -> str:
    return f"{client} → server" if to_server else f"server → {client}"


def _draw(
    cut: Sequence[tuple[str, Sequence[tuple[str, bytes]]]], counts: Sequence[Counter[str]], title: str, dark: bool
) -> Figure:
    sheet, colour = Sheet(), colours(dark)
    y = 0.36
    sheet.write(_LEFT, y, [(fitted(title, PAGE - 2 * _LEFT, 14, bold=True), colour["ink"], True)], size=14)
    for (label, pieces), each in zip(cut[:_MOST], counts, strict=False):
        y += 0.4
        said = f"{plural(each.total(), 'byte')}: {each['payload']:,} + {each.total() - each['payload']:,}"
        room = _BYTES * _CELL - text_width(said) - 0.2
        sheet.write(_LEFT, y, [(fitted(label, room, bold=True), colour["ink"], True)])
        sheet.write(PAGE - _LEFT, y, [(said, colour["note"], False)], align="right")
        boxes = [(part, char) for part, piece in pieces for char in _chars(piece[: _LINES * _BYTES])]
        for at, (part, char) in enumerate(boxes[: _LINES * _BYTES]):
            line, column = divmod(at, _BYTES)
            _box(sheet, colour, _LEFT + column * _CELL, y + 0.1 + line * _STEP, part, char)
        y += 0.1 + _STEP * (min(len(boxes) - 1, _LINES * _BYTES - 1) // _BYTES + 1)
        if (left := each.total() - _LINES * _BYTES) > 0:
            y += 0.22
            sheet.write(_LEFT, y, [(f"… and {plural(left, 'more byte')}", colour["note"], False)])
    y += 0.18
    x = PAGE
    for part in (part for part in PARTS if any(each[part] for each in counts[:_MOST])):
        if x + 0.45 + text_width(part) > PAGE - _LEFT:
            x, y = _LEFT, y + 0.3
        _box(sheet, colour, x, y - 0.19, part, "·" if part == _BLANK else "")
        x += 0.23 + sheet.write(x + 0.23, y, [(part, colour["ink"], False)]) + 0.24
    notes = "One box is one byte; on the right: payload + what is around it. · is a blank, ↵ is CR LF."
    if any(any(byte > 126 for byte in piece) for _, pieces in cut[:_MOST] for _, piece in pieces):
        notes += " ▯ is no ASCII."
    if len(cut) > _MOST:
        notes += f" Not drawn: {plural(len(cut) - _MOST, 'more message')}."
    for line_of_text in wrap(notes, PAGE - 2 * _LEFT):
        y += 0.26
        sheet.write(_LEFT, y, [(line_of_text, colour["note"], False)])
    return sheet.figure(PAGE, y + 0.2, colour["card"])


def _box(sheet: Sheet, colour: Mapping[str, str], x: float, y: float, part: str, char: str) -> None:
    """One byte: light boxes have dark letters, the others have letters of the card's colour."""
    light = PARTS[part] in ("card", "client")
    fill = colour["client" if part == "text" else PARTS[part]]
    sheet.box(x + 0.006, y, x + _CELL - 0.006, y + 0.225, colour["faint"] if part == _BLANK else fill)
    if part == _BLANK:
        sheet.box(x + 0.016, y + 0.01, x + _CELL - 0.016, y + 0.215, fill, layer=1)
    ink = colour["note" if part == _BLANK else "ink" if light else "card"]
    middle = x if char == "↵" else x + _CELL / 2  # between its two boxes
    sheet.write(middle, y + 0.165, [(char, ink, part == "payload")], align="middle")


def _chars(piece: bytes) -> list[str]:
    """A character for each byte; CR LF is one for two."""
    text = "".join(chr(byte) if 32 <= byte < 127 or byte in (10, 13) else "▯" for byte in piece)
    return list(text.replace("\r\n", "\r↵").translate({32: "·", 13: " ", 10: "↵"}))
