"""Git objects in memory, each as it lies in a pack: so neither a work tree nor a scratch disk is needed.

A Pod with a read-only root file system has no place for a clone. An object is compressed once, when it is added, and
these very bytes go into the push and into the bundle. Format: git's `gitformat-pack`.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dulwich.objects import hex_to_sha
from dulwich.pack import OFS_DELTA, REF_DELTA, UnpackedObject, apply_delta

COMMIT, TREE, BLOB = 1, 2, 3
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", 4: b"tag"}
_HEADER = struct.Struct(">4sLL")
_VERSION = 2
_DIGEST_BYTES = 20
_PIECE_BYTES = 4096
_BLOCK_BYTES = 64 << 10
# zlib's level 6 takes twice as long as 1 for 15 % fewer bytes of YAML; the remote packs anew anyway.
_LEVEL = 3
# What new objects of one commit may take, compressed: some 100,000 manifests. With the tables beside them this stays
# within the 256 MiB that a capture may use.
LIMIT_BYTES = 64 << 20
# Content of one object, from a remote or a bundle: etcd takes none above 1.5 MiB, a tree of 300,000 names is 16 MiB.
_CONTENT_LIMIT_BYTES = 32 << 20


class PackTooLarge(Exception):
    """More objects than memory is set aside for."""


class PackBroken(Exception):
    """Bytes that are no pack, were cut off, or do not match their digest."""


def object_id(kind: int, content: bytes) -> bytes:
    """The name of an object, 40 hexadecimal digits."""
    digest = hashlib.sha1(b"%s %d\0" % (_NAMES[kind], len(content)), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest().encode()


@dataclass(frozen=True)
class _Held:
    kind: int
    packed: bytes


class Objects:
    """Objects for one pack, in the order in which they came, compressed.

    Args:
        limit_bytes: What they may take together.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._held: dict[bytes, _Held] = {}

    def __len__(self) -> int:
        """How many objects."""
        return len(self._held)

    def __contains__(self, name: bytes) -> bool:
        """Whether the object of that name is here."""
        return name in self._held

    def add(self, kind: int, content: bytes, name: bytes = b"") -> bytes:
        """Keep an object (once) and return its name.

        Raises:
            PackTooLarge: The limit would be passed.
        """
        name = name or object_id(kind, content)
        if name not in self._held:
            packed = _entry_header(kind, len(content)) + zlib.compress(content, _LEVEL)
            self.size_bytes += len(packed)
            if self.size_bytes > self._limit_bytes:
                raise PackTooLarge
            self._held[name] = _Held(kind, packed)
        return name

    def drop(self, names: Iterable[bytes]) -> None:
        """Forget objects; unknown names are passed over."""
        for name in names:
            held = self._held.pop(name, None)
            if held is not None:
                self.size_bytes -= len(held.packed)

    def with_added(self, others: Iterable[tuple[int, bytes]]) -> "Objects":
        """These and others, the bytes shared; so each attempt to commit adds its own trees only."""
        both = Objects(self._limit_bytes)
        both._held = dict(self._held)
        both.size_bytes = self.size_bytes
        for kind, content in others:
            both.add(kind, content)
        return both

    def records(self) -> Iterator[UnpackedObject]:
        """As dulwich sends them; it takes over the compressed bytes."""
        for name, held in self._held.items():
            record = UnpackedObject(held.kind, decomp_chunks=[], sha=hex_to_sha(name))
            record.comp_chunks = [held.packed]
            yield record

    def chunks(self) -> Iterator[bytes]:
        """The pack, in blocks."""
        digest = hashlib.sha1(usedforsecurity=False)
        block = bytearray(_HEADER.pack(b"PACK", _VERSION, len(self._held)))
        for held in self._held.values():
            block += held.packed
            if len(block) >= _BLOCK_BYTES:
                digest.update(block)
                yield bytes(block)
                block.clear()
        digest.update(block)
        yield bytes(block) + digest.digest()


def _entry_header(kind: int, size_bytes: int) -> bytes:
    byte, size_bytes = (kind << 4) | (size_bytes & 15), size_bytes >> 4
    header = bytearray()
    while size_bytes:
        header.append(byte | 0x80)
        byte, size_bytes = size_bytes & 0x7F, size_bytes >> 7
    header.append(byte)
    return bytes(header)


# --- reading --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    offset: int
    kind: int
    base: int | bytes | None
    content: bytes


def read_pack(
    data: bytes | bytearray, kinds: frozenset[int], *, remember: frozenset[int] | None = None
) -> Iterator[tuple[int, bytes, bytes]]:
    """Objects of a pack, as (kind, name, content), deltas resolved.

    Only objects of the `kinds` wanted are given out; the others pass by one at a time, so a repository whose server
    cannot leave blobs out needs no memory for them. A delta has the kind of its base.

    Args:
        data: The whole pack.
        kinds: What is wanted.
        remember: Kinds that deltas may build upon; default: those wanted. A pack that we wrote has no deltas.

    Raises:
        PackBroken: It is not whole.
    """
    if len(data) < _HEADER.size + _DIGEST_BYTES or data[-_DIGEST_BYTES:] != _digest(data):
        raise PackBroken("the pack is cut off or damaged")
    bases = _Bases(kinds if remember is None else remember)
    waiting: list[_Entry] = []
    for entry in _entries(data, kinds):
        found = bases.resolved(entry)
        if found is None:
            # A base named by its id may come later; one that is not wanted never does.
            if isinstance(entry.base, bytes):
                waiting.append(entry)
        elif found[0] in kinds:
            yield found[0], bases.remember(entry, found), found[1]
    while waiting:
        ready = [(entry, found) for entry in waiting if (found := bases.resolved(entry))]
        if not ready:
            return
        for entry, found in ready:
            yield found[0], bases.remember(entry, found), found[1]
        done = {entry.offset for entry, _ in ready}
        waiting = [entry for entry in waiting if entry.offset not in done]


class _Bases:
    """Objects that deltas build upon, by their place in the pack and by name."""

    def __init__(self, kinds: frozenset[int]) -> None:
        self._kinds = kinds
        self._names: dict[int, bytes] = {}
        self._objects: dict[bytes, tuple[int, bytes]] = {}

    def remember(self, entry: _Entry, found: tuple[int, bytes]) -> bytes:
        name = object_id(*found)
        if found[0] in self._kinds:
            self._names[entry.offset] = name
            self._objects[name] = found
        return name

    def resolved(self, entry: _Entry) -> tuple[int, bytes] | None:
        """Kind and content; None where the base is not known."""
        if entry.base is None:
            return entry.kind, entry.content
        name = self._names.get(entry.base) if isinstance(entry.base, int) else entry.base
        base = self._objects.get(name) if name else None
        return (base[0], b"".join(apply_delta(base[1], entry.content))) if base else None


def _digest(data: bytes | bytearray) -> bytes:
    with memoryview(data) as view:
        return hashlib.sha1(view[:-_DIGEST_BYTES], usedforsecurity=False).digest()


def _entries(data: bytes | bytearray, kinds: frozenset[int]) -> Iterator[_Entry]:
    magic, version, count = _HEADER.unpack_from(data)
    if magic != b"PACK" or version not in (2, 3):
        raise PackBroken("these bytes are no pack")
    position = _HEADER.size
    try:
        for _ in range(count):
            entry, position = _entry(data, position, kinds | {OFS_DELTA, REF_DELTA})
            yield entry
    except (IndexError, zlib.error) as error:
        raise PackBroken("the pack is damaged") from error


def _entry(data: bytes | bytearray, start: int, kept: frozenset[int]) -> tuple[_Entry, int]:
    position = start
    byte = data[position]
    kind, size_bytes, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        position += 1
        byte = data[position]
        size_bytes |= (byte & 0x7F) << shift
        shift += 7
    position += 1
    base: int | bytes | None = None
    if kind == OFS_DELTA:
        distance, position = _distance(data, position)
        base = start - distance
    elif kind == REF_DELTA:
        base = bytes(data[position : position + _DIGEST_BYTES]).hex().encode()
        position += _DIGEST_BYTES
    content, position = _inflated(data, position, size_bytes, keep=kind in kept)
    return _Entry(start, kind, base, content), position


def _distance(data: bytes | bytearray, position: int) -> tuple[int, int]:
    byte = data[position]
    distance = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = data[position]
        distance = ((distance + 1) << 7) | (byte & 0x7F)
    return distance, position + 1


def _inflated(data: bytes | bytearray, position: int, size_bytes: int, *, keep: bool) -> tuple[bytes, int]:
    """What an entry's zlib stream holds, in pieces so that neither the rest of the pack nor a bomb is copied."""
    if keep and size_bytes > _CONTENT_LIMIT_BYTES:
        raise PackBroken(f"an object of {size_bytes} bytes, more than {_CONTENT_LIMIT_BYTES}")
    inflate = zlib.decompressobj()
    parts: list[bytes] = []
    missing = size_bytes
    while not inflate.eof:
        piece = data[position : position + _PIECE_BYTES]
        if not piece or missing < 0:
            raise zlib.error
        part = inflate.decompress(piece, missing + 1)
        if keep:
            parts.append(part)
        missing -= len(part)
        position += len(piece) - len(inflate.unused_data) - len(inflate.unconsumed_tail)
    if missing:
        raise zlib.error
    return b"".join(parts), position
