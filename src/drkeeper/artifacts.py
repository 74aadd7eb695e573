"""Buckets of artifacts brought to their replicas: what the command line, the daemon and each backup do."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drkeeper import audit, clock
from drkeeper.errors import BackupPartial, DrkeeperError, Interrupted, UsageInvalid
from drkeeper.facts import Check
from drkeeper.lease import hold
from drkeeper.log import get_logger
from drkeeper.policy import Policy
from drkeeper.progress import Progress, Silent
from drkeeper.replication.records import ReplicationRecord, keep_record, newest_record
from drkeeper.replication.run import Elsewhere, Pair, Run
from drkeeper.systems._objects.options import Options
from drkeeper.throttle import stopped_by
from drkeeper.vault.vault import Vault

KEEP_SECONDS = 600.0
"""While watching, a look at which nothing was found is recorded no more often."""


@dataclass(frozen=True)
class Brought:
    """What came of one bucket: a record, or an error."""

    system: str
    record: ReplicationRecord | None = None
    error: DrkeeperError | None = None

    @property
    def problem(self) -> str:
        """Why the replica is not as it should be; "" where it is."""
        if self.error is not None:
            return str(self.error)
        if self.record is not None and self.record.failures:
            first = self.record.failures[0]
            what = f"{self.record.failed} objects were not copied" if self.record.failed else "a part was not copied"
            return f"{what}, the first: {first.key}: {first.error}"
        return ""


@dataclass(frozen=True)
class Copying:
    """How buckets are copied.

    Attributes:
        allow_share: Instead of the policy's `guard_share`.
        dask: Address of a scheduler whose workers do the work.
        wait_seconds: How long to wait for another run to end.
    """

    dry_run: bool = False
    allow_share: float | None = None
    dask: str = ""
    wait_seconds: float = 0


def pairs(policy: Policy, names: Iterable[str] = ()) -> tuple[Pair, ...]:
    """The policy's buckets that have a replica of their own; of those that are named, all must.

    The replica of a drill's or a game day's bucket is production's: it is read, and never copied to or made primary.

    Raises:
        UsageInvalid: One of the names is not a bucket with a replica.
    """
    found = {
        name: Pair(name, system.options, system.rate_bytes_per_second)
        for name, system in policy.systems.items()
        if isinstance(system.options, Options) and system.options.replica is not None and not system.options.throw_away
    }
    unknown = [name for name in names if name not in found]
    if unknown:
        there = f"there is {', '.join(found)}" if found else "the policy has none: kind: objects with replica: {url: …}"
        raise UsageInvalid(f"{', '.join(unknown)} is no bucket with a replica", hint=there)
    return tuple(pair for name, pair in found.items() if not names or name in names)


def bring(
    vault: Vault,
    policy: Policy,
    chosen: Iterable[Pair],
    how: Copying = Copying(),
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> list[Brought]:
    """Bring each bucket to its replica, one after the other; one that fails costs the others nothing.

    Raises:
        Interrupted: `stop` was set.
    """
    chosen = tuple(chosen)
    if how.dry_run or not chosen:
        return _bring(vault, policy, chosen, how, progress=progress, stop=stop)
    with audit.recorded(vault, policy.name, "replicate", systems=_names(chosen)) as ending:
        results = _bring(vault, policy, chosen, how, progress=progress, stop=stop)
        behind = " ".join(each.system for each in results if each.problem)
        ending.detail.update({"behind": behind} if behind else {})
        ending.exit_code = BackupPartial.exit_code if behind else 0
    return results


def _names(chosen: Iterable[Pair]) -> str:
    return " ".join(pair.system for pair in chosen)


def _bring(
    vault: Vault,
    policy: Policy,
    chosen: Iterable[Pair],
    how: Copying,
    *,
    progress: Progress | None,
    stop: threading.Event | None,
) -> list[Brought]:
    results = []
    for pair in chosen:
        try:
            record = _bring_one(vault, policy, pair, how, progress=progress, stop=stop or threading.Event())
        except Interrupted:
            raise
        except DrkeeperError as error:
            get_logger().error("bucket was not copied", system=pair.system, error=str(error))
            results.append(Brought(pair.system, error=error))
            continue
        if not how.dry_run:
            keep_record(vault, record)
        results.append(Brought(pair.system, record=record))
    return results


def bring_after_backup(
    vault: Vault, policy: Policy, names: Iterable[str], *, progress: Progress | None, stop: threading.Event | None
) -> tuple[Brought, ...]:
    """What a point names is in the other region, too: after its commit, and outside of the lease of that."""
    chosen = [pair for pair in pairs(policy) if pair.system in names and pair.options.copying.with_backup]
    return tuple(_bring(vault, policy, chosen, Copying(), progress=progress, stop=stop))


def watch(
    vault: Vault,
    policy: Policy,
    pair: Pair,
    how: Copying,
    stop: threading.Event,
    *,
    progress: Progress | None = None,
) -> Iterator[Brought]:
    """Look again and again until `stop` is set, and bring what changed; what came of each look.

    An endpoint that is away, or a guard that stops, ends nothing: the next look may go better.
    """
    with audit.recorded(vault, policy.name, "replicate --watch", systems=pair.system):
        yield from _watch(vault, policy, pair, how, stop, progress=progress)


def _watch(
    vault: Vault, policy: Policy, pair: Pair, how: Copying, stop: threading.Event, *, progress: Progress | None
) -> Iterator[Brought]:
    recorded_at = float("-inf")
    while not stop.is_set():
        began = clock.monotonic_seconds()
        try:
            record = _bring_one(vault, policy, pair, how, progress=progress, stop=stop)
        except Interrupted:
            return
        except DrkeeperError as error:
            yield Brought(pair.system, error=error)
        else:
            quiet = not (record.new or record.overwritten or record.deleted or record.failed)
            if not quiet or began - recorded_at >= KEEP_SECONDS:
                keep_record(vault, record)
                recorded_at = began
            yield Brought(pair.system, record=record)
        stop.wait(max(0.0, pair.options.copying.watch_seconds - (clock.monotonic_seconds() - began)))


def checks(policy: Policy) -> Iterator[Check]:
    """What `drkeeper check` says of replicas: set up as the policy asks, and copied lately enough. Changes nothing."""
    for pair in pairs(policy):
        options = pair.options
        if options.native is not None and options.replica is not None:
            from drkeeper.replication import native

            for check in native.checks(options, options.replica, options.native, system=pair.system):
                yield check.model_copy(update={"subject": f"{pair.system}.{check.subject}"})
        yield _age(policy, pair)


def _age(policy: Policy, pair: Pair) -> Check:
    """Of the last run that copied everything, against the promised RPO."""
    from drkeeper.wiring import open_vault

    subject, remedy = f"{pair.system}.replica.age", f"`drkeeper replicate --system {pair.system}`"
    try:
        last = newest_record(open_vault(policy), pair.system)
    except DrkeeperError as error:
        return Check(subject=subject, verdict="not checked", detail=str(error), severity="warning", remedy=error.hint)
    if last is None:
        return Check(subject=subject, verdict="failed", detail="never copied", severity="warning", remedy=remedy)
    age_seconds = (clock.now() - last.as_of).total_seconds()
    rpo_seconds = policy.objectives.rpo_seconds
    detail = f"as of {last.as_of:%Y-%m-%d %H:%M:%S}Z: {age_seconds:.0f} s ago"
    if not last.complete:
        detail += f"; {last.failed} objects were not copied, the first: {last.failures[0].key}"
    late = rpo_seconds is not None and age_seconds > rpo_seconds
    if late:
        detail += f"; {rpo_seconds:.0f} s are promised"
    bad = late or not last.complete
    return Check(subject=subject, verdict="failed" if bad else "passed", detail=detail, remedy=remedy if bad else "")


def _bring_one(
    vault: Vault, policy: Policy, pair: Pair, how: Copying, *, progress: Progress | None, stop: threading.Event
) -> ReplicationRecord:
    from drkeeper.failover import insist_source_is_primary

    ttl_seconds = policy.vault.lease.total_seconds()
    store = vault.first_reachable()
    with (
        stopped_by(stop),
        _elsewhere(how.dask) as elsewhere,
        hold(store, f"replicate-{pair.system}", ttl_seconds=ttl_seconds, wait_seconds=how.wait_seconds) as lease,
    ):
        insist_source_is_primary(vault, pair.system, pair.copier().replica)
        run = Run(
            pair=pair,
            check=lease.check,
            dry_run=how.dry_run,
            allow_share=how.allow_share,
            progress=progress or Silent(),
            bring_shards=elsewhere,
        )
        return run.carry_out()


@contextmanager
def _elsewhere(dask: str) -> Iterator[Elsewhere | None]:
    """The workers of a scheduler of Dask; None where no address was given."""
    if not dask:
        yield None
        return
    from drkeeper.replication.on_dask import shards_on

    with shards_on(dask) as workers:
        yield workers
