"""`drkeeper run`."""

from contextlib import ExitStack

import click

from drkeeper.cli.options import LISTEN
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import UsageInvalid

METRICS_SECONDS = 60.0


@click.command("run")
@click.option("--metrics", "listen", type=LISTEN, help="Serve /metrics, /healthz and a status page there.")
@pass_settings
def command(settings: Settings, listen: tuple[str, int] | None) -> None:
    r"""Do everything that the policy schedules, as a daemon: backup, verify, prune, beat, drill.

    One job at a time (heartbeats beside), under a lease: of several daemons one works. Missed runs are made up
    once. SIGTERM ends it in order.

    \b
    Examples:
      drkeeper run
      drkeeper run --metrics 127.0.0.1:9750
      drkeeper --policy /etc/drkeeper/drkeeper.yaml run
    """
    from drkeeper.cli.interrupt import stoppable
    from drkeeper.jobs import jobs, run_policy

    settings.start_logging()
    policy = settings.load_policy()
    if not jobs(policy):
        raise UsageInvalid(f"the policy {policy.name} schedules nothing", hint="give it a section `schedules`")
    with stoppable() as stop, ExitStack() as stack:
        if listen is not None:
            from drkeeper.exporter import observer, serving

            stack.enter_context(serving(observer(policy), listen, METRICS_SECONDS))
        run_policy(policy, stop)
