"""How the streams come back without drkeeper: one line of stock commands for each."""

from drkeeper.systems._feast_registry.content import HEARTBEAT, REGISTRY, TABLES
from drkeeper.systems._feast_registry.csv import read_rows
from drkeeper.systems._feast_registry.options import Options


def restore_hint(name: str, data: bytes, options: Options) -> str:
    """For the point's runbook; takes the plain bytes on stdin."""
    if name.startswith(TABLES):
        return _of_table(name.removeprefix(TABLES).removesuffix(".csv"), data, options)
    return {REGISTRY: _of_registry(options), HEARTBEAT: "cat"}[name]


def _of_registry(options: Options) -> str:
    match options.form:
        case "bucket":
            return f"aws s3 cp - {options.url}"
        case "file":
            return f"cat > {options.path}.new && mv {options.path}.new {options.path}"
        case _:
            return "cat > registry.db  # as a file; into the database with the tables below"


def _of_table(table: str, data: bytes, options: Options) -> str:
    columns = ", ".join(read_rows(data)[0])
    if options.form == "postgres":
        copy = f"COPY {options.schema_name}.{table} ({columns}) FROM STDIN WITH (FORMAT csv, HEADER)"
        return f"psql -X -v ON_ERROR_STOP=1 -d {options.database} -c '{copy}'"
    return f"psql -X -v ON_ERROR_STOP=1 -c 'COPY {table} ({columns}) FROM STDIN WITH (FORMAT csv, HEADER)'"
