"""Parts 6, 7, 10, 11 and 12: what was proven, what is open, and why this report can be believed."""

from datetime import datetime

from drkeeper.report import words
from drkeeper.report.blocks import NOTHING, Block, Cell, Command, Facts, Head, Part, Prose, Signing, Table, Tone
from drkeeper.report.controls import CAUTION, ROLES, SHOWN, controls_of_quarter, parts_words
from drkeeper.report.finding import Finding
from drkeeper.report.quarter_record import ProofLine, QuarterRecord

_MEANING = {
    "stored": "every piece is there, by name and size",
    "intact": "every piece was read, and hashes to its name",
    "restorable": "it was restored, and the facts came back equal",
    "usable": "applications worked with what was restored",
}


def verification(record: QuarterRecord) -> Part:
    """Proofs by level, and the drills' statements."""
    heads = (Head("Level", wide=2.4), Head("Passed", number=True), Head("Failed", number=True),
             Head("Not checked", number=True),
             Head("Newest", whole=True, wide=1.4), Head("Sample", number=True))  # fmt: skip
    level = record.newest_level
    told = f"Of the newest point, `{record.points.newest_id}`, the level {level} is proven." if level else (
        "Nothing is proven of the newest point." if record.points.newest_id else "There is no complete point."
    )  # fmt: skip
    passed, failed, unknown, usable, of_usable = (
        sum(getattr(line, name) for line in record.drills)
        for name in ("passed", "failed", "not_checked", "usable_passed", "usable")
    )
    blocks: list[Block] = [
        Prose(told, "" if level else "bad"),
        Table(heads, tuple(_proof(line) for line in record.proofs), "Verifications by level"),
    ]
    if record.drills:
        blocks.append(Prose(
            f"In drills {passed:,} statements about restored data hold, {failed:,} failed, and {unknown:,} could not "
            "be checked, which never counts as passed; "
            f"of the {of_usable:,} statements of applications {usable:,} hold."
        ))  # fmt: skip
    return Part(6, "Verification", tuple(blocks))


def findings(record: QuarterRecord) -> Part:
    """Open ones first, with who answers and until when; what was carried over is marked."""
    if not record.findings:
        return Part(7, "Findings", (Prose("No finding was open in this period."),))
    left = [each for each in record.findings if each.state != "closed"]
    carried = sum(each.opened_at < record.began_at for each in record.findings)
    overdue = sum(each.overdue(record.until) for each in left)
    told = f"{len(left)} open or accepted at the end of the period, {len(record.findings) - len(left)} closed in it"
    told += f"; {carried} carried over from before" if carried else ""
    told += f"; {overdue} overdue" if overdue else ""
    heads = (Head("Finding", whole=True, wide=1.2), Head("What", wide=3), Head("Opened", whole=True, wide=1.1),
             Head("Owner", wide=1.1), Head("Due", whole=True, wide=1.2), Head("State", wide=1.6))  # fmt: skip
    rows = tuple(_finding(each, record.began_at, record.until) for each in record.findings)
    return Part(7, "Findings", (Prose(f"{told}."), Table(heads, rows)))


def control_map(record: QuarterRecord) -> Part:
    """Where each control's evidence stands."""
    heads = (
        Head("Control", wide=1.5),
        Head("Asks that", wide=2.2),
        Head("Evidence", wide=0.9),
        Head("What there is", wide=2.4),
    )
    rows = tuple(
        (
            Cell(each.control),
            Cell(each.asks),
            Cell(each.shown, SHOWN[each.shown], parts_words(each.where)),
            Cell(each.why),
        )
        for each in controls_of_quarter(record)
    )
    return Part(10, "Control map", (Prose(CAUTION), Table(heads, rows)))


def approval() -> Part:
    """Three lines to sign on."""
    return Part(11, "Approval", (Signing(ROLES),))


def integrity(record: QuarterRecord, digest: str, command: str) -> Part:
    """How to see that nobody changed it."""
    signed = sum(line.signed for line in record.drills)
    tone: Tone = {"passed": "good", "failed": "bad"}.get(record.audit.verdict, "soft")  # type: ignore[assignment]
    drills: Tone = "good" if record.drills and signed == len(record.drills) else "warn"
    blocks: list[Block] = [
        Prose("This report was rendered from one record and from nothing else. SHA-256 of that record:"),
        Command(digest),
        Prose("To compute it again from the file that `drkeeper report -o json` writes:"),
        Command(command),
        Facts(
            (
                (
                    "Report before",
                    Cell(record.previous_digest or "none is kept in the vault", code=bool(record.previous_digest)),
                ),
                ("Audit log", Cell(f"chain {record.audit.verdict}", tone, record.audit.detail)),
                ("Its head", Cell(record.audit.head or "there is none", code=bool(record.audit.head))),
                ("Links in the period", Cell(f"{record.audit.links:,}")),
                ("Drills signed", Cell(f"{signed} of {len(record.drills)}", drills if record.drills else "")),
            )
        ),
    ]
    if record.drills:
        heads = (
            Head("Drill", whole=True, wide=1.2),
            Head("Signed", whole=True, wide=0.7),
            Head("SHA-256 of its record", wide=5),
        )
        rows = tuple(
            (
                Cell(line.drill_id, code=True),
                Cell("yes", "good") if line.signed else Cell("no", "warn"),
                Cell(line.digest, code=True),
            )
            for line in record.drills
        )
        blocks.append(Table(heads, rows, "Drill records"))
    return Part(12, "Integrity", tuple(blocks))


def _proof(line: ProofLine) -> tuple[Cell, ...]:
    sample = NOTHING if line.smallest_sample is None else f"{line.smallest_sample:.0%}".replace("%", " %")
    newest = Cell(f"{line.newest_at:%Y-%m-%d}", note=line.newest_point) if line.newest_at else Cell("never", "warn")
    return (
        Cell(line.level, note=_MEANING[line.level]),
        Cell(str(line.passed)),
        Cell(str(line.failed), "bad" if line.failed else ""),
        Cell(str(line.not_checked)),
        newest,
        Cell(sample),
    )


def _finding(each: Finding, began_at: datetime, until: datetime) -> tuple[Cell, ...]:
    overdue = each.overdue(until)
    carried = "carried over" if each.opened_at < began_at else ""
    state: Tone = {"open": "bad", "accepted": "warn", "closed": "good"}[each.state]  # type: ignore[assignment]
    note = each.why
    if each.state == "accepted" and each.until:
        note = f"until {each.until:%Y-%m-%d}: {each.why}"
    if each.returned:
        note = f"{note + '; ' if note else ''}came back {words.count(each.returned, 'time')}"
    return (
        Cell(each.finding_id, note=each.severity, code=True),
        Cell(each.subject, note=each.detail),
        Cell(f"{each.opened_at:%Y-%m-%d}", note=carried),
        Cell(each.owner or "nobody", "" if each.owner or each.state == "closed" else "warn"),
        Cell(
            f"{each.due_at:%Y-%m-%d}" if each.due_at else NOTHING,
            "bad" if overdue else "",
            "overdue" if overdue else "",
        ),
        Cell(each.state, state, note),
    )
