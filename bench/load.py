"""Those who are served while a backup runs: single-key HMGETs, single-row reads and writes, one after the other.

Runs until its stdin closes, then prints every latency with its moment: {"hmget": [[at, seconds], …], …}.
Endpoints from BENCH_REDIS and BENCH_POSTGRES (JSON). Pins itself to the CPU that is its argument.
"""

import json
import os
import random
import select
import sys
import time

import psycopg
import redis
from generate import connection, entity_key

PAUSE_SECONDS = 0.002


def main() -> None:
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    samples: dict[str, list[tuple[float, float]]] = {"hmget": [], "row read": [], "row write": []}
    source = random.Random(1)
    endpoint = json.loads(os.environ["BENCH_POSTGRES"])
    with (
        redis.Redis(**json.loads(os.environ["BENCH_REDIS"])) as online,
        psycopg.connect(**connection(endpoint, endpoint["database"]), autocommit=True) as database,
    ):
        hashes = online.dbsize()
        runs = [row[0] for row in database.execute("SELECT run_uuid FROM runs ORDER BY run_uuid LIMIT 2000")]
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            run, key = source.choice(runs), entity_key(source.randrange(hashes))
            actions = {
                "hmget": lambda key=key: online.hmget(key, ["_ts:customer_churn"]),
                "row read": lambda run=run: database.execute(
                    "SELECT status, artifact_uri FROM runs WHERE run_uuid = %s", [run]
                ).fetchone(),
                "row write": lambda run=run: database.execute(
                    "UPDATE tags SET value = %s WHERE run_uuid = %s AND key = 'tag.1'", [str(source.random()), run]
                ),
            }
            for name, action in actions.items():
                started = time.monotonic()
                action()
                samples[name].append((started, time.monotonic() - started))
    json.dump(samples, sys.stdout)


main()
