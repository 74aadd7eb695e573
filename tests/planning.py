"""A policy of very many systems, and a vault of very many points, of which the newest are whole."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drkeeper.policy import Policy, load_policy
from drkeeper.recovery_point import RecoveryPoint, StreamRecord, StreamRef, SystemRecord
from drkeeper.vault.layout import point_key
from drkeeper.wiring import create_vault

NEWEST_AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
WHOLE_POINTS = 3


@dataclass(frozen=True)
class LargePlatform:
    """Half of its systems are PostgreSQL, half Redis; two regions, four hosts."""

    policy: Policy
    points: int


def large_platform(folder: Path, *, systems: int = 200, points: int = 10_000) -> LargePlatform:
    """Make one. The older points' records are as small as a point can be; nobody should read them."""
    kinds = {f"system-{number}": ("postgres", "redis")[number % 2] for number in range(systems)}
    lines = [
        f"  {name}: {{kind: {kind}, host: host-{place % 4}, port: {6000 + place}{', user: u' if kind == 'postgres' else ''}}}"
        for place, (name, kind) in enumerate(kinds.items())
    ]
    file = folder / "drkeeper.yaml"
    file.write_text(
        "version: 1\nname: large\nsystems:\n"
        + "\n".join(lines)
        + f"\nvault:\n  regions:\n    here: {{url: {folder}/here}}\n    there: {{url: {folder}/there}}\n"
    )
    policy = load_policy(file)
    vault = create_vault(policy)
    small = folder / "small"
    small.write_bytes(vault.record_bytes(_point("0" * 12, NEWEST_AT, {"system-0": "postgres"})))
    for region in ("here", "there"):
        (folder / region / "points").mkdir(parents=True, exist_ok=True)
        for number in range(points):
            at, point_id = NEWEST_AT - timedelta(hours=number), f"{number:012x}"
            path = folder / region / point_key(at, point_id)
            if number < WHOLE_POINTS:
                path.write_bytes(vault.record_bytes(_point(point_id, at, kinds)))
            else:
                path.hardlink_to(small)
    return LargePlatform(policy, points)


def _point(point_id: str, at: datetime, kinds: dict[str, str]) -> RecoveryPoint:
    ref = StreamRef(index_id="ab" * 32, size_bytes=1 << 30, frame_count=1000)
    return RecoveryPoint(
        point_id=point_id,
        policy="large",
        created_at=at,
        elapsed_seconds=60,
        systems=tuple(
            SystemRecord(
                name=name,
                kind=kind,
                status="complete",
                as_of=at,
                streams=(StreamRecord(name="data", ref=ref, stored_bytes=0),),
            )
            for name, kind in kinds.items()
        ),
        freeze_order=tuple(kinds),
        skew_seconds=1,
        fencing_token=1,
        drkeeper_version="0",
    )
