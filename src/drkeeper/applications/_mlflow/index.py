"""What must be in buckets, against which one pass over their keys is held: no request for any object. Pure.

All that is promised stands in memory, by key: about 300 bytes each. Folders that are merely known (of runs, traces,
deleted models) are kept as hashes, 8 bytes and a set's room each; that two of them fall together, and an object with
no owner passes for one that has, is a chance of one in 10^9 for a million folders.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from drkeeper.applications._mlflow.claims import LOGGED_MODELS, RECIPE, Claim
from drkeeper.applications._mlflow.places import Place, Places

EXAMPLES = 5
# What a model's folder has whatever the model is made of (mlflow.models.model, mlflow.utils.environment).
ACCESSORIES = frozenset(
    {
        RECIPE,
        "conda.yaml",
        "python_env.yaml",
        "requirements.txt",
        "uv.lock",
        "pyproject.toml",
        ".python-version",
        "input_example.json",
        "serving_input_example.json",
        "serving_input_payload.json",
        "registered_model_meta",
        "license.txt",
        "LICENSE.txt",
    }
)


@dataclass
class Strays:
    """Objects below an experiment's root that belong to nothing in the database."""

    objects: int = 0
    size_bytes: int = 0
    folders: list[str] = field(default_factory=list)


@dataclass
class Bucket:
    """What is expected of one system, and what was seen of it.

    Attributes:
        wanted: Key -> what promises it; what was seen is taken out.
        hollow: Folder -> its model, as long as nothing was seen there that a model is made of.
        watched: Folder -> files in it, without the folder.
    """

    wanted: dict[str, list[Claim]] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    roots: set[int] = field(default_factory=set)
    hollow: dict[str, Claim] = field(default_factory=dict)
    watched: dict[str, set[str]] = field(default_factory=dict)
    strays: Strays = field(default_factory=Strays)

    def look_through(self, entries: Iterable[tuple[str, int]]) -> None:
        """One pass over keys and sizes. Keys of one folder mostly come together: its owner is looked for once."""
        parent, owner, within_root = None, None, False
        for key, size_bytes in entries:
            if size_bytes and key in self.wanted:
                del self.wanted[key]
            folder = key.rpartition("/")[0]
            if folder != parent:
                parent, (owner, within_root) = folder, self._owner(folder)
            if owner is not None:
                self._note(owner, key[len(owner) + 1 :] if owner else key)
            elif within_root:
                self._stray(folder, size_bytes)

    def _owner(self, folder: str) -> tuple[str | None, bool]:
        """The innermost known folder that holds it, and else whether it is below a root."""
        at = folder
        while True:
            if hash(at) in self.known:
                return at, False
            if hash(at) in self.roots:
                return None, True
            if not at:
                return None, False
            at = at.rpartition("/")[0]

    def _note(self, owner: str, file: str) -> None:
        if owner in self.hollow and file not in ACCESSORIES:
            del self.hollow[owner]
        if owner in self.watched:
            self.watched[owner].add(file)

    def _stray(self, folder: str, size_bytes: int) -> None:
        self.strays.objects += 1
        self.strays.size_bytes += size_bytes
        if len(self.strays.folders) < EXAMPLES and folder not in self.strays.folders:
            self.strays.folders.append(folder)


class Index:
    """What is expected of all systems.

    Attributes:
        buckets: By system.
        outside: Claims whose location is in no system: how many, and some of them, by kind and reason.
        counts: Claims by kind that can be looked for.
        lacking: Kinds that this MLflow does not have, and what it lacks.
        samples: Kinds of which only a part is looked for, in percent.
    """

    def __init__(self, places: Places, systems: Iterable[str]) -> None:
        self._places = places
        self.buckets = {system: Bucket() for system in systems}
        self.outside: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.counts: dict[str, int] = {}
        self.lacking: dict[str, str] = {}
        self.samples: dict[str, float] = {}

    def expect(self, claim: Claim) -> None:
        """A file must be there."""
        folder = self._places.find(claim.folder)
        if folder is None:
            self._leave_out(claim)
            return
        bucket = self.buckets[folder.system]
        self.counts[claim.kind] = self.counts.get(claim.kind, 0) + 1
        bucket.wanted.setdefault(folder.below(claim.file).key, []).append(claim)
        bucket.known.add(hash(folder.key))
        if claim.kind == LOGGED_MODELS and not claim.hollow:
            bucket.hollow[folder.key] = claim

    def know(self, location: str) -> None:
        """What lies there belongs to something."""
        if place := self._places.find(location):
            self.buckets[place.system].known.add(hash(place.key))

    def root(self, location: str) -> None:
        """What lies there must belong to something."""
        if place := self._places.find(location):
            self.buckets[place.system].roots.add(hash(place.key))

    def watch(self, place: Place) -> None:
        """Remember all files of a folder."""
        bucket = self.buckets[place.system]
        bucket.known.add(hash(place.key))
        bucket.watched.setdefault(place.key, set())

    def missing(self, kind: str, *, collected: bool = False) -> Iterator[Claim]:
        """Claims that no object answers."""
        for bucket in self.buckets.values():
            for claims in bucket.wanted.values():
                yield from (each for each in claims if each.kind == kind and each.collected == collected)

    def hollow(self) -> Iterator[tuple[Place, Claim]]:
        """Logged models whose MLmodel file is there, and nothing that it could be about."""
        for system, bucket in self.buckets.items():
            for folder, claim in bucket.hollow.items():
                place = Place(system, folder)
                if place.below(RECIPE).key not in bucket.wanted:
                    yield place, claim

    def files(self, place: Place) -> frozenset[str]:
        """Files of a watched folder, without the folder."""
        return frozenset(self.buckets[place.system].watched.get(place.key, ()))

    def _leave_out(self, claim: Claim) -> None:
        key = (claim.kind, self._places.why_not(claim.folder))
        count, examples = self.outside.get(key, (0, []))
        self.outside[key] = (count + 1, [*examples, claim.who] if len(examples) < EXAMPLES else examples)
