"""What a store tells of its locks stands in the record of a drill; what it does not tell is not made up."""

from datetime import UTC, datetime, timedelta

from drkeeper.vault.locked import locked_until
from drkeeper.vault.store import StoreOptions


def test_an_object_that_is_retained_says_until_when(s3):
    name, until = "locked-vault", datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    client = s3.client()
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    client.put_object(
        Bucket=name,
        Key="some/prefix/points/locked.json",
        Body=b"1",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
    )
    client.put_object(Bucket=name, Key="some/prefix/points/free.json", Body=b"2")
    options = s3.store_options(name)
    assert locked_until(options, "points/locked.json") == until
    assert locked_until(options, "points/free.json") is None
    assert locked_until(options, "points/missing.json") is None


def test_where_nobody_tells_nothing_is_known(tmp_path, s3):
    assert locked_until(StoreOptions(url=str(tmp_path)), "points/x.json") is None
    away = s3.store_options("nowhere", endpoint="http://127.0.0.1:9", timeout_seconds=1, retries=0)
    assert locked_until(away, "points/x.json") is None
