"""Somebody else's command in our place: with our terminal, its own exit code, and an end when it must not go on.

It runs in a process group of its own, so that all that it started can be ended with it. Where we have a terminal, the
command gets it, as a shell's job would: Ctrl-C and Ctrl-Z are its own.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import ClassVar

from drkeeper import _command_guard as guard
from drkeeper.errors import DrkeeperError

TICK_SECONDS = 0.25
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class CommandUnknown(DrkeeperError):
    """There is no such command; the code is a shell's."""

    exit_code: ClassVar[int] = 127


class CommandUnusable(DrkeeperError):
    """It is there, and cannot be run; the code is a shell's."""

    exit_code: ClassVar[int] = 126


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        exit_code: As a shell has it: 128 more than the signal's number where one ended it.
        overdue: We ended it, for its time was over.
    """

    exit_code: int
    overdue: bool


def run_command(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    deadline: Callable[[], float],
    grace_seconds: float,
) -> Ended:
    """Run a command until it ends, or its time is over; signals that ask us to end are passed on to it.

    When we are killed, or stopped past its time, a process beside it (`_command_guard`) ends it.

    Args:
        argv: Program and arguments.
        environment: Added to our own.
        deadline: The moment by `clock.monotonic_seconds` at which nothing of it may run any more, as far as is known
            now; asked several times a second.
        grace_seconds: So long before that it gets SIGTERM.

    Raises:
        CommandUnknown, CommandUnusable: It did not start.
    """
    if _in_foreground():
        # Ctrl-Z at the moment of a vfork stops the child, and us with it, and the shell never learns of either. To
        # turn vfork off is this attribute (documentation of subprocess, "Disable use of vfork").
        subprocess._USE_VFORK = False  # type: ignore[misc]  # noqa: SLF001
    with _passing_on() as known, _guarded(grace_seconds) as watch:
        process = _start(argv, environment)
        try:
            _tell(watch, process.pid, deadline())
            known(process.pid)
            with _terminal(process.pid):
                killed = _wait(process, watch, deadline)
            code = process.wait()
        except BaseException:
            _end(process, grace_seconds)
            raise
    return Ended(code if code >= 0 else 128 - code, overdue=killed or watch.returncode == guard.ENDED)


def _start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(list(argv), env={**os.environ, **environment}, process_group=0)
    except FileNotFoundError as error:
        raise CommandUnknown(f"{argv[0]}: no such command") from error
    except OSError as error:
        raise CommandUnusable(f"{argv[0]} cannot be run: {error.strerror}") from error


def _wait(process: subprocess.Popen[bytes], watch: subprocess.Popen[bytes], deadline: Callable[[], float]) -> bool:
    """Until the command has ended; the guard is told meanwhile how long it may go on.

    Where the guard itself was killed, we do the last of what it would have done; True then.
    """
    ended, killed = os.pidfd_open(process.pid), False
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        while not poll.poll(TICK_SECONDS * 1000):
            until = deadline()
            _tell(watch, process.pid, until)
            if until <= guard.now():
                killed = True
                os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the group is there
    finally:
        os.close(ended)
    return killed


def _tell(watch: subprocess.Popen[bytes], group: int, deadline: float) -> None:
    assert watch.stdin is not None  # noqa: S101 - a pipe
    with suppress(BrokenPipeError):  # it is at work: it ends the command; or somebody ended it
        watch.stdin.write(guard.WORD.pack(group, deadline))


@contextmanager
def _guarded(grace_seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """The process beside the command; it has ended, and says what it did, when the block is left."""
    argv = [sys.executable, "-I", "-S", str(Path(guard.__file__)), repr(grace_seconds)]
    watch: subprocess.Popen[bytes] = subprocess.Popen(
        argv,
        bufsize=0,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert watch.stdin is not None  # noqa: S101 - asked for with PIPE
    try:
        yield watch
        with suppress(BrokenPipeError):
            watch.stdin.write(guard.OVER)
    finally:
        watch.stdin.close()  # without that word: the command is ended
        watch.wait()


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _passing_on() -> Iterator[Callable[[int], None]]:
    """Signals go to the process group that is told; those that come before that, as soon as it is."""
    groups: list[int] = []
    waiting: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        waiting.append(number)
        for group in groups:
            known(group)

    def known(group: int) -> None:
        groups[:] = [group]
        while waiting:
            with suppress(ProcessLookupError):
                os.killpg(group, waiting.pop(0))

    previous = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield known
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _terminal(group: int) -> Iterator[None]:
    """The command has our terminal; when Ctrl-Z stops it, we stop too, so that the shell gets the terminal back."""
    if not _in_foreground():
        yield
        return

    def follow(_number: int, _frame: FrameType | None) -> None:
        with suppress(ChildProcessError):  # it has ended, and was waited for
            stopped = os.waitid(os.P_PID, group, os.WSTOPPED | os.WNOHANG)
            if stopped is None:
                return
            if stopped.si_status != signal.SIGTTIN or not _in_foreground():  # else it read before it had the terminal
                os.tcsetpgrp(0, os.getpgrp())
                os.kill(os.getpid(), signal.SIGSTOP)
            _hand_over(group)

    previous = {signal.SIGTTOU: signal.signal(signal.SIGTTOU, signal.SIG_IGN)}  # who gives a terminal away may take it
    previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, follow)
    try:
        _hand_over(group)
        yield
    finally:
        signal.signal(signal.SIGCHLD, previous[signal.SIGCHLD])
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, previous[signal.SIGTTOU])


def _in_foreground() -> bool:
    return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()


def _hand_over(group: int) -> None:
    """Where we have the terminal (continued in the background, we have not). It may have asked for it before."""
    if _in_foreground():
        with suppress(PermissionError):  # the group is gone
            os.tcsetpgrp(0, group)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGCONT)
