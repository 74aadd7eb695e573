"""What proves a restored bucket, and what a restore would change: both by the inventory."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping

from drkeeper.buckets.bucket import Bucket
from drkeeper.buckets.errors import ObjectChanged, ObjectGone
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check, Facts
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Streams
from drkeeper.systems._objects.details import look_at
from drkeeper.systems._objects.frozen import digest_of
from drkeeper.systems._objects.inventory import Item, item_of
from drkeeper.systems._objects.places import Places
from drkeeper.systems._objects.table import Count, Table, names, open_table, shown
from drkeeper.systems._objects.tally import SAMPLE, Tally
from drkeeper.systems._objects.target import compare, moment_of, plan, wanted_items

MD5_DIGITS = 32


def live_facts(places: Places, witness: Facts | None, partly: str) -> Facts:
    """Facts of the target as it is.

    Args:
        places: Whose target.
        witness: Whose sampled keys are read; none without it.
        partly: Why only a part of the witness's objects is there; "" where all are.
    """
    asked = {name.removeprefix(SAMPLE) for name in witness.exact if name.startswith(SAMPLE)} if witness else set()
    tally, sampled = Tally(), dict[str, Item]()
    for item in map(item_of, places.scope.objects(places.target)):
        tally.add(item)
        if item.key in asked:
            sampled[item.key] = item
    digests, unread = _read(places.target, sampled)
    facts = tally.facts(digests)
    if not partly:
        return facts.model_copy(update={"unread": unread})
    missing = {f"{SAMPLE}{key}": partly for key in asked - set(sampled)}
    whole = dict.fromkeys(tally.exact, partly)
    return facts.model_copy(update={"unread": {**unread, **missing, **whole}})


def verify(places: Places, record: SystemRecord, streams: Streams, kept: "Kept | None") -> Iterator[Check]:
    """Each object of the inventory is there with its size and ETag, no other is, and chosen ones have their bytes."""
    with open_table() as table:
        table.want(wanted_items(places, streams))
        if kept is not None:
            kept.apply(table)
        compare(places, table, moment_of(record))
        yield from _listing(table)
        chosen = Tally(secrets.token_bytes(16), places.options.sample_keys)
        for item in table.items("same"):
            chosen.add(item)
        yield _contents(places.target, chosen.sample)
        yield from _details(places, chosen.sample)


def difference(places: Places, record: SystemRecord, streams: Streams) -> Iterator[str]:
    """Counts, then a line for each key: `+` added, `~` overwritten, `-` deleted, `!` to be had from nowhere."""
    with open_table() as table:
        table.want(wanted_items(places, streams))
        plan(places, table, record)
        counts = (
            ("add", table.absent),
            ("overwrite", table.other),
            ("delete", table.extra),
            ("not to be had", table.lost),
        )
        yield f"@@ {places.target.url}: " + "; ".join(f"{word} {_sized(count)}" for word, count in counts) + " @@"
        yield from (f"+ {shown(key)}" for key in table.keys("absent"))
        yield from (f"~ {shown(key)}" for key in table.keys("other"))
        yield from (f"- {shown(key)}" for key in table.keys("extra"))
        yield from (f"! {shown(key)}" for key in table.keys("lost"))


class Kept:
    """The part of a point that a drill fetches: chosen by chance, within a bound of bytes."""

    def __init__(self, most_bytes: int, why: str = "") -> None:
        self._most_bytes = most_bytes
        self._seed = secrets.token_bytes(16)
        self._why = why
        self.partly = ""

    def apply(self, table: Table) -> None:
        """Forget the other objects of a table."""
        kept, whole = table.keep_some(self._most_bytes, self._seed)
        if kept.objects < whole.objects:
            self.partly = f"the drill fetched {_sized(kept)} of {_sized(whole)}: " + (
                self._why or "no more fit drill_bytes"
            )


def _listing(table: Table) -> Iterator[Check]:
    wrong = [
        (word, count)
        for word, count in (("absent", table.absent), ("not as in the point", table.other), ("too many", table.extra))
        if count.objects
    ]
    if wrong:
        said = "; ".join(f"{count.objects} {word}: {names(count)}" for word, count in wrong)
        remedy = "restore again: it goes on from what is there; what was written since the restore shows here, too"
        yield Check(subject="listing", verdict="failed", detail=said, remedy=remedy)
    else:
        yield Check(subject="listing", verdict="passed", detail=f"{_sized(table.all)}, each with its size and ETag")


def _contents(bucket: Bucket, items: list[Item]) -> Check:
    """Where an ETag is an MD5 of the bytes, they must have it."""
    wrong, read = [], 0
    for item in items:
        if len(item.etag) != MD5_DIGITS:
            continue
        digest = hashlib.md5(usedforsecurity=False)
        try:
            for block in bucket.read(item.key, item.size_bytes):
                digest.update(block)
        except DrkeeperError as error:
            wrong.append(f"{item.key}: {error}")
            continue
        read += 1
        if digest.hexdigest() != item.etag:
            wrong.append(item.key)
    if wrong:
        return Check(subject="contents", verdict="failed", detail="not those of the point: " + "; ".join(wrong[:3]))
    if not read:
        return Check(subject="contents", verdict="not checked", detail="no small object whose ETag is a digest")
    return Check(subject="contents", verdict="passed", detail=f"{read} objects read again, and hashed to their ETag")


def _details(places: Places, items: list[Item]) -> Iterator[Check]:
    known = [item for item in items if item.details is not None]
    if not known:
        return
    seen = list(look_at(places.target, known, at_once=places.options.copying.requests))
    wrong = sorted(one.item.key for one in seen if not one.is_item)
    if wrong:
        detail = f"content type, metadata or tags are not those of the point: {', '.join(wrong[:3])}"
        yield Check(subject="details", verdict="failed", detail=detail)
    else:
        detail = f"content type, metadata and tags of {len(seen)} objects"
        yield Check(subject="details", verdict="passed", detail=detail)


def _read(bucket: Bucket, items: Mapping[str, Item]) -> tuple[dict[str, str], dict[str, str]]:
    digests, unread = {}, {}
    for key, item in items.items():
        try:
            digests[key] = digest_of(bucket, item)
        except (ObjectGone, ObjectChanged):
            continue
        except DrkeeperError as error:
            unread[SAMPLE + key] = str(error)
    return digests, unread


def _sized(count: Count) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.size_bytes.bit_length() - 1, 0) // 10, len(units) - 1)
    size = f"{count.size_bytes / (1 << 10 * power):.3g} {units[power]}"
    return f"{count.objects} object{'' if count.objects == 1 else 's'} ({size})"
