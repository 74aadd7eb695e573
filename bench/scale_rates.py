"""Measure the rates that `docs/scale.md` calculates with. `python bench/scale_rates.py [--quick]`; two minutes.

Two SeaweedFS servers are two regions. Each figure is of one process of its own, so its CPU and its peak are its own;
servers share the machine, and their CPU is shown beside it. Medians of three rounds, where a round is cheap.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from machine import processor_and_system
from object_regions import Fill, Place, Region, fill, pair_of, settle, started

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.options import BucketOptions
from drkeeper.replication.run import Pair, Run
from drkeeper.systems._objects.options import Options

KIB, MIB = 2**10, 2**20
Figures = dict[str, float]


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "one":
        print(json.dumps(ONE[sys.argv[2]](*sys.argv[3:])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small amounts: whether it runs, not how fast")
    parser.add_argument("--only", choices=("large", "small", "dask", "many"), action="append", help="some of it")
    given = parser.parse_args()
    quick, only = given.quick, given.only or ("large", "small", "dask", "many")
    small = Fill(500 if quick else 10_000, 16 * KIB)
    many = Fill(2_000 if quick else 100_000, 100)
    large = Fill(1 if quick else 4, (64 if quick else 512) * MIB, 8 * MIB)
    for name, value in processor_and_system().items():
        print(f"{name}: {value}")
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as regions:
        near, far = regions
        if "large" in only:
            with _filled(near, large) as source:
                _copies(f"{large.count} x {large.size_bytes // MIB} MiB in parts", regions, source, rounds=2)
        if "small" in only or "dask" in only:
            with _filled(near, small) as source:
                if "small" in only:
                    _copies(f"{small.count:,} x 16 KiB", regions, source, rounds=3)
                for workers in (1, 2, 3) if "dask" in only else ():
                    _copies(f"the same by {workers} workers of Dask", regions, source, str(workers), rounds=1)
        if "many" in only:
            with _filled(near, many) as source, _filled(far, many) as target:
                _shown(f"listing {many.count:,} keys", regions, "list", source, target, rounds=3)
                _shown(f"nothing to do, {many.count:,} keys", regions, "copy", source, target, rounds=3)
                _shown("the same in pieces, by 2 workers of Dask", regions, "dask", source, target, "2", rounds=1)


def _copies(what: str, regions: tuple[Region, Region], source: Place, workers: str = "", *, rounds: int) -> None:
    """Into a new bucket each time."""
    runs = []
    for _ in range(rounds):
        target = regions[1].new_bucket()
        words = ("dask", workers) if workers else ("copy",)
        runs.append(_measured(regions, words[0], source, target, *words[1:]))
        target.drop()
    _print(what, runs)


def _shown(
    what: str, regions: tuple[Region, Region], task: str, source: Place, target: Place, *words: str, rounds: int
) -> None:
    _print(what, [_measured(regions, task, source, target, *words) for _ in range(rounds)])


def _measured(regions: tuple[Region, Region], task: str, source: Place, target: Place, *words: str) -> Figures:
    settle(regions)
    before = sum(region.cpu_seconds for region in regions)
    argv = [sys.executable, __file__, "one", task, *words]
    env = {**os.environ, **pair_of(source, target)}
    said = subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {**json.loads(said), "server_cpu": sum(region.cpu_seconds for region in regions) - before}


def _print(what: str, runs: list[Figures]) -> None:
    wall, cpu, server = (median(run[name] for run in runs) for name in ("wall", "cpu", "server_cpu"))
    objects, size_bytes, peak = runs[0]["objects"], runs[0]["bytes"], max(run["peak"] for run in runs)
    moved = f"{size_bytes / wall / 1e6:6.0f} MB/s, CPU {cpu / size_bytes * 1e9:5.2f} s a GB" if size_bytes else ""
    print(
        f"{what:<44} {wall:6.2f} s  {objects / wall:8,.0f} objects/s  CPU {cpu:6.2f} s, {cpu / objects * 1e6:6.0f} us"
        f" an object  servers {server:6.2f} s  peak {peak / MIB:4.0f} MiB  {moved}",
        flush=True,
    )


@contextmanager
def _filled(region: Region, amount: Fill) -> Iterator[Place]:
    place = region.new_bucket()
    fill(place, amount)
    yield place
    place.drop()


# --- in a process of its own --------------------------------------------------------------------------------


def copy() -> Figures:
    run = Run(_pair())
    began, cpu = time.monotonic(), _cpu_seconds()
    record = run.carry_out()
    assert record.complete
    return _figures(began, cpu, record.source_objects, record.copied_bytes)


def listing() -> Figures:
    bucket = Bucket(BucketOptions.model_validate(json.loads(os.environ["BENCH_SOURCE"])), read_only=True)
    began, cpu = time.monotonic(), _cpu_seconds()
    return _figures(began, cpu, sum(1 for _ in list_objects(bucket)), 0)


def dask(workers: str) -> Figures:
    """CPU is the sum of all workers', and the peak is that of the largest."""
    from distributed import LocalCluster

    from drkeeper.replication.on_dask import shards_on

    how = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "memory_limit": 0}
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=int(workers), local_directory=folder, **how) as cluster,
        cluster.get_client() as client,
    ):
        client.run(_warm)
        before = client.run(_used)
        with shards_on(cluster.scheduler_address) as bring_shards:
            began = time.monotonic()
            record = Run(_pair(), bring_shards=bring_shards).carry_out()
            wall = time.monotonic() - began
        assert record.complete
        after = client.run(_used)
    cpu = sum(after[at][0] - before[at][0] for at in after)
    peak = max(used[1] for used in after.values())
    return {"wall": wall, "cpu": cpu, "peak": peak, "objects": record.source_objects, "bytes": record.copied_bytes}


def _warm() -> None:
    """Importing is not what is measured."""
    import pycurl  # noqa: F401

    import drkeeper.replication.dask_worker  # noqa: F401


def _used() -> tuple[float, int]:
    return _cpu_seconds(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _pair() -> Pair:
    source, target = (json.loads(os.environ[name]) for name in ("BENCH_SOURCE", "BENCH_TARGET"))
    options: Mapping[str, Any] = {**source, "replica": target}
    return Pair("artifacts", Options.model_validate(options))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _figures(began: float, cpu: float, objects: int, size_bytes: int) -> Figures:
    wall, cpu = time.monotonic() - began, _cpu_seconds() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"wall": wall, "cpu": cpu, "peak": peak, "objects": objects, "bytes": size_bytes}


ONE = {"copy": copy, "list": listing, "dask": dask}

if __name__ == "__main__":
    main()
