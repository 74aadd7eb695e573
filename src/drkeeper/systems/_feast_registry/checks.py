"""What is said of a registry before a backup, before a restore and after one; the same wherever it is kept."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from drkeeper.errors import CaptureFailed, DrkeeperError, Refused
from drkeeper.facts import Check
from drkeeper.feature_registry import SCHEMA_VERSION, FeatureRegistry, RegistryUnreadable, differences, parse
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._feast_registry.content import REGISTRY, Content, Place, Snapshot
from drkeeper.systems._feast_registry.options import Options
from drkeeper.systems._feast_registry.reading import BARE, LOST, insist_whole

TOLD = 5
"""Differences that are told; more are counted."""


def tools() -> dict[str, str]:
    """Which Feast's messages the registry was read by."""
    try:
        return {"feast": version("feast")}
    except PackageNotFoundError:
        return {}


def probe(place: Place, options: Options, lock_name: str) -> Iterator[Check]:
    """Whether it can be read, and what its servers and writers should know."""
    try:
        found = place.look()
        if found is None:
            yield _none(options)
        else:
            registry = insist_whole(found.content.registry, options.url)
            detail = ", ".join(f"{count} {kind}" for kind, count in registry.counts.items() if count)
            yield Check(subject="registry", verdict="passed", detail=detail)
            yield from unknown_fields(registry)
    except DrkeeperError as error:
        yield Check(subject="registry", verdict="failed", detail=str(error), remedy=error.hint)
    detail = f"writers take turns with backups and restores under `drkeeper lock {lock_name} -- COMMAND`"
    yield Check(subject="lock", verdict="passed", detail=detail)


def _none(options: Options) -> Check:
    """What Feast's servers say of it (`registry is None`) does not tell the cause."""
    return Check(
        subject="registry",
        verdict="failed",
        detail=f"{options.url} holds no registry, or an empty one: it was lost, nothing was applied there yet, or the "
        "servers read another place (`registry` in feature_store.yaml); Feast serves no feature without it",
        remedy=LOST,
    )


def unknown_fields(registry: FeatureRegistry) -> Iterator[Check]:
    """Captured and restored to the byte; but the installed Feast does not see them, and drops them when it writes."""
    if registry.unknown:
        yield Check(
            subject="feast",
            verdict="failed",
            severity="warning",
            detail=f"a newer Feast than the installed one wrote fields that it does not know: "
            f"{', '.join(registry.unknown[:TOLD])}",
            remedy="install the Feast that writes this registry",
        )


def preflight(record: SystemRecord) -> Iterator[Check]:
    """Whether the record's registry can be read here, and has anything in it."""
    if not any(stream.name == REGISTRY for stream in record.streams):
        yield Check(subject=REGISTRY, verdict="failed", detail="the record holds none", remedy="take another point")
    exact = record.facts.exact
    schema = str(exact.get("schema_version", SCHEMA_VERSION))
    if not schema.isdecimal() or int(schema) > SCHEMA_VERSION:
        yield Check(
            subject="schema_version",
            verdict="failed",
            detail=f"the recorded schema has version {schema}, and {SCHEMA_VERSION} is the newest that is known here",
            remedy="install a newer drkeeper, and the Feast that wrote the registry",
        )
    written, here = record.tools.get("feast", ""), tools().get("feast", "")
    if not here:
        remedy = "install it with `pip install 'drkeeper[feast]'`"
        yield Check(subject="feast", verdict="failed", detail="Feast is not installed", remedy=remedy)
    elif _numbers(written) > _numbers(here):
        yield Check(
            subject="feast",
            verdict="failed",
            severity="warning",
            detail=f"recorded with Feast {written}; {here} is installed, and drops what it does not know on a write",
            remedy=f"install Feast {written} before anything is applied",
        )


def insist_restorable(content: Content, record: SystemRecord) -> None:
    """Look at the bytes themselves.

    Raises:
        Refused: They are no registry, or one without any object, or another one than the record's.
    """
    try:
        registry = parse(content.registry)
    except RegistryUnreadable as error:
        raise Refused(f"the recovery point's registry: {error}; nothing was changed", hint=error.hint) from error
    if registry.bare:
        raise Refused(f"the recovery point's registry {BARE}; nothing was changed", hint="restore an older point")
    expected = record.facts.exact.get("sha256", content.sha256)
    if content.sha256 != expected:
        raise Refused(f"the recovery point's registry is not the one that was captured (SHA-256 {expected})")


def insist_readable(found: Snapshot | None, where: str) -> None:
    """Of what is live.

    Raises:
        CaptureFailed: It is empty, or cannot be read.
    """
    if found is None:
        raise CaptureFailed(f"{where} holds no registry", hint="run `feast apply`, or restore it")
    insist_whole(found.content.registry, where)


def content(place: Place, recorded: Content) -> Iterator[Check]:
    """What is live against what was recorded."""
    found = place.look()
    try:
        live = parse(found.content.registry) if found else None
    except RegistryUnreadable as error:
        yield Check(subject="content", verdict="failed", detail=str(error), remedy="restore it again")
        return
    if live is None:
        yield Check(subject="content", verdict="failed", detail="there is no registry", remedy="restore it again")
        return
    changed = differences(parse(recorded.registry), live)
    if changed:
        more = f"; and {len(changed) - TOLD} more" if len(changed) > TOLD else ""
        detail = "since the recovery point: " + "; ".join(changed[:TOLD]) + more
        yield Check(subject="content", verdict="failed", detail=detail, remedy="somebody wrote it after the restore")
    else:
        detail = f"all {sum(live.counts.values())} objects are those of the recovery point"
        yield Check(subject="content", verdict="passed", detail=detail)
    if found is not None and place.has_tables:
        yield _rows(found.content, recorded)
    yield from unknown_fields(live)


def _rows(live: Content, recorded: Content) -> Check:
    """Rows hold more than Feast's message shows: its own marks of time, and what users keep with a view."""
    names = sorted({*live.tables, *recorded.tables})
    wrong = [name for name in names if not _same_rows(live.tables.get(name, b""), recorded.tables.get(name, b""))]
    if wrong:
        return Check(subject="rows", verdict="failed", detail=f"rows of {', '.join(wrong)} are not those of the point")
    return Check(subject="rows", verdict="passed", detail=f"of {len(names)} tables")


def _same_rows(live: bytes, recorded: bytes) -> bool:
    """A table without a row is as good as none."""
    return live == recorded or max(live.count(b"\n"), recorded.count(b"\n")) <= 1


def caches(cache_ttl_seconds: int) -> Check:
    """No restore reaches into Feast's servers."""
    until = (
        f"for up to {cache_ttl_seconds} s (`feast serve`: 60 s)" if cache_ttl_seconds else "until they are restarted"
    )
    return Check(
        subject="caches",
        verdict="failed",
        severity="info",
        detail=f"servers that read the former registry serve it {until}",
        remedy="restart them, or wait",
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdecimal())
