"""Load: every message is accounted for, on a real server, and what the wire does to them is counted."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsdemo import faults
from natsdemo.load import CLIENTS, Load, LoadError, Received
from natsdemo.load.account import Job, account, late
from natsdemo.load.load import Client
from natsdemo.load.raw import count_bytes, encode_messages
from natsdemo.messages import read_stamp
from natsdemo.protocol import TO_SERVER, Parser
from natsdemo.server import Server
from natsdemo.tap import Tap


@given(st.integers(1, 10**6), st.integers(0, 300), st.integers(0, 200))
def test_messages_are_what_the_protocol_says_and_bear_their_numbers(first: int, count: int, size: int) -> None:
    made = encode_messages("a.b", size, first, count, "ann-1")
    frames = Parser(TO_SERVER).feed(b"".join(made))
    assert [read_stamp(frame) for frame in frames] == [("ann-1", first + k) for k in range(count)]
    assert all((frame.subject, len(frame.payload)) == ("a.b", size) for frame in frames)
    delivered = [frame.raw.replace(b"HPUB a.b ", b"HMSG a.b 1 ", 1) for frame in frames]
    assert count_bytes("a.b", size, first, count, "ann-1") == sum(map(len, delivered))


def test_without_a_publisher_messages_are_equal_and_bear_no_number() -> None:
    assert encode_messages("a", 3, 7, 2) == [b"PUB a 3\r\nxxx\r\n"] * 2
    assert count_bytes("a", 3, 7, 2) == 2 * len(b"MSG a 1 3\r\nxxx\r\n")


@given(st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.integers(1, 9), st.floats(0, 9)), max_size=30))
def test_each_arrival_is_new_or_a_duplicate_and_in_order_or_not(arrivals: list[tuple[str, int, float]]) -> None:
    got = account(arrivals)
    different = {(who, n) for who, n, _ in arrivals}
    assert got.messages == len(arrivals)
    assert got.duplicates == len(arrivals) - len(different)
    assert 0 <= got.reordered <= len(different)
    assert account(sorted(arrivals)).reordered == 0
    assert got.last == max((at for _, _, at in arrivals), default=0.0)


def test_order_is_each_publishers_own() -> None:
    arrivals = [("ann", 1, 0.0), ("bob", 2, 0.1), ("ann", 3, 0.2), ("bob", 1, 0.3), ("ann", 2, 0.4), ("ann", 4, 0.5)]
    assert account(arrivals) == Received(messages=6, duplicates=0, reordered=2, last=0.5)


def test_publishers_take_turns_and_latency_counts_from_when_a_message_was_due() -> None:
    job = Job(publishers=2, first=11, each=5, rate=10)
    dues = [job.due(f"publisher{p}", n) for n in range(11, 16) for p in (1, 2)]
    assert dues == pytest.approx([k / 10 for k in range(10)])
    made = late([("publisher2", 12, 100.0 + 0.3 + 0.25)], job, 100.0)
    assert made.get_value_at_percentile(50) == pytest.approx(250_000, rel=0.002)


@pytest.mark.parametrize("client", CLIENTS)
async def test_everything_arrives_once_and_in_order(client: Client, server: Server) -> None:
    async with Load(server.url, client=client, stamped=client != "bare") as load:
        for _ in range(2):
            run = await load.run(3000)
            assert (run.sent, run.lost, run.duplicates, run.reordered, run.latency) == (3000, 0, 0, 0, None)
            assert [each.messages for each in run.received] == [3000]
            assert run.rate == pytest.approx(3000 / run.seconds)
            assert "3000 sent" in str(run)
            assert "all there, once and in order" in str(run)


@pytest.mark.parametrize("client", ["nats-py", "raw"])
async def test_each_of_many_subscribers_gets_what_each_of_many_publishers_sent(client: Client, server: Server) -> None:
    async with Load(server.url, client=client, publishers=2, subscribers=5, processes=2) as load:
        run = await load.run(1000)
        assert [each.messages for each in run.received] == [1000] * 5
        assert run.lost == run.duplicates == run.reordered == 0
        paced = await load.run(200, rate=1000)
        assert paced.latency
        assert paced.latency.get_total_count() == 5 * 200
        assert paced.seconds >= 0.198


async def test_a_raw_load_that_outlasts_the_servers_first_ping_still_counts_right(server: Server) -> None:
    async with Load(server.url, client="raw") as load:
        assert (await load.run(30, rate=10)).lost == 0  # the PING comes two seconds after CONNECT


@pytest.mark.parametrize("client", ["nats-py", "raw"])
async def test_what_the_wire_does_is_counted(client: Client, server: Server) -> None:
    async with Tap(server.url) as tap, Load(tap.url, client=client) as load:
        with tap.inject(faults.duplicate("MSG", every=10)):
            run = await load.run(100)
        assert (run.lost, run.duplicates) == (0, 10)
        with tap.inject(faults.drop("MSG", every=10)):
            run = await load.run(100)
        assert (run.lost, run.duplicates) == (10, 0)
        assert "10 lost" in str(run)
        assert (await load.run(100)).lost == 0


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_run_of_which_nothing_came_has_no_speed(client: Client, server: Server) -> None:
    async with Tap(server.url) as tap, Load(tap.url, client=client, stamped=client != "bare") as load:
        with tap.inject(faults.drop("PUB", every=1)):
            run = await load.run(20)
        assert (run.lost, run.rate, run.seconds) == (20, 0, 0)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Load("nats://x", client="grpc"), "no client of ours"),  # type: ignore[arg-type]
        (lambda: Load("nats://x", client="bare"), "stamped=False"),
    ],
)
def test_a_load_that_cannot_be_is_refused(make: Callable[[], Load], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make()


async def test_a_run_that_cannot_be_is_refused(server: Server) -> None:
    async with Load(server.url, client="raw", publishers=2, stamped=False) as load:
        with pytest.raises(ValueError, match="cannot be shared evenly"):
            await load.run(3)
        with pytest.raises(ValueError, match="told apart by their stamps"):
            await load.run(4, rate=10)
    async with Load(server.url, client="bare", stamped=False) as load:
        with pytest.raises(ValueError, match="knows no rate"):
            await load.run(4, rate=10)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_that_is_not_there_is_said_in_a_sentence(client: Client) -> None:
    async with Server() as gone:
        url = gone.url
    with pytest.raises(LoadError, match=r"has ended: .*(refused|no servers|Connect call failed)"):
        async with Load(url, client=client, stamped=client != "bare"):
            pass


def workers() -> list[psutil.Process]:
    children = psutil.Process(os.getpid()).children(recursive=True)
    return [child for child in children if "natsdemo.load.worker" in child.cmdline()]


async def test_no_process_is_left_behind(server: Server) -> None:
    async with Load(server.url, client="raw"):
        assert len(workers()) == 2
    assert workers() == []


async def test_a_worker_goes_with_its_owner(server: Server, tmp_path: Path) -> None:
    """Its standard input is the owner's word; when that is gone, so is the worker."""
    code = (
        "import asyncio, sys\nfrom natsdemo.load import Load\n"
        "async def main():\n"
        f"    async with Load({server.url!r}, client='raw') as load:\n"
        "        print('up', flush=True)\n        await load.run(1000, rate=10)\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout
    await owner.stdout.readline()
    found = workers()
    assert len(found) == 2
    owner.kill()
    await owner.wait()
    deadline = time.monotonic() + 5
    while any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in found):
        assert time.monotonic() < deadline, "a worker has outlived its owner"
        await asyncio.sleep(0.02)
