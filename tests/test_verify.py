"""Proof levels: what is damaged is found, named, and takes the level away."""

from datetime import UTC, datetime, timedelta

import pytest

from drkeeper import catalog
from drkeeper.catalog import Proof, standing
from drkeeper.errors import PointUnknown, VaultFull
from drkeeper.replicate import replicate, replicate_records
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from drkeeper.verify import verify_points
from vault_examples import (
    TEST_IDENTITY,
    TEST_RECIPIENT,
    FaultyStore,
    HeldLease,
    bytes_of,
    make_point,
    stream_of,
    write_point,
)

MIB = 1 << 20


@pytest.fixture
def regions(tmp_path):
    return {name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")}


@pytest.fixture
def vault(regions):
    return Vault.create(regions)


@pytest.fixture
def point(vault):
    made = write_point(vault, {"globals.sql": b"create role x;", "db/mlflow.dump": bytes_of(1, 6 * MIB)})
    replicate(vault, [made], HeldLease())
    return made


def files_of(folder, vault, point, name="db/mlflow.dump"):
    spans = vault.frames_of(stream_of(point, name).ref.index_id)
    return [folder / vault.frame_key(span.frame_id) for span in spans]


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("level", ["stored", "intact"])
def test_a_whole_point_is_proven_in_both_regions(vault, point, level):
    result = verify_points(vault, [point], level=level)
    assert (result.verdict, result.proofs[0].regions) == ("passed", ("near", "far"))
    assert catalog.proof_of(vault, point.point_id).level == level
    assert (result.read_bytes > 12 * MIB) == (level == "intact")


def test_a_missing_frame_is_named_with_what_it_hurts(vault, point, tmp_path):
    gone = files_of(tmp_path / "near", vault, point)[1]
    gone.unlink()
    result = verify_points(vault, [point])
    (finding,) = result.findings
    assert finding.subject == f"near.{point.point_id}.mlflow-db.db/mlflow.dump"
    assert gone.name.removesuffix(".zst") in finding.detail
    assert finding.detail.endswith("is missing")
    assert catalog.proof_of(vault, point.point_id).level is None


def test_a_flipped_byte_is_found_by_intact_and_the_level_falls_to_stored(vault, point, tmp_path):
    verify_points(vault, [point], level="intact")
    assert catalog.proof_of(vault, point.point_id).level == "intact"
    hurt = files_of(tmp_path / "far", vault, point)[0]
    flip(hurt)
    assert verify_points(vault, [point], level="stored").verdict == "passed"
    result = verify_points(vault, [point], level="intact")
    (finding,) = result.findings
    assert finding.subject.startswith("far.")
    assert hurt.name.removesuffix(".zst") in finding.detail
    now = catalog.proof_of(vault, point.point_id)
    assert (now.level, now.failed.level) == ("stored", "intact")


def test_a_frame_damaged_in_one_region_is_read_from_the_other(vault, point, tmp_path):
    near = files_of(tmp_path / "near", vault, point)
    flip(near[0])
    near[1].unlink()
    assert b"".join(vault.read(stream_of(point, "db/mlflow.dump").ref)) == bytes_of(1, 6 * MIB)


def test_a_frame_that_two_points_share_hurts_both(vault, point, tmp_path):
    other = write_point(
        vault,
        {"db/mlflow.dump": bytes_of(1, 6 * MIB)},
        point_id="b00000000000",
        created_at=datetime(2026, 3, 2, tzinfo=UTC),
    )
    files_of(tmp_path / "near", vault, point)[2].unlink()
    result = verify_points(vault, [point, other])
    assert {finding.subject.split(".")[1] for finding in result.findings} == {point.point_id, other.point_id}


def test_a_damaged_index_is_a_finding_of_its_stream(vault, point, tmp_path):
    index_id = stream_of(point, "globals.sql").ref.index_id
    flip(tmp_path / f"near/streams/{index_id}.idx.zst")
    (finding,) = verify_points(vault, [point]).findings
    assert finding.subject.endswith("mlflow-db.globals.sql")
    assert index_id in finding.detail


def test_a_sample_reads_a_part_and_says_which(vault, regions):
    point = write_point(vault, {"dump": bytes_of(1, 48 * MIB)})
    result = verify_points(vault, [point], level="intact", sample=0.2, seed=4)
    again = verify_points(vault, [point], level="intact", sample=0.2, seed=4)
    assert 0 < result.read_bytes < 30 * MIB
    assert result.read_bytes == again.read_bytes
    assert (result.proofs[0].sample, result.proofs[0].seed) == (0.2, 4)
    assert catalog.proof_of(vault, point.point_id).sample == 0.2


def test_a_region_without_the_point_is_not_checked_and_takes_nothing_away(vault):
    point = write_point(vault, {"dump": bytes_of(1, MIB)})
    result = verify_points(vault, [point])
    (proof,) = result.proofs
    assert (proof.verdict, proof.regions) == ("passed", ("near",))
    assert (result.verdict, proof.verdicts) == ("not checked", {"near": "passed", "far": "not checked"})
    assert [(c.verdict, c.detail) for c in proof.findings] == [("not checked", "does not hold this point")]


def test_a_region_that_does_not_answer_is_not_checked(vault, point, regions, tmp_path):
    (tmp_path / "far").rename(tmp_path / "away")
    result = verify_points(Vault.open(regions), [point], level="intact")
    (proof,) = result.proofs
    assert (proof.verdict, proof.regions) == ("passed", ("near",))
    assert [c.verdict for c in proof.findings] == ["not checked"]
    assert result.verdict == "not checked"
    assert catalog.proven_in(catalog.proofs_of(vault, point.point_id)) == ("near",)


def test_a_region_that_failed_is_told_from_one_that_passed(vault, point, tmp_path):
    flip(files_of(tmp_path / "far", vault, point)[0])
    (proof,) = verify_points(vault, [point], level="intact").proofs
    assert (proof.verdict, proof.verdicts) == ("failed", {"near": "passed", "far": "failed"})
    assert proof.passed_in == ("near",)


def test_sealed_frames_without_the_key_are_stored_but_not_proven_intact(regions):
    Vault.create(regions, recipients=[TEST_RECIPIENT])
    writing = Vault.open(regions)
    point = write_point(writing, {"dump": bytes_of(1, MIB)})
    replicate(writing, [point], HeldLease())
    assert verify_points(writing, [point], level="stored").verdict == "passed"
    assert verify_points(writing, [point], level="intact").verdict == "not checked"
    assert catalog.proof_of(writing, point.point_id).level == "stored"
    reading = Vault.open(regions, identities=[TEST_IDENTITY])
    assert verify_points(reading, [point], level="intact").verdict == "passed"


# --- what proofs amount to ---

START = datetime(2026, 3, 1, tzinfo=UTC)


def proofs(*outcomes):
    return [
        Proof(point_id="a", level=level, verdict=verdict, at=START + timedelta(days=day))
        for day, (level, verdict) in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    ("outcomes", "level", "day"),
    [
        ([], None, None),
        ([("stored", "passed")], "stored", 0),
        ([("intact", "passed"), ("stored", "passed")], "intact", 0),
        ([("intact", "passed"), ("intact", "failed")], None, None),
        ([("stored", "passed"), ("usable", "passed"), ("intact", "failed")], "stored", 0),
        ([("usable", "passed"), ("stored", "failed")], None, None),
        ([("usable", "passed"), ("usable", "failed"), ("usable", "passed")], "usable", 2),
        ([("restorable", "passed"), ("usable", "not checked")], "restorable", 0),
    ],
)
def test_the_level_is_the_highest_that_no_later_failure_took_away(outcomes, level, day):
    now = standing(proofs(*outcomes))
    assert now.level == level
    assert now.age_seconds(START + timedelta(days=10)) == (None if day is None else (10 - day) * 86_400)


def in_regions(level, **verdicts):
    verdict = "failed" if "failed" in verdicts.values() else "passed"
    return Proof(point_id="a", level=level, verdict=verdict, at=START, verdicts=verdicts)


@pytest.mark.parametrize(
    ("proofs", "regions"),
    [
        ([], ()),
        ([in_regions("intact", near="passed", far="not checked")], ("near",)),
        (
            [
                in_regions("intact", near="passed", far="not checked"),
                in_regions("stored", near="passed", far="passed"),
            ],
            ("near",),
        ),
        (
            [
                in_regions("intact", near="passed", far="not checked"),
                in_regions("intact", near="not checked", far="passed"),
            ],
            ("near", "far"),
        ),
        (
            [
                in_regions("intact", near="passed", far="passed"),
                in_regions("intact", near="passed", far="failed"),
                in_regions("intact", near="not checked", far="passed"),
            ],
            ("far",),
        ),
        (
            [
                in_regions("stored", near="passed", far="not checked"),
                in_regions("intact", near="passed", far="failed"),
            ],
            ("near",),
        ),
    ],
)
def test_a_level_is_held_in_the_regions_that_were_looked_at(proofs, regions):
    assert catalog.proven_in(proofs) == regions


def test_a_proof_of_before_regions_had_verdicts_speaks_for_those_it_names():
    old = Proof(point_id="a", level="stored", verdict="passed", at=START, regions=("near", "far"))
    assert catalog.proven_in([old]) == ("near", "far")


# --- finding points ---


def test_points_answer_to_latest_to_their_id_and_to_a_beginning_of_it(vault):
    made = [
        write_point(vault, {"dump": b"x"}, point_id=point_id, created_at=START + timedelta(days=day), **changes)
        for day, (point_id, changes) in enumerate(
            [
                ("aa1000000000", {}),
                ("aa2000000000", {}),
                ("bb0000000000", {"purpose": "undo"}),
            ]
        )
    ]
    assert catalog.find_point(vault, "latest") == made[1]
    assert catalog.find_point(vault, "aa1") == made[0]
    assert catalog.find_point(vault, "BB0000000000") == made[2]
    with pytest.raises(PointUnknown, match="2 points begin with aa"):
        catalog.find_point(vault, "aa")
    with pytest.raises(PointUnknown) as caught:
        catalog.find_point(vault, "aa1000000001")
    assert "aa1000000000" in caught.value.hint
    with pytest.raises(PointUnknown):
        catalog.find_point(vault, "")


def test_latest_is_never_partial_unless_that_is_asked_for(vault):
    with pytest.raises(PointUnknown, match="no recovery point yet"):
        catalog.find_point(vault, "latest")

    with vault.writing(HeldLease()) as writer:
        writer.commit(make_point(status="failed"))
    with pytest.raises(PointUnknown, match="only partial"):
        catalog.find_point(vault, "latest")
    assert catalog.find_point(vault, "latest", allow_partial=True).partial


def test_each_point_carries_the_digest_of_the_one_before_it(vault):
    first = write_point(vault, {"dump": b"x"})
    second = write_point(vault, {"dump": b"x"}, point_id="b00000000000", created_at=START + timedelta(days=9))
    assert first.previous_digest == ""
    assert second.previous_digest == vault.digest(first)
    assert second.fencing_token == HeldLease.token


# --- replication ---


def test_a_point_is_durable_once_each_region_holds_it(vault, regions):
    point = write_point(vault, {"dump": bytes_of(1, 5 * MIB)})
    assert catalog.regions_of(vault, point) == ("near",)
    (result,) = replicate(vault, [point], HeldLease())
    assert (result.region, result.points, result.error) == ("far", (point.point_id,), "")
    assert catalog.regions_of(vault, point) == tuple(vault.regions.stores)
    far_only = Vault.open({"far": regions["far"]})
    assert b"".join(far_only.read(stream_of(point, "dump").ref)) == bytes_of(1, 5 * MIB)
    (again,) = replicate(vault, [point], HeldLease())
    assert (again.points, again.frames) == ((), 0)


def test_only_what_is_new_is_copied(vault):
    data = bytes_of(1, 20 * MIB)
    replicate(vault, [write_point(vault, {"dump": data})], HeldLease())
    later = write_point(vault, {"dump": data + b"more"}, point_id="b00000000000")
    (result,) = replicate(vault, [later], HeldLease())
    assert 1 <= result.frames <= 2


def test_a_host_without_the_key_can_replicate(regions):
    Vault.create(regions, recipients=[TEST_RECIPIENT])
    writing = Vault.open(regions)
    point = write_point(writing, {"dump": bytes_of(1, 3 * MIB)})
    replicate(writing, [point], HeldLease())
    far = Vault.open({"far": regions["far"]}, identities=[TEST_IDENTITY])
    assert b"".join(far.read(stream_of(point, "dump").ref)) == bytes_of(1, 3 * MIB)


@pytest.mark.parametrize(("method", "at"), [("put", 1), ("put", 5), ("create", 1), ("list", 2), ("flush", 1)])
def test_a_region_that_fails_costs_the_point_nothing(vault, regions, tmp_path, method, at):
    third = open_store(StoreOptions(url=str(tmp_path / "third")))
    Vault.create({**regions, "third": third})
    point = write_point(vault, {"dump": bytes_of(1, 16 * MIB)})
    faulty = FaultyStore(regions["far"], method, at, VaultFull("far has no space left"))
    hurt = Vault.open({"near": regions["near"], "far": faulty, "third": third})
    far, whole = replicate(hurt, [point], HeldLease())
    assert faulty.struck == 1
    assert (far.region, far.error, far.points) == ("far", "far has no space left", ())
    assert (whole.region, whole.error, whole.points) == ("third", "", (point.point_id,))
    assert catalog.regions_of(hurt, point) == ("near", "third")
    assert replicate(hurt, [point], HeldLease())[0].error == ""
    assert verify_points(hurt, [point], level="intact").proofs[0].regions == ("near", "far", "third")


def test_a_frame_damaged_at_its_source_is_not_copied_on(vault, regions, tmp_path):
    point = write_point(vault, {"dump": bytes_of(1, 3 * MIB)})
    flip(files_of(tmp_path / "near", vault, point, "dump")[0])
    (result,) = replicate(vault, [point], HeldLease())
    assert "is damaged" in result.error
    assert catalog.regions_of(vault, point) == ("near",)


def test_small_records_reach_every_region(vault, regions):
    point = write_point(vault, {"dump": b"x"})
    catalog.pin(vault, point.point_id, who="somebody", why="an audit")
    assert replicate_records(vault) == 1
    assert replicate_records(vault) == 0
    assert point.point_id in catalog.pins(Vault.open({"far": regions["far"]}))


def test_a_damaged_pin_still_pins_and_a_damaged_proof_proves_nothing(vault, regions):
    point = write_point(vault, {"dump": b"x"})
    catalog.pin(vault, point.point_id, who="somebody", why="an audit")
    verify_points(vault, [point])
    (proof,) = regions["near"].list(f"proofs/{point.point_id}/")
    for key in (proof.key, f"pins/{point.point_id}.json"):
        regions["near"].put(key, regions["near"].get(key).replace(b"stored", b"usable").replace(b"audit", b"idiot"))
    assert catalog.proof_of(vault, point.point_id).level is None
    assert "damaged" in catalog.pins(vault)[point.point_id].why
