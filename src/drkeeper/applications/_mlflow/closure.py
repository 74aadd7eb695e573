"""Whether references are closed: each file that the database promises is in the buckets, and nothing else is.

One pass over the rows, then one over the keys, which come from the point's inventory in a drill. Why so:
`docs/adr/0132-references-are-closed-by-one-pass-over-the-inventory.md`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from drkeeper.applications._mlflow.claims import (
    LOGGED_MODELS,
    MODEL_NEEDS,
    TRACE_NEEDS,
    TRACES,
    VERSION_NEEDS,
    VERSIONS,
    Claim,
    claims,
    folders,
    roots,
    sampled_percent,
)
from drkeeper.applications._mlflow.database import Database
from drkeeper.applications._mlflow.index import EXAMPLES, Index
from drkeeper.applications._mlflow.places import Places
from drkeeper.applications._mlflow.versions import ModelVersion
from drkeeper.facts import Check, Severity
from drkeeper.systems import Browsing, Streams

NEEDS = {VERSIONS: VERSION_NEEDS, LOGGED_MODELS: MODEL_NEEDS, TRACES: TRACE_NEEDS}
WORDS = {VERSIONS: "versions that are READY", LOGGED_MODELS: "logged models that are READY", TRACES: "traces"}
SEVERITY: dict[str, Severity] = {VERSIONS: "error", LOGGED_MODELS: "error", TRACES: "warning"}
REMEDY = {
    VERSIONS: "restore these objects from an older version or the replica (`drkeeper restore --only`), or take a point "
    "in which the database was frozen before the bucket",
    LOGGED_MODELS: "restore these objects from an older version or the replica, or delete these models in MLflow",
    TRACES: "their spans are lost unless an older version or the replica has these objects",
}


def expected(database: Database, places: Places, systems: Iterable[str], watched: Sequence[ModelVersion]) -> Index:
    """All that the rows promise, in one pass.

    Args:
        database: Whose references are followed.
        places: Where they lead.
        systems: That hold objects.
        watched: Versions of which all files are remembered.
    """
    index = Index(places, systems)
    index.lacking = {kind: lacks for kind, needs in NEEDS.items() if (lacks := database.lacks(needs))}
    if TRACES not in index.lacking and (part := sampled_percent(database)):
        index.samples[TRACES] = part
    for claim in claims(database):
        index.expect(claim)
    for location in folders(database):
        index.know(location)
    for location in roots(database):
        index.root(location)
    for version in watched:
        if place := places.find(version.location):
            index.watch(place)
    return index


def look_through(index: Index, buckets: Mapping[str, Browsing], streams: Mapping[str, Streams]) -> None:
    """One pass over the keys.

    Args:
        index: To be told.
        buckets: By system.
        streams: Of a point, by system: its inventory is taken, else what is there now is listed.

    Raises:
        DrkeeperError: A listing or an inventory cannot be read.
    """
    for name, bucket in buckets.items():
        index.buckets[name].look_through(bucket.recorded(streams[name]) if name in streams else bucket.entries())


def statements(index: Index) -> Iterator[Check]:
    """What the passes have shown."""
    for kind in NEEDS:
        if lacks := index.lacking.get(kind):
            yield Check(subject=f"{kind}.objects", verdict="not checked", detail=lacks)
        else:
            yield from _there(index, kind)
    for (kind, reason), (count, examples) in sorted(index.outside.items()):
        detail = f"{count:,} of the {WORDS[kind]} are elsewhere ({', '.join(examples)}): {reason}"
        yield Check(subject=f"{kind}.outside", verdict="not checked", detail=detail)
    yield from (_strays(index, system) for system in index.buckets)


def shown(claims: Iterable[Claim]) -> str:
    """A few of them, with the places of their files."""
    return "; ".join(f"{each.who} ({each.folder}/{each.file})" for each in islice(claims, EXAMPLES))


def _there(index: Index, kind: str) -> Iterator[Check]:
    missing = list(index.missing(kind))
    count = index.counts.get(kind, 0)
    subject = f"{kind}.objects"
    sample = f" ({index.samples[kind]:.2g} % of all: a sample)" if kind in index.samples else ""
    if missing:
        detail = (
            f"{len(missing):,} of {count:,} {WORDS[kind]}{sample} have no object, or an empty one: {shown(missing)}"
        )
        yield _failed(subject, detail, REMEDY[kind], SEVERITY[kind])
    elif count or not any(outside == kind for outside, _ in index.outside):
        yield Check(subject=subject, verdict="passed", detail=f"{count:,} {WORDS[kind]}{sample}, each with its object")
    collected = list(index.missing(kind, collected=True))
    if collected:
        detail = f"{len(collected):,} versions have neither objects nor the run or logged model that they came from: "
        remedy = "`mlflow gc` removed them before the database was frozen: delete these versions in MLflow"
        yield _failed(f"{kind}.collected", detail + shown(collected), remedy, "warning")


def _strays(index: Index, system: str) -> Check:
    strays = index.buckets[system].strays
    subject = f"orphans.{system}"
    if not strays.objects:
        return Check(subject=subject, verdict="passed", detail="each object below an experiment's root has its row")
    detail = f"{strays.objects:,} objects ({strays.size_bytes:,} bytes) below experiments' roots have no row: "
    remedy = "nothing is lost: they were written after the database was frozen, or their runs are gone; delete them"
    return _failed(subject, detail + ", ".join(strays.folders), remedy, "warning")


def _failed(subject: str, detail: str, remedy: str, severity: Severity) -> Check:
    return Check(subject=subject, verdict="failed", detail=detail, severity=severity, remedy=remedy)
