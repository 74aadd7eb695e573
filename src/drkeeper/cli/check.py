"""`drkeeper check`."""

import click

from drkeeper.cli.output import Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import VerificationFailed


@click.command("check")
@output_option
@pass_settings
def command(settings: Settings, output: Output) -> None:
    r"""Probe every region and system of the policy: reachable, permitted, versions; with a remedy for what fails.

    Changes nothing. Exit code 5: something that is needed failed.

    \b
    Examples:
      drkeeper check
      drkeeper check -o json | jq '.[] | select(.verdict == "failed")'
    """
    from drkeeper import actions
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    settings.start_logging()
    checks = actions.check(settings.load_policy())
    show(check_rows(checks), output, CHECK_COLUMNS)
    failed = [check for check in checks if check.verdict == "failed" and check.severity == "error"]
    if failed:
        raise VerificationFailed(
            f"{len(failed)} of {len(checks)} checks failed: {', '.join(check.subject for check in failed)}",
            hint="each has its remedy in the list",
        )
