"""What a restored server must reproduce, read in the snapshot that is dumped.

Rows and objects are seen in the snapshot and must be equal afterwards. Sequences are outside of any snapshot, so
they are read before and after the dump, and a restored one must lie in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import psycopg
from psycopg import sql

from drkeeper.facts import Facts, Scalar
from drkeeper.systems._postgres.connect import Connection, rows, value
from drkeeper.systems._postgres.options import Options
from drkeeper.systems._postgres.properties import REPLACED

# Schemas of users; temporary ones and the system's begin with pg_.
USERS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
# Objects that an extension made come back with the extension, perhaps as others of its version.
NOT_OF_EXTENSION = """NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.deptype = 'e'
    AND d.classid = '{catalog}'::regclass AND d.objid = {oid})"""

TABLES = f"""
    SELECT n.nspname, c.relname, has_table_privilege(c.oid, 'SELECT')
           AND has_schema_privilege(n.oid, 'USAGE') AS readable, row_security_active(c.oid) AS filtered
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {USERS}
      AND {NOT_OF_EXTENSION.format(catalog="pg_class", oid="c.oid")}
    ORDER BY 1, 2"""  # noqa: S608 - our own text

# Only what pg_dump carries: no invalid index, no NOT NULL (a constraint of its own since 18), no clone of a
# partitioned table's constraint or trigger.
COUNTS = f"""
    SELECT 'views', count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND {USERS} AND {NOT_OF_EXTENSION.format(catalog="pg_class", oid="c.oid")}
    UNION ALL
    SELECT 'indexes', count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (i.indisvalid OR c.relkind = 'I') AND {USERS}
      AND {NOT_OF_EXTENSION.format(catalog="pg_class", oid="i.indrelid")}
    UNION ALL
    SELECT 'constraints', count(*) FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace
    WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND {USERS}
      AND {NOT_OF_EXTENSION.format(catalog="pg_class", oid="k.conrelid")}
      AND {NOT_OF_EXTENSION.format(catalog="pg_type", oid="k.contypid")}
    UNION ALL
    SELECT 'functions', count(*) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE {USERS} AND {NOT_OF_EXTENSION.format(catalog="pg_proc", oid="p.oid")}
    UNION ALL
    SELECT 'triggers', count(*) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND {USERS}
      AND {NOT_OF_EXTENSION.format(catalog="pg_class", oid="c.oid")}
    UNION ALL
    SELECT 'policies', count(*) FROM pg_policy
    UNION ALL
    SELECT 'large_objects', count(*) FROM pg_largeobject_metadata"""  # noqa: S608 - our own text

TABLESPACES = """
    SELECT string_agg(DISTINCT t.spcname, ',') FROM pg_tablespace AS t
    WHERE t.oid IN (SELECT reltablespace FROM pg_class) AND t.spcname <> 'pg_global'"""

MATERIALIZED = f"""
    SELECT n.nspname, c.relname, c.relispopulated
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'm' AND {USERS} AND {NOT_OF_EXTENSION.format(catalog="pg_class", oid="c.oid")}"""  # noqa: S608

# A sequence that was never used stands one step before its start, so that every one has a number.
SEQUENCES = f"""
    SELECT n.nspname, c.relname, coalesce(pg_sequence_last_value(c.oid), s.seqstart - s.seqincrement)
    FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND {USERS}
      AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE false END"""  # noqa: S608


@dataclass
class Collected:
    """Facts while they are gathered."""

    exact: dict[str, Scalar] = field(default_factory=dict)
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    info: dict[str, Scalar] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def finished(self) -> Facts:
        """As they are recorded."""
        return Facts(exact=self.exact, bounds=self.bounds, info=self.info, unread=self.unread)


def excluded(options: Options, schema: str, table: str) -> bool:
    """Whether the policy leaves the rows of this table out."""
    return any(fnmatchcase(f"{schema}.{table}", pattern) for pattern in options.exclude_tables)


def collect(connection: Connection, database: str, options: Options, into: Collected) -> None:
    """Gather the facts of one database; the connection is in the transaction whose snapshot is meant.

    What may not be read, or is locked for too long, becomes unread; the rest goes on.
    """
    _database_facts(connection, database, into)
    for name, number in rows(connection, COUNTS):
        into.exact[f"{database}.{name}"] = number
    for schema, view, populated in rows(connection, MATERIALIZED):
        into.exact[f"{database}.{schema}.{view}.populated"] = populated
    if options.count_rows == "exact":
        _count_rows(connection, database, options, into)
    _alembic(connection, database, into)


def sequences(connection: Connection, database: str) -> dict[str, int]:
    """Last value of each sequence now, whatever the snapshot."""
    found = rows(connection, SEQUENCES)
    return {f"{database}.{schema}.{name}.last_value": int(last) for schema, name, last in found}


def add_sequences(into: Collected, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Those that stood still while we read are exact; the others lie in between."""
    for name in before.keys() & after.keys():
        low, high = sorted((before[name], after[name]))
        if low == high:
            into.exact[name] = low
        else:
            into.bounds[name] = (low, high)


def _database_facts(connection: Connection, database: str, into: Collected) -> None:
    query = """SELECT pg_encoding_to_char(encoding), datcollate, datctype, to_jsonb(d) ->> 'datlocprovider',
               current_setting(%s, true) FROM pg_database AS d WHERE datname = current_database()"""
    encoding, collate, ctype, provider, replaced = rows(connection, query, REPLACED)[0]
    into.exact[f"{database}.encoding"] = encoding
    locale = {"collate": collate, "ctype": ctype, "locale_provider": provider or "c"}
    for name, word in locale.items():
        if replaced:
            into.unread[f"{database}.{name}"] = f"this server lacks the locale {replaced}; its own took the place"
        else:
            into.exact[f"{database}.{name}"] = word
    extensions = rows(connection, "SELECT extname, extversion FROM pg_extension ORDER BY 1")
    into.exact[f"{database}.extensions"] = ", ".join(name for name, _ in extensions)
    for name, version in extensions:
        into.info[f"{database}.extension.{name}"] = version
    into.info[f"{database}.tablespaces"] = value(connection, TABLESPACES)
    into.info[f"{database}.size_bytes"] = value(connection, "SELECT pg_database_size(current_database())")


def _count_rows(connection: Connection, database: str, options: Options, into: Collected) -> None:
    for schema, table, readable, filtered in rows(connection, TABLES):
        if excluded(options, schema, table):
            continue
        name = f"{database}.{schema}.{table}.rows"
        if not readable:
            into.unread[name] = f"{options.user} may not read this table"
        elif filtered:
            into.unread[name] = f"row security hides rows of this table from {options.user}"
        else:
            _count(connection, sql.Identifier(schema, table), name, into)


def _count(connection: Connection, table: sql.Identifier, name: str, into: Collected) -> None:
    try:
        with connection.transaction():
            into.exact[name] = value(connection, sql.SQL("SELECT count(*) FROM {}").format(table))
    except psycopg.errors.QueryCanceled:
        raise  # the freeze ends: nobody waits for these facts
    except psycopg.Error as error:
        if connection.broken:
            raise
        into.unread[name] = " ".join(str(error).split())


def _alembic(connection: Connection, database: str, into: Collected) -> None:
    """The schema's version in Alembic's own table (MLflow, Airflow, Feast and others keep one)."""
    for schema, table, readable, _ in rows(connection, TABLES):
        if table == "alembic_version" and readable:
            query = sql.SQL("SELECT string_agg(version_num, ',' ORDER BY version_num) FROM {}")
            into.exact[f"{database}.{schema}.alembic_version"] = value(
                connection, query.format(sql.Identifier(schema, table))
            )
