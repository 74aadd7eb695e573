"""What must hold between the rows of MLflow's database, most of it guarded by no foreign key.

Each statement is a query for the rows that break it. One that asks for tables or columns which this MLflow does not
have is not checked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from drkeeper.applications._mlflow.database import Database
from drkeeper.applications._mlflow.index import EXAMPLES
from drkeeper.facts import Check, Severity

WRAPPED = "SELECT count(*) OVER (), who FROM ({query}) found (who) ORDER BY who LIMIT {examples}"
# Rows of latest_metrics take about that many bytes; of more than a hundred thousand, so many are looked up.
ROW_BYTES, SAMPLED_ROWS = 100, 100_000
LATEST_METRICS = "SELECT pg_relation_size('latest_metrics')"


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        subject: Of its check.
        holds: What is the case, in words.
        broken: What is the case with the rows that the query finds.
        query: One text column: which row.
        needs: Tables, and the columns that the query asks for.
    """

    subject: str
    holds: str
    broken: str
    query: str
    remedy: str
    severity: Severity = "error"
    needs: Mapping[str, str] = field(default_factory=dict)


VERSION = {"model_versions": "name version status current_stage source run_id"}
MODELS = {"logged_models": "model_id artifact_location"}
STATEMENTS = (
    Statement(
        "versions.runs",
        "each version's run exists",
        "versions name runs that are gone",
        """SELECT v.name || '/' || v.version || ' of run ' || v.run_id FROM model_versions v
        WHERE {served} AND v.run_id <> '' AND NOT EXISTS (SELECT FROM runs r WHERE r.run_uuid = v.run_id)""",
        "their history is gone, probably by `mlflow gc`; they can be served as long as their objects are there",
        "warning",
        {**VERSION, "runs": "run_uuid"},
    ),
    Statement(
        "versions.logged-models",
        "each version's logged model exists",
        "versions name logged models that are gone",
        """SELECT v.name || '/' || v.version || ' of ' || v.source FROM model_versions v
        WHERE {served} AND starts_with(v.source, 'models:/m-') AND NOT EXISTS (
          SELECT FROM logged_models m WHERE 'models:/' || m.model_id = v.source)""",
        "restore from an older point, or register these models again",
        needs={**VERSION, "logged_models": "model_id"},
    ),
    Statement(
        "versions.locations",
        "each version and its logged model name the same place",
        "versions are stored in another place than their logged models",
        """SELECT v.name || '/' || v.version || ' in ' || v.storage_location FROM model_versions v
        JOIN logged_models m ON 'models:/' || m.model_id = v.source
        WHERE {served} AND rtrim(v.storage_location, '/') <> rtrim(m.artifact_location, '/')""",
        "a fail-over was rewritten in part: `drkeeper relocate` rewrites all columns in one transaction",
        "warning",
        {**VERSION, **MODELS, "model_versions": "name version status current_stage source storage_location"},
    ),
    Statement(
        "aliases.versions",
        "each alias names a version",
        "aliases name versions that are gone",
        """SELECT a.name || '@' || a.alias || ' to version ' || a.version FROM registered_model_aliases a
        WHERE NOT EXISTS (SELECT FROM model_versions v WHERE v.name = a.name AND v.version = a.version AND {workspace}
          AND v.current_stage IS DISTINCT FROM 'Deleted_Internal')""",
        "set these aliases to versions that are there, before anybody serves by them",
        needs={"registered_model_aliases": "name alias version", "model_versions": "name version current_stage"},
    ),
    Statement(
        "logged-models.runs",
        "each logged model's run exists",
        "logged models name runs that are gone",
        """SELECT m.model_id || ' of run ' || m.source_run_id FROM logged_models m WHERE m.source_run_id <> ''
        AND NOT EXISTS (SELECT FROM runs r WHERE r.run_uuid = m.source_run_id)""",
        "their history is gone, probably by `mlflow gc`; they can be loaded as long as their objects are there",
        "warning",
        {"logged_models": "model_id source_run_id", "runs": "run_uuid"},
    ),
    Statement(
        "runs.models",
        "each model that a run has put out, or taken in, exists",
        "runs name logged models that are gone",
        """SELECT i.source_id || ' to ' || i.destination_id FROM inputs i
        WHERE i.destination_type IN ('MODEL_OUTPUT', 'MODEL_INPUT') AND NOT EXISTS (
          SELECT FROM logged_models m WHERE m.model_id = i.destination_id)""",
        "these runs show models that cannot be opened; `mlflow gc` leaves such rows",
        needs={"inputs": "source_id destination_type destination_id", "logged_models": "model_id"},
    ),
    Statement(
        "runs.locations",
        "each run's artifacts are below its experiment's root",
        "runs have their artifacts outside of their experiment's root",
        """SELECT r.run_uuid || ' in ' || r.artifact_uri FROM runs r JOIN experiments e USING (experiment_id)
        WHERE r.artifact_uri <> '' AND e.artifact_location <> ''
        AND NOT starts_with(r.artifact_uri, rtrim(e.artifact_location, '/') || '/')""",
        "a fail-over was rewritten in part: `drkeeper relocate` rewrites all columns in one transaction",
        "warning",
        {"runs": "run_uuid artifact_uri experiment_id", "experiments": "experiment_id artifact_location"},
    ),
    Statement(
        "metrics.latest",
        "each latest metric is one of the metrics",
        "latest metrics are in no row of the metrics",
        """SELECT l.run_uuid || ' ' || l.key FROM latest_metrics l {sample} WHERE NOT EXISTS (
          SELECT FROM metrics m WHERE m.run_uuid = l.run_uuid AND m.key = l.key AND m.timestamp = l.timestamp
          AND m.step = l.step AND m.is_nan = l.is_nan AND m.value = l.value)""",
        "these tables are not of one moment: restore the database again",
        needs={
            "latest_metrics": "run_uuid key timestamp step is_nan value",
            "metrics": "run_uuid key timestamp step is_nan value",
        },
    ),
)


def statements(database: Database) -> Iterator[Check]:
    """All of them, in one view of the database."""
    yield from (_check(database, statement) for statement in STATEMENTS)
    yield _sequences(database)


def _check(database: Database, statement: Statement) -> Check:
    if lacks := database.lacks(statement.needs):
        return Check(subject=statement.subject, verdict="not checked", detail=lacks)
    sample = _sample(database) if "{sample}" in statement.query else ""
    query = database.filled(statement.query, sample=sample)
    found = database.rows(WRAPPED.format(query=query, examples=EXAMPLES))
    if not found:
        looked = f"{statement.holds} (a sample was looked at)" if sample else statement.holds
        return Check(subject=statement.subject, verdict="passed", detail=looked)
    return Check(
        subject=statement.subject,
        verdict="failed",
        detail=f"{found[0][0]:,} {statement.broken}: {'; '.join(who for _, who in found)}",
        severity=statement.severity,
        remedy=statement.remedy,
    )


def _sample(database: Database) -> str:
    """How much of the latest metrics is looked at: millions of look-ups would take minutes."""
    rows = int(database.value(LATEST_METRICS)) / ROW_BYTES
    return f"TABLESAMPLE SYSTEM ({100 * SAMPLED_ROWS / rows:.6f})" if rows > SAMPLED_ROWS else ""


# Of all tables that are found without naming a schema.
OWNED = """
    SELECT quote_ident(t.relname), quote_ident(a.attname), s.oid::regclass::text FROM pg_depend d
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_class t ON t.oid = d.refobjid AND pg_table_is_visible(t.oid)
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') ORDER BY 1, 2"""
NEXT = "SELECT (SELECT max({column}) FROM {table}), last_value + is_called::int FROM {sequence}"


def _sequences(database: Database) -> Check:
    """The next number of each sequence is greater than all that its column has."""
    behind, owned = [], database.rows(OWNED)
    for table, column, sequence in owned:
        greatest, following = database.rows(NEXT.format(table=table, column=column, sequence=sequence))[0]
        if greatest is not None and following <= greatest:
            behind.append(f"{table}.{column} has {greatest}, {sequence} gives {following}")
    if behind:
        return Check(
            subject="sequences",
            verdict="failed",
            detail=f"{len(behind)} sequences are behind their columns: {'; '.join(behind[:EXAMPLES])}",
            remedy="new rows will be refused: set them with setval, or restore the database again",
        )
    return Check(subject="sequences", verdict="passed", detail=f"{len(owned)} sequences are ahead of their columns")
