"""Manifests to git while they stream by: a commit without a work tree, pushed, or kept as a bundle.

Objects are added one by one as the capture renders them. What the remote's tip has already is not kept; the tip is
read in the background meanwhile. A capture never fails because of git: an unreachable remote, a refusal, a commit too
large are told in the result, and the bundle lies in the vault until it can be pushed.
"""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Thread

from drkeeper import clock
from drkeeper.errors import DrkeeperError, SystemUnreachable
from drkeeper.systems._kubernetes.bundle_format import Bundle
from drkeeper.systems._kubernetes.git_message import commit as commit_of
from drkeeper.systems._kubernetes.git_message import message
from drkeeper.systems._kubernetes.git_remote import MovedOn, PushRefused, Remote, Tip
from drkeeper.systems._kubernetes.git_tree import (
    FILE_MODE,
    Files,
    FolderTaken,
    NewTrees,
    changes,
    check_path,
    files,
    folder_parts,
    grafted,
    ours,
    planted,
)
from drkeeper.systems._kubernetes.options import GitOptions
from drkeeper.systems._kubernetes.pack import BLOB, COMMIT, LIMIT_BYTES, TREE, Objects, PackTooLarge, object_id

ATTEMPTS = 5
_JITTER_SECONDS = 0.5
_NO_CHANGE = "no change"
_ALL = "everything, for the remote could not be read"


@dataclass(frozen=True)
class Exported:
    """How an export ended.

    Args:
        commit: Ours; the tip's where nothing changed; "" where none could be made.
        changed: Whether there is a new commit (also when it could not be pushed).
        pushed: Whether the remote has what we captured.
        summary: `3 added, 1 changed, 2 removed`.
        error: Why it was not pushed; "" if it was.
        hint: What to do about it.
        bundle: The commit's bytes to be kept, if it was not pushed; can be iterated again.
    """

    commit: str
    changed: bool
    pushed: bool
    summary: str
    error: str = ""
    hint: str = ""
    bundle: Iterable[bytes] | None = None


@dataclass(frozen=True)
class Made:
    """A commit and all that it adds to its parent."""

    commit: bytes
    objects: Objects
    summary: str
    parent: bytes | None


class GitExport:
    """One capture's way into git; `open_export` makes it.

    Args:
        git: Where to, and as whom.
        limit_bytes: What new objects may take in memory, compressed.
    """

    def __init__(self, git: GitOptions, limit_bytes: int = LIMIT_BYTES) -> None:
        self._git = git
        self._remote = Remote(git)
        self._folder = folder_parts(git.folder)
        self._files: Files = {}
        self._limit_bytes = limit_bytes
        self._objects = Objects(limit_bytes)
        self._too_large = False
        self._unread: set[bytes] = set()
        self._tip: Tip | None = None
        self._unreachable: DrkeeperError | None = None
        self._at_tip: frozenset[bytes] = frozenset()
        self._fetched = False
        self._fetch = Thread(target=self._read_tip, name="git-fetch", daemon=True)

    def begin(self) -> None:
        """Start to read the tip."""
        self._fetch.start()

    def add(self, path: str, blob: bytes) -> None:
        """Take a file: `namespaces/ns/kind/name.yaml`; its content is kept only if the tip lacks it.

        Raises:
            ValueError: The path is not below `cluster/` or `namespaces/`.
        """
        name = object_id(BLOB, blob)
        self._files[check_path(path)] = (FILE_MODE, name)
        if not self._fetched and not self._fetch.is_alive():
            self._take_tip()
        if self._too_large or name in self._at_tip:
            return
        try:
            self._objects.add(BLOB, blob, name)
        except PackTooLarge:
            self._too_large = True
            self._objects = Objects()

    def keep(self, kind_folder: str) -> None:
        """Leave the files of a kind (`deployment`, `trial.kubeflow.org`) as the tip has them: it could not be read."""
        self._unread.add(kind_folder.encode())

    def finish(self, *, as_of: datetime, note: str = "") -> Exported:
        """Commit and push.

        Args:
            as_of: The moment that the files describe; also the commit's time.
            note: A line for the message's body.
        """
        self._fetch.join()
        self._take_tip()
        if self._too_large:
            return _not_made(
                f"git: more than {self._limit_bytes >> 10} KiB of new manifests in one commit, compressed",
                "leave kinds out with exclude_kinds, or export less at a time; the vault has everything",
            )
        if self._unreachable is not None and self._unread:
            return _not_made(f"{self._unreachable}; and some kinds could not be read, whose files would be lost")
        if self._unreachable is not None:
            made = self._made(None, as_of, note, known=False)
            return self._kept(made, self._unreachable) if made else _not_made(str(self._unreachable))
        try:
            return self._push(as_of, note)
        except FolderTaken as error:
            return _not_made(f"git: {error} in {self._remote.shown} is a file, not a folder", "name another git.folder")

    # --- the tip --------------------------------------------------------------------------------------------

    def _read_tip(self) -> None:
        try:
            self._tip = self._remote.tip()
        except DrkeeperError as error:
            self._unreachable = error

    def _take_tip(self) -> None:
        """Forget what the tip turned out to have."""
        if self._fetched:
            return
        self._fetched = True
        if self._tip is not None:
            try:
                tip_files = files(self._tip.trees, ours(self._tip.trees, self._tip.tree, self._folder))
            except FolderTaken:
                return
            self._at_tip = frozenset(name for _, name in tip_files.values())
            self._objects.drop(self._at_tip)

    # --- commit and push ------------------------------------------------------------------------------------

    def _made(self, tip: Tip | None, as_of: datetime, note: str, *, known: bool = True) -> Made | None:
        """The commit upon a tip; None where it would change nothing."""
        trees = tip.trees if tip else {}
        root = tip.tree if tip else None
        before = files(trees, ours(trees, root, self._folder))
        now = {**self._left(before), **self._files}
        new = NewTrees(trees)
        tree = grafted(new, trees, root, self._folder, planted(new, now.items()))
        if tree == root:
            return None
        if tree is None:
            tree = new.add_empty()
        changed = changes(before, now) if known else None
        text = message(changed, note=note, as_of=as_of, folder=self._git.folder)
        parent = tip.commit if tip else None
        commit = commit_of(tree, parent, text=text, author=self._git.author, as_of=as_of)
        added = [(TREE, content) for content in new.contents.values()] + [(COMMIT, commit.as_raw_string())]
        return Made(commit.id, self._objects.with_added(added), changed.summary if changed else _ALL, parent)

    def _left(self, before: Files) -> Files:
        """Files of kinds that could not be read: the last part of their folder names the kind."""
        return {path: entry for path, entry in before.items() if path.split(b"/")[-2:][0] in self._unread}

    def _push(self, as_of: datetime, note: str) -> Exported:
        made, tip = None, self._tip
        for attempt in range(ATTEMPTS):
            made = self._made(tip, as_of, note)
            if made is None:
                commit = tip.commit.decode() if tip else ""
                return Exported(commit, changed=False, pushed=True, summary=_NO_CHANGE)
            try:
                if push(self._remote, made.parent, made.commit, made.objects):
                    return Exported(made.commit.decode(), changed=True, pushed=True, summary=made.summary)
                if attempt + 1 < ATTEMPTS:
                    wait(attempt)
                    tip = self._remote.tip()
            except DrkeeperError as error:
                return self._kept(made, error)
        assert made is not None  # noqa: S101 - the loop ran
        lost = SystemUnreachable(
            f"git: {self._remote.shown} moved on {ATTEMPTS} times while we pushed",
            hint="give the manifests a branch or repository of their own",
        )
        return self._kept(made, lost)

    def _kept(self, made: Made, error: DrkeeperError) -> Exported:
        bundle = Bundle(self._remote.ref, made.commit, made.parent, made.objects)
        return Exported(
            made.commit.decode(),
            changed=True,
            pushed=False,
            summary=made.summary,
            error=str(error),
            hint=error.hint,
            bundle=bundle,
        )


def _not_made(error: str, hint: str = "") -> Exported:
    return Exported("", changed=True, pushed=False, summary="not exported", error=error, hint=hint)


@contextmanager
def open_export(git: GitOptions, *, limit_bytes: int = LIMIT_BYTES) -> Iterator[GitExport]:
    """An export that takes files at once, while the tip is read in the background.

    Raises:
        PolicyInvalid: The URL, branch or folder cannot be used. An unreachable remote is remembered instead.
    """
    export = GitExport(git, limit_bytes)
    export.begin()
    yield export


def wait(attempt: int) -> None:
    """Before the next attempt: longer each time, and not in step with whoever else pushes."""
    clock.sleep(random.uniform(0, _JITTER_SECONDS) * (attempt + 1))  # noqa: S311 - no secret


def push(remote: Remote, expected: bytes | None, commit: bytes, objects: Objects) -> bool:
    """Push; false where the branch has moved on.

    A connection that was lost midway does not say whether the commit arrived: the branch is asked.

    Raises:
        PushRefused, SystemUnreachable: The remote does not have the commit.
    """
    try:
        remote.push(expected, commit, objects)
    except MovedOn:
        return False
    except (PushRefused, SystemUnreachable) as error:
        try:
            tip = remote.tip()
        except SystemUnreachable:
            raise error from None
        found = tip.commit if tip else None
        if found == commit:
            return True
        if found != expected:
            return False
        raise
    return True
