"""Sub-processes that feed or drink streams: argv lists, time-outs, and an exit code that is looked at.

The bytes of a process count only once it has exited with 0; so the last block is held back until then.
"""

import fcntl
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from drkeeper import clock
from drkeeper.errors import CaptureFailed, ToolMissing

# pg_dump writes 4 KiB at a time. Who wakes up for each of those costs itself and the writer more than the work; so the
# pipe is made large, and when it runs dry it is left to fill for a moment (1 MiB takes 5 ms at 200 MB/s).
PIPE_BYTES = 1 << 20
PAUSE_SECONDS = 0.002
# A dump that gives no byte for so long waits for a server that has stopped; its locks have time-outs of their own.
STALL_SECONDS = 900.0
STDERR_KEPT_BYTES = 4096


def read_output(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    block_bytes: int | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> Iterator[bytes]:
    """Run a program and give out its standard output in blocks.

    The last block is given out only after the program has exited with 0. Closing the iterator early ends the
    program.

    Args:
        argv: Program and arguments; never a secret among them.
        env: Added to our own environment.
        block_bytes: Upper bound of one block; None: as the reader's pace has it.
        stall_seconds: How long it may give out nothing while we wait for it.

    Raises:
        ToolMissing: The program is not installed.
        CaptureFailed: It stalled, exited with another code, or by a signal; the message carries the end of its stderr.
    """
    with begun_output(argv, env=env, block_bytes=block_bytes, stall_seconds=stall_seconds) as blocks:
        yield from blocks


@contextmanager
def begun_output(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    block_bytes: int | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> Iterator[Iterator[bytes]]:
    """The blocks of `read_output`, of a program that starts now and not when the first one is asked for.

    Closing the blocks ends the program, as leaving the context does.
    """
    with running(argv, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - asked for with PIPE
        _enlarge(process.stdout)
        yield _blocks(process, argv, block_bytes, stall_seconds)


def _blocks(
    process: subprocess.Popen[bytes], argv: Sequence[str], block_bytes: int | None, stall_seconds: float
) -> Iterator[bytes]:
    held = b""
    pace = Pace()
    try:
        while block := _read_block(process, argv, block_bytes or pace.block_bytes, stall_seconds):
            if held:
                given_at = clock.monotonic_seconds()
                yield held
                pace.took(len(held), clock.monotonic_seconds() - given_at)
            held = block
        check_exit(process, argv)
        if held:
            yield held
    finally:
        _end(process)


def _enlarge(pipe: IO[bytes]) -> None:
    with suppress(OSError):  # above the user's limit: then it stays as it is
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _read_block(process: subprocess.Popen[bytes], argv: Sequence[str], block_bytes: int, stall_seconds: float) -> bytes:
    """Up to `block_bytes`, filled as far as the program goes on writing; b"" at its end."""
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    pipe = process.stdout.fileno()
    ready = select.poll()
    ready.register(pipe, select.POLLIN)
    parts: list[bytes] = []
    missing = block_bytes
    while missing:
        if not ready.poll(stall_seconds * 1000):
            raise CaptureFailed(
                f"{Path(argv[0]).name} gave nothing for {stall_seconds:.0f} s and was ended",
                hint="look at the server's activity and locks, then run again",
            )
        part = os.read(pipe, missing)
        if not part:
            break
        parts.append(part)
        if len(part) < missing:
            clock.sleep(PAUSE_SECONDS)
        missing -= len(part)
    return b"".join(parts)


def check_exit(process: subprocess.Popen[bytes], argv: Sequence[str]) -> None:
    """Wait for the program's end.

    Raises:
        CaptureFailed: It exited with another code than 0, or by a signal.
    """
    code = process.wait()
    if code != 0:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        raise CaptureFailed(f"{Path(argv[0]).name} {how}: {stderr_tail(process)}")


def stderr_tail(process: subprocess.Popen[bytes]) -> str:
    """The last lines that the program wrote to stderr."""
    spool: IO[bytes] = process.stderr_spool  # type: ignore[attr-defined]
    size = spool.seek(0, os.SEEK_END)
    spool.seek(max(0, size - STDERR_KEPT_BYTES))
    return spool.read().decode(errors="replace").strip() or "it said nothing"


class Pace:
    """How large a block should be: what its taker takes in 2 ms, at the pace seen so far.

    A taker with a bandwidth cap gets small blocks, and so makes the server work in short bursts that nobody notices.
    For one without, blocks of 32 KiB cost a sixth of the CPU time of storing a stream; larger ones than the most
    gain nothing more.
    """

    SECONDS = 0.002
    LEAST_BYTES = 32 << 10
    MOST_BYTES = 256 << 10

    def __init__(self) -> None:
        self._size_bytes = 0
        self._seconds = 0.0

    @property
    def block_bytes(self) -> int:
        """A multiple of the least."""
        if self._size_bytes * self.SECONDS >= self._seconds * self.MOST_BYTES:
            return self.MOST_BYTES if self._size_bytes else self.LEAST_BYTES
        fitting = int(self.SECONDS * self._size_bytes / self._seconds)
        return max(self.LEAST_BYTES, fitting // self.LEAST_BYTES * self.LEAST_BYTES)

    def took(self, size_bytes: int, seconds: float) -> None:
        """The taker came back for more after so long."""
        self._size_bytes += size_bytes
        self._seconds += seconds


@contextmanager
def running(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    inherit: bool = True,
    shown: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended, with its whole process group, when the block is left before its own end.

    Its stderr goes to an unnamed temporary file (a full pipe cannot block it); `stderr_tail` reads that.
    `inherit`: whether `env` is added to our own environment, or is all of it. `shown`: its stderr is ours instead.
    """
    import tempfile

    with tempfile.TemporaryFile() as spool:
        try:
            process = subprocess.Popen(
                list(argv),
                env={**(os.environ if inherit else {}), **(env or {})},
                stdin=stdin,
                stdout=stdout,
                stderr=None if shown else spool,
                process_group=0,
            )
        except FileNotFoundError as error:
            raise ToolMissing(f"{argv[0]} is not installed, or not on the PATH") from error
        process.stderr_spool = spool  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if process.poll() is None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(timeout=5)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
            break
    process.wait()


def end_children(thread_id: int | None = None) -> None:
    """End the process groups of all our direct sub-processes, so that threads waiting for them wake up.

    For the way out after a signal; their contexts clean up the rest. Linux (`/proc`).

    Args:
        thread_id: Only of those that this thread has started, by its native id.
    """
    for children in Path("/proc/self/task").glob(f"{thread_id or '*'}/children"):
        started: list[str] = []
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended since it was listed
            started = children.read_text().split()
        for child in started:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(child), signal.SIGTERM)
