"""What brings a platform back in another region, beside a restore: fail-over, relocation, rebuild, and the proof."""

from dataclasses import dataclass
from datetime import datetime

from drkeeper import artifacts, clock, rebuild, recovery, relocation, usable
from drkeeper._rebuild.records import RebuildRecord
from drkeeper._relocation.records import RelocationRecord
from drkeeper.actions import history
from drkeeper.demo.stage import ARTIFACTS, ARTIFACTS_WEST, FEATURES, NEW_IN_WEST, TRACKING
from drkeeper.demo.told import Told
from drkeeper.failover.plan import Asked
from drkeeper.failover.prepare import Place, carry_out, insist, prepare_failover
from drkeeper.forecast import forecast_step, total
from drkeeper.heartbeat import Heartbeat
from drkeeper.plan import Choice
from drkeeper.policy import Policy
from drkeeper.report.record import Forecast
from drkeeper.report.words import duration
from drkeeper.steps import explain
from drkeeper.wiring import meanings, open_systems, open_vault

RESTORED = ("mlflow-db", "feast-registry", "feature-store")
"""The bucket needs no restore: its replica takes over."""


def fail_over(policy: Policy) -> float:
    """Make the bucket's replica the primary; how many seconds that took."""
    vault = open_vault(policy)
    [pair] = artifacts.pairs(policy, [ARTIFACTS])
    ttl_seconds, beside = policy.vault.lease.total_seconds(), relocation.Beside(policy, vault)
    place = Place(vault, pair, policy.failover.hooks, policy.name, ttl_seconds, beside)
    prepared = prepare_failover(place, Asked(reason="region east is lost"))
    insist(prepared)
    return carry_out(prepared).elapsed_seconds


def relocate(policy: Policy) -> RelocationRecord:
    """Have MLflow's locations lead to the bucket that is primary now."""
    vault = open_vault(policy)
    [place] = relocation.places(policy, [TRACKING])
    prepared = relocation.prepare_derived(place, vault)
    relocation.insist(prepared)
    return relocation.relocate(prepared, vault)


def rebuild_store(policy: Policy) -> tuple[RebuildRecord, Forecast]:
    """Bring the online store from its own newest event times to now, out of the offline store; and its forecast."""
    with rebuild.prepare(policy, FEATURES) as prepared:
        return rebuild.rebuild(prepared), prepared.plan.forecast


def forecast_of_proof(policy: Policy) -> list[Forecast]:
    """What asking the applications will take, by what it took in drills."""
    past = history(open_vault(policy))
    return [forecast_step(meaning.kind, "prove", 0, past) for meaning in meanings(policy)]


@dataclass(frozen=True)
class Recovered:
    """What the recovery took and found.

    Attributes:
        predicted: Each part that has a forecast, one after the other.
        recovered_at: When the last check of the restored systems had ended.
        beats: The newest heartbeat that came back, by system.
    """

    predicted: Forecast
    began_at: datetime
    recovered_at: datetime
    beats: dict[str, Heartbeat | None]


class InWest(Told):
    """The recovery, command by command."""

    def recover(self) -> Recovered:
        """New servers, the replica made primary, the rest restored, and everything put to the proof."""
        self.tell.act("Recovery in region west")
        self.platform.start(NEW_IN_WEST)
        self.platform.write_policy()
        self.tell.say("new servers, empty; the policy names them from now on")
        began_at = clock.now()
        self.tell.command(f'drkeeper failover run --system {ARTIFACTS} --reason "region east is lost"')
        took = fail_over(self.policy)
        self.tell.say(f"s3://{ARTIFACTS_WEST} is the primary bucket, after {duration(took)}")
        predicted = forecast_of_proof(self.policy)
        predicted.append(self._restore())
        self._relocate()
        predicted.append(self._rebuild())
        self.tell.command("drkeeper verify latest --level usable")
        with self.tell.waiting("asking the applications"):
            said = usable.prove_live(self.policy, point_id="latest")
        self.insist(said, "references lead somewhere, the champion predicts as it did, features are served as they are")
        return Recovered(
            predicted=total(predicted),
            began_at=began_at,
            recovered_at=clock.now(),
            beats={name: system.newest_beat() for name, system in open_systems(self.policy, RESTORED).items()},
        )

    def _restore(self) -> Forecast:
        self.tell.command(f"drkeeper restore latest {' '.join(f'--system {name}' for name in RESTORED)} --no-proof")
        prepared = recovery.prepare(self.policy, names=RESTORED, choice=Choice(prove=False))
        rows = [(str(row["does"]), f"{row['p50_seconds']:.2f} s") for row in explain(prepared.plan)]
        with self.tell.waiting("restoring"):
            outcome = recovery.restore(prepared)
        took = {step.name: duration(step.elapsed_seconds) for step in outcome.steps}
        self.tell.table(("step", "predicted", "took"), [(*row, took.get(row[0], "not run")) for row in rows])
        self.insist(outcome.checks, "every fact of the point holds in the restored systems")
        return prepared.plan.forecast

    def _relocate(self) -> None:
        self.tell.command(f"drkeeper relocate run {TRACKING}")
        record = relocate(self.policy)
        self.tell.say(f"{record.total} locations lead to s3://{ARTIFACTS_WEST}, in {duration(record.elapsed_seconds)}")

    def _rebuild(self) -> Forecast:
        self.tell.command(f"drkeeper rebuild run {FEATURES}")
        with self.tell.waiting("rebuilding the online store from the offline store"):
            record, forecast = rebuild_store(self.policy)
        self.insist(record.checks, f"the online store is up to date again, in {duration(record.elapsed_seconds)}")
        return forecast
