"""Carries clients that speak plain NATS to a server that wants TLS.

A Tap cannot look into TLS, and a lesson without its Tap has nothing to show. So on the reader's machine, where nobody
else listens, the wire stays readable, and from there to the server it is not.
"""

import asyncio
import contextlib
import json
import ssl
from typing import Self

from natsdemo.server.loopback import HOST, free_port

CHUNK = 1 << 16
PATIENCE = 10  # seconds until a server that says nothing is none
# What INFO says of TLS, which the Relay has seen to, and of other addresses, where there is no Relay.
NOT_FOR_CLIENTS = ("tls_required", "tls_verify", "tls_available", "connect_urls")


class Relay:
    """A port on loopback, `port`, behind which there is a nats-server beyond TLS.

    Every byte passes unchanged, except for the first line of the server, INFO, which no longer asks for TLS.

    Parameters: `host` and `port` of the server; `context`, whom to trust; `server_name`, what the certificate names.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext, server_name: str) -> None:
        self.port = free_port()
        self._target = host, port
        self._context = context
        self._server_name = server_name
        self._listener: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> Self:
        """Start listening."""
        self._listener = await asyncio.start_server(self._accept, HOST, self.port)
        return self

    async def dial(self) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server and return its INFO, for a client that need not care for TLS, and the connection.

        Raises `OSError` if it does not answer or is not the one that we trust, `ValueError` if it speaks no NATS.
        Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
        """
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(*self._target)
            try:
                info = json.loads((await reader.readline()).removeprefix(b"INFO "))
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
