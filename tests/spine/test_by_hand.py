"""A point made with encryption, restored by hand: the runbook that it carries, and stock tools only."""

import os
import shutil
import subprocess

import psycopg
import pytest
import redis

from drkeeper.sandbox import postgres
from drkeeper.sandbox import redis as valkey
from test_docs import code_blocks

STOCK = ("age", "zstd")


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in STOCK), reason=f"needs {' and '.join(STOCK)} (Debian: apt-get install)"
)
def test_an_encrypted_point_is_restored_with_age_zstd_psql_and_pg_restore_alone(platform, tmp_path):
    rows, keys = platform.contents()
    point = platform.json("backup")
    runbook = platform.folder / "vault/there/runbooks" / f"{point['point_id']}.md"
    identity = tmp_path / "identity.txt"
    identity.write_text(platform.identity + "\n")
    work = tmp_path / "by-hand"
    work.mkdir()
    fresh = postgres.start(tmp_path / "fresh")
    try:
        script = "\n".join(code_blocks(runbook, "sh"))
        assert "drkeeper" not in script.replace("drkeeper-identity", ""), "the page must not need drkeeper"
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=work,
            env={
                "PATH": f"{fresh.bin_folder}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "VAULT": str(platform.folder / "vault/there"),
                "IDENTITY": str(identity),
                "PGHOST": "127.0.0.1",
                "PGPORT": str(fresh.options["port"]),
                "PGUSER": "postgres",
                "PGPASSWORD": str(fresh.options["password"]),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "FAILED" not in done.stdout + done.stderr
        login = {name: fresh.options[name] for name in ("host", "port", "user", "password")}
        with psycopg.connect(dbname="shop", **login) as shop:
            query = "SELECT count(*), md5(string_agg(id || note, ',' ORDER BY id)) FROM sale"
            assert shop.execute(query).fetchone() == rows
    finally:
        fresh.stop()
    server = valkey.start(tmp_path / "valkey", settings={"dir": str(work), "dbfilename": "dump.rdb"})
    try:
        client = redis.Redis(host="127.0.0.1", port=server.options["port"], password=server.options["password"])
        assert [(key, client.hgetall(key)) for key in sorted(client.keys("customer:*"))] == keys
    finally:
        server.stop()
