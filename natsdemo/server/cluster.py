"""Three or more nats-servers in a full mesh, with JetStream across them."""

import asyncio
import contextlib
import html
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from .binary import ServerError
from .loopback import HOST, free_port
from .process import Server


class Cluster(Mapping[str, Server]):
    """A cluster of nats-servers on loopback, a mapping from their names (`"n1"`, `"n2"`, …) to the servers.

    Parameters: `size`, how many servers; `config`, configuration text for each of them, verbatim; `advertise`,
    whether the servers tell clients of each other. By default they do not, so that a client stays with the
    addresses that it was given: nats-py would otherwise walk round a Tap at the first reconnect. A mapping from
    names to addresses (`"127.0.0.1:port"`) makes each server advertise that address in its own place.
    `routed` has the servers reach each other at the addresses `routes` instead of where they listen, for the proxies
    (`natsdemo.tap.Routes`) that can part them.
    Source: https://docs.nats.io/running-a-nats-service/configuration/clustering
    """

    def __init__(
        self,
        size: int = 3,
        *,
        config: str = "",
        advertise: bool | Mapping[str, str] = False,
        routed: bool = False,
        binary: str | Path | None = None,
    ) -> None:
        names = [f"n{i}" for i in range(1, size + 1)]
        self.listens = {name: f"{HOST}:{free_port()}" for name in names}
        self.routes = {name: f"{HOST}:{free_port()}" for name in names} if routed else self.listens
        seeds = ",".join(f"nats://{address}" for address in self.routes.values())
        self._servers = {}
        for name in names:
            flags = [
                "--cluster",
                f"nats://{self.listens[name]}",
                "--cluster_name",
                "natsdemo",
                "--routes",
                seeds,
            ]
            flags += ["--cluster_advertise", self.routes[name]]
            if isinstance(advertise, Mapping):
                flags += ["--client_advertise", advertise[name]]
            elif not advertise:
                flags += ["--no_advertise"]
            settings = "cluster { name: natsdemo }"  # again, since a reload looks for it in the file
            self._servers[name] = Server(name, config=config, binary=binary, flags=tuple(flags), settings=settings)

    def __getitem__(self, name: str) -> Server:
        return self._servers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    @property
    def urls(self) -> list[str]:
        """Where clients connect, one address a server; `nats.connect` takes the whole list."""
        return [server.url for server in self.values()]

    @property
    def url(self) -> str:
        """All addresses in one string, separated by commas."""
        return ",".join(self.urls)

    @property
    def version(self) -> str:
        """The version of its nats-servers, which are all of one binary."""
        return next(iter(self._servers.values())).version

    async def start(self) -> Self:
        """Start every server that does not run, and wait until the cluster has a leader.

        Raises `ServerError` with the reason of the first that fails; a first start then leaves nothing behind.
        """
        fresh = all(server.empty for server in self.values())
        try:
            # When two servers vote for themselves at the same moment (1 start in 20), Raft tries again only after
            # its election time, 4 to 9 seconds. While nothing is stored yet, starting anew is quicker.
            for patience in (1.0, 3.0) if fresh else ():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        return await self._start_all()
                await self._forget()
            return await self._start_all()
        except BaseException:
            if fresh:
                await self._forget()
            raise

    async def _forget(self) -> None:
        """Stop all servers, so that the next start is the first again."""
        await self.close()

    async def _start_all(self) -> Self:
        try:
            async with asyncio.TaskGroup() as group:
                for server in self.values():
                    group.create_task(server.start())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        await self.wait_ready()
        return self

    async def stop(self) -> None:
        """Shut all servers down; their data stay for the next `start`."""
        await asyncio.gather(*(server.stop() for server in self.values()))

    async def close(self) -> None:
        """Stop all servers and remove their directories."""
        await asyncio.gather(*(server.close() for server in self.values()))

    async def wait_ready(self, deadline: float = 10) -> None:
        """Wait, at most `deadline` seconds, until a leader is known and every running server is healthy.

        Healthy is not whole: a fresh nats-server 2.10 under load may say so with a group of two of three, in which
        there is no room for a stream of three replicas. So each must know of all.
        """
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            running = [server for server in self.values() if server.state == "running"]
            health = await asyncio.gather(*(_page(server, "healthz") for server in running))
            if all(page.get("status") == "ok" for page in health) and await self.leader():
                pages = await asyncio.gather(*(_page(server, "jsz") for server in running))
                if all(_leader(page, None)[1] >= len(self) for page in pages):
                    return
            await asyncio.sleep(0.02)
        raise ServerError(f"The cluster has no leader after {deadline:g} s: {self!r}; a majority has to run.")

    async def leader(self, stream: str | None = None) -> str | None:
        """Return the name of the server that leads `stream`, or JetStream's meta group; None while nobody does.

        The leader is who a majority of those that vote name, if it runs and agrees. (One that has lost its
        majority takes itself for the leader for some seconds yet.)
        Source: https://docs.nats.io/running-a-nats-service/configuration/clustering/jetstream_clustering
        """
        path = "jsz" if stream is None else "jsz?streams=1"
        running = {name: server for name, server in self.items() if server.state == "running"}
        pages = await asyncio.gather(*(_page(server, path) for server in running.values()))
        views = dict(zip(running, (_leader(page, stream) for page in pages), strict=True))
        for name, votes in Counter(leader for leader, _ in views.values() if leader).most_common(1):
            if name in running and views[name][0] == name and votes > views[name][1] / 2:
                return name
        return None

    def observe(self, observer: Callable[[str, str], None]) -> None:
        """Have `observer(name, verb)` called whenever a verb was carried out on one of the servers."""
        for server in self.values():
            server.observe(observer)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Cluster {', '.join(f'{name} {server.state}' for name, server in self.items())}>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


async def _page(server: Server, path: str) -> dict[str, Any]:
    try:
        return await server.monitor(path)
    except ServerError:
        return {}


def _leader(page: dict[str, Any], stream: str | None) -> tuple[str, int]:
    """The leader by this page, and how many vote for one."""
    if stream is None:
        meta = page.get("meta_cluster", {})
        return meta.get("leader", ""), meta.get("cluster_size", 0)
    for account in page.get("account_details", []):
        for detail in account.get("stream_detail", []):
            if detail["name"] == stream:
                cluster = detail.get("cluster", {})
                return cluster.get("leader", ""), 1 + len(cluster.get("replicas", []))
    return "", 0
