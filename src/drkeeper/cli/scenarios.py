"""`drkeeper scenarios`: what may be lost, and what would bring it back."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import before_option
from drkeeper.cli.output import Column, Output, human_duration, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import DrkeeperError, Interrupted

if TYPE_CHECKING:
    from drkeeper.policy import Policy

COLUMNS = (
    Column("name", "SCENARIO"),
    Column("title"),
    Column("systems", "GONE", form=", ".join),
    Column("regions", "REGIONS GONE", form=", ".join, wide=True),
    Column("ways", "WAYS BACK", form=lambda ways: "; ".join(sorted(set(ways.values())))),
    Column("p50_seconds", "P50", form=human_duration, right=True),
    Column("p90_seconds", "P90", form=human_duration, right=True),
    Column("loss_seconds", "LOSES", form=human_duration, right=True),
    Column("basis", wide=True),
    Column("refused"),
)


@click.command("scenarios")
@before_option
@output_option
@pass_settings
def command(settings: Settings, *, before: datetime | None, output: Output) -> None:
    r"""List what may be lost: does it fit the policy, what is gone, what brings it back, how long that takes.

    No protected system is asked: as if each target were new and empty. `drkeeper plan --scenario NAME` looks at them.

    \b
    Examples:
      drkeeper scenarios
      drkeeper scenarios -o json | jq '.[] | select(.fits) | .name'
      drkeeper plan --scenario region-lost
    """
    policy = settings.load_policy()
    from drkeeper.scenarios import BUILT_IN

    names = dict.fromkeys((*BUILT_IN, *policy.scenarios))
    rows = [_row(policy, name, before) for name in names]
    if output in {"table", "wide"}:
        rows = [row for row in rows if row["fits"] or output == "wide"]
    show(rows, output, COLUMNS)


def _row(policy: "Policy", name: str, before: datetime | None) -> dict[str, object]:
    from drkeeper.preparing import prepare_scenario
    from drkeeper.wiring import loss

    blank = dict.fromkeys(("p50_seconds", "p90_seconds", "loss_seconds"))
    try:
        lost, _ = loss(policy, name)
    except DrkeeperError as error:
        return {"name": name, "title": _title(policy, name), "fits": False, **blank, "refused": str(error)}
    row = {
        "name": name,
        "title": lost.scenario.title,
        "fits": True,
        "systems": list(lost.systems),
        "regions": list(lost.regions),
    }
    try:
        plan = prepare_scenario(policy, name, before=before, what_if=True).plan
    except Interrupted:
        raise
    except DrkeeperError as error:
        return {**row, **blank, "refused": str(error)}
    chosen = [way for way in plan.ways if way.chosen]
    losses = [way.loss_seconds for way in chosen]
    known = [each for each in losses if each is not None]
    return {
        **row,
        "ways": {way.system: way.way for way in chosen},
        "p50_seconds": plan.forecast.p50_seconds,
        "p90_seconds": plan.forecast.p90_seconds,
        "basis": plan.forecast.basis,
        "loss_seconds": max(known) if len(known) == len(losses) and known else None,
        "refused": "",
    }


def _title(policy: "Policy", name: str) -> str:
    from drkeeper.scenarios import BUILT_IN

    own = policy.scenarios.get(name)
    return (own.title if own is not None else "") or (BUILT_IN[name].title if name in BUILT_IN else name)
