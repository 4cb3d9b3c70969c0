"""What a notebook imports: the lab, claims, predictions, exercises, clients that can be killed."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import nbformat
import psutil
import pytest
import pytest_asyncio
from nats.errors import NoRespondersError

from natsdemo import faults
from natsdemo.guarantees import Outcome, at_most_once, judge, no_loss
from natsdemo.history import History
from natsdemo.lesson import (
    ClaimFailed,
    Lab,
    barrier,
    claim,
    needs,
    open_lab,
    predict,
    until,
    what_was_kept,
    what_we_proved,
)
from natsdemo.lesson import claims as claims_module
from natsdemo.lesson import look as look_module
from natsdemo.lesson.claims import ledger
from natsdemo.lesson.client import ClientProcess
from natsdemo.lesson.exercise import answer, attempted
from natsdemo.server import Server
from natsdemo.testing import story


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a notebook would display."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(look_module, "display", lambda data, raw: seen.append(data))
    return seen


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = await open_lab()
    yield lab
    await lab.close()


class TestClaim:
    def test_a_true_one_is_shown_with_its_evidence_and_kept(self, shown: list[dict[str, Any]]) -> None:
        ledger.clear()
        claim("Three came.", True, came=3)
        assert shown[0]["text/plain"] == "✓ Three came.  (came = 3)"
        assert shown[0][look_module.CLAIM_MIME] == {
            "sentence": "Three came.", "holds": True, "evidence": "came = 3", "since": "", "until": "",
            "on": claims_module.versions,
        }  # fmt: skip
        what_we_proved()
        assert "Three came." in shown[1]["text/html"]

    def test_a_false_one_raises_and_says_what_was_seen(self, shown: list[dict[str, Any]]) -> None:
        with pytest.raises(ClaimFailed, match=r"Three came\. \(seen: came = 2\)"):
            claim("Three came.", False, came=2)
        assert shown[0]["text/plain"].startswith("✗")

    def test_a_verdict_must_have_the_outcome_that_is_claimed(self, shown: list[dict[str, Any]]) -> None:
        lost = no_loss(story("a:pub1 a:pub2 b:got1"))
        claim("One was lost.", lost, Outcome.VIOLATED)
        with pytest.raises(ClaimFailed):
            claim("None was lost.", lost)
        with pytest.raises(ClaimFailed):
            claim("Who knows.", lost, Outcome.UNKNOWN)

    @pytest.mark.parametrize("bounds", [{"since": "nats-server 2.16"}, {"until": "nats-server 2.15"}])
    def test_one_of_other_versions_is_shown_and_not_claimed(
        self, shown: list[dict[str, Any]], bounds: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(claims_module.versions, "nats-server", "2.15.1")
        claim("It is odd.", False, **bounds)  # type: ignore[arg-type]
        (bound,) = bounds.items()
        assert shown[0]["text/plain"] == f"– It is odd.  (not claimed here: it is so {' '.join(bound)})"
        assert shown[0][look_module.CLAIM_MIME]["holds"] is None
        what_we_proved()
        assert shown[1]["text/plain"].endswith("– It is odd.")

    def test_one_of_these_versions_is_held_to_and_says_when_the_prose_must_change(
        self, shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(claims_module.versions, "nats-server", "2.15.1")
        claim("It is odd.", True, since="nats-server 2.15.1", until="nats-server 2.15.2")
        assert "since nats-server 2.15.1 and until nats-server 2.15.2" in shown[0]["text/plain"]
        with pytest.raises(ClaimFailed, match="give the claim its `until` and change the prose"):
            claim("It is odd.", False, since="nats-server 2.10")

    @pytest.mark.parametrize("bound", ["2.11", "kafka 3", "nats-py", "nats-py two"])
    def test_a_bound_that_names_nothing_is_refused(self, bound: str) -> None:
        with pytest.raises(ValueError, match=r"write nats-py"):
            claim("It is odd.", True, since=bound)

    def test_a_cell_that_needs_a_newer_server_says_so(
        self, shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(claims_module.versions, "nats-server", "2.10.26")
        assert needs("nats-server 2.10")
        assert not needs("nats-server 2.11")
        (said,) = shown
        assert said["text/plain"] == "– This needs nats-server 2.11, and 2.10.26 runs here: skipped."
        assert said[look_module.NEEDS_MIME] == {"needs": "nats-server 2.11"}
        with pytest.raises(ValueError, match="write nats-py"):
            needs("kafka 3")

    async def test_a_lab_knows_its_server(self, lab: Lab) -> None:
        assert claims_module.versions["nats-server"] == lab.server.version != ""

    def test_what_is_neither_is_refused(self) -> None:
        with pytest.raises(TypeError, match="compare something"):
            claim("There are some.", [1])  # type: ignore[arg-type]

    def test_what_stands_in_backticks_is_shown_as_code(self, shown: list[dict[str, Any]]) -> None:
        claim("`a<b>` is no subject.", True)
        assert shown[0]["text/plain"] == "✓ `a<b>` is no subject."
        assert "<code>a&lt;b&gt;</code> is no subject." in shown[0]["text/html"]

    def test_hostile_evidence_is_escaped_and_cut(self, shown: list[dict[str, Any]]) -> None:
        claim("<b>", True, said="<script>" + "x" * 10_000)
        assert "<script>" not in shown[0]["text/html"]
        assert len(shown[0]["text/html"]) < 1000


def test_runs_are_laid_side_by_side(shown: list[dict[str, Any]]) -> None:
    lost, repeated = judge(story("a:pub1 b:got1 a:pub2")), judge(story("a:pub1 b:got1 b:got1 a:pub2 b:got2"))
    what_was_kept({"<lost>": lost, "repeated": repeated})
    first, second = shown[0]["text/plain"].splitlines()
    assert first == "<lost>: nothing lost ✗, nothing twice ✓, in order ?; kept: at most once"
    assert second == "repeated: nothing lost ✓, nothing twice ✗, in order ✓; kept: at least once"
    assert "&lt;lost&gt;" in shown[0]["text/html"]
    assert "never reached b" in shown[0]["text/html"]
    assert shown[0][look_module.VERDICTS_MIME]["repeated"]["no_duplicates"] == "VIOLATED"


class TestPredict:
    def test_it_reads_as_a_list_where_nobody_can_click(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NATSDEMO_HEADLESS", "1")
        bundle = predict("Who?", ["me", "<you>"])._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/html"}
        assert "○ me" in bundle["text/plain"]
        assert "&lt;you&gt;" in bundle["text/html"]

    def test_with_widgets_it_has_buttons_and_keeps_the_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NATSDEMO_HEADLESS", raising=False)
        bundle = predict("Who?", ["me", "you"])._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert "○ me" in bundle["text/plain"]
        assert "<li>me</li>" in bundle["text/html"]

    @pytest.mark.parametrize(
        ("chosen", "said"), [(None, "Observed: me."), ("me", "so it is"), ("you", "You said “you”; observed: me.")]
    )
    def test_the_answer_is_held_against_what_was_observed(
        self, chosen: str | None, said: str, shown: list[dict[str, Any]]
    ) -> None:
        bet = predict("Who?", ["me", "you"])
        if chosen:
            bet.choose(chosen)
        bet.reveal("me", because="I was there.")
        assert said in shown[0]["text/plain"]
        assert "I was there." in shown[0]["text/html"]

    def test_one_cannot_bet_on_what_is_not_there(self) -> None:
        with pytest.raises(ValueError, match="none of the options"):
            predict("Who?", ["me"]).choose("them")


class TestUntil:
    async def test_true_as_soon_as_the_condition_is(self) -> None:
        assert await until(lambda: True)

    async def test_false_at_the_deadline_and_not_before(self) -> None:
        began = time.monotonic()
        assert not await until(lambda: False, deadline=0.1)
        assert time.monotonic() - began >= 0.1


class TestLab:
    async def test_settle_waits_for_all_and_adds_no_traffic(self, lab: Lab) -> None:
        alice, bob = [await nats.connect(lab.url, name=name) for name in ("alice", "bob")]
        heard = []

        async def slow(msg: Any) -> None:
            await asyncio.sleep(0.02)
            heard.append(msg.data)

        await bob.subscribe("orders", cb=slow)
        await barrier(bob)
        for n in range(10):
            await alice.publish("orders", b"%d" % n)
        history = await lab.settle()
        assert history.settled
        assert len(heard) == 10
        assert len(history.deliveries) == 10
        frames = len(history)
        assert len(await lab.settle()) == frames

    async def test_a_live_history_has_not_settled(self, lab: Lab) -> None:
        assert not lab.history.settled

    async def test_a_run_that_never_rests_has_not_settled(self, lab: Lab) -> None:
        alice = await nats.connect(lab.url, name="alice")

        async def chatter() -> None:
            while True:
                await alice.publish("noise", b"")
                await asyncio.sleep(0.001)

        task = asyncio.create_task(chatter())
        history = await lab.settle(deadline=0.3)
        task.cancel()
        assert not history.settled
        assert no_loss(history).outcome is Outcome.UNKNOWN

    async def test_what_the_tap_holds_back_is_still_pending(self, lab: Lab) -> None:
        alice = await nats.connect(lab.url, name="alice")
        await alice.subscribe("orders")
        await barrier(alice)
        with lab.tap.inject(faults.delay("MSG", seconds=1.5)):
            await alice.publish("orders", b"late")
            history = await lab.settle()
        assert len(history.deliveries) == 1
        assert no_loss(history).outcome is Outcome.HOLDS

    async def test_it_takes_no_time_to_find_that_nobody_listens(self, lab: Lab) -> None:
        alice = await nats.connect(lab.url, name="alice")
        with pytest.raises(NoRespondersError):
            await alice.request("nobody", b"")
        await lab.settle()
        counts = await lab._server_counts()
        assert counts
        assert counts == lab._tap_counts(of=counts), "else it waits for half a second in which nothing moves"

    async def test_while_the_server_is_frozen_nothing_has_settled(self, lab: Lab) -> None:
        alice = await nats.connect(lab.url, name="alice")
        await alice.subscribe("orders")
        await barrier(alice)
        assert isinstance(lab.server, Server)
        await lab.server.pause()
        await alice.publish("orders", b"to a frozen server")
        assert not (await lab.settle(deadline=3)).settled
        await lab.server.resume()
        assert len((await lab.settle()).deliveries) == 1

    async def test_lost_on_the_wire_is_found_and_at_most_once_holds(self, lab: Lab) -> None:
        alice, bob = [await nats.connect(lab.url, name=name) for name in ("alice", "bob")]
        heard = []

        async def listen(msg: Any) -> None:
            heard.append(msg.data)

        await bob.subscribe("orders", cb=listen)
        await barrier(bob)
        with lab.tap.inject(faults.drop("MSG", nth=2)):
            for n in range(3):
                await alice.publish("orders", b"%d" % n)
            assert await until(lambda: len(heard) == 2)
            history = await lab.settle()
        assert no_loss(history).outcome is Outcome.VIOLATED
        assert at_most_once(history).outcome is Outcome.HOLDS

    async def test_the_set_up_cell_can_be_run_again(self) -> None:
        first = await open_lab()
        alice = await nats.connect(first.url, name="alice")
        second = await open_lab()
        assert alice.is_closed
        assert first.url != second.url
        assert second.history.clients == []
        await second.close()
        await second.close()

    @pytest.mark.parametrize("needs", [{"own": True}, {"config": "max_payload: 4096"}])
    async def test_one_that_kills_its_server_does_not_do_so_to_somebody_else_s(
        self, needs: dict[str, Any], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with Server() as other:
            monkeypatch.setenv("NATS_URL", other.url)
            lab = await open_lab(**needs)
            assert "one of our own" in shown[0]["text/plain"]
            assert isinstance(lab.server, Server)
            await lab.server.kill()
            assert other.state == "running"
            await lab.close()

    async def test_on_a_cluster(self) -> None:
        lab = await open_lab(cluster=3)
        nc = await nats.connect(servers=lab.tap.urls, name="alice")
        await nc.publish("x", b"")
        assert (await lab.settle()).settled
        await lab.close()

    async def test_sabotage_is_armed_behind_the_tap(
        self, monkeypatch: pytest.MonkeyPatch, shown: list[dict[str, Any]]
    ) -> None:
        monkeypatch.setenv("NATSDEMO_SABOTAGE", "drop PUB nth=1")
        lab = await open_lab()
        alice = await nats.connect(lab.url, name="alice")
        await alice.publish("x", b"")
        history = await lab.settle()
        assert [event.fate for event in history.publishes] == ["forwarded"]  # the Tap itself saw nothing odd
        await lab.close()
        assert shown[-1][look_module.SABOTAGE_MIME] == {"hits": 1}


class TestBarrier:
    async def test_what_was_published_before_it_has_reached_the_server(self, lab: Lab) -> None:
        alice = await nats.connect(lab.url, name="alice")
        own = await alice.subscribe("mine")
        for n in range(200):
            await alice.publish("mine", b"")
            await barrier(alice)
            assert own.pending_msgs == n + 1

    async def test_a_client_that_is_not_connected_is_told(self, lab: Lab) -> None:
        alice = await nats.connect(lab.url, name="alice")
        await alice.close()
        with pytest.raises(ConnectionError):
            await barrier(alice)


async def _stub() -> None: ...  # one line


async def _fails() -> None:
    raise KeyError("nothing")


async def _hangs() -> None:
    await asyncio.Event().wait()


async def _gives_up() -> None:
    raise TimeoutError("nobody answered")


async def _does() -> None:
    await asyncio.sleep(0)


class TestExercise:
    async def _answer(self, solve: Any, reason: str | None = None) -> str:
        async def settle() -> History:
            return story("a:pub1 b:got1")

        return await answer(solve, lambda _: reason, settle, deadline=0.1)

    def test_a_stub_is_not_attempted(self) -> None:
        assert not attempted(_stub)
        assert attempted(_does)

    async def test_the_three_answers(self, shown: list[dict[str, Any]]) -> None:
        assert await self._answer(_stub) == "not attempted"
        assert await self._answer(_does, "it is blue.") == "not yet"
        assert "not yet, because it is blue." in shown[-1]["text/plain"]
        assert await self._answer(_does) == "right"

    async def test_what_raises_or_hangs_is_not_yet(self, shown: list[dict[str, Any]]) -> None:
        assert await self._answer(_fails) == "not yet"
        assert "KeyError" in shown[-1]["text/plain"]
        assert await self._answer(_hangs) == "not yet"
        assert "did not end within 0.1 seconds" in shown[-1]["text/plain"]

    async def test_a_time_out_of_the_reader_s_own_is_not_ours(self, shown: list[dict[str, Any]]) -> None:
        assert await self._answer(_gives_up) == "not yet"
        assert "it raised TimeoutError: nobody answered" in shown[-1]["text/plain"]


class TestClient:
    CODE = """
import nats
nc = await nats.connect(url, name=name)
sub = await nc.subscribe("work")
await nc.flush()
async for msg in sub.messages:
    print(msg.data.decode())
"""

    async def test_it_is_a_process_that_can_really_be_killed(self, lab: Lab) -> None:
        bob = lab.clients["bob"] = ClientProcess("bob", lab.url, self.CODE)
        assert await until(lambda: len(lab.history.where(client="bob", op="SUB")) == 1)
        alice = await nats.connect(lab.url, name="alice")
        await alice.publish("work", b"hello")
        assert await until(lambda: bob.output == ["hello"])
        bob.kill()
        assert not bob.running
        gone = lab.history.where(kind="client", client="bob")
        assert await until(lambda: "disconnected" in str(lab.history.where(kind="client", client="bob"))), gone

    async def test_a_function_is_spawned_by_its_source_and_a_second_takes_the_place_of_the_first(
        self, lab: Lab
    ) -> None:
        async def worker(url: str, name: str) -> None:
            import nats

            nc = await nats.connect(url, name=name)
            sub = await nc.subscribe("work", queue="workers")
            async for msg in sub.messages:
                print(name, msg.data.decode())

        first = lab.spawn("w1", worker)
        assert await until(lambda: len(lab.history.where(client="w1", op="SUB")) == 1, deadline=10)
        second = lab.spawn("w1", worker)
        assert not first.running
        assert lab.clients == {"w1": second}
        assert await until(lambda: len(lab.history.where(client="w1", op="SUB")) == 2, deadline=10)
        alice = await nats.connect(lab.url, name="alice")
        await alice.publish("work", b"hello")
        assert await until(lambda: second.output == ["w1 hello"])

    async def test_while_it_is_paused_nothing_is_handled_and_then_all_is(self, lab: Lab) -> None:
        bob = lab.start_client("bob", self.CODE)
        assert await until(lambda: lab.history.where(client="bob", op="SUB"), deadline=10)
        bob.pause()
        assert bob.pid
        assert psutil.Process(bob.pid).status() == psutil.STATUS_STOPPED
        assert repr(bob) == "<client bob, paused, 0 lines printed>"
        alice = await nats.connect(lab.url, name="alice")
        await alice.publish("work", b"hello")
        assert await until(lambda: lab.history.where(client="bob", op="MSG"))
        assert bob.running
        assert bob.output == []
        bob.resume()
        assert await until(lambda: bob.output == ["hello"])
        assert repr(bob) == "<client bob, running, 1 lines printed>"

    async def test_restarted_it_runs_the_same_code_under_the_same_name(self, lab: Lab) -> None:
        bob = lab.start_client("bob", "print(name)\n" + self.CODE)
        assert await until(lambda: lab.history.where(client="bob", op="SUB"), deadline=10)
        first = bob.pid
        bob.restart()
        assert await until(lambda: len(lab.history.where(client="bob", op="SUB")) == 2, deadline=10)
        assert bob.output == ["bob", "bob"]
        assert bob.pid not in (None, first)

    @pytest.mark.parametrize("verb", ["kill", "restart", "close"])
    async def test_one_that_is_paused_can_be_ended(self, lab: Lab, verb: str) -> None:
        bob = lab.start_client("bob", "print('here')\n" + self.CODE)
        assert await until(lambda: bob.output, deadline=10)
        bob.pause()
        paused = bob.pid
        await lab.close() if verb == "close" else getattr(bob, verb)()
        assert bob.running == (verb == "restart")
        assert bob.pid != paused

    def test_a_dead_one_is_neither_paused_nor_resumed_and_can_be_started_again(self) -> None:
        bob = ClientProcess("bob", "nowhere", "print(name)")
        bob.kill()
        bob.kill()
        bob.pause()
        bob.resume()
        assert (bob.pid, bob.running) == (None, False)
        assert repr(bob).startswith("<client bob, ended, ")
        bob.restart()
        assert bob.running
        bob.kill()


def test_the_magic_and_the_outputs_in_a_real_kernel(tmp_path: Path) -> None:
    cells = [
        "from natsdemo.lesson import *\nimport nats\nlab = await open_lab()",
        "%%client bob\nimport nats\nnc = await nats.connect(url, name=name)\nsub = await nc.subscribe('work')\n"
        "print((await sub.next_msg(timeout=10)).data.decode())",
        "await until(lambda: len(lab.history.where(client='bob', op='SUB')) == 1)\n"
        "alice = await nats.connect(lab.url, name='alice')\nawait alice.publish('work', b'hello')",
        "claim('Bob heard it.', await until(lambda: lab.clients['bob'].output == ['hello']))",
        "await lab.close()",
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(nb, tmp_path / "90-magic.ipynb")
    run = [sys.executable, "-m", "papermill", "--no-progress-bar", "-k", "python3", "90-magic.ipynb", "out.ipynb"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert done.cells[3].outputs[0]["data"][look_module.CLAIM_MIME]["holds"]
