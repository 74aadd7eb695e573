"""What MLflow's database says there is in buckets, row by row.

A version that is READY, a logged model that is READY, and a trace whose spans lie in a bucket each promise one file.
Prompts are registered models without files, and external models have an MLmodel file and nothing else.
"""

from collections.abc import Iterator
from typing import NamedTuple

from drkeeper.applications._mlflow.database import Database

RECIPE = "MLmodel"
VERSIONS, LOGGED_MODELS, TRACES = "versions", "logged-models", "traces"
# mlflow.tracing: what the exporter writes, and what the archiver does.
SPANS, ARCHIVED_SPANS = "traces.json", "traces.pb"

VERSION_NEEDS = {"model_versions": "name version status current_stage source run_id", "runs": "run_uuid artifact_uri"}
VERSION_ROWS = """
    SELECT v.name || '/' || v.version, {stored}, m.artifact_location, u.artifact_uri,
      (v.run_id <> '' AND r.run_uuid IS NULL) IS TRUE OR (starts_with(v.source, 'models:/m-') AND m.model_id IS NULL)
    FROM model_versions v
    LEFT JOIN runs r ON r.run_uuid = v.run_id
    LEFT JOIN {logged_models} m ON 'models:/' || m.model_id = v.source
    LEFT JOIN runs u ON starts_with(v.source, 'runs:/') AND u.run_uuid = split_part(v.source, '/', 2)
    WHERE {served} AND {no_prompt}"""
MODEL_NEEDS = {"logged_models": "model_id artifact_location status lifecycle_stage"}
# Status 2 is READY (mlflow.entities.LoggedModelStatus).
MODEL_ROWS = """
    SELECT m.model_id, m.artifact_location, EXISTS (
      SELECT FROM {tags} t WHERE t.model_id = m.model_id AND t.tag_key = 'mlflow.model.isExternal'
      AND lower(t.tag_value) = 'true')
    FROM logged_models m
    WHERE m.status = 2 AND m.lifecycle_stage IS DISTINCT FROM 'deleted'"""
TRACE_NEEDS = {"trace_info": "request_id status", "trace_tags": "request_id key value"}
TRACE_ROWS = """
    SELECT i.request_id, p.value, s.value, a.value FROM trace_info i {sample}
    LEFT JOIN trace_tags s ON s.request_id = i.request_id AND s.key = 'mlflow.trace.spansLocation'
    LEFT JOIN trace_tags p ON p.request_id = i.request_id AND p.key = 'mlflow.artifactLocation'
    LEFT JOIN trace_tags a ON a.request_id = i.request_id AND a.key = 'mlflow.trace.archiveLocation'
    WHERE i.status IN ('OK', 'ERROR') AND s.value IS DISTINCT FROM 'TRACKING_STORE'"""
TRACES_IN_BUCKETS = """
    SELECT count(*) FROM trace_info i
    LEFT JOIN trace_tags s ON s.request_id = i.request_id AND s.key = 'mlflow.trace.spansLocation'
    WHERE i.status IN ('OK', 'ERROR') AND s.value IS DISTINCT FROM 'TRACKING_STORE'"""
# Each takes 600 bytes of memory until its object is seen; of more, so many are looked for.
MOST_TRACES = 100_000
TRACE_FOLDERS = "SELECT value FROM trace_tags WHERE key IN ('mlflow.artifactLocation', 'mlflow.trace.archiveLocation')"
FOLDERS = (
    ({"runs": "artifact_uri"}, "SELECT artifact_uri FROM runs WHERE artifact_uri <> ''"),
    ({"logged_models": "artifact_location"}, "SELECT artifact_location FROM logged_models"),
    ({"trace_tags": "key value"}, TRACE_FOLDERS),
)


class Claim(NamedTuple):
    """One file that must be in a bucket.

    Attributes:
        kind: `versions`, `logged-models` or `traces`.
        who: Of that kind: `churn/3`, `m-…`, `tr-…`.
        folder: Location as the database has it.
        file: In that folder.
        collected: The rows that it came from are gone already: `mlflow gc` was there before the database was frozen.
        hollow: That there is nothing but this file is as it must be.
    """

    kind: str
    who: str
    folder: str
    file: str = RECIPE
    collected: bool = False
    hollow: bool = False


def claims(database: Database) -> Iterator[Claim]:
    """All files that are promised; of kinds that this MLflow does not have, none."""
    if not database.lacks(VERSION_NEEDS):
        yield from _versions(database)
    if not database.lacks(MODEL_NEEDS):
        tags = database.table("logged_model_tags", "model_id tag_key tag_value")
        for model_id, location, external in database.stream(database.filled(MODEL_ROWS, tags=tags)):
            yield Claim(LOGGED_MODELS, model_id, location, hollow=external)
    if not database.lacks(TRACE_NEEDS):
        sample = f"TABLESAMPLE BERNOULLI ({part:.6f})" if (part := sampled_percent(database)) else ""
        for trace_id, location, spans, archive in database.stream(TRACE_ROWS.format(sample=sample)):
            archived = spans == "ARCHIVE_REPO"
            if folder := archive if archived else location:
                yield Claim(TRACES, trace_id, folder, ARCHIVED_SPANS if archived else SPANS)


def sampled_percent(database: Database) -> float | None:
    """How many in a hundred traces are looked for where there are very many; None: all are."""
    traces = int(database.value(TRACES_IN_BUCKETS))
    return 100 * MOST_TRACES / traces if traces > MOST_TRACES else None


def folders(database: Database) -> Iterator[str]:
    """Where anything that has a row may have objects, of deleted runs and models, too."""
    for needs, query in FOLDERS:
        if not database.lacks(needs):
            yield from (location for (location,) in database.stream(query))


def roots(database: Database) -> Iterator[str]:
    """Artifact locations of experiments."""
    yield from (location for (location,) in database.rows("SELECT artifact_location FROM experiments") if location)


def _versions(database: Database) -> Iterator[Claim]:
    for who, stored, model_location, run_location, collected in database.stream(database.filled(VERSION_ROWS)):
        yield Claim(VERSIONS, who, resolved(stored or "", model_location, run_location), collected=collected)


def resolved(stored: str, model_location: str | None, run_location: str | None) -> str:
    """Where a version's files are, whose row may say so, or name a logged model, or a path in a run's artifacts."""
    if stored.startswith("models:/") and model_location:
        return str(model_location)
    if stored.startswith("runs:/") and run_location:
        path = stored.removeprefix("runs:/").partition("/")[2]
        return f"{run_location}/{path}" if path else str(run_location)
    return stored
