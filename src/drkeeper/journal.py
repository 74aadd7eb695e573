"""What a restore has done so far, in small records each written once, so that it can go on after a crash.

`journals/<plan id>/<number>.json`: the plan first, then one record as a step starts and one as it ends. Times are
those of a wall clock, which may jump; `since_seconds` is by a clock that does not, from when this process began.
"""

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, SerializerFunctionWrapHandler, model_serializer

from drkeeper import clock, runs
from drkeeper.errors import FrameMissing, LeaseLost, PointUnknown, RecordCorrupt
from drkeeper.log import get_logger
from drkeeper.recovery_point import Record
from drkeeper.report.record import Phase, StepRecord, without_defaults
from drkeeper.steps import RestorePlan
from drkeeper.vault.layout import JOURNALS
from drkeeper.vault.vault import Vault

Event = Literal["planned", "started", "done", "failed", "paused", "continued", "resumed", "finished", "abandoned"]


ENDINGS: frozenset[Event] = frozenset({"failed", "finished", "abandoned"})
"""After these it is written down, in one piece, what the steps took that were done."""


class Before(Record):
    """What had happened when a restore began, as far as anybody said so.

    Attributes:
        lost_at: The disaster.
        detected_at: When somebody knew of it.
        asked_at: When a plan was asked for: nothing of drkeeper's is older.
        people_seconds: How long somebody was waited for: an answer, an approval.
        approved_by: Who approved it.
        approvals: Digests of what they signed: each is of use once.
        begun_at: Where an earlier try with a point that was corrupt came first: when that began.
        spent_seconds: What earlier tries took.
    """

    lost_at: AwareDatetime | None = None
    detected_at: AwareDatetime | None = None
    asked_at: AwareDatetime | None = None
    people_seconds: float = 0.0
    approved_by: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    begun_at: AwareDatetime | None = None
    spent_seconds: float = 0.0


class Entry(Record):
    """One line of the journal.

    Attributes:
        since_seconds: Since this process began, or took up, the restore; None where it was none that carries out steps.
        by: With "paused", "continued", "abandoned": who wanted it; `error` says why.
        plan: With "planned".
        before: With "planned".
        step_id: With "started", "done", "failed".
        record: With "done": what the step took.
        phases: With "finished".
    """

    at: AwareDatetime
    event: Event
    since_seconds: float | None = None
    step_id: str = ""
    error: str = ""
    by: str = ""
    plan: RestorePlan | None = None
    before: Before | None = None
    record: StepRecord | None = None
    phases: tuple[Phase, ...] = ()

    @model_serializer(mode="wrap")
    def _as_it_was(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what older entries do not have."""
        return without_defaults(handler(self), {"since_seconds": None, "by": "", "before": None, "phases": []})


class Journal:
    """One restore's journal, in the first region of the vault that answers.

    Written by one process at a time, under the lease `restore`; a number that is taken already means that
    somebody else writes it too.
    """

    def __init__(self, vault: Vault, plan: RestorePlan, entries: list[Entry]) -> None:
        self._vault = vault
        self.plan = plan
        self.entries = entries
        self._began_at: float | None = None
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, vault: Vault, plan: RestorePlan, before: Before | None = None) -> "Journal":
        """Start the journal of a plan."""
        journal = cls(vault, plan, [])
        journal._began_at = clock.monotonic_seconds()
        journal._append(Entry(at=clock.now(), event="planned", since_seconds=0.0, plan=plan, before=before))
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
    def before(self) -> Before:
        """What had happened when it began."""
        return self.entries[0].before or Before()

    @property
    def begun_at(self) -> datetime:
        """When the restore was planned."""
        return self.entries[0].at

    def resume(self) -> None:
        """Say that this process goes on with it."""
        self._began_at = clock.monotonic_seconds()
        self.note("resumed")

    def note(
        self, event: Event, step_id: str = "", *, record: StepRecord | None = None, error: str = "", by: str = ""
    ) -> None:
        """Add an entry."""
        self._append(
            self._entry(event).model_copy(update={"step_id": step_id, "record": record, "error": error, "by": by})
        )

    def finish(self, phases: tuple[Phase, ...]) -> None:
        """Say that every step is done, and what the whole took."""
        self._append(self._entry("finished").model_copy(update={"phases": phases}))

    def _entry(self, event: Event) -> Entry:
        since = None if self._began_at is None else round(clock.monotonic_seconds() - self._began_at, 3)
        return Entry(at=clock.now(), event=event, since_seconds=since)

    def _append(self, entry: Entry) -> None:
        with self._lock:
            key = f"{JOURNALS}{self.plan.plan_id}/{len(self.entries):06d}.json"
            if not self._vault.create_record(key, entry):
                raise LeaseLost(f"restore {self.plan.plan_id} is being carried out by somebody else too; stopped")
            self.entries.append(entry)
        if entry.event in ENDINGS and self.done:
            done = runs.Runs(
                plan_id=self.plan.plan_id,
                policy=self.plan.policy,
                began_at=self.begun_at,
                steps=tuple(self.done.values()),
            )
            runs.keep(self._vault, done, entries=len(self.entries))


def read_journals(vault: Vault) -> Iterator[Journal]:
    """All journals, oldest first. One that cannot be read stands in nobody's way; `Journal.read` says what it has."""
    journals = []
    for plan_id in {key.split("/")[1] for key in vault.record_keys(JOURNALS)}:
        try:
            journals.append(Journal.read(vault, plan_id))
        except (PointUnknown, FrameMissing, RecordCorrupt) as error:
            get_logger().error("journal of a restore cannot be read", restore=plan_id, error=str(error))
    yield from sorted(journals, key=lambda journal: journal.begun_at)
