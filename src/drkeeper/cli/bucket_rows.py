"""What came of bringing buckets to their replicas, as rows."""

from typing import TYPE_CHECKING

from drkeeper.cli.output import Column, Row, human_duration, human_size

if TYPE_CHECKING:
    from drkeeper.artifacts import Brought

BUCKET_COLUMNS = (
    Column("system"),
    Column("source_objects", "OBJECTS", right=True),
    Column("new", right=True),
    Column("overwritten", right=True),
    Column("copied_bytes", "COPIED", form=human_size, right=True),
    Column("deleted", right=True),
    Column("waiting", "TO DELETE", right=True),
    Column("failed", right=True),
    Column("behind_seconds", "WAS BEHIND", form=human_duration, right=True),
    Column("elapsed_seconds", "TOOK", form=human_duration, right=True),
    Column("problem", "PROBLEM"),
)


def bucket_row(brought: "Brought") -> Row:
    """One bucket; without figures where it was not copied."""
    figures = brought.record.model_dump(mode="json") if brought.record else {}
    return {**figures, "system": brought.system, "problem": brought.problem}
