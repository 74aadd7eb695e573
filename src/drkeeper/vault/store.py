"""What a store must promise, and what a policy may say about one.

Everything above speaks to a `Store` only. The one implementation is `object_store` (over obstore); it is imported
when a store is opened, so that reading a policy does not pay for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from drkeeper.errors import DrkeeperError

SCHEMES = ("file", "s3", "gs", "az", "memory")


class ObjectMissing(DrkeeperError):
    """The store answers, and has no object of that key."""


@dataclass(frozen=True)
class Entry:
    """One stored object; `modified_at` is by the store's own clock."""

    key: str
    size_bytes: int
    modified_at: datetime


class Store(Protocol):
    """A flat space of immutable-by-habit objects, keyed by `/`-separated names.

    An implementation promises:

    * `put` and `create` are atomic: a reader sees the whole object or none, also after a crash of the writer;
    * what was written is read, and listed, at once (read-after-write);
    * of any number of concurrent `create` calls for one key exactly one is told True;
    * every call ends in bounded time, with its result or with one of ObjectMissing, VaultUnreachable (the store does
      not answer, or refuses our credentials) and VaultFull; after such an error the object is as before, or as wanted;
    * every method may be called from several threads.
    """

    url: str
    """Where it is, without secrets; for messages."""
    needs_flush: bool
    """Whether a power cut may take, or tear, what was written since the last `flush`."""

    def prepare(self) -> None:
        """Make what must exist before the first write (a local folder). Buckets are made by their owner."""
        ...

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write, or replace, the object."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; False, and nothing changed, if it is not.

        Where a lost answer was retried, the caller may be told False about its own write: `create_once` copes.
        """
        ...

    def head(self, key: str) -> Entry | None:
        """Size and time of the object, None where there is none."""
        ...

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects below a prefix that ends in `/`, in no particular order, in bounded memory."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are passed over."""
        ...

    def discard_unfinished(self, before: datetime) -> int:
        """Remove what writers that were killed before then left half-written, where nobody lists it; how many."""
        ...

    def flush(self) -> None:
        """Return when everything written so far would survive a power cut; nothing to do on object storage."""
        ...


class StoreOptions(BaseModel):
    """One region's entry in a policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="/absolute/folder, file:///folder, s3://bucket/prefix, gs://…, az://account/container")
    endpoint: str | None = Field(None, description="Of an S3-compatible server, e.g. https://minio.example:9000")
    region: str | None = Field(None, description="The bucket's region (S3)")
    access_key: str | None = Field(None, description="S3 access key; without it, the environment's own credentials")
    secret_key: SecretStr | None = Field(None, description="S3 secret key, or Azure account key")
    session_token: SecretStr | None = Field(None, description="Of temporary S3 credentials")
    credentials_file: Path | None = Field(None, description="Service-account file (GCS)")
    allow_http: bool = Field(default=False, description="Permit an endpoint without TLS")
    virtual_hosted: bool = Field(default=False, description="bucket.host instead of host/bucket (S3)")
    ca_certificate: Path | None = Field(None, description="PEM file of a private certificate authority")
    timeout_seconds: float = Field(60, gt=0, description="Bound of one request")
    retries: int = Field(4, ge=0, le=20, description="Of a request that failed for a passing reason")
    overlay: Path | None = Field(None, description="Only read it: what is written goes to this folder (game days)")

    @model_validator(mode="after")
    def _known_scheme(self) -> Self:
        scheme = "file" if self.url.startswith("/") else self.url.partition("://")[0]
        if scheme not in SCHEMES:
            raise ValueError(f"url must be an absolute folder or start with one of {', '.join(SCHEMES)}://")
        if (self.access_key is None) != (self.secret_key is None) and scheme == "s3":
            raise ValueError("access_key and secret_key go together")
        return self

    @property
    def local_folder(self) -> Path | None:
        """The folder of a local store, None for any other."""
        if self.url.startswith("/"):
            return Path(self.url)
        return Path(self.url.removeprefix("file://")) if self.url.startswith("file://") else None

    def hurried(self, seconds: float) -> "StoreOptions":
        """The same store for somebody who does not wait long: a bound of one request, and one retry."""
        less = {"timeout_seconds": min(self.timeout_seconds, seconds), "retries": min(self.retries, 1)}
        return self.model_copy(update=less)


def open_store(options: StoreOptions) -> Store:
    """The store that the options describe. Connects to nothing; `memory://` gives a new, empty one each time."""
    from drkeeper.vault.object_store import ObjectStore

    if options.overlay is None:
        return ObjectStore(options)
    from drkeeper.vault.overlay import Overlay

    return Overlay(ObjectStore(StoreOptions(url=str(options.overlay.absolute()))), ObjectStore(options))


def create_once(store: Store, key: str, data: bytes) -> bool:
    """`Store.create` for data that no other writer could have written (they hold a random id).

    A request whose answer was lost is retried and then finds its own object: that counts as created.
    """
    if store.create(key, data):
        return True
    try:
        return store.get(key) == data
    except ObjectMissing:
        return False
