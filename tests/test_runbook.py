"""The runbook's shell blocks, run by bash against miniature vaults that are written here by hand."""

import hashlib
import os
import random
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
import zstandard

from drkeeper.facts import Facts
from drkeeper.recovery_point import RecoveryPoint, StreamRecord, StreamRef, SystemRecord
from drkeeper.runbook import render_runbook

PACKER = zstandard.ZstdCompressor(level=1, write_checksum=True)
NOW = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
BYTES = random.Random(7).randbytes(150_000)
STREAMS = {
    ("mlflow-db", "globals.sql"): (b"CREATE ROLE mlflow;\n", 'cat > "$OUT/globals.sql"'),
    ("mlflow-db", "databases.json"): (b"{}\n", "cat > /dev/null  # for people"),
    ("mlflow-db", "db/mlflow.dump"): (BYTES, '(printf "loaded:"; cat) > "$OUT/mlflow.dump"'),
    ("feast-online", "dump.rdb"): (BYTES[::-1], 'cat > "$OUT/dump.rdb"'),
    ("feast-online", "empty"): (b"", 'cat > "$OUT/empty"'),
}


class MiniatureVault:
    """The layout of docs/format.md, written with zstandard and pyrage alone."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.folder, self.encrypted = folder, encrypted
        self.identity = pyrage.x25519.Identity.generate()
        folder.mkdir()
        (folder / "vault.json").write_text("{}")
        (folder / "streams").mkdir()

    def seal(self, data: bytes, *, encrypted: bool) -> bytes:
        return pyrage.encrypt(data, [self.identity.to_public()]) if encrypted else data

    def write(self, data: bytes) -> StreamRef:
        frames = [data[at : at + 40_000] for at in range(0, len(data), 40_000)]
        lines = []
        for frame in frames:
            frame_id = hashlib.sha256(frame).hexdigest()
            path = self.folder / "frames" / frame_id[:2] / f"{frame_id}.zst{'.age' if self.encrypted else ''}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.seal(PACKER.compress(frame), encrypted=self.encrypted))
            lines.append(f"{frame_id} {len(frame)}\n")
        index = "".join(lines).encode()
        index_id = hashlib.sha256(b"index" + index).hexdigest()
        (self.folder / f"streams/{index_id}.idx.zst").write_bytes(zstandard.compress(index))
        return StreamRef(index_id=index_id, size_bytes=len(data), frame_count=len(frames))


def make_point(vault: MiniatureVault) -> RecoveryPoint:
    def system(name: str, kind: str, facts: Facts) -> SystemRecord:
        streams = tuple(
            StreamRecord(name=stream, ref=vault.write(data), stored_bytes=len(data), restore_hint=hint)
            for (owner, stream), (data, hint) in STREAMS.items()
            if owner == name
        )
        return SystemRecord(
            name=name, kind=kind, status="complete", as_of=NOW, streams=streams, facts=facts,
            tools={"pg_dump": "18.6"} if kind == "postgres" else {},
        )  # fmt: skip

    rows = {f"mlflow.public.t{n}.rows": n * 1000 for n in range(20)}
    return RecoveryPoint(
        point_id="e3b0c44298fc", policy="production", created_at=NOW, elapsed_seconds=1, skew_seconds=0.01,
        fencing_token=1, drkeeper_version="0.1.0", freeze_order=("mlflow-db", "feast-online"),
        systems=(
            system("mlflow-db", "postgres", Facts(exact=rows, info={"server_version": "18.6"})),
            system("feast-online", "redis", Facts(bounds={"db0.keys": (499_800, 500_000)}, info={"rdb_version": 80})),
            SystemRecord(name="other", kind="postgres", status="failed", error="connection refused | `x`"),
        ),
    )  # fmt: skip


def shell_blocks(page: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def follow(page: str, vault: MiniatureVault, out: Path) -> subprocess.CompletedProcess[str]:
    out.mkdir(exist_ok=True)
    identity = out.parent / "identity.txt"
    identity.write_text(f"{vault.identity}\n")
    script = out.parent / "runbook.sh"
    script.write_text("\n".join(shell_blocks(page)))
    environment = {**os.environ, "VAULT": str(vault.folder), "IDENTITY": str(identity), "OUT": str(out)}
    return subprocess.run(
        ["bash", "-e", str(script)], env=environment, cwd=out, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(params=["plain", "encrypted"])
def vault(request, tmp_path):
    needed = ("zstd", "bash") if request.param == "plain" else ("zstd", "bash", "age")
    for tool in needed:
        if shutil.which(tool) is None:
            pytest.skip(f"the stock tool {tool} is not installed")
    encrypted = request.param != "plain"
    return MiniatureVault(tmp_path / "a vault", encrypted=encrypted)


def render(vault: MiniatureVault, urls=None) -> str:
    return render_runbook(make_point(vault), encrypted=vault.encrypted, region_urls=urls or {"home": "file:///mnt/v"})


def test_following_the_runbook_restores_every_stream_byte_for_byte(vault, tmp_path):
    outcome = follow(render(vault), vault, tmp_path / "out")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    restored = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert restored == {
        "globals.sql": b"CREATE ROLE mlflow;\n", "mlflow.dump": b"loaded:" + BYTES, "dump.rdb": BYTES[::-1], "empty": b"",
    }  # fmt: skip
    for system, stream in STREAMS:
        assert outcome.stdout.count(f"OK {system}/{stream}\n") == 2
    assert "FAILED" not in outcome.stdout


def a_frame_of(vault: MiniatureVault, data: bytes) -> Path:
    frame_id = hashlib.sha256(data).hexdigest()
    return vault.folder / "frames" / frame_id[:2] / f"{frame_id}.zst{'.age' if vault.encrypted else ''}"


def test_a_missing_frame_is_named_before_anything_is_restored(vault, tmp_path):
    page = render(vault)
    gone = a_frame_of(vault, BYTES[40_000:80_000])
    gone.unlink()
    outcome = follow(page, vault, tmp_path / "out")
    assert outcome.returncode != 0
    assert f"missing frames/{gone.parent.name}/{gone.name}" in outcome.stdout
    assert "FAILED: mlflow-db/db/mlflow.dump" in outcome.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_a_flipped_byte_makes_its_block_fail(vault, tmp_path):
    page = render(vault)
    path = a_frame_of(vault, BYTES[40_000:80_000])
    stored = bytearray(path.read_bytes())
    stored[-2] ^= 1  # in the checksum of the zstd frame, or in age's authenticated payload
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)
    outcome = follow(page, vault, tmp_path / "out")
    assert outcome.returncode != 0
    assert "FAILED: mlflow-db/db/mlflow.dump is not restored completely" in outcome.stdout
    assert (tmp_path / "out" / "mlflow.dump").read_bytes() != b"loaded:" + BYTES


def test_a_wrong_identity_fails_and_restores_nothing(tmp_path):
    if shutil.which("age") is None:
        pytest.skip("the stock tool age is not installed")
    vault = MiniatureVault(tmp_path / "vault", encrypted=True)
    page = render(vault)
    vault.identity = pyrage.x25519.Identity.generate()
    outcome = follow(page, vault, tmp_path / "out")
    assert outcome.returncode != 0
    assert "FAILED: feast-online/dump.rdb is not restored completely" in outcome.stdout
    assert (tmp_path / "out" / "dump.rdb").read_bytes() == b""


def test_the_listing_for_fetching_only_what_is_needed_names_every_frame(vault, tmp_path):
    page = render(vault)
    blocks = shell_blocks(page)
    script = "\n".join([*blocks[:3], "point_frames | sort -u"])
    outcome = follow(f"```sh\n{script}\n```\n", vault, tmp_path / "out")
    listed = {line for line in outcome.stdout.splitlines() if line.startswith("frames/")}
    assert listed == {str(path.relative_to(vault.folder)) for path in vault.folder.glob("frames/*/*")}


def test_what_is_referred_to_is_restored_before_what_refers_to_it(tmp_path):
    page = render(MiniatureVault(tmp_path / "vault", encrypted=False))
    assert page.index("### feast-online") < page.index("### mlflow-db")
    assert page.index("`globals.sql`: ") < page.index("`db/mlflow.dump`: ")


def test_a_system_that_failed_at_backup_is_named_as_missing(tmp_path):
    page = render(MiniatureVault(tmp_path / "vault", encrypted=False))
    assert "**other is not in this point**" in page
    assert "connection refused / 'x'" in page


def test_the_largest_tables_and_the_key_ranges_are_listed_for_looking_after(tmp_path):
    page = render(MiniatureVault(tmp_path / "vault", encrypted=False))
    assert "| `mlflow.public.t19.rows` | 19,000 |" in page
    assert "| `mlflow.public.t0.rows`" not in page
    assert "| `db0.keys` | 499800 to 500000 |" in page


def test_passwords_in_region_urls_are_left_out_and_s3_gets_its_own_lines(tmp_path):
    vault = MiniatureVault(tmp_path / "vault", encrypted=False)
    page = render(vault, {"eu": "s3://key:hunter2@bucket/dr?secret=hunter3"})
    assert "hunter" not in page
    assert 'aws s3 cp --recursive s3://bucket/dr "$VAULT"' in page
    assert "aws s3" not in "".join(shell_blocks(page))
    assert "aws s3" not in render(MiniatureVault(tmp_path / "other", encrypted=False))


def test_advice_follows_how_a_system_was_captured(tmp_path):
    vault = MiniatureVault(tmp_path / "vault", encrypted=False)
    by_file = render(vault)
    point = make_point(vault)
    commands = point.systems[1].model_copy(
        update={
            "streams": (
                StreamRecord(
                    name="keys.resp", ref=vault.write(b"PING"), stored_bytes=0, restore_hint="redis-cli --pipe"
                ),
            )
        }
    )
    by_command = render_runbook(
        point.model_copy(update={"systems": (commands,)}), encrypted=False, region_urls={"home": "file:///v"}
    )
    assert "--appendonly no" in by_file
    assert "REDISCLI_AUTH" not in by_file
    assert "--appendonly no" not in by_command
    assert "REDISCLI_AUTH" in by_command
    assert "for tool in zstd redis-cli; do" in by_command


def test_a_stream_without_a_stock_command_is_saved_to_a_file(tmp_path):
    vault = MiniatureVault(tmp_path / "vault", encrypted=False)
    point = make_point(vault)
    bare = StreamRecord(name="a/b'c", ref=vault.write(b"bytes"), stored_bytes=0)
    lone = point.systems[0].model_copy(update={"streams": (bare,)})
    page = render_runbook(point.model_copy(update={"systems": (lone,)}), encrypted=False, region_urls={})
    outcome = follow(page, vault, tmp_path / "out")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert (tmp_path / "out" / "mlflow-db-a-b'c").read_bytes() == b"bytes"


def test_an_unencrypted_point_speaks_of_no_key(tmp_path):
    page = render(MiniatureVault(tmp_path / "vault", encrypted=False))
    assert "IDENTITY" not in page
    assert "age -d" not in page


def test_the_page_is_clean_markdown(vault):
    page = render(vault)
    assert page.count("```") % 2 == 0
    assert "\n\n\n" not in page
    assert all(line == line.rstrip() for line in page.splitlines())
