"""The RDB format, as far as a backup must know it: header, version, end, CRC-64, and who can load what.

A server that is fed an RDB with a bad checksum, a flipped bit or a short body ends itself, and one that is fed a
version it does not know throws its old data away first (both seen, `docs/adr/0020-redis-over-replication.md`). So
every byte is checked before any server gets it. Sources: `rdb.h` and `rdb.c` of Redis and Valkey.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import anycrc

_MAGICS = (b"REDIS", b"VALKEY")
_HEADER_BYTES = 9
_TAIL_BYTES = 9  # 0xFF and eight bytes of CRC-64, little-endian
_FIRST_WITH_CRC = 5
_OPCODE_END = 0xFF
_OPCODE_SELECT = 0xFE
_OPCODE_SIZES = 0xFB
_OPCODE_AUX = 0xFA
_OPCODE_FUNCTION = 0xF5


class RdbInvalid(Exception):
    """Not a whole, sound RDB; the message says what is wrong."""


@dataclass(frozen=True)
class Sizes:
    """How many keys, and how many of them with a TTL, the first database of an RDB has."""

    database: int
    keys: int
    expires: int


def rdb_version(header: bytes) -> int:
    """The version that the first nine bytes state.

    Raises:
        RdbInvalid: They are no RDB header.
    """
    for magic in _MAGICS:
        digits = header[len(magic) : _HEADER_BYTES]
        if header.startswith(magic) and len(header) >= _HEADER_BYTES and digits.isdigit():
            return int(digits)
    raise RdbInvalid("it does not begin like an RDB")


class RdbCheck:
    """Follows an RDB as its blocks pass by.

    A source with `rdbchecksum no` writes a checksum of 0: then `checksummed` is False, and only header and end are
    known to be right.
    """

    def __init__(self) -> None:
        self._model = anycrc.Model("CRC64-REDIS")
        self._crc = 0
        self._tail = b""
        self.head = b""
        self.size_bytes = 0
        self.checksummed = True

    def feed(self, block: bytes) -> None:
        """Take the next block."""
        if len(self.head) < 1 << 16:
            self.head += block[: 1 << 16]
        self.size_bytes += len(block)
        if len(block) < _TAIL_BYTES:
            block, self._tail = self._tail + block, b""
        cut = max(0, len(block) - _TAIL_BYTES)
        if cut or self._tail:
            self._crc = self._model.calc(self._tail, self._crc)
            self._crc = self._model.calc(memoryview(block)[:cut], self._crc)
        self._tail = bytes(block[cut:])

    @property
    def version(self) -> int:
        """As its header states."""
        return rdb_version(self.head[:_HEADER_BYTES])

    def finish(self) -> None:
        """Judge the whole.

        Raises:
            RdbInvalid: Header, end or checksum is wrong.
        """
        version = self.version
        if version < _FIRST_WITH_CRC:
            raise RdbInvalid(f"RDB version {version} has no checksum and is not supported")
        if len(self._tail) < _TAIL_BYTES or self._tail[0] != _OPCODE_END:
            raise RdbInvalid(f"it does not end like an RDB ({self.size_bytes} bytes)")
        stated = int.from_bytes(self._tail[1:], "little")
        actual = self._model.calc(self._tail[:1], self._crc)
        self.checksummed = stated != 0
        if self.checksummed and stated != actual:
            raise RdbInvalid(f"its checksum is {actual:016x}, and it should be {stated:016x}")


def checked(blocks: Iterable[bytes], check: RdbCheck) -> Iterator[bytes]:
    """Pass the blocks on; the last one only once the whole is known to be sound.

    Raises:
        RdbInvalid: It is not.
    """
    held: bytes | None = None
    for block in blocks:
        check.feed(block)
        if held is not None:
            yield held
        held = block
    check.finish()
    if held is not None:
        yield held


def first_sizes(head: bytes) -> Sizes | None:
    """The key counts of the first database, from the first bytes of an RDB; None where they lie further on.

    They are written by the forked child (`rdbSaveDb`), so they are those of the frozen moment.
    """
    try:
        return _read_sizes(head, _HEADER_BYTES)
    except (IndexError, ValueError):
        return None


def _read_sizes(head: bytes, at: int) -> Sizes | None:
    database = 0
    while True:
        opcode, at = head[at], at + 1
        if opcode == _OPCODE_AUX:
            at = _skip_string(head, _skip_string(head, at))
        elif opcode == _OPCODE_FUNCTION:
            at = _skip_string(head, at)
        elif opcode == _OPCODE_SELECT:
            database, at = _length(head, at)
        elif opcode == _OPCODE_SIZES:
            keys, at = _length(head, at)
            expires, at = _length(head, at)
            return Sizes(database, keys, expires)
        else:
            return None


def _length(head: bytes, at: int) -> tuple[int, int]:
    first = head[at]
    match first >> 6:
        case 0:
            return first & 0x3F, at + 1
        case 1:
            return (first & 0x3F) << 8 | head[at + 1], at + 2
        case 2 if first == 0x80:  # noqa: PLR2004
            return _integer(head, at + 1, 4), at + 5
        case 2 if first == 0x81:  # noqa: PLR2004
            return _integer(head, at + 1, 8), at + 9
    raise ValueError(f"no length at {at}")


def _integer(head: bytes, at: int, width: int) -> int:
    raw = head[at : at + width]
    if len(raw) < width:
        raise IndexError(at)
    return int.from_bytes(raw, "big")


def _skip_string(head: bytes, at: int) -> int:
    first = head[at]
    if first >> 6 != 3:  # noqa: PLR2004
        length, at = _length(head, at)
        return at + length
    encoding = first & 0x3F
    if encoding < 3:  # noqa: PLR2004 - integers of 1, 2 and 4 bytes
        return at + 1 + (1 << encoding)
    packed, at = _length(head, at + 1)
    _, at = _length(head, at)
    return at + packed


# --- who loads what: measured, see docs/adr/0020 -----------------------------------------------------------


def newest_loadable(fields: dict[str, str]) -> tuple[int, ...]:
    """The RDB versions that a server loads, from its INFO; empty where we do not know the server.

    Redis 6.2 writes 9, 7.0 and 7.2 10 and 11, 7.4 and 8 12; Valkey 7.2 and 8 11, 9.0 11 or 80, 9.1 80.
    Valkey 9 refuses 12 to 79: those are Redis' own.
    """
    valkey = fields.get("valkey_version", "")
    version = _pair(valkey or fields.get("redis_version", ""))
    if not version:
        return ()
    if valkey:
        return (*range(_FIRST_WITH_CRC, 12), 80) if version >= (9, 0) else tuple(range(_FIRST_WITH_CRC, 12))
    table = (((7, 4), 12), ((7, 2), 11), ((7, 0), 10), ((5, 0), 9))
    newest = next((rdb for since, rdb in table if version >= since), 0)
    return tuple(range(_FIRST_WITH_CRC, newest + 1))


def _pair(version: str) -> tuple[int, int] | tuple[()]:
    parts = version.split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):  # noqa: PLR2004
        return ()
    return int(parts[0]), int(parts[1])
