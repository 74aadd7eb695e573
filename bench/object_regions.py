"""Two regions for a bench of buckets: two SeaweedFS servers, their buckets, and what is put into them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.options import BucketOptions
from drkeeper.sandbox import objects as seaweed

HERE = Path(__file__).parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
GIVEN = ("endpoint", "access_key", "secret_key", "allow_http")
SETTLED_SHARE = 0.1
SETTLE_SECONDS = 15.0


@dataclass(frozen=True)
class Fill:
    """What is put into a bucket."""

    count: int
    size_bytes: int
    part_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.count * self.size_bytes


class Region:
    """One server."""

    def __init__(self, name: str, server: seaweed.SeaweedServer) -> None:
        self.name = name
        self.server = server
        self._made = 0

    def new_bucket(self) -> "Place":
        self._made += 1
        place = Place(self, f"bench-{self.name}-{self._made}")
        bucket = Bucket(place.options)
        bucket.request("PUT")
        # The first object of a bucket lets this server make volumes, which takes it a second; no bucket is new in life.
        bucket.request("PUT", "first", body=b"1")
        bucket.request("DELETE", "first")
        return place

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the server so far."""
        ticks = 0
        for process_id in self.server.process_ids:
            after_name = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
        return ticks / TICKS_PER_SECOND


@dataclass(frozen=True)
class Place:
    """A bucket of a region."""

    region: Region
    name: str

    @property
    def options(self) -> BucketOptions:
        return BucketOptions.model_validate(self.as_policy)

    @property
    def as_policy(self) -> dict[str, Any]:
        """As a policy, or one of the bench's own processes, is given it."""
        given = self.region.server.options
        return {"url": f"s3://{self.name}", **{name: given[name] for name in GIVEN}}

    @property
    def endpoint(self) -> str:
        return str(self.as_policy["endpoint"])

    @property
    def keys(self) -> tuple[str, str]:
        """Access key and secret key."""
        return str(self.as_policy["access_key"]), str(self.as_policy["secret_key"])

    def drop(self) -> None:
        """With all that is in it."""
        Bucket(self.options).request("DELETE")


def fill(place: Place, amount: Fill) -> Place:
    """The same objects, whatever the place."""
    words = [str(amount.count), str(amount.size_bytes), str(amount.part_bytes)]
    scratch = str(place.region.server.folder / "upload")
    worker("fill", {"BENCH_TARGET": json.dumps(place.as_policy), "BENCH_SCRATCH": scratch}, *words)
    return place


def change_one(place: Place) -> None:
    worker("change", {"BENCH_TARGET": json.dumps(place.as_policy)})


def compared(source: Place, target: Place) -> dict[str, Any]:
    """What two listings, and the headers of a few objects, say."""
    return worker("compare", pair_of(source, target))


def pair_of(source: Place, target: Place) -> dict[str, str]:
    return {"BENCH_SOURCE": json.dumps(source.as_policy), "BENCH_TARGET": json.dumps(target.as_policy)}


def worker(task: str, env: Mapping[str, str], *words: str) -> dict[str, Any]:
    """In a process of its own: the peak of a program that is started counts from that of the process that starts it."""
    argv = [sys.executable, str(HERE / "object_worker.py"), task, *words]
    said = subprocess.run(argv, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(json.loads(said)) if said else {}


def settle(regions: tuple[Region, ...]) -> None:
    """Wait until the servers have done with what came before: it must not burden the next run."""
    give_up_at = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < give_up_at:
        before = sum(region.cpu_seconds for region in regions)
        time.sleep(0.5)
        if sum(region.cpu_seconds for region in regions) - before < SETTLED_SHARE * 0.5:
            return


@contextmanager
def started(work: Path) -> Iterator[tuple[Region, Region]]:
    """Near and far."""
    running: list[Region] = []
    try:
        near = Region("near", seaweed.start(work / "near"))
        running.append(near)
        far = Region("far", seaweed.start(work / "far"))
        running.append(far)
        yield near, far
    finally:
        for region in running:
            region.server.stop()
