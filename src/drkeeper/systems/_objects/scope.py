"""Which keys of a bucket are meant: all that are protected, or a prefix or single keys of them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.listed import Listed, Version
from drkeeper.buckets.listing import list_objects, list_versions
from drkeeper.buckets.reserved import OURS, protects

UNNAMED = "\ufffd"
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffd-\uffff]")


@dataclass(frozen=True)
class Scope:
    """A part of what a policy protects in a bucket.

    Attributes:
        exclude: Patterns of keys that are not protected.
        only: Prefixes (they end in `/`) and single keys; all where there is none.
    """

    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def covers(self, key: str) -> bool:
        """Whether the key is meant. Nothing below `.drkeeper/` is: what is ours is no part of the data."""
        return not key.startswith(OURS) and self._protected(key) and (not self.only or self._named(key))

    def objects(self, bucket: Bucket) -> Iterator[Listed]:
        """Present objects that are meant, in no order that counts."""
        return (one for prefix in self._prefixes for one in list_objects(bucket, prefix) if self.covers(one.key))

    def versions(self, bucket: Bucket) -> Iterator[Version]:
        """All versions and delete markers of keys that are meant.

        Some endpoints cannot name every key in a listing of versions: XML has no control characters (SeaweedFS has no
        other form). What is present under such keys comes at the end, with "" as its version's id.
        """
        unnamed = False
        for prefix in self._prefixes:
            for one in list_versions(bucket, prefix):
                if UNNAMED in one.key:
                    unnamed = True
                elif self.covers(one.key):
                    yield one
        if unnamed:
            yield from (_present(one) for one in self.objects(bucket) if NOT_IN_XML.search(one.key))

    @cached_property
    def _protected(self) -> Callable[[str], bool]:
        return protects(self.exclude)

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        """What to list: none of them within another, so that no key comes twice."""
        return tuple(
            one for one in self.only if not any(one != other and one.startswith(other) for other in self.only)
        ) or ("",)

    def _named(self, key: str) -> bool:
        return any(key.startswith(one) if one.endswith("/") else key == one for one in self.only)


def words(only: Sequence[str]) -> str:
    """What was chosen, for people."""
    return ", ".join(only[:3]) + (f" and {len(only) - 3} more" if len(only) > 3 else "")  # noqa: PLR2004


def _present(one: Listed) -> Version:
    return Version(
        key=one.key,
        version_id="",
        modified_at=one.modified_at,
        is_latest=True,
        is_marker=False,
        size_bytes=one.size_bytes,
        etag=one.etag,
        storage_class=one.storage_class,
    )
