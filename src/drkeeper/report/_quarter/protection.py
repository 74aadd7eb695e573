"""Part 3: the backups of a quarter, and what they left in the vault."""

from drkeeper.report import plots, words
from drkeeper.report.blocks import Block, Cell, Facts, Head, Part, Plot, Prose, Table, Tone
from drkeeper.report.quarter_record import BackupSummary, QuarterRecord, Shortfall

_TONES: dict[str, Tone] = {"partial": "warn", "failed": "bad", "missed": "bad"}
_ROWS = 20


def recovery_points(record: QuarterRecord) -> Part:
    """Backups made against backups due, and the points that there are."""
    backups = record.backups
    blocks: list[Block] = [Prose(made_words(backups)), *_days(record)]
    if backups.failures:
        shown = backups.failures[:_ROWS]
        of = f", the first {_ROWS} of {len(backups.failures)}" if len(backups.failures) > _ROWS else ""
        heads = (
            Head("Due (UTC)", whole=True),
            Head("Came out", whole=True),
            Head("Point", whole=True),
            Head("Why", wide=3),
        )
        blocks.append(Table(heads, tuple(_shortfall(each) for each in shown), f"Not made whole{of}"))
    blocks.append(_points(record))
    return Part(3, "Recovery points", tuple(blocks))


def made_words(backups: BackupSummary) -> str:
    """The success rate in one sentence."""
    if backups.rate is None:
        return "No backup was due in this period, and none is known of."
    against = f"the objective is {percent(backups.rate_objective)}"
    if not backups.schedule:
        return f"No schedule is set. Of {backups.tried} backups that were tried, {backups.made} are whole; {against}."
    told = (
        f"Of {words.count(backups.due, 'backup')} that were due (`{backups.schedule}`, UTC), {backups.made} were made"
    )
    rest = [
        f"{number} {word}"
        for number, word in (
            (backups.partial, "partial"),
            (backups.failed, "failed"),
            (backups.missed, "never begun"),
        )
        if number
    ]
    tail = f", {', '.join(rest)}" if rest else ""
    return f"{told}{tail}: {percent(backups.rate)}; {against}."


def percent(share: float) -> str:
    """To a tenth, and never rounded up to all of it."""
    shown = f"{share:.1%}"
    return "99.9 %" if shown == "100.0%" and share < 1 else shown.replace(".0%", "%").replace("%", " %")


def _days(record: QuarterRecord) -> list[Block]:
    days = record.backups.days
    if not record.backups.schedule or not days:
        return []
    bad = [day for day in days if day.due and day.made < day.due]
    good = sum(day.due > 0 and day.made == day.due for day in days)
    told = "; ".join(f"{day.day:%Y-%m-%d}: {plots.day_words(day)}" for day in bad)
    return [
        Plot(
            "backups",
            plots.days_plot(days, 21, 44),
            plots.days_plot(days, 9, 34),
            f"Days on which every backup was made: {good}. Other days: {told or 'none'}.",
            "Backups day by day",
            "Full: every backup due that day was made. Half: some, or only in part. Crossed: none. Dot: none was due.",
        )
    ]


def _shortfall(each: Shortfall) -> tuple[Cell, ...]:
    return (
        Cell(f"{each.due_at:%Y-%m-%d %H:%M}"),
        Cell(each.outcome, _TONES.get(each.outcome, "")),
        Cell(each.point_id, code=True) if each.point_id else Cell("none"),
        Cell(each.why or "not said"),
    )


def _points(record: QuarterRecord) -> Facts:
    points = record.points
    short = [region for region, held in points.copies.items() if held < points.kept]
    copies = ", ".join(f"{region} {held} of {points.kept}" for region, held in points.copies.items())
    skew = "unknown" if points.skew_seconds is None else words.duration(points.skew_seconds)
    sealed = f"age, to {words.count(len(record.recipients), 'recipient')}" if record.encrypted else "none by drkeeper"
    return Facts(
        (
            (
                "Taken",
                Cell(f"{points.taken} in this period", note=f"{points.partial} partial" if points.partial else ""),
            ),
            ("Kept", Cell(f"{points.kept}, of any time", note=f"{points.pinned} pinned" if points.pinned else "")),
            (
                "Newest",
                Cell(points.newest_id, note=f"as of {words.moment(points.newest_as_of)}", code=True)
                if points.newest_id
                else Cell("none", "bad"),
            ),
            ("Oldest", Cell(f"as of {words.moment(points.oldest_as_of)}" if points.oldest_as_of else "none")),
            ("Size", Cell(words.size(points.newest_bytes), note=f"this period added {words.size(points.added_bytes)}")),
            ("Largest skew", Cell(skew, note="between the systems of one point")),
            ("Copies by region", Cell(copies or "none", "warn" if short else "good" if points.kept else "bad")),
            ("Encryption", Cell(sealed, "good" if record.encrypted else "warn")),
            ("Retention", Cell(record.retention or "every point is kept")),
        ),
        "What the vault holds",
    )
