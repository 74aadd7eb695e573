"""`drkeeper run`."""

import click

from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import UsageInvalid


@click.command("run")
@pass_settings
def command(settings: Settings) -> None:
    r"""Do everything that the policy schedules, as a daemon: backup, verify, prune, beat, drill.

    One job at a time (heartbeats beside), under a lease: of several daemons one works. Missed runs are made up
    once. SIGTERM ends it in order.

    \b
    Examples:
      drkeeper run
      drkeeper --policy /etc/drkeeper/drkeeper.yaml run
    """
    from drkeeper.cli.interrupt import stoppable
    from drkeeper.jobs import jobs, run_policy

    settings.start_logging()
    policy = settings.load_policy()
    if not jobs(policy):
        raise UsageInvalid(f"the policy {policy.name} schedules nothing", hint="give it a section `schedules`")
    with stoppable() as stop:
        run_policy(policy, stop)
