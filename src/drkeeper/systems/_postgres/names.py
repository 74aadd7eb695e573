"""Names: of streams, and of the databases beside the live ones."""

from hashlib import blake2b
from urllib.parse import unquote

from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._postgres.options import Options

GLOBALS = "globals.sql"
DATABASES = "databases.json"
IDENTIFIER_BYTES = 63  # NAMEDATALEN less one


def dump_name(database: str) -> str:
    """The stream of a database: its name, with what is not safe in a file name percent-encoded."""
    return f"db/{''.join(map(_safe, database))}.dump"


def _safe(char: str) -> str:
    return char if char.isalnum() or char in "-_" else "".join(f"%{byte:02X}" for byte in char.encode())


def recorded_databases(record: SystemRecord, options: Options) -> tuple[str, ...]:
    """The databases of a record that are to be restored: all, or those that the target's policy lists."""
    dumps = (stream.name for stream in record.streams if stream.name.startswith("db/"))
    found = tuple(unquote(name.removeprefix("db/").removesuffix(".dump")) for name in dumps)
    return found if options.databases is None else tuple(name for name in found if name in options.databases)


def staged_name(database: str, staging: str) -> str:
    """Where a database is loaded."""
    return _fitting(database, f"__{staging}")


def former_name(database: str, staging: str) -> str:
    """What the live database is called from the switch until it is dropped."""
    return _fitting(database, f"__before_{staging}")


def _fitting(database: str, suffix: str) -> str:
    """Both joined, the database's part cut and marked with a digest where they are too long for a name."""
    if len((database + suffix).encode()) <= IDENTIFIER_BYTES:
        return database + suffix
    digest = blake2b(database.encode(), digest_size=4).hexdigest()
    room = IDENTIFIER_BYTES - len(suffix.encode()) - len(digest) - 1
    return database.encode()[:room].decode(errors="ignore") + "_" + digest + suffix


def admin_database(options: Options, databases: tuple[str, ...]) -> str:
    """Where to connect while those databases are renamed: nobody can rename the one that he is in."""
    if options.maintenance_database not in databases:
        return options.maintenance_database
    return next(name for name in ("postgres", "template1") if name not in databases)
