"""Words of a commit: what people read in the history, and the trailers by which a later run recognises its own."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from dulwich.objects import Commit

from drkeeper.errors import PolicyInvalid
from drkeeper.systems._kubernetes.git_tree import Changes

_SHOWN_PATHS = 50
_AUTHOR = re.compile(r"[^<>\n]+ <[^<>\n]*>")
_AS_OF = re.compile(rb"^As-Of: (\S+)$", re.MULTILINE)
_FOLDER = re.compile(rb"^Folder: (.+)$", re.MULTILINE)


def message(changes: Changes | None, *, note: str, as_of: datetime, folder: str) -> str:
    """The whole message; without changes, where the remote's own state is not known."""
    what = changes.summary if changes is not None else "the whole export, for the remote could not be read"
    parts = [f"drkeeper: {what}", *([note] if note else [])]
    if changes is not None:
        parts += _lists(changes)
    trailers = [f"As-Of: {stamp(as_of)}", *([f"Folder: {folder.strip('/')}"] if folder.strip("/") else [])]
    return "\n\n".join([*parts, "\n".join(trailers)]) + "\n"


def _lists(changes: Changes) -> Iterator[str]:
    for word, paths in (("Added", changes.added), ("Changed", changes.changed), ("Removed", changes.removed)):
        if paths:
            rest = [f"- and {len(paths) - _SHOWN_PATHS} more"] if len(paths) > _SHOWN_PATHS else []
            yield "\n".join([f"{word}:", *(f"- {path}" for path in paths[:_SHOWN_PATHS]), *rest])


def note_of(text: str) -> str:
    """The note in a message that we wrote."""
    paragraphs = text.split("\n\n")
    second = paragraphs[1] if len(paragraphs) > 1 else ""
    return "" if second.startswith(("Added:", "Changed:", "Removed:", "As-Of:")) else second


def stamp(moment: datetime) -> str:
    """A moment as the trailer has it: with its fraction, since a commit's own time has whole seconds only."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_of(commit: Commit) -> datetime | None:
    """The moment that a commit of ours describes; None for those of others."""
    found = _AS_OF.search(commit.message)
    try:
        return datetime.fromisoformat(found[1].decode()).astimezone(UTC) if found else None
    except ValueError:
        return None


def commit(tree: bytes, parent: bytes | None, *, text: str, author: str, as_of: datetime) -> Commit:
    """A commit whose every byte follows from its arguments.

    Raises:
        PolicyInvalid: The author has not the form `Name <address>`.
    """
    if not _AUTHOR.fullmatch(author):
        raise PolicyInvalid(f"git.author {author!r} must have the form `Name <address>`")
    made = Commit()
    made.tree = tree
    made.parents = [parent] if parent else []
    made.author = made.committer = author.encode()
    made.author_time = made.commit_time = int(as_of.timestamp())
    made.author_timezone = made.commit_timezone = 0
    made.message = text.encode()
    return made


def superseding(commits: Iterable[Commit], mine: Commit) -> Commit | None:
    """A commit of ours for the same folder that describes the same or a later moment."""
    moment = moment_of(mine)
    for other in commits:
        theirs = moment_of(other)
        if moment and theirs and _folder(other) == _folder(mine) and theirs >= moment:
            return other
    return None


def _folder(of: Commit) -> bytes:
    found = _FOLDER.search(of.message)
    return found[1] if found else b""
