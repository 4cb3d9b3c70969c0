"""The long runs of `make soak`: a leader is killed again and again under load, and all that was acked is counted."""

import asyncio
import contextlib
import itertools
import os
import time
from collections import Counter
from functools import partial

import pytest
from conftest import Connect
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig
from nats.js.errors import Error as JetStreamError

from natsdemo.guarantees import HOLDS, judge
from natsdemo.history import History
from natsdemo.lesson import until
from natsdemo.messages import stamp
from natsdemo.server import Cluster
from natsdemo.tap import Tap

KILLS = int(os.environ.get("NATSDEMO_SOAK_KILLS", "20"))
ACKED_BETWEEN = 300
PUBLISHERS = ("ann", "ben", "cleo")


class Publisher:
    """One at a time, and each again until it is acked: a message has one id, whatever becomes of its publish."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.js = client.jetstream(timeout=1)
        self.acked: dict[int, int] = {}  # our number -> the sequence in its puback
        self.retried = 0
        self.longest = 0.0

    async def run(self, done: asyncio.Event) -> None:
        for n in itertools.count(1):
            began = time.monotonic()
            while n not in self.acked:
                headers = {**stamp(self.name, n), "Nats-Msg-Id": f"{self.name}-{n}"}
                try:
                    self.acked[n] = (await self.js.publish(f"load.{self.name}", b"%d" % n, headers=headers)).seq
                except (NatsError, JetStreamError, TimeoutError, ConnectionError):
                    self.retried += 1
                    await asyncio.sleep(0.02)
            self.longest = max(self.longest, time.monotonic() - began)
            if done.is_set():
                return


async def consume(client: Client, got: list[Msg], done: asyncio.Event) -> None:
    """Take and ack what comes, until all is done, and nothing is left to deliver or to ack."""
    js = client.jetstream(timeout=1)
    settings = ConsumerConfig(ack_wait=3, max_ack_pending=10_000)
    sub = await js.pull_subscribe("load.>", durable="reader", config=settings)
    while True:
        with contextlib.suppress(NatsError, JetStreamError, TimeoutError, ConnectionError):
            if done.is_set():
                info = await sub.consumer_info()
                if not info.num_pending and not info.num_ack_pending:
                    return
            for message in await sub.fetch(100, timeout=0.5):
                got.append(message)
                await message.ack()


async def new_leader(cluster: Cluster, not_: str | None = None) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        leader = await cluster.leader("LOAD")
        if leader and leader != not_:
            return leader
        await asyncio.sleep(0.02)
    raise AssertionError("no leader after 30 s")


@pytest.mark.slow
async def test_no_acked_message_is_lost_while_leaders_die(connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    async with Cluster(3) as cluster, Tap(cluster) as tap:
        clients = [
            await connect(tap.urls, name=name, reconnect_time_wait=0.1) for name in (*PUBLISHERS, "reader", "watcher")
        ]
        maker = clients[0].jetstream(timeout=10)
        await maker.add_stream(name="LOAD", subjects=["load.>"], num_replicas=3)
        await new_leader(cluster)
        publishers = [Publisher(name, client) for name, client in zip(PUBLISHERS, clients, strict=False)]
        done, got, ordered, gaps = asyncio.Event(), list[Msg](), list[Msg](), list[float]()

        async def watch(message: Msg) -> None:
            ordered.append(message)

        watched = await clients[-1].jetstream().subscribe("load.>", cb=watch, ordered_consumer=True)
        async with asyncio.TaskGroup() as work:
            for publisher in publishers:
                work.create_task(publisher.run(done))
            reading = work.create_task(consume(clients[-2], got, done))
            for _ in range(KILLS):
                goal = total(publishers) + ACKED_BETWEEN
                await until(partial(reached, publishers, goal), deadline=60)
                leader = await new_leader(cluster)
                await cluster[leader].kill()
                killed = time.monotonic()
                await new_leader(cluster, not_=leader)
                gaps.append(time.monotonic() - killed)
                await cluster[leader].restart()
                await cluster.wait_ready(30)
            done.set()
            await reading
        await watched.unsubscribe()

        state = (await maker.stream_info("LOAD")).state
        stored = [await maker.get_msg("LOAD", seq) for seq in range(1, state.last_seq + 1)]
        ids = [(message.headers or {})["Nats-Msg-Id"] for message in stored]
        acked = {f"{p.name}-{n}": seq for p in publishers for n, seq in p.acked.items()}
        assert {name for name, times in Counter(ids).items() if times > 1} == set(), "stored twice"
        assert {name for name, seq in acked.items() if ids[seq - 1] != name} == set(), "acked, and not stored there"

        first = [m.metadata.sequence.stream for m in got if m.metadata.num_delivered == 1]
        assert first == sorted(first), "delivered out of stream order"
        assert {m.metadata.sequence.stream for m in got} == set(range(1, len(ids) + 1)), "stored, and not delivered"
        # An ordered consumer that lost its server is made anew every 10 s until it succeeds: it may still be behind.
        assert [m.metadata.sequence.stream for m in ordered] == list(range(1, len(ordered) + 1)), "not in stream order"
        await until(lambda: not tap.holding)
        report = judge(history := tap.history.up_to_now(settled=True), subject="load.>")
        assert report["no_loss"].outcome is HOLDS, report
        with capsys.disabled():
            print(f"\n{figures(publishers, gaps, len(ids), len(got), len(ordered), history)}\n{report}")


def reached(publishers: list[Publisher], goal: int) -> bool:
    return total(publishers) >= goal


def total(publishers: list[Publisher]) -> int:
    return sum(len(publisher.acked) for publisher in publishers)


def figures(
    publishers: list[Publisher], gaps: list[float], stored: int, got: int, ordered: int, history: History
) -> str:
    gaps = sorted(gaps)
    longest = max(publisher.longest for publisher in publishers)
    return (
        f"{len(gaps)} leaders killed; {total(publishers)} acked, {stored} stored, 0 lost; "
        f"{got - stored} delivered again; {ordered} came to the ordered consumer; "
        f"{sum(p.retried for p in publishers)} publishes retried; without a leader {gaps[0]:.1f} to {gaps[-1]:.1f} s, "
        f"median {gaps[len(gaps) // 2]:.1f} s; the longest wait for a puback {longest:.1f} s; "
        f"{len(history)} events on the wire"
    )
