"""Where lessons run that start no server of their own: one sentence for all that can be wrong, and never a password."""

import asyncio
import re
import shutil
import socket
from pathlib import Path

import pytest

from natsdemo.server import Composed, External, NotHere, Server, ServerError, place
from natsdemo.server.loopback import free_port
from natsdemo.server.places import compose_command

AUTHORIZATION = "authorization { user: ann, password: right }"


async def refused(place: External, expected: str) -> None:
    """It fails within seconds, in one sentence that tells no secret."""
    with pytest.raises(ServerError) as caught:
        async with asyncio.timeout(8):
            await place.start()
    text = str(caught.value)
    assert re.search(expected, text), text
    assert "\n" not in text
    assert text.endswith(".")
    assert caught.value.__cause__ is None
    for shown in (text, repr(place), place._repr_html_()):
        assert "secret" not in shown


def with_user(server: Server, user: str) -> str:
    return server.url.replace("//", f"//{user}@")


# Somebody else's server


async def test_a_server_that_lets_us_in_is_fine(server: Server) -> None:
    async with External(server.url) as place:
        assert place.connect_options == {}
        assert repr(place) == f"<External server at {server.url}>"
    assert server.state == "running"


async def test_credentials_in_the_address_let_us_in_and_stay_secret() -> None:
    async with Server(config="authorization { user: ann, password: secret }") as server:
        async with External(with_user(server, "ann:secret")) as place:
            assert repr(place) == f"<External server at {server.url}>"
        async with Server(config="authorization { token: secret }") as other, External(with_user(other, "secret")):
            pass


@pytest.mark.parametrize("user", ["", "ann:secret@"])
async def test_nobody_answers(user: str) -> None:
    port = free_port()
    await refused(
        External(f"nats://{user}127.0.0.1:{port}"),
        f"^No nats-server answers at nats://127.0.0.1:{port}: start one there, correct NATS_URL, or unset it",
    )


async def test_who_listens_there_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await refused(External(f"nats://127.0.0.1:{listener.getsockname()[1]}"), "^No nats-server answers at")


@pytest.mark.parametrize("user", ["ann:secret@", "secret@", ""])
async def test_wrong_credentials(user: str) -> None:
    async with Server(config=AUTHORIZATION) as server:
        await refused(
            External(server.url.replace("//", f"//{user}")),
            f"^The server at {server.url} refuses these credentials: correct NATS_URL .*or NATS_CREDS",
        )


async def test_credentials_file_missing(server: Server, tmp_path: Path) -> None:
    await refused(External(server.url, "/nowhere/my.creds"), "^There is no credentials file /nowhere/my.creds: correct")
    await refused(External(server.url, tmp_path), f"^There is no credentials file {tmp_path}: correct NATS_CREDS")


@pytest.mark.parametrize(
    "content", ["", "secret", "-----BEGIN NATS USER JWT-----\nsecret\n------END NATS USER JWT------"]
)
async def test_credentials_file_that_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "my.creds"
    file.write_text(content)
    async with Server(config=AUTHORIZATION) as server:
        await refused(External(server.url, file), "refuses these credentials|No nats-server answers")


async def test_no_jetstream() -> None:
    async with Server(config="accounts { A { users: [{user: ann, password: secret}] } }") as server:
        await refused(
            External(with_user(server, "ann:secret")),
            f"^The server at {server.url} has no JetStream for us: start it with `-js`, or unset NATS_URL",
        )


@pytest.mark.parametrize(
    "url",
    [
        "nats://ann:secret@127.0.0.1:port",
        "nats://ann:secret@127.0.0.1:1,nats://bob:secret@127.0.0.1:2",
        "ann:secret@127.0.0.1:1",
        "nats://ann:sec[ret@127.0.0.1:1",
        "nats://ann:secret/secret@127.0.0.1:1",
        "nats://ann:sec\nret@127.0.0.1:1",
        "http://127.0.0.1:1",
        "nats://127.0.0.1:99999",
        "nats://",
        "nats",
        "",
    ],
)
async def test_malformed_addresses_are_no_worse_than_wrong_ones(url: str) -> None:
    await refused(External(url), "^No nats-server answers at .*correct NATS_URL")


async def test_a_certificate_that_we_do_not_trust(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server(config=f'tls {{ cert_file: "{certificate}", key_file: "{certificate}" }}') as server:
        place = External(server.url)
        await refused(place, f"^TLS with the server at {server.url} fails .*SSL_CERT_FILE")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await place.start()


VERBS = ["stop", "kill", "pause", "resume", "restart", "lame_duck", "reload"]


@pytest.mark.parametrize(
    ("kind", "verb"), [*((External, verb) for verb in VERBS), (Composed, "lame_duck"), (Composed, "reload")]
)
async def test_what_a_place_cannot_do_it_says_in_one_sentence(kind: type[External], verb: str) -> None:
    with pytest.raises(NotHere) as caught:
        await getattr(kind("nats://ann:secret@127.0.0.1:4222"), verb)()
    text = str(caught.value)
    assert re.search("^We (do not|neither) .*: (unset NATS_URL|leave `--server compose` out)[^.]*[.]$", text), text
    assert "secret" not in text


async def test_nobody_looks_at_the_pages_of_somebody_elses_server() -> None:
    with pytest.raises(NotHere, match=r"^We do not look at /varz of somebody else's server"):
        await External("nats://127.0.0.1:4222").monitor("varz")


async def test_closing_leaves_the_server_alone_and_an_observer_hears_nothing(server: Server) -> None:
    place = External(server.url)
    place.observe(lambda *_: pytest.fail("nothing of ours happened"))
    await place.start()
    await place.close()
    await place.close()
    assert server.state == "running"


# A composed one (whose real runs are in test_compose.py)


def test_a_machine_without_compose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match=r"^Neither `docker compose` nor `docker-compose` is here: install [^.]*\.$"):
        compose_command()


async def test_a_composed_server_that_is_not_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = Composed(f"nats://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}")
    await refused(
        composed,
        "^No nats-server answers at .*: run `docker compose up -d --wait nats`, or leave `--server compose` out",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match=r"^Neither `docker compose` nor"):
        await composed.kill()


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for docker-compose that writes down what it was asked, and fails when told to."""
    script = tmp_path / "docker-compose"
    script.write_text(
        f'#!{shutil.which("sh")}\necho "$3 $4" >> {tmp_path}/asked\n[ "$3" != pause ] || {{ echo no; exit 1; }} >&2\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "asked"


async def test_verbs_become_compose_commands_and_are_announced(server: Server, compose: Path) -> None:
    composed = Composed(server.url, server.monitor_url, "n2")
    heard: list[str] = []
    composed.observe(lambda name, verb: heard.append(f"{name} {verb}"))
    await composed.kill()
    await composed.stop()  # as with `Server`, what is done already is not done again
    await composed.resume()
    assert await composed.start() is composed
    assert await composed.restart() is composed
    with pytest.raises(ServerError, match=r"^`docker compose pause n2` failed: no\.$"):
        await composed.pause()
    assert compose.read_text().splitlines() == ["kill n2", "start n2", "stop n2", "start n2", "pause n2"]
    assert heard == ["n2 kill", "n2 start", "n2 stop", "n2 start"]


# Which one it is


def test_the_environment_chooses_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = place("max_payload: 100")
    assert isinstance(embedded, Server)
    assert embedded.config == "max_payload: 100"
    monkeypatch.setenv("NATS_URL", "nats://ann:secret@127.0.0.1:4222")
    external = place()
    assert type(external) is External
    assert external.url == "nats://ann:secret@127.0.0.1:4222"
    assert external.connect_options == {}
    monkeypatch.setenv("NATS_CREDS", "my.creds")
    external = place()
    assert isinstance(external, External)
    assert external.connect_options == {"user_credentials": "my.creds"}
    monkeypatch.setenv("NATSDEMO_SERVER", "compose")
    assert type(place()) is Composed
