"""Tasks of the Feast SDK. Loaded by `child.py`: standard library and that SDK only, syntax of Python 3.9.

`repo_config` is what Feast's `RepoConfig` takes; `${NAME}` in any of its strings is what the environment says. Features
are named `view:feature` in requests and `view__feature` in answers, so that views may have features of one name.
Where neither `features` nor a `service` is given, there is nothing to ask for.
"""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from datetime import datetime, timezone
from typing import Any

warnings.simplefilter("ignore")

import feast  # noqa: E402 - after it was told to be quiet
import pandas as pd  # noqa: E402
from feast.errors import DataSourceNotFoundException  # noqa: E402
from feast.repo_config import RepoConfig  # noqa: E402

logging.getLogger("feast").setLevel(logging.ERROR)

UTC = timezone.utc  # noqa: UP017 - Python 3.9
MOMENT, ROW = "event_timestamp", "drkeeper_row"
# Of so many, entity columns and event times go into memory, to be counted: some 300 MB.
ROWS_COUNTED = 10_000_000
_REFERENCE = re.compile(r"\$\{(\w+)\}")


def online(
    repo_config: dict[str, Any],
    entity_rows: list[dict[str, Any]],
    features: list[str] | None = None,
    service: str = "",
) -> dict[str, Any]:
    """What the online store serves.

    Answers:
        rows: One for each entity row, in order: `entity` as asked for, `values` by feature, and `timestamps` of the
            event by feature. Feast calls a missing entity present, with a null and the year 1970: here value and
            timestamp are both null.
    """
    store = _store(repo_config)
    answer = store.get_online_features(
        features=_wanted(store, features, service), entity_rows=entity_rows, full_feature_names=True
    )
    columns = answer.to_dict()
    names = [name for name in columns if name not in entity_rows[0]]
    moments = {
        name: [moment.ToDatetime(UTC) if moment.seconds else None for moment in vector.event_timestamps]
        for name, vector in zip(answer.proto.metadata.feature_names.val, answer.proto.results)  # noqa: B905 - 3.9
    }
    return {
        "rows": [
            {
                "entity": entity,
                "values": {name: columns[name][place] for name in names},
                "timestamps": {name: moments[name][place] for name in names},
            }
            for place, entity in enumerate(entity_rows)
        ]
    }


def offline(
    repo_config: dict[str, Any],
    entity_rows: list[dict[str, Any]],
    features: list[str] | None = None,
    service: str = "",
) -> dict[str, Any]:
    """What the offline store holds as of each row's `event_timestamp` (ISO 8601, with its offset).

    Answers:
        rows: One for each entity row, in order: `entity`, `values` by feature and the row's `event_timestamp`. NaN is
            null here: the data frames that Feast answers with do not tell them apart.
    """
    store = _store(repo_config)
    asked = pd.DataFrame(entity_rows)
    asked[MOMENT] = pd.to_datetime(asked[MOMENT], utc=True, format="ISO8601")
    asked[ROW] = range(len(asked))
    job = store.get_historical_features(
        entity_df=asked, features=_wanted(store, features, service), full_feature_names=True
    )
    found = job.to_df().drop_duplicates(ROW).set_index(ROW).sort_index()
    names = [name for name in found.columns if name not in asked.columns]
    values = {name: found[name].reindex(range(len(asked))).tolist() for name in names}
    return {
        "rows": [
            {
                "entity": {name: value for name, value in entity.items() if name != MOMENT},
                "values": {name: _known(values[name][place]) for name in names},
                MOMENT: entity[MOMENT],
            }
            for place, entity in enumerate(entity_rows)
        ]
    }


def materialise(repo_config: dict[str, Any], start: str, end: str, views: list[str] | None = None) -> dict[str, Any]:
    """Bring what the offline store has of a time span into the online store; writes the span into the registry.

    Values that are older than what is there are skipped by the online store.

    Args:
        repo_config: As above.
        start: ISO 8601 with its offset, included.
        end: Likewise.
        views: None: all that are online.

    Answers:
        rows_written: By view, how many were handed to the online store; null where Feast did not say so here.
    """
    began = time.monotonic()
    store = _store(repo_config)
    written = _counted(store)
    since, until = (pd.Timestamp(text).to_pydatetime() for text in (start, end))
    store.materialize(since, until, feature_views=views)
    names = views or [view.name for view in store.list_feature_views() if view.online]
    return {
        "views": names,
        "rows_written": None if written is None else {name: written.get(name, 0) for name in names},
        "seconds": time.monotonic() - began,
    }


def sources(
    repo_config: dict[str, Any],
    until: str | None = None,
    after: dict[str, str] | None = None,
    as_of: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Where the views' data come from, and whether that is there.

    Args:
        repo_config: Feast's.
        until: Count what there is, up to this moment (ISO 8601); None: do not count.
        after: View -> a moment: rows from there on are counted as well.
        as_of: View -> a moment: entities are counted as of then as well.

    Answers:
        sources: One for each view: `view`, `kind` (class of the source), `name`, `path` of a file, `exists` (null where
            that cannot be told, then `error` says why), and `latest` event timestamp of a parquet file. Of parquet
            files that are counted also `rows` and `size_bytes`; `rows_after` and the `after` that it counts from;
            `entities`, and the sum of the newest event times of each of them, `times_sum` (microseconds since 1970);
            the same as of an earlier moment, `entities_then` and `times_sum_then`.
    """
    store = _store(repo_config)
    told = []
    for view in [*store.list_feature_views(), *store.list_stream_feature_views()]:
        said = {"view": view.name, **_source(store.config, view.batch_source)}
        if until is not None and said["latest"] is not None:
            try:
                moments = (until, (after or {}).get(view.name), (as_of or {}).get(view.name))
                said.update(_counts(view, str(said["path"]), *moments))
            except Exception as error:  # noqa: BLE001 - what cannot be counted is there all the same
                said["error"] = f"{type(error).__name__}: {error}"
        told.append(said)
    return {"sources": told}


def _store(repo_config: dict[str, Any]) -> Any:
    return feast.FeatureStore(config=RepoConfig(**_filled_in(repo_config)))


def _filled_in(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _filled_in(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled_in(part) for part in value]
    if isinstance(value, str):
        return _REFERENCE.sub(lambda reference: os.environ[reference[1]], value)
    return value


def _wanted(store: Any, features: list[str] | None, service: str) -> Any:
    return store.get_feature_service(service) if service else features or []


def _known(value: Any) -> Any:
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value


def _counted(store: Any) -> dict[str, int] | None:
    """Rows by view, as they are handed to the online store; Feast itself does not tell how many there were.

    None where another engine than the local one does the work, somewhere else.
    """
    provider = store._get_provider()  # noqa: SLF001 - there is no other way to the store that the engine writes to
    if not type(provider.batch_engine).__name__.startswith("Local"):
        return None
    written: dict[str, int] = {}
    write = provider.online_store.online_write_batch

    def counting(config: Any, table: Any, data: Any, progress: Any) -> None:
        write(config=config, table=table, data=data, progress=progress)
        written[table.name] = written.get(table.name, 0) + len(data)

    provider.online_store.online_write_batch = counting
    return written


def _source(config: Any, source: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": type(source).__name__, "path": "", "exists": None, "latest": None, "error": ""}
    if source is None:  # of a view that is made of other views, or by pushes only
        return {**told, "kind": "", "name": "", "error": "the view has no source of its own"}
    told["name"] = source.name
    if isinstance(source, feast.FileSource):
        told["path"] = source.get_uri_for_file_path(config.repo_path, source.path)
    try:
        list(source.get_table_column_names_and_types(config))
        told["exists"] = True
        told["latest"] = _latest(source, str(told["path"])) if told["path"] else None
    except (FileNotFoundError, DataSourceNotFoundException) as error:
        told.update(exists=False, error=str(error))
    except Exception as error:  # noqa: BLE001 - each kind of source raises what its library does
        told["error"] = f"{type(error).__name__}: {error}"
    return told


def _counts(view: Any, path: str, until: str, after: str | None, as_of: str | None) -> dict[str, Any]:
    """Rows, and what the online store holds once all of them are materialised."""
    import pyarrow as pa
    import pyarrow.dataset

    source = view.batch_source
    system, place = feast.FileSource.create_filesystem_and_path(path, source.s3_endpoint_override)
    data = pyarrow.dataset.dataset(place, filesystem=system, format="parquet")
    column, kind = source.timestamp_field, data.schema.field(source.timestamp_field).type
    time_of = pyarrow.dataset.field(column)

    def literal(text: str) -> Any:
        moment = pd.Timestamp(text)
        return pa.scalar(moment if kind.tz else moment.tz_convert(None), type=pa.timestamp("us", kind.tz))

    early = time_of <= literal(until)
    told: dict[str, Any] = {
        "rows": data.count_rows(filter=early),
        "size_bytes": sum(info.size for info in data.filesystem.get_file_info(data.files)),
    }
    if after is not None:
        told.update(after=after, rows_after=data.count_rows(filter=early & (time_of >= literal(after))))
    if told["rows"] <= ROWS_COUNTED and not _is_computed(view):
        table = data.to_table(columns=_columns(view), filter=early)
        told["entities"], told["times_sum"] = _entities(table, column)
        if as_of is not None:
            then = table.filter(pyarrow.compute.field(column) <= literal(as_of))
            told["entities_then"], told["times_sum_then"] = _entities(then, column)
    return told


def _entities(table: Any, column: str) -> tuple[int, int]:
    """How many there are, and the sum of the newest event times of each of them."""
    import pyarrow as pa

    keys = [name for name in table.column_names if name != column]
    if not table.num_rows:
        return 0, 0
    newest = table.group_by(keys).aggregate([(column, "max")])[f"{column}_max"]
    numbers = newest.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
    seconds, rest = numbers // 1_000_000, numbers % 1_000_000  # of themselves they would not go into 64 bits
    return len(numbers), int(seconds.sum()) * 1_000_000 + int(rest.sum())


def _columns(view: Any) -> list[str]:
    """Of the source: the entity's, and the event time's."""
    source = view.batch_source
    named = {feature: column for column, feature in (source.field_mapping or {}).items()}
    return [*(named.get(key, key) for key in view.join_keys), source.timestamp_field]


def _is_computed(view: Any) -> bool:
    """Whether entities, or their times, are not simply those of the source."""
    parts = ("aggregations", "feature_transformation", "source_views", "filter")
    return any(getattr(view, part, None) for part in parts)


def _latest(source: Any, path: str) -> datetime | None:
    """The latest event timestamp of parquet files, from their row groups' statistics where these have them."""
    import pyarrow.compute
    import pyarrow.dataset

    if type(source.file_format).__name__ not in {"NoneType", "ParquetFormat"}:
        return None
    system, place = feast.FileSource.create_filesystem_and_path(path, source.s3_endpoint_override)
    column = source.timestamp_field
    latest = []
    for file in pyarrow.dataset.dataset(place, filesystem=system, format="parquet").get_fragments():
        known = [group.statistics.get(column, {}).get("max") for group in file.row_groups]
        table = None if None not in known else file.to_table(columns=[column])
        latest += known if table is None else [pyarrow.compute.max(table[column]).as_py()]
    return max((_aware(moment) for moment in latest if isinstance(moment, datetime)), default=None)


def _aware(moment: datetime) -> datetime:
    """Times without a zone are UTC in Feast."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
