"""The switch: what was loaded into the scratch folder becomes the target's data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drkeeper.errors import LoadFailed, Refused, SystemUnreachable
from drkeeper.log import get_logger
from drkeeper.systems._redis import replay, serve
from drkeeper.systems._redis.info import read_info, read_keyspaces, read_setting
from drkeeper.systems._redis.observed import HEARTBEAT_KEY
from drkeeper.systems._redis.options import Options
from drkeeper.systems._redis.resp import Connection, RespError, connect
from drkeeper.systems._redis.spool import Scratch, SwitchMark

_SWAPDB = {"repl-diskless-load": "swapdb"}


def by_replication(options: Options, scratch: Scratch, rdb: Path) -> None:
    """Let the target follow us until it has loaded the RDB, then let it go its own way.

    Raises:
        LoadFailed: It did not; the message says what the target holds.
        Refused: It follows a primary that is not ours.
    """
    with connect(options) as control:
        _end_unfinished(control, scratch)
        _refuse_follower(control)
        keys_before = _count_keys(control)
        listen_host = options.listen_host or control.local_host
        with serve.listening(listen_host, options.listen_port) as listener:
            host, port = options.advertise_host or control.local_host, int(listener.getsockname()[1])
            mark = SwitchMark(host=host, port=port, settings=_changed_settings(control))
            scratch.write_mark(mark)
            try:
                _apply(control, _SWAPDB if mark.settings else {})
                control.call("REPLICAOF", host, port)
                link = serve.await_target(listener, control.peer_host, options.timeout_seconds)
                listener.close()
                with link:
                    serve.hand_over(link, rdb)
                    serve.await_loaded(link, _follows_and_loaded(control, mark), options.load_timeout_seconds)
                    scratch.note_done()  # before it is let go: what it holds from then on may be its clients'
                    control.call("REPLICAOF", "NO", "ONE")
            except (LoadFailed, SystemUnreachable, RespError) as error:
                listener.close()
                state = _give_up(options, scratch, keys_before)
                raise LoadFailed(f"{error}; {state}", hint=error.hint) from error
            except BaseException:  # an interrupt: the target must not go on looking for us
                listener.close()
                _give_up(options, scratch, keys_before)
                raise
        _end_unfinished(control, scratch)
        _persist(control)


def by_commands(options: Options, scratch: Scratch, dump: Path) -> None:
    """Replay the dump's commands.

    Raises:
        LoadFailed: The target refused some; the message says what it holds.
    """
    counts = replay.databases_of(dump)
    with connect(options) as control:
        _end_unfinished(control, scratch)
        _refuse_follower(control)
        spares = replay.spare_databases(control, counts)
        if spares is None:
            with _explained("the target holds its old keys, and over some of them, those that were restored so far"):
                replay.replay(control, dump, {number: number for number in counts})
                replay.delete_others(control, dump, counts)
            scratch.note_done()
        else:
            scratch.write_mark(SwitchMark(spare_databases=tuple(spares.values())))
            with _explained("the target's old data are live"):
                replay.replay(control, dump, spares)
                replay.swap_in(control, spares)
            scratch.note_done()
        # After the swap the spare databases hold the old data.
        _end_unfinished(control, scratch)
        _persist(control)


def finish(options: Options, scratch: Scratch) -> None:
    """What is left of a switch whose data are live: let the target go, settings back, and have it save."""
    with connect(options) as control:
        _end_unfinished(control, scratch)
        _persist(control)


def recognises(options: Options, scratch: Scratch) -> bool:
    """Whether what the target holds is of that switch, so that doing it again takes nothing from anybody.

    While it follows us nobody else writes to it. Spare databases are ours. Keys that were replayed over a target
    without spare ones cannot be told from those of its clients.
    """
    if scratch.done.exists():
        return True
    mark = scratch.read_mark()
    if mark is None:
        return False
    with connect(options) as control:
        if mark.port:
            return follows(read_info(control, "replication"), mark)
        return is_empty(control, but=mark.spare_databases)


def is_empty(control: Connection, *, but: tuple[int, ...] = ()) -> bool:
    """Whether there is no key but our heartbeat, in databases other than those."""
    lines = read_keyspaces(control).items()
    databases = {number: line.keys for number, line in lines if line.keys and number not in but}
    if databases == {0: 1}:
        control.call("SELECT", 0)
        return control.call("EXISTS", HEARTBEAT_KEY) == 1
    return not databases


def end_unfinished(options: Options, scratch: Scratch) -> None:
    """Put right what a switch left that did not end: stop following us, settings back, spare databases emptied."""
    if scratch.read_mark() is not None:
        with connect(options) as control:
            _end_unfinished(control, scratch)


def _end_unfinished(control: Connection, scratch: Scratch) -> None:
    mark = scratch.read_mark()
    if mark is None:
        return
    if mark.port and follows(read_info(control, "replication"), mark):
        control.call("REPLICAOF", "NO", "ONE")
    _apply(control, mark.settings)
    replay.empty_databases(control, mark.spare_databases)
    scratch.marker.unlink(missing_ok=True)


def follows(replication: dict[str, str], mark: SwitchMark) -> bool:
    """Whether a server follows the address of that switch."""
    where = (replication.get("master_host"), replication.get("master_port"))
    return replication.get("role") == "slave" and where == (mark.host, str(mark.port))


def _refuse_follower(control: Connection) -> None:
    fields = read_info(control, "replication")
    if fields.get("role") == "slave":
        raise Refused(
            f"{control.address} is a replica of {fields.get('master_host')}:{fields.get('master_port')}",
            hint="restore into its primary",
        )


def _follows_and_loaded(control: Connection, mark: SwitchMark) -> Callable[[], bool]:
    def loaded() -> bool:
        fields = read_info(control, "replication", "persistence")
        if not follows(fields, mark):
            raise LoadFailed("somebody else told the target to follow another primary, or none")
        busy = fields.get("loading", "0") != "0" or fields.get("async_loading", "0") != "0"
        return fields.get("master_link_status") == "up" and not busy

    return loaded


def _changed_settings(control: Connection) -> dict[str, str]:
    """The settings that we shall change, as they are now; none where they are right, or not ours to change."""
    found = {}
    for name, wanted in _SWAPDB.items():
        value = read_setting(control, name)
        if value is not None and value != wanted and control.call_quietly("CONFIG", "SET", name, value):
            found[name] = value
    return found


def _apply(control: Connection, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        control.call("CONFIG", "SET", name, value)


def _give_up(options: Options, scratch: Scratch, keys_before: int) -> str:
    """Stop the target from following us, on a fresh connection, and say what it holds."""
    try:
        with connect(options) as control:
            _end_unfinished(control, scratch)
            keys = _count_keys(control)
    except (SystemUnreachable, RespError) as error:
        return (
            f"the target could not be told to stop following us ({error}): "
            "when it answers again, discard this restore, or give it `REPLICAOF NO ONE`"
        )
    same = "as before" if keys == keys_before else f"{keys_before} before"
    return f"the target holds {keys} keys ({same})"


def _count_keys(control: Connection) -> int:
    return sum(line.keys for line in read_keyspaces(control).values())


def _persist(control: Connection) -> None:
    """Have the new data saved where the target saves at all: else a crash before its next save would lose them.

    With AOF on, the server rewrites it by itself when a full sync ends.
    """
    fields = read_info(control, "persistence")
    if fields.get("aof_enabled") == "1" or not read_setting(control, "save"):
        return
    if not control.call_quietly("BGSAVE"):
        get_logger().warning("the restored data are in memory only: BGSAVE was refused")


@contextmanager
def _explained(state: str) -> Iterator[None]:
    try:
        yield
    except (LoadFailed, SystemUnreachable, RespError) as error:
        raise LoadFailed(f"{error}; {state}") from error
