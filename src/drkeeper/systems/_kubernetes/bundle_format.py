"""A commit that could not be pushed, as a git bundle (version 2): it lies in the vault until the remote is back.

`git bundle verify` and `git fetch FILE BRANCH` read it without us. A bundle names what it builds upon: the tip that we
saw, or nothing when the remote could not even be read; then it holds every file. Format: git's `gitformat-bundle`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from drkeeper.errors import VerificationFailed
from drkeeper.systems._kubernetes.pack import BLOB, COMMIT, LIMIT_BYTES, TREE, Objects, PackBroken, read_pack

_SIGNATURE = b"# v2 git bundle\n"
_ID_LENGTH = 40
# The objects' own limit, and room for the header.
_LIMIT_BYTES = LIMIT_BYTES + (1 << 20)
_HEADER_LIMIT_BYTES = 64 << 10


@dataclass(frozen=True)
class Bundle:
    """A commit to be kept: iterate for its bytes, more than once if need be; memory holds the objects only.

    Args:
        ref: `refs/heads/main`.
        commit: Id of the commit.
        parent: The commit that it builds upon, which its reader must have; None for a first one.
        objects: All that the parent does not have, the commit included.
    """

    ref: bytes
    commit: bytes
    parent: bytes | None
    objects: Objects

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, in blocks."""
        needs = b"-" + self.parent + b"\n" if self.parent else b""
        yield _SIGNATURE + needs + self.commit + b" " + self.ref + b"\n\n"
        yield from self.objects.chunks()


@dataclass(frozen=True)
class Opened:
    """A bundle that was read back."""

    ref: bytes
    commit: bytes
    parent: bytes | None
    commit_content: bytes
    trees: dict[bytes, bytes]
    blobs: Objects


def read_bundle(chunks: Iterable[bytes]) -> Opened:
    """A bundle's content, in memory, its digest checked.

    Raises:
        VerificationFailed: It is none of ours, or damaged.
    """
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > _LIMIT_BYTES:
            raise VerificationFailed(f"the git bundle is larger than {_LIMIT_BYTES >> 20} MiB, more than we ever write")
    end = data.find(b"\n\n", 0, _HEADER_LIMIT_BYTES)
    if not data.startswith(_SIGNATURE) or end < 0:
        raise VerificationFailed("this is no git bundle of version 2")
    parents, heads = _header(bytes(data[len(_SIGNATURE) : end]))
    if len(parents) > 1 or len(heads) != 1:
        raise VerificationFailed("the git bundle is not one of ours: it must have one head and at most one parent")
    del data[: end + 2]
    return _opened(data, heads[0], parents[0] if parents else None)


def _header(text: bytes) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    lines = text.split(b"\n")
    parents = [line[1 : 1 + _ID_LENGTH] for line in lines if line.startswith(b"-")]
    heads = [(line[:_ID_LENGTH], line[_ID_LENGTH + 1 :]) for line in lines if not line.startswith(b"-")]
    return parents, heads


def _opened(data: bytearray, head: tuple[bytes, bytes], parent: bytes | None) -> Opened:
    commit, ref = head
    commits: dict[bytes, bytes] = {}
    trees: dict[bytes, bytes] = {}
    blobs = Objects()
    try:
        for kind, name, content in read_pack(data, frozenset({COMMIT, TREE, BLOB}), remember=frozenset()):
            if kind == BLOB:
                blobs.add(kind, content, name)
            else:
                (commits if kind == COMMIT else trees)[name] = content
    except PackBroken as error:
        raise VerificationFailed(f"the git bundle cannot be read: {error}") from error
    if commit not in commits:
        raise VerificationFailed("the git bundle does not hold the commit that it names")
    return Opened(ref, commit, parent, commits[commit], trees, blobs)
