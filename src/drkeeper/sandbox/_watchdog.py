"""Ends a server when the process that started it is gone, even by kill -9.

A program of its own, run by its path; `_files.guarded` starts it. Its stdin is a pipe whose other end the starter alone
has open: a byte means that the guard is over, an end without one that the starter is dead.

`PR_SET_PDEATHSIG` would not do: it strikes when the *thread* that forked ends (drills start servers from pool threads),
and is lost when the child changes its user (PostgreSQL as root).
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05


def main(process_id: int, sign: int, leftover: str) -> None:
    """Wait for word, or for the starter's end."""
    born = born_at(process_id)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # these are for the starter; what becomes of it, the pipe tells
    if os.read(sys.stdin.fileno(), 1):
        return
    if born:
        end(process_id, born, sign)
    if leftover:
        shutil.rmtree(leftover, ignore_errors=True)


def end(process_id: int, born: str, sign: int) -> None:
    """Ask the server to end; after a while kill it, with its process group."""
    if born_at(process_id) == born:
        with suppress(OSError):
            os.kill(process_id, sign)
    deadline = time.monotonic() + GRACE_SECONDS
    while born_at(process_id) == born and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if born_at(process_id) == born:
        with suppress(OSError):
            os.killpg(process_id, signal.SIGKILL)


def born_at(process_id: int) -> str:
    """What tells a process from a later one of its number (proc_pid_stat(5), field 22); "" when it is gone."""
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
