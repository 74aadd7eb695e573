"""Recovery points, checks and plans as rows for `output.show`; keys are an interface."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from drkeeper import catalog
from drkeeper.catalog import Pin, Proof
from drkeeper.cli.output import Column, Output, human_duration, human_size, human_time, show
from drkeeper.facts import Check
from drkeeper.recovery_point import ApplicationRecord, RecoveryPoint

Row = dict[str, Any]

POINT_COLUMNS = (
    Column("point_id", "ID"),
    Column("created_at", "CREATED", form=human_time),
    Column("age_seconds", "AGE", form=human_duration, right=True),
    Column("state"),
    Column("size_bytes", "SIZE", form=human_size, right=True),
    Column("stored_bytes", "STORED", form=human_size, right=True),
    Column("proven", "PROOF"),
    Column("proof_age_seconds", "PROVEN AGO", form=human_duration, right=True),
    Column("pinned", "PIN", form=lambda pinned: "pinned" if pinned else "-"),
    Column("purpose", wide=True),
    Column("policy", wide=True),
    Column("as_of", "AS OF", form=human_time, wide=True),
    Column("skew_seconds", "SKEW", form=human_duration, right=True, wide=True),
    Column("elapsed_seconds", "TOOK", form=human_duration, right=True, wide=True),
    Column("regions", form=", ".join, wide=True),
    Column("system_names", "SYSTEMS", form=", ".join, wide=True),
)
SYSTEM_COLUMNS = (
    Column("name", "SYSTEM"),
    Column("kind"),
    Column("status"),
    Column("as_of", "AS OF", form=human_time),
    Column("size_bytes", "SIZE", form=human_size, right=True),
    Column("stored_bytes", "STORED", form=human_size, right=True),
    Column("capture_seconds", "TOOK", form=human_duration, right=True),
    Column("streams", form=lambda each: str(len(each)), right=True),
    Column("error"),
)
CHECK_COLUMNS = (
    Column("verdict"),
    Column("subject"),
    Column("detail"),
    Column("remedy"),
    Column("severity", wide=True),
)
STEP_COLUMNS = (
    Column("step"),
    Column("does"),
    Column("after"),
    Column("size_bytes", "SIZE", form=human_size, right=True),
    Column("p50_seconds", "P50", form=human_duration, right=True),
    Column("p90_seconds", "P90", form=human_duration, right=True),
    Column("basis", wide=True),
    Column("critical", wide=True, form=lambda critical: "critical" if critical else "-"),
)


def point_row(point: RecoveryPoint, regions: Sequence[str], region_count: int, now: datetime) -> Row:
    """What a listing says of a point, without what is proven of it.

    Args:
        point: The record.
        regions: That hold it.
        region_count: Of the policy: where fewer hold the point it is not durable.
        now: For its age.
    """
    return {
        "point_id": point.point_id,
        "policy": point.policy,
        "purpose": point.purpose,
        "created_at": point.created_at,
        "age_seconds": round((now - point.created_at).total_seconds(), 1),
        "as_of": point.as_of,
        "skew_seconds": point.skew_seconds,
        "elapsed_seconds": point.elapsed_seconds,
        "size_bytes": point.size_bytes,
        "stored_bytes": point.stored_bytes,
        "partial": point.partial,
        "durable": len(regions) == region_count,
        "state": "partial" if point.partial else "complete" if len(regions) == region_count else "not durable",
        "regions": list(regions),
        "system_names": [system.name for system in point.systems],
    }


def standing_row(proofs: Sequence[Proof], pin: Pin | None, regions: Iterable[str], now: datetime) -> Row:
    """What is proven of a point, where, and whether it is pinned.

    Args:
        proofs: Oldest first.
        pin: None: it is not pinned.
        regions: Of the policy.
        now: For the age.
    """
    standing, everywhere, proven = catalog.standing(proofs), list(regions), set(catalog.proven_in(proofs))
    within = [region for region in everywhere if region in proven]
    failed = standing.failed
    return {
        "proof": standing.level,
        "proof_regions": within,
        "proven": _proven(standing.level, len(within), len(everywhere)),
        "proven_at": standing.proven_at,
        "proof_age_seconds": standing.age_seconds(now),
        "proof_sample": standing.sample,
        "failed_proof": failed and {"level": failed.level, "at": failed.at},
        "pinned": pin is not None,
        "pin_reason": pin.why if pin else "",
    }


def _proven(level: str | None, within: int, everywhere: int) -> str:
    """`intact`, or `intact (1 of 2 regions)`."""
    return level or "" if level is None or within == everywhere else f"{level} ({within} of {everywhere} regions)"


def system_rows(point: RecoveryPoint) -> list[Row]:
    """One row a system, its record and its sums."""
    return [
        {
            **system.model_dump(mode="json"),
            "as_of": system.as_of,
            "size_bytes": system.size_bytes,
            "stored_bytes": sum(stream.stored_bytes for stream in system.streams),
        }
        for system in point.systems
    ]


def check_rows(checks: Iterable[Check]) -> list[Row]:
    """One row a check; what failed first."""
    order = {"failed": 0, "not checked": 1, "passed": 2}
    return [check.model_dump(mode="json") for check in sorted(checks, key=lambda check: order[check.verdict])]


def finding_rows(point: RecoveryPoint) -> list[Row]:
    """What was noticed while a point was taken, the name of its system or application before each subject.

    Of applications also what they could not read: a restore will not be held against it.
    """
    noticed = [(system.name, system.findings) for system in point.systems]
    noticed += [
        (application.name, (*application.findings, *_unread(application))) for application in point.applications
    ]
    return [
        {**row, "subject": f"{name}.{row['subject']}"}
        for name, checks in noticed
        for row in check_rows(checks)
        if row["verdict"] != "passed"
    ]


def _unread(application: ApplicationRecord) -> Iterator[Check]:
    if application.error:
        yield Check(subject="witness", verdict="not checked", detail=application.error)
    for subject, reason in sorted(application.facts.unread.items()):
        yield Check(subject=subject, verdict="not checked", detail=reason)


def show_findings(point: RecoveryPoint, output: Output) -> None:
    """What was noticed while a point was taken, as a table of its own; nothing where nothing was."""
    rows = finding_rows(point)
    if rows:
        click.echo()
        show(rows, output, CHECK_COLUMNS)


def told(check: Mapping[str, Any]) -> str:
    """A check in one line, for an error message."""
    remedy = f" ({check['remedy']})" if check.get("remedy") else ""
    return f"{check['subject']}: {check['detail']}{remedy}"
