"""What a scenario's plan does beside restoring: fail-overs, relocations and rebuilds, as steps of it.

Each may be done again after a crash: a switch that was declared is ended, locations that lead there are left alone, and
a rebuild begins where the one before it did. What ends a step (`current_stop`), as when its time is up, ends these too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from drkeeper import artifacts, rebuild, relocation
from drkeeper.facts import Check
from drkeeper.failover.plan import Asked
from drkeeper.failover.prepare import Place, carry_out, insist, prepare_failover
from drkeeper.policy import Policy
from drkeeper.progress import Progress, Silent
from drkeeper.scenarios import Scenario
from drkeeper.throttle import current_stop
from drkeeper.vault.vault import Vault
from drkeeper.wiring import executing

PATIENCE_SECONDS = 30.0
"""For a writer or a replication that a lost process left its lease behind of, beyond the time in which that ends."""


def asked(scenario: Scenario) -> Asked:
    """How a bucket fails over in a scenario.

    Where its data went wrong the source answers, and nothing of it is wanted: it is not replicated once more, and does
    not count when the bucket fails back.
    """
    reason = f"scenario {scenario.name}: {scenario.title}"
    wrong = scenario.data_wrong
    return Asked(catch_up=not wrong, accept_loss=wrong, reason=reason, source_wrong=wrong)


@dataclass(frozen=True)
class BesideRestoring:
    """Of one plan."""

    policy: Policy
    vault: Vault
    scenario: Scenario
    progress: Progress = field(default_factory=Silent)

    def fail_over(self, system: str) -> None:
        """Make a bucket's replica the primary. Locations are rewritten by a step of their own."""
        [pair] = artifacts.pairs(self.policy, [system])
        hooks = self.policy.failover.hooks
        systems = executing(self.policy, hooks)
        place = Place(self.vault, pair, hooks, self.policy.name, self._ttl_seconds, systems=systems)
        prepared = prepare_failover(place, asked(self.scenario))
        insist(prepared)
        if prepared.plan.steps:
            carry_out(prepared, wait_seconds=self._wait_seconds, progress=self.progress, stop=current_stop())

    def relocate(self, application: str) -> None:
        """Have its database say where its artifacts are now."""
        [place] = relocation.places(self.policy, [application])
        prepared = relocation.prepare_derived(place, self.vault)
        relocation.insist(prepared)
        if prepared.plan.rows:
            reason = f"scenario {self.scenario.name}"
            relocation.relocate(prepared, self.vault, reason=reason, wait_seconds=self._wait_seconds)

    def rebuild(self, application: str) -> Iterable[Check]:
        """Bring its online store up to date; what was compared afterwards."""
        with rebuild.prepare(self.policy, application) as prepared:
            record = rebuild.rebuild(
                prepared, wait_seconds=self._wait_seconds, progress=self.progress, stop=current_stop()
            )
        return record.checks

    @property
    def _ttl_seconds(self) -> float:
        return self.policy.vault.lease.total_seconds()

    @property
    def _wait_seconds(self) -> float:
        return self._ttl_seconds + PATIENCE_SECONDS
