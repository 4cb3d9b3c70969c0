"""The values files for Kubernetes. The charts' schemas are not ours to keep: here is what can be said without them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import natsdemo.workshop
from natsdemo.workshop.room import LIMITS

HUB = Path(natsdemo.workshop.__file__).parent / "hub"


def values(name: str) -> Any:
    return yaml.safe_load((HUB / name).read_text(encoding="utf-8"))


def test_each_reader_has_an_account_of_the_same_limits_as_in_a_room() -> None:
    nats = values("nats.yaml")
    accounts = nats["config"]["merge"]["accounts"]
    for name, account in accounts.items():
        assert account["jetstream"] == LIMITS
        (user,) = account["users"]
        assert user == {"user": name, "password": f"<< ${name.upper().replace('-', '_')} >>"}
    assert {name.upper().replace("-", "_") for name in accounts} == set(nats["container"]["env"])


def test_a_reader_gets_a_seat_of_their_own_and_a_stranger_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATS", json.dumps({"reader-01": "secret"}))
    c = SimpleNamespace(Spawner=SimpleNamespace())
    exec(values("jupyterhub.yaml")["hub"]["extraConfig"]["seats"], {"c": c})
    for name, expected in (("reader-01", {"NATS_URL": "nats://reader-01:secret@nats:4222"}), ("eve", {})):
        spawner = SimpleNamespace(user=SimpleNamespace(name=name), environment={})
        c.Spawner.pre_spawn_hook(spawner)
        assert spawner.environment == expected


def test_it_lands_on_the_first_lesson() -> None:
    page = values("jupyterhub.yaml")["singleuser"]["defaultUrl"].removeprefix("/lab/tree/")
    assert (Path(natsdemo.__file__).parents[1] / page).is_file()
