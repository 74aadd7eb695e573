"""What sandbox servers share: a free port, and the end of a process with everything that it started."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drkeeper.clock import monotonic_seconds, sleep

POLL_SECONDS = 0.01
WATCHDOG = Path(__file__).with_name("_watchdog.py")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now; somebody else may take it before you do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Guard:
    """A small process beside a server; made by `guarded`. Whoever loses it loses the server."""

    _watchdog: subprocess.Popen[bytes]

    def let_go(self) -> None:
        """The server has ended, or may outlive us; letting go twice is fine."""
        pipe = self._watchdog.stdin
        if pipe is None or pipe.closed:
            return
        with suppress(BrokenPipeError):
            pipe.write(b".")
        pipe.close()
        self._watchdog.wait()


def guarded(
    process: subprocess.Popen[bytes], *, sign: signal.Signals = signal.SIGKILL, leftover: Path | None = None
) -> Guard:
    """Have a server end when this process does, however it does: by kill -9 too. See `_watchdog`.

    Args:
        process: The server, leader of its process group, just started.
        sign: What ends it at once, with its children; five seconds later the group is killed.
        leftover: A folder to remove then.
    """
    argv = [sys.executable, "-I", "-S", str(WATCHDOG), str(process.pid), str(int(sign)), str(leftover or "")]
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    watchdog: subprocess.Popen[bytes] = subprocess.Popen(
        argv,
        bufsize=0,
        cwd="/",
        env=kept,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Guard(watchdog)


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
