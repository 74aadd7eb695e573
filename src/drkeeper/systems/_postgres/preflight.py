"""Whether a record can be restored into a server; nothing is changed to find out."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from drkeeper.errors import DrkeeperError, ToolMissing
from drkeeper.facts import Check
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._postgres.checks import failed, said
from drkeeper.systems._postgres.connect import Connection, connected, rows, value
from drkeeper.systems._postgres.load import MARGIN_BYTES, missing_tablespaces, scratch_path
from drkeeper.systems._postgres.names import GLOBALS, admin_database, dump_name, recorded_databases
from drkeeper.systems._postgres.options import Options
from drkeeper.systems._postgres.properties import PROVIDERS, locale_known
from drkeeper.systems._postgres.tools import find_tools, major_of

ROLE = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = ANY(%s)"


@dataclass(frozen=True)
class _Target:
    """What each check looks at."""

    options: Options
    record: SystemRecord
    databases: tuple[str, ...]
    connection: Connection

    @property
    def major(self) -> int:
        return self.connection.info.server_version // 10000


def preflight(options: Options, record: SystemRecord) -> Iterator[Check]:
    """What would stop a restore of this record here."""
    databases = recorded_databases(record, options)
    yield from _listed(options, databases)
    yield _scratch(options, record, databases)
    try:
        with connected(options, admin_database(options, databases)) as connection:
            target = _Target(options, record, databases, connection)
            for check in (_versions, _permissions, _extensions, _locales, _spaces):
                yield from check(target)
    except DrkeeperError as error:
        yield failed("connection", str(error), error.hint)


def _listed(options: Options, databases: tuple[str, ...]) -> Iterator[Check]:
    lacking = sorted(set(options.databases or ()) - set(databases))
    detail = f"not in this recovery point: {', '.join(lacking)}" if lacking else ", ".join(databases)
    yield said("databases", bool(databases) and not lacking, detail or "none", "choose another point, or `databases`")


def _scratch(options: Options, record: SystemRecord, databases: tuple[str, ...]) -> Check:
    wanted = {dump_name(name) for name in databases}
    need = max((stream.ref.size_bytes for stream in record.streams if stream.name in wanted), default=0) + MARGIN_BYTES
    folder = scratch_path(options, "x").parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{folder} has {free / 1e9:.1f} GB free, {need / 1e9:.1f} GB are needed"
    return said("scratch", free >= need, detail, "set `scratch` of this system to a folder on a larger disk")


def _versions(target: _Target) -> Iterator[Check]:
    source = major_of(str(target.record.facts.info.get("server_version", "")))
    dumped = major_of(target.record.tools.get("pg_dump", ""))
    good = target.major >= source
    yield said("version", good, f"from {source} to {target.major}", f"restore into PostgreSQL {source} or newer")
    if source <= target.major < dumped:
        detail = f"dumped by pg_dump {dumped}: it may use settings that a server {target.major} does not know"
        yield failed("version.tool", detail, f"back up with pg_dump {target.major}", "warning")
    try:
        tools = find_tools(target.options.bin_folder, minimum_major=max(target.major, dumped))
    except ToolMissing as error:
        yield failed("tools", str(error), error.hint)
    else:
        yield Check(subject="tools", verdict="passed", detail=f"pg_restore {tools.version}")


def _permissions(target: _Target) -> Iterator[Check]:
    user = target.options.user
    superuser, creates_databases, creates_roles = rows(target.connection, ROLE)[0]
    remedy = f'ALTER ROLE "{user}" CREATEDB'
    yield said("permission.databases", superuser or creates_databases, f"{user} makes databases", remedy)
    has_globals = GLOBALS in {stream.name for stream in target.record.streams}
    if target.options.globals and has_globals:
        remedy = f'ALTER ROLE "{user}" CREATEROLE, or `globals: false`'
        yield said("permission.roles", superuser or creates_roles, f"{user} makes roles", remedy)
    elif target.options.owners:
        yield Check(
            subject="roles",
            verdict="not checked",
            detail="roles are not restored; owners and grants fail where one is missing",
            remedy="make the roles first, or set `owners: false`",
        )
    prepared = value(target.connection, PREPARED, list(target.databases))
    remedy = "COMMIT PREPARED or ROLLBACK PREPARED them: no database is renamed under one"
    yield said("prepared_transactions", not prepared, f"{prepared} in the databases to be replaced", remedy)


def _extensions(target: _Target) -> Iterator[Check]:
    query = "SELECT name, array_agg(version) FROM pg_available_extension_versions GROUP BY name"
    available = {name: set(versions) for name, versions in rows(target.connection, query)}
    for database in target.databases:
        names = str(target.record.facts.exact.get(f"{database}.extensions") or "")
        for name in filter(None, names.split(", ")):
            version = str(target.record.facts.info.get(f"{database}.extension.{name}", ""))
            subject = f"{database}.extension.{name}"
            if name not in available:
                yield failed(subject, f"{name} is not installed on the target's machine", f"install {name} {version}")
            elif version not in available[name]:
                detail = f"{version} at the source; here: {', '.join(sorted(available[name]))}"
                yield failed(subject, detail, "look at the extension's release notes", "warning")


def _locales(target: _Target) -> Iterator[Check]:
    facts = target.record.facts.exact
    for database in target.databases:
        provider = str(facts.get(f"{database}.locale_provider", "c"))
        words = {str(facts.get(f"{database}.{word}", "C")) for word in ("collate", "ctype")}
        if not locale_known(target.connection, provider, words):
            replaced = target.options.missing_locale == "replace"
            detail = f"unknown here: {', '.join(sorted(words))} of {PROVIDERS[provider]}"
            remedy = "install it on the server's machine, then `SELECT pg_import_system_collations('pg_catalog')`"
            if replaced:
                detail += "; the server's own takes its place, so text may sort otherwise"
            yield failed(f"{database}.locale", detail, remedy, "warning" if replaced else "error")


def _spaces(target: _Target) -> Iterator[Check]:
    for database in target.databases:
        lacking = sorted(missing_tablespaces(target.connection, target.record, database))
        if lacking:
            detail = f"missing: {', '.join(lacking)}; where they cannot be made, all goes to the default one"
            yield failed(f"{database}.tablespaces", detail, "make their folders on the server's machine", "warning")
