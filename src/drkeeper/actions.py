"""What the command line and the daemon do: each action opens what it needs, does its verb under its lease, closes.

Thin on purpose: decisions are in the pure modules, work is in the verbs.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING

from drkeeper import audit, catalog, clock, findings, runs, usable
from drkeeper.backup import Source, take_point
from drkeeper.errors import BackupPartial, DrkeeperError, VerificationFailed
from drkeeper.facts import Check
from drkeeper.forecast import History
from drkeeper.heartbeat import Heartbeat
from drkeeper.hooking import FREEZE, Undone, around
from drkeeper.lease import WRITE, Lease, hold
from drkeeper.policy import Policy
from drkeeper.progress import Progress
from drkeeper.recovery_point import Purpose, RecoveryPoint
from drkeeper.replicate import RegionResult, replicate, replicate_records, scattered_points
from drkeeper.runbook import render_runbook
from drkeeper.systems import Delivering, System
from drkeeper.vault.layout import runbook_key
from drkeeper.vault.vault import Vault
from drkeeper.verify import Depth, Verification, verify_points
from drkeeper.wiring import (
    acting_policy,
    acting_policy_if_known,
    finding_terms,
    guards,
    has_buckets,
    hooking,
    open_applications,
    open_regions,
    open_systems,
    open_vault,
)

if TYPE_CHECKING:
    from drkeeper.artifacts import Brought
    from drkeeper.deliver import Delivered

# For a writer that holds a system's lock; a materialisation takes minutes. Nothing is frozen yet, so waiting costs time
# and no more. After that this one system fails.
FREEZE_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Backed:
    """A committed point.

    Attributes:
        lacking: Why regions lack it, by name; empty: it is durable.
        buckets: What came of bringing the artifacts that it names to their replicas.
        hooks: What failed of the hooks around the freeze; what they held back may still be held back.
    """

    point: RecoveryPoint
    lacking: dict[str, str]
    buckets: tuple["Brought", ...] = ()
    hooks: Undone = field(default_factory=Undone)


@dataclass(frozen=True)
class Copied:
    """What each region got, and what was sent elsewhere."""

    regions: tuple[RegionResult, ...]
    delivered: tuple["Delivered", ...]


def back_up(
    policy: Policy,
    *,
    names: Iterable[str] = (),
    purpose: Purpose = "backup",
    wait_seconds: float = 0,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Backed:
    """Take a recovery point, commit it, and copy it to the other regions.

    Args:
        policy: Whose systems.
        names: Only these systems; all where none is named.
        purpose: "undo" for a point taken before a restore overwrites something.
        wait_seconds: How long to wait for another backup or prune to end.
        progress: Told of every block.
        stop: Set from elsewhere to end it.
    """
    vault, names = open_vault(policy), tuple(names)
    if purpose == "backup":
        catalog.insist_own(vault, policy.name)
    selected = " ".join(names) if set(policy.systems) - set(names) else ""
    about = {"purpose": purpose, **({"selected": selected} if selected else {})}
    with audit.recorded(vault, policy.name, "backup", **about) as ending:
        backed = _back_up(
            policy, vault, names=names, purpose=purpose, wait_seconds=wait_seconds, progress=progress, stop=stop
        )
        _tell(ending, backed)
    return backed


def _tell(ending: audit.Ending, backed: Backed) -> None:
    """What the audit log says of a backup: reports count by it, also when retention has dropped the point."""
    point = backed.point
    ending.detail.update({"point": point.point_id, "partial": point.partial, "lacking": " ".join(backed.lacking)})
    for system in point.systems:
        ending.detail[f"status.{system.name}"] = system.status
        ending.detail[f"as_of.{system.name}"] = system.as_of.isoformat() if system.as_of else None
    behind = [each.system for each in backed.buckets if each.problem]
    ending.detail.update({"behind": " ".join(behind)} if behind else {})
    ending.detail.update({"hooks_failed": len(backed.hooks.failed)} if backed.hooks.failed else {})
    if point.partial or backed.lacking or behind or backed.hooks.failed:
        ending.exit_code = BackupPartial.exit_code


def _back_up(
    policy: Policy,
    vault: Vault,
    *,
    names: Iterable[str],
    purpose: Purpose,
    wait_seconds: float,
    progress: Progress | None,
    stop: threading.Event | None,
) -> Backed:
    systems = open_systems(acting_policy(policy, vault), names)
    guarded = guards(policy, vault, systems, wait_seconds=FREEZE_WAIT_SECONDS)
    sources = {
        name: Source(system, policy.systems[name].rate_bytes_per_second, guarded[name])
        for name, system in systems.items()
    }
    send_waiting(vault, systems)
    hooks = Undone()
    ttl_seconds = policy.vault.lease.total_seconds()
    with hold(vault.primary, WRITE, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds) as lease:
        with vault.writing(lease) as writer:
            point = take_point(
                sources,
                policy=policy.name,
                writer=writer,
                point_id=token_hex(6),
                purpose=purpose,
                progress=progress,
                stop=stop,
                before_commit=lambda point: _write_runbook(vault, point),
                witness=lambda views: usable.witness(policy, systems, views) if purpose != "undo" else (),
                freezing=lambda: _hooked(policy, sources, hooks) if purpose != "undo" else nullcontext(),
            )
        lacking = _copy_out(vault, lease, progress)
    if purpose == "undo" or not has_buckets(policy):
        return Backed(point=point, lacking=lacking, hooks=hooks)
    from drkeeper.artifacts import bring_after_backup

    buckets = bring_after_backup(vault, policy, tuple(sources), progress=progress, stop=stop)
    return Backed(point=point, lacking=lacking, buckets=buckets, hooks=hooks)


@contextmanager
def _hooked(policy: Policy, systems: Iterable[str], into: Undone) -> Iterator[None]:
    """With the policy's hooks around the freeze. Not so for an undo point: within a restore all is held back anyway."""
    with around(hooking(policy), FREEZE, tuple(systems)) as undone:
        yield
    into.failed.extend(undone.failed)
    into.said.extend(undone.said)


def _write_runbook(vault: Vault, point: RecoveryPoint) -> None:
    text = render_runbook(point, encrypted=vault.encrypted, region_urls=_region_urls(vault))
    vault.primary.put(runbook_key(point.point_id), text.encode())


def send_waiting(vault: Vault, systems: Mapping[str, System]) -> list["Delivered"]:
    """Send what earlier points could not send: commits whose remote was away. What still cannot go fails nothing."""
    if not any(isinstance(system, Delivering) for system in systems.values()):
        return []
    from drkeeper.deliver import deliver

    return deliver(vault, systems)


def copy_points(policy: Policy, *, wait_seconds: float = 0, progress: Progress | None = None) -> Copied:
    """Bring every point to every region that lacks it, and send what earlier points could not send."""
    vault = open_vault(policy)
    catalog.insist_own(vault, policy.name)
    ttl_seconds = policy.vault.lease.total_seconds()
    with audit.recorded(vault, policy.name, "replicate") as ending:
        with hold(vault.primary, WRITE, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds) as lease:
            regions = replicate(vault, scattered_points(vault), lease, progress=progress)
            replicate_records(vault)
        ending.detail.update({f"points.{each.region}": len(each.points) for each in regions})
        ending.exit_code = BackupPartial.exit_code if any(each.error for each in regions) else 0
        return Copied(regions=regions, delivered=tuple(send_waiting(vault, open_systems(policy))))


def check(policy: Policy) -> list[Check]:
    """Probe every region, system and application, and where we run; nothing is changed."""
    from drkeeper import doctor

    systems = open_systems(policy)
    options = {name: policy.systems[name].options for name in systems}
    found = [
        *doctor.probe_regions(open_regions(policy)),
        *doctor.probe_names({**options, **{f"vault.{name}": each for name, each in policy.vault.regions.items()}}),
        *doctor.probe_memory(),
        *doctor.probe_systems(systems),
        *doctor.probe_applications(open_applications(policy), systems),
    ]
    if has_buckets(policy):
        from drkeeper import artifacts

        found.extend(artifacts.checks(policy))
    return found


def beat(policy: Policy) -> dict[str, Heartbeat]:
    """Write a heartbeat into each system.

    Raises:
        BackupPartial: Some systems did not take it; the others did.
    """
    written: dict[str, Heartbeat] = {}
    failed: dict[str, str] = {}
    for name, system in open_systems(acting_policy_if_known(policy)).items():
        try:
            written[name] = _beat(system)
        except DrkeeperError as error:
            failed[name] = str(error)
    if failed:
        raise BackupPartial("no heartbeat in " + "; ".join(f"{name}: {why}" for name, why in failed.items()))
    return written


def _beat(system: System) -> Heartbeat:
    newest = system.newest_beat()
    mark = Heartbeat(at=clock.now(), sequence=newest.sequence + 1 if newest else 1)
    system.beat(mark)
    return mark


def verify(
    policy: Policy,
    point_ids: Iterable[str] = (catalog.LATEST,),
    *,
    level: Depth = "stored",
    sample: float = 1.0,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Prove stored points; none named: all of them."""
    vault = open_vault(policy)
    points = [catalog.find_point(vault, wanted, allow_partial=True) for wanted in point_ids]
    chosen = points or catalog.list_points(vault).points
    with audit.recorded(vault, policy.name, "verify", level=level, sample=sample, points=len(chosen)) as ending:
        result = verify_points(vault, chosen, level=level, sample=sample, seed=seed, progress=progress)
        findings.note_proofs(vault, result.proofs, finding_terms(policy))
        ending.detail.update(verdict=result.verdict, findings=len(result.findings))
        ending.exit_code = VerificationFailed.exit_code if result.proofs and result.verdict != "passed" else 0
    return result


def heal(policy: Policy, found: Verification, *, wait_seconds: float = 0) -> list[Check]:
    """Mend what a verification found broken, from a region that has it whole."""
    from drkeeper.heal import heal as mend

    vault = open_vault(policy)
    ttl_seconds = policy.vault.lease.total_seconds()
    with (
        audit.recorded(vault, policy.name, "verify --heal"),
        hold(vault.primary, WRITE, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds) as lease,
    ):
        mended = list(mend(vault, found.broken_frames, found.broken_indices, lease))
        for store in vault.regions.available().values():
            store.flush()
        return mended


def history(vault: Vault) -> History:
    """What the steps of earlier drills and restores took: forecasts learn from them."""
    return runs.history(vault)


def _copy_out(vault: Vault, lease: Lease, progress: Progress | None) -> dict[str, str]:
    """Bring every point to every region that lacks it; why regions still lack something, by name."""
    results = replicate(vault, scattered_points(vault), lease, progress=progress)
    replicate_records(vault)
    return {result.region: result.error for result in results if result.error}


def _region_urls(vault: Vault) -> dict[str, str]:
    return {name: store.url for name, store in vault.regions.stores.items()}
