"""One frame: cut by content, named by its keyed hash, compressed by itself, sealed where the vault is encrypted."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

import zstandard
from blake3 import blake3
from pydantic import Field
from pyfastcdc import FastCDC

from drkeeper.errors import FrameCorrupt
from drkeeper.recovery_point import Record
from drkeeper.vault.keys import Identities, Recipients

T = TypeVar("T")

MAX_FRAME_BYTES = 4 << 20


class CutterOptions(Record):
    """How a vault cuts streams. Never changed afterwards: another cutting shares no frames with the old one.

    Attributes:
        average_bytes: FastCDC's own parameter. With skipped minimum-size heads the measured average on random data is
            1.15 of it.
        seed: Random per vault, so that frame lengths do not tell which well-known file was stored.
    """

    algorithm: Literal["fastcdc-2020"] = "fastcdc-2020"
    minimum_bytes: int = Field(256 << 10, ge=64, le=1 << 20)
    average_bytes: int = Field(1 << 20, ge=256, le=4 << 20)
    maximum_bytes: int = Field(MAX_FRAME_BYTES, ge=1024, le=16 << 20)
    normalization: Literal[0, 1, 2, 3] = 1
    seed: int = Field(ge=0, lt=1 << 63)


def cut(chunks: Iterable[bytes], options: CutterOptions) -> Iterator[bytes]:
    """Cut a stream by its content, lazily; the same bytes give the same frames, whatever the blocks they come in."""
    cutter = FastCDC(
        options.average_bytes,
        min_size=options.minimum_bytes,
        max_size=options.maximum_bytes,
        normalized_chunking=options.normalization,
        seed=options.seed,
    )
    for chunk in cutter.cut_stream(_Reader(chunks)):
        yield bytes(chunk.data)


class _Reader(io.RawIOBase):
    """The chunks as FastCDC reads them: `readinto` fills the whole buffer, except at the end."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        filled = 0
        while filled < len(buffer):
            if not self._rest:
                block = next(self._chunks, None)
                if block is None:
                    break
                self._rest = memoryview(block)
                continue
            size = min(len(self._rest), len(buffer) - filled)
            buffer[filled : filled + size] = self._rest[:size]
            self._rest = self._rest[size:]
            filled += size
        return filled


class FrameCodec:
    """From plain bytes to what is stored, and back. Thread-safe.

    Args:
        hash_key: 32 bytes, the vault's own.
        level: Of zstd.
    """

    def __init__(self, hash_key: bytes, recipients: Recipients, identities: Identities, *, level: int) -> None:
        self._hash_key = hash_key
        self._recipients = recipients
        self._identities = identities
        self._level = level
        self._local = threading.local()  # zstd contexts are not thread-safe

    def id_of(self, plain: bytes) -> str:
        """The frame's name."""
        return blake3(plain, key=self._hash_key).hexdigest()

    def new_hasher(self) -> blake3:
        """For what does not come in one piece."""
        return blake3(key=self._hash_key)

    def encode(self, plain: bytes) -> bytes:
        """What is stored: one zstd frame with a content size and checksum, in one age file where encrypted."""
        compressor: zstandard.ZstdCompressor = self._context(
            "compressor", lambda: zstandard.ZstdCompressor(level=self._level, write_checksum=True)
        )
        return self._recipients.seal(compressor.compress(plain))

    def decode(self, stored: bytes, frame_id: str, *, max_bytes: int) -> bytes:
        """The plain bytes.

        Raises:
            FrameCorrupt: They are not what the name says.
            KeyMissing: Encrypted, and no identity.
        """
        packed = self._identities.open(stored, f"frame {frame_id}")
        decompressor: zstandard.ZstdDecompressor = self._context("decompressor", zstandard.ZstdDecompressor)
        try:
            # Looked at first: a damaged size field would have zstd allocate whatever it says.
            if not 0 <= zstandard.frame_content_size(packed) <= max_bytes:
                raise FrameCorrupt(f"frame {frame_id} has an impossible length")
            plain = decompressor.decompress(packed)
        except zstandard.ZstdError as error:
            raise FrameCorrupt(f"frame {frame_id} does not decompress: {error}") from error
        if self.id_of(plain) != frame_id:
            raise FrameCorrupt(f"frame {frame_id} does not hash to its name")
        return plain

    def _context(self, name: str, make: Callable[[], T]) -> T:
        context: T | None = getattr(self._local, name, None)
        if context is None:
            context = make()
            setattr(self._local, name, context)
        return context
