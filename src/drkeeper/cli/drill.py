"""`drkeeper drill`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import point_argument, working
from drkeeper.cli.output import Column, Output, human_duration, human_size, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import DrkeeperError, LoadFailed, ObjectiveMissed, UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from drkeeper.report.record import DrillRecord


@click.command("drill")
@point_argument()
@click.option(
    "--report-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the report there: .json, .md and .html.",
)
@output_option
@pass_settings
def command(settings: Settings, point_id: str, report_dir: Path | None, output: Output) -> None:
    r"""Restore a point into a sandbox with a clock: measure RTO and RPO, check the facts, clean up.

    Production is not touched: the endpoints are throw-away servers on this machine. Exit codes: 1 the restore
    failed, 5 verification failed, 6 an objective was missed or could not be measured.

    \b
    Examples:
      drkeeper drill
      drkeeper drill 3f2a --report-dir reports
      drkeeper drill -o json | jq .rto_seconds
    """
    from drkeeper import actions
    from drkeeper.notify import tell_drill, telling

    policy = settings.load_policy()
    if report_dir is not None:
        _make(report_dir)
    with telling(policy, "drill") as told:
        with working(settings) as work:
            record = actions.drill(policy, point_id, progress=work.progress, stop=work.stop)
        tell_drill(told, record)
    files = write_reports(record, report_dir) if report_dir is not None else []
    if output in {"json", "yaml"}:
        show(record.model_dump(mode="json"), output, ())
    else:
        _show(record, output)
        for file in files:
            click.echo(f"report: {file}")
    _insist(record)


def write_reports(record: "DrillRecord", folder: Path) -> list[Path]:
    """Write the record as JSON, Markdown and HTML, named after the drill."""
    from drkeeper.report.canonical import canonical_bytes
    from drkeeper.report.html import render_html
    from drkeeper.report.markdown import render_markdown

    stem = f"drill-{record.started_at:%Y%m%dT%H%M%SZ}-{record.drill_id}"
    contents = {
        ".json": canonical_bytes(record),
        ".md": render_markdown(record).encode(),
        ".html": render_html(record).encode(),
    }
    files = []
    for suffix, content in contents.items():
        file = folder / f"{stem}{suffix}"
        try:
            file.write_bytes(content)
        except OSError as error:
            raise DrkeeperError(f"the report cannot be written to {file}: {error.strerror}") from error
        files.append(file)
    return files


def _make(folder: Path) -> None:
    """Before the drill, not after it: a drill takes long."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageInvalid(f"the folder {folder} cannot be made: {error.strerror}") from error


def _show(record: "DrillRecord", output: Output) -> None:
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows
    from drkeeper.objectives import judge_drill, outcome_of

    judged = judge_drill(record)
    failed = [check for check in (*record.checks, *record.clean_up) if check.verdict != "passed"]
    head = {
        "outcome": outcome_of(record),
        "rto": _against(record.rto_seconds, record.objectives.rto_seconds, judged.rto.verdict),
        "rpo": _against(record.rpo_seconds, record.objectives.rpo_seconds, judged.rpo.verdict),
        "predicted": record.rto_forecast and human_duration(record.rto_forecast.p50_seconds),
        "facts": f"{sum(check.verdict == 'passed' for check in record.checks)} of {len(record.checks)} hold",
        "error": record.error,
    }
    titles = {"rto": "RTO", "rpo": "RPO"}
    show(head, "table", [Column(key, titles.get(key, "")) for key in head if head[key]])
    click.echo()
    columns = (
        Column("name", "SYSTEM"),
        Column("size_bytes", "SIZE", form=human_size, right=True),
        Column("rto_seconds", "RTO", form=human_duration, right=True),
        Column("rpo_seconds", "RPO", form=human_duration, right=True),
        Column("rpo_note", "NOTE"),
    )
    show([system.model_dump(mode="json") for system in record.systems], output, columns)
    if failed:
        click.echo()
        show(check_rows(failed), output, CHECK_COLUMNS)


def _against(measured: float | None, promised: float | None, verdict: str) -> str:
    figure = human_duration(measured) if measured is not None else "not measured"
    return f"{figure} ({verdict}{f', promised {human_duration(promised)}' if promised is not None else ''})"


def _insist(record: "DrillRecord") -> None:
    from drkeeper.objectives import exit_code_of, outcome_of

    outcome = outcome_of(record)
    message = f"drill {record.drill_id}: {outcome}{f': {record.error}' if record.error else ''}"
    match exit_code_of(record):
        case 0:
            return
        case ObjectiveMissed.exit_code:
            raise ObjectiveMissed(message)
        case VerificationFailed.exit_code:
            raise VerificationFailed(message)
        case _:
            raise LoadFailed(message)
