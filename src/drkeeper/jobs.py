"""The policy's schedules as jobs for the daemon."""

import os
import threading
from collections.abc import Callable
from functools import partial

from drkeeper import actions, audit, keeping, rehearsals
from drkeeper._policy.recovery_sections import NotifyOn
from drkeeper.errors import BackupPartial, VerificationFailed
from drkeeper.lease import hold
from drkeeper.log import get_logger
from drkeeper.notify import Told, tell_drill, tell_point, telling
from drkeeper.objectives import exit_code_of
from drkeeper.policy import Policy
from drkeeper.scheduler import Job, run_jobs
from drkeeper.wiring import open_vault

LEASE = "scheduler"
# Of a scheduled verification: a part of the frames each time, so that all are read again over some weeks.
VERIFY_SAMPLE = 0.05
WAIT_SECONDS = 3600.0
NICENESS = 10  # those who are served come first


def jobs(policy: Policy) -> dict[str, Job]:
    """One job for each schedule that the policy has."""
    told: dict[NotifyOn, Callable[[threading.Event, Told], None]] = {
        "backup": lambda stop, told: _backup(policy, stop, told),
        "replicate": lambda stop, _: _replicate(policy, stop),
        "verify": lambda stop, _: _verify(policy, stop),
        "prune": lambda *_: _prune(policy),
        "drill": lambda stop, told: _drill(policy, stop, told),
    }
    run: dict[str, Callable[[threading.Event], None]] = {
        **{work: partial(_telling, policy, work, action) for work, action in told.items()},
        "beat": lambda _: _beat(policy),
    }
    crons = policy.schedules.model_dump()
    return {
        name: Job(name=name, cron=crons[name], action=action, beside=name == "beat")
        for name, action in run.items()
        if crons.get(name)
    }


def run_policy(policy: Policy, stop: threading.Event) -> None:
    """Run the policy's jobs until `stop` is set; of several daemons of one vault only one works.

    Raises:
        LeaseHeld: Another daemon is at work.
        LeaseLost: The vault was away for so long that another daemon may have begun.
    """
    vault = open_vault(policy)
    with hold(vault.primary, LEASE, ttl_seconds=policy.vault.lease.total_seconds()) as lease:
        run_jobs(jobs(policy), stop, check_alone=lease.check)
        lease.check()


def _telling(
    policy: Policy, work: NotifyOn, action: Callable[[threading.Event, Told], None], stop: threading.Event
) -> None:
    """Do a job, and tell those whom the policy names how it ended."""
    with audit.triggered_by("schedule"), telling(policy, work) as told:
        action(stop, told)


def _backup(policy: Policy, stop: threading.Event, told: Told) -> None:
    if os.nice(0) < NICENESS:  # on Linux of this thread, and of those that it starts
        os.nice(NICENESS - os.nice(0))
    backed = actions.back_up(policy, wait_seconds=WAIT_SECONDS, stop=stop)
    tell_point(told, backed.point, backed.lacking)
    failed = [system.name for system in backed.point.systems if system.status != "complete"]
    behind = [each.system for each in backed.buckets if each.problem]
    if failed or backed.lacking or behind or backed.hooks.failed:
        raise BackupPartial(
            f"recovery point {backed.point.point_id}: failed or partial systems: {', '.join(failed) or 'none'}; "
            f"regions that lack it: {', '.join(backed.lacking) or 'none'}; "
            f"buckets whose replica is behind: {', '.join(behind) or 'none'}; "
            f"hooks that failed: {len(backed.hooks.failed) or 'none'}"
        )


def _replicate(policy: Policy, stop: threading.Event) -> None:
    from drkeeper import artifacts

    copied = actions.copy_points(policy, wait_seconds=WAIT_SECONDS)
    lacking = [f"region {each.region} lacks points: {each.error}" for each in copied.regions if each.error]
    how = artifacts.Copying(wait_seconds=WAIT_SECONDS)
    buckets = artifacts.bring(open_vault(policy), policy, artifacts.pairs(policy), how, stop=stop)
    lacking += [f"the replica of {each.system} is behind: {each.problem}" for each in buckets if each.problem]
    if lacking:
        raise BackupPartial("; ".join(lacking))


def _verify(policy: Policy, stop: threading.Event) -> None:
    from drkeeper import bucket_proofs

    result = actions.verify(policy, (), level="intact", sample=VERIFY_SAMPLE)
    wrong = [f"{check.subject}: {check.detail}" for check in result.findings]
    lacking = {region for proof in result.proofs for region in set(proof.verdicts) - set(proof.passed_in)}
    if lacking and not wrong:
        wrong.append(f"not every point could be checked in {', '.join(sorted(lacking))}")
    wrong += bucket_proofs.verify_on_schedule(policy, stop)
    if wrong:
        raise VerificationFailed("; ".join(wrong))


def _prune(policy: Policy) -> None:
    with keeping.pruning(policy, wait_seconds=WAIT_SECONDS) as pruning:
        pruning.carry_out()


def _beat(policy: Policy) -> None:
    actions.beat(policy)


def _drill(policy: Policy, stop: threading.Event, told: Told) -> None:
    records = []
    for record in rehearsals.drill_due(policy, trigger="schedule", stop=stop):
        scenario, exit_code = record.scenario_name, exit_code_of(record)
        get_logger().info("drill recorded", drill=record.drill_id, scenario=scenario, exit_code=exit_code)
        records.append(record)
    for record in sorted(records, key=exit_code_of):  # what went wrong is told last, and stays
        tell_drill(told, record)
