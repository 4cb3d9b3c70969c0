"""A reader's ticket: what they need to take their seat, in one small file that is as good as a password."""

import json
import os
from pathlib import Path
from typing import NamedTuple, Self

from natsdemo.server import ServerError


class RoomError(ServerError):
    """Something about a workshop that a person can put right; its text is one sentence that says how."""


class Ticket(NamedTuple):
    """A reader's name, which is that of their account, too; a password; where the servers are (`"host:port"`).

    `authority` is the certificate, as PEM text, that the servers prove themselves by; without one there is no TLS.
    """

    name: str
    password: str
    addresses: list[str]
    authority: str = ""

    @property
    def urls(self) -> list[str]:
        """The addresses with the credentials in them."""
        return [self.url_at(address) for address in self.addresses]

    @property
    def where(self) -> str:
        """The addresses, as a person reads them."""
        return ", ".join(self.addresses)

    def url_at(self, address: str) -> str:
        """Another address with the credentials in it."""
        return f"nats://{self.name}:{self.password}@{address}"

    def save(self, path: Path) -> None:
        """Write it where only its owner can read it."""
        write_secret(path, self.text)

    @property
    def text(self) -> str:
        """What its file holds."""
        return json.dumps(self._asdict(), indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it from its file; raise `RoomError` if there is none, or if it is none."""
        try:
            given = cls(**json.loads(path.read_text(encoding="utf-8")))
            if not all(isinstance(text, str) for text in (given.name, given.password, given.authority)):
                raise TypeError
            if not given.addresses or not all(isinstance(address, str) for address in given.addresses):
                raise TypeError
        except OSError as error:
            raise RoomError(
                f"{path} cannot be read ({error.strerror}): name the file that your teacher gave you."
            ) from None
        except (ValueError, TypeError):
            raise RoomError(f"{path} is no ticket of a workshop: name the file that your teacher gave you.") from None
        return given

    def __repr__(self) -> str:
        return f"<Ticket of {self.name} for {self.where}>"


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o600)) as file:
        file.write(text)
