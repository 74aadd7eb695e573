"""Facts: what is certain of the frozen moment, and the same names of a live server.

Nobody can look into a fork. What a server says just before and just after it is certain of the fork where nothing
was written in between; the RDB's own header states the counts of the first database; all else becomes bounds.
Keys with a TTL may go at any time, so a database that has some gives bounds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from drkeeper.facts import Facts, Scalar
from drkeeper.systems._redis.info import Keyspace, keyspaces, read_info, server_version
from drkeeper.systems._redis.rdb import Sizes
from drkeeper.systems._redis.resp import Connection, RespError
from drkeeper.systems._redis.samples import Sampled, choose_keys, read_contents

HEARTBEAT_KEY = b"drkeeper:heartbeat"
_SAMPLE = re.compile(r"db(\d+)\.sample\.([0-9a-f]+)")
_SECTIONS = ("server", "memory", "persistence", "keyspace", "replication", "cluster")


@dataclass(frozen=True)
class Reading:
    """What a server said at one moment.

    Attributes:
        refusal: Why it could not be read; everything else is empty then.
    """

    fields: dict[str, str]
    databases: dict[int, Keyspace]
    contents: Sampled
    refusal: str = ""

    @property
    def write_mark(self) -> tuple[str, str]:
        """Stays as it is as long as nothing is written and no background save ends."""
        return self.fields.get("rdb_changes_since_last_save", ""), self.fields.get("rdb_last_save_time", "")


def read_before(connection: Connection, sample_keys: int) -> Reading:
    """Counts and samples before the fork."""
    return _read(connection, sample_keys, None)


def read_after(connection: Connection, before: Reading) -> Reading:
    """The same after it."""
    return _read(connection, 0, before)


def _read(connection: Connection, sample_keys: int, earlier: Reading | None) -> Reading:
    try:
        fields = read_info(connection, *_SECTIONS)
        databases = keyspaces(fields)
        keys = set(earlier.contents) if earlier else set()
        if sample_keys and databases:
            counts = {number: line.keys for number, line in databases.items()}
            keys = choose_keys(connection, counts, sample_keys) - {(0, HEARTBEAT_KEY)}
        contents = read_contents(connection, keys)
        if earlier is None:
            # The last word before the fork: nothing may happen unseen while the samples were read.
            fields.update(read_info(connection, "persistence", "keyspace"))
            databases = keyspaces(fields)
    except RespError as error:
        return Reading({}, {}, {}, refusal=error.text)
    return Reading(fields, databases, contents)


def frozen_facts(before: Reading, after: Reading, first: Sizes | None, *, attached: bool) -> Facts:
    """Facts of the moment between two readings.

    Args:
        before: Read before the fork.
        after: Read after it.
        first: The counts that the RDB's header states.
        attached: The server had forked before we asked (another save was under way): then only the header counts.
    """
    if before.refusal or after.refusal:
        return Facts(unread={"keys": before.refusal or after.refusal})
    if attached:
        reason = "another background save was under way, and its fork was used"
        return Facts(unread={"keys": reason, "samples": reason}, info=_info(after))
    exact: dict[str, Scalar] = {}
    bounds: dict[str, tuple[int, int]] = {}
    still = before.write_mark == after.write_mark and before.databases == after.databases
    lows, highs = 0, 0
    for number in sorted(before.databases.keys() | after.databases.keys()):
        counts = first if first is not None and first.database == number else None
        low, high = _bounds(before.databases.get(number), after.databases.get(number), counts, still=still)
        _state(f"db{number}.keys", low, high, exact, bounds)
        lows, highs = lows + low, highs + high
    _state("keys", lows, highs, exact, bounds)
    info = _info(after)
    for (number, key), content in before.contents.items():
        if after.contents.get((number, key), None) and after.contents[number, key].digest == content.digest:
            name = f"db{number}.sample.{key.hex()}"
            exact[name] = content.digest
            if content.time_to_live_ms >= 0:
                info[f"{name}.time_to_live_ms"] = content.time_to_live_ms
    return Facts(exact=exact, bounds=bounds, info=info)


def unchanged_hashes(before: Reading, after: Reading) -> dict[bytes, dict[bytes, bytes]]:
    """The sampled hashes of database 0 that were the same just before and just after the frozen moment."""
    return {
        key: content.fields
        for (number, key), content in before.contents.items()
        if number == 0 and content.fields is not None
        if (later := after.contents.get((number, key))) is not None and later.digest == content.digest
    }


def live_facts(connection: Connection, witness: Facts | None, sample_keys: int, moment: datetime) -> Facts:
    """Facts of a live server: counts, and the contents of the keys that the witness names.

    Raises:
        RespError: The server refuses INFO or a read.
    """
    fields = read_info(connection, *_SECTIONS)
    databases = keyspaces(fields)
    exact: dict[str, Scalar] = {"keys": sum(line.keys for line in databases.values())}
    exact |= {f"db{number}.keys": line.keys for number, line in databases.items()}
    names = dict(_sampled_names(witness)) if witness is not None else {}
    keys = set(names) if names else set()
    if witness is None and databases:
        keys = choose_keys(connection, {number: line.keys for number, line in databases.items()}, sample_keys)
    contents = read_contents(connection, keys)
    exact |= {f"db{number}.sample.{key.hex()}": content.digest for (number, key), content in contents.items()}
    unread = {} if witness is None else _expired(witness, exact, moment)
    if witness is not None:
        # A database that only had keys with a TTL may be empty by now; the server does not list it then.
        exact |= {name: 0 for name in witness.bounds if name.endswith(".keys") and name not in exact}
    return Facts(exact=exact, unread=unread, info=_info(Reading(fields, databases, {})))


def _bounds(before: Keyspace | None, after: Keyspace | None, counts: Sizes | None, *, still: bool) -> tuple[int, int]:
    """How many keys of one database a restore may show."""
    nothing = Keyspace(0, 0)
    before, after = before or nothing, after or nothing
    volatile = max(before.volatile, after.volatile)
    if counts is not None:
        return max(0, counts.keys - counts.expires - volatile), counts.keys
    expires = max(before.expires, after.expires)
    drift = 0 if still else max(1, 2 * abs(after.keys - before.keys))
    low = min(before.keys, after.keys) - expires - volatile - drift
    return max(0, low), max(before.keys, after.keys) + drift


def _state(name: str, low: int, high: int, exact: dict[str, Scalar], bounds: dict[str, tuple[int, int]]) -> None:
    if low == high:
        exact[name] = low
    else:
        bounds[name] = (low, high)


def _sampled_names(witness: Facts) -> list[tuple[tuple[int, bytes], str]]:
    matches = [(name, _SAMPLE.fullmatch(name)) for name in witness.exact]
    return [((int(match[1]), bytes.fromhex(match[2])), name) for name, match in matches if match]


def _expired(witness: Facts, found: dict[str, Scalar], moment: datetime) -> dict[str, str]:
    """Sampled keys that are gone because their time has come, which is no loss."""
    read_at = witness.info.get("read_at")
    if not isinstance(read_at, str):
        return {}
    age_ms = (moment - datetime.fromisoformat(read_at)).total_seconds() * 1000
    gone = {}
    for _, name in _sampled_names(witness):
        life = witness.info.get(f"{name}.time_to_live_ms")
        if name not in found and isinstance(life, int) and age_ms >= life - 3_600_000:
            gone[name] = "its time to live has passed since the backup"
    return gone


def _info(reading: Reading) -> dict[str, Scalar]:
    fields = reading.fields
    info: dict[str, Scalar] = {
        "server": server_version(fields),
        "server_version": fields.get("valkey_version") or fields.get("redis_version"),
        "cluster": fields.get("cluster_enabled") == "1",
        "append_only": fields.get("aof_enabled") == "1",
        "maxmemory_policy": fields.get("maxmemory_policy"),
        "keys_with_time_to_live": sum(line.expires for line in reading.databases.values()),
    }
    for name in ("used_memory", "maxmemory"):
        if fields.get(name, "").isdigit():
            info[f"{name}_bytes"] = int(fields[name])
    return info


def with_info(facts: Facts, **info: Scalar) -> Facts:
    """The same facts with more recorded for people."""
    return facts.model_copy(update={"info": {**facts.info, **info}})


def moment_text(moment: datetime) -> str:
    """A moment as facts hold it."""
    return moment.astimezone(UTC).isoformat()


def scanned_facts(before: Reading, after: Reading, seen: Mapping[int, int]) -> Facts:
    """Facts of a walk over the keys: exact where nothing was written during it, else bounds.

    Args:
        before: Read before the walk.
        after: Read after it.
        seen: Keys that the walk wrote, per database; SCAN may show a key twice while the server rehashes.
    """
    facts = frozen_facts(before, after, None, attached=False)
    if before.write_mark == after.write_mark:
        return facts
    bounds = dict(facts.bounds)
    exact = {name: value for name, value in facts.exact.items() if not name.endswith("keys")}
    for number, count in seen.items():
        low, high = facts.bounds.get(f"db{number}.keys", (count, count))
        bounds[f"db{number}.keys"] = (min(low, count), max(high, count))
    lows = [low for name, (low, _) in bounds.items() if name != "keys"]
    highs = [high for name, (_, high) in bounds.items() if name != "keys"]
    bounds["keys"] = (sum(lows), sum(highs))
    return facts.model_copy(update={"exact": exact, "bounds": bounds})
