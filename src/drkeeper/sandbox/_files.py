"""What sandbox servers share: a free port, and the end of a process with everything that it started."""

import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from drkeeper.clock import monotonic_seconds, sleep

POLL_SECONDS = 0.01


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now; somebody else may take it before you do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], seconds: float, *, sign: signal.Signals = signal.SIGTERM) -> None:
    """End a process in order, and by force, with its children, where it has not gone after so many seconds."""
    if process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_tree(process)


def kill_tree(process: subprocess.Popen[bytes], *, seconds: float = 10) -> None:
    """Kill -9 a process and all its descendants, and wait until none of them runs.

    The process is stopped before its children are listed, so that it cannot start another meanwhile. Children
    in sessions of their own (PostgreSQL's) are found too, on systems that have /proc.
    """
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGSTOP)
    victims = descendants(process.pid)
    for process_id in (process.pid, *victims):
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    process.wait(timeout=seconds)
    deadline = monotonic_seconds() + seconds
    while any(_runs(process_id) for process_id in victims) and monotonic_seconds() < deadline:
        sleep(POLL_SECONDS)


def descendants(process_id: int) -> list[int]:
    """Process ids of children, grandchildren and so on, as /proc shows them now."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(parents.get(process_id, []))
    for child in found:
        found.extend(parents.get(child, []))
    return found


def _runs(process_id: int) -> bool:
    fields = _stat(process_id)
    return bool(fields) and fields[0] != "Z"


def _stat(process_id: int) -> list[str]:
    """State, parent and so on of a process (proc_pid_stat(5), after the name in brackets); [] where it is gone."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
