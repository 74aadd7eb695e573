"""A second person's word for a restore: of this plan, from a known key, in force; and nothing else counts."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from drkeeper._policy.recovery_sections import ApprovalPolicy
from drkeeper.approvals import PAYLOAD_TYPE, approve, insist_approved, waited_seconds
from drkeeper.errors import NotApproved, UsageInvalid
from drkeeper.report.record import Forecast
from drkeeper.signing import KeyUnusable, new_key, public_of, public_pem, public_text, read_public, sign
from drkeeper.steps import Load, RestorePlan, Target

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ADA, BEN, EVE = new_key(), new_key(), new_key()
POLICY = ApprovalPolicy(keys={"ada": public_text(public_of(ADA)), "ben": public_pem(public_of(BEN))})
TWO = POLICY.model_copy(update={"needed": 2})


def plan(**changes):
    forecast = Forecast(p50_seconds=1, p90_seconds=2, basis="no history")
    return RestorePlan(
        **{
            "plan_id": "0123abcd",
            "created_at": NOW,
            "policy": "prod",
            "point_id": "aaaaaaaaaaaa",
            "point_as_of": NOW,
            "staging": "dr0123abcd",
            "overwrite": True,
            "targets": (Target(system="db", kind="postgres", endpoint="db:5432", empty=False),),
            "steps": (Load(step_id="load:db", system="db", kind="postgres", size_bytes=1, forecast=forecast),),
            "forecast": forecast,
            "critical_path": ("load:db",),
            **changes,
        }
    )


def approved(by="ada", key=ADA, of=None, now=NOW, policy=POLICY):
    return approve(policy, of or plan(), approver=by, private_pem=key, now=now).dump()


def refusal(*files, of=None, now=NOW, policy=POLICY):
    with pytest.raises(NotApproved) as refused:
        insist_approved(policy, of or plan(), files, now=now)
    assert "nothing was changed" in str(refused.value)
    assert refused.value.exit_code == 4
    return f"{refused.value} {refused.value.hint}"


def test_an_approved_plan_may_be_carried_out_however_its_forecast_has_changed():
    later = plan(plan_id="ffff0000", staging="drffff0000", created_at=NOW + timedelta(hours=1))
    [found] = insist_approved(POLICY, later, [approved()], now=NOW + timedelta(hours=2))
    assert (found.approver, found.point_id) == ("ada", "aaaaaaaaaaaa")


def test_a_policy_that_asks_for_none_needs_none():
    assert insist_approved(None, plan(), (), now=NOW) == ()


def test_without_an_approval_the_way_to_one_is_told():
    said = refusal()
    assert "ada" in said
    assert "drkeeper approve p.json" in said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"overwrite": False}, "another plan"),
        ({"targets": (Target(system="db", kind="postgres", endpoint="other:5432", empty=False),)}, "another plan"),
        ({"point_id": "bbbbbbbbbbbb"}, "for point aaaaaaaaaaaa"),
        ({"policy": "staging"}, "of policy prod"),
    ],
)
def test_an_approval_is_of_one_plan(change, reason):
    assert reason in refusal(approved(), of=plan(**change))


def test_an_approval_expires_and_one_of_the_future_is_of_a_wrong_clock():
    assert "has expired" in refusal(approved(), now=NOW + timedelta(hours=24))
    assert "a clock is wrong" in refusal(approved(), now=NOW - timedelta(hours=1))
    insist_approved(POLICY, plan(), [approved()], now=NOW - timedelta(minutes=4))


def test_another_key_an_edited_approval_and_a_borrowed_name_do_not_count():
    forged = ApprovalPolicy(keys={"ada": public_text(public_of(EVE))})
    assert "does not hold" in refusal(approve(forged, plan(), approver="ada", private_pem=EVE, now=NOW).dump())
    envelope = json.loads(approved())
    content = json.loads(base64.b64decode(envelope["payload"]))
    content["expires_at"] = "2036-01-01T00:00:00Z"
    envelope["payload"] = base64.b64encode(json.dumps(content).encode()).decode()
    assert "does not hold" in refusal(json.dumps(envelope).encode())
    content = json.loads(base64.b64decode(json.loads(approved())["payload"])) | {"approver": "ben"}
    assert "ada has signed it" in refusal(sign(PAYLOAD_TYPE, json.dumps(content).encode(), ADA).dump())
    assert "no approval, but text/plain" in refusal(
        sign("text/plain", base64.b64decode(json.loads(approved())["payload"]), ADA).dump()
    )
    assert "no DSSE envelope" in refusal(b"{}")


def test_two_people_are_two_people():
    assert "only ada did" in refusal(approved(), approved(), policy=TWO)
    found = insist_approved(TWO, plan(), [approved(), approved("ben", BEN)], now=NOW)
    assert {each.approver for each in found} == {"ada", "ben"}


def test_how_long_the_last_one_was_waited_for():
    first, last = approved(), approved("ben", BEN, now=NOW + timedelta(minutes=10))
    found = insist_approved(TWO, plan(), [first, last], now=NOW + timedelta(minutes=11))
    assert waited_seconds(found) == 600.0
    assert waited_seconds(()) == 0.0


def test_only_who_the_policy_knows_can_approve():
    with pytest.raises(UsageInvalid, match="lets ada, ben approve, and not eve"):
        approved("eve", EVE)
    with pytest.raises(UsageInvalid, match="not the key that the policy knows ada by"):
        approved("ada", EVE)


@pytest.mark.parametrize("text", ["", "ed25519:AAAA", "age1qqqq", public_pem(public_of(ADA)).replace("MC", "XX", 1)])
def test_what_is_no_public_key_is_told(text):
    with pytest.raises(KeyUnusable):
        read_public(text)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"needed": 3}, "only 2 can"),
        ({"keys": {"ada": "garbage"}}, "keys.ada: this is no Ed25519 public key"),
        ({"keys": {"ada": public_text(public_of(ADA)), "eve": public_pem(public_of(ADA))}}, "is the key of ada, too"),
    ],
)
def test_a_policy_by_which_nobody_could_approve_is_refused_before_it_matters(section, said):
    with pytest.raises(ValidationError, match=said):
        ApprovalPolicy(**{"keys": POLICY.keys, **section})
    assert ApprovalPolicy(keys={"ada": "${file:/etc/ada.pub}"}).needed == 1
