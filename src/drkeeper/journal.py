"""What a restore has done so far, in small records each written once, so that it can go on after a crash.

`journals/<plan id>/<number>.json`: the plan first, then one record as a step starts and one as it ends.
"""

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime

from drkeeper import clock
from drkeeper.errors import LeaseLost, PointUnknown
from drkeeper.recovery_point import Record
from drkeeper.report.record import StepRecord
from drkeeper.steps import RestorePlan
from drkeeper.vault.vault import Vault

JOURNALS = "journals/"
Event = Literal["planned", "started", "done", "failed", "finished", "abandoned"]


class Entry(Record):
    """One line of the journal.

    Attributes:
        plan: With "planned".
        step_id: With "started", "done", "failed".
        record: With "done": what the step took.
    """

    at: AwareDatetime
    event: Event
    step_id: str = ""
    error: str = ""
    plan: RestorePlan | None = None
    record: StepRecord | None = None


class Journal:
    """One restore's journal, in the first region of the vault that answers.

    Written by one process at a time, under the lease `restore`; a number that is taken already means that
    somebody else writes it too.
    """

    def __init__(self, vault: Vault, plan: RestorePlan, entries: list[Entry]) -> None:
        self._vault = vault
        self.plan = plan
        self.entries = entries
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, vault: Vault, plan: RestorePlan) -> "Journal":
        """Start the journal of a plan."""
        journal = cls(vault, plan, [])
        journal._append(Entry(at=clock.now(), event="planned", plan=plan))
        return journal

    @classmethod
    def read(cls, vault: Vault, plan_id: str) -> "Journal":
        """Read a journal back.

        Raises:
            PointUnknown: There is none of that id.
            RecordCorrupt: An entry is damaged.
        """
        entries = [vault.read_record(key, Entry) for key in vault.record_keys(f"{JOURNALS}{plan_id}/")]
        if not entries or entries[0].plan is None:
            raise PointUnknown(f"no restore journal {plan_id}", hint="`drkeeper restore --resume` takes the newest")
        return cls(vault, entries[0].plan, entries)

    @property
    def done(self) -> dict[str, StepRecord]:
        """The records of the steps that ended well, by step id."""
        return {entry.step_id: entry.record for entry in self.entries if entry.event == "done" and entry.record}

    @property
    def started(self) -> frozenset[str]:
        """Ids of the steps that began, whatever became of them."""
        return frozenset(entry.step_id for entry in self.entries if entry.event == "started")

    @property
    def over(self) -> bool:
        """Whether nothing is left to resume."""
        return self.entries[-1].event in ("finished", "abandoned")

    @property
    def begun_at(self) -> datetime:
        """When the restore was planned."""
        return self.entries[0].at

    def note(self, event: Event, step_id: str = "", *, record: StepRecord | None = None, error: str = "") -> None:
        """Add an entry."""
        self._append(Entry(at=clock.now(), event=event, step_id=step_id, record=record, error=error))

    def _append(self, entry: Entry) -> None:
        with self._lock:
            key = f"{JOURNALS}{self.plan.plan_id}/{len(self.entries):06d}.json"
            if not self._vault.create_record(key, entry):
                raise LeaseLost(f"restore {self.plan.plan_id} is being carried out by somebody else too; stopped")
            self.entries.append(entry)


def read_journals(vault: Vault) -> Iterator[Journal]:
    """All journals, oldest first."""
    ids = {key.split("/")[1] for key in vault.record_keys(JOURNALS)}
    journals = [Journal.read(vault, plan_id) for plan_id in ids]
    yield from sorted(journals, key=lambda journal: journal.begun_at)
