"""Three real nats-servers: a leader, what survives a kill, and what clients are told."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import nats
import pytest
from conftest import Connect, Nest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamState

from natsdemo.server import Cluster, ServerError


async def until(condition: Callable[[], Any], deadline: float = 15) -> Any:
    """Wait for a condition, a plain or an asynchronous one, and return what it says."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not so after {deadline:g} s"
        await asyncio.sleep(0.02)


async def acked(js: JetStreamContext, n: int) -> int:
    """Publish message n until somebody acks it; how often does not matter, its id makes it one message."""

    async def attempt() -> int:
        with contextlib.suppress(nats.errors.Error):  # no leader yet, or the word of one has not come round
            return (await js.publish("s", b"", headers={"Nats-Msg-Id": str(n)}, timeout=1)).seq
        return 0

    seq: int = await until(attempt, 20)
    return seq


async def stream(client: Client, messages: int = 0) -> JetStreamContext:
    """A stream S on three servers, with so many acked messages."""
    js = client.jetstream(timeout=5)

    async def create() -> bool:
        with contextlib.suppress(nats.errors.Error):  # a reload may move the leader of all streams; asked twice is one
            await js.add_stream(name="S", subjects=["s"], num_replicas=3)
            return True
        return False

    await until(create, 30)
    for n in range(1, messages + 1):
        assert await acked(js, n) == n
    return js


async def stored(js: JetStreamContext) -> int:
    """How many messages S has, as soon as somebody answers."""

    async def ask() -> StreamState | None:
        with contextlib.suppress(nats.errors.Error):
            return (await js.stream_info("S")).state
        return None

    state: StreamState = await until(ask, 30)
    return state.messages


async def test_three_servers_have_a_leader_and_jetstream_works_at_once(connect: Connect) -> None:
    async with Cluster() as cluster:
        assert list(cluster) == ["n1", "n2", "n3"]
        assert len(cluster) == 3
        assert await cluster.leader() in cluster
        assert re.fullmatch(r"<Cluster n1 running, n2 running, n3 running>", repr(cluster))
        assert cluster._repr_html_() == "<code>&lt;Cluster n1 running, n2 running, n3 running&gt;</code>"
        assert cluster.url == ",".join(cluster.urls)
        for name, server in cluster.items():
            client = await connect(server.url)
            assert client._server_info["server_name"] == name
        js = await stream(client, messages=3)
        assert await stored(js) == 3
        assert await cluster.leader("S") in cluster
        assert await cluster.leader("nonesuch") is None
    assert repr(cluster) == "<Cluster n1 stopped, n2 stopped, n3 stopped>"


async def test_five_servers() -> None:
    async with Cluster(5) as cluster:
        assert list(cluster) == ["n1", "n2", "n3", "n4", "n5"]
        assert await cluster.leader()


async def test_acked_messages_survive_the_leaders_death(connect: Connect) -> None:
    async with Cluster() as cluster:
        client = await connect(cluster.urls)
        js = await stream(client, messages=100)
        dead = await until(lambda: cluster.leader("S"))
        await cluster[dead].kill()
        assert await until(lambda: cluster.leader("S")) != dead
        assert await until(lambda: cluster.leader()) != dead
        assert await acked(js, 101) == 101
        assert await stored(js) == 101
        await cluster[dead].start()
        await cluster.wait_ready()
        assert await stored(js) == 101


async def test_without_a_majority_nobody_leads_and_nobody_waits_for_ever(connect: Connect) -> None:
    async with Cluster() as cluster:
        await cluster["n1"].kill()
        await cluster["n2"].kill()
        assert await cluster.leader() is None
        with pytest.raises(ServerError, match=r"^The cluster has no leader after 0\.1 s: .*a majority has to run\.$"):
            await cluster.wait_ready(0.1)


async def test_the_leader_of_a_stream_with_fewer_replicas_than_servers(connect: Connect) -> None:
    async with Cluster() as cluster:
        js = (await connect(cluster.urls)).jetstream(timeout=5)
        await js.add_stream(name="R1", num_replicas=1)
        assert await until(lambda: cluster.leader("R1")) in cluster


async def test_stopping_all_and_starting_again_keeps_addresses_and_data(connect: Connect) -> None:
    async with Cluster() as cluster:
        await stream(await connect(cluster.urls), messages=10)
        urls = cluster.urls
        await cluster["n1"].kill()
        await cluster.stop()
        await cluster.stop()
        assert {server.state for server in cluster.values()} == {"stopped"}
        assert await cluster.leader() is None
        await cluster.start()
        assert await cluster.start() is cluster
        assert cluster.urls == urls
        js = (await connect(cluster.urls)).jetstream()
        assert await stored(js) == 10


async def test_a_node_that_restarts_keeps_its_port_and_its_data(connect: Connect) -> None:
    async with Cluster() as cluster:
        js = await stream(await connect(cluster["n1"].url), messages=10)
        url = cluster["n2"].url
        await cluster["n2"].restart()
        await cluster.wait_ready()
        assert cluster["n2"].url == url
        assert await acked(js, 11) == 11

        async def replica_has_all() -> bool:
            page = await cluster["n2"].monitor("jsz?streams=1")
            details = [d for account in page.get("account_details", []) for d in account.get("stream_detail", [])]
            return [detail["state"]["messages"] for detail in details] == [11]

        await until(replica_has_all)


async def test_a_paused_leader_is_replaced(connect: Connect) -> None:
    async with Cluster() as cluster:
        js = await stream(await connect(cluster.urls))
        frozen = await until(lambda: cluster.leader("S"))
        others = [server.url for name, server in cluster.items() if name != frozen]
        await cluster[frozen].pause()
        assert "paused" in repr(cluster)
        assert await until(lambda: cluster.leader("S"), 30) != frozen
        js = (await connect(others)).jetstream()
        assert await acked(js, 1) == 1
        await cluster.start()
        assert {server.state for server in cluster.values()} == {"running"}


async def told(cluster: Cluster, connect: Connect) -> Callable[[], set[str]]:
    """What a client of n1, connected when the mesh is complete, has been told of other servers by now."""

    async def complete() -> bool:
        pages = [await server.monitor("routez") for server in cluster.values()]
        return all(len({route["remote_name"] for route in page["routes"]}) == 2 for page in pages)

    await until(complete)
    client = await connect(cluster["n1"].url)
    await client.flush()
    return lambda: {url.netloc for url in client.discovered_servers}


async def test_by_default_clients_stay_where_they_were_sent(connect: Connect) -> None:
    async with Cluster() as cluster:
        heard = await told(cluster, connect)
        cluster["n1"].config = "max_payload: 100"
        await cluster["n1"].reload()
        heard_later = await told(cluster, connect)
        assert heard() == heard_later() == set()


async def test_with_advertise_clients_learn_of_the_others(connect: Connect) -> None:
    async with Cluster(advertise=True) as cluster:
        addresses = {cluster[name].url.removeprefix("nats://") for name in ("n2", "n3")}
        heard = await told(cluster, connect)
        await until(lambda: heard() == addresses)


async def test_with_a_mapping_clients_learn_those_addresses(connect: Connect) -> None:
    advertised = {name: f"127.0.0.1:{port}" for name, port in zip(["n1", "n2", "n3"], [1111, 2222, 3333], strict=True)}
    async with Cluster(advertise=advertised) as cluster:
        heard = await told(cluster, connect)
        await until(lambda: heard() >= {"127.0.0.1:2222", "127.0.0.1:3333"})
        assert heard() <= set(advertised.values())


def test_a_routed_cluster_leaves_room_for_proxies() -> None:
    plain, routed = Cluster(), Cluster(routed=True)
    assert plain.routes == plain.listens
    assert routed.routes.keys() == routed.listens.keys()
    assert not set(routed.routes.values()) & set(routed.listens.values())


async def test_failing_to_start_is_one_sentence_and_leaves_nothing(nest: Nest) -> None:
    cluster = Cluster()
    port = int(cluster.listens["n2"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServerError) as caught:
        async with asyncio.timeout(10):
            await cluster.start()
    assert re.fullmatch(rf"Port {port} is taken by another program: [^.]*\.", str(caught.value))
    await nest.empty()
    with pytest.raises(
        ServerError, match=r"^Server n\d did not start: Parse error on line 1: .*got the end instead.*\.$"
    ):
        await Cluster(config="max_payload: [").start()
    await nest.empty()
    await cluster.start()
    await cluster.close()


async def test_observers_hear_of_every_server() -> None:
    cluster = Cluster()
    heard: list[str] = []
    cluster.observe(lambda name, verb: heard.append(f"{name} {verb}"))
    async with cluster:
        assert sorted(heard[-3:]) == ["n1 start", "n2 start", "n3 start"]
        await cluster["n2"].kill()
        assert heard[-1] == "n2 kill"


async def test_configuration_reaches_every_server_and_reloads(connect: Connect) -> None:
    async with Cluster(config="max_payload: 2000") as cluster:
        for server in cluster.values():
            assert (await server.monitor("varz"))["max_payload"] == 2000
            server.config = "max_payload: 1000"
            await server.reload()
            assert (await server.monitor("varz"))["max_payload"] == 1000
        await stream(await connect(cluster.url.split(",")), messages=1)


async def test_a_cluster_block_of_the_readers_own_joins_ours() -> None:
    async with Cluster(config="cluster { pool_size: 1 }") as cluster:
        assert (await cluster["n1"].monitor("varz"))["cluster"]["pool_size"] == 1
