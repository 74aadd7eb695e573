"""`drkeeper drill run`, which is also what `drkeeper drill` does without another word."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import before_option, point_argument, scenario_option, working
from drkeeper.cli.output import Column, Output, human_duration, human_size, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import DrkeeperError, LoadFailed, ObjectiveMissed, UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from drkeeper.policy import Policy
    from drkeeper.report.record import DrillRecord
    from drkeeper.report.seal import Seal

report_option = click.option(
    "--report-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the report there: .json, .md and .html.",
)


@click.command("run")
@point_argument()
@scenario_option
@before_option
@click.option("--surprise", is_flag=True, help="Draw the point and, where none is named, the scenario.")
@click.option("--seed", type=click.IntRange(min=0), help="Draw them again as an earlier surprise did.")
@report_option
@output_option
@pass_settings
def run_drill(
    settings: Settings,
    *,
    point_id: str,
    scenario: str,
    before: datetime | None,
    surprise: bool,
    seed: int | None,
    report_dir: Path | None,
    output: Output,
) -> None:
    r"""Restore a point into a sandbox with a clock: measure RTO and RPO, check the facts, clean up.

    Production is not touched: the endpoints are throw-away servers on this machine. With a scenario only what it
    takes away is restored, from the regions and with the key that it leaves. A drill that does not end well has a
    date by which it must be repeated; until then its scenario is red. Exit codes: 1 the restore failed, 5
    verification failed or the point is corrupt, 6 an objective was missed or could not be measured.

    \b
    Examples:
      drkeeper drill run 3f2a --report-dir reports
      drkeeper drill run --scenario region-lost
      drkeeper drill run --scenario database-corrupted --before 2026-11-23T02:15Z
      drkeeper drill run --surprise
    """
    from drkeeper import rehearsals
    from drkeeper.notify import tell_drill, telling

    policy = settings.load_policy()
    if report_dir is not None:
        make_folder(report_dir)
    with telling(policy, "drill") as told:
        with working(settings) as work:
            record = rehearsals.drill(
                policy,
                point_id,
                scenario=scenario,
                before=before,
                surprise=surprise or seed is not None,
                seed=seed,
                progress=work.progress,
                stop=work.stop,
            )
        tell_drill(told, record)
    finish(policy, record, report_dir, output)


@click.command("due")
@report_option
@output_option
@pass_settings
def drill_due(settings: Settings, *, report_dir: Path | None, output: Output) -> None:
    r"""Drill every scenario that is due, one after the other: what a schedule runs.

    The policy's section `drills` says which scenarios, how often each, and whether points are drawn. Re-tests come
    first, then what was never rehearsed, then the longest ago; where nothing is due, the one that waits the longest
    is drilled all the same. Exit codes as of `drill run`, of the drill that ended worst.

    \b
    Examples:
      drkeeper drill due --report-dir reports
      drkeeper drill due -o json | jq -r '.[] | [.scenario_name, .rto_seconds] | @tsv'
    """
    from drkeeper import rehearsals
    from drkeeper.notify import tell_drill, telling
    from drkeeper.objectives import exit_code_of

    policy = settings.load_policy()
    if report_dir is not None:
        make_folder(report_dir)
    with telling(policy, "drill") as told:
        with working(settings) as work:
            records = list(rehearsals.drill_due(policy, progress=work.progress, stop=work.stop))
        for record in sorted(records, key=exit_code_of):  # what went wrong is told last, and stays
            tell_drill(told, record)
    if output in {"json", "yaml"}:
        show([record.model_dump(mode="json") for record in records], output, ())
    for record in records:
        _write_and_show(policy, record, report_dir, output, shown=output in {"json", "yaml"})
    _insist(max(records, key=exit_code_of))


def finish(policy: "Policy", record: "DrillRecord", report_dir: Path | None, output: Output) -> None:
    """Write the reports, show the outcome, and end with its exit code."""
    if output in {"json", "yaml"}:
        show(record.model_dump(mode="json"), output, ())
    _write_and_show(policy, record, report_dir, output, shown=output in {"json", "yaml"})
    _insist(record)


def _write_and_show(
    policy: "Policy", record: "DrillRecord", report_dir: Path | None, output: Output, *, shown: bool
) -> None:
    files = write_reports(record, report_dir, seal_for(policy, record)) if report_dir is not None else []
    if not shown:
        click.echo(drill_lines(record, output), nl=False)
        for file in files:
            click.echo(f"report: {file}")


def seal_for(policy: "Policy", record: "DrillRecord") -> "Seal | None":
    """The signed evidence of a drill; None where it was not signed."""
    from drkeeper import evidence
    from drkeeper.wiring import open_vault

    return evidence.seal(open_vault(policy), record)


def write_reports(record: "DrillRecord", folder: Path, seal: "Seal | None" = None) -> list[Path]:
    """Write the record as JSON, Markdown and HTML, and its evidence where it is signed, named after the drill."""
    from drkeeper.report.canonical import canonical_bytes
    from drkeeper.report.html import render_html
    from drkeeper.report.markdown import render_markdown

    stem = f"drill-{record.started_at:%Y%m%dT%H%M%SZ}-{record.drill_id}"
    contents = {
        ".json": canonical_bytes(record),
        ".md": render_markdown(record, seal).encode(),
        ".html": render_html(record, seal).encode(),
        **({".dsse.json": seal.envelope.encode()} if seal else {}),
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


def make_folder(folder: Path) -> None:
    """Before the drill, not after it: a drill takes long."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageInvalid(f"the folder {folder} cannot be made: {error.strerror}") from error


def drill_lines(record: "DrillRecord", output: Output) -> str:
    """One drill for people."""
    from io import StringIO

    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    into = StringIO()

    failed = [check for check in (*record.statements, *record.clean_up) if check.verdict != "passed"]
    head = _head(record)
    titles = {"rto": "RTO", "rpo": "RPO"}
    show(head, "table", [Column(key, titles.get(key, "")) for key in head if head[key]], stream=into)
    into.write("\n")
    columns = (
        Column("name", "SYSTEM"),
        Column("size_bytes", "SIZE", form=human_size, right=True),
        Column("rto_seconds", "RTO", form=human_duration, right=True),
        Column("rpo_seconds", "RPO", form=human_duration, right=True),
        Column("rpo_note", "NOTE"),
    )
    show([system.model_dump(mode="json") for system in record.systems], output, columns, stream=into)
    if failed:
        into.write("\n")
        show(check_rows(failed), output, CHECK_COLUMNS, stream=into)
    return into.getvalue()


def _head(record: "DrillRecord") -> dict[str, object]:
    from drkeeper.cli.output import human_time
    from drkeeper.objectives import judge_drill, outcome_of

    judged = judge_drill(record)
    return {
        "outcome": outcome_of(record),
        "scenario": record.scenario_name and f"{record.scenario_name}: {record.scenario}",
        "surprise": f"seed {record.seed}" if record.seed is not None else "",
        "point": f"{record.point.point_id}, as of {human_time(record.point.as_of)}",
        "rto": _against(record.rto_seconds, record.objectives.rto_seconds, judged.rto.verdict),
        "rpo": _against(record.rpo_seconds, record.objectives.rpo_seconds, judged.rpo.verdict),
        "predicted": record.rto_forecast and human_duration(record.rto_forecast.p50_seconds),
        "facts": f"{sum(check.verdict == 'passed' for check in record.checks)} of {len(record.checks)} hold",
        "corrupt": "; ".join(f"{fell.point_id}: {fell.reason}" for fell in record.fell_back),
        "repeat_by": human_time(record.retest_by) if record.retest_by is not None else "",
        "error": record.error,
    }


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
