"""Which commands our user may run, asked without running them."""

from collections.abc import Iterator, Sequence

from drkeeper.facts import Check
from drkeeper.systems._redis.resp import Connection, RespError

Command = Sequence[str]

REPLICATION: tuple[Command, ...] = (("REPLCONF", "capa", "eof"), ("PSYNC", "?", "-1"))
SCAN: tuple[Command, ...] = (("SCAN", "0"), ("DUMP", "k"), ("SELECT", "0"), ("PTTL", "k"))
FACTS: tuple[Command, ...] = (("INFO", "server"), ("RANDOMKEY",), ("TYPE", "k"), ("HGETALL", "k"))
BEAT: tuple[Command, ...] = (("HSET", "drkeeper:heartbeat", "at", "0"),)
FOLLOW: tuple[Command, ...] = (("REPLICAOF", "NO", "ONE"), ("INFO", "replication"))
REPLAY: tuple[Command, ...] = (("RESTORE", "k", "0", "v"), ("SELECT", "0"), ("DEL", "k"), ("SCAN", "0"))


def forbidden(control: Connection, commands: Sequence[Command]) -> list[str] | None:
    """Those that we may not run, or that the server does not have; None where it does not tell.

    `ACL DRYRUN` came with Redis 7.
    """
    try:
        user = control.call("ACL", "WHOAMI")
    except RespError:
        return None
    name = user if isinstance(user, bytes) else str(user).encode()
    refused = []
    for command in commands:
        known = control.call_quietly("ACL", "DRYRUN", "default", "PING")
        if not known:
            return None
        try:
            answer = control.call("ACL", "DRYRUN", name, *command)
        except RespError:  # the command is not known to this server
            answer = b""
        if answer != "OK":
            refused.append(command[0].lower())
    return refused


def permission_check(control: Connection, subject: str, commands: Sequence[Command], *, remedy: str = "") -> Check:
    """One check for a set of commands."""
    refused = forbidden(control, commands)
    if refused is None:
        return Check(subject=subject, verdict="not checked", detail="the server does not tell (ACL DRYRUN)")
    if refused:
        granted = " ".join(f"+{name}" for name in refused)
        return Check(
            subject=subject,
            verdict="failed",
            detail=f"our user may not run {', '.join(refused)}",
            remedy=remedy or f"ACL SETUSER … {granted}",
        )
    return Check(subject=subject, verdict="passed", detail=", ".join(command[0].lower() for command in commands))


def all_permissions(control: Connection) -> Iterator[Check]:
    """For a backup: replication is best; without it, keys are scanned."""
    replication = permission_check(control, "may_replicate", REPLICATION)
    if replication.verdict == "failed":
        scan = permission_check(control, "may_scan", SCAN)
        replication = replication.model_copy(
            update={"severity": "warning" if scan.verdict == "passed" else "error"},
        )
        yield scan
    yield replication
    facts = permission_check(control, "may_read_facts", FACTS)
    yield facts.model_copy(update={"severity": "warning"})
    beat = permission_check(control, "may_beat", BEAT)
    yield beat.model_copy(update={"severity": "warning"})
