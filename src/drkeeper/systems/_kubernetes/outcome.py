"""What became of each object of a restore, gathered from several threads, and told in the end."""

import threading
from dataclasses import dataclass, field

from drkeeper.errors import LoadFailed
from drkeeper.log import get_logger
from drkeeper.systems._kubernetes.conflicts import Conflict
from drkeeper.systems._kubernetes.identities import Identity

TOLD = 10
_LONGEST_WORDS = 400


@dataclass
class Outcome:
    """What became of the objects.

    Attributes:
        applied: New or changed.
        unchanged: Equal already, so not touched.
        kept: There already, and left as they are by the policy.
        skipped: Not restored, and why (a kind that is not served, a transform).
        unasked: In a dry run: what they need does not exist yet, so the server cannot say.
        left: Fields that were left with the manager that owns them, or that the server does not know.
        ownerless: Owner references that were dropped, because there is no such owner here.
        failed: In the server's words.
    """

    applied: list[Identity] = field(default_factory=list)
    unchanged: list[Identity] = field(default_factory=list)
    kept: list[Identity] = field(default_factory=list)
    skipped: dict[Identity, str] = field(default_factory=dict)
    unasked: dict[Identity, str] = field(default_factory=dict)
    left: dict[Identity, tuple[Conflict, ...]] = field(default_factory=dict)
    ownerless: dict[Identity, str] = field(default_factory=dict)
    failed: dict[Identity, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def live(self) -> str:
        """What the target holds, for people."""
        words = [
            f"{len(group)} {word}"
            for group, word in ((self.applied, "applied"), (self.unchanged, "equal already"), (self.kept, "kept"))
            if group
        ]
        return ", ".join(words) or "nothing was applied"

    def log(self, *, dry_run: bool) -> None:
        """One line for what a person should look at, and one at the end."""
        log = get_logger()
        for target, conflicts in sorted(self.left.items()):
            fields = [str(each) for each in conflicts[:TOLD]]
            log.warning("fields left as they are", object=str(target), fields=fields, count=len(conflicts))
        for target, words in sorted(self.ownerless.items()):
            log.warning("owner reference dropped", object=str(target), owner=words)
        for target, words in sorted(self.skipped.items()):
            log.warning("object not restored", object=str(target), reason=words)
        counts = {
            word: len(getattr(self, word))
            for word in ("applied", "unchanged", "kept", "skipped", "unasked", "left", "ownerless", "failed")
        }
        log.info("objects asked about" if dry_run else "objects restored", **counts)

    def raise_failures(self, *, dry_run: bool) -> None:
        """Say what the server did not take.

        Raises:
            LoadFailed: At least one object.
        """
        if not self.failed:
            return
        state = "nothing was changed, it was only asked" if dry_run else f"live now: {self.live()}"
        raise LoadFailed(
            f"the API server did not take {len(self.failed)} objects: {named(self.failed)}; {state}",
            hint="put right what it says (`transforms` can change an object or, by a `test`, leave it out), then go on"
            " with `drkeeper restore --resume`: what is equal already is not applied again",
        )


def named(objects: dict[Identity, str]) -> str:
    """The first of some objects with what there is to say of each, and how many more there are."""
    shown = [f"{target}: {_short(words)}" for target, words in list(objects.items())[:TOLD]]
    more = len(objects) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _short(words: str) -> str:
    """What fits on a screen: some refusals list a hundred fields."""
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}…"
