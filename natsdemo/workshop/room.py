"""The teacher's side: a nats-server, or a cluster, with an account for each reader as a wall between them."""

import asyncio
import contextlib
import ipaddress
import json
import secrets
import shutil
import ssl
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error
from nats.js.api import DiscardPolicy, StreamConfig

from natsdemo.server import Cluster, Server, ServerError
from natsdemo.server.loopback import HOST, fetch, free_port

from .board import Board
from .sheet import sheet
from .ticket import RoomError, Ticket, write_secret

TEACHER = "teacher"
# What readers report to, and how it begins in the teacher's account: the server puts the reader's name behind it, so
# that nobody can report in another's.
REPORT = "natsdemo.progress"
PROGRESS = "progress"

# What the server's certificate names beside the address, so that a reader may reach it at another one.
SERVER_NAME = "workshop.natsdemo"
VALID = 365  # days

# Much more than the lessons need, and not enough for one reader to fill the teacher's disk.
LIMITS = {"max_memory": "32MB", "max_file": "128MB", "max_streams": 100, "max_consumers": 500}
LONGEST = 2048  # bytes of a report
PATIENCE = 20  # seconds
MANY = 5000  # reports of a reader that are kept; a whole course makes about a thousand


class Room:
    """A nats-server, or a cluster, for so many readers, and the tickets for them.

    Use it with `async with Room(folder, 30) as room`. In `folder` it keeps the tickets, the servers' certificate and
    what JetStream stores: a room that is opened there again, with as many servers, knows its readers, and what they
    have proved.

    Parameters: `folder`; `readers`, how many; `address`, where it listens, an IPv4 address of this machine (beyond
    loopback with TLS, for which `openssl` is needed); `port`, by default a free one; `cluster`, how many servers there
    are, of which the others listen at the ports after it.
    """

    def __init__(
        self, folder: Path, readers: int, *, address: str = HOST, port: int | None = None, cluster: int = 1
    ) -> None:
        self.folder = folder
        self.address = _address(address)
        self.tickets: dict[str, Ticket] = {}
        self.board = Board()
        self._names = [f"reader-{number:02}" for number in range(1, readers + 1)]
        self._ports = [port + node if port else free_port() for node in range(cluster)]
        self._world: _Listening | _Hall | None = None
        self._client: Client | None = None
        self._reports: Subscription | None = None

    @property
    def servers(self) -> list[Server]:
        """Its nats-servers."""
        assert self._world, "the room is not open"
        return [self._world] if isinstance(self._world, Server) else list(self._world.values())

    async def start(self) -> Self:
        """Start the servers, write the tickets, and follow what readers report.

        Raises `RoomError` if it is to listen beyond loopback and there can be no TLS, `ServerError` with the server's
        own reason if one does not start.
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
        if len(self._ports) == 1:
            self._world = _Listening("workshop", str(self.address), self._ports[0], config, self.folder / "store")
        else:
            self._world = _Hall(str(self.address), self._ports, config, self.folder)
        await self._world.start()
        try:
            authority = _authority(pem) if pem else ""
            addresses = deque(f"{self.address}:{port}" for port in self._ports)
            for name in self._names:
                self.tickets[name] = ticket = Ticket(name, passwords[name], list(addresses), authority)
                ticket.save(self.path(name))
                write_secret(self.path(name).with_suffix(".html"), sheet(ticket))
                addresses.rotate(-1)  # so that each server gets its part of the readers
            await self._follow(Ticket(TEACHER, passwords[TEACHER], list(addresses), authority))
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
        self._client = await nats.connect(teacher.urls, name="teacher", max_reconnect_attempts=-1, **options)
        js = self._client.jetstream()
        kept = StreamConfig(
            name="PROGRESS",
            subjects=[f"{PROGRESS}.*"],
            max_msg_size=LONGEST,
            max_msgs_per_subject=MANY,
            num_replicas=min(len(self.servers), 3),
            discard=DiscardPolicy.OLD,
        )

        async def take(msg: Any) -> None:
            self.board.take(msg.subject.removeprefix(f"{PROGRESS}."), msg.data, msg.metadata.timestamp)

        end = time.monotonic() + PATIENCE
        while not self._reports:  # a cluster that was started again elects its leaders first
            try:
                await js.add_stream(kept)
                self._reports = await js.subscribe(f"{PROGRESS}.*", cb=take, ordered_consumer=True)
            except Error as problem:
                if time.monotonic() > end:
                    raise RoomError(f"What readers report cannot be kept ({problem}): name another folder.") from None
                await asyncio.sleep(0.2)

    async def here(self) -> set[str]:
        """The readers who are connected now."""
        here: set[str] = set()
        for server in self.servers:
            with contextlib.suppress(ServerError):  # one of several may be down
                page = await server.monitor("accstatz")
                here |= {each["acc"] for each in page["account_statz"] if each["conns"]}
        return here & set(self._names)

    async def close(self) -> None:
        """Close the room; its folder stays. Closing twice does no harm."""
        if self._reports:
            with contextlib.suppress(Error):  # closed already, or the server is gone
                await self._reports.unsubscribe()  # closing the client would leave its heartbeat's task behind
        if self._client:
            await self._client.close()
        if self._world:
            await self._world.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Listening(Server):
    """A server that listens where it is told; its monitoring pages, which ask for no password, stay on loopback."""

    def __init__(self, name: str, address: str, port: int, config: str, store_dir: Path, settings: str = "") -> None:
        super().__init__(
            name,
            config=config,
            port=port,
            store_dir=store_dir,
            flags=("-a", address),
            settings=f'http: "{HOST}:0"\n{settings}',  # the port is a flag
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


class _Hall(Cluster):
    """A cluster that listens where it is told. Its routes stay on loopback, and ask for a password that is in no flag:
    flags can be read by everybody on this machine, and who has a route has what crosses it.

    Source: https://docs.nats.io/running-a-nats-service/configuration/clustering/cluster_config
    """

    def __init__(self, address: str, ports: list[int], config: str, folder: Path) -> None:
        password = secrets.token_hex(16)
        self.listens = self.routes = {f"n{number}": f"{HOST}:{free_port()}" for number in range(1, len(ports) + 1)}
        routes = json.dumps([f"nats://route:{password}@{where}" for where in self.routes.values()])
        self._servers = {
            name: _Listening(
                name,
                address,
                port,
                config,
                folder / "store" / name,
                f'cluster {{ name: workshop, listen: "{where}", routes: {routes}, no_advertise: true,'
                f' authorization {{ user: route, password: "{password}", timeout: 5 }} }}',
            )
            for (name, where), port in zip(self.listens.items(), ports, strict=True)
        }

    async def _forget(self) -> None:
        await super()._forget()
        for server in self.values():
            shutil.rmtree(server.store_dir, ignore_errors=True)


def accounts(passwords: dict[str, str]) -> str:
    """Return the accounts in nats-server's own language, from users and their passwords; the teacher is one of them.

    Each reader is alone in an account with JetStream, out of which nothing gets but what they report: to a service of
    the teacher's, with a subject for each reader that nobody else has. It is the stream who answers, so that a report
    that came while it had no leader is known to be lost.
    Source: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/accounts
    """
    readers = [name for name in passwords if name != TEACHER]
    limits = ", ".join(f"{key}: {value}" for key, value in LIMITS.items())
    lines = [
        f"  {name} {{ jetstream {{ {limits} }}, {_user(name, passwords)}, imports: ["
        f' {{ service: {{ account: {TEACHER}, subject: "{PROGRESS}.{name}" }}, to: "{REPORT}" }} ] }}'
        for name in readers
    ]
    exports = [f'    {{ service: "{PROGRESS}.{name}", accounts: [{name}] }}' for name in readers]
    teacher = [f"  {TEACHER} {{ jetstream: enabled, {_user(TEACHER, passwords)}, exports: [", *exports, "  ] }"]
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
