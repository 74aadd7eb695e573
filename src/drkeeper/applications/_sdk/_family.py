"""A process and all that came of it: how much memory they take, and their end. Linux (`/proc`).

A model may start workers, and those may leave the process group (daemons do). What descends from the first process is
followed while it runs; at the end everything is looked for that is in its session or carries its mark in the
environment, which children inherit.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from drkeeper import clock

MARK = "DRKEEPER_TASK"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
END_SECONDS = 5.0
END_POLL_SECONDS = 0.01
_SESSION, _STATE = 3, 0  # places after the name, proc_pid_stat(5)


class Family:
    """Of one task.

    Args:
        mark: Value of `MARK` in the first process's environment.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._first = 0
        self._known: set[int] = set()

    def begins_with(self, process_id: int) -> None:
        """The first process, which leads a session of its own."""
        self._first = process_id
        self._known = {process_id}

    def memory_bytes(self) -> int:
        """Resident memory of all of them.

        Pages that several share (after a fork) are counted once, at the price of a closer look where there are
        several processes.
        """
        self._known = {process for process in self._descendants() if _state(process) not in {"", "Z"}}
        measure = _proportional_bytes if len(self._known) > 1 else _resident_bytes
        return sum(measure(process) for process in self._known)

    def end(self) -> None:
        """Kill all of them, and wait until they are gone. The first one is left to whoever started it to be reaped."""
        with suppress(ProcessLookupError):
            os.killpg(self._first, signal.SIGKILL)
        deadline = clock.monotonic_seconds() + END_SECONDS
        while (left := list(self._alive())) and clock.monotonic_seconds() < deadline:
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            clock.sleep(END_POLL_SECONDS)

    def _descendants(self) -> set[int]:
        found: set[int] = set()
        fresh = set(self._known)
        while fresh:
            found |= fresh
            fresh = {child for process in fresh for child in _children(process)} - found
        return found

    def _alive(self) -> Iterator[int]:
        mark = f"{MARK}={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            fields = _stat(int(entry.name))
            if not fields or fields[_STATE] == "Z":
                continue
            if fields[_SESSION] == str(self._first) or mark in _environment(entry).split(b"\0"):
                yield int(entry.name)


def _stat(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _state(process: int) -> str:
    fields = _stat(process)
    return fields[_STATE] if fields else ""


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:  # of somebody else, or gone
        return b""


def _children(process: int) -> Iterator[int]:
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            yield from map(int, thread.read_text().split())


def _resident_bytes(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def _proportional_bytes(process: int) -> int:
    """Shared pages by the share of each process (`Pss`); where the kernel does not tell it, all that is resident."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _resident_bytes(process)
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
