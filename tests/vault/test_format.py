"""docs/format.md: its shell block restores streams, and golden vaults stay readable."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from drkeeper import catalog
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from drkeeper.verify import verify_points
from vault_examples import TEST_IDENTITY, TEST_RECIPIENT, bytes_of, golden_rows, stream_of, write_point

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "v1"
MIB = 1 << 20


@pytest.fixture
def script(tmp_path):
    for tool in ("age", "zstd", "bash"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    text = (ROOT / "docs/format.md").read_text()
    (block,) = re.findall(r"test_format.py runs this very block -->\n```bash\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "restore-stream.sh"
    file.write_text(block)
    return file


@pytest.fixture
def identity_file(tmp_path):
    file = tmp_path / "identity.txt"
    file.write_text(f"# a key for tests only\n{TEST_IDENTITY}\n")
    return file


def run(script, *arguments):
    return subprocess.run(["bash", script, *map(str, arguments)], capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("recipients", [(), (TEST_RECIPIENT,)], ids=["plain", "encrypted"])
@pytest.mark.parametrize("size", [0, 5 * MIB])
def test_the_documented_shell_loop_restores_a_stream(tmp_path, script, identity_file, recipients, size):
    vault = Vault.create({"near": open_store(StoreOptions(url=str(tmp_path / "near")))}, recipients=recipients)
    ref = stream_of(write_point(vault, {"dump": bytes_of(3, size)}), "dump").ref
    done = run(script, tmp_path / "near", ref.index_id, *([identity_file] if recipients else []))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == bytes_of(3, size)


def test_the_documented_shell_loop_fails_where_a_frame_is_missing(tmp_path, script):
    vault = Vault.create({"near": open_store(StoreOptions(url=str(tmp_path / "near")))})
    ref = stream_of(write_point(vault, {"dump": bytes_of(3, 5 * MIB)}), "dump").ref
    span = list(vault.frames_of(ref.index_id))[1]
    (tmp_path / "near" / vault.frame_key(span.frame_id)).unlink()
    assert run(script, tmp_path / "near", ref.index_id).returncode != 0


def test_the_shell_loop_restores_what_was_downloaded_from_object_storage(tmp_path, script, s3):
    options = s3.store_options(s3.make_bucket())
    vault = Vault.create({"near": open_store(options)})
    ref = stream_of(write_point(vault, {"dump": bytes_of(3, 3 * MIB)}), "dump").ref
    bucket, _, prefix = options.url.removeprefix("s3://").partition("/")
    pages = s3.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        for entry in page["Contents"]:
            file = tmp_path / "copy" / entry["Key"].removeprefix(f"{prefix}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            s3.client().download_file(bucket, entry["Key"], str(file))
    assert run(script, tmp_path / "copy", ref.index_id).stdout == bytes_of(3, 3 * MIB)


# --- golden vaults: written once by the version of the time, never again ---

DIGESTS = {
    "globals.sql": hashlib.sha256(b"CREATE ROLE mlflow;\n").hexdigest(),
    "db/mlflow.dump": hashlib.sha256(golden_rows()).hexdigest(),
    "empty": hashlib.sha256(b"").hexdigest(),
}


@pytest.mark.parametrize("kind", ["plain", "encrypted"])
def test_a_golden_vault_reads_bit_for_bit(kind, script, identity_file, tmp_path):
    folder = tmp_path / kind
    shutil.copytree(GOLDEN / kind, folder)
    vault = Vault.open({"near": open_store(StoreOptions(url=str(folder)))}, identities=[TEST_IDENTITY])
    assert vault.encrypted == (kind == "encrypted")
    point = catalog.find_point(vault, "60de00000001")
    assert {
        s.name: hashlib.sha256(b"".join(vault.read(s.ref))).hexdigest() for s in point.systems[0].streams
    } == DIGESTS
    for stream in point.systems[0].streams:
        done = run(script, folder, stream.ref.index_id, identity_file)
        assert hashlib.sha256(done.stdout).hexdigest() == DIGESTS[stream.name]
    assert verify_points(vault, [point], level="intact").verdict == "passed"


@pytest.mark.parametrize("kind", ["plain", "encrypted"])
def test_what_is_written_today_shares_frames_with_a_golden_vault(kind, tmp_path):
    """Cutting, hashing and naming must never change for a vault that exists."""
    folder = tmp_path / kind
    shutil.copytree(GOLDEN / kind, folder)
    vault = Vault.open({"near": open_store(StoreOptions(url=str(folder)))})
    point = write_point(vault, {"dump": golden_rows()}, point_id="b00000000000")
    golden = catalog.find_point(vault, "60de00000001")
    assert stream_of(golden, "db/mlflow.dump").ref.frame_count > 1, "else cutting is not tested"
    assert stream_of(point, "dump").stored_bytes == 0
    assert stream_of(point, "dump").ref == stream_of(golden, "db/mlflow.dump").ref
