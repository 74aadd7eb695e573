"""A git program at the other end of two pipes: over ssh, or beside us for a repository in a folder.

dulwich speaks the protocol; its own vendor for ssh waits for ever for a peer that is mute. Here every read and write
has a time-out, the whole exchange too, and what the program says on stderr is kept for the error's message.
"""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dulwich.client import TraditionalGitClient
from dulwich.protocol import Protocol

from drkeeper import clock
from drkeeper.errors import ToolMissing
from drkeeper.systems._kubernetes.git_address import Address
from drkeeper.systems._kubernetes.options import GitOptions

# An exchange in which something arrives again and again may take this many times the time-out.
WHOLE = 10
_SAID_BYTES = 4096
_BLOCK_BYTES = 64 << 10
_END_SECONDS = 5.0
# A hook of git's that runs us would point our git program to its own repository.
_NOT_INHERITED = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"})


class ProcessClient(TraditionalGitClient):  # type: ignore[misc]  # dulwich is not typed for us
    """dulwich's client over our pipes.

    Args:
        address: A local path, or a place that ssh reaches.
        options: Keys, known hosts, time-out.
    """

    def __init__(self, address: Address, options: GitOptions) -> None:
        super().__init__(thin_packs=False)
        self._address = address
        self._options = options
        self._opened: list[Protocol] = []

    def close(self) -> None:
        """End what still runs: dulwich leaves a connection open when its very first answer is an error."""
        while self._opened:
            self._opened.pop().close()

    @staticmethod
    def _warn_filter_objects() -> None:
        """Most servers offer no filter; then the files come along, and are passed over."""

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], "_Said"]:
        name = path.decode() if isinstance(path, bytes) else path
        version = 0 if cmd == b"receive-pack" else 2
        if self._address.how == "local":
            argv = ["git", cmd.decode(), name]
        else:
            argv = ssh_argv(self._address, self._options, f"git-{cmd.decode()} {_quoted(name)}", version)
        exchange = _Exchange(argv, {"GIT_PROTOCOL": f"version={version}"}, self._options.timeout_seconds)
        self._opened.append(Protocol(exchange.read, exchange.write, exchange.close))
        return self._opened[-1], exchange.can_read, _Said(exchange)


def ssh_argv(address: Address, options: GitOptions, command: str, version: int) -> list[str]:
    """The ssh program and its arguments: it asks nothing, trusts known hosts only, and gives up in time."""
    argv = ["ssh", "-x", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    argv += ["-o", f"ConnectTimeout={options.timeout_seconds}", "-o", "ServerAliveInterval=15"]
    argv += ["-o", f"SetEnv GIT_PROTOCOL=version={version}"] if version else []
    if options.known_hosts is not None:
        argv += ["-o", f'UserKnownHostsFile="{options.known_hosts}"', "-o", "GlobalKnownHostsFile=/dev/null"]
    if options.ssh_key is not None:
        argv += ["-o", "IdentitiesOnly=yes", "-i", str(options.ssh_key)]
    if address.port:
        argv += ["-p", str(address.port)]
    return [*argv, "--", f"{address.user}@{address.host}" if address.user else address.host, command]


def _quoted(path: str) -> str:
    """For the login shell at the other end, in git's own way; `/~/x` is the home folder of the user there."""
    path = path[1:] if path.startswith("/~") else path
    return "'" + path.replace("'", "'\\''") + "'"


class _Exchange:
    """One run of a program; the read and write that dulwich wants, with time-outs."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], timeout_seconds: int) -> None:
        self.name = Path(argv[0]).name
        self.said = bytearray()
        self._timeout_seconds = timeout_seconds
        self._ends = clock.monotonic_seconds() + WHOLE * timeout_seconds
        self._ready = bytearray()
        self._stalled = False
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        try:
            self._process = subprocess.Popen(
                list(argv),
                env={**inherited, "LC_ALL": "C", **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=0,
            )
        except FileNotFoundError as error:
            hint = f"install {self.name}, or use an https:// remote, which needs no program"
            raise ToolMissing(f"{self.name} is not installed, or not on the PATH", hint=hint) from error
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._in, self._out, self._err = (pipe.fileno() if pipe else -1 for pipe in pipes)
        os.set_blocking(self._in, False)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._poll.register(self._err, select.POLLIN)

    def read(self, size: int) -> bytes:
        """So many bytes, fewer at the end only.

        Raises:
            TimeoutError: Nothing came for too long.
        """
        while len(self._ready) < size and self._fill():
            pass
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def can_read(self) -> bool:
        """Whether a read would not wait."""
        return bool(self._ready) or bool(select.select([self._out], [], [], 0)[0])

    def write(self, data: bytes) -> int:
        """All of it.

        Raises:
            TimeoutError: It took nothing for too long.
        """
        view = memoryview(data)
        self._poll.register(self._in, select.POLLOUT)
        try:
            while view:
                if self._in in self._wait():
                    view = view[os.write(self._in, view) :]
        finally:
            self._poll.unregister(self._in)
        return len(data)

    def _fill(self) -> bool:
        """Wait for output; false at its end."""
        while True:
            if self._out not in self._wait(outputs_only=True):
                continue
            block = os.read(self._out, _BLOCK_BYTES)
            self._ready += block
            return bool(block)

    def _wait(self, *, outputs_only: bool = False) -> set[int]:
        """Descriptors that are ready; what stderr has is taken on the way."""
        left = min(self._timeout_seconds, self._ends - clock.monotonic_seconds())
        ready = {descriptor for descriptor, _ in self._poll.poll(max(0, left) * 1000)}
        if not ready:
            self._stalled = True
            raise TimeoutError(f"{self.name} gave no answer within {self._timeout_seconds} s and was ended")
        if self._err in ready:
            block = os.read(self._err, _BLOCK_BYTES)
            if not block:
                self._poll.unregister(self._err)
            self.said = (self.said + block)[-_SAID_BYTES:]
        if not outputs_only and self._out in ready and self._in not in ready:
            # The program answers before it has read everything: an error. Keep it for the reader.
            block = os.read(self._out, _BLOCK_BYTES)
            self._ready += block
            if not block:
                raise BrokenPipeError(f"{self.name} ended")
        return ready

    def rest_of_stderr(self) -> list[bytes]:
        """What it said, after its end (or what it said within a moment)."""
        os.set_blocking(self._err, False)
        ends = clock.monotonic_seconds() + _END_SECONDS
        while clock.monotonic_seconds() < ends and select.select([self._err], [], [], _END_SECONDS)[0]:
            block = os.read(self._err, _BLOCK_BYTES)
            if not block:
                break
            self.said = (self.said + block)[-_SAID_BYTES:]
        return bytes(self.said).splitlines(keepends=True)

    def close(self) -> None:
        """End the program, kindly first."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        for sign in (signal.SIGTERM if self._stalled else None, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                if sign is not None:
                    os.killpg(self._process.pid, sign)
                self._process.wait(_END_SECONDS)
                break
        if self._process.stderr is not None:
            self._process.stderr.close()


class _Said:
    """Where dulwich looks for the reason when the peer hangs up."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def readlines(self) -> list[bytes]:
        return self._exchange.rest_of_stderr()
