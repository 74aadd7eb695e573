"""The candidates: drkeeper by its command line, and the stock tools as their manuals have them."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measure import Usage, shell, timed, tree_bytes
from servers import DATABASE, Endpoint

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Keeper:
    """drkeeper with one policy, whose vault lies in `folder`."""

    folder: Path
    policy: Path
    env: Mapping[str, str]

    def run(self, *words: str, cpu: int | None = None) -> Usage:
        before = tree_bytes(self.folder / "vault")
        usage = timed([sys.executable, "-m", "drkeeper", "--policy", str(self.policy), *words], env=self.env, cpu=cpu)
        return replace(usage, stored_bytes=tree_bytes(self.folder / "vault") - before)

    def forget_all(self) -> None:
        """An empty vault again."""
        shutil.rmtree(self.folder / "vault", ignore_errors=True)
        self.run("init")

    def aimed_at(self, systems: Mapping[str, Endpoint]) -> "Keeper":
        """The same vault, with other endpoints under the same names."""
        return keeper(self.folder, systems, name="elsewhere")


def keeper(
    folder: Path,
    systems: Mapping[str, Endpoint],
    *,
    name: str = "drkeeper",
    rates: Mapping[str, str] | None = None,
    recipient: str = "",
) -> Keeper:
    """Write a policy for systems named `postgres` and/or `redis`."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = {system: f"BENCH_{system.upper()}_PASSWORD" for system in systems}
    document: dict[str, Any] = {
        "version": 1,
        "name": "bench",
        "systems": {
            system: {
                "kind": system,
                **{key: endpoint[key] for key in ("host", "port", "user") if key in endpoint},
                "password": f"${{env:{variables[system]}}}",
                **({"databases": [DATABASE]} if system == "postgres" else {}),
                **({"rate": rates[system]} if rates else {}),
            }
            for system, endpoint in systems.items()
        },
        "vault": {
            "regions": {"here": {"url": str(folder / "vault")}},
            **({"encryption": {"recipients": [recipient]}} if recipient else {}),
        },
    }
    policy = folder / f"{name}.yaml"
    policy.write_text(json.dumps(document, indent=1))  # JSON is YAML
    env = {variables[system]: str(endpoint["password"]) for system, endpoint in systems.items()}
    return Keeper(folder, policy, env)


@dataclass(frozen=True)
class Stock:
    """PostgreSQL's own programs, zstd and restic, against one server."""

    endpoint: Endpoint
    bin_folder: Path
    work: Path

    @property
    def env(self) -> dict[str, str]:
        secret = self.work / "restic-password"
        secret.write_text("bench")
        return {
            "PGHOST": str(self.endpoint["host"]),
            "PGPORT": str(self.endpoint["port"]),
            "PGUSER": str(self.endpoint["user"]),
            "PGPASSWORD": str(self.endpoint["password"]),
            "RESTIC_REPOSITORY": str(self.work / "restic"),
            "RESTIC_PASSWORD_FILE": str(secret),
            "RESTIC_CACHE_DIR": str(self.work / "restic-cache"),
        }

    def dump(self, words: str, then: str, *, out: Path | None = None) -> Usage:
        """`pg_dump -Fc WORDS mlflow THEN`; `out` is measured and removed."""
        usage = shell(f"{self.bin_folder}/pg_dump -Fc {words} {DATABASE} {then}", env=self.env)
        if out is None:
            return usage
        stored = out.stat().st_size
        out.unlink()
        return replace(usage, stored_bytes=stored)

    def restic_forget_all(self) -> None:
        for name in ("restic", "restic-cache"):
            shutil.rmtree(self.work / name, ignore_errors=True)
        timed(["restic", "init"], env=self.env)

    def restic(self) -> Usage:
        before = tree_bytes(self.work / "restic")
        usage = self.dump("-Z0", "| restic backup --quiet --stdin --stdin-filename mlflow.dump")
        return replace(usage, stored_bytes=tree_bytes(self.work / "restic") - before)

    def restore(self, dump: Path) -> Usage:
        return timed([f"{self.bin_folder}/pg_restore", "-j2", "-d", DATABASE, str(dump)], env=self.env)


def per_key(action: str, endpoint: Endpoint, file: Path) -> Usage:
    usage = timed(
        [sys.executable, str(HERE / "per_key.py"), action, str(file)], env={"BENCH_REDIS": json.dumps(endpoint)}
    )
    return replace(usage, stored_bytes=file.stat().st_size) if action == "dump" else usage


def redis_cli_rdb(endpoint: Endpoint, file: Path) -> Usage:
    words = ["redis-cli", "-h", str(endpoint["host"]), "-p", str(endpoint["port"]), "--rdb", str(file)]
    usage = timed(words, env={"REDISCLI_AUTH": str(endpoint["password"])})
    return replace(usage, stored_bytes=file.stat().st_size)
