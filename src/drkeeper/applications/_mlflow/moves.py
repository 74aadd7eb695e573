"""What is rewritten to what: prefixes of locations, path by path. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from drkeeper.errors import UsageInvalid


@dataclass(frozen=True)
class Move:
    """Whatever is `old`, or below it, is `new`, or below that.

    Both without a slash at the end: `s3://models` is `s3://models` and `s3://models/a`, never `s3://models-old`.
    """

    old: str
    new: str

    @property
    def reversed(self) -> "Move":
        """The way back."""
        return Move(self.new, self.old)

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.old == self.new


def parse_move(old: str, new: str) -> Move:
    """From what somebody typed.

    Raises:
        UsageInvalid: One of the two is no address of a bucket or folder.
    """
    return Move(_parsed(old), _parsed(new))


def insist_separate(moves: Iterable[Move]) -> None:
    """What was moved may not be moved again when the same is done twice, nor may anything else come back with it.

    Raises:
        UsageInvalid: An old place and a new one lie within one another; the message names both.
    """
    moves = tuple(moves)
    for move in moves:
        for each in moves:
            if within(move.new, each.old) or within(each.old, move.new):
                raise UsageInvalid(
                    f"{move.new} and {each.old} lie within one another: what is moved twice would be somewhere else",
                    hint="name places of which none lies within another",
                )


def within(location: str, prefix: str) -> bool:
    """Whether it is the prefix, or below it."""
    return location == prefix or location.startswith(f"{prefix}/")


def moved(location: str, moves: Iterable[Move]) -> str:
    """A location as it is afterwards: by the longest prefix that it has."""
    for move in longest_first(moves):
        if within(location, move.old):
            return move.new + location[len(move.old) :]
    return location


def longest_first(moves: Iterable[Move]) -> Iterator[Move]:
    """In the order in which they are tried."""
    return iter(sorted(moves, key=lambda move: (-len(move.old), move.old)))


def _parsed(text: str) -> str:
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    if not parts.scheme or "://" not in url or not (parts.netloc or parts.path) or parts.query or parts.fragment:
        raise UsageInvalid(f"{text!r} is no address of a bucket or folder", hint="such as s3://bucket or s3://bucket/a")
    return url
