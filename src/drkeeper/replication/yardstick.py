"""By what an object's bytes can be checked: the MD5 in its ETag, or a checksum that its server keeps. Pure.

Sources: ETags https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html, checksums of whole objects and of parts
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from drkeeper.buckets.described import MD5_DIGITS, Described

ALGORITHMS = ("sha256", "sha1", "crc64nvme", "crc32c", "crc32")
"""Of checksums, the strongest first."""
POLYNOMIALS = {"crc64nvme": ("CRC64-NVME", 8), "crc32c": ("CRC32C", 4)}
UNCHECKABLE = "its ETag is no digest of its bytes, and its server keeps no checksum that we can compute"


@dataclass(frozen=True)
class Yardstick:
    """What is computed from the bytes, and what must come out.

    Attributes:
        algorithm: md5, or one of ALGORITHMS.
        expected: As the server writes it: hexadecimal in an ETag, base64 in a checksum; of parts, with `-N`.
        sizes: Of the parts whose digests are digested; () for the bytes as a whole.
    """

    algorithm: str
    expected: str
    sizes: tuple[int, ...] = ()


class Digest(Protocol):
    """Takes bytes in, and gives a digest out."""

    def update(self, block: bytes | memoryview, /) -> None:
        """Take in a block."""

    def digest(self) -> bytes:
        """Of everything so far."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, block: bytes | memoryview, /) -> None:
        self._value = zlib.crc32(block, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4)


class _OtherCrc:
    def __init__(self, name: str, width: int) -> None:
        import anycrc

        self._model = anycrc.Model(name)
        self._width = width
        self._value = self._model.calc(b"")

    def update(self, block: bytes | memoryview, /) -> None:
        self._value = self._model.calc(block, self._value)

    def digest(self) -> bytes:
        return int(self._value).to_bytes(self._width)


def digest_by(algorithm: str) -> Digest:
    """A new digest."""
    if algorithm == "crc32":
        return _Crc32()
    if algorithm in POLYNOMIALS:
        return _OtherCrc(*POLYNOMIALS[algorithm])
    return hashlib.new(algorithm, usedforsecurity=False)


def yardstick_of(one: Described, told_sizes: Callable[[], tuple[int, ...] | None]) -> Yardstick | None:
    """What an object can be checked by; None: by nothing.

    Args:
        one: The object.
        told_sizes: Asked for the sizes of its parts; None where the endpoint does not tell.
    """
    # Of an object in parts, what stands before the dash is made of MD5 digests where that of others is one.
    if not one.encrypted and len(one.etag.partition("-")[0]) == MD5_DIGITS:
        if not one.part_count:
            return Yardstick("md5", one.etag)
        sizes = told_sizes()
        if sizes:
            return Yardstick("md5", one.etag, sizes)
    return _by_checksum(one.checksums, told_sizes)


def _by_checksum(kept: Mapping[str, str], told_sizes: Callable[[], tuple[int, ...] | None]) -> Yardstick | None:
    for algorithm in ALGORITHMS:
        expected = kept.get(algorithm, "")
        if not expected:
            continue
        if "-" not in expected:  # base64 has no dash: without one, the bytes as a whole
            return Yardstick(algorithm, expected)
        sizes = told_sizes()
        if sizes:
            return Yardstick(algorithm, expected, sizes)
    return None


def measured(yardstick: Yardstick, blocks: Iterable[bytes]) -> str:
    """What the bytes come to, written as `expected` is."""
    form = bytes.hex if yardstick.algorithm == "md5" else _base64
    if not yardstick.sizes:
        whole = digest_by(yardstick.algorithm)
        for block in blocks:
            whole.update(block)
        return form(whole.digest())
    over_parts = digest_by(yardstick.algorithm)
    for part in _digests(yardstick, blocks):
        over_parts.update(part)
    return f"{form(over_parts.digest())}-{len(yardstick.sizes)}"


def _digests(yardstick: Yardstick, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """One digest a part; bytes beyond the last part belong to none."""
    stream = iter(blocks)
    rest = memoryview(b"")
    for size in yardstick.sizes:
        part = digest_by(yardstick.algorithm)
        left = size
        while left:
            if not rest:
                rest = memoryview(next(stream, b""))
            if not rest:
                break
            part.update(rest[:left])
            taken = min(left, len(rest))
            left -= taken
            rest = rest[taken:]
        yield part.digest()


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode()
