"""A small platform on real servers, its policy, and `drkeeper` as its operator runs it: in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pyrage
import pytest
import redis

import warm
from drkeeper.policy import load_policy
from drkeeper.sandbox import SandboxServer, start_sandbox

ROWS = 20_000
KEYS = 3_000


@dataclass
class Platform:
    """Two servers, a folder for a vault of two regions, and the command line."""

    folder: Path
    postgres: SandboxServer
    valkey: SandboxServer
    identity: str
    recipient: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def policy_file(self):
        return self.folder / "drkeeper.yaml"

    def write_policy(self, *, rto="1h", rpo="24h", lease="30s", encrypted=True, postgres_port=None, more=""):
        encryption = (
            f"  encryption:\n    recipients: [{self.recipient}]\n    identity: ${{env:AGE_IDENTITY}}\n"
            if encrypted
            else ""
        )
        self.environment = {
            "DB_PASSWORD": str(self.postgres.options["password"]),
            "REDIS_PASSWORD": str(self.valkey.options["password"]),
            "AGE_IDENTITY": self.identity,
        }
        self.policy_file.write_text(f"""\
version: 1
name: spine
systems:
  online-store:
    kind: redis
    host: 127.0.0.1
    port: {self.valkey.options["port"]}
    password: ${{env:REDIS_PASSWORD}}
    scratch: {self.folder}
  mlflow-db:
    kind: postgres
    host: 127.0.0.1
    port: {postgres_port or self.postgres.options["port"]}
    user: postgres
    password: ${{env:DB_PASSWORD}}
    databases: [shop]
    scratch: {self.folder}
applications:
  shop: {{order: [mlflow-db, online-store]}}
vault:
  lease: {lease}
  regions:
    here: {{url: {self.folder}/vault/here}}
    there: {{url: {self.folder}/vault/there}}
{encryption}objectives: {{rto: {rto}, rpo: {rpo}}}
retention: {{keep_last: 3, keep_daily: 7}}
sandbox: {{folder: {self.folder}/sandbox}}
{more}""")
        return self.policy_file

    def policy(self):
        return load_policy(self.policy_file, {**os.environ, **self.environment})

    def command(self, *words):
        return [sys.executable, "-m", "drkeeper", "--policy", str(self.policy_file), *words]

    def start(self, *words, **more):
        return subprocess.Popen(
            self.command(*words), env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, **more
        )

    def run(self, *words, code=0, timeout=120):
        """Run a command to its end; its exit code must be `code`."""
        words = ("--policy", self.policy_file, *words)
        done = warm.run(words, env={**os.environ, **self.environment}, timeout=timeout)
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words, code=0):
        return json.loads(self.run(*words, "-o", "json", code=code).stdout)

    # --- the data that are protected ---

    def connect(self, database="shop"):
        options = self.postgres.options
        return psycopg.connect(
            host="127.0.0.1",
            port=options["port"],
            user="postgres",
            password=options["password"],
            dbname=database,
            autocommit=True,
        )

    def cache(self):
        return redis.Redis(host="127.0.0.1", port=self.valkey.options["port"], password=self.valkey.options["password"])

    def fill(self, seed=1, rows=ROWS):
        """A database and hashes, anew."""
        with self.connect("postgres") as admin:
            admin.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
            admin.execute("CREATE DATABASE shop")
        with self.connect() as shop:
            shop.execute("CREATE TABLE sale (id bigserial PRIMARY KEY, note text NOT NULL)")
            shop.execute(f"INSERT INTO sale (note) SELECT md5((n * {seed})::text) FROM generate_series(1, {rows}) n")
            shop.execute("CREATE INDEX ON sale (note)")
        cache = self.cache()
        cache.flushall()
        pipe = cache.pipeline(transaction=False)
        for number in range(KEYS):
            pipe.hset(f"customer:{number}", mapping={"spent": number * seed, "name": f"n{number}"})
        pipe.execute()

    def contents(self):
        """Digest of all that is protected, heartbeats left out."""
        with self.connect() as shop:
            rows = shop.execute("SELECT count(*), md5(string_agg(id || note, ',' ORDER BY id)) FROM sale").fetchone()
        cache = self.cache()
        keys = sorted(key for key in cache.scan_iter(count=1000) if not key.startswith(b"drkeeper:"))
        pipe = cache.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        return rows, list(zip(keys, pipe.execute(), strict=True))

    def destroy(self):
        """What a disaster leaves: servers without data."""
        with self.connect("postgres") as admin:
            admin.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        self.cache().flushall()


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    postgres = start_sandbox("postgres", folder / "postgres")
    valkey = start_sandbox("redis", folder / "valkey")
    yield postgres, valkey
    postgres.stop()
    valkey.stop()


@pytest.fixture
def platform(tmp_path, servers):
    """Filled servers, and an encrypted vault of two regions."""
    identity = pyrage.x25519.Identity.generate()
    platform = Platform(tmp_path, *servers, identity=str(identity), recipient=str(identity.to_public()))
    platform.write_policy()
    platform.fill()
    platform.run("init")
    return platform
