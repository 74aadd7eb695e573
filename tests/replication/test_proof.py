"""A bucket and its replica on two real servers: what is proven of them, what is found wrong, and what heals it."""

import os
import socket
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.buckets.faulty import faulty
from tests.buckets.regions import bucket_at
from tests.buckets.test_copying import put_parts
from tests.buckets.test_listing import ODD_KEYS
from tests.replication.buckets import contents, pair_of, run, versioned
from tests.replication.rot import rot

from drkeeper.buckets.listing import list_objects
from drkeeper.errors import LeaseHeld
from drkeeper.replication import proof_intact, proof_records, proof_stored, shard_run
from drkeeper.replication.proof import Prover
from drkeeper.replication.proof_heal import Healer
from drkeeper.replication.proof_records import newest_proof, newest_walk, proof_keys
from drkeeper.replication.records import keep_record
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault

MIB = 1 << 20


@pytest.fixture
def vault(tmp_path):
    return Vault.create({"here": open_store(StoreOptions(url=str(tmp_path / "vault")))})


@pytest.fixture
def volumes(tmp_path_factory):
    def of(region):
        return list(tmp_path_factory.getbasetemp().glob(f"{region}*/data/*.dat"))

    return of


@pytest.fixture
def pair(source, replica):
    return pair_of(source, replica, retries=1, timeout_seconds=2)


def put(bucket, key, body=None, **headers):
    body = os.urandom(1000) if body is None else body
    bucket.request("PUT", key, body=body, headers={"x-amz-meta-run": "1", "x-amz-tagging": "stage=prod", **headers})
    return body


def replicated(vault, pair, *, later=timedelta(seconds=2)):
    """Bring everything; what was written up to now counts as written before."""
    record = run(pair)
    keep_record(vault, record.model_copy(update={"as_of": record.as_of + later}))
    return record


def prove(vault, pair, level, **more):
    return Prover(pair, vault).prove(level, **more)


def failed(proof):
    return {each.subject.removeprefix("artifacts."): each for each in proof.findings if each.verdict == "failed"}


def heal(vault, pair):
    replica, source = (newest_walk(vault, pair.system, region) for region in ("replica", "source"))
    told = list(Healer(pair.system, pair.copier()).heal(replica.damaged, source.damaged))
    return told, Prover(pair, vault).look_again()


# --- equal ---


@pytest.mark.parametrize("level", ["stored", "intact", "restorable"])
def test_equal_buckets_pass_at_each_level(vault, near, source, replica, level):
    for key in ODD_KEYS:
        put(source, key)
    put(source, "empty", b"")
    put(source, "large", os.urandom(9 * MIB))
    put_parts(near, source, "parts", [os.urandom(5 * MIB), os.urandom(6 * MIB), b"end"])
    put(source, "scratch/left-out")
    pair = pair_of(source, replica, exclude=("scratch/*",))
    replicated(vault, pair)
    put(replica, ".drkeeper/uploads/note")
    proof = prove(vault, pair, level, share=1.0)
    assert proof.findings == ()
    assert proof.verdicts == {"source": "passed", "replica": "passed"}
    assert [region.objects for region in proof.regions] == [len(ODD_KEYS) + 3] * 2
    assert len({region.size_bytes for region in proof.regions}) == 1
    assert newest_proof(vault, "artifacts", level) == proof
    if level != "stored":
        assert all(region.bytes_per_second > 0 for region in proof.regions)


def test_an_empty_bucket_passes(vault, pair):
    replicated(vault, pair)
    for level in ("stored", "intact", "restorable"):
        assert prove(vault, pair, level).verdict == "passed"


# --- stored ---


def test_what_is_lacking_or_changed_in_the_replica_is_named_and_replicate_mends_it(vault, pair, source, replica):
    for number in range(20):
        put(source, f"m/{number}")
    replicated(vault, pair)
    replica.request("DELETE", "m/3")
    put(replica, "m/4", b"something else")
    proof = prove(vault, pair, "stored")
    assert proof.verdicts == {"source": "passed", "replica": "failed"}
    assert set(failed(proof)) == {"replica.m/3", "replica.m/4"}
    assert "is not in the replica, where a run brought all" in failed(proof)["replica.m/3"].detail
    assert "is not in the replica as it is in the source" in failed(proof)["replica.m/4"].detail
    assert "drkeeper replicate --system artifacts" in failed(proof)["replica.m/4"].remedy
    replicated(vault, pair)
    assert prove(vault, pair, "stored").verdict == "passed"


def test_what_is_younger_than_the_last_complete_run_is_not_due_yet(vault, pair, source):
    put(source, "old")
    replicated(vault, pair, later=timedelta(hours=-1))
    put(source, "young")
    proof = prove(vault, pair, "stored")
    assert (proof.verdict, proof.not_due) == ("passed", 1)
    assert "1 objects are younger than the last complete run, and not yet due" in proof.notes


def test_without_a_complete_run_all_is_due(vault, pair, source):
    put(source, "k")
    record = run(pair, dry_run=True)
    keep_record(vault, record)
    proof = prove(vault, pair, "stored")
    assert proof.verdict == "failed"
    assert "no complete run" in proof.notes[0]


def test_runs_to_another_replica_say_nothing_of_this_one(vault, pair, far, source):
    put(source, "k")
    replicated(vault, pair)
    moved = pair_of(source, bucket_at(far))
    assert prove(vault, moved, "stored").verdict == "failed"


def test_deletions_that_wait_are_told_and_are_no_failure(vault, pair, far, source, replica):
    versioned(far, replica)
    for key in ("a", "b", "c"):
        put(source, key)
    replicated(vault, pair)
    source.request("DELETE", "a")
    run(pair)
    put(replica, "planted")
    proof = prove(vault, pair, "stored")
    assert (proof.verdict, proof.extra) == ("passed", 2)
    assert proof.notes == (
        "2 objects are in the replica only (a, planted): 1 of them wait for 7 days to be over, the others to be noted",
    )


def test_what_changes_while_it_is_listed_is_not_taken_for_damage(vault, pair, source, monkeypatch):
    for number in range(5):
        put(source, f"m/{number}")
    replicated(vault, pair)
    real = proof_stored.compared

    def meanwhile(how, shard):
        listed, held = real(how, shard)
        listed = list(listed)
        put(source, "m/1")
        source.request("DELETE", "m/2")
        run(pair)
        held.update({"m/1": "other 5 2026-01-01T00:00:00Z"})
        del held["m/2"]
        return iter(listed), held

    monkeypatch.setattr(proof_stored, "compared", meanwhile)
    assert prove(vault, pair, "stored").verdict == "passed"


def test_buckets_that_do_not_fit_into_memory_are_compared_piece_by_piece(vault, pair, source, replica, monkeypatch):
    for number in range(30):
        put(source, f"{number % 4}/{number}")
    replicated(vault, pair)
    replica.request("DELETE", "1/5")
    for module in (shard_run, proof_stored):
        monkeypatch.setattr(module, "TABLE_KEYS", 10)
    proof = prove(vault, pair, "stored")
    assert set(failed(proof)) == {"replica.1/5"}
    assert [region.objects for region in proof.regions] == [30, 29]


# --- intact ---


def test_rot_that_no_listing_shows_is_found_named_and_healed(vault, pair, near, source, replica, volumes):
    bodies = {f"m/{number}": put(source, f"m/{number}") for number in range(10)}
    parts = [os.urandom(5 * MIB), b"end"]
    put_parts(near, source, "parts", parts)
    replicated(vault, pair)
    before = contents(source)
    rot(volumes("far"), bodies["m/7"])
    rot(volumes("far"), parts[0])
    assert contents(replica) != before
    assert prove(vault, pair, "stored").verdict == "passed"
    assert run(pair).copied_bytes == 0
    proof = prove(vault, pair, "intact")
    assert proof.verdicts == {"source": "passed", "replica": "failed"}
    assert set(failed(proof)) == {"replica.m/7", "replica.parts"}
    assert "its bytes come to" in failed(proof)["replica.m/7"].detail
    assert "--level intact --heal" in failed(proof)["replica.m/7"].remedy
    told, proof = heal(vault, pair)
    assert [(each.verdict, each.detail) for each in told] == [
        ("passed", "copied again from the source, and re-hashed")
    ] * 2
    assert (proof.verdict, proof.findings) == ("passed", ())
    assert contents(replica) == before


def test_bytes_that_the_server_itself_finds_rotten_cannot_be_read_and_are_healed(vault, far, source, replica, volumes):
    pair = pair_of(source, bucket_at(far, replica.name, timeout_seconds=1), retries=0)
    body = put(source, "m/7")
    put(source, "m/8")
    replicated(vault, pair)
    rot(volumes("far"), body, unnoticed=False)
    proof = prove(vault, pair, "intact")
    assert set(failed(proof)) == {"replica.m/7"}
    assert "its bytes cannot be read" in failed(proof)["replica.m/7"].detail
    assert heal(vault, pair)[1].verdict == "passed"
    assert contents(replica) == contents(source)


def test_damage_in_the_source_is_told_with_the_command_and_left_as_it_is(vault, pair, source, replica, volumes):
    body = put(source, "m 7")
    replicated(vault, pair)
    rot(volumes("near"), body)
    before = contents(replica)
    proof = prove(vault, pair, "intact")
    assert proof.verdicts == {"source": "failed", "replica": "passed"}
    command = "`drkeeper restore --system artifacts --only 'm 7'` brings it back from the replica"
    assert failed(proof)["source.m 7"].remedy == command
    told, proof = heal(vault, pair)
    assert [(each.verdict, each.remedy) for each in told] == [("failed", command)]
    assert proof.verdict == "failed"
    assert contents(replica) == before


def test_what_is_damaged_on_both_sides_is_not_copied(vault, pair, source, replica, volumes):
    body = put(source, "k")
    replicated(vault, pair)
    rot(volumes("near"), body)
    rot(volumes("far"), body)
    before = contents(replica)
    assert set(failed(prove(vault, pair, "intact"))) == {"source.k", "replica.k"}
    told, proof = heal(vault, pair)
    assert "the source's is damaged" in told[0].detail
    assert proof.verdict == "failed"
    assert contents(replica) == before


@pytest.mark.parametrize("what", ["another object", "nothing"])
def test_a_source_that_holds_something_else_by_now_heals_nothing(vault, pair, source, replica, volumes, what):
    body = put(source, "k")
    replicated(vault, pair)
    rot(volumes("far"), body)
    prove(vault, pair, "intact")
    if what == "nothing":
        source.request("DELETE", "k")
    else:
        put(source, "k", b"perhaps encrypted by somebody")
    before = contents(replica)
    (told,), _ = heal(vault, pair)
    assert told.verdict == "failed"
    assert contents(replica) == before


def test_known_damage_is_looked_at_again_whatever_stretch_a_run_covers(vault, pair, source, replica, volumes):
    bodies = {f"m/{number}": put(source, f"m/{number}") for number in range(40)}
    replicated(vault, pair)
    rot(volumes("far"), bodies["m/7"])
    verdicts = [prove(vault, pair, "intact", share=0.25).verdicts["replica"] for _ in range(4)]
    at = verdicts.index("failed")
    assert verdicts == ["passed"] * at + ["failed"] * (4 - at)
    replica.request("DELETE", "m/7")
    assert prove(vault, pair, "intact", share=0.01).verdict == "passed"


def test_a_byte_that_falls_over_on_the_way_is_read_again_and_is_no_rot(vault, source, replica):
    put(source, "k")
    with faulty(replica.endpoint) as proxy:
        pair = pair_of(source, replica, replica_endpoint=proxy.endpoint)
        replicated(vault, pair)
        once = proxy.rule("GET", "/k", "damage")
        assert prove(vault, pair, "intact").verdict == "passed"
        assert once.hits == 1
        always = proxy.rule("GET", "/k", "damage", times=100)
        assert set(failed(prove(vault, pair, "intact"))) == {"replica.k"}
        assert always.hits == 2


def test_shares_add_up_to_the_whole_bucket_with_the_dates_of_it(vault, pair, source):
    for number in range(60):
        put(source, f"m/{number}", os.urandom(100 + number))
    replicated(vault, pair)
    proofs = [prove(vault, pair, "intact", share=0.25) for _ in range(4)]
    assert sum(proof.regions[1].objects for proof in proofs) == 60
    for proof in proofs[:3]:
        assert proof.regions[1].coverage.all_since is None
    coverages = [proof.regions[1].coverage for proof in proofs]
    assert [round(each.ring, 6) for each in coverages] == [0.25, 0.5, 0.75, 1.0]
    whole = coverages[-1]
    assert (whole.objects, whole.size_bytes) == (whole.of_objects, whole.of_bytes)
    assert whole.objects == 60
    assert whole.all_since == whole.since == coverages[0].since
    again = prove(vault, pair, "intact", share=0.5).regions[1].coverage
    assert (again.all_since, again.since > whole.until) == (whole.since, True)


def test_objects_without_a_digest_are_checked_by_their_checksum_or_said_to_be_unchecked(vault, near, source, replica):
    put(source, "plain")
    parts = [os.urandom(5 * MIB), b"end"]
    put_parts(near, source, "parts", parts)
    with faulty(source.endpoint) as proxy:
        pair = pair_of(source, replica, endpoint=proxy.endpoint)
        replicated(vault, pair)
        # Parts that are not told: an endpoint that answers for the object as a whole.
        hides = proxy.rule("HEAD", "partNumber", "forget parts", times=100)
        proof = prove(vault, pair, "intact")
    assert hides.hits > 0
    assert proof.verdict == "passed"
    assert proof.regions[0].unchecked == {
        "its ETag is no digest of its bytes, and its server keeps no checksum that we can compute": 1
    }
    assert (proof.regions[0].objects, proof.regions[1].objects) == (1, 2)


def test_the_rate_of_the_system_is_obeyed(vault, pair, source):
    for number in range(10):
        put(source, f"m/{number}", os.urandom(20_000))
    replicated(vault, pair)
    proof = prove(vault, replace(pair, rate_bytes_per_second=400_000), "intact")
    assert proof.verdict == "passed"
    assert proof.elapsed_seconds > 0.9


def test_of_two_at_once_one_is_told_and_the_account_is_kept_once(vault, pair, source, monkeypatch):
    for number in range(20):
        put(source, f"m/{number}")
    replicated(vault, pair)
    real = proof_intact.ring_of
    began = []

    def meanwhile(*arguments):
        if not began:
            began.append(True)
            prove(vault, pair, "intact", share=0.5)
        return real(*arguments)

    monkeypatch.setattr(proof_intact, "ring_of", meanwhile)
    with pytest.raises(LeaseHeld):
        prove(vault, pair, "intact", share=0.5)
    prove(vault, pair, "intact", share=0.5)
    assert newest_walk(vault, "artifacts", "source").last_circle.objects == 20


# --- restorable ---


def test_objects_are_fetched_with_all_that_they_carry_and_compared(vault, pair, source, replica, volumes):
    bodies = {f"m/{number}": put(source, f"m/{number}") for number in range(6)}
    replicated(vault, pair)
    put(replica, "m/0", bodies["m/0"], **{"x-amz-meta-run": "2"})
    put(replica, "m/1", bodies["m/1"], **{"x-amz-tagging": "stage=test"})
    put(replica, "m/2", bodies["m/2"], **{"content-type": "text/plain"})
    replica.request("DELETE", "m/3")
    rot(volumes("far"), bodies["m/4"])
    proof = prove(vault, pair, "restorable", share=1.0)
    found = failed(proof)
    assert {key: each.detail.partition(":")[0] for key, each in found.items() if key != "replica.m/4"} == {
        "replica.m/0": "its metadata are not those of the source",
        "replica.m/1": "its tags are not those of the source",
        "replica.m/2": "its headers are not those of the source",
        "replica.m/3": "it is not there",
    }
    assert "its bytes come to" in found["replica.m/4"].detail
    assert proof.verdicts == {"source": "passed", "replica": "failed"}


def test_a_sample_is_the_same_for_the_same_seed_and_never_too_small(vault, source, replica):
    for number in range(60):
        put(source, f"m/{number}")
    with faulty(replica.endpoint) as proxy:
        pair = pair_of(source, replica, replica_endpoint=proxy.endpoint)
        replicated(vault, pair)

        def fetched(**more):
            proxy.seen.clear()
            proof = prove(vault, pair, "restorable", **more)
            return proof, {path for method, path in proxy.seen if method == "GET" and "/m/" in path}

        first, keys = fetched(share=0.3, seed=4)
        assert fetched(share=0.3, seed=4)[1] == keys
        assert fetched(share=0.3, seed=5)[1] != keys
        assert 10 < first.regions[1].objects < 30
        assert (first.seed, first.sample) == (4, 0.3)
        assert fetched(share=0.0001)[0].regions[1].objects == 10


# --- a region that is away ---


@pytest.mark.parametrize("level", ["stored", "intact", "restorable"])
@pytest.mark.parametrize("lost", ["source", "replica"])
def test_a_region_that_does_not_answer_is_not_checked(vault, source, replica, level, lost):
    put(source, "k")
    replicated(vault, pair_of(source, replica))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ends = {"endpoint": nowhere} if lost == "source" else {"replica_endpoint": nowhere}
        proof = prove(vault, pair_of(source, replica, retries=0, **ends), level, share=1.0)
    other = "source" if lost == "replica" else "replica"
    assert proof.verdict == "not checked"
    assert proof.verdicts == {lost: "not checked", other: "not checked" if level == "stored" else "passed"}
    assert any(each.subject == f"artifacts.{lost}" and "does not answer" in each.detail for each in proof.findings)


def test_a_region_that_goes_away_on_the_way_keeps_what_was_read(vault, source, replica, monkeypatch):
    monkeypatch.setattr(proof_intact, "THREADS", 1)
    for number in range(20):
        put(source, f"m/{number}")
    with faulty(replica.endpoint) as proxy:
        pair = pair_of(source, replica, replica_endpoint=proxy.endpoint, retries=0)
        replicated(vault, pair)
        gone = proxy.rule("GET", "/m/", "hang up", skip=7, times=1000)
        away = proxy.rule("HEAD", "", "hang up", skip=1, times=1000)  # it answers when it is asked at first
        proof = prove(vault, pair, "intact")
        assert (gone.hits > 0, away.hits > 0) == (True, True)
        assert proof.verdicts == {"source": "passed", "replica": "not checked"}
        read = proof.regions[1].objects
        assert 0 < read <= 7
        proxy.rules.clear()
        proof = prove(vault, pair, "intact")
    assert proof.verdict == "passed"
    assert newest_walk(vault, "artifacts", "replica").last_circle.objects == 20


# --- records ---


def test_records_are_bounded_for_each_level(vault, pair, source, monkeypatch):
    monkeypatch.setattr(proof_records, "KEPT", 3)
    put(source, "k")
    replicated(vault, pair)
    for _ in range(5):
        prove(vault, pair, "stored")
        newest = prove(vault, pair, "intact")
    for level in ("stored", "intact"):
        assert len(proof_keys(vault, "artifacts", level)) == 3
    assert newest_proof(vault, "artifacts", "intact") == newest
    walks = [key for key in vault.record_keys("bucket-proofs/artifacts/") if "/walk/" in key]
    assert len(walks) <= 2 * proof_records.WALKS_KEPT


def test_findings_are_bounded_and_the_rest_is_counted(vault, pair, source, replica, monkeypatch):
    for number in range(60):
        put(source, f"m/{number}")
    replicated(vault, pair)
    for one in list(list_objects(replica, "m/")):
        replica.request("DELETE", one.key)
    proof = prove(vault, pair, "stored")
    assert (len(proof.findings), proof.regions[1].failed) == (51, 60)
    assert proof.findings[-1].detail == "10 more objects did not pass"
