"""Which controls of which standards ask for what, where in a report its evidence stands, and whether it is there.

Pure. What each control asks is said in our own few words; whether the evidence satisfies it is the auditor's to say,
and a report never claims what was not done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drkeeper.objectives import judge_drill, outcome_of
from drkeeper.report.bare import bare_systems
from drkeeper.report.blocks import Tone
from drkeeper.report.quarter_record import QuarterRecord
from drkeeper.report.record import DrillRecord

Shown = Literal["here", "in part", "not here"]

ASKS: dict[str, tuple[str, str]] = {
    "SOC 2 A1.2": ("SOC 2 A1.2", "data are backed up, and what recovery needs is kept ready and watched"),
    "SOC 2 A1.3": ("SOC 2 A1.3", "recovery procedures are tested"),
    "ISO 22301 8.5": ("ISO 22301:2019 8.5", "exercises at planned intervals, with scenarios, aims and reports"),
    "ISO 27001 A.8.13": ("ISO/IEC 27001:2022 A.8.13", "backups are kept, and tested regularly"),
    "NIST CP-4": ("NIST SP 800-53 CP-4", "the contingency plan is tested, results are reviewed and acted on"),
    "NIST CP-9": ("NIST SP 800-53 CP-9", "backups as often as the objectives need, kept whole and confidential"),
    "NIST CP-10": ("NIST SP 800-53 CP-10", "systems are recovered to a known state within the objectives"),
    "DORA Art. 25": (
        "DORA RTS (EU) 2024/1774 Art. 25",
        "continuity plans are tested, with switch-over; deficiencies are analysed, addressed and reported",
    ),
}
SHOWN: dict[str, Tone] = {"here": "good", "in part": "warn", "not here": "bad"}
ROLES = (
    ("Prepared by", "ran the drills and made this report"),
    ("Reviewed by", "compared it with the drill records"),
    ("Acknowledged by", "answers for the platform"),
)
CAUTION = "This table says where evidence stands. Whether it satisfies a control is for the auditor to say."


@dataclass(frozen=True)
class Mapped:
    """One control and its evidence.

    Attributes:
        where: Parts of the report, by number.
        why: What is there, and what is lacking.
    """

    control: str
    asks: str
    shown: Shown
    where: tuple[int, ...]
    why: str


def controls_of_drill(record: DrillRecord) -> tuple[Mapped, ...]:
    """What one drill is evidence of."""
    outcome = outcome_of(record)
    restored = record.rto_seconds is not None
    judged = judge_drill(record)
    tested: Shown = "here" if restored else "in part"
    told = "a restore was carried out and measured" if restored else "a restore was tried and did not end"
    kept = judged.rto.verdict == "met" and judged.rpo.verdict == "met"
    switched = any(step.verb in {"fail over", "relocate"} and step.outcome == "done" for step in record.steps)
    verified = any(check.verdict == "passed" for check in record.checks)
    return (
        _mapped(
            "SOC 2 A1.2", "in part", (3, 8), "one recovery point, with its copies; a quarter's report has the rest"
        ),
        _mapped("SOC 2 A1.3", tested, (4, 5, 6), told),
        _mapped("ISO 22301 8.5", tested, (2, 4, 7), f"a {record.exercise} with scenario, aims and outcome: {outcome}"),
        _mapped(
            "ISO 27001 A.8.13",
            "here" if verified else "not here",
            (3, 6),
            "restored data were compared with the backup" if verified else "no restored data were compared",
        ),
        _mapped("NIST CP-4", tested, (4, 6, 7, 11), f"{told}; the review is the signature in part 11"),
        _mapped("NIST CP-9", "in part", (3,), "one recovery point; a quarter's report has the rest"),
        _mapped(
            "NIST CP-10",
            "here" if restored and kept else "in part" if restored else "not here",
            (4, 6),
            "recovered within the objectives, in a sandbox" if restored and kept else f"{told}; see part 4",
        ),
        _mapped(
            "DORA Art. 25",
            "here" if restored and switched else "in part",
            (2, 4, 7, 11),
            "with a switch-over" if switched else "a restore; no switch-over was part of it",
        ),
    )


def controls_of_quarter(record: QuarterRecord) -> tuple[Mapped, ...]:
    """What a quarter is evidence of."""
    drills, good = len(record.drills), sum(line.outcome == "recovered" for line in record.drills)
    standing = [each for each in record.scenarios if each.state == "well"]
    return (
        _backups("SOC 2 A1.2", record, (3, 4, 12)),
        _tested("SOC 2 A1.3", drills, good, (4, 5, 6), f"{good} of {drills} drills recovered within objectives"),
        _tested(
            "ISO 22301 8.5",
            drills,
            drills if len(standing) == len(record.scenarios) else 0,
            (2, 4, 7),
            f"{len(standing)} of {len(record.scenarios)} scenarios are rehearsed and in good standing",
        ),
        _proven(record),
        _tested(
            "NIST CP-4",
            drills,
            good,
            (4, 6, 7, 11),
            f"{drills} tests, findings in part 7; the review is signed in part 11",
        ),
        _backups("NIST CP-9", record, (3, 4)),
        _tested("NIST CP-10", drills, good, (4, 9), f"{good} of {drills} drills recovered within objectives"),
        _switch_over(record),
    )


def parts_words(numbers: tuple[int, ...]) -> str:
    """`parts 3, 4 and 12`."""
    if len(numbers) == 1:
        return f"part {numbers[0]}"
    return f"parts {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _mapped(name: str, shown: Shown, where: tuple[int, ...], why: str) -> Mapped:
    control, asks = ASKS[name]
    return Mapped(control, asks, shown, where, why)


def _tested(name: str, drills: int, good: int, where: tuple[int, ...], why: str) -> Mapped:
    if not drills:
        return _mapped(name, "not here", where, "no drill was held in this quarter")
    return _mapped(name, "here" if good == drills else "in part", where, why)


def _backups(name: str, record: QuarterRecord, where: tuple[int, ...]) -> Mapped:
    rate = record.backups.rate
    if rate is None:
        return _mapped(name, "not here", where, "no backup is known of")
    lacks = _lacks(record, rate, confidential=name == "NIST CP-9")
    told = f"{record.backups.made} of {record.backups.due or record.backups.tried} backups were made"
    return _mapped(name, "in part" if lacks else "here", where, "; ".join([told, *lacks]))


def _lacks(record: QuarterRecord, rate: float, *, confidential: bool) -> Sequence[str]:
    lacks = []
    if rate < record.backups.rate_objective:
        lacks.append(f"below the objective of {record.backups.rate_objective:.0%}".replace("%", " %"))
    if confidential and not record.encrypted:
        lacks.append("they are not encrypted by drkeeper")
    if confidential and any(system.over_seconds > 0 for system in record.systems):
        lacks.append("exposure was above the RPO for a time")
    if bare_systems(record):
        lacks.append("a system was in no recovery point for a time")
    if confidential and record.objectives.rpo_seconds is None:
        lacks.append("no RPO is set")
    return lacks


def _proven(record: QuarterRecord) -> Mapped:
    name, where = "ISO 27001 A.8.13", (3, 6)
    passed = {line.level: line.passed for line in record.proofs}
    failed = sum(line.failed for line in record.proofs)
    if not record.points.kept:
        return _mapped(name, "not here", where, "no recovery point is kept")
    if not any(passed.values()):
        return _mapped(name, "not here", where, "no recovery point was verified in this quarter")
    restored = passed.get("restorable", 0) + passed.get("usable", 0)
    told = f"{sum(passed.values())} verifications passed, {restored} of them by a restore"
    told += f"; {failed} failed" if failed else ""
    return _mapped(name, "here" if restored and not failed else "in part", where, told)


def _switch_over(record: QuarterRecord) -> Mapped:
    name, where = "DORA Art. 25", (2, 4, 7, 11)
    if not record.drills:
        return _mapped(name, "not here", where, "no drill was held in this quarter")
    switched = any(line.scenario == "region-lost" and line.outcome == "recovered" for line in record.drills)
    unowned = sum(each.state == "open" and not each.owner for each in record.findings)
    lacks = [] if switched else ["no loss of a region was rehearsed with success"]
    lacks += [f"{unowned} open findings have no owner"] if unowned else []
    told = ["the loss of a region was rehearsed with success"] if switched else []
    return _mapped(name, "in part" if lacks else "here", where, "; ".join([*told, *lacks]))
