"""What was read of a vault, for the status page and the gauges: a platform at work, one in trouble, and a new one."""

from datetime import UTC, datetime, timedelta

import report_examples
from bucket_examples import bucket_state
from drkeeper.catalog import Proof
from drkeeper.forecast import Limits
from drkeeper.known import (
    BackupRun,
    BackupRuns,
    Expected,
    Known,
    LeaseState,
    RegionState,
    ScenarioExpected,
    SlimPoint,
)
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.report.record import Forecast, Objectives
from drkeeper.scenarios import BUILT_IN, loss_of
from drkeeper.schedules import Cron
from drkeeper.steps import Meaning
from vault_examples import make_point

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
SYSTEMS = {
    "tracking-db": "postgres",
    "artifacts": "objects",
    "feature-registry": "feast_registry",
    "online-store": "redis",
    "cluster": "kubernetes",
}
SIZES = (1_521_044_480, 0, 402_000, 321_167_424, 4_200_000)
REGIONS = ("eu-central", "eu-north")
SCENARIOS = ("region-lost", "database-corrupted", "online-store-lost", "registry-corrupted", "everything-lost")
PROMISED = Objectives(rto_seconds=1800, rpo_seconds=1800)


def point(number, at, status="complete"):
    systems = tuple(
        SystemRecord(
            name=name,
            kind=kind,
            status=status if name == "online-store" else "complete",
            as_of=at + timedelta(seconds=place),
            capture_seconds=2.5,
            streams=(
                StreamRecord(
                    name="dump", ref=StreamRef(index_id="0", size_bytes=size, frame_count=1), stored_bytes=size // 40
                ),
            ),
        )
        for place, ((name, kind), size) in enumerate(zip(SYSTEMS.items(), SIZES, strict=True))
    )
    return make_point(
        point_id=f"{number:012x}", policy="production", created_at=at, systems=systems, skew_seconds=4.0,
        elapsed_seconds=38.0, freeze_order=tuple(SYSTEMS),
    )  # fmt: skip


def proof(one, level, after):
    return Proof(
        point_id=one.point_id, level=level, verdict="passed", at=one.created_at + after,
        verdicts=dict.fromkeys(REGIONS, "passed"),
    )  # fmt: skip


def drill(number, scenario, ago, example=report_examples.good, rto=1.0):
    ended = NOW - ago
    record = example()
    began = ended - timedelta(seconds=60)
    steps = tuple(
        each.model_copy(
            update={
                "verb": each.name.partition(" ")[0],
                "kind": {"mlflow-db": "postgres", "feast-online": "redis"}.get(each.system, ""),
                "started_at": began + (each.started_at - record.started_at),
            }
        )
        for each in record.steps
    )
    measured = record.rto_seconds and record.rto_seconds * rto
    return record.model_copy(
        update={
            "policy": "production",
            "drill_id": f"d{number:011x}",
            "scenario_name": scenario,
            "started_at": began,
            "disaster_at": began,
            "ended_at": ended,
            "steps": steps,
            "rto_seconds": measured,
            "rto_forecast": measured
            and Forecast(p50_seconds=0.93 * measured, p90_seconds=1.3 * measured, basis="5 earlier runs"),
        }
    )


def expected(**more):
    losses = {name: loss_of(BUILT_IN[name], SYSTEMS, REGIONS) for name in SCENARIOS}
    fields = {
        "backup": Cron.parse("*/15 * * * *"),
        "scenarios": tuple(
            ScenarioExpected(name, loss.scenario.title, loss, PROMISED) for name, loss in losses.items()
        ),
        "capacity_bytes": 2 * 10**12,
        "meanings": (
            Meaning(application="tracking", kind="mlflow", systems=("tracking-db", "artifacts")),
            Meaning(application="features", kind="feast", systems=("feature-registry", "online-store")),
        ),
        "limits": Limits(),
        **more,
    }
    return Expected(**fields)


def at_work(**more):
    """Everything as promised."""
    points = [point(number, NOW - timedelta(minutes=8 + 15 * (11 - number))) for number in range(12)]
    runs = [BackupRun(NOW - timedelta(minutes=15 * n + 8), "whole") for n in range(672 * 13)][::-1]
    ids = frozenset(each.point_id for each in points)
    levels = ("stored", "intact", "restorable", "usable")
    fields = {
        "policy": "production",
        "systems": SYSTEMS,
        "objectives": PROMISED,
        "regions": [
            RegionState("eu-central", True, True, ids, 0.041, "", 812_000_000_000, 2 * 10**12),
            RegionState("eu-north", False, True, ids, 0.066, "", 812_000_000_000, 2 * 10**12),
        ],
        "readable": True,
        "points": [SlimPoint.of(each) for each in points],
        "newest": points[-1],
        "whole": dict.fromkeys(REGIONS, points[-1]),
        "proofs": {
            points[-1].point_id: [proof(points[-1], "stored", timedelta(minutes=2))],
            points[-4].point_id: [proof(points[-4], "intact", timedelta(minutes=20))],
            points[0].point_id: [proof(points[0], level, timedelta(minutes=30)) for level in levels],
        },
        "drills": [
            drill(1, "everything-lost", timedelta(days=61), rto=1.21),
            drill(2, "region-lost", timedelta(days=47), rto=1.1),
            drill(3, "online-store-lost", timedelta(days=31), rto=0.6),
            drill(4, "database-corrupted", timedelta(days=18), rto=0.8),
            drill(5, "everything-lost", timedelta(days=5)),
            drill(6, "registry-corrupted", timedelta(days=2), rto=0.2),
        ],
        "drill_count": 6,
        "leases": [LeaseState("write", held=False), LeaseState("scheduler", held=True, since=NOW - timedelta(days=3))],
        "unreadable": {"point": 0, "proof": 0, "drill": 0},
        "buckets": [bucket_state(NOW - timedelta(minutes=4), all_since=NOW - timedelta(days=12))],
        "backups": BackupRuns(NOW - timedelta(days=90), runs),
        "expected": expected(),
        **more,
    }
    return Known(**fields)


def in_trouble():
    """A region is away, a system missing from the newest points, a drill failed and its re-test is overdue."""
    base = at_work()
    points = [point(number, NOW - timedelta(hours=3, minutes=15 * (11 - number))) for number in range(11)]
    newest = point(11, NOW - timedelta(minutes=100), status="failed")
    ids = frozenset(each.point_id for each in (*points, newest))
    runs = [BackupRun(NOW - timedelta(minutes=20 * n + 100), "whole" if n % 3 else "short") for n in range(400)][::-1]
    failed = drill(9, "region-lost", timedelta(days=40), report_examples.failed_restore)
    return at_work(
        regions=[
            RegionState("eu-central", True, True, ids, 0.041, "", 1_910_000_000_000, 2 * 10**12),
            RegionState("eu-north", False, False, why="connection refused"),
        ],
        points=[SlimPoint.of(each) for each in (*points, newest)],
        newest=newest,
        whole={REGIONS[0]: points[-1]},
        proofs={points[2].point_id: [proof(points[2], "intact", timedelta(hours=1))]},
        drills=[*base.drills[:1], failed, *base.drills[2:]],
        backups=BackupRuns(NOW - timedelta(days=60), runs, cut=True),
        buckets=[bucket_state(NOW - timedelta(hours=5), verdict="failed", complete=False)],
    )


def new():
    """A vault that was made a minute ago."""
    return Known(
        "production", SYSTEMS, PROMISED, [RegionState("eu-central", True, True, frozenset(), 0.04)], readable=True,
        expected=expected(),
    )  # fmt: skip


def away():
    """No region answers."""
    regions = [RegionState(name, name == REGIONS[0], up=False, why="connection refused") for name in REGIONS]
    why = "no region of the vault answers"
    return Known("production", SYSTEMS, PROMISED, regions, readable=False, why=why, expected=expected())


EXAMPLES = {"at-work": at_work, "in-trouble": in_trouble, "new": new, "away": away}
