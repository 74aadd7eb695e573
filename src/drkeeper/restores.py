"""The restores that a vault knows of: which one runs, who carries it out, what became of the others; words to one."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from drkeeper import audit, clock, controls, lease
from drkeeper.controls import Control
from drkeeper.errors import PointUnknown, Refused, VaultUnreachable
from drkeeper.journal import Journal, read_journals
from drkeeper.policy import Policy
from drkeeper.recovery import vault_of
from drkeeper.recovery_alone import LEASE
from drkeeper.report.record import Phase, StepRecord
from drkeeper.restore import Word
from drkeeper.steps import RestorePlan
from drkeeper.vault.layout import JOURNALS
from drkeeper.vault.vault import Vault
from drkeeper.wiring import open_vault

State = Literal["running", "paused", "unfinished", "finished", "given up"]
StepState = Literal["waiting", "started", "done", "failed"]


@dataclass(frozen=True)
class Standing:
    """One restore, as its journal and its lease show it.

    Attributes:
        holder: Who carries it out; "" where nobody does.
    """

    journal: Journal
    state: State
    holder: str = ""

    @property
    def plan(self) -> RestorePlan:
        """What it carries out."""
        return self.journal.plan

    @property
    def ended_at(self) -> datetime | None:
        """When its last word was written; None while it runs."""
        return None if self.state in {"running", "paused"} else self.journal.entries[-1].at

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Of one that is finished."""
        return self.journal.entries[-1].phases

    @property
    def why(self) -> str:
        """Why it was given up, or what failed last."""
        said = [entry.error for entry in self.journal.entries if entry.event in {"failed", "abandoned"} and entry.error]
        return said[-1] if said and self.state in {"given up", "unfinished"} else ""


def restores(policy: Policy, vault: Vault) -> list[Standing]:
    """All of this policy, oldest first."""
    journals = [journal for journal in read_journals(vault) if journal.plan.policy == policy.name]
    holder = carried_out_by(vault)
    last = next((journal.plan.plan_id for journal in reversed(journals) if not journal.over), "")
    return [_standing(journal, holder if journal.plan.plan_id == last else "") for journal in journals]


def find(policy: Policy, vault: Vault, plan_id: str = "") -> Standing:
    """The restore of an id, or of an unambiguous beginning of one; where none is named, the one at work, or the newest.

    Raises:
        PointUnknown: None, or more than one, answers to it.
    """
    if not plan_id:
        known = restores(policy, vault)
        if not known:
            raise PointUnknown("nothing was restored yet", hint="begin with `drkeeper restore`")
        at_work = [each for each in known if each.holder]
        return (at_work or known)[-1]
    ids = sorted({key.split("/")[1] for key in vault.record_keys(JOURNALS)})
    matching = [each for each in ids if each.startswith(plan_id.lower())]
    if len(matching) != 1:
        found = f"{len(matching)} restores begin with {plan_id}: {', '.join(matching)}" if matching else ""
        raise PointUnknown(found or f"no restore {plan_id}", hint="list them with `drkeeper recovery list`")
    journal = Journal.read(vault, matching[0])
    return _standing(journal, "" if journal.over else carried_out_by(vault))


def carried_out_by(vault: Vault) -> str:
    """Who holds the lease of restores; "": nobody."""
    for store in vault.regions.available().values():
        with suppress(VaultUnreachable):
            latest = lease.latest(store, LEASE)
            until = latest.held_until()
            if until is not None and until > clock.now():
                return latest.record.holder if latest.record is not None else "somebody"
    return ""


def say(policy: Policy, word: Word, plan_id: str = "", *, why: str = "") -> tuple[Control, Standing]:
    """Tell a restore that runs to pause, go on, or abort. It heeds that before its next step.

    Raises:
        Refused: Nobody carries it out, so nobody would hear.
    """
    vault = open_vault(policy)
    standing = find(policy, vault, plan_id)
    plan_id = standing.plan.plan_id
    if standing.state not in {"running", "paused"}:
        hint = "`drkeeper restore --resume` goes on with it, `drkeeper restore --give-up` removes what it left"
        raise Refused(
            f"restore {plan_id} is {standing.state}: nobody carries it out; nothing was changed",
            hint=hint if standing.state == "unfinished" else "",
        )
    with audit.recorded(vault, policy.name, f"recovery {word}", plan=plan_id, why=why):
        vault = vault_of(policy, standing.plan)  # who carries it out listens nowhere else
        return controls.give(vault, plan_id, word, by=audit.actor(), why=why), standing


def step_states(journal: Journal) -> dict[str, tuple[StepState, StepRecord | None, str]]:
    """Of each step of the plan: where it stands, what it took if it is done, and why it failed if it did."""
    found: dict[str, tuple[StepState, StepRecord | None, str]] = {
        step.step_id: ("waiting", None, "") for step in journal.plan.steps
    }
    for entry in journal.entries:
        if entry.step_id in found and entry.event in {"started", "done", "failed"}:
            found[entry.step_id] = (_state_of(entry.event), entry.record, entry.error)
    return found


def _state_of(event: str) -> StepState:
    return "started" if event == "started" else "done" if event == "done" else "failed"


def _standing(journal: Journal, holder: str) -> Standing:
    events = [entry.event for entry in journal.entries]
    if events[-1] == "finished":
        return Standing(journal, "finished")
    if events[-1] == "abandoned":
        return Standing(journal, "given up")
    if not holder:
        return Standing(journal, "unfinished")
    turns = [event for event in events if event in {"paused", "continued", "resumed"}]
    return Standing(journal, "paused" if turns and turns[-1] == "paused" else "running", holder)
