"""Which frames a vault holds (for deduplication), and which frames make up a stream (its index)."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import zstandard

from drkeeper.errors import FrameCorrupt
from drkeeper.vault.frames import FrameCodec
from drkeeper.vault.layout import FRAMES, object_id
from drkeeper.vault.store import Store

PREFIX_BYTES = 16  # of a 32-byte id: two frames that share 128 bits of a keyed hash are not to be expected
MERGE_AT = 512
ID_DIGITS = 64
BLOCK_BYTES = 1 << 16


class FrameIndex:
    """The frames that a store holds, in about 16 bytes each: sorted id prefixes in 256 shards. Thread-safe."""

    def __init__(self) -> None:
        self._sorted = [b""] * 256
        self._recent: list[set[bytes]] = [set() for _ in range(256)]
        self._lock = threading.Lock()

    @classmethod
    def load(cls, store: Store) -> "FrameIndex":
        """All frames in the store, by one listing. Empty files, which a power cut can leave, do not count."""
        index = cls()
        for entry in store.list(FRAMES):
            frame_id = object_id(entry.key)
            if entry.size_bytes > 0 and len(frame_id) == ID_DIGITS:
                index.add(frame_id)
        return index

    def __contains__(self, frame_id: str) -> bool:
        """Whether the store holds this frame."""
        prefix = _prefix(frame_id)
        with self._lock:
            return prefix in self._recent[prefix[0]] or _contains(self._sorted[prefix[0]], prefix)

    def __len__(self) -> int:
        """How many frames the store holds."""
        with self._lock:
            return sum(len(shard) // PREFIX_BYTES for shard in self._sorted) + sum(map(len, self._recent))

    def add(self, frame_id: str) -> None:
        """The store now holds this frame."""
        prefix = _prefix(frame_id)
        with self._lock:
            shard = prefix[0]
            if _contains(self._sorted[shard], prefix):
                return
            self._recent[shard].add(prefix)
            if len(self._recent[shard]) >= MERGE_AT:
                merged = sorted([*_split(self._sorted[shard]), *self._recent[shard]])
                self._sorted[shard] = b"".join(merged)
                self._recent[shard] = set()


class IndexWriter:
    """Builds a stream index line by line, compressed as it grows."""

    def __init__(self, codec: FrameCodec) -> None:
        self._hasher = codec.new_hasher()
        self._compressor = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
        self._packed = bytearray()
        self.frame_count = 0
        self.size_bytes = 0

    def add(self, frame_id: str, size_bytes: int) -> None:
        """The stream's next frame."""
        line = f"{frame_id} {size_bytes}\n".encode()
        self._hasher.update(line)
        self._packed += self._compressor.compress(line)
        self.frame_count += 1
        self.size_bytes += size_bytes

    def finish(self) -> tuple[str, bytes]:
        """The index's id, and its stored bytes."""
        self._packed += self._compressor.flush()
        return self._hasher.hexdigest(), bytes(self._packed)


@dataclass(frozen=True)
class FrameSpan:
    """One line of a stream index."""

    frame_id: str
    size_bytes: int


def check_index(packed: bytes, index_id: str, codec: FrameCodec) -> None:
    """Hash a stored index to its end.

    Raises:
        FrameCorrupt: It is not what its name says.
    """
    hasher = codec.new_hasher()
    for block in _decompress(packed, index_id):
        hasher.update(block)
    if hasher.hexdigest() != index_id:
        raise FrameCorrupt(f"stream index {index_id} does not hash to its name")


def read_index(packed: bytes, index_id: str) -> Iterator[FrameSpan]:
    """The lines of a stored index that `check_index` has passed."""
    rest = b""
    for block in _decompress(packed, index_id):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            frame_id, _, size = line.partition(b" ")
            yield FrameSpan(frame_id.decode(), int(size))


def _decompress(packed: bytes, index_id: str) -> Iterable[bytes]:
    try:
        yield from zstandard.ZstdDecompressor().read_to_iter(packed, write_size=BLOCK_BYTES)
    except zstandard.ZstdError as error:
        raise FrameCorrupt(f"stream index {index_id} does not decompress: {error}") from error


def _prefix(frame_id: str) -> bytes:
    return bytes.fromhex(frame_id[: 2 * PREFIX_BYTES])


def _split(shard: bytes) -> Iterator[bytes]:
    return (shard[at : at + PREFIX_BYTES] for at in range(0, len(shard), PREFIX_BYTES))


def _contains(shard: bytes, prefix: bytes) -> bool:
    low, high = 0, len(shard) // PREFIX_BYTES
    while low < high:
        middle = (low + high) // 2
        found = shard[middle * PREFIX_BYTES : (middle + 1) * PREFIX_BYTES]
        if found == prefix:
            return True
        low, high = (middle + 1, high) if found < prefix else (low, middle)
    return False
