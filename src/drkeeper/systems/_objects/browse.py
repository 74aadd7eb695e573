"""What applications see of a bucket: keys, bytes, and where their SDKs find it."""

from collections.abc import Iterator

from pydantic import SecretStr

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.credentials import credentials_for
from drkeeper.buckets.described import describe
from drkeeper.buckets.listing import list_objects
from drkeeper.buckets.options import BucketOptions
from drkeeper.systems._objects.scope import Scope


def entries(bucket: Bucket, scope: Scope, prefix: str) -> Iterator[tuple[str, int]]:
    """Key and size of each protected object, by one listing."""
    return ((one.key, one.size_bytes) for one in list_objects(bucket, prefix) if scope.covers(one.key))


def fetch(bucket: Bucket, key: str) -> Iterator[bytes]:
    """The bytes of an object, which must not change meanwhile."""
    one = describe(bucket, key)
    return bucket.read(key, one.size_bytes, etag=one.etag)


def sdk_environment(options: BucketOptions) -> dict[str, SecretStr]:
    """The variables that boto3 reads, and MLflow's for the endpoint; nothing of a profile gets in between."""
    credentials = credentials_for(options)()
    environment = {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token,
        "AWS_DEFAULT_REGION": options.region,
        "AWS_ENDPOINT_URL_S3": options.endpoint or "",
        "MLFLOW_S3_ENDPOINT_URL": options.endpoint or "",
        "AWS_CA_BUNDLE": str(options.ca_certificate or ""),
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    return {name: SecretStr(value) for name, value in environment.items() if value}
