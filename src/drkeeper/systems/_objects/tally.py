"""Facts of many objects, gathered as they pass by: counts, bytes, and a digest that no order changes."""

import hashlib
import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from drkeeper.buckets.listed import is_multipart
from drkeeper.facts import Facts, Scalar
from drkeeper.systems._objects.inventory import ARCHIVED, Item

SAMPLE = "sample."
SAMPLE_BYTES = 8 << 20
DIGEST_BITS = 128


@dataclass
class Tally:
    """What has passed by.

    Attributes:
        seed: By which the sample is chosen.
        most: Of the sample.
    """

    seed: bytes = b""
    most: int = 0
    objects: int = 0
    size_bytes: int = 0
    oldest: str = ""
    newest: str = ""
    _digest: int = 0
    _sample: list[tuple[int, str, Item]] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """One more object."""
        self.objects += 1
        self.size_bytes += item.size_bytes
        # The ETag of an object in parts is no digest of its bytes, and a copy may have another.
        etag = "parts" if is_multipart(item.etag) else item.etag
        text = f"{item.key}\0{item.size_bytes}\0{etag}".encode(errors="surrogatepass")
        self._digest += int.from_bytes(hashlib.blake2b(text, digest_size=DIGEST_BITS // 8).digest())
        self.oldest = min(self.oldest or item.modified, item.modified)
        self.newest = max(self.newest, item.modified)
        if self.most and item.size_bytes <= SAMPLE_BYTES and item.storage_class not in ARCHIVED:
            self._choose(item)

    @property
    def sample(self) -> list[Item]:
        """Chosen by chance, by key."""
        return sorted((item for _, _, item in self._sample), key=lambda item: item.key)

    @property
    def exact(self) -> dict[str, Scalar]:
        """What must be equal after a restore."""
        digest = f"{self._digest % (1 << DIGEST_BITS):032x}"
        return {"objects": self.objects, "bytes": self.size_bytes, "digest": digest}

    def facts(self, digests: Mapping[str, str], **info: Scalar) -> Facts:
        """All of it.

        Args:
            digests: Of the sample's bytes, by key.
            **info: For people.
        """
        times: dict[str, Scalar] = {"oldest_modified": self.oldest or None, "newest_modified": self.newest or None}
        samples: dict[str, Scalar] = {SAMPLE + key: digest for key, digest in digests.items()}
        return Facts(exact={**self.exact, **samples}, info={**times, **info})

    def _choose(self, item: Item) -> None:
        """Keep those whose hash is lowest."""
        text = item.key.encode(errors="surrogatepass")
        rank = -int.from_bytes(hashlib.blake2b(text, key=self.seed, digest_size=8).digest())
        if len(self._sample) < self.most:
            heapq.heappush(self._sample, (rank, item.key, item))
        elif rank > self._sample[0][0]:
            heapq.heapreplace(self._sample, (rank, item.key, item))
