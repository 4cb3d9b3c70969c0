"""The NATS client text protocol in both directions, without I/O: bytes in, frames out, and back.

Source: https://docs.nats.io/reference/reference-protocols/nats-protocol, ADR-4 for headers, and the real
nats-server 2.15.1, which was asked wherever the documents are silent.

The rules of this module:

- It never reads a socket, a clock or a file, and imports nothing of ours.
- Bytes are sacred. ``b"".join`` of the frames and the rest is the input, however the input was cut.
- There are two layers, since recording must cost next to nothing. `Scanner` only finds where frames end; `decode`
  reads the fields of one frame when somebody looks. `Parser` is both. A frame that the scanner lets through can
  always be decoded.
- Garbage gives frames or `ProtocolError`, nothing else. What may be held is limited: see `LIMITS`.
- We accept what the server accepts (any case, tabs and several blanks, a control line that ends in LF alone, words
  after PING) and write the documents' plain form. The payload's own end is CR LF, always.
- The same few control lines pass again and again, so a short one is read once and remembered. This is what makes it
  fast; the frames would be the same without.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

__all__ = ["LIMITS", "TO_CLIENT", "TO_SERVER", "Frame", "Parser", "ProtocolError", "Scanner", "decode", "encode"]

TO_SERVER = "to_server"
TO_CLIENT = "to_client"

# The longest control line and the largest payload (headers included), in bytes. To the server: its own defaults,
# 4,096 bytes of arguments, with room for the operation, and 1 MiB. To the client the server obeys neither: INFO
# lists a whole cluster, MSG adds a sid to a subject that may already fill the line, JetStream adds headers to a
# message of full size. 1 MiB is far above any INFO, and 64 MiB is what the server holds for one client (max_pending).
LIMITS = {TO_SERVER: (4096 + 16, 1 << 20), TO_CLIENT: (1 << 20, 1 << 26)}

_OPS = {
    TO_SERVER: frozenset(["CONNECT", "PUB", "HPUB", "SUB", "UNSUB", "PING", "PONG"]),
    TO_CLIENT: frozenset(["INFO", "MSG", "HMSG", "PING", "PONG", "+OK", "-ERR"]),
}


class ProtocolError(ValueError):
    """The bytes are not the NATS protocol, or exceed a limit."""


class Frame(NamedTuple):
    """One protocol operation, with its payload where it has one. What an operation has not is empty.

    Text keeps every byte of the wire (UTF-8 with surrogate escapes). ``headers`` are (name, value) pairs in their
    order, or None for an operation without headers; ``status`` and ``description`` are their status line, as in
    ``NATS/1.0 503``. ``payload`` holds the JSON of INFO and CONNECT and the text of -ERR too. ``max_msgs`` is that of
    UNSUB, 0 meaning at once. ``raw`` is what passed on the wire, to the byte.

    Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
    """

    op: str
    subject: str = ""
    sid: str = ""
    queue: str = ""
    reply: str = ""
    headers: tuple[tuple[str, str], ...] | None = None
    payload: bytes = b""
    max_msgs: int = 0
    status: int | None = None
    description: str = ""
    raw: bytes = b""

    def __repr__(self) -> str:
        words = [f"{name}={_short(value)}" for name, value in zip(self._fields[1:-1], self[1:-1], strict=True) if value]
        return f"<{' '.join([self.op, *words])}>"


class Scanner:
    """Cuts the bytes of one direction of one connection into frames, without reading their fields.

    ``pending`` is the number of bytes held of a frame that is not whole yet, 0 at a frame boundary; ``rest`` is those
    bytes. ``max_payload`` (bytes) may be set at any time, since INFO tells it. ``error`` is what is wrong with the
    bytes in ``rest``, known as soon as they came; such a scanner is good for nothing more.

    Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
    """

    def __init__(self, direction: str) -> None:
        self.max_line, self.max_payload = LIMITS[direction]
        self.pending = 0
        self.error: ProtocolError | None = None
        self._ops = _OPS[direction]
        self._held: list[bytes] = []
        self._need = 0  # no frame is whole before this many bytes are pending

    @property
    def rest(self) -> bytes:
        """The bytes taken and not yet given back in a frame."""
        return b"".join(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream, return the exact bytes of each frame that they complete.

        :param data: what was read, cut anywhere.
        :raises ProtocolError: nothing whole stands before the damage. Where something does, it is returned, `error`
            is set, and the next call raises. Once failed, a scanner takes no more bytes.
        """
        data, runs = self._cut(data)
        return [
            data[at : at + size]
            for start, size, count, _ in runs
            for at in range(start, start + size * count, size)
        ]  # fmt: skip

    def runs(self, data: bytes) -> list[tuple[bytes, int]]:
        """Take the next bytes as `feed` does, but tell of frames in a row with the same control line only how many.

        :param data: what was read, cut anywhere.
        :returns: the exact bytes of the first of each run, and how many frames it has, all of that size.
        :raises ProtocolError: as `feed` does.
        """
        data, runs = self._cut(data)
        return [(data[start : start + size], count) for start, size, count, _ in runs]

    def _cut(self, data: bytes) -> tuple[bytes, list[tuple[int, int, int, _Control]]]:
        """Find runs of frames in what is held and what comes: where each starts, a frame's size, and how many."""
        if self.error:
            raise self.error
        if self.pending:
            self._held.append(data)
            self.pending += len(data)
            if self.pending < self._need:
                return b"", []
            data = b"".join(self._held)
        runs: list[tuple[int, int, int, _Control]] = []
        start, size, need = 0, len(data), 0
        find, known, ops, max_body = data.find, _known, self._ops, self.max_payload + 2
        try:
            while start < size:
                line_end = find(b"\n", start) + 1
                if not line_end:
                    self._check_beginning(data[start : start + self.max_line + 1])
                    break
                line = data[start:line_end]
                control = known(line) or _read(line, self.max_line)
                body = control[6]
                end = line_end + body
                if control[0] not in ops:
                    raise ProtocolError(f"not an operation of this direction: {_short(line)}")
                if body > max_body:
                    raise ProtocolError(f"a payload over {self.max_payload} bytes: {_short(line)}")
                if end > size:
                    need = end - start
                    break
                if body and data[end - 2 : end] != b"\r\n":
                    raise ProtocolError(f"no CR LF after the payload: {_short(line)}")
                frame, count = end - start, 1
                if body and data.startswith(line, end) and (run := _run(line, body)(data, end)):
                    end = run.end()
                    count = (end - start) // frame
                runs.append((start, frame, count, control))
                start = end
        except ProtocolError as error:
            self.error = error
        self._held = [data[start:]] if start < size else []
        self.pending, self._need = size - start, need
        if self.error and not runs:
            raise self.error
        return data, runs

    def _check_beginning(self, line: bytes) -> None:
        """Refuse a control line before its end has come if it can only become garbage, as the server does."""
        begin = line[:7].upper().decode("latin-1")
        if not any(op.startswith(begin) or begin.startswith(op) for op in self._ops):
            raise ProtocolError(f"no such operation: {_short(line)}")
        if len(line) > self.max_line:
            raise ProtocolError(f"a control line over {self.max_line} bytes: {_short(line)}")


class Parser:
    """A `Scanner` whose frames are decoded at once.

    ``scanner`` tells what is pending, the rest and the error.

    Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
    """

    def __init__(self, direction: str) -> None:
        self.scanner = Scanner(direction)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the stream, return the frames that they complete; raises as `Scanner.feed` does."""
        data, runs = self.scanner._cut(data)
        return [
            _decode(data[at : at + size], control)
            for start, size, count, control in runs
            for at in range(start, start + size * count, size)
        ]  # fmt: skip


def decode(raw: bytes) -> Frame:
    """Read the fields of one whole frame.

    A block of headers that is none is read as far as it can be: the server passes it on unread, and ``raw`` has it.

    :param raw: the exact bytes of one frame, as `Scanner.feed` returns them.
    :raises ProtocolError: it is not one whole frame.

    Source: https://docs.nats.io/reference/reference-protocols/nats-protocol, ADR-4
    """
    line = raw[: raw.find(b"\n") + 1]
    control = _known(line) or _read(line, len(line))
    if len(raw) != len(line) + control[6]:
        raise ProtocolError(f"not one whole frame: {_short(raw)}")
    return _decode(raw, control)


def _decode(raw: bytes, control: _Control) -> Frame:
    op, subject, sid, queue, reply, max_msgs, body, header, payload, line_end = control
    if header is not None:
        block_end = line_end + header
        headers, status, description = _read_headers(raw[line_end:block_end])
        return Frame(op, subject, sid, queue, reply, headers, raw[block_end:-2], 0, status, description, raw)
    if body:
        payload = raw[line_end:-2]
    # Half the price of Frame(...), and this is the hot path.
    return _new(Frame, (op, subject, sid, queue, reply, None, payload, max_msgs, None, "", raw))


def encode(frame: Frame) -> bytes:
    """Write the bytes of a frame from its fields, in the plain form of the documents; ``raw`` is not looked at.

    Fields are not checked: ``decode(encode(frame))`` is the same frame if they are valid.

    Source: https://docs.nats.io/reference/reference-protocols/nats-protocol, ADR-4
    """
    op, payload = frame.op, frame.payload
    words = [op, frame.subject, frame.queue, frame.sid, frame.reply, str(frame.max_msgs or "")]
    line = " ".join(filter(None, words)).encode("utf-8", "surrogateescape")
    if op in ("PUB", "MSG"):
        return b"%b %d\r\n%b\r\n" % (line, len(payload), payload)
    if op in ("HPUB", "HMSG"):
        block = _write_headers(frame)
        return b"%b %d %d\r\n%b%b\r\n" % (line, len(block), len(block) + len(payload), block, payload)
    if op == "-ERR":
        return b"%b '%b'\r\n" % (line, payload)
    return b"%b %b\r\n" % (line, payload) if payload else line + b"\r\n"


# A control line, read: op, subject, sid, queue, reply, max_msgs; the bytes that follow the line (CR LF included, 0 if
# none), how many of these are headers (None: an operation without), the text of INFO, CONNECT and -ERR, and the bytes
# of the line itself.
_Control = tuple[str, str, str, str, str, int, int, int | None, bytes, int]

_memory: dict[bytes, _Control] = {}
_known = _memory.get
_new = tuple.__new__

# Nearly every message comes like this, and is then read three times as fast.
_PLAIN = re.compile(rb"(?:MSG [!-~]++|PUB)(?: [!-~]++){1,2} [0-9]{1,9}\r\n").fullmatch
_TEXT = re.compile(rb"(PING|PONG|\+OK|-ERR|INFO|CONNECT)([^\n]*)\n", re.IGNORECASE).fullmatch
_STATUS = re.compile(rb"NATS/1\.0[ \t]+([0-9]{3})(?![0-9])(.*)", re.DOTALL).fullmatch
_SIZE = re.compile(r"[0-9]{1,9}").fullmatch  # the server reads no more digits either
_words = re.compile(r"[ \t\r]+").split


@lru_cache(maxsize=64)
def _run(line: bytes, body: int) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """Match as many frames in a row as have this control line: at a flood, ten times as fast as one by one."""
    return re.compile(rb"(?s:(?:%b.{%d}\r\n)++)" % (re.escape(line), body - 2)).match


def _read(line: bytes, max_line: int) -> _Control:
    """Read a control line. At most 1,024 lines of 256 bytes are remembered, and none with a reply: it is unique."""
    size = len(line)
    if size > max_line:
        raise ProtocolError(f"a control line over {max_line} bytes: {_short(line)}")
    control: _Control
    if _PLAIN(line):
        args = line.decode().split()
        sid, reply = (args[2], args[3:-1]) if args[0] == "MSG" else ("", args[2:-1])
        control = args[0], args[1], sid, "", reply[0] if reply else "", 0, int(args[-1]) + 2, None, b"", size
    elif text := _TEXT(line):
        control = _read_text(text[1].decode().upper(), text[2].strip(b" \t\r"), size)
    else:
        control = _read_words(line.decode("utf-8", "surrogateescape"), size)
    if size <= 256 and not control[4]:
        if len(_memory) >= 1024:
            _memory.clear()
        _memory[line] = control
    return control


def _read_text(op: str, text: bytes, line: int) -> _Control:
    if op == "-ERR" and len(text) > 1 and text[:1] == text[-1:] == b"'":
        text = text[1:-1]
    return op, "", "", "", "", 0, 0, None, text if op in ("-ERR", "INFO", "CONNECT") else b"", line


def _read_words(text: str, line: int) -> _Control:
    op, *args = _words(text.rstrip(" \t\r\n"))
    match op.upper() if op.isascii() else op, args:  # str.upper() makes an S of more than s
        case "MSG", [subject, sid, *reply, size] if len(reply) < 2:
            return "MSG", subject, sid, "", "".join(reply), 0, _size(size) + 2, None, b"", line
        case "PUB", [subject, *reply, size] if len(reply) < 2:
            return "PUB", subject, "", "", "".join(reply), 0, _size(size) + 2, None, b"", line
        case "HMSG", [subject, sid, *reply, header, size] if len(reply) < 2 and _size(header) <= _size(size):
            return "HMSG", subject, sid, "", "".join(reply), 0, _size(size) + 2, _size(header), b"", line
        case "HPUB", [subject, *reply, header, size] if len(reply) < 2 and _size(header) <= _size(size):
            return "HPUB", subject, "", "", "".join(reply), 0, _size(size) + 2, _size(header), b"", line
        case "SUB", [subject, *queue, sid] if len(queue) < 2:
            return "SUB", subject, sid, "".join(queue), "", 0, 0, None, b"", line
        case "UNSUB", [sid, *max_msgs] if len(max_msgs) < 2:  # what is no number means "at once" to the server
            most = _SIZE("".join(max_msgs))
            return "UNSUB", "", sid, "", "", int(most[0]) if most else 0, 0, None, b"", line
    raise ProtocolError(f"no such operation: {_short(text)}")


def _size(text: str) -> int:
    if _SIZE(text):
        return int(text)
    raise ProtocolError(f"not a size: {_short(text)}")


def _read_headers(block: bytes) -> tuple[tuple[tuple[str, str], ...], int | None, str]:
    first, *lines = block.split(b"\r\n")
    pairs = [line.decode("utf-8", "surrogateescape").split(":", 1) for line in lines if b":" in line]
    headers = tuple((name.strip(" \t"), value.strip(" \t")) for name, value in pairs)
    if status := _STATUS(first):
        return headers, int(status[1]), status[2].decode("utf-8", "surrogateescape").strip(" \t")
    return headers, None, ""


def _write_headers(frame: Frame) -> bytes:
    status = "" if frame.status is None else f" {frame.status:03} {frame.description}".rstrip(" \t")
    lines = [f"{name}: {value}\r\n" for name, value in frame.headers or ()]
    return f"NATS/1.0{status}\r\n{''.join(lines)}\r\n".encode("utf-8", "surrogateescape")


def _short(value: object) -> str:
    """Show a value in at most 80 characters of one line of ASCII, whatever is in it; it may be megabytes."""
    text = ascii(value[:60] if isinstance(value, str | bytes) else value)
    if (isinstance(value, str | bytes) and len(value) > 60) or len(text) > 60:
        return f"{text[:60]}...{f' ({len(value)} bytes)' if isinstance(value, bytes) else ''}"
    return text
