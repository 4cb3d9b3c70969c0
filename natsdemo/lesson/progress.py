"""Tells the workshop what the lesson has proved, where the reader has chosen so (`natsdemo join --report`)."""

import contextlib
import json
import os
import socket
from pathlib import PurePath
from typing import Literal


def report(kind: Literal["lesson", "claim", "exercise"], name: str, outcome: str) -> None:
    """Say that something came out as it did; nothing happens unless `NATSDEMO_PROGRESS` names a port of this machine.

    It is one datagram: it waits for nobody, and nothing that becomes of it can fail the lesson.
    """
    port = os.environ.get("NATSDEMO_PROGRESS", "")
    if not port:
        return
    lesson = PurePath(os.environ.get("JPY_SESSION_NAME", "")).stem  # set by Jupyter
    said = {"lesson": lesson, "kind": kind, "name": name, "outcome": outcome}
    with contextlib.suppress(OSError, ValueError, OverflowError), socket.socket(type=socket.SOCK_DGRAM) as link:
        link.setblocking(False)
        link.sendto(json.dumps(said).encode(), ("127.0.0.1", int(port)))
