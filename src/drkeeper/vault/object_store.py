"""The one implementation of `Store`: obstore, for local folders, S3, GCS, Azure and memory.

obstore's retries cover 5xx answers and dropped connections; its errors are told apart by class and, where it has no
class for them (no space left), by the text of the operating system or the HTTP status.
"""

import ctypes
import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions as obstore_errors
from obstore import store as obstore_stores

from drkeeper.errors import DrkeeperError, VaultFull, VaultUnreachable
from drkeeper.vault.store import Entry, ObjectMissing, StoreOptions

UNFINISHED = re.compile(r"#\d+$")
DELETE_BATCH = 1000  # S3's own bound of one DeleteObjects
FULL = re.compile(
    r"os error (28|122)\b|\b507\b|Insufficient Storage|QuotaExceeded|StorageFull|disk full", re.IGNORECASE
)
DENIED = re.compile(r"os error (1|13|30)\b|\b40[13]\b|AccessDenied|SignatureDoesNot|InvalidAccess", re.IGNORECASE)


class ObjectStore:
    """A store over obstore."""

    def __init__(self, options: StoreOptions) -> None:
        self.url = options.url
        self._options = options
        self._folder = options.local_folder
        self.needs_flush = self._folder is not None
        self._memory = obstore_stores.MemoryStore() if options.url.startswith("memory:") else None
        self._opened: Any = None

    def prepare(self) -> None:
        """Make the local folder; nothing else needs making."""
        if self._folder is not None:
            with _translated(self.url):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, key: str) -> bytes:
        """The whole object."""
        with _translated(self.url, key):
            return bytes(obstore.get(self._backend, key).bytes())

    def put(self, key: str, data: bytes) -> None:
        """Write, or replace, the object."""
        with _translated(self.url, key):
            obstore.put(self._backend, key, data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free."""
        with _translated(self.url, key):
            try:
                obstore.put(self._backend, key, data, mode="create", use_multipart=False)
            except (obstore_errors.AlreadyExistsError, obstore_errors.PreconditionError):
                return False
        return True

    def head(self, key: str) -> Entry | None:
        """Size and time of the object."""
        try:
            with _translated(self.url, key):
                return _entry(obstore.head(self._backend, key))
        except ObjectMissing:
            return None

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects below a prefix."""
        if not prefix.endswith("/"):
            raise ValueError(f"a prefix ends in /: {prefix}")
        with _translated(self.url, prefix):
            for batch in obstore.list(self._backend, prefix=prefix.rstrip("/")):
                yield from map(_entry, batch)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, in batches where the store has them."""
        pending = iter(keys)
        while batch := list_of(islice(pending, DELETE_BATCH if self._folder is None else 1)):
            try:
                with _translated(self.url, batch[0]):
                    obstore.delete(self._backend, batch)
            except ObjectMissing:
                continue

    def discard_unfinished(self, before: datetime) -> int:
        """Remove a local folder's `name#1` files, which obstore writes before it renames them."""
        if self._folder is None:
            return 0
        with _translated(self.url):
            unfinished = [file for file in self._folder.rglob("*#*") if UNFINISHED.search(file.name)]
            old = [file for file in unfinished if file.stat().st_mtime < before.timestamp()]
            for file in old:
                file.unlink(missing_ok=True)
        return len(old)

    def flush(self) -> None:
        """Make a local folder's file system write everything out: obstore does not sync what it writes."""
        if self._folder is not None:
            with _translated(self.url):
                _sync_file_system(self._folder)

    @property
    def _backend(self) -> Any:
        if self._memory is not None:
            return self._memory
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> Any:
        if self._folder is not None:
            return obstore_stores.LocalStore(self._folder)
        return obstore_stores.from_url(
            self.url,
            config=_config(self._options),
            client_options=_client_options(self._options),
            retry_config={
                "max_retries": self._options.retries,
                "retry_timeout": timedelta(seconds=self._options.timeout_seconds * 2),
                "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
            },
        )


def list_of(keys: Iterator[str]) -> list[str]:
    """The keys, as obstore wants them (`list` is a method's name here)."""
    return [*keys]


def _entry(meta: Any) -> Entry:
    return Entry(meta["path"], meta["size"], meta["last_modified"])


def _config(options: StoreOptions) -> Any:
    secret = options.secret_key.get_secret_value() if options.secret_key else None
    token = options.session_token.get_secret_value() if options.session_token else None
    scheme = options.url.partition("://")[0]
    values: dict[str, Any] = {}
    if scheme == "s3":
        values = {
            "endpoint": options.endpoint,
            "region": options.region or ("us-east-1" if options.endpoint else None),
            "access_key_id": options.access_key,
            "secret_access_key": secret,
            "session_token": token,
            "virtual_hosted_style_request": options.virtual_hosted,
        }
    elif scheme == "gs":
        values = {"service_account": str(options.credentials_file) if options.credentials_file else None}
    elif scheme == "az":
        values = {"account_key": secret, "endpoint": options.endpoint}
    return {name: value for name, value in values.items() if value is not None}


def _client_options(options: StoreOptions) -> Any:
    values: dict[str, Any] = {
        "timeout": timedelta(seconds=options.timeout_seconds),
        "connect_timeout": timedelta(seconds=min(10.0, options.timeout_seconds)),
        "allow_http": options.allow_http,
    }
    if options.ca_certificate is not None:
        values["root_certificate"] = options.ca_certificate.read_bytes()
    return values


@contextmanager
def _translated(url: str, key: str = "") -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, obstore_errors.NotFoundError) as error:
        raise ObjectMissing(f"{url} has no {key}") from error
    except (obstore_errors.BaseError, OSError, ValueError) as error:
        raise _translate(error, url) from error


def _translate(error: Exception, url: str) -> DrkeeperError:
    text = str(error).replace(url.removeprefix("file://"), "")  # a folder named 507 says nothing about its room
    if FULL.search(text) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return VaultFull(f"{url} has no space left")
    denied = isinstance(error, obstore_errors.PermissionDeniedError | obstore_errors.UnauthenticatedError)
    if denied or isinstance(error, PermissionError) or DENIED.search(text):
        return VaultUnreachable(
            f"{url} refuses us: {_first_line(text)}", hint="check the credentials, and what they permit on it"
        )
    if "UnableToCanonicalize" in text:
        return VaultUnreachable(f"the folder {url} is not there", hint="mount it, or create it with `drkeeper init`")
    return VaultUnreachable(f"{url} does not answer: {_first_line(text)}")


def _first_line(text: str) -> str:
    """Without obstore's debug dump, and without query strings, which may carry a signature."""
    return re.sub(r"\?\S*", "?…", text.partition("\n")[0])[:300]


def _sync_file_system(folder: Path) -> None:
    """syncfs(2) of the file system that holds the folder; sync(2) where libc has none."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
