"""`drkeeper lock`."""

import os
import shutil
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import DURATION, Parsed
from drkeeper.cli.settings import Settings, pass_settings, settings_of

if TYPE_CHECKING:
    from drkeeper.errors import LeaseHeld
    from drkeeper.locks import Lock
    from drkeeper.policy import Policy

# The command gets SIGTERM so long before its time is over, and SIGKILL then; less where locks are short.
GRACE_SECONDS = 10.0
GRACE_SHARE = 1 / 8
# Bound of one request to the vault: some of them fit between two renewals.
PATIENCE_SHARE = 1 / 12


def _name(text: str) -> str:
    from drkeeper._policy.quantities import check_name

    return check_name(text)


def _complete_name(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from drkeeper.errors import DrkeeperError

    try:
        names = _lock_names(settings_of(context).load_policy(only_the_vault=True))
    except DrkeeperError:
        return []  # a shell that completes is no place for messages
    return [name for name in names if name.startswith(incomplete)]


@click.command("lock")
@click.argument("name", type=Parsed("name", _name), shell_complete=_complete_name)
@click.argument("argv", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--wait", "wait_seconds", type=DURATION, default="10m", help="How long to wait for others; 10m if not given."
)
@click.option(
    "--ttl", "ttl_seconds", type=DURATION, help="How long it outlives a holder that is killed; else vault.lease."
)
@pass_settings
def command(
    settings: Settings, *, name: str, argv: tuple[str, ...], wait_seconds: float, ttl_seconds: float | None
) -> int:
    r"""Run a command while nobody else holds the lock NAME: writers to one thing take turns.

    Backups and restores take the lock of each system that has one (a Feast registry) while they freeze or switch it.
    The command finds DRKEEPER_LOCK and DRKEEPER_FENCING_TOKEN in its environment; the token grows with each holder.
    Where the vault is away for so long that the lock would be lost, the command is ended before that.

    Exit code: the command's; 11 the lock was held for all of --wait, or lost; 126, 127 the command cannot be run.

    \b
    Examples:
      drkeeper lock feast-registry -- feast apply
      drkeeper lock feast-registry --wait 1h -- feast materialize-incremental "$(date -u +%FT%TZ)"
      drkeeper lock nightly --wait 0s -- ./load.sh
    """
    from drkeeper.locks import hold_lock
    from drkeeper.wiring import open_vault

    _insist_runnable(argv[0])
    settings.start_logging()
    policy = settings.load_policy(only_the_vault=True)
    _warn_of_slip(name, policy)
    ttl = ttl_seconds or policy.vault.lease.total_seconds()
    vault = open_vault(policy, patience_seconds=ttl * PATIENCE_SHARE)
    holder = _holder(argv[0])
    with hold_lock(vault, name, ttl_seconds=ttl, wait_seconds=wait_seconds, holder=holder, told=_tell_waiting) as lock:
        return _run(lock, argv, min(GRACE_SECONDS, ttl * GRACE_SHARE))


def _run(lock: "Lock", argv: tuple[str, ...], grace_seconds: float) -> int:
    from drkeeper import clock
    from drkeeper.command import run_command
    from drkeeper.errors import LeaseLost

    ended = run_command(
        argv,
        environment=lock.environment,
        deadline=lambda: clock.monotonic_seconds() + lock.remaining_seconds,
        grace_seconds=grace_seconds,
    )
    if ended.overdue:
        raise LeaseLost(
            f"the lock {lock.name} could not be renewed in time, so {argv[0]} was ended, before others may take it",
            hint="was the vault away, or this process stopped? See `drkeeper check`, then run it again",
        )
    return ended.exit_code


def _insist_runnable(program: str) -> None:
    """Before anybody waits ten minutes for it.

    Raises:
        CommandUnknown, CommandUnusable: There is none, or it is no program.
    """
    from drkeeper.command import CommandUnknown, CommandUnusable

    if shutil.which(program) is None:
        if shutil.which(program, mode=os.F_OK) is None:
            raise CommandUnknown(f"{program}: no such command")
        raise CommandUnusable(f"{program} is no program that may be run")


def _lock_names(policy: "Policy") -> tuple[str, ...]:
    from drkeeper.systems import Locked
    from drkeeper.wiring import open_systems

    names = (each.lock_name for each in open_systems(policy).values() if isinstance(each, Locked))
    return tuple(dict.fromkeys(filter(None, names)))


def _warn_of_slip(name: str, policy: "Policy") -> None:
    """Any name is a lock; one that nearly is a system's is likely a slip, and would protect nothing."""
    from drkeeper.log import get_logger

    names = _lock_names(policy)
    if name not in names and (near := get_close_matches(name, names, n=1)):
        get_logger().warning("no system of the policy has this lock", lock=name, did_you_mean=near[0])


def _tell_waiting(error: "LeaseHeld") -> None:
    from drkeeper.log import get_logger

    get_logger().info("waiting for the lock", held=str(error))


def _holder(program: str) -> str:
    """For those who wait; without the arguments, among which a password may be."""
    from drkeeper.lease import who

    return f"{os.path.basename(program)} under {who()}"  # noqa: PTH119 - also of a name without a folder
