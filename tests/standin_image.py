"""Stand-ins for the official images, for a machine whose container engine reaches no image registry.

They are not the official images, and their labels say so: they hold this environment's own nats-server and Python, and
of Debian's what the file asks for besides. They bear the official tags, since that is what docker-compose.yml asks for;
so they never take the place of an image that is there already, and whoever builds one removes it afterwards.
"""

import functools
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

LABEL = "natsdemo stand-in, built from this machine's own programs; not the official image"

# A place in the image, and the file or folder that goes there.
Files = list[tuple[str, Path]]


def build_nats(tag: str) -> None:
    """Builds the stand-in for `nats:…-alpine`, or raises where that tag is taken or busybox-static is missing."""
    busybox = _program("busybox")
    _build(tag, [("bin/nats-server", Path(sysconfig.get_path("scripts"), "nats-server")),
                 *((f"bin/{applet}", busybox) for applet in ("sh", "wget"))], "/bin")  # fmt: skip


def build_python(tag: str, owner: int) -> None:
    """Builds the stand-in for `python:…-slim`, or raises where that tag is taken.

    It holds what pip would fetch, too, since there may be no package index either: this environment's packages are
    where the service `lab` installs them, and belong to the user `owner`, as if that one had installed them.
    """
    programs = [_program(name) for name in ("sh", "stat", "chown", "setpriv")]
    base, environment = Path(sys.base_prefix), Path(sys.prefix)
    needed = _libraries([*programs, *base.rglob("*.so*"), *environment.rglob("*.so*")])
    files = [(f"bin/{path.name}", path) for path in programs] + [(str(path), path) for path in needed]
    files += [(str(base / name), base / name) for name in ("bin", "lib")]
    files += [(f"lab/venv/{name}", environment / name) for name in ("bin/nats-server", "etc", "lib", "share")]
    _build(tag, files, f"{base}/bin:/bin", owner)


def _program(name: str) -> Path:
    found = shutil.which(name, path="/usr/bin:/bin")
    if found is None:
        raise FileNotFoundError(
            f"The stand-in needs {name}: install {'busybox-static' if name == 'busybox' else name}."
        )
    return Path(found)


def _libraries(programs: list[Path]) -> set[Path]:
    """What the loader would load for them from outside of them, the loader included."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout  # complains of those not dynamic
    found = set(map(Path, re.findall(r"^\s(?:\S+ => )?(/\S+) \(", said, flags=re.MULTILINE)))
    return {path for path in found if not path.is_relative_to(sys.base_prefix) and not path.is_relative_to(sys.prefix)}


def _build(tag: str, files: Files, search: str, owner: int = 0) -> None:
    if subprocess.run(["docker", "image", "inspect", tag], capture_output=True).returncode == 0:
        raise FileExistsError(f"There is an image {tag} already; the stand-in does not overwrite it.")
    change = ["--change", f"ENV PATH={search}", "--change", f'LABEL natsdemo="{LABEL}"']
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as image:
            # Folders that nobody names would be the superuser's alone.
            folders = {str(parent) for place, _ in files for parent in Path("/", place).parents} | {"/lab", "/tmp"}
            for folder in sorted(folders):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755
                entry.uid = entry.gid = owner if folder.startswith("/lab/") else 0
                image.addfile(entry)
            for place, source in files:
                # Links of single files are followed: /bin and /lib may be links here, and are none there.
                path = source if source.is_dir() else source.resolve()
                image.add(path, place, filter=functools.partial(_slim, owner=owner))
        file.seek(0)
        subprocess.run(["docker", "import", *change, "-", tag], stdin=file, check=True)


def _slim(entry: tarfile.TarInfo, owner: int) -> tarfile.TarInfo | None:
    ours = entry.name.startswith("lab/")
    # A browser's driver; and beside this machine's Python its packages and its own tests.
    if re.search(r"/playwright/driver$" if ours else r"/lib/python[\d.]+/(test|site-packages)$", entry.name):
        return None
    entry.uid = entry.gid = owner if ours else 0
    return entry
