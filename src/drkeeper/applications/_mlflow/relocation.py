"""Rewrite where MLflow's artifacts are: all columns in one transaction."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from drkeeper.applications._mlflow.columns import enter_schema
from drkeeper.applications._mlflow.prefixes import at_old, moved, names
from drkeeper.applications._mlflow.relocation_plan import RelocationPlan
from drkeeper.errors import Refused, WorldChanged

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

LOCK_SECONDS = 10
"""How long a row that somebody else changes may keep us."""
TRIES = 3


def carry_out(
    connection: "Connection", plan: RelocationPlan, *, check: Callable[[], None] = lambda: None
) -> dict[str, int]:
    """Rewrite all columns in one transaction; how many rows of each were.

    What is written at an old place meanwhile is rewritten, too; whoever began before it and ends after it leaves rows
    for the next time. Readers wait for nothing, and of the writers only those that change the same row.

    Args:
        connection: In autocommit mode, for writing.
        plan: From `look`.
        check: Called before the commit; what it raises undoes everything.

    Raises:
        WorldChanged: Fewer rows are at the old places than were when it was planned; nothing was changed.
        Refused: A new location does not fit into its column, somebody holds a row, or the server refuses for another
            reason; nothing was changed.
    """
    if plan.refusals:
        raise Refused("; ".join(plan.refusals) + ". Nothing was changed")
    for left in reversed(range(TRIES)):
        try:
            with connection.transaction():
                written = _rewritten(connection, plan)
                check()
        except (errors.DeadlockDetected, errors.SerializationFailure) as error:
            if not left:
                raise Refused(
                    f"others change the same rows again and again ({_said(error)}); nothing changed"
                ) from error
        except errors.LockNotAvailable as error:
            raise Refused(
                f"somebody has held rows of MLflow for more than {LOCK_SECONDS} s; nothing was changed",
                hint="find the open transaction in pg_stat_activity, and run it again",
            ) from error
        except errors.StringDataRightTruncation as error:
            raise WorldChanged(
                f"a new location does not fit into its column ({_said(error)}); nothing changed"
            ) from error
        except errors.Error as error:
            if connection.closed:
                raise
            # It answers, and says no (read-only, out of room): that is not for later, when it is back.
            raise Refused(f"the server does not do it ({_said(error)}); nothing was changed") from error
        else:
            return written
    raise AssertionError("unreachable")


def _rewritten(connection: "Connection", plan: RelocationPlan) -> dict[str, int]:
    enter_schema(connection)
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{LOCK_SECONDS}s")))
    written = {}
    for column in plan.columns:
        location = column.location
        query = sql.SQL("UPDATE {table} SET {column} = {new} WHERE {its} AND {old}").format(
            **names(location), new=moved(location, plan.moves), old=at_old(location, plan.moves)
        )
        rows = connection.execute(query).rowcount
        if rows < column.rows:
            raise WorldChanged(
                f"{location.name} has {rows:,} rows at the old place, and had {column.rows:,} when this was planned; "
                "nothing was changed",
                hint="look at a new plan with `drkeeper relocate plan`",
            )
        written[location.name] = rows
    return written


def _said(error: Exception) -> str:
    return " ".join(str(error).split())
