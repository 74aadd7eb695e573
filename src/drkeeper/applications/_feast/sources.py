"""Whether the objects are there that views take their values from: files, and objects in buckets."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from drkeeper.applications._feast.definitions import Definitions
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check
from drkeeper.systems import Browsing, System

_FILE = 1  # feast.core.DataSource.BATCH_FILE
_WITHOUT_OBJECT = frozenset({"REQUEST_SOURCE", "PUSH_SOURCE", "INVALID"})
_REMEDY = "restore the source, or correct its path in the repository and run `feast apply`: nothing can be rebuilt"


def source_checks(
    definitions: Definitions, systems: Mapping[str, System], elsewhere: Mapping[str, str], repository: Path | None
) -> Iterator[Check]:
    """One check for each data source of the project that has data of its own.

    Args:
        definitions: Of the project.
        systems: Those that browse objects are asked.
        elsewhere: Location -> where its objects are now.
        repository: Where relative paths begin.
    """
    for message in sorted(_batch_sources(definitions), key=lambda one: str(one.name)):
        subject = f"sources.{message.name}"
        if message.type != _FILE:
            kind = message.DESCRIPTOR.enum_types_by_name["SourceType"].values_by_number[message.type].name
            detail = f"{kind.lower()}: only files and objects are looked for"
            yield Check(subject=subject, verdict="not checked", detail=detail)
        elif (uri := message.file_options.uri).startswith("s3://"):
            yield _object(subject, moved(uri, elsewhere), systems)
        else:
            yield _file(subject, uri, repository)


def moved(uri: str, elsewhere: Mapping[str, str]) -> str:
    """Where the object is now; the longest location that fits decides."""
    for location in sorted(elsewhere, key=len, reverse=True):
        if _below(uri, location) is not None:
            return elsewhere[location] + uri[len(location) :]
    return uri


def _batch_sources(definitions: Definitions) -> Iterator[Any]:
    """Those of the registry, and those that only a view has; with the batch sources of push and stream sources."""
    found: dict[str, Any] = {}
    for message in (*definitions.messages("data_sources"), *(view.source for view in definitions.views)):
        nested = message.batch_source if message is not None and message.HasField("batch_source") else None
        for one in (message, nested):
            if one is not None and _kind(one) not in _WITHOUT_OBJECT:
                found.setdefault(one.name, one)
    yield from found.values()


def _kind(message: Any) -> str:
    known = message.DESCRIPTOR.enum_types_by_name["SourceType"].values_by_number.get(message.type)
    return str(known.name) if known is not None else "INVALID"


def _file(subject: str, uri: str, repository: Path | None) -> Check:
    parts = urlsplit(uri)
    if parts.scheme not in {"", "file"}:
        return Check(subject=subject, verdict="not checked", detail=f"{uri}: only local files and s3:// are looked for")
    path = Path(unquote(parts.path)) if parts.scheme else Path(uri)
    if not path.is_absolute():
        if repository is None:
            detail = f"{uri} is relative to the folder of feature_store.yaml: name that as the policy's `repository`"
            return Check(subject=subject, verdict="not checked", detail=detail)
        path = repository / path
    try:
        there = any(path.parent.glob(path.name)) if "*" in path.name else path.stat() is not None
    except FileNotFoundError:
        there = False
    except OSError as error:
        return Check(subject=subject, verdict="not checked", detail=f"{path}: {error.strerror}")
    return _found(subject, str(path), there=there)


def _object(subject: str, uri: str, systems: Mapping[str, System]) -> Check:
    for name, system in systems.items():
        if isinstance(system, Browsing) and (key := _below(uri, system.url)) is not None:
            try:
                return _found(subject, f"{uri}, in {name}", there=_holds(system, key))
            except DrkeeperError as error:
                return Check(subject=subject, verdict="not checked", detail=f"{uri}: {error}")
    return Check(subject=subject, verdict="not checked", detail=f"no system of kind objects here holds {uri}")


def _holds(system: Browsing, key: str) -> bool:
    """Whether there is an object of that key, or any below it: a table may be many files."""
    fixed, pattern, _ = key.partition("*")
    for found, size in system.entries(fixed):
        if size and (pattern or found == fixed or found.startswith(fixed.rstrip("/") + "/")):
            return True
    return False


def _below(uri: str, location: str) -> str | None:
    """The rest of the URI below that location; None where it is not."""
    place = location.rstrip("/")
    if uri == place:
        return ""
    return uri[len(place) + 1 :] if uri.startswith(place + "/") else None


def _found(subject: str, place: str, *, there: bool) -> Check:
    if there:
        return Check(subject=subject, verdict="passed", detail=f"{place} is there")
    return Check(subject=subject, verdict="failed", detail=f"{place} is not there", remedy=_REMEDY)
