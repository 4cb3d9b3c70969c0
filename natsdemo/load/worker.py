"""One process of a load, `python -m natsdemo.load.worker ABOUT`, which is told what to do in lines of JSON.

It says that it is connected. Then, for each run: a `Job` comes in, it says that it is ready, the moment to start comes
in, it says what it found. It ends with its standard input, that is, with whoever started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
from typing import Any

from . import natspy, raw
from .account import Job, account, late

PATIENCE = 5.0  # seconds without a message, after which what has not come is lost

ROLES: dict[tuple[str, str], Any] = {
    ("bare", "publisher"): raw.BarePublisher,
    ("bare", "subscriber"): raw.BareSubscribers,
    ("raw", "publisher"): raw.Publisher,
    ("raw", "subscriber"): raw.Subscribers,
    ("nats-py", "publisher"): natspy.Publisher,
    ("nats-py", "subscriber"): natspy.Subscribers,
}


async def main(client: str, role: str, arguments: dict[str, Any]) -> None:
    """Connect, and do what the lines say until they end."""
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    worker = ROLES[client, role](**arguments)
    await worker.connect()
    _say("connected")
    while True:
        job = Job(*json.loads(await asyncio.to_thread(lines.get)))
        worker.prepare(job)
        _say("ready")
        start = json.loads(await asyncio.to_thread(lines.get))
        if role == "publisher":
            await worker.publish(job, start)
            _say("done")
            continue
        for came in await worker.receive(job, PATIENCE):
            came = [arrival for arrival in came if arrival[1] >= job.first]  # the rest is the last run's
            _say([account(came), late(came, job, start).encode().decode() if job.rate else None])


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def _read(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
