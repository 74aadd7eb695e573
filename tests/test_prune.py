"""Pruning: what no point names goes, whatever a point names stays."""

from datetime import UTC, datetime, timedelta

import pytest

from drkeeper import audit, catalog, clock
from drkeeper._audit.append import append
from drkeeper.errors import LeaseHeld, LeaseLost, Refused, VaultUnreachable, WorldChanged
from drkeeper.keeping import Pruning
from drkeeper.lease import hold
from drkeeper.prune import carry_out, forget, plan_prune
from drkeeper.replicate import replicate
from drkeeper.retention import Rules
from drkeeper.vault.regions import Regions
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from drkeeper.verify import verify_points
from vault_examples import TEST_RECIPIENT, FaultyStore, HeldLease, bytes_of, stream_of, write_point

MIB = 1 << 20
START = datetime(2026, 3, 1, 2, tzinfo=UTC)
LAST = Rules(keep_last=1)


@pytest.fixture
def regions(tmp_path):
    return {name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")}


@pytest.fixture(params=[(), (TEST_RECIPIENT,)], ids=["plain", "encrypted without the key"])
def vault(regions, request):
    Vault.create(regions, recipients=request.param)
    return Vault.open(regions)


@pytest.fixture
def three(vault):
    """Three points that share half of their frames, in both regions."""
    shared = bytes_of(0, 5 * MIB)
    made = [
        write_point(
            vault,
            {"dump": shared + bytes_of(number, 3 * MIB)},
            point_id=f"{number}a0000000000",
            created_at=START + timedelta(days=number),
        )
        for number in (1, 2, 3)
    ]
    replicate(vault, made, HeldLease())
    return made


def soon():
    return clock.now() + timedelta(minutes=1)


def plan(vault, rules=LAST, grace=timedelta(0)):
    return plan_prune(vault, rules, now=soon(), grace=grace)


def frames(store):
    return {entry.key for entry in store.list("frames/")}


def named(vault, *points):
    return {
        vault.frame_key(span.frame_id)
        for point in points
        for span in vault.frames_of(stream_of(point, "dump").ref.index_id)
    }


def test_what_only_forgotten_points_name_goes_from_every_region(vault, three, regions):
    decided = plan(vault)
    assert [point.point_id for point in decided.forgotten] == [three[0].point_id, three[1].point_id]
    carry_out(vault, decided, HeldLease())
    assert [point.point_id for point in catalog.list_points(vault).points] == [three[2].point_id]
    for store in regions.values():
        assert frames(store) == named(vault, three[2])
        assert len(list(store.list("streams/"))) == 1
    assert verify_points(vault, [three[2]]).proofs[0].regions == ("near", "far")


def test_a_plan_changes_nothing_and_says_what_it_would_free(vault, three, regions):
    before = {name: frames(store) for name, store in regions.items()}
    decided = plan(vault)
    assert {name: frames(store) for name, store in regions.items()} == before
    sizes = {entry.key: entry.size_bytes for entry in regions["near"].list("frames/")}
    sizes |= {entry.key: entry.size_bytes for entry in regions["near"].list("streams/")}
    assert decided.sweeps["near"].size_bytes == sum(sizes[key] for key in decided.sweeps["near"].keys)
    again = plan(vault)
    assert (again.verdicts, again.sweeps) == (decided.verdicts, decided.sweeps)


def test_pinned_points_stay(vault, three):
    catalog.pin(vault, three[0].point_id, who="somebody", why="an audit")
    decided = plan(vault)
    assert [point.point_id for point in decided.forgotten] == [three[1].point_id]
    with pytest.raises(Refused, match="pinned"):
        forget(vault, three[0], HeldLease())


def test_young_frames_stay_even_if_no_point_names_them(vault, three, regions):
    with vault.writing(HeldLease()) as writer:
        writer.write([bytes_of(9, 3 * MIB)])
    assert plan(vault, Rules(), timedelta(hours=24)).size_bytes == 0
    decided = plan(vault, Rules())
    assert decided.forgotten == ()
    carry_out(vault, decided, HeldLease())
    assert frames(regions["near"]) == named(vault, *three)


def test_a_prune_waits_for_a_backup_and_a_backup_for_a_prune(vault):
    with (
        hold(vault.primary, "write", holder="a backup"),
        pytest.raises(LeaseHeld, match="a backup holds the lease") as caught,
        hold(vault.primary, "write", holder="a prune"),
    ):
        pass
    assert caught.value.exit_code == 11


def test_a_point_that_appears_meanwhile_stops_the_sweep(vault, three, regions):
    decided = plan(vault)
    late = write_point(
        vault,
        {"dump": bytes_of(0, 5 * MIB) + bytes_of(1, 3 * MIB)},
        point_id="1ate00000000",
        created_at=START + timedelta(days=9),
    )
    with pytest.raises(WorldChanged, match="1ate00000000"):
        carry_out(vault, decided, HeldLease())
    assert verify_points(vault, [late]).proofs[0].verdicts["near"] == "passed"


def test_what_a_prune_is_about_to_remove_is_noted_before_it_goes(vault, three, monkeypatch):
    def killed(*_):
        raise SystemExit

    monkeypatch.setattr("drkeeper.keeping.prune.carry_out", killed)
    monkeypatch.setattr("drkeeper.audit.append", FirstOnly())
    with pytest.raises(SystemExit):
        Pruning(vault, HeldLease(), plan(vault), "test").carry_out()
    (link,) = audit.links(vault)
    assert (link.event, link.detail["forgotten"]) == ("began", f"{three[0].point_id} {three[1].point_id}")


class FirstOnly:
    """A process that is killed writes no second link."""

    def __init__(self):
        self.append, self.written = append, False

    def __call__(self, vault, link, *, after=None):
        if self.written:
            raise VaultUnreachable("killed")
        self.written = True
        return self.append(vault, link, after=after)


def test_a_lost_lease_stops_the_prune_before_anything_goes(vault, three, regions):
    class Lost(HeldLease):
        def check(self, *, remaining_seconds=0):
            raise LeaseLost("lost")

    before = frames(regions["near"])
    with pytest.raises(LeaseLost):
        carry_out(vault, plan(vault), Lost())
    assert frames(regions["near"]) == before
    assert len(catalog.list_points(vault).points) == 3


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("region", ["near", "far"])
def test_a_prune_that_ends_anywhere_leaves_whole_points_and_the_next_one_finishes(vault, three, regions, at, region):
    faulty = FaultyStore(regions[region], "delete", at, VaultUnreachable("away"), keep_on=True)
    hurt = Vault(vault.header, Regions({**regions, region: faulty}, {}), ())
    decided = plan(vault)
    try:
        carry_out(hurt, decided, HeldLease())
    except VaultUnreachable:
        assert faulty.struck >= 1
    else:
        assert faulty.struck == 0, "there were fewer calls"
    left = catalog.list_points(vault).points
    assert three[2] in left
    for point in left:
        for name in catalog.regions_of(vault, point):
            assert named(vault, point) <= frames(regions[name])
    carry_out(vault, plan(vault), HeldLease())
    assert frames(regions["near"]) == frames(regions["far"]) == named(vault, three[2])


def test_damage_that_hides_what_is_still_needed_refuses_the_sweep(vault, three, regions, tmp_path):
    key = f"streams/{stream_of(three[2], 'dump').ref.index_id}.idx.zst"
    for store in regions.values():
        store.delete([key])
    with pytest.raises(Refused, match=three[2].point_id) as caught:
        plan(vault)
    assert caught.value.exit_code == 4
    file = next((tmp_path / "near/points").glob("*1a0000000000*"))
    for name in regions:
        (tmp_path / name / "points" / file.name).write_text("{}")
    with pytest.raises(Refused, match="records of recovery points are damaged"):
        plan(vault)


def test_a_region_that_is_away_is_left_out_and_named(vault, three, regions, tmp_path):
    (tmp_path / "far").rename(tmp_path / "away")
    opened = Vault.open(regions)
    decided = plan(opened)
    assert list(decided.sweeps) == ["near"]
    assert list(decided.unavailable) == ["far"]
    carry_out(opened, decided, HeldLease())
    (tmp_path / "away").rename(tmp_path / "far")
    carry_out(vault, plan(vault), HeldLease())
    assert frames(regions["far"]) == frames(regions["near"]) == named(vault, three[2])


def test_a_forgotten_point_is_gone_from_every_region_with_its_proofs(vault, three, regions):
    verify_points(vault, three)
    forget(vault, three[0], HeldLease())
    assert [point.point_id for point in catalog.list_points(vault).points] == [p.point_id for p in three[1:]]
    for store in regions.values():
        assert list(store.list(f"proofs/{three[0].point_id}/")) == []


def test_what_a_killed_writer_left_half_written_goes_once_it_is_old(vault, three, tmp_path):
    left = tmp_path / "near/frames/aa/left.zst#1"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half")
    carry_out(vault, plan(vault, Rules(), timedelta(hours=24)), HeldLease())
    assert left.exists()
    carry_out(vault, plan(vault, Rules()), HeldLease())
    assert not left.exists()
