"""What a commit's trees will be: pure functions over tree objects, so a commit needs no work tree.

Ours are the entries `cluster` and `namespaces` of the folder that the policy names. They are replaced as a whole;
every other entry, beside them or elsewhere, is put back by its id and mode without its content ever being fetched.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from dulwich.objects import Tree, serialize_tree, sorted_tree_items

from drkeeper.systems._kubernetes.pack import TREE, object_id

OURS = (b"cluster", b"namespaces")
FILE_MODE = 0o100644
FOLDER_MODE = 0o040000

Trees = Mapping[bytes, bytes]
"""Content of tree objects, by id."""
Entry = tuple[int, bytes]
"""Mode and id."""
Files = dict[bytes, Entry]
"""Our files: path from our folder on, to mode and id."""
_Names = dict[bytes, Entry]


class FolderTaken(Exception):
    """Where our folder should be, there is a file."""


@dataclass(frozen=True)
class Changes:
    """What a commit does to our files; paths sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def summary(self) -> str:
        """In one line."""
        return f"{len(self.added)} added, {len(self.changed)} changed, {len(self.removed)} removed"

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.added or self.changed or self.removed)


def folder_parts(folder: str) -> tuple[bytes, ...]:
    """`clusters/eu` as names of trees; `` is the repository's root.

    Raises:
        ValueError: It leads out of the repository, or into git's own folder.
    """
    parts = tuple(folder.strip("/").split("/")) if folder.strip("/") else ()
    for part in parts:
        _check_name(part)
    return tuple(part.encode() for part in parts)


def check_path(path: str) -> bytes:
    """A path under our folder as git has it.

    Raises:
        ValueError: It is not below one of our two entries, or git would refuse it.
    """
    folder, _, name = path.rpartition("/")
    _check_folder(folder)
    _check_name(name)
    return path.encode()


@lru_cache(maxsize=4096)  # files come folder by folder
def _check_folder(folder: str) -> None:
    top, *others = folder.split("/")
    if top.encode() not in OURS:
        raise ValueError(f"{folder or 'a file at the top'} is neither under cluster/ nor namespaces/")
    for part in others:
        _check_name(part)


def _check_name(name: str) -> None:
    if name in ("", ".", "..") or name.lower() == ".git" or "\0" in name:
        raise ValueError(f"{name!r} cannot be a name in a git tree")


def changes(before: Files, after: Files) -> Changes:
    """What differs."""
    return Changes(
        added=tuple(sorted(path.decode() for path in after.keys() - before.keys())),
        changed=tuple(sorted(p.decode() for p, entry in after.items() if p in before and before[p] != entry)),
        removed=tuple(sorted(path.decode() for path in before.keys() - after.keys())),
    )


# --- reading --------------------------------------------------------------------------------------------


def names(content: bytes) -> _Names:
    """A tree object's entries."""
    return {entry.path: (entry.mode, entry.sha) for entry in Tree.from_raw_string(TREE, content).iteritems()}


def ours(trees: Trees, root: bytes | None, folder: tuple[bytes, ...]) -> _Names:
    """Our entries in a commit's tree.

    Raises:
        KeyError: A tree on the way is not among those given.
        FolderTaken: There is a file on the way.
    """
    for part in folder:
        entry = names(trees[root]).get(part) if root else None
        if entry is not None and entry[0] != FOLDER_MODE:
            raise FolderTaken(part.decode(errors="replace"))
        root = entry[1] if entry else None
    return {name: entry for name, entry in names(trees[root]).items() if name in OURS} if root else {}


def files(trees: Trees, tops: _Names) -> Files:
    """All files below our entries.

    Raises:
        KeyError: A tree is not among those given.
    """
    return dict(_files(trees, tops, b""))


def reachable(trees: Trees, tops: _Names) -> Iterator[bytes]:
    """Contents of the trees that our entries are made of, as far as they are among those given."""
    for mode, ident in tops.values():
        if mode == FOLDER_MODE and ident in trees:
            yield trees[ident]
            yield from reachable(trees, names(trees[ident]))


def _files(trees: Trees, entries: _Names, prefix: bytes) -> Iterator[tuple[bytes, Entry]]:
    for name, (mode, ident) in entries.items():
        if mode == FOLDER_MODE:
            yield from _files(trees, names(trees[ident]), prefix + name + b"/")
        else:
            yield prefix + name, (mode, ident)


# --- writing --------------------------------------------------------------------------------------------


class NewTrees:
    """Trees that a commit adds: content by id, without those that the tip has."""

    def __init__(self, known: Trees) -> None:
        self.contents: dict[bytes, bytes] = {}
        self._known = known

    def add(self, entries: _Names) -> bytes | None:
        """Keep a tree and return its id; None for an empty one, which git does not have in a folder."""
        if not entries:
            return None
        return self._keep(serialized(entries))

    def add_empty(self) -> bytes:
        """The empty tree, which a commit may have at its root."""
        return self._keep(b"")

    def _keep(self, content: bytes) -> bytes:
        ident = object_id(TREE, content)
        if ident not in self._known:
            self.contents[ident] = content
        return ident


def serialized(entries: _Names) -> bytes:
    """A tree object's content."""
    return b"".join(serialize_tree(sorted_tree_items(entries, name_order=False)))


def planted(new: NewTrees, our_files: Iterable[tuple[bytes, Entry]]) -> _Names:
    """Trees for our files; returns our entries."""
    nested: dict[bytes, dict[bytes, Entry]] = {}
    for path, entry in our_files:
        folder, _, name = path.rpartition(b"/")
        nested.setdefault(folder, {})[name] = entry
    for folder in sorted(_with_parents(nested), key=lambda path: -path.count(b"/")):
        ident = new.add(nested.pop(folder, {}))
        parent, _, name = folder.rpartition(b"/")
        if ident and folder:
            nested.setdefault(parent, {})[name] = (FOLDER_MODE, ident)
    return nested.get(b"", {})


def _with_parents(folders: Iterable[bytes]) -> set[bytes]:
    found = set()
    for folder in folders:
        while folder:
            found.add(folder)
            folder = folder.rpartition(b"/")[0]  # noqa: PLW2901 - on the way up
    return found


def grafted(new: NewTrees, trees: Trees, root: bytes | None, folder: tuple[bytes, ...], tops: _Names) -> bytes | None:
    """A tree like `root`, in which our entries of the folder are `tops`; None when nothing is left in it.

    Raises:
        FolderTaken: There is a file where the folder should be.
    """
    entries = names(trees[root]) if root else {}
    if folder:
        mode, ident = entries.pop(folder[0], (FOLDER_MODE, None))
        if mode != FOLDER_MODE:
            raise FolderTaken(folder[0].decode(errors="replace"))
        inner = grafted(new, trees, ident, folder[1:], tops)
        if inner:
            entries[folder[0]] = (FOLDER_MODE, inner)
    else:
        entries = {name: entry for name, entry in entries.items() if name not in OURS} | tops
    return new.add(entries)
