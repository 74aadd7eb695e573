"""What the steps of earlier recoveries took: the history from which forecasts learn.

A drill's steps are in its record. A restore's are spread over its journal, entry by entry, so they are written down
once more as it ends, well or not: `runs/<when it began>-<plan id>-<entries of its journal>.json`. A plan reads a few
small records, however large the platform is. What cannot be read is left out: no history stops a restore.
"""

from typing import Literal

from pydantic import AwareDatetime, BaseModel

from drkeeper.errors import DrkeeperError, FrameMissing, RecordCorrupt
from drkeeper.forecast import History, Run, runs_of
from drkeeper.log import get_logger
from drkeeper.recovery_point import Record
from drkeeper.report.record import StepRecord
from drkeeper.vault.layout import DRILLS, RUNS, time_text
from drkeeper.vault.vault import Vault

MOST_RECORDS = 50
LEAST_RECORDS = 5
# Beyond these, older records teach little: a platform of many systems gives so many in a few drills.
ENOUGH_RUNS = 2000


class Runs(Record):
    """The steps of one restore that were done."""

    format: Literal[1] = 1
    plan_id: str
    policy: str
    began_at: AwareDatetime
    steps: tuple[StepRecord, ...]


class _Steps(BaseModel):
    """Of any record, its steps: a drill's has a thousand checks besides."""

    steps: tuple[StepRecord, ...]


def keep(vault: Vault, runs: Runs, *, entries: int) -> None:
    """Write down what a restore's steps took; a vault that does not take it stops nothing.

    Args:
        vault: Where.
        runs: The steps that were done.
        entries: Of the restore's journal so far; of several records of one restore the one with most counts.
    """
    try:
        vault.create_record(f"{RUNS}{time_text(runs.began_at)}-{runs.plan_id}-{entries:06d}.json", runs)
    except DrkeeperError as error:
        get_logger().warning("forecasts will not learn from this restore", restore=runs.plan_id, error=str(error))


def history(vault: Vault) -> History:
    """What was done in the newest drills and restores, oldest first."""
    found: list[list[Run]] = []
    for key in reversed(_keys(vault)[-MOST_RECORDS:]):
        try:
            found.append(runs_of(vault.read_record(key, _Steps).steps))
        except (FrameMissing, RecordCorrupt) as error:
            get_logger().warning("forecasts do not learn from a record that cannot be read", key=key, error=str(error))
        if len(found) >= LEAST_RECORDS and sum(map(len, found)) >= ENOUGH_RUNS:
            break
    return History(run for runs in reversed(found) for run in runs)


def _keys(vault: Vault) -> list[str]:
    """Of drills, and of each restore's last record; oldest first."""
    last = {key.rpartition("-")[0]: key for key in vault.record_keys(RUNS)}
    return sorted([*vault.record_keys(DRILLS), *last.values()], key=lambda key: key.rpartition("/")[2])
