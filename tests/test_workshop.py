"""A room of readers: walls that hold, TLS beyond loopback, progress by the reader's choice, lessons that run there."""

import asyncio
import base64
import contextlib
import datetime
import http.client
import json
import os
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import psutil
import pytest
from conftest import Connect, Nest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswerError
from nats.js import JetStreamContext
from nats.js.api import ExternalStream, StreamConfig, StreamSource
from nats.js.errors import NoStreamResponseError, NotFoundError
from test_cli import assert_one_line, ended, get, line, natsdemo, running

from natsdemo import faults
from natsdemo.lesson import ClaimFailed, barrier, claim, open_lab
from natsdemo.lesson import look as look_module
from natsdemo.lesson.exercise import answer
from natsdemo.server.loopback import free_port
from natsdemo.tap import Tap
from natsdemo.testing import story
from natsdemo.workshop import Board, Room, RoomError, Seat, Ticket
from natsdemo.workshop.room import accounts

ANN, BOB, EVE = "reader-01", "reader-02", "reader-03"
NOON = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture(params=[1, 3], ids=["one server", "a cluster"])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    """One that stands on a cluster has its readers on different servers."""
    async with Room(tmp_path / "room", 3, cluster=request.param) as room:
        yield room


@pytest.fixture
def address() -> str:
    """An address of this machine beyond loopback."""
    for found in (a for each in psutil.net_if_addrs().values() for a in each if a.family == socket.AF_INET):
        if not found.address.startswith("127."):
            return found.address
    pytest.skip("this machine has no network, so nothing can listen beyond loopback")


@pytest.fixture
async def far_room(tmp_path: Path, address: str) -> AsyncIterator[Room]:
    async with Room(tmp_path / "room", 2, address=address) as room:
        yield room


async def until(condition: Callable[[], object], within: float = 5) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 (it is true when it is true)
            await asyncio.sleep(0.01)


async def store(js: JetStreamContext, data: bytes) -> None:
    """In a cluster the stream may be there before all servers know of it, or before it has a leader."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(NoStreamResponseError, NoAnswerError):
                await js.publish("orders.new", data, timeout=1, headers={"Nats-Msg-Id": data.decode()})
                return


# Walls


async def test_a_reader_who_tries_gets_nothing_of_another_reader(room: Room, connect: Connect) -> None:
    ann, helper, eve = [await connect(room.tickets[name].urls) for name in (ANN, ANN, EVE)]
    seen: list[tuple[str, bytes]] = []

    async def see(msg: Any) -> None:
        seen.append((msg.subject, msg.data))

    for subject in (">", "orders.>", "natsdemo.progress", "progress.>", "_INBOX.>", "$JS.>", "$SYS.>"):
        await eve.subscribe(subject, cb=see)
    await barrier(eve)

    async def reply(msg: Any) -> None:
        await msg.respond(b"secret")

    await helper.subscribe("help", cb=reply)
    await barrier(helper)
    await ann.jetstream().add_stream(name="ORDERS", subjects=["orders.>"])
    await store(ann.jetstream(), b"secret")
    await ann.publish("natsdemo.progress", b"secret")
    assert (await ann.request("help", b"secret")).data == b"secret"
    await barrier(ann)

    with pytest.raises(NoRespondersError):
        await (await connect(room.tickets[BOB].urls)).request("help", b"let me in")
    await eve.publish("the.end", b"")
    await until(lambda: seen)
    assert seen == [("the.end", b"")], "what she said herself, and nothing else"


async def test_nor_of_what_another_reader_has_stored(room: Room, connect: Connect) -> None:
    ann, eve = [(await connect(room.tickets[name].urls)).jetstream() for name in (ANN, EVE)]
    await ann.add_stream(name="ORDERS", subjects=["orders.>"])
    await store(ann, b"secret")
    await (await ann.create_key_value(bucket="safe")).put("key", b"secret")

    assert await eve.streams_info() == []
    with pytest.raises(NotFoundError):
        await eve.get_msg("ORDERS", 1)
    with pytest.raises(NotFoundError):
        await eve.delete_stream("ORDERS")
    outside = StreamSource(name="ORDERS", external=ExternalStream(api=f"$JS.{ANN}.API", deliver=f"deliver.{ANN}"))
    for number, source in enumerate((StreamSource(name="ORDERS"), outside)):
        await eve.add_stream(StreamConfig(name=f"COPY{number}", sources=[source]))
    await eve.add_stream(name="ORDERS", subjects=["orders.>"])
    await store(eve, b"her own")
    copies = await eve.pull_subscribe("", stream="COPY0", durable="reader")
    (copy,) = await copies.fetch(1, timeout=5)
    assert copy.data == b"her own"
    assert (await eve.stream_info("COPY1")).state.messages == 0
    assert (await ann.stream_info("ORDERS")).state.messages == 1


async def test_nobody_gets_in_without_the_password_or_reports_in_the_name_of_another(
    room: Room, connect: Connect
) -> None:
    nobody = room.tickets[ANN]._replace(password="guessed")
    with pytest.raises(RoomError, match=r"^The workshop at 127\.0\.0\.1:\d+.* has no seat for this ticket: [^.]*\.$"):
        await Seat(nobody).start()
    eve = await connect(room.tickets[EVE].urls)
    said = json.dumps({"lesson": "01", "kind": "claim", "name": "I am Ann.", "outcome": "held"}).encode()
    for subject in (f"progress.{ANN}", f"natsdemo.progress.{ANN}", "natsdemo.progress"):
        await eve.publish(subject, said)
    await until(lambda: EVE in room.board.readers)
    assert set(room.board.readers) == {EVE}


async def test_a_reader_cannot_fill_the_disk_of_the_teacher(room: Room, connect: Connect) -> None:
    limits = (await (await connect(room.tickets[ANN].urls)).jetstream().account_info()).limits
    assert 0 < limits.max_storage <= 200_000_000
    assert 0 < limits.max_memory <= 200_000_000
    assert limits.max_streams > 0
    assert limits.max_consumers > 0


# Tickets


async def test_what_is_secret_can_be_read_by_its_owner_only(far_room: Room) -> None:
    secrets = [path for path in far_room.folder.rglob("*") if path.is_file() and "store" not in path.parts]
    assert len(secrets) == 5, "two tickets, two sheets, one key"
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    for folder in (far_room.folder, far_room.folder / "readers"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_sheet_holds_the_ticket_of_its_reader_and_of_nobody_else(room: Room) -> None:
    sheet = room.path(ANN).with_suffix(".html").read_text()
    assert f"natsdemo join {ANN}.json" in sheet
    (data,) = re.findall(r'href="data:application/json;base64,([^"]+)"', sheet)
    file = room.folder / "saved.json"
    file.write_bytes(base64.b64decode(data))
    assert Ticket.load(file) == Ticket.load(room.path(ANN)) == room.tickets[ANN]
    assert room.tickets[BOB].password not in file.read_text()


NEARLY = '{"name": "x", "password": "y", "addresses": %s}'


@pytest.mark.parametrize(
    "content",
    [None, "", "{}", "[1]", '{"name": "x"}', '"x"', b"\xff\xfe", *(NEARLY % a for a in ("4", "[]", "[4]"))],
)
def test_a_file_that_is_no_ticket(tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "ticket.json"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(
        RoomError, match=rf"^{file} (cannot be read|is no ticket)[^.]*: name the file that your"
    ) as caught:
        Ticket.load(file)
    assert caught.value.__cause__ is None


def test_a_ticket_does_not_show_its_password() -> None:
    assert "hush" not in repr(Ticket(ANN, "hush", ["127.0.0.1:4222"]))


# TLS


async def test_beyond_loopback_there_is_no_room_without_tls(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, nest: Nest
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where no openssl is
    port = free_port()
    with pytest.raises(RoomError, match=rf"^Without TLS we do not listen at {address}, and TLS needs `openssl`: "):
        await Room(tmp_path / "room", 1, address=address, port=port).start()
    with socket.socket() as probe:
        assert probe.connect_ex((address, port)) != 0
    assert not nest.left()
    async with Room(tmp_path / "here", 1):
        pass


async def test_beyond_loopback_nobody_speaks_in_plain_text(far_room: Room, address: str) -> None:
    reader, writer = await asyncio.open_connection(address, far_room.servers[0].port)
    info = json.loads((await asyncio.wait_for(reader.readline(), 5)).removeprefix(b"INFO "))
    assert info["tls_required"]
    assert info["auth_required"]
    ticket = far_room.tickets[ANN]
    said = json.dumps({"user": ticket.name, "pass": ticket.password, "verbose": False})
    writer.write(f"CONNECT {said}\r\nPING\r\n".encode())
    assert b"PONG" not in await asyncio.wait_for(reader.read(), 5)
    writer.close()
    ours = psutil.Process(far_room.servers[0].pid).net_connections()
    beyond = [c.laddr.port for c in ours if c.status == "LISTEN" and c.laddr.ip != "127.0.0.1"]
    assert beyond == [far_room.servers[0].port], "and not the pages, which ask for no password"


async def test_a_seat_beyond_loopback_is_plain_for_lessons_and_changes_no_byte(
    far_room: Room, connect: Connect, address: str
) -> None:
    async with Seat(far_room.tickets[ANN]) as seat:
        url = seat.environment["NATS_URL"]
        assert urlsplit(url).hostname == "127.0.0.1"
        ann, other = await connect(url), await connect(url)
        payload = os.urandom(1_000_000)
        sub = await other.subscribe("big")
        await barrier(other)
        for _ in range(10):
            await ann.publish("big", payload)
        for _ in range(10):
            assert (await sub.next_msg(5)).data == payload
        page = await far_room.servers[0].monitor("connz?auth=1")
        mine = [each for each in page["connections"] if each["authorized_user"] == ANN]
        assert len(mine) == 2
        assert all(each["tls_version"] for each in mine)
        assert await far_room.here() == {ANN}
        await ann.close()
        await other.close()


async def test_a_slow_network_is_no_hindrance_and_carries_no_secret(far_room: Room, connect: Connect) -> None:
    ticket = far_room.tickets[ANN]
    async with Tap(far_room.servers[0]) as slow:
        (url,) = map(urlsplit, slow.urls)
        assert url.port
        with slow.inject(faults.throttle(10_000)):  # bytes a second
            async with Seat(ticket._replace(addresses=[f"127.0.0.1:{url.port}"])) as seat:
                ann = await connect(seat.environment["NATS_URL"])
                sub = await ann.subscribe("hello")
                await ann.publish("hello", b"whisper")
                assert (await sub.next_msg(5)).data == b"whisper"
                await ann.close()
        said = b"".join(event.frame.payload for event in slow.history.where(kind="frame") if event.frame)
    assert b"tls_required" in said, "the Tap has seen what there is to see"
    assert ticket.password.encode() not in said
    assert b"whisper" not in said


async def test_a_seat_is_kept_while_the_server_restarts(far_room: Room, connect: Connect) -> None:
    async with Seat(far_room.tickets[ANN], report=True) as seat:
        ann = await connect(seat.environment["NATS_URL"])
        await far_room.servers[0].kill()
        await until(lambda: not ann.is_connected)
        await far_room.servers[0].start()
        await until(lambda: ann.is_connected)
        await barrier(ann)
        await ann.close()


async def test_who_sits_down_in_another_room_is_told(far_room: Room, tmp_path: Path, address: str) -> None:
    ticket = far_room.tickets[ANN]
    async with Room(tmp_path / "other", 1, address=address) as other:
        there = other.tickets[ANN]
        with pytest.raises(
            RoomError, match=r"is not the one of this ticket .*: ask your teacher for the ticket of today"
        ):
            await Seat(ticket._replace(addresses=there.addresses)).start()
        mixed = ticket._replace(addresses=there.addresses, authority=there.authority)
        with pytest.raises(RoomError, match="has no seat for this ticket"):
            await Seat(mixed).start()
    with pytest.raises(RoomError, match=r"^No nats-server answers at .* in the network of the room"):
        await Seat(ticket._replace(addresses=[f"{address}:{free_port()}"])).start()
    plain = Ticket(ANN, "x", [f"127.0.0.1:{free_port()}"])
    with pytest.raises(RoomError, match=r"^The workshop at .* does not answer: ask your teacher"):
        await Seat(plain).start()


# A cluster


async def test_a_seat_and_the_reports_outlive_one_of_the_servers(
    tmp_path: Path, address: str, connect: Connect, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Room(tmp_path / "room", 3, address=address, cluster=3) as room:
        for ticket, server in zip(room.tickets.values(), room.servers, strict=True):
            assert ticket.urls[0].endswith(f":{server.port}"), "each server has its part of the readers"
        async with Seat(room.tickets[ANN], report=True) as seat:
            reader = await connect(seat.environment["NATS_URL"])
            assert await room.here() == {ANN}
            await room.servers[0].kill()
            await until(lambda: not reader.is_connected)
            await until(lambda: reader.is_connected)
            await barrier(reader)
            wear(monkeypatch, seat)
            claim("I went on.", True)
            await until(lambda: room.board.readers, within=30)
            assert room.board.readers[ANN].what == "held: I went on."


async def test_a_route_needs_a_password_that_nobody_can_see(tmp_path: Path) -> None:
    async with Room(tmp_path / "room", 1, cluster=3) as hall:
        (server, *_) = hall.servers
        assert server.pid
        process = psutil.Process(server.pid)
        (route,) = re.findall(r'listen: "127.0.0.1:(\d+)"', (server.directory / "server").read_text())
        assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
        assert "route:" not in " ".join(process.cmdline())
        reader, writer = await asyncio.open_connection("127.0.0.1", int(route))
        info = json.loads((await asyncio.wait_for(reader.readline(), 5)).removeprefix(b"INFO "))
        assert info["auth_required"]
        writer.write(b'CONNECT {"verbose":false,"server_name":"spy","cluster":"workshop"}\r\nPING\r\n')
        said = await asyncio.wait_for(reader.read(), 5)
        assert b"Authorization" in said
        assert b"PONG" not in said
        writer.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("0.0.0.0", "Nobody can dial 0.0.0.0: name this machine's"),
        ("::1", "is no IPv4 address"),
        ("my laptop", "is no IPv4 address"),
        ("", "is no IPv4 address"),
    ],
)
def test_an_address_that_is_none(tmp_path: Path, address: str, said: str) -> None:
    with pytest.raises(RoomError, match=said):
        Room(tmp_path, 1, address=address)


# Progress


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "display", lambda *_, **__: None)
    monkeypatch.setenv("JPY_SESSION_NAME", "01-publish-subscribe.ipynb")


def wear(monkeypatch: pytest.MonkeyPatch, seat: Seat) -> None:
    """Be a kernel that was started from this seat."""
    monkeypatch.delenv("NATSDEMO_PROGRESS", raising=False)
    for name, value in seat.environment.items():
        monkeypatch.setenv(name, value)


async def test_what_a_reader_proves_is_on_the_page_if_they_say_so(
    room: Room, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def solve() -> None: ...

    async def settle() -> Any:
        return story("alice PUB x")

    async with Seat(room.tickets[ANN]) as silent, Seat(room.tickets[BOB], report=True) as frank:
        wear(monkeypatch, silent)
        claim("Ann proves this for herself.", True)
        wear(monkeypatch, frank)
        claim("Bob has proved this.", True)
        claim("This is not about what runs here.", True, since="nats-py 999")
        with pytest.raises(ClaimFailed):
            claim("Bob has not proved this.", False)
        await answer(solve, lambda history: None, settle)
        await until(lambda: room.board.readers[BOB].what.startswith("not attempted"))
    assert ANN not in room.board.readers
    (progress,) = room.board.readers[BOB].lessons.items()
    assert progress[0] == "01-publish-subscribe"
    assert progress[1].claims == {"Bob has proved this.": True, "Bob has not proved this.": False}
    page = room.board.page(room.tickets, await room.here(), {}, datetime.datetime.now(datetime.UTC))
    assert re.search(rf"{ANN}.*reports nothing", page)
    assert "Ann proves" not in page


async def test_a_lesson_that_is_opened_is_reported_and_shows_no_password(
    room: Room, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Seat(room.tickets[ANN], report=True) as seat:
        wear(monkeypatch, seat)
        lab = await open_lab()
        await until(lambda: room.board.readers[ANN].what == "opened")
        for shown in (repr(lab), lab._repr_html_()):
            assert room.tickets[ANN].password not in shown
            assert "127.0.0.1" in shown
        await lab.close()


async def test_a_report_never_hurts_the_lesson(quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for port in (str(free_port()), "no port", "99999", ""):  # where nobody listens, or nothing can
        monkeypatch.setenv("NATSDEMO_PROGRESS", port)
        claim("It holds.", True)
        claim("x" * 100_000, True)  # more than a datagram takes
    with socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NATSDEMO_PROGRESS", str(deaf.getsockname()[1]))
        start = time.monotonic()
        for _ in range(1000):
            claim("It holds.", True)
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("cluster", [1, 3])
async def test_a_room_that_is_opened_again_knows_its_readers_and_how_far_they_were(
    cluster: int, tmp_path: Path, connect: Connect, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Room(tmp_path / "room", 1, cluster=cluster) as room,
        Seat(room.tickets[ANN], report=True) as seat,
    ):
        wear(monkeypatch, seat)
        claim("Kept.", True)
        js = (await connect(room.tickets[ANN].urls)).jetstream()
        await js.add_stream(name="ORDERS", subjects=["orders.>"], num_replicas=cluster)
        await store(js, b"1")
        await until(lambda: room.board.readers)
        first = room.tickets[ANN]
    port = int(first.addresses[0].rpartition(":")[2])
    async with Room(tmp_path / "room", 2, port=port, cluster=cluster) as again:
        assert again.tickets[ANN] == first
        await until(lambda: again.board.readers, within=30)
        assert again.board.readers[ANN].lessons["01-publish-subscribe"].claims == {"Kept.": True}
        js = (await connect(first.urls)).jetstream()
        await store(js, b"2")  # once all leaders are elected
        assert (await js.stream_info("ORDERS")).state.messages == 2
        assert (await js.account_info()).limits.max_storage > 0


class TestBoard:
    def said(self, kind: str, name: str, outcome: str, lesson: str = "01") -> bytes:
        return json.dumps({"lesson": lesson, "kind": kind, "name": name, "outcome": outcome}).encode()

    def row(self, board: Board, minutes: float = 0, lessons: dict[str, int] | None = None) -> str:
        now = NOON + datetime.timedelta(minutes=minutes)
        page = board.page([ANN], {ANN}, lessons or {"01": 2}, now)
        (row,) = re.findall(r"<tbody>(.*)</tbody>", page)
        return str(row)

    def test_a_claim_counts_once_and_as_it_came_out_last(self) -> None:
        board = Board()
        for name, outcome in (("A.", "held"), ("A.", "held"), ("B.", "failed")):
            board.take(ANN, self.said("claim", name, outcome), NOON)
        assert "<td>1 of 2<td>" in self.row(board)
        assert "stuck?" in self.row(board), "a claim has failed"
        board.take(ANN, self.said("claim", "B.", "held"), NOON)
        assert "<td>2 of 2<td>" in self.row(board)
        assert "stuck?" not in self.row(board)

    def test_who_is_in_the_middle_of_a_lesson_and_silent_may_be_stuck(self) -> None:
        board = Board()
        board.take(ANN, self.said("claim", "A.", "held"), NOON)
        assert "stuck?" not in self.row(board, minutes=4)
        assert "stuck?" in self.row(board, minutes=6)
        assert "6 min ago" in self.row(board, minutes=6)
        board.take(ANN, self.said("claim", "B.", "held"), NOON)
        assert "stuck?" not in self.row(board, minutes=60), "she is through"

    def test_what_was_looked_up_is_not_solved(self) -> None:
        board = Board()
        board.take(ANN, self.said("exercise", "greet_solved", "right"), NOON)
        assert "<td>1 looked up<td>" in self.row(board)
        board.take(ANN, self.said("exercise", "greet", "right"), NOON)
        board.take(ANN, self.said("exercise", "greet", "not attempted"), NOON)  # the notebook is run again
        board.take(ANN, self.said("exercise", "count", "not yet"), NOON)
        assert "<td>1 solved<td>" in self.row(board)

    def test_what_is_no_report_is_left_out_and_no_markup_gets_through(self) -> None:
        board = Board()
        for garbage in (b"", b"\xff", b"[]", b"null", b"{}", b'{"lesson": 1}', b"[" * 100_000):
            board.take(ANN, garbage, NOON)
        assert not board.readers
        board.take(ANN, self.said("claim", "<script>alert(1)</script>", "held", lesson="<b>"), NOON)
        assert "<script>" not in self.row(board)
        assert "<b>" not in self.row(board)


# The commands


async def test_workshop_says_where_things_are_and_takes_all_with_it(tmp_path: Path, nest: Nest) -> None:
    port = free_port()
    options = ["--readers", "3", "--port", str(port), "--out", str(tmp_path / "room")]
    async with running("workshop", *options) as process:
        assert await line(process) == f"server    nats://127.0.0.1:{port}\n"
        assert await line(process) == f"sheets    {tmp_path}/room/readers: one for each of 3 readers\n"
        page = urlsplit((await line(process)).split()[1])
        assert page.port
        status, text = await asyncio.to_thread(get, page.port, page.path)
        assert status == 200
        assert "0 of 3 are connected, 3 report nothing" in text
        assert (await asyncio.to_thread(get, page.port, "/"))[0] == 404
        async with Seat(Ticket.load(tmp_path / "room/readers/reader-01.json"), report=True):
            assert "1 of 3 are connected" in (await asyncio.to_thread(get, page.port, page.path))[1]
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0
        assert process.stderr
        assert await process.stderr.read() == b""
        await nest.empty()


def test_workshop_says_what_is_wrong(tmp_path: Path, address: str) -> None:
    out = ["--out", str(tmp_path / "room")]
    assert_one_line(natsdemo("workshop", *out, "--listen", "0.0.0.0"), 1, "Nobody can dial")
    assert_one_line(natsdemo("workshop", *out, "--listen", address, PATH=""), 1, "Without TLS", "leave --listen out")
    assert_one_line(natsdemo("join", str(tmp_path / "none.json"), "--no-browser"), 1, "cannot be read")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_line(natsdemo("workshop", *out, "--port", port), 1, f"Port {port} is taken")


def open_notebook(port: int, query: str, path: str) -> None:
    """What JupyterLab does when a reader opens a notebook."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    session = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
    link.request("POST", f"/api/sessions?{query}", json.dumps(session))
    assert link.getresponse().status == 201
    link.close()


async def test_join_gives_kernels_the_seat_and_leaves_nothing(far_room: Room, nest: Nest, tmp_path: Path) -> None:
    port = free_port()
    ticket = str(far_room.path(ANN))
    async with running("join", ticket, "--report", "--no-browser", "--port", str(port)) as process:
        said = await line(process)
        assert said.startswith(f"natsdemo: http://127.0.0.1:{port}/lab/tree/0"), said
        url = urlsplit(said.split()[1])
        await asyncio.to_thread(open_notebook, port, url.query, "05-queue-groups.ipynb")
        (kernel,) = psutil.Process(process.pid).children()
        given = kernel.environ()
        assert given["JPY_SESSION_NAME"].endswith("05-queue-groups.ipynb"), "by this a report knows its lesson"
        assert urlsplit(given["NATS_URL"]).username == ANN
        assert given["NATSDEMO_PROGRESS"]
        assert await far_room.here() == {ANN}
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0
        assert not kernel.is_running()
    async with asyncio.timeout(5):
        while await far_room.here():  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.02)


# Lessons

# Says the same on the same subjects, and stores it under the same name, as everybody else in the room.
LESSON = [
    """
import asyncio, os, nats
from natsdemo.lesson import barrier, claim, open_lab, until
lab = await open_lab()
alice = await nats.connect(lab.url, name="alice")
bob = await nats.connect(lab.url, name="bob")
mine = os.urandom(8)
claim("We begin.", True)""",
    """
got = []
async def take(msg):
    got.append(msg.data)
await bob.subscribe("orders", cb=take)
await barrier(bob)
js = alice.jetstream()
await js.add_stream(name="ORDERS", subjects=["orders"])
for _ in range(200):
    await js.publish("orders", mine)
await until(lambda: len(got) >= 200)
claim("All that we hear is our own.", len(got) == 200 and set(got) == {mine})
stored = (await js.stream_info("ORDERS")).state.messages
claim("All that is stored is our own.", stored == 200)""",
    """
await js.delete_stream("ORDERS")
await lab.close()""",
]


def write_lesson(path: Path, *cells: str) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)


async def run(seat: Seat, *lessons: str | Path) -> list[dict[str, Any]]:
    """`natsdemo run` as a reader would, at this seat."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from natsdemo.cli import main; main()", "run", "--json", "--jobs", "1"),
        *map(str, lessons),
        env=os.environ | seat.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return list(json.loads(said))


@pytest.mark.parametrize(
    ("readers", "far"), [(3, False), pytest.param(30, True, marks=pytest.mark.slow)], ids=["three", "thirty, with TLS"]
)
async def test_readers_at_once_are_green(
    readers: int, far: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_lesson(tmp_path / "01-same.ipynb", *LESSON)
    where = {"address": request.getfixturevalue("address")} if far else {}

    async def reads(name: str) -> list[dict[str, Any]]:
        async with Seat(hall.tickets[name], report=True) as seat:
            return await run(seat, tmp_path / "01-same.ipynb")

    async with Room(tmp_path / "room", readers, **where) as hall:
        for (result,) in await asyncio.gather(*map(reads, hall.tickets)):
            assert result["ok"], result
            assert result["claims"] == 3
        await until(lambda: all(hall.board.readers[name].lessons["01-same"].held == 3 for name in hall.tickets))


async def test_a_reader_whose_kernel_dies_comes_back_where_they_were(room: Room, tmp_path: Path) -> None:
    dies = f"""
import os, pathlib
flag = pathlib.Path({str(tmp_path / "dead")!r})
if not flag.exists():
    flag.touch()
    os.kill(os.getpid(), 9)"""
    lesson = tmp_path / "01-dies.ipynb"
    write_lesson(lesson, LESSON[0], dies, *LESSON[1:])
    async with Seat(room.tickets[ANN], report=True) as seat:
        (first,) = await run(seat, lesson)
        assert not first["ok"]
        progress = room.board.readers[ANN].lessons["01-dies"]
        await until(lambda: progress.claims == {"We begin.": True})
        (second,) = await run(seat, lesson)
        assert second["ok"], second
        await until(lambda: progress.held == 3)


@pytest.mark.slow
async def test_thirty_readers_at_once_are_green_in_three_lessons(tmp_path: Path) -> None:
    """All have their seats at once; their kernels take turns, since some claims of the lessons are about time."""
    kernels = asyncio.Semaphore(3 * (os.cpu_count() or 1))
    lessons = ("00", "01", "05")

    async def reads(name: str) -> list[dict[str, Any]]:
        async with Seat(hall.tickets[name], report=True) as seat:
            results = []
            for lesson in lessons:
                async with kernels:
                    results += await run(seat, lesson)
            return results

    async with Room(tmp_path / "room", 30) as hall:
        found = dict(zip(hall.tickets, await asyncio.gather(*map(reads, hall.tickets)), strict=True))
        wrong = {name: [each for each in results if not each["ok"]] for name, results in found.items()}
        assert not any(wrong.values()), wrong
        await until(lambda: all(len(hall.board.readers[name].lessons) == 3 for name in hall.tickets))
        for name, results in found.items():
            held = sum(each.held for each in hall.board.readers[name].lessons.values())
            assert held == sum(each["claims"] for each in results), name


def test_the_accounts_are_readable() -> None:
    text = accounts({ANN: "one", "teacher": "two"})
    assert f'service: "progress.{ANN}", accounts: [{ANN}]' in text
    assert f'account: teacher, subject: "progress.{ANN}" }}, to: "natsdemo.progress"' in text
