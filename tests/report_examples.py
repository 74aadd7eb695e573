"""Drill records to render: one good drill, and each way in which one can end badly."""

from datetime import UTC, datetime, timedelta

from drkeeper.facts import Check
from drkeeper.heartbeat import Heartbeat
from drkeeper.report.finding import Finding
from drkeeper.report.record import (
    DrillRecord,
    FellBack,
    Forecast,
    Objectives,
    Phase,
    PointSummary,
    StepRecord,
    SystemOutcome,
    Trend,
)

DISASTER = datetime(2026, 11, 23, 2, 15, 0, tzinfo=UTC)
TABLES = ("experiments", "runs", "metrics", "latest_metrics", "params", "tags", "registered_models", "model_versions")


def at(seconds: float) -> datetime:
    return DISASTER + timedelta(seconds=seconds)


def step(name, system, phase, start, took, size=0, outcome="done", error="", history="5 earlier runs"):
    forecast = Forecast(p50_seconds=took * 0.94, p90_seconds=took * 1.3, basis=history) if size else None
    return StepRecord(
        name=name, system=system, phase=phase, started_at=at(start), elapsed_seconds=took, size_bytes=size,
        forecast=forecast, outcome=outcome, error=error,
    )  # fmt: skip


def system(name, kind, size, rto, lag, sequence=8123, **changes):
    fields = {
        "name": name, "kind": kind, "as_of": at(-lag + 1), "size_bytes": size, "rto_seconds": rto,
        "rto_forecast": Forecast(p50_seconds=rto * 0.9, p90_seconds=rto * 1.2, basis="5 earlier runs"),
        "rpo_seconds": lag, "newest_beat": Heartbeat(at=at(-lag), sequence=sequence),
    }  # fmt: skip
    return SystemOutcome(**{**fields, **changes})


def passed(system_name="mlflow-db"):
    return [
        Check(subject=f"{system_name}.mlflow.public.{table}.rows", verdict="passed", detail=str(1000 * (index + 1)))
        for index, table in enumerate(TABLES)
    ]


def good(**changes) -> DrillRecord:
    fields = {
        "drill_id": "7c41d09ab2e5",
        "policy": "production",
        "trigger": "schedule",
        "scenario": "Both database servers and their disks are lost; the vault's second region is at hand.",
        "started_at": DISASTER, "ended_at": at(49.2), "disaster_at": DISASTER, "drkeeper_version": "0.1.0",
        "point": PointSummary(
            point_id="e3b0c44298fc", created_at=at(-171), as_of=at(-184.2), skew_seconds=0.038,
            size_bytes=1_842_211_904, partial=False, regions=("eu-central", "eu-north"),
        ),
        "objectives": Objectives(rto_seconds=60, rpo_seconds=300),
        "rto_seconds": 43.218,
        "rto_forecast": Forecast(p50_seconds=39.5, p90_seconds=51.0, basis="5 earlier runs"),
        "rpo_seconds": 185.4,
        "systems": (
            system("mlflow-db", "postgres", 1_521_044_480, 38.91, 185.4),
            system("feast-online", "redis", 321_167_424, 6.12, 184.9, 8124),
        ),
        "steps": (
            step("start sandbox postgres", "mlflow-db", "provision", 0.1, 1.82),
            step("start sandbox valkey", "feast-online", "provision", 0.1, 0.41),
            step("load feast-online", "feast-online", "restore", 2.0, 5.2, 321_167_424),
            step("load mlflow-db", "mlflow-db", "restore", 2.0, 34.6, 1_521_044_480),
            step("switch feast-online", "feast-online", "restore", 7.2, 0.02),
            step("switch mlflow-db", "mlflow-db", "restore", 36.6, 0.21),
            step("verify feast-online", "feast-online", "verify", 36.9, 1.3),
            step("verify mlflow-db", "mlflow-db", "verify", 36.9, 6.3),
        ),
        "checks": (
            *passed(),
            Check(subject="mlflow-db.mlflow.alembic_version", verdict="passed", detail="1bd49d398cd23"),
            Check(subject="feast-online.db0.keys", verdict="passed", detail="expected 499800 to 500000, found 499963"),
            Check(subject="feast-online.db0.sample", verdict="not checked", detail="no key of the sample is left: all have expired"),
        ),
        "clean_up": (
            Check(subject="processes", verdict="passed", detail="postgres (4711) and valkey (4712) have ended"),
            Check(subject="ports", verdict="passed", detail="35121 and 35122 are free"),
            Check(subject="folder", verdict="passed", detail="removed"),
        ),
        "not_tested": (
            "Artifacts in object storage: this policy protects none.",
            "Network and DNS: clients were not pointed at the sandbox.",
        ),
    }  # fmt: skip
    return DrillRecord(**{**fields, **changes})


def missed() -> DrillRecord:
    first, second = good().systems
    silent = second.model_copy(
        update={
            "rpo_seconds": None,
            "newest_beat": None,
            "rpo_note": "no heartbeat in the data: beats were never switched on for it",
        }
    )
    return good(
        drill_id="9a01ffde7723",
        trigger="manual",
        objectives=Objectives(rto_seconds=30, rpo_seconds=60),
        rpo_seconds=None,
        rto_forecast=Forecast(p50_seconds=20, p90_seconds=28, basis="no history"),
        systems=(first, silent),
    )


def failed_verification() -> DrillRecord:
    many = [
        Check(subject=f"mlflow-db.mlflow.public.table_{number:03}.rows", verdict="passed", detail=str(number * 17))
        for number in range(270)
    ]
    bad = [
        Check(subject=f"mlflow-db.mlflow.public.{table}.rows", verdict="failed", detail=f"expected {4_512_110 + n}, found {4_512_000 + n}", severity="error", remedy="look for writes that were in flight: `drkeeper verify e3b0c44298fc --level intact`")
        for n, table in enumerate(TABLES[:5])
    ]  # fmt: skip
    unknown = [
        Check(
            subject=f"feast-online.db{number}.keys",
            verdict="not checked",
            detail="the server refused INFO keyspace: NOPERM this user has no permissions",
        )
        for number in range(25)
    ]
    return good(drill_id="0d4f5cc10b8e", checks=tuple(many + bad + unknown))


def failed_restore() -> DrillRecord:
    record = good()
    broken = 'pg_restore: error: could not execute query: ERROR: could not access file "$libdir/vector": No such file or directory'
    steps = (
        *record.steps[:3],
        step("load mlflow-db", "mlflow-db", "restore", 2.0, 11.4, 1_521_044_480, "failed", broken, "no history"),
        step("switch mlflow-db", "mlflow-db", "restore", 13.4, 0, outcome="not run"),
        step("verify mlflow-db", "mlflow-db", "verify", 13.4, 0, outcome="not run"),
    )
    lost = record.systems[0].model_copy(
        update={"rto_seconds": None, "rpo_seconds": None, "newest_beat": None, "rpo_note": "not restored"}
    )
    return good(
        drill_id="f00d5a11ed00", steps=steps, systems=(lost, record.systems[1]), checks=(), rto_seconds=None, rpo_seconds=None,
        rto_forecast=None, error="mlflow-db could not be loaded: the sandbox's PostgreSQL lacks the extension vector",
    )  # fmt: skip


def long() -> DrillRecord:
    names = [f"team-{letter}-{kind}" for letter in "abcdef" for kind in ("tracking-database", "online-store")]
    systems, steps, checks = [], [], []
    for index, name in enumerate(names):
        kind = "redis" if name.endswith("store") else "postgres"
        took = 300 + 410 * (index % 5)
        systems.append(system(name, kind, 41_000_000_000 + index * 10**9, took + 40.0, 60 + index * 7.5))
        steps.append(step(f"start sandbox for {name}", name, "provision", index * 0.4, 2.1))
        for part, name_of_part in enumerate(("download", "load", "build indexes of", "switch")):
            steps.append(
                step(
                    f"{name_of_part} {name}",
                    name,
                    "restore",
                    8 + took * part / 4 + index * 20,
                    took / 4,
                    10_000_000_000 if part < 2 else 0,
                )
            )
        checks += passed(name)
    steps = steps[:60]
    return good(
        drill_id="aa00bb11cc22", systems=tuple(systems), steps=tuple(steps), checks=tuple(checks), rto_seconds=2304.4, rpo_seconds=142.5,
        objectives=Objectives(rto_seconds=3600, rpo_seconds=None), ended_at=at(2310), rto_forecast=Forecast(p50_seconds=2100, p90_seconds=2900, basis="12 earlier runs"),
    )  # fmt: skip


def rehearsal(**changes) -> DrillRecord:
    """A drill of a scenario, with all that such a record says."""
    earlier = tuple(
        Trend(drill_id=f"{n}c41d09ab2e{n}", started_at=at(-86400 * 30 * (5 - n)), scenario="region-lost", outcome=outcome, rto_seconds=rto,
              rto_forecast=Forecast(p50_seconds=p50, p90_seconds=p90, basis=basis), rpo_seconds=181.0)
        for n, (outcome, rto, p50, p90, basis) in enumerate([
            ("recovered", 61.3, 90, 180, "no history"), ("verification failed", 55.0, 60, 104, "1 earlier run"),
            ("recovered", 47.2, 52, 75, "2 earlier runs"), ("recovered", 44.0, 45, 61, "3 earlier runs"),
        ])
    )  # fmt: skip
    findings = (
        Finding(finding_id="3ac9f01b77", subject="feast-online: restored data", severity="warning", detail="1 of 40 statements failed: feast-online.db0.keys: expected 499800 to 500000, found 498112",
                remedy="write fewer keys while it is frozen", state="open", opened_at=at(-86400 * 31), seen_at=at(49), seen=2, source="drill 7c41d09ab2e5", owner="R. Okafor", due_at=at(-86400)),
        Finding(finding_id="77e2c0a9d1", subject="scenario region-lost: RTO", severity="error", detail="1 min 4 s against 1 min", remedy="", state="closed", opened_at=at(-86400 * 60),
                seen_at=at(-86400 * 60), source="drill 1c41d09ab2e1", owner="I. Marthaler", due_at=at(-86400 * 30), closed_at=at(49), closed_by="drill 7c41d09ab2e5", why="drill 7c41d09ab2e5 saw it as it should be"),
    )  # fmt: skip
    seconds = (None, None, 1.9, 34.8, 6.5, None)
    phases = tuple(
        Phase(name=name, seconds=took, note="" if took else "a drill begins with the restore")
        for name, took in zip(("detect", "decide", "provision", "restore", "verify", "serve"), seconds, strict=True)
    )
    point = good().point.model_copy(
        update={
            "recipients": ("age1qy0gsgtfxzx6m3jwmf0ylq7wvnmx5tzn2s0fh9jwkz8gk2sjqd4q5t0a7e",),
            "locked_until": at(86400 * 30),
        }
    )
    fields = {
        "scenario": "A region is lost, with every server in it.", "scenario_name": "region-lost", "seed": 90412, "plan_digest": "b7c1" * 16, "lead": "I. Marthaler",
        "observers": ("K. Adeyemi", "an auditor"), "environment": "backup-01, 8 cores, Linux 6.8, x86_64", "assumptions": ("The second region of the vault answers.", "A key that opens the vault is at hand."),
        "expected": "Every system is back and usable from region eu-north within the RTO.", "phases": phases, "trend": earlier, "findings": findings, "point": point,
        "next_due_at": at(86400 * 92), "audit_head": "1042 6f0c5b0e9f1d4c3b", "fell_back": (FellBack(point_id="f0e1d2c3b4a5", reason="frame 0c5e does not hash to its name."),),
    }  # fmt: skip
    return good(**{**fields, **changes})


HOSTILE = '<img src=x onerror="alert(1)">|`</code><script>alert(2)</script>'


def hostile() -> DrillRecord:
    return good(
        drill_id="badbadbadbad", policy=HOSTILE, scenario=HOSTILE, error=HOSTILE, not_tested=(HOSTILE,),
        systems=(system(HOSTILE, "postgres", 1, 1.0, 1.0),),
        checks=tuple(
            Check(subject=f"{HOSTILE}.{verdict}", verdict=verdict, detail=HOSTILE, remedy=HOSTILE)
            for verdict in ("passed", "failed", "not checked")
        ),
        steps=(step(HOSTILE, HOSTILE, "restore", 0, 1, outcome="failed", error=HOSTILE),),
        clean_up=(Check(subject=HOSTILE, verdict="failed", detail=HOSTILE),),
    )  # fmt: skip


EXAMPLES = {
    "good": good, "missed": missed, "failed-verification": failed_verification, "failed-restore": failed_restore,
    "long": long, "hostile": hostile, "rehearsal": rehearsal,
}  # fmt: skip
