"""Load on a server, from several processes: at a rate or flat out, stamped, every message accounted for.

What is measured, and how:

- Publishers and subscribers are processes of their own, so that neither Python's lock nor a notebook is in the way.
- A run is end to end: it begins when the publishers do, and ends when the last subscriber has its last message. What a
  publisher has only handed to its socket is not done.
- At a rate, each message is *due* at a moment, and its latency counts from there, whether its publisher was late or
  not. A clock that starts when the message was really sent forgives the system each pause that held the publisher up,
  too. That mistake is called coordinated omission: https://hdrhistogram.github.io/HdrHistogram/
- Flat out there is no latency worth the name: a message mostly waits for those before it.
"""

from .account import Received, histogram
from .load import CLIENTS, Load, LoadError, Run

__all__ = ["CLIENTS", "Load", "LoadError", "Received", "Run", "histogram"]
