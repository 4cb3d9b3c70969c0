"""This machine's loopback: ports that are free, pages that a server publishes there."""

import itertools
import json
import random
import socket
import urllib.error
import urllib.request
from typing import Any

from .binary import ServerError

HOST = "127.0.0.1"

# Below the range that outgoing connections are given. A client that keeps dialling a dead port of that range may,
# by TCP's simultaneous open, connect to itself there; and another program's connection may take it before our
# server comes back. One after the other from a place of our own, since the port of a server that is down looks free:
# neither we nor another process of ours should come by there soon.
_ports = itertools.count(random.randrange(12_000))


def free_port() -> int:
    """Return a port that is free on loopback now, and was not given to anybody lately."""
    while True:
        port = 20_000 + next(_ports) % 12_000
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


# A proxy, where one is set, is not for this machine's own pages.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str) -> dict[str, Any]:
    """Get a JSON page, whatever its status; raise `ServerError` if nothing answers within 2 seconds."""
    try:
        with _opener.open(url, timeout=2) as page:
            text = page.read()
    except urllib.error.HTTPError as error:
        text = error.read()
    except OSError as error:
        raise ServerError(f"Nothing answers at {url}: {error}.") from None
    answer: dict[str, Any] = json.loads(text)
    return answer
