"""The way back in another region: one plan, from the fail-over to the proof, and one command that carries it out."""

from dataclasses import dataclass
from datetime import datetime

from drkeeper import clock, recovery
from drkeeper.demo.stage import NEW_IN_WEST
from drkeeper.demo.told import Told
from drkeeper.heartbeat import Heartbeat
from drkeeper.report.record import Forecast
from drkeeper.report.words import duration
from drkeeper.steps import explain
from drkeeper.wiring import open_systems

SCENARIO = "region-lost"


@dataclass(frozen=True)
class Recovered:
    """What the recovery took and found.

    Attributes:
        predicted: Of the whole plan.
        recovered_at: When the last check of the restored systems had ended.
        beats: The newest heartbeat that came back, by system.
    """

    predicted: Forecast
    began_at: datetime
    recovered_at: datetime
    beats: dict[str, Heartbeat | None]


class InWest(Told):
    """The recovery: new servers, a plan, and everything put to the proof."""

    def recover(self) -> Recovered:
        """Show the plan, and carry it out."""
        self.tell.act("Recovery in region west")
        self.platform.start(NEW_IN_WEST)
        self.platform.write_policy()
        self.tell.say("new servers, empty; the policy names them from now on")
        began_at = clock.now()
        self.tell.command(f"drkeeper restore --scenario {SCENARIO}")
        prepared = recovery.prepare_scenario(self.policy, SCENARIO)
        for way in prepared.plan.ways:
            if way.chosen:
                self.tell.say(f"{way.system}: [bold]{way.way}[/], {way.why}")
        rows = [(str(row["does"]), f"{row['p50_seconds']:.2f} s", str(row["basis"])) for row in explain(prepared.plan)]
        with self.tell.waiting("failing over, restoring, relocating, rebuilding, asking the applications"):
            outcome = recovery.restore(prepared)
        recovered_at = clock.now()
        took = {step.name: duration(step.elapsed_seconds) for step in outcome.steps}
        self.tell.table(("step", "predicted", "by", "took"), [(*row, took.get(row[0], "not run")) for row in rows])
        self.insist(
            outcome.checks, "every fact of the point holds in the restored systems, and the store is up to date"
        )
        self.insist(
            outcome.usable,
            "references lead somewhere, the champion predicts as it did, features are served as they are",
        )
        restored = [target.system for target in prepared.plan.targets]
        return Recovered(
            predicted=prepared.plan.forecast,
            began_at=began_at,
            recovered_at=recovered_at,
            beats={name: system.newest_beat() for name, system in open_systems(self.policy, restored).items()},
        )
