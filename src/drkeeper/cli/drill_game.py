"""`drkeeper drill game-day`: people recover by hand, on empty servers, and the clock runs."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drkeeper.cli.drill_run import finish, make_folder, report_option
from drkeeper.cli.options import before_option, complete_scenario, point_argument
from drkeeper.cli.output import Output, output_option
from drkeeper.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from drkeeper.drill_request import DrillRequest
    from drkeeper.game_day import Answer
    from drkeeper.report.record import PhaseName

GIVE_UP = "give up"
QUESTIONS: dict[str, str] = {
    "detect": "Has it been noticed what is lost?",
    "decide": "Is it decided what to restore, and from which point?",
    "provision": "Are the servers to restore into at hand, and does the policy lead to them?",
    "restore": "Has the restore ended?",
    "verify": "Was it checked that all of it came back?",
    "serve": "Could the applications be let in?",
}


class Table:
    """Talks with the people on stderr, and listens on stdin; results are left for stdout."""

    def welcome(self, policy_file: Path, request: "DrillRequest") -> None:
        """What they have."""
        exercise = request.exercise
        self._say(f"game day {exercise.scenario}: {exercise.title}")
        if exercise.participants:
            self._say(f"at the table: {', '.join(exercise.participants)}")
        self._say(f"lost: {', '.join(record.name for record in request.systems)}; empty servers are up in their place")
        self._say("production is out of reach, and the vault is only read; work with this policy, in another terminal:")
        self._say(f"  export DRKEEPER_POLICY={policy_file}")
        self._say(f"the runbook:  drkeeper runbook show {exercise.scenario}")
        self._say(f"press Enter as each stretch ends; write a line to have it noted, or `{GIVE_UP}`. The clock runs.")

    def ended(self, phase: "PhaseName") -> "Answer":
        """Wait for Enter, or the end of the input, which gives up."""
        from drkeeper.game_day import Answer

        self._say(f"{phase}: {QUESTIONS[phase]} [Enter]")
        remarks: list[str] = []
        while True:
            line = sys.stdin.readline()
            said = line.strip()
            if not line or said == GIVE_UP:
                return Answer(gave_up=True, remarks=tuple(remarks))
            if not said:
                return Answer(remarks=tuple(remarks))
            remarks.append(said)
            self._say(f"noted: {said}")

    def _say(self, text: str) -> None:
        click.echo(text, err=True)


@click.command("game-day")
@point_argument()
@click.option(
    "--scenario", metavar="NAME", required=True, shell_complete=complete_scenario, help="What is taken to be lost."
)
@before_option
@click.option("--participant", "participants", metavar="NAME", multiple=True, help="Who takes part; several times.")
@report_option
@output_option
@pass_settings
def game_day(
    settings: Settings,
    *,
    point_id: str,
    scenario: str,
    before: datetime | None,
    participants: tuple[str, ...],
    report_dir: Path | None,
    output: Output,
) -> None:
    r"""Have people recover from a scenario by hand, with the runbook and a clock, and check what came back.

    drkeeper starts empty servers in the place of what is lost, and writes a policy for them: what is typed with
    that policy reaches neither production nor the vault, which is only read. Enter ends each stretch (detect,
    decide, provision, restore, verify, serve); then facts and applications are checked as in a drill, against the
    point that was restored. An ID, or --before, says which point that is where people restore without drkeeper.

    \b
    Examples:
      drkeeper drill game-day --scenario region-lost --participant "A. Person" --participant "B. Person"
      drkeeper drill game-day --scenario online-store-lost --report-dir reports
    """
    from drkeeper import rehearsals
    from drkeeper.notify import tell_drill, telling

    policy = settings.load_policy()
    if report_dir is not None:
        make_folder(report_dir)
    settings.quiet_logging()
    with telling(policy, "drill") as told:
        record = rehearsals.game_day(
            policy,
            settings.find_policy().absolute().parent,
            Table(),
            scenario=scenario,
            point_id=point_id,
            before=before,
            participants=participants,
        )
        tell_drill(told, record)
    finish(policy, record, report_dir, output)
