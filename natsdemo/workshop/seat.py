"""The reader's side: what `natsdemo join` keeps up while the lessons run."""

import asyncio
import contextlib
import ssl
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.errors import Error

from natsdemo.server import External, ServerError
from natsdemo.server.loopback import HOST

from .relay import Relay
from .room import LONGEST, REPORT, SERVER_NAME, trust
from .ticket import RoomError, Ticket

AGAIN = 0.5  # seconds


class Seat:
    """A reader's seat in the room: `environment` is what their lessons need to run there.

    Parameters: `ticket`; `report`, whether the teacher is to be told what the lessons prove. Lessons hand that over in
    datagrams on this machine's loopback, which cost them microseconds and cannot fail them; from here it goes on over
    NATS, to a service that is the teacher's.
    """

    def __init__(self, ticket: Ticket, *, report: bool = False) -> None:
        self.ticket = ticket
        self.environment: dict[str, str] = {}
        self._report = report
        self._relay: Relay | None = None
        self._client: Client | None = None
        self._inbox: asyncio.DatagramTransport | None = None
        self._said: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1000)
        self._forwarding: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """Take the seat; raise `RoomError` if the room is not there, is another one, or does not know us."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def _start(self) -> None:
        ticket = self.ticket
        (url, *others) = ticket.urls
        if ticket.authority or others:
            self._relay = await self._relayed()
            url = ticket.url_at(self._relay.address)
        try:
            await External(url).start()
        except ServerError as problem:
            what = "has no seat for this ticket" if "refuses" in str(problem) else "does not answer"
            raise RoomError(
                f"The workshop at {ticket.where} {what}: ask your teacher whether it runs, and whether "
                "your ticket is of today."
            ) from None
        self.environment = {"NATS_URL": url}
        if self._report:
            self._client = await nats.connect(url, name="progress", max_reconnect_attempts=-1, error_cb=_quietly)
            loop = asyncio.get_running_loop()
            self._inbox, _ = await loop.create_datagram_endpoint(lambda: _Inbox(self._said), (HOST, 0))
            self._forwarding = asyncio.create_task(self._forward(self._client))
            self.environment["NATSDEMO_PROGRESS"] = str(self._inbox.get_extra_info("sockname")[1])

    async def _relayed(self) -> Relay:
        ticket = self.ticket
        try:
            relay = Relay(ticket.addresses, trust(ticket.authority) if ticket.authority else None, SERVER_NAME)
            *_, writer = await relay.dial()
        except ssl.SSLError as error:
            raise RoomError(
                f"The server at {ticket.where} is not the one of this ticket ({error.reason}): "
                "ask your teacher for the ticket of today."
            ) from None
        except (OSError, ValueError):
            raise RoomError(
                f"No nats-server answers at {ticket.where}: ask your teacher whether the workshop runs, "
                "and see that you are in the network of the room."
            ) from None
        writer.close()
        return await relay.start()

    async def _forward(self, client: Client) -> None:
        """Pass on what lessons say, each until the teacher's stream has it: twice does no harm."""
        while True:
            data = await self._said.get()
            while not await _taken(client, data):  # noqa: ASYNC110 (nobody tells when the room is there again)
                await asyncio.sleep(AGAIN)
            self._said.task_done()

    async def close(self) -> None:
        """Leave the seat, once what was said has been passed on. Closing twice does no harm."""
        if self._inbox:
            self._inbox.close()
        with contextlib.suppress(TimeoutError, Error):
            async with asyncio.timeout(2):
                if self._forwarding and not self._forwarding.done():
                    await self._said.join()
                if self._client and self._client.is_connected:
                    await asyncio.sleep(0)
                    await self._client.flush()
        if self._forwarding:
            self._forwarding.cancel()
        if self._client:
            await self._client.close()
        if self._relay:
            await self._relay.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Inbox(asyncio.DatagramProtocol):
    """Where lessons say what they have proved."""

    def __init__(self, said: asyncio.Queue[bytes]) -> None:
        self._said = said

    def datagram_received(self, data: bytes, _: Any) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            if len(data) <= LONGEST:
                self._said.put_nowait(data)


async def _taken(client: Client, report: bytes) -> bool:
    """Whether the teacher's stream has answered; it does not while the room is out of reach, or without a leader."""
    try:
        return bool(await client.request(REPORT, report, timeout=2))
    except Error:
        return False


async def _quietly(_: Exception) -> None:
    """A connection that breaks is made again, and the reader need not hear of it."""
