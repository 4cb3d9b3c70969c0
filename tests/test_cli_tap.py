"""`natsdemo tap`, `draw` and `judge`, as somebody with a program in another language would use them."""

import asyncio
import signal
import sys
from pathlib import Path

import nats
import pytest

from natsdemo.history import History
from natsdemo.lesson import barrier
from natsdemo.server import Server
from natsdemo.testing import story

NATSDEMO = str(Path(sys.executable).with_name("natsdemo"))


async def natsdemo(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        NATSDEMO, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_it_shows_breaks_keeps_and_the_rest_can_be_read_from_the_file(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    fault = "drop MSG subject=orders nth=2"
    process = await asyncio.create_subprocess_exec(
        *(NATSDEMO, "tap", "--to", server.url, "--fault", fault, "--save", str(file)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().rpartition(" ")[2].strip()
    nc = await nats.connect(url, name="alice")
    sub = await nc.subscribe("orders")
    await barrier(nc)
    for n in range(3):
        await nc.publish("orders", b"<script>%d</script>\x1b[2J" % n)
    assert [(await sub.next_msg(timeout=2)).data[8:9] for _ in range(2)] == [b"0", b"2"]
    await nc.close()
    process.send_signal(signal.SIGINT)
    said = (await asyncio.wait_for(process.communicate(), 20))[0].decode()
    assert process.returncode == 0
    assert "armed: drop MSG" in said or "hit: drop MSG" in said
    assert "alice → <PUB subject='orders'" in said
    assert "\x1b" not in said

    history = History.load(file)
    assert [event.fate for event in history.deliveries] == ["forwarded", "dropped", "forwarded"]
    code, out, _ = await natsdemo("judge", str(file))
    assert code == 1
    assert "VIOLATED" in out
    code, out, _ = await natsdemo("draw", str(file), "-o", str(tmp_path / "x.png"))
    assert code == 0
    assert "alice" in out
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("told", "code"), [("a:pub1 a:pub2 b:got1 b:got2", 0), ("a:pub1 a:pub2 b:got2", 1), ("a:pub1 b:sub", 2)]
)
async def test_the_exit_code_of_judge_is_the_verdict(told: str, code: int, tmp_path: Path) -> None:
    story(told).save(tmp_path / "run.jsonl")
    assert (await natsdemo("judge", str(tmp_path / "run.jsonl")))[0] == code


@pytest.mark.parametrize("picture", ["timeline", "rates", "latency", "sequence_numbers"])
async def test_every_picture_can_be_drawn(picture: str, tmp_path: Path) -> None:
    story("a:pub1 a:pub2 b:got1 b:got2").save(tmp_path / "run.jsonl")
    code, _, err = await natsdemo("draw", str(tmp_path / "run.jsonl"), "--picture", picture)
    assert (code, err) == (0, "")
    assert (tmp_path / "run.png").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tap", "--fault", "lose everything"], "is no fault"),
        (["tap", "--fault", "drop PUB nth=x"], "needs a whole number"),
        (["tap", "--save", "/nowhere/at/all.jsonl"], "There is no folder"),
        (["judge", "nothing.jsonl"], "cannot be read"),
        (["draw", "nothing.jsonl"], "cannot be read"),
        (["draw", "x", "--picture", "mona-lisa"], "There is no picture"),
    ],
)
async def test_mistakes_are_one_line_that_says_what_to_do(arguments: list[str], says: str) -> None:
    code, out, err = await natsdemo(*arguments)
    assert code == 1
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1


async def test_a_file_that_is_no_history_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}\n")
    code, _, err = await natsdemo("judge", str(tmp_path / "x.jsonl"))
    assert code == 1
    assert "line 1" in err
