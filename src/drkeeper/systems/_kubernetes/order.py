"""In which order objects are put back: what others need comes before them.

The ranks of `ranks.py` say it for kinds; three things say it for single objects: an owner comes before what it owns
(a UID has to be known to be written down), a namespace before what lies in it, a definition before its objects. An
object that needs one of a later rank waits for it: Kubeflow's namespaces are owned by Profiles, which are custom
resources.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drkeeper.systems._kubernetes.identities import Identity

_NOT_YET = (-1, -1)


@dataclass(frozen=True)
class Entry:
    """What the order needs to know of one object.

    Attributes:
        path: Its path in the recovery point.
        source: The object that it was.
        target: The object that it becomes.
        api_version: With which it is applied.
        rank: Of its kind.
        owners: For each owner reference, the objects that it may mean, under the names that they get here.
        defines: Group and kind that it makes the server serve, if it is a CRD.
        offset: Where its line begins in the scratch file.
        length: Bytes of that line.
    """

    path: str
    source: Identity
    target: Identity
    api_version: str
    rank: int
    owners: tuple[tuple[Identity, ...], ...] = ()
    defines: tuple[str, str] | None = None
    offset: int = 0
    length: int = 0


def waves(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Groups that are applied one after the other; inside one, no object needs another.

    A circle of owners is cut where it closes: an owner that comes later than what it owns is unknown when that is
    applied, and its reference is dropped, and reported, like one to an owner that is nowhere.
    """
    known = list(entries)
    by_target = {entry.target: entry for entry in known}
    definitions = {entry.defines: entry for entry in known if entry.defines}
    places: dict[Identity, tuple[int, int]] = {}
    for entry in known:
        _place(entry, by_target, definitions, places)
    grouped: dict[tuple[int, int], list[Entry]] = {}
    for entry in known:
        grouped.setdefault(places[entry.target], []).append(entry)
    return [grouped[place] for place in sorted(grouped)]


def _place(
    first: Entry,
    by_target: Mapping[Identity, Entry],
    definitions: Mapping[tuple[str, str], Entry],
    places: dict[Identity, tuple[int, int]],
) -> None:
    """Find the place of an entry, and of what it needs; without recursion: chains of owners may be long."""
    stack = [first]
    while stack:
        entry = stack[-1]
        needed = _needed(entry, by_target, definitions)
        if entry.target not in places:
            places[entry.target] = _NOT_YET
            waiting = [other for other in needed if other.target not in places]
            if waiting:
                stack.extend(waiting)
                continue
        stack.pop()
        if places[entry.target] == _NOT_YET:
            place = (entry.rank, 0)
            for other in needed:
                rank, level = places.get(other.target, _NOT_YET)
                place = max(place, (rank, level + 1))
            places[entry.target] = place


def _needed(
    entry: Entry, by_target: Mapping[Identity, Entry], definitions: Mapping[tuple[str, str], Entry]
) -> list[Entry]:
    needed = [by_target[choice] for choices in entry.owners for choice in choices if choice in by_target]
    definition = definitions.get((entry.target.group, entry.target.kind))
    namespace = by_target.get(Identity("", "Namespace", "", entry.target.namespace)) if entry.target.namespace else None
    needed.extend(other for other in (definition, namespace) if other is not None)
    return [other for other in needed if other.target != entry.target]
