"""`drkeeper recovery`: restores that run, and those that ran: look on, pause, go on, abort; predicted and actual."""

from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.output import Column, Output, human_duration, human_size, human_time, output_option, show
from drkeeper.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from drkeeper.restore import Word
    from drkeeper.restores import Standing

LIST_COLUMNS = (
    Column("plan", "ID"),
    Column("began_at", "BEGAN", form=human_time),
    Column("state"),
    Column("point"),
    Column("scenario"),
    Column("steps"),
    Column("predicted_seconds", "PREDICTED", form=human_duration, right=True),
    Column("took_seconds", "TOOK", form=human_duration, right=True),
    Column("holder", wide=True),
    Column("why"),
)
STEP_COLUMNS = (
    Column("step"),
    Column("state"),
    Column("size_bytes", "SIZE", form=human_size, right=True),
    Column("predicted_seconds", "PREDICTED", form=human_duration, right=True),
    Column("p90_seconds", "P90", form=human_duration, right=True),
    Column("took_seconds", "TOOK", form=human_duration, right=True),
    Column("error"),
)
WATCH_SECONDS = 1.0


def complete_restore(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Ids from the vault."""
    from drkeeper.cli.points_completion import restore_ids

    return restore_ids(context, incomplete)


plan_argument = click.argument("plan_id", metavar="[ID]", default="", shell_complete=complete_restore)
why_option = click.option("--why", default="", metavar="TEXT", help="Stands in the journal and in the audit log.")


@click.group("recovery")
def command() -> None:
    r"""Look on while something is restored, and say when to pause, go on or abort.

    ID is that of the restore's plan, or its beginning; the newest one where none is given.

    \b
    Examples:
      drkeeper recovery watch
      drkeeper recovery pause --why "the network is being mended"
    """


@command.command("list")
@output_option
@pass_settings
def list_restores(settings: Settings, *, output: Output) -> None:
    r"""All restores that the vault knows of, the newest first.

    \b
    Examples:
      drkeeper recovery list
      drkeeper recovery list -o json
    """
    from drkeeper.restores import restores
    from drkeeper.wiring import open_vault

    policy = settings.load_policy()
    show([_row(each) for each in reversed(restores(policy, open_vault(policy)))], output, LIST_COLUMNS)


@command.command("show")
@plan_argument
@output_option
@pass_settings
def show_restore(settings: Settings, *, plan_id: str, output: Output) -> None:
    r"""One restore: its steps, predicted against actual, and its phases.

    \b
    Examples:
      drkeeper recovery show
      drkeeper recovery show 3f2a -o json
    """
    from drkeeper.cli.restore import show_phases
    from drkeeper.restores import find
    from drkeeper.wiring import open_vault

    policy = settings.load_policy()
    standing = find(policy, open_vault(policy), plan_id)
    row, steps = _row(standing), _steps(standing)
    phases = [phase.model_dump(mode="json") for phase in standing.phases]
    if output in {"json", "yaml"}:
        told = {"approved_by": standing.journal.before.approved_by, "fell_back_from": standing.plan.fell_back_from}
        show({**row, **told, "steps": steps, "phases": phases, "events": _events(standing)}, output, ())
        return
    show(row, output, [column for column in LIST_COLUMNS if row.get(column.key) not in {None, ""}])
    for why in standing.plan.fell_back_from.values():
        click.echo(f"fell back: {why}")
    for name in standing.journal.before.approved_by:
        click.echo(f"approved by {name}")
    click.echo()
    show(steps, output, STEP_COLUMNS)
    show_phases(standing.phases, output)
    for event in _events(standing):
        click.echo(f"{human_time(event['at'])}  {event['event']} {' '.join(filter(None, (event['by'], event['why'])))}")


@command.command("watch")
@plan_argument
@pass_settings
def watch(settings: Settings, *, plan_id: str) -> None:
    r"""Look on until a restore has ended, from wherever the vault can be reached. Ctrl-C ends the looking on only.

    \b
    Examples:
      drkeeper recovery watch
    """
    from drkeeper.cli.live import watched
    from drkeeper.cli.recovery_watch import follow

    policy = settings.load_policy()
    with watched(settings) as work:
        click.echo(follow(policy, plan_id, work.onlooker, work.stop, every_seconds=WATCH_SECONDS))


@command.command("pause")
@plan_argument
@why_option
@output_option
@pass_settings
def pause(settings: Settings, *, plan_id: str, why: str, output: Output) -> None:
    r"""Begin no further step; those that run go on to their end.

    Exit code 4: nobody carries it out, so nobody would hear.

    \b
    Examples:
      drkeeper recovery pause --why "the network is being mended"
    """
    _say(settings, "pause", plan_id, why, output)


@command.command("continue")
@plan_argument
@why_option
@output_option
@pass_settings
def go_on(settings: Settings, *, plan_id: str, why: str, output: Output) -> None:
    r"""Go on after a pause.

    \b
    Examples:
      drkeeper recovery continue 3f2a
    """
    _say(settings, "continue", plan_id, why, output)


@command.command("abort")
@plan_argument
@why_option
@output_option
@pass_settings
def abort(settings: Settings, *, plan_id: str, why: str, output: Output) -> None:
    r"""End a restore before its next step.

    Before the first switch, what was loaded is removed and nothing is changed; after it, the restore stays to be
    resumed or given up. Exit code 4: nobody carries it out.

    \b
    Examples:
      drkeeper recovery abort --why "the region is back"
    """
    _say(settings, "abort", plan_id, why, output)


def _say(settings: Settings, word: "Word", plan_id: str, why: str, output: Output) -> None:
    from drkeeper.restores import say

    settings.start_logging()
    control, standing = say(settings.load_policy(), word, plan_id, why=why)
    row = {"plan": standing.plan.plan_id, **control.model_dump(), "holder": standing.holder}
    show(row, output, (Column("plan"), Column("word"), Column("by"), Column("why"), Column("holder")))


def _row(standing: "Standing") -> dict[str, Any]:
    plan, journal = standing.plan, standing.journal
    took = sum(phase.seconds or 0.0 for phase in standing.phases if phase.name in {"restore", "verify"})
    return {
        "plan": plan.plan_id,
        "began_at": journal.begun_at,
        "ended_at": standing.ended_at,
        "state": standing.state,
        "point": plan.point_id,
        "scenario": plan.scenario,
        "steps": f"{len(journal.done)} of {len(plan.steps)}",
        "predicted_seconds": plan.forecast.p50_seconds,
        "p90_seconds": plan.forecast.p90_seconds,
        "took_seconds": took if standing.phases else None,
        "holder": standing.holder,
        "why": standing.why,
    }


def _steps(standing: "Standing") -> list[dict[str, Any]]:
    from drkeeper.restores import step_states

    states = step_states(standing.journal)
    rows = []
    for step in standing.plan.steps:
        state, record, error = states[step.step_id]
        rows.append(
            {
                "step": step.step_id,
                "state": "running" if state == "started" and standing.holder else state,
                "size_bytes": getattr(step, "size_bytes", None),
                "predicted_seconds": step.forecast.p50_seconds,
                "p90_seconds": step.forecast.p90_seconds,
                "took_seconds": record.elapsed_seconds if record else None,
                "error": error,
            }
        )
    return rows


def _events(standing: "Standing") -> list[dict[str, Any]]:
    """What people did to it."""
    told = {"paused", "continued", "resumed", "abandoned"}
    return [
        {"at": entry.at, "event": entry.event, "by": entry.by, "why": entry.error}
        for entry in standing.journal.entries
        if entry.event in told
    ]
