"""Set-up of real buckets: SeaweedFS keeps versions and locks and has no replication rules; MiniStack replicates."""

import socket
import time

import pytest
from botocore.exceptions import ClientError

from drkeeper.buckets.errors import BucketUnreachable
from drkeeper.buckets.native_options import NativeOptions
from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import Refused, WorldChanged
from drkeeper.replication.native import SetupStopped, apply, carry_out, checks, plan_setup, read_setup
from drkeeper.replication.native_changes import PutReplication, SetLock, TurnOnVersioning
from drkeeper.replication.native_setup import Lock, Replication, SeenBucket, Unread

ROLE = "arn:aws:iam::000000000000:role/replicate"
LOCK = NativeOptions(rule=False, lock={"mode": "governance", "days": 3})


def options_at(server, name=None, **more):
    options = {
        "url": f"s3://{name or server.make_bucket()}",
        "endpoint": server.endpoint,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "allow_http": True,
        "timeout_seconds": 10,
        "retries": 1,
    }
    return BucketOptions(**{**options, **more})


@pytest.fixture
def here(near):
    return options_at(near)


@pytest.fixture
def there(far):
    return options_at(far)


@pytest.fixture
def pair(provider):
    return options_at(provider), options_at(provider)


def kinds(plan):
    return [type(change) for change in plan.changes]


def status(server, options):
    return server.client().get_bucket_versioning(Bucket=options.bucket).get("Status")


def found(*arguments):
    return {check.subject: check for check in checks(*arguments, system="artifacts")}


# --- SeaweedFS ------------------------------------------------------------------------------------------


def test_versioning_is_turned_on_in_both_and_a_second_run_changes_nothing(near, far, here, there):
    assert found(here, there, None)["replica.versioning"].verdict == "failed"
    plan = plan_setup(here, there, None)
    assert kinds(plan) == [TurnOnVersioning, TurnOnVersioning]
    assert carry_out(plan) == ()
    assert (status(near, here), status(far, there)) == ("Enabled", "Enabled")
    assert plan_setup(here, there, None).changes == ()
    assert {check.verdict for check in found(here, there, None).values()} == {"passed"}


def test_a_profile_of_the_environment_is_no_matter_where_the_policy_gives_keys(here, there, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "of-somebody")
    assert len(plan_setup(here, there, None).changes) == 2


def test_a_plan_alone_changes_nothing(near, far, here, there):
    plan_setup(here, there, NativeOptions(role=ROLE, lock={"days": 3}))
    list(checks(here, there, NativeOptions(role=ROLE, lock={"days": 3}), system="artifacts"))
    assert (status(near, here), status(far, there)) == (None, None)
    with pytest.raises(ClientError, match="ObjectLockConfigurationNotFound"):
        near.client().get_object_lock_configuration(Bucket=here.bucket)


def test_new_versions_are_locked_in_both_and_stay_so_when_somebody_deletes_them(far, here, there):
    carry_out(plan_setup(here, there, LOCK))
    assert read_setup(here, there, LOCK).replica == SeenBucket(versioning="enabled", lock=Lock("governance", 3))
    assert {check.verdict for check in found(here, there, LOCK).values()} == {"passed"}
    kept = far.client().put_object(Bucket=there.bucket, Key="model", Body=b"weights")
    with pytest.raises(ClientError, match="AccessDenied"):
        far.client().delete_object(Bucket=there.bucket, Key="model", VersionId=kept["VersionId"])


def test_a_longer_lock_is_set_and_a_shorter_one_is_not(here, there):
    carry_out(plan_setup(here, there, LOCK))
    longer = NativeOptions(rule=False, lock={"mode": "governance", "days": 5})
    assert found(here, there, longer)["source.lock"].verdict == "failed"
    carry_out(plan_setup(here, there, longer))
    assert read_setup(here, there, longer).source.lock == Lock("governance", 5)
    assert plan_setup(here, there, LOCK).changes == ()


def test_an_endpoint_without_replication_rules_is_told_and_everything_else_is_done(near, far, here, there):
    native = NativeOptions(lock={"days": 3})
    plan = plan_setup(here, there, native)
    (words,) = plan.lacking
    assert "the endpoint has no PutBucketReplication" in words
    assert "drkeeper's copier" in words
    carry_out(plan)
    assert (status(near, here), status(far, there)) == ("Enabled", "Enabled")
    check = found(here, there, native)["replication.rule"]
    assert check.verdict == "not checked"
    assert "drkeeper's copier" in check.detail
    assert kinds(plan_setup(here, there, native)) == []


def test_a_call_that_only_turns_out_to_be_lacking_is_told_and_the_lock_still_set(near, here, there):
    """What a server does that answers questions about rules, and cannot take one."""
    plan = plan_setup(here, there, NativeOptions(lock={"days": 3}))
    rule = PutReplication(here.url, "", rule := _rule(there), (rule,), before=Replication())
    (left_out,) = apply([*plan.changes[:2], rule, *plan.changes[2:]], here, there)
    assert (left_out.change, "BucketAlreadyOwnedByYou" in left_out.words) == (rule, True)
    assert read_setup(here, there, LOCK).source.lock == Lock("governance", 3)


def _rule(replica):
    from drkeeper.replication.rules import Rule

    return Rule("drkeeper-x", f"arn:aws:s3:::{replica.bucket}", priority=1)


def test_the_first_refusal_stops_and_says_what_was_done_and_what_was_not(near, here, there):
    missing = SetLock("source", "s3://gone", Lock("governance", 1), before=None)
    on, later = TurnOnVersioning("replica", there.url), TurnOnVersioning("source", here.url)
    gone = here.model_copy(update={"url": "s3://no-such-bucket"})
    with pytest.raises(SetupStopped, match="NoSuchBucket") as stopped:
        apply([on, missing, later], gone, there)
    done, not_done = str(stopped.value).split("Not done:")
    assert f"turn on versioning of the replica {there.url}" in done
    assert "lock new versions" in not_done
    assert f"turn on versioning of the source {here.url}" in not_done


def test_refused_credentials_stop_before_anything_and_fail_the_check(near, far, here, there):
    wrong = there.model_copy(update={"secret_key": options_at(far, "x", secret_key="not-the-secret").secret_key})
    with pytest.raises(BucketUnreachable, match="403") as refused:
        plan_setup(here, wrong, None)
    assert "not-the-secret" not in str(refused.value)
    assert status(near, here) is None
    (check,) = checks(here, wrong, None, system="artifacts")
    assert (check.verdict, check.remedy != "") == ("failed", True)


def test_a_missing_bucket_refuses_everything_and_fails_the_check(near, far, here):
    missing = options_at(far, "no-such-bucket")
    with pytest.raises(Refused, match="the replica bucket s3://no-such-bucket does not exist") as refused:
        plan_setup(here, missing, None)
    assert refused.value.exit_code == 4
    assert status(near, here) is None
    assert found(here, missing, None)["replica.bucket"].verdict == "failed"


def test_an_endpoint_that_does_not_answer_is_unreachable_soon(here):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(BucketUnreachable, match="does not answer GetBucketVersioning"):
            plan_setup(here, here.model_copy(update={"endpoint": endpoint}), None)


def test_credentials_come_from_the_environment_where_the_policy_gives_none(near, here, there, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", near.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", near.secret_key)
    unsaid = here.model_copy(update={"access_key": None, "secret_key": None})
    assert kinds(plan_setup(unsaid, there, None)) == [TurnOnVersioning, TurnOnVersioning]


# --- MiniStack ------------------------------------------------------------------------------------------

RULE = NativeOptions(role=ROLE, time_control=True, prefix="models/", delete_markers=True)


def test_a_rule_is_put_and_the_provider_copies_by_it(provider, pair):
    source, replica = pair
    assert kinds(plan_setup(source, replica, RULE)) == [TurnOnVersioning, TurnOnVersioning, PutReplication]
    assert carry_out(plan_setup(source, replica, RULE)) == ()
    for key in ("models/m", "other"):
        provider.client().put_object(Bucket=source.bucket, Key=key, Body=b"weights")
    assert _keys_in_time(provider, replica) == ["models/m"]
    assert {check.verdict for check in found(source, replica, RULE).values()} == {"passed"}
    assert plan_setup(source, replica, RULE).changes == ()


def _keys_in_time(server, options):
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        listed = server.client().list_objects_v2(Bucket=options.bucket).get("Contents", [])
        if listed:
            return [each["Key"] for each in listed]
        time.sleep(0.05)
    return []


def test_everything_that_the_policy_can_say_of_a_rule_is_taken_and_shown_again(pair):
    source, replica = pair[0], pair[1].model_copy(update={"storage_class": "STANDARD_IA"})
    native = NativeOptions(
        role=ROLE, replica_account="000000000000", time_control=True,
        replica_kms_key="arn:aws:kms:us-east-1:000000000000:key/k", lock={"mode": "compliance", "days": 1},
    )  # fmt: skip
    carry_out(plan_setup(source, replica, native))
    assert plan_setup(source, replica, native).changes == ()
    assert {check.verdict for check in found(source, replica, native).values()} == {"passed"}


def test_rules_of_others_stay(provider, pair):
    source, replica = pair
    carry_out(plan_setup(source, replica, None))
    theirs = {
        "ID": "audit",
        "Priority": 3,
        "Status": "Enabled",
        "Filter": {"Prefix": "audit/"},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{replica.bucket}"},
    }
    put = {"Bucket": source.bucket, "ReplicationConfiguration": {"Role": ROLE, "Rules": [theirs]}}
    provider.client().put_bucket_replication(**put)
    carry_out(plan_setup(source, replica, RULE))
    rules = provider.client().get_bucket_replication(Bucket=source.bucket)["ReplicationConfiguration"]["Rules"]
    assert {rule["ID"]: rule["Priority"] for rule in rules}.keys() >= {"audit"}
    assert theirs in rules
    assert len(rules) == 2


def test_a_check_tells_how_a_rule_differs_from_the_policy(pair):
    carry_out(plan_setup(*pair, RULE))
    check = found(*pair, RULE.model_copy(update={"time_control": False}))["replication.rule"]
    assert check.verdict == "failed"
    assert "time control is True instead of False" in check.detail
    assert check.remedy == "`drkeeper replicate setup --system artifacts`"


def test_rules_that_changed_since_the_plan_are_not_overwritten(pair):
    source, replica = pair
    carry_out(plan_setup(source, replica, None))
    plan = plan_setup(source, replica, RULE)
    carry_out(plan_setup(source, replica, RULE.model_copy(update={"prefix": "another/"})))
    with pytest.raises(SetupStopped, match="changed meanwhile") as stopped:
        carry_out(plan)
    assert isinstance(stopped.value.__cause__, WorldChanged)


def test_finding_out_whether_rules_are_known_puts_none(provider, pair):
    source, replica = pair
    carry_out(plan_setup(source, replica, None))
    seen = read_setup(source, replica, RULE)
    assert not isinstance(seen.replication, Unread)
    with pytest.raises(ClientError, match="ReplicationConfigurationNotFound"):
        provider.client().get_bucket_replication(Bucket=source.bucket)
