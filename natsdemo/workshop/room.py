"""The teacher's side: one nats-server, with an account for each reader as a wall between them."""

import contextlib
import ipaddress
import json
import secrets
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error
from nats.js.api import DiscardPolicy, StreamConfig

from natsdemo.server import Server, ServerError
from natsdemo.server.loopback import HOST, fetch

from .board import Board
from .sheet import sheet
from .ticket import RoomError, Ticket, write_secret

TEACHER = "teacher"
# The subject of a reader's own account that is exported to the teacher alone, and how it begins there: the server puts
# the reader's name behind it, so that nobody can report in another's.
REPORT = "natsdemo.progress"
PROGRESS = "progress"

# What the server's certificate names beside the address, so that a reader may reach it at another one.
SERVER_NAME = "workshop.natsdemo"
VALID = 365  # days

# Much more than the lessons need, and not enough for one reader to fill the teacher's disk.
LIMITS = {"max_memory": "32MB", "max_file": "128MB", "max_streams": 100, "max_consumers": 500}
LONGEST = 2048  # bytes of a report
MANY = 5000  # reports of a reader that are kept; a whole course makes about a thousand


class Room:
    """A nats-server for so many readers, and the tickets for them.

    Use it with `async with Room(folder, 30) as room`. In `folder` it keeps the tickets, the server's certificate and
    what JetStream stores: a room that is opened there again knows its readers, and what they have proved.

    Parameters: `folder`; `readers`, how many; `address`, where it listens, an IPv4 address of this machine (beyond
    loopback with TLS, for which `openssl` is needed); `port`, by default a free one.
    """

    def __init__(self, folder: Path, readers: int, *, address: str = HOST, port: int | None = None) -> None:
        self.folder = folder
        self.address = _address(address)
        self.tickets: dict[str, Ticket] = {}
        self.board = Board()
        self._names = [f"reader-{number:02}" for number in range(1, readers + 1)]
        self._port = port
        self._server: _Listening | None = None
        self._client: Client | None = None
        self._reports: Subscription | None = None

    @property
    def server(self) -> Server:
        """Its nats-server."""
        assert self._server, "the room is not open"
        return self._server

    async def start(self) -> Self:
        """Start the server, write the tickets, and follow what readers report.

        Raises `RoomError` if it is to listen beyond loopback and there can be no TLS, `ServerError` with the server's
        own reason if that does not start.
        """
        try:
            return await self._start()
        except OSError as error:
            if error.filename is None:
                raise
            raise RoomError(f"{error.filename} cannot be used ({error.strerror}): name another folder.") from None

    async def _start(self) -> Self:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "readers").mkdir(mode=0o700, exist_ok=True)
        pem = None if self.address.is_loopback else certificate(self.folder, str(self.address))
        passwords = {name: self._password(name) for name in [*self._names, TEACHER]}
        config = accounts(passwords) + (_tls(pem) if pem else "")
        self._server = _Listening(str(self.address), config, self.folder / "store", self._port)
        await self._server.start()
        try:
            assert self._server.port
            where = str(self.address), self._server.port, _authority(pem) if pem else ""
            self.tickets = {name: Ticket(name, passwords[name], *where) for name in self._names}
            for name, ticket in self.tickets.items():
                ticket.save(self.path(name))
                write_secret(self.path(name).with_suffix(".html"), sheet(ticket))
            await self._follow(Ticket(TEACHER, passwords[TEACHER], *where))
        except BaseException:
            await self.close()
            raise
        return self

    def path(self, name: str) -> Path:
        """Where the ticket of a reader is."""
        return self.folder / "readers" / f"{name}.json"

    def _password(self, name: str) -> str:
        """The password of the ticket that was given to the reader already, else a new one."""
        path = self.path(name)
        return Ticket.load(path).password if path.exists() else secrets.token_hex(16)

    async def _follow(self, teacher: Ticket) -> None:
        """Have the board learn what was ever reported, and then what is."""
        options: dict[str, Any] = {}
        if teacher.authority:
            options = {"tls": trust(teacher.authority), "tls_hostname": SERVER_NAME}
        self._client = await nats.connect(teacher.url(), name="teacher", max_reconnect_attempts=-1, **options)
        js = self._client.jetstream()
        kept = StreamConfig(
            name="PROGRESS",
            subjects=[f"{PROGRESS}.*"],
            max_msg_size=LONGEST,
            max_msgs_per_subject=MANY,
            discard=DiscardPolicy.OLD,
        )
        await js.add_stream(kept)

        async def take(msg: Any) -> None:
            self.board.take(msg.subject.removeprefix(f"{PROGRESS}."), msg.data, msg.metadata.timestamp)

        self._reports = await js.subscribe(f"{PROGRESS}.*", cb=take, ordered_consumer=True)

    async def here(self) -> set[str]:
        """The readers who are connected now."""
        page = await self.server.monitor("accstatz")
        return {each["acc"] for each in page["account_statz"] if each["conns"]} & set(self._names)

    async def close(self) -> None:
        """Close the room; its folder stays. Closing twice does no harm."""
        if self._reports:
            with contextlib.suppress(Error):  # closed already, or the server is gone
                await self._reports.unsubscribe()  # closing the client would leave its heartbeat's task behind
        if self._client:
            await self._client.close()
        if self._server:
            await self._server.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Listening(Server):
    """A server that listens where it is told; its monitoring pages, which ask for no password, stay on loopback."""

    def __init__(self, address: str, config: str, store_dir: Path, port: int | None) -> None:
        super().__init__(
            "workshop",
            config=config,
            port=port,
            store_dir=store_dir,
            flags=("-a", address),
            settings=f'http: "{HOST}:0"',  # the port is a flag
        )
        self._address = address

    @property
    def url(self) -> str:
        return f"nats://{self._address}:{self.port}"

    def _answers(self) -> bool:
        """Whether it calls itself healthy, which it does once clients can connect, wherever that is."""
        try:
            return bool(fetch(f"{self.monitor_url}/healthz").get("status") == "ok")
        except ServerError:
            return False


def accounts(passwords: dict[str, str]) -> str:
    """Return the accounts in nats-server's own language, from users and their passwords; the teacher is one of them.

    Each reader is alone in an account with JetStream, from which nothing gets out but what is exported to the teacher.
    Source: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/accounts
    """
    readers = [name for name in passwords if name != TEACHER]
    limits = ", ".join(f"{key}: {value}" for key, value in LIMITS.items())
    lines = [
        f"  {name} {{ jetstream {{ {limits} }}, {_user(name, passwords)},"
        f' exports: [{{ stream: "{REPORT}", accounts: [{TEACHER}] }}] }}'
        for name in readers
    ]
    imports = [
        f'    {{ stream: {{ account: {name}, subject: "{REPORT}" }}, to: "{PROGRESS}.{name}" }}' for name in readers
    ]
    teacher = [f"  {TEACHER} {{ jetstream: enabled, {_user(TEACHER, passwords)}, imports: [", *imports, "  ] }"]
    return "\n".join(["accounts {", *lines, *teacher, "}", ""])


def _user(name: str, passwords: dict[str, str]) -> str:
    return f'users: [{{ user: {name}, password: "{passwords[name]}" }}]'


def _tls(pem: Path) -> str:
    """TLS, with some patience: a room that sits down all at once has waited for longer than the usual two seconds.

    Source: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/tls
    """
    path = json.dumps(str(pem.absolute()))
    return f"tls {{ cert_file: {path}, key_file: {path}, timeout: 10 }}\n"


def certificate(folder: Path, address: str) -> Path:
    """Return the server's certificate for `address`, with its key; made by `openssl` unless there is one already.

    It is its own authority: the tickets carry it, and who holds one trusts this server and no other.
    Raises `RoomError` where there is no `openssl`.
    """
    pem = folder / f"{address}.pem"
    if pem.exists():
        return pem
    if not shutil.which("openssl"):
        raise RoomError(
            f"Without TLS we do not listen at {address}, and TLS needs `openssl`: install it, or leave --listen out."
        )
    command = f"openssl req -x509 -nodes -days {VALID} -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    subject = ["-subj", f"/CN={SERVER_NAME}", "-addext", f"subjectAltName=DNS:{SERVER_NAME},IP:{address}"]
    made = subprocess.run([*command.split(), *subject, "-keyout", "-"], capture_output=True, text=True)
    if made.returncode:
        last = (made.stderr.strip().splitlines() or ["no reason"])[-1]
        raise RoomError(f"`openssl` made no certificate ({last}): update it, or leave --listen out.")
    write_secret(pem, made.stdout)
    return pem


def _authority(pem: Path) -> str:
    """The certificate without its key."""
    text = pem.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def trust(authority: str) -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts this certificate and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority)
    return context


def _address(text: str) -> ipaddress.IPv4Address:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise RoomError(f"{text} is no IPv4 address: name one of this machine, such as 192.168.1.5.") from None
    if address.is_unspecified:
        raise RoomError(f"Nobody can dial {text}: name this machine's address in the network of the room.")
    return address
