"""`drkeeper report`."""

from pathlib import Path
from typing import Any, Literal

import click

from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import UsageInvalid

Form = Literal["html", "pdf", "md", "json"]  # as in report.quarter_files, which is imported when it is used
FORMS: tuple[Form, ...] = ("html", "pdf", "md", "json")


def complete_quarter(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """This quarter and the four before it."""
    from drkeeper import clock
    from drkeeper.quarter import Quarter

    quarters = [Quarter.of(clock.now())]
    while len(quarters) <= 4:  # noqa: PLR2004 - a year back
        quarters.append(quarters[-1].previous)
    return [quarter.name for quarter in quarters if quarter.name.startswith(incomplete.upper())]


PREVIOUS = "previous"


@click.command("report")
@click.option(
    "--quarter",
    metavar="2026Q4",
    shell_complete=complete_quarter,
    help="Which one, or `previous`; left out, the one that runs.",
)
@click.option(
    "-o",
    "--output",
    "forms",
    type=click.Choice(FORMS),
    multiple=True,
    help="In which form; may be given several times with --out. Left out: md, or with --out all of them.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write files there, named after policy and quarter; left out: to stdout.",
)
@click.option("--keep", is_flag=True, help="Keep the record in the vault: the next quarter's report names its digest.")
@pass_settings
def command(settings: Settings, *, quarter: str | None, forms: tuple[Form, ...], out: Path | None, keep: bool) -> None:
    r"""Report on a quarter: backups made against due, exposure, drills, proofs, findings, and where evidence stands.

    It is made from what lies in the vault; no system is asked. A quarter that is not over is told as far as it goes.
    What is not known is said to be unknown, and nothing is claimed that was not done.

    \b
    Examples:
      drkeeper report
      drkeeper report --quarter 2026Q4 --out reports --keep
      drkeeper report --quarter 2026Q4 -o pdf --out reports
      drkeeper report -o json | jq .backups.rate
    """
    from drkeeper import clock, quarterly
    from drkeeper.quarter import Quarter
    from drkeeper.report.quarter_files import rendered, write_reports

    now = clock.now()
    running = Quarter.of(now)
    wanted = running.previous if quarter == PREVIOUS else Quarter.parse(quarter) if quarter else running
    chosen = forms or (FORMS if out else ("md",))
    if out is None and len(chosen) > 1:
        raise UsageInvalid("several forms need a folder", hint="name one with --out")
    policy = settings.load_policy()
    settings.quiet_logging()
    record = quarterly.report(policy, wanted, now, keep=keep)
    if out is None:
        _print(rendered(record, chosen[0]), chosen[0])
        return
    for file in write_reports(record, out, chosen):
        click.echo(f"report: {file}")


def _print(content: bytes, form: Form) -> None:
    import sys

    if form == "pdf" and sys.stdout.isatty():
        raise UsageInvalid("a PDF is not for a terminal", hint="name a folder with --out, or send it to a file")
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
