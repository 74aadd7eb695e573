"""What needs attention, the gravest first, each with what to do: the alerts' words, for somebody who looks. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from drkeeper.report.status_view import Note, Status, Tone
from drkeeper.report.words import count, duration, moment

NEAR = 0.8
FULL = 0.85
SUCCESS = 0.8
LATE_SECONDS = 3600.0
NAMED = 8


def notes_of(status: Status, damaged: int) -> tuple[Note, ...]:
    """All of them.

    Args:
        status: The page without its notes.
        damaged: Points in which a verification found something wrong.
    """
    found = [*_of_vault(status, damaged), *_of_systems(status), *_of_backups(status), *_of_drills(status)]
    return tuple(sorted(found, key=lambda note: note.tone != "bad"))


def _of_vault(status: Status, damaged: int) -> Iterator[Note]:
    if not status.readable:
        yield Note("bad", "The vault cannot be read: nothing is known of recovery points.", "drkeeper check")
    for region in status.regions:
        if not region.up:
            yield Note("warn", f"Region {region.name} does not answer: {region.why}.", "drkeeper check")
        if region.lacking:
            lacks = count(region.lacking, "recovery point")
            yield Note("warn", f"Region {region.name} lacks {lacks} that another region holds.", "drkeeper replicate")
        if region.filled is not None and region.filled > FULL:
            yield Note("warn", f"Region {region.name} is {region.filled:.0%} full.", "drkeeper prune --dry-run")
    if damaged:
        yield Note(
            "bad", f"{count(damaged, 'recovery point')} found damaged, and not healed.", "drkeeper verify --heal"
        )
    for bucket in status.buckets:
        if bucket.tone != "good":
            what = f"{bucket.failed} objects not copied" if bucket.failed else f"verified {bucket.verified}"
            yield Note(bucket.tone, f"The replica of {bucket.system}: {what}.", "drkeeper replicate")


def _of_systems(status: Status) -> Iterator[Note]:
    if not status.readable:
        return
    held = [(_age(status.made_at, each.until), each.name) for each in status.systems if each.until is not None]
    bare = [each.name for each in status.systems if each.until is None]
    if bare:
        yield Note("bad", f"In no sound recovery point: {_some(bare)}.", "drkeeper backup")
    for system in status.systems:
        if system.until is not None and system.status != "complete":
            how = f"{system.name} is {system.status} in the newest point."
            yield Note("warn", how, "drkeeper points show latest")
    if status.rpo_seconds is not None:
        beyond = [each for each in held if each[0] > status.rpo_seconds]
        near = [each for each in held if NEAR * status.rpo_seconds < each[0] <= status.rpo_seconds]
        yield from _exposed("bad", beyond, f"more than the RPO of {duration(status.rpo_seconds)}")
        yield from _exposed("warn", near, f"close to the RPO of {duration(status.rpo_seconds)}")


def _exposed(tone: Tone, systems: list[tuple[float, str]], how: str) -> Iterator[Note]:
    if systems:
        seconds, worst = max(systems)
        others = f" and {count(len(systems) - 1, 'other system')}" if len(systems) > 1 else ""
        text = f"{worst}{others} would lose {'up to ' if others else ''}{duration(seconds)}, {how}."
        yield Note(tone, text, "drkeeper backup --wait 1h")


def _of_backups(status: Status) -> Iterator[Note]:
    due = status.backup_due_at
    if due is not None and _age(status.made_at, due) > LATE_SECONDS:
        yield Note("bad", f"The backup that was due at {moment(due)} is not there.", "drkeeper backup --wait 1h")
    for line in status.backups:
        if line.whole < SUCCESS * line.expected:
            text = f"{line.whole} of {count(line.expected, 'backup')} within {line.window} came to what they should."
            yield Note("warn", text, "drkeeper audit list")


def _of_drills(status: Status) -> Iterator[Note]:
    for line in status.scenarios:
        again = f"drkeeper drill run --scenario {line.name}"
        if line.tone == "bad":
            yield Note("bad", f"The last drill of {line.name} ended with: {line.outcome}; {line.deadline}.", again)
        elif line.state == "due":
            yield Note("warn", f"A drill of {line.name} is overdue.", again)
        if line.stuck and status.points:
            text = f"Should {line.name} happen now, these would not come back: {_some(line.stuck)}."
            yield Note("warn", text, f"drkeeper plan --scenario {line.name}")
        elif line.p90_seconds is not None and line.rto_seconds is not None and line.p90_seconds > line.rto_seconds:
            took, promised = duration(line.p90_seconds), duration(line.rto_seconds)
            text = f"Recovering from {line.name} may take {took}, more than the RTO of {promised}."
            yield Note("warn", text, f"drkeeper plan --scenario {line.name}")
    if status.points and not status.drills:
        yield Note("warn", "Nothing was ever brought back in a drill.", "drkeeper drill")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _age(now: datetime, then: datetime) -> float:
    return (now - then).total_seconds()
