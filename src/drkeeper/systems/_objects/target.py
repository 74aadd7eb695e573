"""Restore into a bucket: objects that it lacks are added, then the others are put right. Each step converges.

Nothing of an object store can be renamed, so there is no place beside the live data. Why it is sound nonetheless:
`docs/adr/0121-objects-are-added-then-put-right.md`.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from drkeeper.buckets.bucket import OK, Bucket
from drkeeper.buckets.bulk import NotCopied, copy_all
from drkeeper.buckets.copied import Wanted
from drkeeper.buckets.copying import Copier
from drkeeper.buckets.errors import ObjectGone
from drkeeper.buckets.many import Ask, Job, run_many
from drkeeper.buckets.pacing import Pace
from drkeeper.buckets.transport import NoAnswer
from drkeeper.buckets.versioning import is_versioned
from drkeeper.errors import LoadFailed, Refused
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Streams
from drkeeper.systems._objects.beat import beat_of, write_beat
from drkeeper.systems._objects.details import look_at
from drkeeper.systems._objects.inventory import INVENTORY, Item, items_in
from drkeeper.systems._objects.notes import Notes, lines_noted
from drkeeper.systems._objects.places import Places, find_sources
from drkeeper.systems._objects.scope import words
from drkeeper.systems._objects.table import Count, Source, Table, is_ours, names, open_table

BATCH = 5_000
NO_UNDO = (
    "enable versioning of the bucket, so that what is overwritten or deleted can be had back, "
    "or restore into another bucket with `--into s3://BUCKET`"
)


def wanted_items(places: Places, streams: Streams) -> Iterator[Item]:
    """The objects of a point that are meant.

    Raises:
        LoadFailed: The point holds no inventory.
    """
    if INVENTORY not in streams.names():
        raise LoadFailed("the record holds no inventory; nothing was changed")
    return (item for item in items_in(streams.read(INVENTORY)) if places.scope.covers(item.key))


def compare(places: Places, table: Table, as_of: datetime) -> None:
    """Find out what the target holds of what is wanted: by a listing, and a look at the few that it cannot tell."""
    table.compare(places.scope.objects(places.target), as_of)
    for seen in look_at(places.target, table.items("unsure"), at_once=places.options.copying.requests):
        table.judge(seen.item.key, "same" if seen.is_item else "other")


def moment_of(record: SystemRecord) -> datetime:
    """What the record describes."""
    return record.as_of or datetime.min.replace(tzinfo=UTC)


def plan(places: Places, table: Table, record: SystemRecord) -> list[str]:
    """Fill in what is there and from where the rest comes; the places that did not answer."""
    compare(places, table, moment_of(record))
    return find_sources(places, table) if table.absent.objects or table.other.objects else []


def insist(places: Places, table: Table, silent: Iterable[str]) -> None:
    """Insist that everything can be had, and that whatever is overwritten or deleted stays in a version.

    Raises:
        Refused: The message names how many cannot, and which ones first.
    """
    if places.scope.only and not table.all.objects:
        raise Refused(
            f"the point holds nothing of {words(places.scope.only)}; no object was touched",
            hint="a prefix ends in /, anything else is one whole key; neither begins with the url's bucket or prefix",
        )
    lost = table.lost
    if lost.objects:
        away = "".join(f"; {error}" for error in silent)
        raise Refused(
            f"{_number(lost)} of the point can be had from nowhere{away}: {names(lost)}; no object was touched",
            hint="choose an older or newer point, leave those out with --only, or bring the replica back; "
            "objects in an archive class (GLACIER) have to be made readable there first",
        )
    changes = [f"{verb} {_number(count)} ({names(count)})" for verb, count in _destructive(table) if count.objects]
    if changes and not is_versioned(places.target):
        raise Refused(
            f"{places.target.url} keeps no versions, and the restore would {' and '.join(changes)}; "
            "no object was touched",
            hint=NO_UNDO,
        )


def add(places: Places, notes: Notes) -> None:
    """Add what the notes say that the bucket lacked, and lacks still.

    Raises:
        LoadFailed: Some did not come; the others are there.
    """
    with open_table() as table:
        table.want_noted(notes.read())
        present = {one.key for one in places.scope.objects(places.target) if table.added(one.key)}
        wanted = (
            (item, source)
            for page in table.pages("absent")
            for item, source in page
            if item.key not in present and table.added(item.key)
        )
        _bring(places, wanted, "nothing that was there was touched")


def put_right(places: Places, notes: Notes, record: SystemRecord) -> None:
    """Make the bucket hold what the notes say, and nothing else of what is meant.

    Raises:
        LoadFailed: Some objects could not be put right; the others are.
    """
    with open_table() as table:
        table.want_noted(notes.read())
        compare(places, table, moment_of(record))
        _find_the_rest(places, table)
        changes = [f"{verb} {_number(count)} ({names(count)})" for verb, count in _destructive(table) if count.objects]
        if changes and not is_versioned(places.target):
            raise LoadFailed(
                f"{places.target.url} keeps no versions, and was written to since the load: the restore would "
                f"{' and '.join(changes)}; it was not touched",
                hint=NO_UNDO,
            )
        notes.begin_switch()
        wanted = (each for page in table.pages("absent", "other") for each in page)
        _bring(places, wanted, "go on with --resume; what is not named is as in the point")
        _delete(places, table)
    beat = beat_of(record.facts)
    if beat is not None and not places.scope.only:
        write_beat(places.target, beat)


def take_away(places: Places, notes: Notes, *, versioned: bool) -> None:
    """Remove exactly those objects that the notes say were added; of a bucket with versions, just these versions."""
    with open_table() as table:
        table.want_noted(notes.read())
        if not table.all.objects:
            return
        if versioned:
            for version in places.scope.versions(places.target):
                noted = table.added(version.key)
                if noted and version.is_latest and not version.is_marker and is_ours(version, noted):
                    places.target.request("DELETE", version.key, query={"versionId": version.version_id})
            return
        for one in places.scope.objects(places.target):
            noted = table.added(one.key)
            if noted and is_ours(one, noted):
                places.target.request("DELETE", one.key)


def is_empty(places: Places) -> bool:
    """Whether there is nothing of what is meant, but for what a restore that did not end has added."""
    found = next(places.scope.objects(places.target), None)
    if found is None:
        return True
    with open_table() as table:
        table.want_noted(lines_noted(places.target))
        if not table.all.objects:
            return False
        return all(
            (noted := table.added(one.key)) is not None and is_ours(one, noted)
            for one in places.scope.objects(places.target)
        )


def _find_the_rest(places: Places, table: Table) -> None:
    """What was there when the plan was made, and was changed or deleted since."""
    if table.lost.objects:
        find_sources(places, table)
    lost = table.lost
    if lost.objects:
        raise LoadFailed(f"{_number(lost)} went since the load, and can be had from nowhere: {names(lost)}")


def _destructive(table: Table) -> tuple[tuple[str, Count], ...]:
    return ("overwrite", table.other), ("delete", table.extra)


def _bring(places: Places, wanted: Iterable[tuple[Item, Source]], left: str) -> None:
    """Copy each object from where it can be had; all are tried before any failure is told."""
    failed: list[NotCopied] = []
    by_place: dict[str, list[tuple[Item, Source]]] = {}
    pace = Pace(places.options.copying.requests)
    for item, source in wanted:
        batch = by_place.setdefault(source.place, [])
        batch.append((item, source))
        if len(batch) >= BATCH:
            failed += _copy(places, pace, batch)
            batch.clear()
    for batch in by_place.values():
        failed += _copy(places, pace, batch)
    if failed:
        names = "; ".join(f"{one.key}: {one.error}" for one in failed[:3])
        raise LoadFailed(f"{len(failed)} objects did not come: {names}; {left}")


def _copy(places: Places, pace: Pace, batch: list[tuple[Item, Source]]) -> list[NotCopied]:
    if not batch:
        return []
    copier = Copier(places.bucket(batch[0][1].place), places.target, pace, exactly=True)
    wanted = (
        Wanted(item.key, item.size_bytes, source.etag, item.storage_class, source.version_id, item.etag)
        for item, source in batch
    )
    return [one for one in copy_all(copier, wanted) if isinstance(one, NotCopied)]


def _delete(places: Places, table: Table) -> None:
    """A DELETE without a version puts a delete marker on."""
    jobs = (_deletion(places.target, key) for key in table.keys("extra"))
    for key in run_many(jobs, lambda: places.options.copying.requests):
        if key is not None:
            try:
                places.target.request("DELETE", key)
            except ObjectGone:
                continue


def _deletion(bucket: Bucket, key: str) -> Job[str | None]:
    """The key comes back where it is to be tried again, with patience."""
    try:
        reply = yield Ask(bucket, "DELETE", key)
    except NoAnswer:
        return key
    return None if reply.status in OK else key


def _number(count: Count) -> str:
    return f"{count.objects} object{'' if count.objects == 1 else 's'}"
