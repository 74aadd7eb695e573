"""What a restore has done so far, in small records each written once, so that it can go on after a crash.

`journals/<plan id>/<number>.json`: the plan first, then one record as a step starts and one as it ends.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from drkeeper import clock
from drkeeper.errors import LeaseLost, PointUnknown, RecordCorrupt
from drkeeper.plan import RestorePlan
from drkeeper.recovery_point import Record
from drkeeper.report.record import StepRecord
from drkeeper.vault.store import Store

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
    """One restore's journal in one region of the vault.

    Written by one process at a time, under the lease `restore`; a number that is taken already means that
    somebody else writes it too.
    """

    def __init__(self, store: Store, plan: RestorePlan, entries: list[Entry]) -> None:
        self._store = store
        self.plan = plan
        self.entries = entries

    @classmethod
    def begin(cls, store: Store, plan: RestorePlan) -> "Journal":
        """Start the journal of a plan."""
        journal = cls(store, plan, [])
        journal._append(Entry(at=clock.now(), event="planned", plan=plan))
        return journal

    @classmethod
    def read(cls, store: Store, plan_id: str) -> "Journal":
        """Read a journal back.

        Raises:
            PointUnknown: There is none of that id.
            RecordCorrupt: An entry cannot be decoded.
        """
        keys = sorted(entry.key for entry in store.list(f"journals/{plan_id}/"))
        entries = [_decode(key, store.get(key)) for key in keys]
        if not entries or entries[0].plan is None:
            raise PointUnknown(f"no restore journal {plan_id}", hint="`drkeeper restore --resume` takes the newest")
        return cls(store, entries[0].plan, entries)

    @property
    def done(self) -> dict[str, StepRecord]:
        """The records of the steps that ended well, by step id."""
        return {entry.step_id: entry.record for entry in self.entries if entry.event == "done" and entry.record}

    @property
    def over(self) -> bool:
        """Whether nothing is left to resume."""
        return bool(self.entries) and self.entries[-1].event in ("finished", "abandoned")

    @property
    def begun_at(self) -> datetime:
        """When the restore was planned."""
        return self.entries[0].at

    def note(self, event: Event, step_id: str = "", *, record: StepRecord | None = None, error: str = "") -> None:
        """Add an entry."""
        self._append(Entry(at=clock.now(), event=event, step_id=step_id, record=record, error=error))

    def _append(self, entry: Entry) -> None:
        key = f"journals/{self.plan.plan_id}/{len(self.entries):06d}.json"
        if not self._store.create(key, entry.model_dump_json(exclude_defaults=True).encode()):
            raise LeaseLost(f"restore {self.plan.plan_id} is being carried out by somebody else too; stopped")
        self._store.flush()
        self.entries.append(entry)


def read_journals(store: Store) -> Iterator[Journal]:
    """All journals of a region, oldest first."""
    ids = {entry.key.split("/")[1] for entry in store.list("journals/")}
    journals = [Journal.read(store, plan_id) for plan_id in ids]
    yield from sorted(journals, key=lambda journal: journal.begun_at)


def _decode(key: str, data: bytes) -> Entry:
    try:
        return Entry.model_validate_json(data)
    except ValidationError as error:
        raise RecordCorrupt(f"{key} cannot be read as a journal entry") from error
