"""Real nats-servers: our own processes and clusters, a composed one, or somebody else's."""

from .binary import Binary, ServerError, find_binary
from .cluster import Cluster
from .places import Composed, External, NotHere, Place, place
from .process import Server

__all__ = [
    "Binary",
    "Cluster",
    "Composed",
    "External",
    "NotHere",
    "Place",
    "Server",
    "ServerError",
    "find_binary",
    "place",
]
