"""Measure drkeeper beside the stock tools. `python bench/run.py [--quick]`; about ten minutes.

Candidates take turns (A B C A B C …), so that what else the machine does hits all alike; figures are medians.
Results go to `results.json` and, as tables, into `README.md`.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from generate import FULL, QUICK, Size, add_rows
from impact import Figures, Impact, measure_round
from machine import described
from measure import Results, timed
from programs import Stock, keeper, per_key, redis_cli_rdb
from servers import DATABASE, Servers, create, drop, started
from table import write_tables

HERE = Path(__file__).parent
RATES = {"postgres": "12MiB/s", "redis": "4MiB/s"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data, one round; README.md stays as it is")
    parser.add_argument("--rounds", type=int, default=3, help="how often each candidate has its turn")
    options = parser.parse_args()
    size, rounds = (QUICK, 1) if options.quick else (FULL, options.rounds)
    began = time.monotonic()
    HERE.joinpath("data").mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=HERE / "data"))
    work.chmod(0o755)  # servers that run as another user walk through it
    try:
        with started(HERE / "data" / ("quick" if options.quick else "postgres"), work, size) as servers:
            report = measure_all(servers, work, size, rounds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report["elapsed_seconds"] = time.monotonic() - began
    if options.quick:
        print(json.dumps(report["medians"], indent=1))
        return
    (HERE / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    write_tables(HERE / "README.md", report)


def measure_all(servers: Servers, work: Path, size: Size, rounds: int) -> dict[str, object]:
    results = Results()
    impact = Impact()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        backup_postgres(results, servers, work, size, number)
        restore_postgres(results, servers, work)
        redis(results, servers, work)
        print("  impact on those who are served", flush=True)
        impact.rounds.append(measure_impact(servers, work))
    for _ in range(5):
        results.add("drkeeper --help", timed([sys.executable, "-m", "drkeeper", "--help"], env={}))
    return {
        "machine": described(servers),
        "size": {
            "metric_rows": size.metric_rows,
            "database_bytes": servers.database_bytes,
            "hashes": size.hashes,
            "rounds": rounds,
            "rates": RATES,
        },
        "medians": results.medians(),
        "impact": impact.medians(),
        "runs": results.raw(),
        "impact_rounds": impact.rounds,
    }


def backup_postgres(results: Results, servers: Servers, work: Path, size: Size, number: int) -> None:
    stock = Stock(servers.postgres, servers.bin_folder, work)
    plain = keeper(work / "plain", {"postgres": servers.postgres})
    sealed = keeper(work / "sealed", {"postgres": servers.postgres}, recipient=_new_recipient())
    out = work / "out"
    plain.forget_all()
    sealed.forget_all()
    results.add("pg_dump -Fc -Z0 > /dev/null (the floor)", stock.dump("-Z0", "> /dev/null"))
    results.add("drkeeper, first", plain.run("backup"))
    results.add("pg_dump -Fc", stock.dump("", f"> {out}", out=out))
    results.add("pg_dump -Fc -Z0 | zstd -1", stock.dump("-Z0", f"| zstd -1 -q -o {out}", out=out))
    if shutil.which("restic"):
        stock.restic_forget_all()
        results.add("pg_dump -Fc -Z0 | restic, first", stock.restic())
        results.add("pg_dump -Fc -Z0 | restic, nothing changed", stock.restic())
    results.add("drkeeper, nothing changed", plain.run("backup"))
    results.add("drkeeper encrypted, first", sealed.run("backup"))
    add_rows(servers.postgres, DATABASE, size, f"round-{number}-")
    results.add("drkeeper, after 1 % inserts", plain.run("backup"))
    if shutil.which("restic"):
        results.add("pg_dump -Fc -Z0 | restic, after 1 % inserts", stock.restic())


def restore_postgres(results: Results, servers: Servers, work: Path) -> None:
    """Into an empty server with settings as they come; the same data for both."""
    dump = work / "ready.dump"
    Stock(servers.postgres, servers.bin_folder, work).dump("-Z0", f"> {dump}")
    elsewhere = keeper(work / "plain", {"postgres": servers.postgres}).aimed_at({"postgres": servers.postgres_target})
    target = Stock(servers.postgres_target, servers.bin_folder, work)
    create(servers.postgres_target, DATABASE)
    results.add("pg_restore -j2", target.restore(dump))
    drop(servers.postgres_target, DATABASE)
    results.add("drkeeper restore", elsewhere.run("restore", "latest", "--yes"))
    drop(servers.postgres_target, DATABASE)
    dump.unlink()


def redis(results: Results, servers: Servers, work: Path) -> None:
    plain = keeper(work / "redis-vault", {"redis": servers.redis})
    elsewhere = plain.aimed_at({"redis": servers.redis_target})
    dumps, rdb = work / "keys.dump", work / "copy.rdb"
    plain.forget_all()
    if shutil.which("redis-cli"):
        results.add("redis-cli --rdb", redis_cli_rdb(servers.redis, rdb))
    results.add("drkeeper redis, first", plain.run("backup"))
    results.add("drkeeper redis, nothing changed", plain.run("backup"))
    results.add("SCAN + DUMP to a file", per_key("dump", servers.redis, dumps))
    _flush(servers)
    results.add("RESTORE per key from that file", per_key("restore", servers.redis_target, dumps))
    _flush(servers)
    results.add("drkeeper redis restore", elsewhere.run("restore", "latest", "--yes"))
    _flush(servers)


def measure_impact(servers: Servers, work: Path) -> Figures:
    both = {"postgres": servers.postgres, "redis": servers.redis}
    return measure_round(
        servers,
        {
            "a backup": keeper(work / "both", both),
            "a backup with rate caps": keeper(work / "capped", both, rates=RATES),
        },
    )


def _flush(servers: Servers) -> None:
    import redis as client

    with client.Redis(**servers.redis_target) as target:
        target.flushall()


def _new_recipient() -> str:
    import pyrage

    return str(pyrage.x25519.Identity.generate().to_public())


if __name__ == "__main__":
    main()
