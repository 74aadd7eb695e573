"""Facts of MLflow: counts, and digests of what names what. Read from a frozen view, and from what was restored."""

import hashlib
import json
from collections.abc import Iterable

from drkeeper.applications._mlflow.database import Database, Row
from drkeeper.applications._mlflow.places import Places
from drkeeper.applications._mlflow.revisions import revision_of
from drkeeper.facts import Facts, Scalar

COUNTED = {
    "experiments": "experiments",
    "runs": "runs",
    "registered_models": "registered_models",
    "versions": "model_versions",
    "logged_models": "logged_models",
    "aliases": "registered_model_aliases",
    "traces": "trace_info",
}
STATES = "SELECT status, current_stage, count(*) FROM model_versions GROUP BY 1, 2 ORDER BY 1, 2"
ALIASES = 'SELECT a.name, a.alias, a.version FROM registered_model_aliases a ORDER BY a.name COLLATE "C", a.alias'
VERSIONS = """
    SELECT v.name, v.version, v.source, {storage} FROM model_versions v
    ORDER BY v.name COLLATE "C", v.version, v.source COLLATE "C" """


def facts_of(database: Database, places: Places) -> Facts:
    """What a restore must reproduce.

    Locations count by system and key, so that the digest stays the same after a fail-over that was rewritten, and in
    a sandbox whose bucket has another name.
    """
    exact: dict[str, Scalar] = {"alembic.revision": revision_of(database)}
    unread: dict[str, str] = {}
    for name, table in COUNTED.items():
        if lacks := database.lacks({table: ""}):
            unread[name] = lacks
        else:
            exact[name] = database.value(f"SELECT count(*) FROM {table}")  # noqa: S608 - names from above
    for status, stage, count in database.rows(STATES):
        exact[f"versions.{status}.{stage}"] = count
    if not database.lacks({COUNTED["aliases"]: ""}):
        exact["aliases.digest"] = _digest(database.rows(ALIASES + ' COLLATE "C", a.version'))
    storage = "NULL" if database.lacks({"model_versions": "storage_location"}) else "v.storage_location"
    rows = database.stream(VERSIONS.format(storage=storage))
    exact["versions.digest"] = _digest(
        (name, version, places.portable(source), places.portable(stored)) for name, version, source, stored in rows
    )
    return Facts(exact=exact, unread=unread)


def _digest(rows: Iterable[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False).encode(errors="surrogatepass") + b"\n")
    return f"sha256:{digest.hexdigest()}"
