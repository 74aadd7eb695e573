"""A kept commit reaches the remote once that answers again, whatever has happened to the branch since."""

from collections.abc import Iterable
from datetime import UTC, datetime

from dulwich.objects import Commit

from drkeeper.errors import SystemUnreachable
from drkeeper.systems._kubernetes.bundle_format import Opened, read_bundle
from drkeeper.systems._kubernetes.git_commit import ATTEMPTS, Made, push, wait
from drkeeper.systems._kubernetes.git_message import commit as commit_of
from drkeeper.systems._kubernetes.git_message import message, moment_of, note_of, superseding
from drkeeper.systems._kubernetes.git_remote import PushRefused, Remote, Tip
from drkeeper.systems._kubernetes.git_tree import (
    FolderTaken,
    NewTrees,
    Trees,
    changes,
    files,
    folder_parts,
    grafted,
    ours,
    reachable,
)
from drkeeper.systems._kubernetes.options import GitOptions
from drkeeper.systems._kubernetes.pack import COMMIT, TREE


def push_bundle(git: GitOptions, bundle: Iterable[bytes]) -> str:
    """Push a commit that was kept, onto the branch as it is now.

    Where the branch has moved on, our folder's tree is put upon the new tip. Nothing is pushed where the tip has all
    that already, or where a commit of ours for the same folder is as new: an old bundle never brings an old state back.

    Returns:
        Id of the commit that now has it, or that superseded it.

    Raises:
        SystemUnreachable: The remote does not answer; try again later.
        PushRefused: It does not take the commit.
        VerificationFailed: The bundle is damaged.
    """
    remote = Remote(git)
    kept = read_bundle(bundle)
    mine = Commit.from_raw_string(COMMIT, kept.commit_content)
    for attempt in range(ATTEMPTS):
        tip = remote.tip()
        taken_at = datetime.fromtimestamp(mine.commit_time, UTC)
        if tip is not None and tip.commit != kept.parent and tip.committed_at >= taken_at:
            newer = superseding(remote.commits_since(taken_at), mine)
            if newer is not None:
                return str(newer.id.decode())
        try:
            made = _upon(tip, kept, mine, git)
        except FolderTaken as error:
            raise PushRefused(f"git: {error} in {remote.shown} is a file, not a folder") from error
        if made is None:
            return tip.commit.decode() if tip else ""
        if push(remote, made.parent, made.commit, made.objects):
            return made.commit.decode()
        wait(attempt)
    raise SystemUnreachable(f"git: {remote.shown} moved on {ATTEMPTS} times while we pushed")


def _upon(tip: Tip | None, kept: Opened, mine: Commit, git: GitOptions) -> Made | None:
    """The kept commit, or one with the same files upon another tip; None where the tip has them."""
    if (tip.commit if tip else None) == kept.parent:
        added = [(TREE, content) for content in kept.trees.values()] + [(COMMIT, kept.commit_content)]
        return Made(kept.commit, kept.blobs.with_added(added), "", kept.parent)
    folder = folder_parts(git.folder)
    tip_trees: Trees = tip.trees if tip else {}
    trees = {**tip_trees, **kept.trees}
    tops = ours(trees, mine.tree, folder)
    new = NewTrees(tip_trees)
    root = grafted(new, trees, tip.tree if tip else None, folder, tops) or new.add_empty()
    if tip is not None and root == tip.tree:
        return None
    parent = tip.commit if tip else None
    text = _text(mine, trees, ours(tip_trees, tip.tree if tip else None, folder), tops, git)
    commit = commit_of(root, parent, text=text, author=mine.author.decode(), as_of=_moment(mine))
    added = [(TREE, content) for content in [*reachable(kept.trees, tops), *new.contents.values()]]
    added.append((COMMIT, commit.as_raw_string()))
    return Made(commit.id, kept.blobs.with_added(added), "", parent)


def _text(
    mine: Commit,
    trees: Trees,
    before: dict[bytes, tuple[int, bytes]],
    after: dict[bytes, tuple[int, bytes]],
    git: GitOptions,
) -> str:
    """Told anew, for the tip is another one; as it was, where a tree that did not change is at neither place."""
    original: str = mine.message.decode()
    try:
        changed = changes(files(trees, before), files(trees, after))
    except KeyError:
        return original
    return message(changed, note=note_of(original), as_of=_moment(mine), folder=git.folder)


def _moment(mine: Commit) -> datetime:
    return moment_of(mine) or datetime.fromtimestamp(mine.commit_time, UTC)
