"""The answers of INFO and CONFIG GET as plain values."""

from dataclasses import dataclass

from drkeeper.systems._redis.resp import Connection, RespError


@dataclass(frozen=True)
class Keyspace:
    """One database's line in `INFO keyspace`.

    Attributes:
        volatile: Keys without a TTL of their own that hold fields with one (Valkey 9, Redis 7.4).
    """

    keys: int
    expires: int
    volatile: int = 0


def read_info(connection: Connection, *sections: str) -> dict[str, str]:
    """The fields of some sections of INFO, of all default ones where none is named.

    One call for each section: several in one call came only with Redis 7.
    """
    fields: dict[str, str] = {}
    for section in sections or ("default",):
        reply = connection.call("INFO", section)
        text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
        for line in text.splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields[name] = value
    return fields


def keyspaces(fields: dict[str, str]) -> dict[int, Keyspace]:
    """The databases that hold keys."""
    found = {}
    for name, value in fields.items():
        if name.startswith("db") and name[2:].isdigit():
            counts = dict(part.split("=", 1) for part in value.split(","))
            volatile = int(counts.get("keys_with_volatile_items", counts.get("subexpiry", 0)))
            found[int(name[2:])] = Keyspace(int(counts["keys"]), int(counts["expires"]), volatile)
    return found


def read_keyspaces(connection: Connection) -> dict[int, Keyspace]:
    """The databases that hold keys."""
    return keyspaces(read_info(connection, "keyspace"))


def read_setting(connection: Connection, name: str) -> str | None:
    """One setting, None where the server does not know it or does not tell us."""
    try:
        reply = connection.call("CONFIG", "GET", name)
    except RespError:
        return None
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):  # noqa: PLR2004
        return reply[1].decode("utf-8", "replace")
    return None


def server_version(fields: dict[str, str]) -> str:
    """Name and version for people: `valkey 9.1.2`, `redis 7.0.15`."""
    name = fields.get("server_name", "valkey" if "valkey_version" in fields else "redis")
    return f"{name} {fields.get('valkey_version') or fields.get('redis_version', '?')}"
