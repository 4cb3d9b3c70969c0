"""A reader's ticket: what they need to take their seat, in one small file that is as good as a password."""

import json
import os
from pathlib import Path
from typing import NamedTuple, Self

from natsdemo.server import ServerError


class RoomError(ServerError):
    """Something about a workshop that a person can put right; its text is one sentence that says how."""


class Ticket(NamedTuple):
    """A reader's name, which is that of their account, too; a password; where the server is.

    `authority` is the certificate, as PEM text, that the server proves itself by; without one there is no TLS.
    """

    name: str
    password: str
    host: str
    port: int
    authority: str = ""

    def url(self, port: int | None = None) -> str:
        """The address with the credentials in it; with `port` that of a relay on this machine."""
        where = f"127.0.0.1:{port}" if port else f"{self.host}:{self.port}"
        return f"nats://{self.name}:{self.password}@{where}"

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
        except OSError as error:
            raise RoomError(
                f"{path} cannot be read ({error.strerror}): name the file that your teacher gave you."
            ) from None
        except (ValueError, TypeError):
            raise RoomError(f"{path} is no ticket of a workshop: name the file that your teacher gave you.") from None
        if [type(value) for value in given] != [str, str, str, int, str]:
            raise RoomError(f"{path} is no ticket of a workshop: name the file that your teacher gave you.")
        return given

    def __repr__(self) -> str:
        return f"<Ticket of {self.name} for {self.host}:{self.port}>"


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o600)) as file:
        file.write(text)
