"""A quarter to report on: ninety nights with what goes wrong in ninety nights, and five drills."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from drkeeper.facts import Check
from drkeeper.quarter import Promised, ProofSeen, Quarter, Run, Sources, build_quarter
from drkeeper.recovery_point import RecoveryPoint, StreamRecord, StreamRef, SystemRecord
from drkeeper.report.canonical import canonical_digest
from drkeeper.report.finding import Finding
from drkeeper.report.quarter_record import AuditPart, QuarterRecord
from drkeeper.report.record import DrillRecord, Forecast, Objectives, Phase
from drkeeper.schedules import Cron
from report_examples import HOSTILE, good

QUARTER = Quarter(2026, 4)
AFTER = datetime(2027, 1, 4, 9, 30, tzinfo=UTC)
KINDS = {"mlflow-db": "postgres", "feast-registry": "feast_registry", "online-store": "redis", "artifacts": "objects"}
CRON = "0 2 * * *"
PARTIAL, FAILED, MISSED = {23}, {48, 49}, {71}
OBJECTIVES = Objectives(rto_seconds=4 * 3600, rpo_seconds=26 * 3600)
SCENARIOS = {
    "region-lost": "a region is lost, with every server in it",
    "database-corrupted": "databases hold wrong data since a known moment",
    "online-store-lost": "the online feature store is lost",
    "registry-corrupted": "the feature registry is wrong or unreadable",
    "key-lost": "the key that opens the vault is lost",
}


def night(number: int) -> datetime:
    return QUARTER.began_at + timedelta(days=number, hours=2, seconds=4)


def point(number: int) -> RecoveryPoint:
    at = night(number)
    systems = tuple(
        SystemRecord(
            name=name, kind=kind, status="failed" if number in PARTIAL and name == "online-store" else "complete",
            as_of=at + timedelta(milliseconds=9 * place), error="connection refused" if number in PARTIAL else "",
            streams=(StreamRecord(name="data", ref=StreamRef(index_id="0" * 64, size_bytes=1_400_000_000 + number * 9_000_000, frame_count=9), stored_bytes=31_000_000),),
        )
        for place, (name, kind) in enumerate(KINDS.items())
    )  # fmt: skip
    return RecoveryPoint(
        point_id=f"{number + 1:03x}e0a5c91d7", policy="production", created_at=at, elapsed_seconds=360,
        systems=systems, freeze_order=tuple(KINDS), skew_seconds=0.031 + number / 9000, fencing_token=number, drkeeper_version="0.1.0",
    )  # fmt: skip


def backup(number: int) -> Run:
    at = night(number)
    if number in FAILED:
        return Run(
            "backup",
            "drkeeper@backup-01",
            at,
            at + timedelta(seconds=41),
            "failed",
            "mlflow-db does not answer: connection refused",
        )
    made = point(number)
    detail = {"point": made.point_id, "partial": made.partial, "trigger": "schedule"}
    for system in made.systems:
        detail |= {f"status.{system.name}": system.status, f"as_of.{system.name}": system.as_of.isoformat()}
    failed = number in PARTIAL
    error = "online-store failed: connection refused" if failed else ""
    return Run(
        "backup", "drkeeper@backup-01", at, at + timedelta(minutes=6), "failed" if failed else "ok", error, detail
    )


def drill(day: int, scenario: str, rto: float, p50: float, p90: float, runs: int, **changes) -> DrillRecord:
    at = QUARTER.began_at + timedelta(days=day, hours=9, minutes=3)
    basis = f"{runs} earlier run{'s' if runs > 1 else ''}" if runs else "no history"
    base = good()
    fields = {
        "drill_id": f"{day + 200:03x}c41d09ab2", "scenario_name": scenario, "scenario": SCENARIOS[scenario].capitalize() + ".",
        "trigger": "schedule", "started_at": at, "disaster_at": at, "ended_at": at + timedelta(seconds=rto + 7),
        "rto_seconds": rto, "rto_forecast": Forecast(p50_seconds=p50, p90_seconds=p90, basis=basis), "rpo_seconds": 7 * 3600 + 183.4,
        "objectives": OBJECTIVES, "lead": "Ines Marthaler", "observers": ("K. Adeyemi",), "environment": "backup-01, 8 cores, sandbox",
        "phases": tuple(Phase(name=name, seconds=seconds, people_seconds=people) for name, seconds, people in (
            ("detect", 60.0, 0), ("decide", 190.0, 170.0), ("provision", rto * 0.1, 0), ("restore", rto * 0.7, 0), ("verify", rto * 0.2, 0), ("serve", None, 0))),
        "usable": tuple(Check(subject=f"tracking.champion.{n}", verdict="passed", detail="predicts the same") for n in range(4)),
    }  # fmt: skip
    return base.model_copy(update={**fields, **changes})


def drills() -> tuple[DrillRecord, ...]:
    failed = (
        Check(
            subject="mlflow-db.mlflow.public.runs.rows",
            verdict="failed",
            detail="expected 90412, found 90398",
            remedy="look for a backup that was cut",
        ),
    )
    return (
        drill(-150, "region-lost", 1890, 2600, 5200, 0),
        drill(-122, "region-lost", 1740, 1890, 3200, 1),
        drill(-61, "region-lost", 1822, 1815, 2500, 2, seed=90412),
        drill(12, "region-lost", 1905, 1820, 2440, 3),
        drill(26, "database-corrupted", 640, 900, 1800, 0, checks=(*good().checks, *failed),
              retest_by=QUARTER.began_at + timedelta(days=56)),
        drill(41, "database-corrupted", 655, 640, 1090, 1),
        drill(55, "online-store-lost", 212, 180, 360, 0, exercise="game day", trigger="manual", participants=("R. Okafor", "T. Lindqvist")),
        drill(76, "region-lost", 1850, 1880, 2390, 4, seed=771),
    )  # fmt: skip


def findings() -> tuple[Finding, ...]:
    began = QUARTER.began_at
    common = {"severity": "error", "remedy": ""}
    return (
        Finding(finding_id="3ac9f01b77", subject="online-store: restored data", detail="2 of 40 statements failed: online-store.db0.keys: expected 499800 to 500000, found 498112",
                state="open", opened_at=began - timedelta(days=20), seen_at=began - timedelta(days=20), source="drill 7c41d09ab2e5", owner="R. Okafor",
                due_at=began + timedelta(days=70), **common),
        Finding(finding_id="b1907de244", subject="scenario region-lost: RPO", detail="not measured against 26 h: artifacts: no heartbeat found",
                state="accepted", opened_at=began - timedelta(days=61), seen_at=began + timedelta(days=12), seen=3, owner="Ines Marthaler", due_at=began - timedelta(days=31),
                until=began + timedelta(days=181), why="marks in buckets come with the next release", **{**common, "severity": "warning"}),
        Finding(finding_id="77e2c0a9d1", subject="mlflow-db: restored data", detail="1 of 12 statements failed: mlflow-db.mlflow.public.runs.rows: expected 90412, found 90398",
                state="closed", opened_at=began + timedelta(days=26), seen_at=began + timedelta(days=26), closed_at=began + timedelta(days=41), closed_by="drill 0f1c41d09ab2",
                owner="Ines Marthaler", due_at=began + timedelta(days=56), why="drill 0f1c41d09ab2 saw it as it should be", **common),
    )  # fmt: skip


def sources(**changes) -> Sources:
    nights = [number for number in range(-1, 92) if number not in MISSED]
    points = tuple(point(number) for number in range(60, 92) if number not in MISSED | FAILED)
    runs = [backup(number) for number in nights]
    runs += [
        Run(
            "verify",
            "drkeeper@backup-01",
            night(n) + timedelta(hours=3),
            night(n) + timedelta(hours=3, minutes=11),
            "ok",
        )
        for n in range(3, 92, 7)
    ]
    runs += [
        Run("restore", "r.okafor@ops-02", night(58) + timedelta(hours=12), night(58) + timedelta(hours=12, minutes=14), "ok", "", {"point": point(58).point_id, "systems": "mlflow-db", "approved by": "i.marthaler"}),
        Run("points pin", "i.marthaler@ops-01", night(70) + timedelta(hours=7), night(70) + timedelta(hours=7), "ok", "", {"point": point(70).point_id, "why": "before the migration"}),
    ]  # fmt: skip
    made = Sources(
        policy="production", kinds=KINDS, regions=("eu-central", "eu-north"), encrypted=True, recipients=("age1one", "age1two"),
        objectives=OBJECTIVES, drkeeper_version="0.1.0", lead="Ines Marthaler", observers=("K. Adeyemi",),
        retention="keep_daily 30, keep_weekly 12, keep_monthly 24", schedule=CRON,
        due=tuple(Cron.parse(CRON).times(QUARTER.began_at, QUARTER.ends_at + timedelta(days=1))),
        scenarios={name: Promised(title, OBJECTIVES) for name, title in SCENARIOS.items()},
        runs=tuple(sorted(runs, key=lambda run: run.began_at)), points=points,
        holders={each.point_id: ("eu-central", "eu-north") for each in points}, pinned=frozenset({point(70).point_id}),
        proofs=tuple(
            [ProofSeen(point(n).point_id, "intact", "passed", night(n) + timedelta(hours=3), 0.05) for n in range(3, 92, 7)]
            + [ProofSeen(point(n).point_id, level, "passed", night(n) + timedelta(hours=8)) for n in (12, 41, 55, 76) for level in ("restorable", "usable")]
        ),
        newest_level="intact", drills=drills(), signed={each.drill_id: canonical_digest(each) for each in drills()}, findings=findings(),
        audit=AuditPart(links=231, head="1042 6f0c5b0e9f1d4c3b", verdict="passed", detail="1,042 links, each holds the digest of the one before it"),
    )  # fmt: skip
    return replace(made, **changes)


def quarter(**changes) -> QuarterRecord:
    return build_quarter(sources(**changes), QUARTER, AFTER)


def spotless() -> QuarterRecord:
    """Everything as promised."""
    whole = sources()
    runs = tuple(backup_whole(number) for number in range(-1, 92))
    good_drills = tuple(drill(day, name, 600 + day, 590, 900, 2) for day, name in enumerate(SCENARIOS, 70))
    return build_quarter(
        replace(
            whole,
            runs=runs,
            points=tuple(point(number) for number in range(60, 92)),
            drills=good_drills,
            findings=(),
            newest_level="usable",
        ),
        QUARTER,
        AFTER,
    )


def backup_whole(number: int) -> Run:
    at = night(number)
    detail = {"point": f"{number + 1:03x}e0a5c91d7", "partial": False}
    for name in KINDS:
        detail |= {f"status.{name}": "complete", f"as_of.{name}": at.isoformat()}
    return Run("backup", "drkeeper@backup-01", at, at + timedelta(minutes=6), "ok", "", detail)


def empty() -> QuarterRecord:
    """A vault that was made yesterday, and a policy that promises nothing."""
    made = Sources(
        policy="new", kinds={"db": "postgres"}, regions=("here",), encrypted=False, objectives=Objectives(), drkeeper_version="0.1.0"
    )  # fmt: skip
    return build_quarter(made, QUARTER, QUARTER.began_at + timedelta(days=3))


def hostile_quarter() -> QuarterRecord:
    """Names that try to get out of their places."""
    bad = Finding(finding_id="0" * 10, subject=HOSTILE, detail=HOSTILE, severity="error", remedy=HOSTILE, state="open",
                  opened_at=QUARTER.began_at, seen_at=QUARTER.began_at, owner=HOSTILE, why=HOSTILE)  # fmt: skip
    runs = (Run(HOSTILE, HOSTILE, night(3), night(3), "failed", HOSTILE, {"point": HOSTILE}),)
    return quarter(policy=HOSTILE, kinds={HOSTILE: HOSTILE, **KINDS}, findings=(bad,), runs=runs, retention=HOSTILE)


QUARTERS = {"quarter": quarter, "spotless": spotless, "empty": empty, "hostile-quarter": hostile_quarter}
