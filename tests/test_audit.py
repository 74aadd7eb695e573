"""The audit log: whoever edits, cuts out, moves or puts in a link is found, and nobody who only works is accused."""

import itertools
import json
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from drkeeper import audit, clock
from drkeeper._audit.link import Place
from drkeeper.audit import Link
from drkeeper.errors import Interrupted, RecordCorrupt, Refused, VaultFull, VaultUnreachable
from drkeeper.replicate import replicate_records
from drkeeper.vault.records import unpack
from drkeeper.vault.regions import Regions
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from report_examples import good
from vault_examples import FaultyStore

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def regions(folder):
    return {name: open_store(StoreOptions(url=str(folder / name))) for name in ("near", "far")}


@pytest.fixture
def vault(regions):
    return Vault.create(regions)


@pytest.fixture
def six(vault):
    """Three commands, six links."""
    for command in ("backup", "verify", "prune"):
        with audit.recorded(vault, "test", command) as ending:
            ending.detail["point"] = "a1b2c3"
    return vault


def failed(vault, anchors=None):
    return {check.subject: check.detail for check in audit.verify_chain(vault, anchors) if check.verdict == "failed"}


def verdicts(vault, anchors=None):
    return {check.subject: check.verdict for check in audit.verify_chain(vault, anchors)}


def files(folder, number, region="near"):
    """One link as both regions hold it."""
    found = [folder / name / Place(number, region).key for name in ("near", "far")]
    assert all(file.exists() for file in found)
    return found


def rewrite(vault, file, **changes):
    """Change a link as somebody would who can write to the vault and knows its key: the digest fits again."""
    link, _ = unpack(file.read_bytes(), Link, vault.hash_key, str(file))
    file.write_bytes(vault.record_bytes(link.model_copy(update=changes)))


# --- what is written ---


def test_a_command_is_two_links_of_one_run(vault):
    with audit.recorded(vault, "test", "backup", purpose="backup") as ending:
        ending.detail["point"] = "a1b2c3"
    began, ended = audit.links(vault)
    assert (began.number, began.event, began.previous, began.outcome) == (1, "began", "", "")
    assert (ended.number, ended.event, ended.previous) == (2, "ended", vault.digest(began))
    assert (ended.run, ended.outcome, ended.exit_code) == (began.run, "ok", 0)
    assert ended.detail == {"trigger": "manual", "purpose": "backup", "point": "a1b2c3"}
    assert audit.head(vault) == f"2 {vault.digest(ended)}"
    assert began.actor == audit.actor() != ""


@pytest.mark.parametrize(
    ("error", "outcome", "exit_code", "told"),
    [
        (Refused("there is data"), "failed", 4, "there is data"),
        (Interrupted("stopped"), "interrupted", 130, "stopped"),
        (KeyboardInterrupt(), "interrupted", 130, ""),
        (ValueError("password=hunter2"), "failed", 1, "ValueError"),
    ],
)
def test_how_a_command_ended_is_told_and_nothing_that_may_be_a_secret(vault, error, outcome, exit_code, told):
    with pytest.raises(type(error)), audit.recorded(vault, "test", "restore"):
        raise error
    last = audit.links(vault)[-1]
    assert (last.outcome, last.exit_code, last.error) == (outcome, exit_code, told)


def test_who_ran_it_and_why_are_told_by_whoever_started_it(vault, monkeypatch):
    monkeypatch.setenv("DRKEEPER_ACTOR", "cronjob/backup")
    with audit.triggered_by("schedule"), audit.recorded(vault, "test", "backup"):
        pass
    monkeypatch.setenv("DRKEEPER_TRIGGER", "schedule")
    with audit.recorded(vault, "test", "verify"):
        pass
    assert [(link.actor, link.detail["trigger"]) for link in audit.links(vault)] == [("cronjob/backup", "schedule")] * 4


def test_numbers_order_links_also_when_the_clock_jumps_back(vault, monkeypatch):
    now = clock.now()
    moments = itertools.chain([now, now - timedelta(hours=3), now - timedelta(hours=2), now], itertools.repeat(now))
    monkeypatch.setattr(clock, "now", lambda: next(moments))
    for command in ("backup", "verify"):
        with audit.recorded(vault, "test", command):
            pass
    assert [link.number for link in audit.links(vault)] == [1, 2, 3, 4]
    assert verdicts(vault)["audit.chain"] == "passed"
    assert {link.command for link in audit.links(vault, since=now)} == {"backup", "verify"}


def work(folder, count):
    regions = {name: open_store(StoreOptions(url=str(folder / name))) for name in ("near", "far")}
    vault = Vault.open(regions)
    for _ in range(count):
        with audit.recorded(vault, "test", "backup"):
            pass


def test_of_many_writers_at_once_each_link_has_its_place(vault, folder):
    threads = [threading.Thread(target=work, args=(folder, 5)) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    chain = audit.links(vault)
    assert [link.number for link in chain] == list(range(1, 51))
    assert all(len(run) == 2 for run in audit.runs(chain).values())
    assert verdicts(vault)["audit.chain"] == "passed"


def test_only_what_is_new_enough_is_read(vault, monkeypatch):
    monkeypatch.setattr(audit, "READ_AT_ONCE", 2)
    now = clock.now()
    for hours in (9, 6, 3, 0):
        monkeypatch.setattr(clock, "now", lambda hours=hours: now - timedelta(hours=hours))
        with audit.recorded(vault, "test", f"{hours} hours ago"):
            pass
    asked = []
    monkeypatch.setattr(audit, "read_link", lambda vault, place: asked.append(place) or read(vault, place))
    found = audit.links(vault, since=now - timedelta(hours=4))
    assert [link.command for link in found[::2]] == ["3 hours ago", "0 hours ago"]
    assert len(asked) == 6


read = audit.read_link


# --- what cannot be written ---


def broken(regions, error, *, at=1, names=("near", "far")):
    """The same vault over stores of which some fail to create, from a call on."""
    faulty = {
        name: FaultyStore(store, "create", at, error, keep_on=True) if name in names else store
        for name, store in regions.items()
    }
    opened = Vault.open(regions)
    opened.regions = Regions(faulty, {})
    return opened, faulty


def test_a_restore_goes_on_where_its_link_cannot_be_written_and_its_end_says_so(vault, regions, capsys):
    full, faulty = broken(regions, VaultFull("no space"), names=("near",))
    with audit.recorded(full, "test", "restore"):
        assert faulty["near"].struck == 1
        full.regions = Regions(regions, {})
    (ended,) = audit.links(vault)
    assert (ended.event, ended.outcome) == ("ended", "ok")
    assert ended.detail["lost"] == "the beginning was not noted: no space"
    assert "audit link lost" in "".join(capsys.readouterr())


def test_what_removes_something_is_refused_where_it_cannot_be_noted(vault, regions):
    full, _ = broken(regions, VaultFull("no space"), names=("near",))
    done = []
    with pytest.raises(Refused, match="points forget removes something"):  # noqa: SIM117 - the outer one is tested
        with audit.recorded_or_refused(full, "test", "points forget"):
            done.append("forgotten")
    assert (done, audit.links(vault)) == ([], [])


def test_where_no_region_answers_the_command_goes_on(vault, regions):
    away, faulty = broken(regions, VaultUnreachable("away"))
    with audit.recorded(away, "test", "restore"):
        done = True
    assert done
    assert all(store.struck for store in faulty.values())
    assert audit.links(vault) == []


def test_a_vault_that_cannot_be_opened_stops_nobody():
    def away():
        raise VaultUnreachable("away")

    with audit.recorded_if_known(away, "test", "release") as ending:
        ending.detail["systems"] = "cluster"


# --- what is found ---


def test_a_whole_log_passes_and_says_what_it_could_not_compare_with(six):
    assert verdicts(six) == {"audit.chain": "passed", "audit.anchors": "not checked"}


def test_a_log_that_goes_on_while_it_is_checked_is_whole(six, regions, monkeypatch):
    struck = []

    def listed(prefix, far=regions["far"].list):
        if not struck:  # the near region was asked already
            struck.append(prefix)
            with audit.recorded(six, "test", "backup"):
                pass
        return far(prefix)

    monkeypatch.setattr(regions["far"], "list", listed)
    assert failed(six) == {}
    assert struck


def test_a_link_that_is_on_its_way_to_a_region_is_not_missing_there(six, folder, monkeypatch):
    near, far = files(folder, 6)
    held = far.rename(far.with_suffix(".later"))
    monkeypatch.setattr("drkeeper._audit.look.clock.sleep", lambda _: held.rename(far))
    assert failed(six) == {}
    assert near.exists()
    assert far.exists()


def test_what_is_no_name_of_a_link_is_told_and_hides_nothing_else(six, folder):
    for file in files(folder, 6):
        rewrite(six, file, beside={"far": "nonsense"})
    told = failed(six, {"a drill": "more nonsense"})
    assert "a drill saw link 0" in told["audit.0"] or "which is not there as it was" in told["audit.0"]


def test_an_empty_log_is_not_a_passed_one(vault):
    assert verdicts(vault)["audit.chain"] == "not checked"


def test_a_flipped_byte_is_named_with_its_region(six, folder):
    file = files(folder, 3)[1]
    file.write_bytes(file.read_bytes().replace(b"verify", b"backup"))
    with pytest.raises(RecordCorrupt):
        six.read_record(Place(3, "near").key, Link, region="far")
    assert failed(six) == {"audit.3.far": "link 3 (near) is damaged in far; near has it whole"}


def test_a_link_that_was_edited_everywhere_with_its_digest_is_found_by_the_next_one(six, folder):
    for file in files(folder, 3):
        rewrite(six, file, actor="somebody else")
    found = failed(six)
    assert "one of both was edited" in found["audit.3"]


def test_a_link_that_was_edited_in_one_region_is_found_and_the_true_one_named(six, folder):
    rewrite(six, files(folder, 3)[0], command="nothing")
    assert failed(six)["audit.3"] == "link 3 (near) differs between near, far; the link after it names the one in far"


def test_a_link_that_was_cut_out_everywhere_is_found(six, folder):
    for file in files(folder, 4):
        file.unlink()
    assert failed(six) == {"audit.4": "link 4 is in no region: cut out"}


def test_the_beginning_cannot_be_cut_off(six, folder):
    for number in (1, 2):
        for file in files(folder, number):
            file.unlink()
    assert failed(six) == {"audit.1": "link 1 to 2 is in no region: cut out"}


def test_an_end_that_was_cut_off_in_one_region_is_found(six, folder):
    for number in (5, 6):
        files(folder, number)[1].unlink()
    found = failed(six)
    assert set(found) == {"audit.5.far", "audit.6.far"}
    assert found["audit.6.far"] == "link 6 (near) is missing in far; near has it whole"


def test_an_end_that_was_cut_off_everywhere_is_found_by_what_a_drill_wrote_down(six, folder):
    six.create_record("drills/20261123T021500Z-7c41d09ab2e5.json", good(audit_head=audit.head(six)))
    assert verdicts(six) == {"audit.chain": "passed", "audit.anchors": "passed"}
    for number in (5, 6):
        for file in files(folder, number):
            file.unlink()
    assert list(failed(six)) == ["audit.6"]
    assert "drill 7c41d09ab2e5 saw link 6" in failed(six)["audit.6"]
    assert "its end was cut off" in failed(six)["audit.6"]
    with audit.recorded(six, "test", "backup"):
        pass  # the log is as long again, and another one
    assert "it is another one now" in failed(six)["audit.6"]


def test_links_that_were_exchanged_are_found(six, folder):
    for first, second in zip(files(folder, 2), files(folder, 5), strict=True):
        held = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(held)
    found = failed(six)
    assert "links were exchanged" in found["audit.2.near"]
    assert "links were exchanged" in found["audit.5.far"]


def test_a_link_that_was_put_in_is_found(six, folder):
    for number in (3, 5):
        for file in files(folder, number):
            link, _ = unpack(file.read_bytes(), Link, six.hash_key, str(file))
            put_in = link.model_copy(update={"region": "far", "command": "nothing"})
            (file.parent / Place(number, "far").key.rpartition("/")[2]).write_bytes(six.record_bytes(put_in))
    assert "no link names link 3 (far): put in" in failed(six)["audit.3"]


def test_a_region_that_is_away_is_not_checked(six, folder):
    shutil.rmtree(folder / "far")
    opened = Vault.open({name: open_store(StoreOptions(url=str(folder / name))) for name in ("near", "far")})
    assert verdicts(opened)["audit.far"] == "not checked"


# --- regions that do not see one another ---


@pytest.fixture
def split(vault, folder, regions):
    """A log that went on in both regions while they did not see one another."""
    with audit.recorded(vault, "test", "backup"):
        pass
    for name, commands in (("near", 2), ("far", 1)):
        alone = Vault.open({name: regions[name]})
        for _ in range(commands):
            with audit.recorded(alone, "test", f"restore in {name}"):
                pass
    return vault


def test_a_log_that_went_on_in_two_regions_becomes_one_again(split):
    found = [check for check in audit.verify_chain(split) if check.verdict == "failed"]
    assert any("went on in far alone" in check.detail and check.severity == "warning" for check in found)
    with audit.recorded(split, "test", "replicate"):
        replicate_records(split)
    assert failed(split) == {}
    joined = audit.links(split)[-2]
    assert (joined.number, list(joined.beside)) == (7, ["far"])
    commands = {link.command for link in audit.links(split)}
    assert commands == {"backup", "restore in near", "restore in far", "replicate"}


def test_what_was_cut_out_of_a_branch_that_was_joined_is_found(split, folder):
    with audit.recorded(split, "test", "replicate"):
        replicate_records(split)
    for file in files(folder, 4, "far"):
        file.unlink()
    assert "link 7 (near) names link 4 (far), which is not there as it was" in failed(split)["audit.4"]


def test_a_link_of_the_first_format_is_read_for_ever():
    stored = json.loads((GOLDEN / "audit-link-v1.json").read_text())
    link = Link.model_validate_json(json.dumps(stored["record"]))
    assert (link.number, link.command, link.detail["point"]) == (42, "backup", "e3b0c44298fc")
    _, digest = unpack((GOLDEN / "audit-link-v1.json").read_bytes(), Link, bytes(range(32)), "the golden link")
    assert digest == stored["digest"]
