"""Who may import whom. The table is the documentation; DESIGN.md, "Where things live", is where it comes from."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import natsdemo

PACKAGE = Path(natsdemo.__file__).parent

WORLD = {"protocol", "messages", "history", "faults", "server", "tap", "load"}
READING = {"guarantees", "figures", "live"}
EVERYTHING = {*WORLD, *READING, "lesson", "slides", "workshop", "cli", "testing"}

MAY_IMPORT: dict[str, set[str]] = {
    "protocol": set(),
    "messages": {"protocol"},
    "history": {"protocol", "messages"},
    "faults": {"protocol", "messages"},
    "server": set(),
    "tap": {"protocol", "history", "faults"},
    "load": {"protocol", "messages"},
    "guarantees": {"history", "messages", "protocol"},
    "figures": {"history", "guarantees", "messages", "protocol"},
    "live": {"history", "guarantees", "faults", "figures"},
    "lesson": WORLD | READING,
    "slides": set(),
    "workshop": {"server"},
    "cli": EVERYTHING,
    "testing": EVERYTHING,
}

# The core needs these and the standard library.
CORE = {"natsdemo", "nats", "nkeys", "nacl", "cffi", "_cffi_backend"}


def modules() -> Iterator[str]:
    """Our modules; a package counts as one."""
    for path in sorted(PACKAGE.iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            yield path.stem
        elif (path / "__init__.py").exists():
            yield path.name


def files(module: str) -> list[Path]:
    single = PACKAGE / f"{module}.py"
    return [single] if single.exists() else sorted((PACKAGE / module).rglob("*.py"))


def imported(text: str, package: tuple[str, ...]) -> set[str]:
    """Which of our modules this source imports, wherever in it; `package` is where it lives."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*parent, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    paths = [name.split(".") for name in names]
    return {path[1] for path in paths if path[0] == "natsdemo" and len(path) > 1}


@pytest.mark.parametrize("module", list(modules()))
def test_a_module_imports_only_what_the_table_allows(module: str) -> None:
    assert module in MAY_IMPORT, f"{module} is not in the table: say what it may import, here and in DESIGN.md"
    for file in files(module):
        package = ("natsdemo", *file.relative_to(PACKAGE).parent.parts)
        own = {module, "__version__"}
        wrong = imported(file.read_text(encoding="utf-8"), package) - MAY_IMPORT[module] - own
        assert not wrong, f"{file} imports {wrong}"


def test_the_package_itself_imports_nothing_of_ours() -> None:
    assert imported((PACKAGE / "__init__.py").read_text(encoding="utf-8"), ("natsdemo",)) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import natsdemo.tap.link", {"tap"}),
        ("from natsdemo import faults, history as h", {"faults", "history"}),
        ("from natsdemo.server import Server", {"server"}),
        ("from ..server.process import HOST", {"server"}),
        ("from .. import live", {"live"}),
        ("from . import predict\nfrom .look import show", {"lesson"}),
        ("def f():\n    from ..figures import lamport", {"figures"}),
        ("import nats, os, natsdemo\nfrom typing import Any", set()),
    ],
)
def test_the_test_sees_every_kind_of_import(text: str, found: set[str]) -> None:
    assert imported(text, ("natsdemo", "lesson")) == found


def test_the_two_sides_do_not_know_each_other() -> None:
    """The table itself keeps the design's rule; faults, history and what they are made of are the common ground."""
    common = {"protocol", "messages", "history", "faults"}
    for module in WORLD:
        assert not MAY_IMPORT[module] & (READING | {"lesson"})
    for module in READING:
        assert not MAY_IMPORT[module] & (WORLD - common)
    assert [module for module, allowed in MAY_IMPORT.items() if "lesson" in allowed] == ["cli", "testing"]


@pytest.mark.parametrize("module", ["", ".server", ".protocol", ".messages"])
def test_the_core_needs_nats_py_and_the_standard_library_alone(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import natsdemo{module}; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in run.stdout.split()}
    assert roots - sys.stdlib_module_names <= CORE
