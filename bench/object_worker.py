"""What the bench of buckets does in processes of its own: fill, compare, and two of the candidates.

`object_worker.py TASK [WORDS]`, with the buckets in BENCH_SOURCE and BENCH_TARGET; results go to stdout.
"""

import hashlib
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

THREADS = 32
PART_BYTES = 8 << 20
LARGE_BYTES = 64 << 20
SAMPLE = 16
KEPT = ("content-type", "x-amz-meta-run", "x-amz-meta-stage")


def main() -> None:
    task, words = sys.argv[1], sys.argv[2:]
    said = {
        "fill": fill,
        "change": change,
        "compare": compare,
        "boto3-copy": boto3_copy,
        "boto3-compare": boto3_compare,
        "drkeeper": drkeeper_inside,
    }[task](*words)
    if said is not None:
        print(json.dumps(said))


def key_of(number: int) -> str:
    return f"models/{number % 50:02}/artifact-{number:06}.bin"


def headers_of(number: int) -> dict[str, str]:
    return {"content-type": "application/x-model", "x-amz-meta-run": f"{number:032x}", "x-amz-meta-stage": "production"}


def fill(count: str, size_bytes: str, part_bytes: str) -> None:
    if int(size_bytes) >= LARGE_BYTES:
        _fill_large(int(count), int(size_bytes), int(part_bytes))
        return
    from drkeeper.buckets.many import Ask, Job, run_many

    target = _bucket("BENCH_TARGET")
    noise = random.Random(7).randbytes(int(size_bytes))

    def put(number: int) -> Job[None]:
        body = (f"{number:08}".encode() + noise)[: int(size_bytes)]
        while (yield Ask(target, "PUT", key_of(number), headers_of(number), body=body)).status != 200:
            time.sleep(0.01)

    for _ in run_many((put(number) for number in range(int(count))), lambda: THREADS):
        pass


def _fill_large(count: int, size_bytes: int, part_bytes: int) -> None:
    from boto3.s3.transfer import TransferConfig

    client, name = _client("BENCH_TARGET")
    single = not part_bytes
    config = TransferConfig(
        multipart_threshold=size_bytes + 1 if single else part_bytes, multipart_chunksize=part_bytes or PART_BYTES
    )
    for number in range(count):
        file = Path(os.environ["BENCH_SCRATCH"])
        noise = random.Random(number)
        with file.open("wb") as out:
            for _ in range(0, size_bytes, PART_BYTES):
                out.write(noise.randbytes(min(PART_BYTES, size_bytes)))
        headers = headers_of(number)
        extra = {
            "ContentType": headers["content-type"],
            "Metadata": {"run": headers["x-amz-meta-run"], "stage": headers["x-amz-meta-stage"]},
        }
        client.upload_file(str(file), name, key_of(number), ExtraArgs=extra, Config=config)
        file.unlink()


def change() -> None:
    """One object becomes another, of the same size."""
    target = _bucket("BENCH_TARGET")
    now = target.request("GET", key_of(7)).body
    target.request("PUT", key_of(7), headers=headers_of(7), body=hashlib.sha256(now).digest() + now[32:])


def compare() -> dict[str, Any]:
    source, target = _bucket("BENCH_SOURCE"), _bucket("BENCH_TARGET")
    there = {one.key: (one.size_bytes, one.etag) for one in _listed(target)}
    objects = sizes = etags = 0
    sample: list[str] = []
    for one in _listed(source):
        objects += 1
        size, etag = there.pop(one.key, (-1, ""))
        sizes += size == one.size_bytes
        etags += etag == one.etag
        if len(sample) < SAMPLE:
            sample.append(one.key)
    kept = [_kept(source, key) == _kept(target, key) for key in sample if key]
    return {
        "objects": objects,
        "equal": objects > 0 and sizes == objects and not there,
        "etags_equal": etags == objects,
        "metadata_kept": all(kept),
    }


def _listed(bucket: Any) -> Iterator[Any]:
    from drkeeper.buckets.listing import list_objects
    from drkeeper.buckets.reserved import is_reserved

    return (one for one in list_objects(bucket) if not is_reserved(one.key))


def _kept(bucket: Any, key: str) -> dict[str, str]:
    from drkeeper.buckets.errors import ObjectGone

    try:
        headers = bucket.request("HEAD", key).headers
    except ObjectGone:
        return {"gone": bucket.url}
    return {name: headers.get(name, "") for name in KEPT}


def boto3_copy(size_bytes: str) -> None:
    """What a careful script does: the bytes and what belongs to them, many at once, ETags compared."""
    source, from_bucket = _client("BENCH_SOURCE")
    target, into_bucket = _client("BENCH_TARGET")
    large = int(size_bytes) >= LARGE_BYTES

    def copy(key: str) -> None:
        got = source.get_object(Bucket=from_bucket, Key=key)
        extra = {"ContentType": got["ContentType"], "Metadata": got["Metadata"]}
        if large:
            from boto3.s3.transfer import TransferConfig

            config = TransferConfig(multipart_chunksize=PART_BYTES)
            target.upload_fileobj(got["Body"], into_bucket, key, ExtraArgs=extra, Config=config)
            return
        put = target.put_object(Bucket=into_bucket, Key=key, Body=got["Body"].read(), **extra)
        if put["ETag"] != got["ETag"]:
            raise SystemExit(f"{key} arrived otherwise")

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(copy, list(_keys(source, from_bucket))):
            pass


def boto3_compare() -> None:
    """Both listings at the same time, and what differs: nothing."""
    with ThreadPoolExecutor(2) as pool:
        source, target = pool.map(_etags, ("BENCH_SOURCE", "BENCH_TARGET"))
    if source != target:
        raise SystemExit("the buckets differ")


def drkeeper_inside(policy: str, system: str) -> dict[str, float]:
    """What the command does, in a process that has begun already."""
    import threading

    import pycurl  # noqa: F401 - imported when it is first used

    from drkeeper import artifacts
    from drkeeper.policy import load_policy
    from drkeeper.wiring import open_vault

    loaded = load_policy(Path(policy))
    began, cpu = time.monotonic(), _cpu_seconds()
    vault = open_vault(loaded)
    brought = artifacts.bring(vault, loaded, artifacts.pairs(loaded, [system]), stop=threading.Event())
    seconds, cpu = time.monotonic() - began, _cpu_seconds() - cpu
    if any(each.problem for each in brought):
        raise SystemExit(brought[0].problem)
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps({"wall_seconds": seconds, "cpu_seconds": cpu}))
    return {}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _etags(variable: str) -> dict[str, str]:
    client, name = _client(variable)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
    return {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", ())}


def _keys(client: Any, name: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        yield from (one["Key"] for one in page.get("Contents", ()))


def _client(variable: str) -> tuple[Any, str]:
    import boto3
    from botocore.client import Config

    given = json.loads(os.environ[variable])
    client = boto3.client(
        "s3",
        endpoint_url=given["endpoint"],
        aws_access_key_id=given["access_key"],
        aws_secret_access_key=given["secret_key"],
        region_name="us-east-1",
        config=Config(max_pool_connections=2 * THREADS),
    )
    return client, given["url"].removeprefix("s3://")


def _bucket(variable: str) -> Any:
    from drkeeper.buckets.bucket import Bucket
    from drkeeper.buckets.options import BucketOptions

    return Bucket(BucketOptions.model_validate(json.loads(os.environ[variable])))


if __name__ == "__main__":
    main()
