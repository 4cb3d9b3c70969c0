"""A room of readers on one nats-server: an account for each, a page for the teacher.

    the reader's machine                                          the teacher's machine
    lessons -> Tap -> Relay ~~~~~~~~~~~~ TLS ~~~~~~~~~~~~> nats-server: an account for each reader
       |              (`natsdemo join`)                      |  what a reader reports is exported, to the teacher alone
       +-> Seat: what was proved, if the reader says so ~~~> Board -> page

On loopback there is no TLS and no Relay. A `Room` is the teacher's side, a `Seat` the reader's; a `Ticket` is what the
one gives to the other.
"""

from .board import Board
from .room import Room
from .seat import Seat
from .ticket import RoomError, Ticket

__all__ = ["Board", "Room", "RoomError", "Seat", "Ticket"]
