"""Drills and game days, from the policy to the record that is kept, and what it proves."""

import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from drkeeper import audit, catalog, drilling, evidence, findings, runs
from drkeeper import game_day as game_days
from drkeeper.errors import FrameMissing, RecordCorrupt, UsageInvalid
from drkeeper.log import get_logger
from drkeeper.objectives import exit_code_of
from drkeeper.policy import Policy
from drkeeper.progress import Progress
from drkeeper.report.record import DrillRecord
from drkeeper.vault.layout import DRILLS, point_id_of, time_text
from drkeeper.vault.vault import Vault
from drkeeper.wiring import finding_terms, open_vault

RECORDS = 200
"""So many drills back a scenario that failed is still known to have failed."""


def drill(
    policy: Policy,
    point_id: str = catalog.LATEST,
    *,
    scenario: str = "",
    before: datetime | None = None,
    surprise: bool = False,
    seed: int | None = None,
    trigger: Literal["manual", "schedule"] | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> DrillRecord:
    """Restore a point into a sandbox, measure, and keep the record, and what it proves, in the vault.

    Args:
        policy: Whose systems.
        point_id: Of the point.
        scenario: What is taken to be lost; "": all that the point holds.
        before: Take the newest point before this moment.
        surprise: Draw the point and, where none is named, the scenario.
        seed: Draw them by this one.
        trigger: Who began it; None: as `audit.trigger` says.
        progress: Told of every block.
        stop: Set from elsewhere to end it.
    """
    evidence.insist_key(policy.evidence.key)
    vault = open_vault(policy)
    asked = drilling.Asked(point_id, scenario, before, surprise=surprise, seed=seed, trigger=trigger or audit.trigger())
    return _drill(policy, vault, asked, progress=progress, stop=stop)


def drill_due(
    policy: Policy,
    *,
    trigger: Literal["manual", "schedule"] | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Iterator[DrillRecord]:
    """Drill every scenario that is due, as the policy's section `drills` says, one after the other."""
    evidence.insist_key(policy.evidence.key)
    vault = open_vault(policy)
    for asked in drilling.due(policy, drills(vault), drilling.Asked(trigger=trigger or audit.trigger())):
        yield _drill(policy, vault, asked, progress=progress, stop=stop)


def _drill(
    policy: Policy,
    vault: Vault,
    asked: drilling.Asked,
    *,
    progress: Progress | None,
    stop: threading.Event | None,
) -> DrillRecord:
    asked = drilling.draw_scenario(policy, asked)
    with audit.recorded(vault, policy.name, "drill", trigger=asked.trigger, scenario=asked.scenario) as ending:
        setting = drilling.settle(policy, vault, asked, runs.history(vault))
        record = keep_drill(policy, vault, setting, drilling.rehearse(setting, progress=progress, stop=stop))
        ending.detail.update({"drill": record.drill_id, "point": record.point.point_id})
        ending.exit_code = exit_code_of(record)
    return record


def game_day(
    policy: Policy,
    policy_folder: Path,
    host: game_days.Host,
    *,
    scenario: str,
    point_id: str = catalog.LATEST,
    before: datetime | None = None,
    participants: tuple[str, ...] = (),
) -> DrillRecord:
    """Have people recover from a scenario by hand, on empty servers, with a clock; keep the record.

    Args:
        policy: Whose systems.
        policy_folder: Where the policy lies.
        host: Who talks with the people.
        scenario: What is taken to be lost.
        point_id: What is checked against, where people restore without drkeeper.
        before: The same, by a moment.
        participants: Their names.
    """
    evidence.insist_key(policy.evidence.key)
    evidence.insist_key(policy.evidence.key)
    vault = open_vault(policy)
    with audit.recorded(vault, policy.name, "drill game-day", scenario=scenario) as ending:
        asked = drilling.Asked(point_id, scenario, before)
        asked.insist_sound()
        setting = drilling.settle(policy, vault, asked, runs.history(vault)).as_game_day(participants)
        record = keep_drill(policy, vault, setting, game_days.play(policy, policy_folder, setting.request, host))
        ending.detail.update({"drill": record.drill_id, "point": record.point.point_id})
        ending.exit_code = exit_code_of(record)
    return record


def keep_drill(policy: Policy, vault: Vault, setting: drilling.Setting, record: DrillRecord) -> DrillRecord:
    """Keep the record of a drill or game day, and what it proves; the record as it was kept."""
    kept = drilling.with_history(record, policy, drills(vault))
    kept = findings.with_findings(vault, kept, finding_terms(policy))
    kept = kept.model_copy(update={"audit_head": audit.head(vault)})
    vault.create_record(f"{DRILLS}{time_text(kept.started_at)}-{kept.drill_id}.json", kept)
    drilling.keep_proofs(vault, setting, kept)
    findings.note_drill(vault, kept, finding_terms(policy))
    evidence.keep(vault, kept, policy.evidence.key)
    return kept


def drills(vault: Vault, *, newest: int = RECORDS) -> list[DrillRecord]:
    """The newest drill records, oldest first. One that cannot be read keeps no other from being read, or made."""
    return list(_readable(vault, vault.record_keys(DRILLS)[-newest:]))


def _readable(vault: Vault, keys: Iterable[str]) -> Iterator[DrillRecord]:
    for key in keys:
        try:
            yield vault.read_record(key, DrillRecord)
        except (FrameMissing, RecordCorrupt) as error:
            get_logger().error("drill record cannot be read", key=key, error=str(error))


def find_drill(vault: Vault, wanted: str) -> DrillRecord:
    """The drill of an id, of an unambiguous beginning of one, or `latest`.

    Raises:
        UsageInvalid: None, or more than one, answers to it.
    """
    keys = vault.record_keys(DRILLS)
    matching = keys[-1:] if wanted == catalog.LATEST else [key for key in keys if point_id_of(key).startswith(wanted)]
    if len(matching) != 1:
        raise UsageInvalid(
            f"{len(matching) or 'no'} drills answer to {wanted}", hint="list them with `drkeeper drill list --all`"
        )
    return vault.read_record(matching[0], DrillRecord)
