"""Where a Feast registry lies as one piece of bytes, read with a tag and replaced only while it still has that tag.

Used in Feast's own process: light, and without anything else of drkeeper's.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from drkeeper.errors import Refused

# What S3 says when a condition does not hold (412), when two conditional writes meet (409), and when the object that
# was to be replaced is gone (404).
CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"})
FORBIDDEN = frozenset({"AccessDenied", "403"})


class Place(Protocol):
    """One object that is replaced as a whole."""

    def read(self) -> tuple[bytes, str] | None:
        """The bytes and their tag; None where there is nothing."""
        ...

    def replace(self, data: bytes, tag: str | None) -> str | None:
        """Put these bytes in the place of those with the tag (None: of nothing); their tag.

        None, and nothing changed, where something else is there by now. After a lost answer that may be said of our
        own bytes.
        """
        ...

    def remove(self) -> None:
        """Remove it; nothing to remove is fine."""
        ...


class FilePlace:
    """A local file, replaced by renaming, so that readers see all or nothing.

    Writers take turns for that moment under an flock of `<file>.lock`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def __str__(self) -> str:
        """For people."""
        return str(self._file)

    def read(self) -> tuple[bytes, str] | None:
        """The tag is a hash."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return None
        return data, hashlib.sha256(data).hexdigest()

    def replace(self, data: bytes, tag: str | None) -> str | None:
        """Survives a power cut once it has returned."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._turn():
            present = self.read()
            if (present and present[1]) != tag:
                return None
            self._write(data)
        return hashlib.sha256(data).hexdigest()

    def remove(self) -> None:
        """Leaves the lock's file: another writer may be waiting at it."""
        self._file.unlink(missing_ok=True)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._file.with_name(f"{self._file.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, data: bytes) -> None:
        beside = self._file.with_name(f".{self._file.name}.{secrets.token_hex(4)}")
        try:
            with beside.open("wb") as out:
                if self._file.exists():
                    os.fchmod(out.fileno(), self._file.stat().st_mode & 0o777)
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            beside.replace(self._file)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class ConditionsIgnored(Refused):
    """An S3 server takes a write whose condition does not hold."""

    default_hint = "let writers take turns instead: `drkeeper lock NAME -- feast apply`"


class S3Place:
    """One object of a bucket, replaced by conditional PUTs (`If-Match`, and `If-None-Match: *` for the first).

    Before the first write a key beside it is used to see whether the server heeds conditions at all.

    Args:
        extra: Further arguments of `put_object` (encryption).
    """

    def __init__(self, bucket: str, key: str, extra: Mapping[str, str]) -> None:
        import boto3

        self._bucket, self._key, self._extra = bucket, key, dict(extra)
        self._client: Any = boto3.client("s3", endpoint_url=os.environ.get("FEAST_S3_ENDPOINT_URL"))
        self._tried = False

    def __str__(self) -> str:
        """For people."""
        return f"s3://{self._bucket}/{self._key}"

    def read(self) -> tuple[bytes, str] | None:
        """The tag is the ETag."""
        from botocore.exceptions import ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key)
        except ClientError as error:
            if _code(error) in {"NoSuchKey", "404"}:
                return None
            raise
        return answer["Body"].read(), str(answer["ETag"])

    def replace(self, data: bytes, tag: str | None) -> str | None:
        """One PUT.

        Raises:
            ConditionsIgnored: The server would write in any case.
        """
        if not self._tried:
            self._try_conditions()
        return self._put(self._key, data, tag)

    def remove(self) -> None:
        """Whatever its tag."""
        self._client.delete_object(Bucket=self._bucket, Key=self._key)

    def _put(self, key: str, data: bytes, tag: str | None) -> str | None:
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=data, **condition, **self._extra)
        except ClientError as error:
            if _code(error) in CONFLICTS:
                return None
            raise
        return str(answer["ETag"])

    def _try_conditions(self) -> None:
        """A condition that cannot hold, at a key that nobody uses."""
        from botocore.exceptions import ClientError

        key = f"{self._key}.drkeeper-{secrets.token_hex(4)}"
        try:
            written = self._put(key, b"", f'"{"0" * 32}"')
        except ClientError as error:
            if _code(error) not in FORBIDDEN:
                raise
            written = None  # rights to this one key alone: then nobody can ask
        if written is not None:
            with suppress(ClientError):
                self._client.delete_object(Bucket=self._bucket, Key=key)
            raise ConditionsIgnored(f"the server of {self} takes no notice of If-Match: updates would be lost")
        self._tried = True


def open_place(path: str, folder: Path | None, extra: Mapping[str, str] | None) -> Place:
    """What a Feast configuration names as the registry's path.

    Args:
        path: `s3://bucket/key`, `file:///path`, or a path, which may be relative to the folder.
        folder: Of the feature repository.
        extra: For S3.

    Raises:
        Refused: It is neither.
    """
    scheme, separator, rest = path.partition("://")
    if not separator:
        return FilePlace((folder or Path()) / path)
    if scheme == "file":
        return FilePlace(Path(rest))
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise Refused(f"a registry at {scheme}:// cannot be kept here: s3://bucket/key, or a file")
    return S3Place(bucket, key, extra or {})


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
