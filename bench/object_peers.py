"""The candidates of a bench of buckets, each as its manual has it: from one bucket to another."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from measure import Usage, shell, timed
from object_regions import HERE, Place, pair_of
from programs import Keeper

SYSTEM = "artifacts"
WITHOUT_START = "drkeeper, without its start"
STAGED = ("s5cmd, through a folder", "aws s3 sync, through a folder")
RCLONE = (
    "--checksum --metadata --fast-list --transfers 32 --checkers 32 --s3-chunk-size 8M --s3-upload-concurrency 4 "
    "--s3-no-check-bucket"
)
REGION = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Way:
    """From where to where, and a folder for whatever a candidate needs beside."""

    source: Place
    target: Place
    work: Path
    size_bytes: int
    single: bool = False

    def folder(self) -> Path:
        """An empty one, on the disk on which the servers are."""
        folder = self.work / "stage"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


@dataclass(frozen=True)
class Candidate:
    """A way to make the target equal to the source.

    Attributes:
        program: Without which there is nothing to measure.
        prepare: Done before the clock starts.
        rounds: Takes part in so many rounds at most.
    """

    name: str
    run: Callable[[Way], Usage]
    program: str = ""
    prepare: Callable[[Way], None] = lambda _: None
    rounds: int = 1_000

    @property
    def installed(self) -> bool:
        return not self.program or find(self.program) is not None


def find(program: str) -> str | None:
    """On PATH, or beside Python, where wheels put theirs."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def prepare_keeper(way: Way) -> None:
    """A policy, and an empty vault."""
    _keeper(way).forget_all()


def keeper_replicate(way: Way) -> Usage:
    return replace(_keeper(way).run("replicate", "--system", SYSTEM), stored_bytes=None)


def keeper_without_start(way: Way) -> Usage:
    """The same work in a process that has imported everything: seconds and CPU from then on."""
    result = way.work / "result.json"
    keeper = _keeper(way)
    usage = _worker(["drkeeper", str(keeper.policy), SYSTEM], {**keeper.env, "BENCH_RESULT": str(result)})
    return replace(usage, **json.loads(result.read_text()))


def rclone_sync(way: Way) -> Usage:
    cutoff = "1G" if way.single else "8M"  # as the objects came
    target = "near" if way.target.region is way.source.region else "far"
    words = f"rclone sync near:{way.source.name} {target}:{way.target.name} {RCLONE} --s3-upload-cutoff {cutoff}"
    return timed(shlex.split(words), env={**_remote("near", way.source), **_remote("far", way.target)})


def boto3_copy(way: Way) -> Usage:
    return _worker(["boto3-copy", str(way.size_bytes)], pair_of(way.source, way.target))


def boto3_compare(way: Way) -> Usage:
    return _worker(["boto3-compare"], pair_of(way.source, way.target))


def s5cmd_staged(way: Way) -> Usage:
    """It knows one endpoint: down into a folder, and up from there."""
    stage = way.folder()
    down = f"{_s5cmd(way.source)} cp {shlex.quote(f's3://{way.source.name}/*')} {stage}/"
    return shell(f"{down} && {_s5cmd(way.target)} cp {stage}/ s3://{way.target.name}/", env=REGION)


def s5cmd_at_server(way: Way) -> Usage:
    copy = f"cp {shlex.quote(f's3://{way.source.name}/*')} s3://{way.target.name}/"
    return shell(f"{_s5cmd(way.source)} {copy}", env=REGION)


def aws_staged(way: Way) -> Usage:
    """It knows one endpoint: down into a folder, and up from there."""
    stage = way.folder()
    down = f"{_aws(way.source)} s3 sync --only-show-errors s3://{way.source.name} {stage}"
    return shell(f"{down} && {_aws(way.target)} s3 sync --only-show-errors {stage} s3://{way.target.name}", env=REGION)


KEEPER = Candidate("drkeeper", keeper_replicate, prepare=prepare_keeper)
KEEPER_INSIDE = Candidate(WITHOUT_START, keeper_without_start, prepare=prepare_keeper)
RCLONE_SYNC = Candidate("rclone", rclone_sync, "rclone")
BOTO3 = Candidate("boto3, 32 threads", boto3_copy)
BOTO3_COMPARE = Candidate("boto3, 32 threads", boto3_compare)
S5CMD = Candidate("s5cmd", s5cmd_at_server, "s5cmd")
# No peers of what a promise is about, and slow ones: once is enough.
S5CMD_STAGED = Candidate(STAGED[0], s5cmd_staged, "s5cmd", rounds=1)
AWS_STAGED = Candidate(STAGED[1], aws_staged, "aws", rounds=1)


def _keeper(way: Way) -> Keeper:
    folder = way.work / "keeper"
    folder.mkdir(exist_ok=True)
    policy = folder / "drkeeper.yaml"
    source, replica = (
        {**place.as_policy, "secret_key": f"${{env:{name}}}"}
        for name, place in (("BENCH_SOURCE_KEY", way.source), ("BENCH_TARGET_KEY", way.target))
    )
    systems = {SYSTEM: {"kind": "objects", **source, "replica": replica}}
    vault = {"regions": {"here": {"url": str(folder / "vault")}}}
    policy.touch(mode=0o600)
    policy.write_text(json.dumps({"version": 1, "name": "bench", "systems": systems, "vault": vault}))
    return Keeper(folder, policy, {"BENCH_SOURCE_KEY": way.source.keys[1], "BENCH_TARGET_KEY": way.target.keys[1]})


def _worker(words: list[str], env: Mapping[str, str]) -> Usage:
    return timed([sys.executable, str(HERE / "object_worker.py"), *words], env=env)


def _remote(name: str, place: Place) -> dict[str, str]:
    access_key, secret_key = place.keys
    fields = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ACCESS_KEY_ID": access_key,
        "SECRET_ACCESS_KEY": secret_key,
        "ENDPOINT": place.endpoint,
        "REGION": "us-east-1",
    }
    return {
        "RCLONE_CONFIG": os.devnull,
        **{f"RCLONE_CONFIG_{name.upper()}_{field}": value for field, value in fields.items()},
    }


def _s5cmd(place: Place) -> str:
    return f"{_account(place)} {find('s5cmd')} --log error --endpoint-url {place.endpoint}"


def _aws(place: Place) -> str:
    return f"{_account(place)} {find('aws')} --endpoint-url {place.endpoint}"


def _account(place: Place) -> str:
    access_key, secret_key = place.keys
    return f"AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key}"
