"""The way without replication: SCAN and DUMP each key into a file, RESTORE each key from it, well pipelined.

`python per_key.py dump|restore FILE`, endpoint from BENCH_REDIS (JSON).
"""

import json
import os
import struct
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import redis

BATCH = 1000


def dump(server: redis.Redis, file: Path) -> None:
    with file.open("wb") as out:
        cursor = -1
        while cursor:
            cursor, keys = server.scan(max(cursor, 0), count=BATCH)
            pipeline = server.pipeline(transaction=False)
            for key in keys:
                pipeline.dump(key)
                pipeline.pttl(key)
            answers = iter(pipeline.execute())
            for key in keys:
                payload, ttl = next(answers), next(answers)
                out.write(struct.pack("<IIq", len(key), len(payload), max(ttl, 0)) + key + payload)


def restore(server: redis.Redis, file: Path) -> None:
    with file.open("rb", buffering=1 << 20) as source:
        records = _records(source)
        while batch := list(islice(records, BATCH)):
            pipeline = server.pipeline(transaction=False)
            for key, ttl, payload in batch:
                pipeline.restore(key, ttl, payload)
            pipeline.execute()


def _records(source: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    while head := source.read(16):
        key_length, payload_length, ttl = struct.unpack("<IIq", head)
        yield source.read(key_length), ttl, source.read(payload_length)


if __name__ == "__main__":
    _endpoint = json.loads(os.environ["BENCH_REDIS"])
    with redis.Redis(**_endpoint) as _server:
        {"dump": dump, "restore": restore}[sys.argv[1]](_server, Path(sys.argv[2]))
