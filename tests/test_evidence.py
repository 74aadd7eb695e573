"""Signed drills: what was changed after it was signed is found and named, with the public key and nothing else."""

import base64
import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from drkeeper import audit, evidence
from drkeeper._evidence import file as evidence_file
from drkeeper._evidence.file import verify_file
from drkeeper._evidence.statement import kept_of, seal_of
from drkeeper.errors import VerificationFailed
from drkeeper.report.canonical import canonical_bytes, canonical_digest
from drkeeper.report.html import render_html
from drkeeper.signing import KeyUnusable, key_id, new_key, public_of, public_pem, sign
from drkeeper.vault.layout import drill_key, evidence_key
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault
from report_examples import DISASTER, good, hostile
from vault_examples import write_point

GOLDEN = Path(__file__).parent / "golden"
FORMAT = Path(__file__).parents[1] / "docs/format.md"
KEY = SecretStr(new_key())
PUBLIC = {"ours": public_of(KEY.get_secret_value())}
OTHER = {"theirs": public_of(new_key())}


@pytest.fixture
def vault(tmp_path):
    return Vault.create({name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")})


def drilled(vault, drill_id="7c41d09ab2e5", *, hours=0, key=KEY, record=None):
    """A drill as `rehearsals.drill` leaves it: its record, and its evidence."""
    at = DISASTER + timedelta(hours=hours)
    made = (record or good()).model_copy(update={"drill_id": drill_id, "started_at": at, "audit_head": "7 abc"})
    assert vault.create_record(drill_key(made.started_at, made.drill_id), made)
    return made, evidence.keep(vault, made, key)


@pytest.fixture
def signed(vault):
    return drilled(vault)


@pytest.fixture
def page(signed):
    record, kept = signed
    return render_html(record, seal_of(kept))


def verdicts(data, publics=PUBLIC, **more):
    found = verify_file(data if isinstance(data, bytes) else data.encode(), publics, **more)
    return {check.subject: check.verdict for check in found.checks}


def detail(data, subject, publics=PUBLIC, **more):
    found = verify_file(data if isinstance(data, bytes) else data.encode(), publics, **more)
    return next(check.detail for check in found.checks if check.subject == subject)


# --- what is signed ---


def test_a_statement_names_the_point_and_the_record_by_digests_that_stock_tools_compute(vault, tmp_path):
    point = write_point(vault, {"dump": b"rows"}, point_id="e3b0c44298fc")
    record = good()
    summary = record.point.model_copy(update={"created_at": point.created_at})
    _, kept = drilled(vault, record=record.model_copy(update={"point": summary}))
    statement = json.loads(base64.b64decode(json.loads(kept.envelope.dump())["payload"]))
    assert (statement["_type"], statement["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://github.com/drkeeper/drkeeper/drill/v1",
    )
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    (point_file,) = (tmp_path / "near/points").iterdir()
    (report := tmp_path / "drill.json").write_bytes(canonical_bytes(vault_record(vault)))
    assert subjects == {
        f"points/{point_file.name}": sha256sum(point_file),
        "drills/20261123T021500Z-7c41d09ab2e5.json": sha256sum(report),
    }
    assert statement["predicate"]["previous"] is None


def vault_record(vault):
    from drkeeper.report.record import DrillRecord

    (key,) = vault.record_keys("drills/")
    return vault.read_record(key, DrillRecord)


def sha256sum(file):
    return subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True).stdout.split()[0]


def test_it_lies_in_each_region_as_bare_bytes(signed, vault, tmp_path):
    record, kept = signed
    for region in ("near", "far"):
        assert (
            tmp_path / region / evidence_key(record.started_at, record.drill_id)
        ).read_bytes() == kept.envelope.dump()
    assert evidence.seal(vault, record) == seal_of(kept)


def test_without_a_key_nothing_is_signed_and_the_report_says_so(vault):
    record, kept = drilled(vault, key=None)
    assert (kept, evidence.seal(vault, record)) == (None, None)
    assert "Not signed" in render_html(record)


def test_a_key_that_is_none_is_told_before_the_drill():
    evidence.insist_key(None)
    evidence.insist_key(KEY)
    with pytest.raises(KeyUnusable):
        evidence.insist_key(SecretStr("AGE-SECRET-KEY-1"))


# --- one file, and the public key ---


def test_an_envelope_and_a_report_are_verified_with_the_public_key_alone(signed, page):
    _, kept = signed
    alone = {"signature": "passed", "record.digest": "passed", "record": "passed", "chain": "passed"}
    told = {"recovery point": "not checked"}
    assert verdicts(kept.envelope.dump()) == {**alone, **told}
    assert verdicts(page) == {**alone, **told, "page": "passed"}


def test_a_hostile_record_is_verified_in_its_page(vault):
    record, kept = drilled(vault, record=hostile())
    assert verdicts(render_html(record, seal_of(kept)))["page"] == "passed"


def test_another_key_has_not_signed_it(page):
    assert verdicts(page, OTHER)["signature"] == "failed"
    assert verify_file(page.encode(), OTHER).page is None
    assert verdicts(page, {**OTHER, **PUBLIC})["signature"] == "passed"


def test_without_a_key_no_signature_is_checked_and_nothing_is_trusted(page):
    found = verify_file(page.encode(), {})
    assert found.record is None
    assert verdicts(page, {})["signature"] == "not checked"


@pytest.mark.parametrize(
    ("old", "new"),
    [("recovered within objectives", "recovered in no time"), ("eu-north", "eu-south"), ("</main>", "</main> ")],
)
def test_an_edited_page_is_found_with_its_line(page, old, new):
    at = page.lower().index(old)
    edited = page[:at] + new + page[at + len(old) :]
    assert edited != page
    line = page[:at].count("\n") + 1
    assert verdicts(edited)["page"] == "failed"
    assert detail(edited, "page").endswith(f"line {line}")
    assert verify_file(edited.encode(), PUBLIC).page == page


def test_an_edited_payload_is_found(signed):
    _, kept = signed
    envelope = json.loads(kept.envelope.dump())
    payload = base64.b64decode(envelope["payload"]).replace(b'"rto_seconds":43.218', b'"rto_seconds":13.218')
    envelope["payload"] = base64.b64encode(payload).decode()
    assert verdicts(json.dumps(envelope))["signature"] == "failed"
    assert verdicts(json.dumps(envelope))["record.digest"] == "failed"


def test_evidence_of_another_drill_in_a_page_is_found(vault, page):
    other = drilled(vault, "0ther0000001", hours=1)[1].envelope.dump().decode().strip()
    own = page[page.index('<template id="evidence"') :]
    own = own[own.index("\n") + 1 : own.index("\n</template>")]
    assert verdicts(page.replace(own, other))["page"] == "failed"


def test_a_page_whose_evidence_was_cut_out_or_doubled_carries_none(page):
    block = page[page.index('<template id="evidence"') : page.index("</template>") + len("</template>\n")]
    for changed in (page.replace(block, ""), page.replace(block, block + block)):
        with pytest.raises(VerificationFailed, match="carries no evidence, or more than one"):
            verify_file(changed.encode(), PUBLIC)


def test_of_another_version_the_record_is_verified_and_the_page_is_not(page, monkeypatch):
    monkeypatch.setattr(evidence_file, "__version__", "9.9.9")
    found = verdicts(page)
    assert (found["page"], found["record"], found["signature"]) == ("not checked", "passed", "passed")


def test_what_a_newer_drkeeper_wrote_is_verified_as_far_as_it_is_known(signed):
    _, kept = signed
    statement = json.loads(kept.envelope.content())
    statement["predicate"]["record"]["mood"] = "good"
    newer = sign(kept.envelope.payload_type, json.dumps(statement).encode(), KEY.get_secret_value())
    found = verdicts(newer.dump())
    assert (found["signature"], found["record"]) == ("passed", "not checked")


@pytest.mark.parametrize("data", [b"{}", b"\xff\xfe", b"<html></html>", b'{"payloadType": "text/plain"}'])
def test_what_is_no_evidence_is_no_evidence(data):
    with pytest.raises(VerificationFailed):
        verify_file(data, PUBLIC)


def test_what_is_signed_with_the_key_and_is_no_drill_is_refused():
    approval = sign("application/vnd.drkeeper.approval+json", b"{}", KEY.get_secret_value()).dump()
    with pytest.raises(VerificationFailed, match="no in-toto statement"):
        verify_file(approval, PUBLIC)


# --- the chain ---


def test_each_evidence_names_the_one_before_it(vault, page):
    (_, first), (_, second), (_, third) = drilled_at(vault, 1), drilled_at(vault, 2), drilled_at(vault, 3)
    before = verify_file(page.encode(), PUBLIC).kept
    assert [kept.statement.predicate.number for kept in (before, first, second, third)] == [1, 2, 3, 4]
    assert verdicts(first.envelope.dump(), previous=page.encode())["chain"] == "passed"
    assert verdicts(third.envelope.dump(), previous=second.envelope.dump())["chain"] == "passed"
    assert verdicts(third.envelope.dump(), previous=first.envelope.dump())["chain"] == "failed"
    assert verdicts(third.envelope.dump())["chain"] == "not checked"
    forged = sign(second.envelope.payload_type, second.envelope.content(), new_key()).dump()
    assert "signature does not hold" in detail(third.envelope.dump(), "chain", previous=forged)


def drilled_at(vault, hours):
    return drilled(vault, f"{hours:02d}0000000000", hours=hours)


def test_a_drill_that_began_first_and_ended_last_is_the_last_one(vault):
    drilled_at(vault, 2)
    _, ended_last = drilled_at(vault, 1)
    _, after = drilled_at(vault, 3)
    assert after.statement.predicate.previous.drill_id == ended_last.statement.drill_id


@pytest.fixture
def three(vault):
    return [drilled_at(vault, hours) for hours in (1, 2, 3)]


def found(vault, publics=PUBLIC):
    return {check.subject: check for check in evidence.verify_evidence(vault, publics)}


def test_a_whole_vault_of_evidence_passes(vault, three):
    assert [check.verdict for check in found(vault).values()] == ["passed"]
    assert [check.verdict for check in found(vault, {}).values()] == ["not checked"]
    assert len(evidence.anchors(vault, PUBLIC)) == len(three)
    assert evidence.anchors(vault, OTHER) == {}


def test_evidence_that_was_cut_out_is_found(vault, three, tmp_path):
    record, _ = three[1]
    for region in ("near", "far"):
        (tmp_path / region / evidence_key(record.started_at, record.drill_id)).unlink()
    assert "evidence 2 is not there" in found(vault)["evidence 2"].detail


@pytest.mark.parametrize("region", ["near", "far"])
def test_a_drill_record_that_was_changed_after_it_was_signed_is_found(vault, three, tmp_path, region):
    record, _ = three[1]
    better = record.model_copy(update={"rto_seconds": 1.0})
    file = tmp_path / region / drill_key(record.started_at, record.drill_id)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(vault.record_bytes(better))
    (finding,) = [check for check in found(vault).values() if check.verdict == "failed"]
    assert f"is not what was signed, in {region}" in finding.detail


def test_evidence_that_lies_in_the_place_of_another_is_found(vault, three, tmp_path):
    (first, _), (_, good_one), _ = three
    for region in ("near", "far"):
        (tmp_path / region / evidence_key(first.started_at, "0badf00d0000")).write_bytes(good_one.envelope.dump())
    (finding,) = [check for check in found(vault).values() if check.verdict == "failed"]
    assert "lies under this name" in finding.detail


def test_evidence_that_differs_between_regions_is_found(vault, three, tmp_path):
    record, kept = three[1]
    forged = sign(kept.envelope.payload_type, kept.envelope.content(), new_key())
    (tmp_path / "far" / evidence_key(record.started_at, record.drill_id)).write_bytes(forged.dump())
    assert any("differs between near, far" in check.detail for check in found(vault).values())


def test_the_end_of_the_audit_log_is_held_by_signed_drills(vault, tmp_path):
    for command in ("backup", "drill"):
        with audit.recorded(vault, "test", command):
            pass
    record = good(audit_head=audit.head(vault))
    evidence.keep(vault, record, KEY)
    anchors = evidence.anchors(vault, PUBLIC)
    assert {check.verdict for check in audit.verify_chain(vault, anchors)} == {"passed"}
    for region in ("near", "far"):
        (tmp_path / region / "audit/00000004-near.json").unlink()
    (finding,) = [check for check in audit.verify_chain(vault, anchors) if check.verdict == "failed"]
    assert "signed drill 7c41d09ab2e5 saw link 4" in finding.detail


# --- with stock tools, and for ever ---


@pytest.mark.parametrize("changed", [False, True])
def test_the_documented_commands_verify_it_with_openssl_alone(signed, tmp_path, changed):
    for tool in ("openssl", "jq"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    record, kept = signed
    data = kept.envelope.dump()
    if changed:
        data = data.replace(b'"payload": "e', b'"payload": "f')
        assert data != kept.envelope.dump()
    (tmp_path / "drill.dsse.json").write_bytes(data)
    (tmp_path / "evidence.pem.pub").write_text(public_pem(PUBLIC["ours"]))
    (block,) = re.findall(
        r"test_evidence.py runs this very block -->\n```bash\n(.*?)```", FORMAT.read_text(), re.DOTALL
    )
    (script := tmp_path / "verify.sh").write_text(block)
    done = subprocess.run(
        ["bash", script, "drill.dsse.json", "evidence.pem.pub"],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode == 0) != changed, done.stderr
    if not changed:
        assert json.loads(done.stdout)["predicate"]["record"]["drill_id"] == record.drill_id


def test_evidence_of_the_first_format_is_verified_for_ever():
    data = (GOLDEN / "drill-v1.dsse.json").read_bytes()
    public = {"golden": base64.b64decode((GOLDEN / "drill-v1.dsse.pub").read_text().removeprefix("ed25519:"))}
    result = verify_file(data, public)
    assert {check.subject: check.verdict for check in result.checks if check.subject != "recovery point"} == {
        "signature": "passed", "record.digest": "passed", "record": "passed", "chain": "not checked",
    }  # fmt: skip
    kept = kept_of(data, "golden")
    assert kept.envelope.signatures[0].keyid == key_id(public["golden"])
    assert kept.envelope.dump() == data
    assert canonical_digest(result.record) == canonical_digest(good_then())


def good_then():
    from drkeeper.report.record import DrillRecord

    return DrillRecord.model_validate_json((GOLDEN / "drill-v1.json").read_bytes())
