"""Stop before a replica follows its source into ruin: too much of it would be overwritten or deleted. Pure."""

from dataclasses import dataclass

GUARD_HINT = (
    "look at the source: is that what it should be? Then run `drkeeper replicate --allow-share 1`; older versions of "
    "the replica's objects are kept"
)


@dataclass(frozen=True)
class Guard:
    """How much of a replica one run may take away from.

    Attributes:
        share: Of the replica's objects, 0 to 1.
        objects: So few are always allowed.
    """

    share: float
    objects: int

    def allows(self, held: int, *, overwritten: int, deleted: int) -> bool:
        """Whether a run may overwrite and delete so many of the objects that a replica holds."""
        return overwritten + deleted <= max(self.objects, int(self.share * held))

    def sentence(self, held: int, *, overwritten: int, deleted: int) -> str:
        """What it would be, for people."""
        share = (overwritten + deleted) / max(1, held)
        return (
            f"{overwritten:,} objects of the replica would be overwritten and {deleted:,} deleted: "
            f"{share:.0%} of the {held:,} that it holds, where {self.share:.0%} are allowed"
        )
