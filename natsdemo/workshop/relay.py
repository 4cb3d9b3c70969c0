"""Carries clients that speak plain NATS, to one address, to servers that want TLS, or of which there are several.

A Tap cannot look into TLS, and a lesson without its Tap has nothing to show. So on the reader's machine, where nobody
else listens, the wire stays readable, and from there to the server it is not. And a lesson that knows one address only
comes back to another server of a cluster.
"""

import asyncio
import contextlib
import json
import ssl
from collections import deque
from typing import Self

from natsdemo.server.loopback import HOST, free_port

CHUNK = 1 << 16
PATIENCE = 10  # seconds until a server that says nothing is none; a room that sits down all at once takes some
# What INFO says of TLS, which the Relay has seen to, and of other addresses, where there is no Relay.
NOT_FOR_CLIENTS = ("tls_required", "tls_verify", "tls_available", "connect_urls")


class Relay:
    """A port on loopback, `address`, behind which there are nats-servers.

    Every byte passes unchanged, except for the first line of the server, INFO, which no longer asks for TLS.

    Parameters: `addresses` of the servers, the preferred one first; `context`, whom to trust, without which there is no
    TLS; `server_name`, what the certificate names.
    """

    def __init__(self, addresses: list[str], context: ssl.SSLContext | None, server_name: str) -> None:
        self.port = free_port()
        self.address = f"{HOST}:{self.port}"
        self._targets = deque(addresses)
        self._context = context
        self._server_name = server_name
        self._listener: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> Self:
        """Start listening."""
        self._listener = await asyncio.start_server(self._accept, HOST, self.port)
        return self

    async def dial(self) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a server and return its INFO, for a client that need not care for TLS, and the connection.

        It is the one that answered last, or the next that does. Raises what the last of them has failed with: `OSError`
        if it does not answer or is not one that we trust, `ValueError` if it speaks no NATS.
        Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
        """
        for _ in range(len(self._targets) - 1):
            with contextlib.suppress(OSError, ValueError):
                return await self._dial_first()
        return await self._dial_first()

    async def _dial_first(self) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._targets[0]
        try:
            return await self._dial(*address.split(":"))
        except (OSError, ValueError):
            if self._targets[0] == address:  # and nobody else has found out before us
                self._targets.rotate(-1)
            raise

    async def _dial(self, host: str, port: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                info = json.loads((await reader.readline()).removeprefix(b"INFO "))
                if self._context:
                    await writer.start_tls(self._context, server_hostname=self._server_name)
            except BaseException:
                writer.close()
                raise
        plain = {key: value for key, value in info.items() if key not in NOT_FOR_CLIENTS}
        return b"INFO " + json.dumps(plain, separators=(",", ":")).encode() + b"\r\n", reader, writer

    def _accept(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(near_in, near_out))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _carry(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Be between one client and the server until one of the two has gone."""
        with contextlib.closing(near_out), contextlib.suppress(OSError, ValueError):
            info, far_in, far_out = await self.dial()
            with contextlib.closing(far_out):
                near_out.write(info)
                ways = {asyncio.create_task(_pass(near_in, far_out)), asyncio.create_task(_pass(far_in, near_out))}
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._listener:
            self._listener.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry one direction until it ends; a sink that takes nothing stops the source."""
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
