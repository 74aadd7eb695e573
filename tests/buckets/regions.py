"""Buckets of the tests' servers."""

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.options import BucketOptions


def bucket_at(server, name=None, **more):
    options = {
        "url": f"s3://{name or server.make_bucket()}",
        "endpoint": server.endpoint,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "allow_http": True,
        "timeout_seconds": 10,
    }
    return Bucket(BucketOptions(**{**options, **more}))
