"""The tables of Feast's SQL registry, as Feast 0.67 makes them (`feast/infra/registry/sql.py`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Type = Literal["name", "kind", "id", "number", "integer", "text", "bytes"]
Dialect = Literal["postgres", "sqlite"]

TYPES: dict[Dialect, dict[Type, str]] = {
    "postgres": {
        "name": "VARCHAR(255)",
        "kind": "VARCHAR(50)",
        "id": "VARCHAR(36)",
        "number": "BIGINT",
        "integer": "INTEGER",
        "text": "TEXT",
        "bytes": "BYTEA",
    },
    "sqlite": {
        "name": "VARCHAR(255)",
        "kind": "VARCHAR(50)",
        "id": "VARCHAR(36)",
        "number": "BIGINT",
        "integer": "INTEGER",
        "text": "TEXT",
        "bytes": "BLOB",
    },
}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        key: Columns of the primary key, by which rows are sorted.
        columns: All, in Feast's order.
        nullable: Of these.
        index: Its name; always over `project_id`.
        field: Of Feast's `Registry` message into which its rows go; "" where they go nowhere.
        proto: The column that holds the message.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, Type], ...]
    index: str
    nullable: frozenset[str] = frozenset()
    field: str = ""
    proto: str = ""

    def create(self, dialect: Dialect, qualified: str) -> Iterator[str]:
        """The statements that make it, and its index.

        Args:
            dialect: Of SQL.
            qualified: Its name, quoted.
        """
        types = TYPES[dialect]
        columns = [f"{name} {types[kind]}{'' if name in self.nullable else ' NOT NULL'}" for name, kind in self.columns]
        yield f"CREATE TABLE {qualified} ({', '.join(columns)}, PRIMARY KEY ({', '.join(self.key)}))"
        yield f"CREATE INDEX {self.index} ON {qualified} (project_id)"


def _objects(name: str, one: str, *, view: bool = False, intervals: bool = False) -> Table:
    """A table of objects with a name in a project; those of views call each a feature view."""
    owner = "feature_view" if view else one
    columns: list[tuple[str, Type]] = [
        (f"{owner}_name", "name"),
        ("project_id", "name"),
        ("last_updated_timestamp", "number"),
        *([("materialized_intervals", "bytes")] if intervals else []),  # type: ignore[list-item]
        (f"{owner}_proto", "bytes"),
        *([("user_metadata", "bytes")] if view else []),  # type: ignore[list-item]
    ]
    return Table(
        name=name,
        key=(f"{owner}_name", "project_id"),
        columns=tuple(columns),
        index=f"idx_{name}_project_id",
        nullable=frozenset({"materialized_intervals", "user_metadata"}),
        field=name if name != "managed_infra" else "",
        proto=f"{owner}_proto",
    )


PROJECTS = Table(
    name="projects",
    key=("project_id",),
    columns=(
        ("project_id", "name"),
        ("project_name", "name"),
        ("last_updated_timestamp", "number"),
        ("project_proto", "bytes"),
    ),
    index="idx_projects_project_id",
    field="projects",
    proto="project_proto",
)
INFRA = _objects("managed_infra", "infra")
HISTORY = Table(
    name="feature_view_version_history",
    key=("feature_view_name", "project_id", "version_number"),
    columns=(
        ("feature_view_name", "name"),
        ("project_id", "name"),
        ("version_number", "integer"),
        ("feature_view_type", "kind"),
        ("feature_view_proto", "bytes"),
        ("created_timestamp", "number"),
        ("description", "text"),
        ("version_id", "id"),
    ),
    nullable=frozenset({"description"}),
    index="idx_fv_version_history_project_id",
)
METADATA = Table(
    name="feast_metadata",
    key=("project_id", "metadata_key"),
    columns=(
        ("project_id", "name"),
        ("metadata_key", "kind"),
        ("metadata_value", "text"),
        ("last_updated_timestamp", "number"),
    ),
    index="idx_feast_metadata_project_id",
)
OBJECTS = (
    _objects("entities", "entity"),
    _objects("feature_views", "feature_view", view=True, intervals=True),
    _objects("data_sources", "data_source"),
    _objects("on_demand_feature_views", "on_demand_feature_view", view=True),
    _objects("stream_feature_views", "stream_feature_view", view=True),
    _objects("feature_services", "feature_service"),
    _objects("saved_datasets", "saved_dataset"),
    _objects("validation_references", "validation_reference"),
    _objects("permissions", "permission"),
    _objects("label_views", "label_view", view=True),
)
# In the order in which one write of Feast's takes them: of an object, of its project, of when that was.
ALL = {table.name: table for table in (*OBJECTS, INFRA, HISTORY, PROJECTS, METADATA)}
