"""`natsdemo binder-link`: the lessons in a browser and nothing else, from wherever this clone's `origin` lives."""

import ipaddress
import re
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

from . import UserError
from .notebooks import notebooks_dir

BINDER = "https://mybinder.org"
# Names that only a network of one's own can resolve.
PRIVATE = (".internal", ".lan", ".local", ".localhost")


def binder_link() -> None:
    """Print the address of the lessons in Binder, and a badge.

    Both are made for the git remote `origin`, which must be public, since Binder fetches it from there.
    """
    folder = notebooks_dir()
    link = link_to(_origin(folder.parent), f"{folder.name}/{min(folder.glob('*.ipynb')).name}")
    print(link, f"[![Binder]({BINDER}/badge_logo.svg)]({link})", sep="\n")


def link_to(remote: str, page: str) -> str:
    """Return the address at mybinder.org that opens a page of a repository in JupyterLab.

    `remote` is an address as git knows it, of which a password is not passed on; `page` is a path in the repository.
    Raises UserError for one that mybinder.org cannot reach.

    Source: BinderHub's documentation, "Types of repositories" (gh, gl and git) and `urlpath`.
    """
    short = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):(?!//)/?(.+)", remote)  # git@host:path
    address = urlsplit(f"ssh://{short[1]}/{short[2]}" if short else remote)
    host, path = address.hostname or "", address.path.strip("/").removesuffix(".git")
    if not _is_public(host) or not path:
        raise UserError(
            f"Binder cannot fetch {address.hostname or remote}: "
            "push this clone to a public host, and name that as the remote `origin`."
        )
    if host == "github.com":
        repository = f"gh/{path}"
    elif host == "gitlab.com":
        repository = f"gl/{quote(path, safe='')}"
    else:  # whoever offers ssh offers https, which needs no key
        web = address if address.scheme in ("http", "https") else urlsplit(f"https://{host}{address.path}")
        place = f"{web.scheme}://{web.netloc.rpartition('@')[2]}{web.path}"
        repository = f"git/{quote(place, safe='')}"
    return f"{BINDER}/v2/{repository}/HEAD?urlpath=lab/tree/{quote(page)}"


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(PRIVATE)


def _origin(clone: Path) -> str:
    command = ["git", "-C", str(clone), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise UserError(
            "This clone has no git remote `origin`, from which Binder could fetch it: "
            "push it to a public host, and name that as `origin`."
        ) from None
