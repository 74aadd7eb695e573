"""The version of the database's schema: which ones an MLflow knows, read from its migrations without importing it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from drkeeper.applications._mlflow.database import Database
from drkeeper.facts import Check

MIGRATIONS = Path("store") / "db_migrations" / "versions"
REVISION = re.compile(r"""^(down_revision|revision)(?:\s*:[^=]+)?\s*=\s*["'](\w+)["']""", re.MULTILINE)
ROWS = "SELECT version_num FROM alembic_version ORDER BY version_num"


@dataclass(frozen=True)
class Known:
    """What an installed MLflow knows.

    Attributes:
        newest: Revisions that no other builds upon; there is one.
    """

    version: str
    revisions: frozenset[str]
    newest: frozenset[str]


def revision_of(database: Database) -> str:
    """The database's; several with commas between them, which is damage."""
    return ",".join(row[0] for row in database.rows(ROWS))


def statements(database: Database, recorded: str = "") -> Iterator[Check]:
    """One revision, and one that the installed MLflow knows.

    Args:
        database: Of MLflow.
        recorded: Version of the MLflow that wrote the models of the point; "" where nobody knows.
    """
    rows = [row[0] for row in database.rows(ROWS)]
    if len(rows) != 1:
        said = f"the table alembic_version has {len(rows)} rows ({', '.join(rows)}) where it must have one"
        remedy = "MLflow will not start: leave the row of the newest migration that was carried out"
        yield Check(subject="alembic.rows", verdict="failed", detail=said, remedy=remedy)
    else:
        yield Check(subject="alembic.rows", verdict="passed", detail=f"revision {rows[0]}")
    known = installed()
    if known is None:
        yield Check(subject="alembic.known", verdict="not checked", detail="MLflow is not installed here")
    else:
        yield _known(rows, known, recorded)


def probe(database: Database) -> Iterator[Check]:
    """The same of a running platform, and whether a server of the installed MLflow would start with it."""
    checks = list(statements(database))
    yield from checks
    known = installed()
    rows = {row[0] for row in database.rows(ROWS)}
    if known is None or not rows <= known.revisions or rows <= known.newest:
        return
    yield Check(
        subject="alembic.newest",
        verdict="failed",
        severity="warning",
        detail=f"the schema is at revision {', '.join(sorted(rows))}, and MLflow {known.version}, which is installed "
        f"here, expects {', '.join(sorted(known.newest))}: a server of it does not start (`Detected out-of-date "
        "database schema`)",
        remedy="run the MLflow that wrote the database, or take a recovery point, then `mlflow db upgrade`",
    )


def installed() -> Known | None:
    """Of the MLflow that is installed beside us; None where there is none."""
    spec = find_spec("mlflow")
    folders = [Path(place) / MIGRATIONS for place in (spec.submodule_search_locations or [])] if spec else []
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    found = [dict(REVISION.findall(file.read_text(encoding="utf-8"))) for file in files]
    revisions = frozenset(each["revision"] for each in found if "revision" in each)
    if not revisions:
        return None
    try:
        named = version("mlflow")
    except PackageNotFoundError:
        named = "of unknown version"
    return Known(named, revisions, revisions - {each.get("down_revision", "") for each in found})


def _known(rows: list[str], known: Known, recorded: str) -> Check:
    strange = sorted(set(rows) - known.revisions)
    if strange:
        wrote = f"; the point's models were written by MLflow {recorded}" if recorded else ""
        revisions = ", ".join(strange)
        return Check(
            subject="alembic.known",
            verdict="failed",
            detail=f"MLflow {known.version}, which is installed here, does not know revision {revisions}{wrote}",
            remedy="the database is of a newer MLflow, whatever the server's own message says: install that one",
        )
    older = sorted(set(rows) - known.newest)
    due = f"; older than MLflow {known.version}, which asks for `mlflow db upgrade`" if older else ""
    return Check(subject="alembic.known", verdict="passed", detail=f"known to MLflow {known.version}{due}")
