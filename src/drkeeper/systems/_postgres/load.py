"""Bring a record's bytes into databases beside the live ones.

pg_restore works in parallel only from a file that it can seek in, so each dump lies in a scratch folder while it
is loaded: one at a time, and removed whatever happens.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from pydantic import TypeAdapter, ValidationError

from drkeeper.errors import CaptureFailed, LoadFailed, RecordCorrupt, Refused
from drkeeper.process import check_exit, running
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems import Streams
from drkeeper.systems._postgres import swap
from drkeeper.systems._postgres.connect import Connection, connected, conninfo, environment, rows
from drkeeper.systems._postgres.names import (
    DATABASES,
    GLOBALS,
    admin_database,
    dump_name,
    recorded_databases,
    staged_name,
)
from drkeeper.systems._postgres.options import Options
from drkeeper.systems._postgres.properties import (
    Properties,
    create_statement,
    locale_known,
    property_statements,
    replaced_statement,
)
from drkeeper.systems._postgres.roles import apply_roles, apply_tablespaces
from drkeeper.systems._postgres.tools import Tools, find_tools, major_of

MARGIN_BYTES = 64 << 20
KIBIBYTE = 1 << 10


def load(options: Options, record: SystemRecord, streams: Streams, staging: str) -> None:
    """Roles first, then each database under its staging name; an earlier try's are dropped.

    Raises:
        Refused: The scratch folder is too small; nothing was changed.
        LoadFailed: The target, or pg_restore, refused something; the live databases are untouched.
        ToolMissing: No pg_restore that is new enough.
    """
    databases = recorded_databases(record, options)
    need = max((streams.size_bytes(dump_name(name)) for name in databases), default=0)
    with (
        scratch_folder(options, staging, need) as scratch,
        connected(options, admin_database(options, databases)) as connection,
    ):
        tools = restore_tools(options, record, connection)
        if options.globals and GLOBALS in streams.names():
            script = b"".join(streams.read(GLOBALS)).decode()
            apply_roles(connection, script)
            apply_tablespaces(connection, script)
        for properties in stored_properties(streams):
            if properties.name in databases:
                loading = _Loading(options, record, streams, staging, tools, scratch)
                loading.database(connection, properties)


def stored_properties(streams: Streams) -> list[Properties]:
    """Of the databases in a recovery point.

    Raises:
        RecordCorrupt: The stream cannot be understood.
    """
    try:
        return TypeAdapter(list[Properties]).validate_json(b"".join(streams.read(DATABASES)))
    except ValidationError as error:
        raise RecordCorrupt(f"{DATABASES} cannot be read: {error}") from error


def restore_tools(options: Options, record: SystemRecord, connection: Connection) -> Tools:
    """A pg_restore that knows the server, and the format that the dump is in."""
    server = connection.info.server_version // 10000
    return find_tools(options.bin_folder, minimum_major=max(server, major_of(record.tools.get("pg_dump", ""))))


def scratch_path(options: Options, staging: str) -> Path:
    """The same one after a crash, so that what a killed restore left is found."""
    server = "".join(char if char.isalnum() else "-" for char in f"{options.host}-{options.port}")
    return (options.scratch or Path(tempfile.gettempdir())) / f"drkeeper-{staging}-{server}"


@contextmanager
def scratch_folder(options: Options, staging: str, need_bytes: int) -> Iterator[Path]:
    """A private folder with room for so many bytes, removed in the end."""
    folder = scratch_path(options, staging)
    remove_scratch(options, staging)
    if options.scratch is not None:
        options.scratch.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if free < need_bytes + MARGIN_BYTES:
        raise Refused(
            f"{folder.parent} has {free / 1e9:.1f} GB free; the largest dump needs {need_bytes / 1e9:.1f} GB there",
            hint="set `scratch` of this system to a folder on a larger disk",
        )
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        remove_scratch(options, staging)


def remove_scratch(options: Options, staging: str) -> None:
    """Remove the scratch folder; fine where there is none."""
    folder = scratch_path(options, staging)
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


@dataclass(frozen=True)
class _Loading:
    """What loading one database after the other has in common."""

    options: Options
    record: SystemRecord
    streams: Streams
    staging: str
    tools: Tools
    scratch: Path

    def database(self, connection: Connection, properties: Properties) -> None:
        """Create it, fill it, and make it like its source."""
        options, target = self.options, staged_name(properties.name, self.staging)
        try:
            swap.drop_database(connection, target)
            self._create(connection, target, properties)
            self._restore(connection, target, properties.name)
            with connected(options, target) as inside:
                inside.execute("ANALYZE")
            for statement in property_statements(target, properties, owners=options.owners):
                connection.execute(statement)
            swap.mark(connection, target, "loaded", self.staging, properties.comment)
        except psycopg.Error as error:
            if connection.broken:
                raise
            raise LoadFailed(
                f"{properties.name} could not be loaded: {' '.join(str(error).split())}; the live data are untouched",
                hint="the role needs CREATEDB, and to be a superuser or a member of the owners' roles",
            ) from error

    def _create(self, connection: Connection, target: str, properties: Properties) -> None:
        options = self.options
        words = (properties.collate, properties.ctype)
        locale = options.missing_locale == "refuse" or locale_known(connection, properties.provider, words)
        tablespace = properties.tablespace != "pg_default" and properties.tablespace in _tablespaces(connection)
        major = connection.info.server_version // 10000
        create = create_statement(target, properties, major=major, tablespace=tablespace, locale=locale)
        connection.execute(create)
        if not locale:
            connection.execute(replaced_statement(target, properties))
        swap.mark(connection, target, "loading", self.staging, None)

    def _restore(self, connection: Connection, target: str, source: str) -> None:
        options = self.options
        path = self.scratch / "dump"
        with path.open("wb") as file:
            for block in self.streams.read(dump_name(source)):
                file.write(block)
        argv = [self.tools.path("pg_restore"), "--no-password", "--exit-on-error", f"--jobs={options.restore_jobs}"]
        if not options.owners:
            argv += ["--no-owner", "--no-privileges"]
        if missing_tablespaces(connection, self.record, source):
            argv.append("--no-tablespaces")
        argv += ["--dbname", conninfo(options, target), str(path)]
        with running(argv, env=environment(options, settings=_session_settings(options))) as process:
            try:
                check_exit(process, argv)
            except CaptureFailed as error:
                raise LoadFailed(f"{source}: {error}; the live data are untouched") from error
        path.unlink()


def missing_tablespaces(connection: Connection, record: SystemRecord, database: str) -> set[str]:
    """Those that the source's objects lie in, and that the target does not have."""
    used = str(record.facts.info.get(f"{database}.tablespaces") or "")
    return {name for name in used.split(",") if name} - _tablespaces(connection)


def _tablespaces(connection: Connection) -> set[str]:
    return {row[0] for row in rows(connection, "SELECT spcname FROM pg_tablespace")}


def _session_settings(options: Options) -> dict[str, str]:
    """For speed, of these sessions alone; what is loaded is flushed by the server's next checkpoint."""
    return {
        "maintenance_work_mem": f"{options.work_memory_bytes // KIBIBYTE}kB",
        "synchronous_commit": "off",
        "default_transaction_read_only": "off",
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
