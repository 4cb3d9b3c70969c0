"""Starts a process that never outlives us, whatever ends us, and a directory that goes with it.

A guard waits for end-of-file on a pipe that only we hold. It costs a millisecond, being a shell.
"""

import contextlib
import os
import subprocess
import weakref
from pathlib import Path
from typing import IO, Literal

# Becomes the process itself (`exec`), after leaving a guard behind. The guard is a grandchild, so that it is
# in nobody's process tree when ipykernel ends all children of a kernel. On its pipe, "gone" says that the
# server has ended (its process id may be somebody else's by now), "bye" that nothing is left to guard.
_GUARDED = r"""
exec 3<&0
trap '' INT TERM HUP
( ( server=$$
    while read -r word <&3; do
      case $word in gone) server= ;; bye) exit ;; esac
    done
    [ -z "$server" ] || kill -9 "$server"
    rm -rf "$0" || { sleep 0.2; rm -rf "$0"; }
  ) >/dev/null 2>&1 & )
trap - INT TERM HUP
exec "$@" </dev/null 3<&-
"""

_pipes: "weakref.WeakSet[IO[bytes]]" = weakref.WeakSet()


def _close_pipes() -> None:
    for pipe in _pipes:
        pipe.close()


# A forked child would hold the guards' pipes open past our death.
os.register_at_fork(after_in_child=_close_pipes)


def start(command: list[str], directory: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output in `log`; when we end, so do it and `directory`."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GUARDED, str(directory), *command],
        bufsize=0, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    assert process.stdin
    _pipes.add(process.stdin)
    return process


def tell(process: subprocess.Popen[bytes] | None, word: Literal["gone", "bye"]) -> None:
    """Tell the guard that its server has ended, or that nothing is left to guard."""
    pipe = process.stdin if process else None
    if pipe is None or pipe.closed:
        return
    with contextlib.suppress(BrokenPipeError):
        pipe.write(f"{word}\n".encode())
    if word == "bye":
        pipe.close()
