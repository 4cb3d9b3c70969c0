"""Proxies on the routes of a cluster: servers that cannot reach each other, and what becomes of a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import combinations

import pytest
from conftest import Connect
from nats.aio.client import Client
from nats.errors import Error as NatsError

from natsdemo.history import Event
from natsdemo.server import Cluster
from natsdemo.tap import Routes, Tap, TapError


@pytest.fixture
async def parted() -> AsyncIterator[tuple[Cluster, Routes]]:
    cluster = Cluster(routed=True)
    async with Routes(cluster) as routes, cluster:
        yield cluster, routes


async def until(condition: Callable[[], Awaitable[object]], deadline: float) -> None:
    """Raft elects in 4 to 9 seconds."""
    end = time.monotonic() + deadline
    while not await condition():
        assert time.monotonic() < end, f"not within {deadline} s"
        await asyncio.sleep(0.05)


async def acked(client: Client, word: str, timeout: float = 1) -> int | None:
    """Publish into the stream; the sequence in the puback, None where none came."""
    try:
        return (await client.jetstream().publish("s", word.encode(), timeout=timeout)).seq
    except (NatsError, TimeoutError):
        return None


async def stored(client: Client) -> list[str]:
    """All of the stream; none while the servers, which have just met again, say that JetStream is not there."""
    stream = client.jetstream()
    try:
        last = (await stream.stream_info("S")).state.last_seq
        return [((await stream.get_msg("S", seq)).data or b"").decode() for seq in range(1, last + 1)]
    except (NatsError, TimeoutError):
        return []


def pairs(routes: Routes, what: Callable[[Event], bool]) -> set[tuple[str, str]]:
    """Who dialled whom."""
    return {(event.client, event.node) for event in routes.history if what(event)}


async def test_every_server_is_known_by_its_name(parted: tuple[Cluster, Routes]) -> None:
    cluster, routes = parted

    async def all_met() -> bool:
        met = pairs(routes, lambda event: event.text.startswith("this is a route"))
        return {frozenset(pair) for pair in met} == {frozenset(pair) for pair in combinations(cluster, 2)}

    await until(all_met, 5)
    spoke = pairs(routes, lambda event: event.kind == "frame")
    assert {client for client, _ in spoke if not client.startswith("c")} == set(cluster)
    assert all(dialler != node for dialler, node in spoke if not dialler.startswith("c"))
    assert {event.op for event in routes.history.where(kind="frame")} == {"OPAQUE"}


async def test_an_isolated_leader_cannot_ack(parted: tuple[Cluster, Routes], connect: Connect) -> None:
    cluster, routes = parted
    anyone = await connect(cluster.urls)

    async def made() -> bool:
        """Under load a request may be lost on its way to the one who leads; a stream like this twice is one stream."""
        try:
            return bool(await anyone.jetstream().add_stream(name="S", subjects=["s"], num_replicas=3))
        except (NatsError, TimeoutError):
            return False

    await until(made, 30)

    async def led() -> str | None:
        return await cluster.leader("S")

    await until(led, 10)
    leader = await led()
    assert leader
    other = next(name for name in cluster if name != leader)
    async with Tap(cluster[leader]) as tap:
        inside, outside = await connect(tap.url, name="inside"), await connect(cluster[other].url, name="outside")
        kept = {seq: word for word in ("a", "b") if (seq := await acked(inside, word, 5))}
        assert list(kept) == [1, 2]

        with routes.part(leader):
            assert await acked(inside, "lost 1") is None
            after: list[int] = []

            async def others_ack() -> bool:
                seq = await acked(outside, "c")
                after.extend([seq] if seq else [])
                return bool(seq)

            await until(others_ack, 20)
            kept[after[0]] = "c"
            again = await acked(outside, "d", 5)
            assert again
            kept[again] = "d"
            assert await acked(inside, "lost 2") is None
            view = (await cluster[other].monitor("jsz?streams=1"))["account_details"][0]["stream_detail"][0]
            assert view["cluster"]["leader"] != leader

        async def one_leader() -> bool:
            return await led() in set(cluster) - {None}

        await until(one_leader, 20)
        await until(lambda: healed(inside), 20)
        words: list[str] = []

        async def read() -> bool:
            words[:] = await stored(outside)
            return bool(words)

        await until(read, 20)
        for seq, word in kept.items():
            assert words[seq - 1] == word
            assert words.count(word) == 1
        assert {event.text for event in tap.history.where(kind="fault")} == set()
        texts = [event.text for event in routes.history.where(kind="fault")]
        assert sum(text.startswith("armed: partition") for text in texts) == 4
        assert sum(text.startswith("healed: partition") for text in texts) == 4
        broken = pairs(routes, lambda event: event.text == "disconnected: parted")
        assert broken
        assert all(leader in pair for pair in broken), "the others kept each other"


async def healed(client: Client) -> bool:
    return bool(await acked(client, "e"))


async def test_two_may_be_parted_from_the_third(parted: tuple[Cluster, Routes]) -> None:
    cluster, routes = parted
    with routes.part("n1", "n2"):
        broken = pairs(routes, lambda event: event.text == "disconnected: parted")
        assert broken
        assert all("n3" in pair for pair in broken)

        async def n3_is_alone() -> bool:
            return not (await cluster["n3"].monitor("routez"))["routes"]

        await until(n3_is_alone, 5)
        met = {route["remote_name"] for route in (await cluster["n1"].monitor("routez"))["routes"]}
        assert met == {"n2"}

    async def together() -> bool:
        pages = [await server.monitor("routez") for server in cluster.values()]
        return all(len({route["remote_name"] for route in page["routes"]}) == 2 for page in pages)

    await until(together, 10)


async def test_routes_close_twice_and_their_ports_are_theirs() -> None:
    cluster = Cluster(routed=True)
    routes = await Routes(cluster).start()
    assert await routes.start() is routes
    with pytest.raises(TapError, match="is taken"):
        await Routes(cluster).start()
    await routes.close()
    await routes.close()


async def test_a_cluster_without_proxies_is_no_business_of_ours() -> None:
    async with Cluster() as cluster:
        with pytest.raises(TapError, match="is taken"):
            await Routes(cluster).start()
