"""The files of one model, fetched into a folder that goes away again."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from drkeeper.applications._mlflow.claims import RECIPE
from drkeeper.applications._mlflow.places import Place
from drkeeper.errors import DrkeeperError
from drkeeper.systems import Browsing


class FilesMissing(DrkeeperError):
    """A model's folder has no MLmodel file."""


class FilesTooLarge(DrkeeperError):
    """A model is larger than what may be fetched."""

    default_hint = "allow more in `model_bytes` of the application"


@dataclass(frozen=True)
class Files:
    """What was fetched.

    Attributes:
        folder: Where it is.
        digests: SHA-256 by path in it, sorted.
    """

    folder: Path
    digests: dict[str, str]

    @property
    def digest(self) -> str:
        """Of all paths and their contents."""
        text = "".join(f"{path}\0{digest}\n" for path, digest in self.digests.items())
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@contextmanager
def fetched(place: Place, bucket: Browsing, most_bytes: int) -> Iterator[Files]:
    """Every object of a folder, as a file.

    Raises:
        FilesMissing: There is no MLmodel file.
        FilesTooLarge: They are more than `most_bytes`, by the listing; nothing was fetched.
        DrkeeperError: The bucket does not answer, or an object went away meanwhile.
    """
    prefix = f"{place.key}/" if place.key else ""
    found = {key[len(prefix) :]: size for key, size in bucket.entries(prefix) if not key.endswith("/")}
    if RECIPE not in found:
        raise FilesMissing(f"{bucket.url}/{prefix} has no file {RECIPE}")
    total = sum(found.values())
    if total > most_bytes:
        raise FilesTooLarge(f"{bucket.url}/{prefix} has {total:,} bytes, of {most_bytes:,} that may be fetched")
    with tempfile.TemporaryDirectory(prefix="drkeeper-model-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        digests = {path: _fetch(bucket, prefix + path, folder / _safe(path)) for path in sorted(found)}
        yield Files(folder, digests)


def _safe(path: str) -> PurePosixPath:
    """A key as a path that stays in its folder.

    Raises:
        FilesMissing: It would not.
    """
    parts = path.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in path:
        raise FilesMissing(f"the object {path!r} cannot be a file of a model")
    return PurePosixPath(path)


def _fetch(bucket: Browsing, key: str, file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with file.open("wb") as out:
        for block in bucket.fetch(key):
            digest.update(block)
            out.write(block)
    return digest.hexdigest()
