"""Parts 1 and 2: what the report is about, and what it covers."""

from drkeeper.report import words
from drkeeper.report.blocks import Block, Cell, Facts, Head, Part, Points, Prose, Table, Tone
from drkeeper.report.quarter_record import QuarterRecord, ScenarioQuarter

STATES: dict[str, tuple[Tone, str]] = {
    "well": ("good", "in good standing"),
    "due": ("warn", "due again"),
    "red": ("bad", "failed, to be repeated"),
    "re-test overdue": ("bad", "failed, re-test overdue"),
    "never rehearsed": ("warn", "never rehearsed"),
}


def header(record: QuarterRecord) -> Part:
    """Who and when."""
    names = [line for drill in record.drills for line in (*drill.participants, *drill.observers)]
    people = ", ".join(dict.fromkeys(names))
    return Part(
        1,
        "Header",
        (
            Facts(
                (
                    ("Policy", Cell(record.policy)),
                    ("Period", Cell(f"{record.began_at:%Y-%m-%d} to {_last_day(record)}", note=_so_far(record))),
                    ("Made", Cell(f"{words.moment(record.made_at)}, drkeeper {record.drkeeper_version}")),
                    ("Answers for drills", Cell(record.lead or "nobody is named in the policy")),
                    ("Took part in drills", Cell(people or "nobody is named in the drill records")),
                    ("Regions of the vault", Cell(", ".join(record.regions))),
                    (
                        "Objectives",
                        Cell(objectives_words(record.objectives.rto_seconds, record.objectives.rpo_seconds)),
                    ),
                )
            ),
        ),
    )


def scope(record: QuarterRecord) -> Part:
    """What is protected, what may happen to it, and what this report cannot say."""
    systems = ", ".join(f"{system.name} ({system.kind})" for system in record.systems)
    blocks: list[Block] = [Prose(f"{words.count(len(record.systems), 'system')}: {systems}.")]
    if record.scenarios:
        blocks.append(
            Table(
                (
                    Head("Scenario", wide=2),
                    Head("Rehearsed this quarter", number=True),
                    Head("Last", whole=True, wide=1.2),
                    Head("Standing", whole=True, wide=1.5),
                ),
                tuple(_scenario(each) for each in record.scenarios),
                "Scenarios in scope",
            )
        )
    left_out = dict.fromkeys(text for drill in record.drills for text in drill.not_tested)
    if left_out:
        blocks += [Prose("What the drills did not test:"), Points(tuple(Cell(text) for text in left_out))]
    if record.unknown:
        blocks += [Prose("What this report cannot say:"), Points(tuple(Cell(text, "soft") for text in record.unknown))]
    return Part(2, "Scope and scenarios", tuple(blocks))


def objectives_words(rto_seconds: float | None, rpo_seconds: float | None) -> str:
    """Both promises, or that there is none."""
    told = [
        f"{name} {words.duration(seconds)}"
        for name, seconds in (("RTO", rto_seconds), ("RPO", rpo_seconds))
        if seconds is not None
    ]
    return ", ".join(told) or "none is promised"


def _scenario(each: ScenarioQuarter) -> tuple[Cell, ...]:
    tone, standing = STATES.get(each.state, ("", each.state))
    by = each.retest_by if each.state in {"red", "re-test overdue"} else each.next_due_at
    verb = "repeat by" if each.state in {"red", "re-test overdue"} else "next by"
    return (
        Cell(each.name, note=each.title),
        Cell(str(each.drills)),
        Cell(f"{each.last_at:%Y-%m-%d}" if each.last_at else "never", note=each.outcome),
        Cell(standing, tone, note=f"{verb} {by:%Y-%m-%d}" if by else ""),
    )


def _last_day(record: QuarterRecord) -> str:
    from datetime import timedelta

    return f"{record.ends_at - timedelta(days=1):%Y-%m-%d}"


def _so_far(record: QuarterRecord) -> str:
    return "" if record.over else f"the quarter is not over: what is known until {words.moment(record.until)}"
