"""What a quarterly report says, worked out once for every form of it: a verdict, four figures and twelve parts."""

import hashlib
import json

from drkeeper.objectives import judge
from drkeeper.report import words
from drkeeper.report._quarter import assurance, opening, protection, recovery
from drkeeper.report.bare import bare_systems
from drkeeper.report.blocks import Cell, Document, Figure, Figures, Plot, Tone
from drkeeper.report.quarter_record import QuarterRecord

VERIFY_COMMAND = (
    'python3 -c "import hashlib, json, sys; print(hashlib.sha256(json.dumps(json.load(sys.stdin), sort_keys=True, '
    "separators=(',', ':')).encode()).hexdigest())\" < {file}"
)
_SAID = 4


def quarter_bytes(record: QuarterRecord) -> bytes:
    """The one byte form of the record: JSON, sorted keys, no blanks, ASCII."""
    return json.dumps(record.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()


def quarter_digest(record: QuarterRecord) -> str:
    """SHA-256 of these bytes, in hexadecimal."""
    return hashlib.sha256(quarter_bytes(record)).hexdigest()


def file_stem(record: QuarterRecord) -> str:
    """What files of the report are called, before the dot."""
    return f"quarter-{record.policy}-{record.quarter}"


def build_document(record: QuarterRecord) -> Document:
    """Everything that a report says."""
    parts = (
        opening.header(record),
        opening.scope(record),
        protection.recovery_points(record),
        recovery.objectives(record),
        recovery.timeline(record),
        assurance.verification(record),
        assurance.findings(record),
        recovery.clean_up(record),
        recovery.trend(record),
        assurance.control_map(record),
        assurance.approval(),
        assurance.integrity(record, quarter_digest(record), VERIFY_COMMAND.format(file=f"{file_stem(record)}.json")),
    )
    missed, lacking = shortcomings(record), gaps(record)
    tone: Tone = "bad" if missed else "warn" if lacking else "good"
    verdict = {
        "bad": "Not every objective was met",
        "warn": "Not everything was shown",
        "good": "Every objective was met",
    }
    return Document(
        kind="Quarterly recovery report",
        title=f"{record.quarter[:4]} Q{record.quarter[5]}",
        subtitle=record.policy,
        tone=tone,
        verdict=verdict[tone] + ("" if record.over else ", so far"),
        summary=_summary(missed or lacking, len(lacking) if missed else 0),
        figures=_figures(record),
        parts=parts,
        plots=tuple(block for part in parts for block in part.blocks if isinstance(block, Plot)),
    )


def shortcomings(record: QuarterRecord) -> list[str]:
    """What was promised and not kept, the gravest first."""
    told = []
    if record.audit.verdict == "failed":
        told.append(f"The audit log does not hold together: {record.audit.detail}.")
    backups = record.backups
    if backups.rate is not None and backups.rate < backups.rate_objective:
        told.append(f"Only {protection.percent(backups.rate)} of the backups were made.")
    over = [system.name for system in record.systems if system.over_seconds > 0]
    if over:
        told.append(f"Exposure was above the RPO for a time ({', '.join(over)}).")
    red = [each.name for each in record.scenarios if each.state in {"red", "re-test overdue"}]
    if red:
        told.append(f"Failed and not repeated with success: {', '.join(red)}.")
    proofs = sum(line.failed for line in record.proofs)
    if proofs:
        told.append(f"{words.count(proofs, 'verification')} of recovery points failed.")
    overdue = sum(each.overdue(record.until) for each in record.findings)
    if overdue:
        told.append(f"{words.count(overdue, 'finding is', 'findings are')} overdue.")
    return told


def gaps(record: QuarterRecord) -> list[str]:
    """What nobody can say, because it was not done or not recorded."""
    told = []
    if record.backups.rate is None:
        told.append("No backup is known of.")
    bare = bare_systems(record)
    if bare:
        told.append(f"In no recovery point for a time: {', '.join(bare)}.")
    if not record.drills:
        told.append("No drill was held.")
    waiting = [each.name for each in record.scenarios if each.state in {"never rehearsed", "due"}]
    if waiting:
        told.append(f"Due for a drill: {', '.join(waiting)}.")
    if not record.newest_level:
        told.append("Nothing is proven of the newest recovery point.")
    if record.audit.verdict == "not checked":
        told.append("The audit log was not checked.")
    return told


def _summary(told: list[str], also: int) -> str:
    rest = [f"And {len(told) - _SAID} more."] if len(told) > _SAID else []
    more = [f"{words.count(also, 'thing')} could not be shown: see parts 2 and 10."] if also else []
    return " ".join([*told[:_SAID], *rest, *more]) or "Backups, exposure, drills and findings are as promised."


def _figures(record: QuarterRecord) -> Figures:
    return Figures((_backups(record), _exposure(record), _rto(record), _standing(record)))


def _backups(record: QuarterRecord) -> Figure:
    backups = record.backups
    good = backups.rate is not None and backups.rate >= backups.rate_objective
    verdict = (
        Cell("not known", "soft") if backups.rate is None else Cell(*(("met", "good") if good else ("missed", "bad")))
    )
    return Figure(
        "Backups made",
        "unknown" if backups.rate is None else protection.percent(backups.rate),
        verdict,
        f"objective {protection.percent(backups.rate_objective)}",
        f"{backups.made} of {backups.due if backups.schedule else backups.tried}",
    )


def _exposure(record: QuarterRecord) -> Figure:
    known = [(system.worst_seconds, system.name) for system in record.systems if system.worst_seconds is not None]
    worst, name = max(known) if len(known) == len(record.systems) and known else (None, "a system has no point")
    bare = bare_systems(record)
    if worst is not None and bare and worst <= (record.objectives.rpo_seconds or worst):
        worst, name = None, f"in no point for a time: {', '.join(bare)}"
    return _judged("Worst exposure", worst, record.objectives.rpo_seconds, "RPO", name)


def _rto(record: QuarterRecord) -> Figure:
    """The worst of those that hold, as one that was repeated well is answered; without any, none was measured."""
    counted = [line for line in record.drills if not line.answered_by]
    figures = [line.rto_seconds for line in counted]
    known = [figure for figure in figures if figure is not None]
    worst = max(known) if known and len(known) == len(figures) else None
    note = f"of {words.count(len(counted), 'drill')}" if counted else "no drill was held"
    return _judged("Worst RTO", worst, record.objectives.rto_seconds, "RTO", note)


def _standing(record: QuarterRecord) -> Figure:
    well = sum(each.state == "well" for each in record.scenarios)
    red = sum(each.state in {"red", "re-test overdue"} for each in record.scenarios)
    whole = well == len(record.scenarios) and well > 0
    verdict = Cell("all", "good") if whole else Cell(f"{red} failed", "bad") if red else Cell("not all", "warn")
    return Figure("Scenarios rehearsed", f"{well} of {len(record.scenarios)}", verdict, "in good standing")


def _judged(label: str, seconds: float | None, target: float | None, name: str, note: str) -> Figure:
    verdict = judge(seconds, target).verdict
    against = f"no {name} is promised" if target is None else f"{name} {words.duration(target)}"
    return Figure(label, words.duration(seconds), Cell(verdict, recovery.TONES[verdict]), against, note)
