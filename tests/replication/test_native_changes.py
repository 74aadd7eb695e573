"""What is decided about two buckets before anything is asked of them: pure."""

import pytest

from drkeeper.buckets.native_options import NativeOptions
from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import PolicyInvalid, Refused
from drkeeper.replication import native_checks
from drkeeper.replication.native_changes import (
    PutReplication,
    SetLock,
    TurnOnVersioning,
    changes,
    describe,
    lacking,
)
from drkeeper.replication.native_setup import Lock, Replication, Seen, SeenBucket, Unread, wanted
from drkeeper.replication.rules import Rule, parse_rule, with_rule, write_rule

SOURCE = BucketOptions(url="s3://models", region="eu-central-1")
REPLICA = BucketOptions(url="s3://models-west", region="eu-west-1")
ROLE = "arn:aws:iam::123456789012:role/replicate"
NATIVE = NativeOptions(role=ROLE)
LOCKED = NativeOptions(role=ROLE, lock={"mode": "governance", "days": 30})
VERSIONED = SeenBucket(versioning="enabled")
LACKING = Unread("PutBucketReplication", "it answered 501 NotImplemented", lacking=True)


def rule_of(native=NATIVE, source=SOURCE, replica=REPLICA):
    return wanted(source, replica, native).rule


def test_versioning_comes_first_and_the_lock_last_and_the_replica_before_the_source():
    planned = changes(wanted(SOURCE, REPLICA, LOCKED), Seen(SeenBucket(), SeenBucket(versioning="suspended")))
    assert [(type(each), getattr(each, "side", "source")) for each in planned] == [
        (TurnOnVersioning, "replica"),
        (TurnOnVersioning, "source"),
        (PutReplication, "source"),
        (SetLock, "replica"),
        (SetLock, "source"),
    ]


def test_without_native_options_versioning_is_all_that_is_asked_for():
    assert [type(each) for each in changes(wanted(SOURCE, REPLICA, None), Seen(SeenBucket(), VERSIONED))] == [
        TurnOnVersioning
    ]


def test_a_rule_of_somebody_else_that_does_the_same_is_enough():
    theirs = parse_rule(write_rule(with_rule((), rule_of())[0]) | {"ID": "terraform", "Priority": 7})
    seen = Seen(VERSIONED, VERSIONED, Replication(ROLE, (theirs,)))
    assert changes(wanted(SOURCE, REPLICA, NATIVE), seen) == ()


def test_rules_of_others_go_back_to_the_letter_and_ours_gets_a_priority_of_its_own():
    theirs = {
        "ID": "audit",
        "Priority": 4,
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "audit/", "Tags": [{"Key": "keep", "Value": "yes"}]}},
        "Destination": {"Bucket": "arn:aws:s3:::elsewhere"},
        "DeleteMarkerReplication": {"Status": "Disabled"},
    }
    seen = Seen(VERSIONED, VERSIONED, Replication(ROLE, (parse_rule(theirs),)))
    (change,) = changes(wanted(SOURCE, REPLICA, NATIVE), seen)
    assert write_rule(change.rules[0]) == theirs
    assert write_rule(change.rules[1])["Priority"] == 5
    assert "other rules stay: audit" in describe(change)


def test_our_rule_of_an_earlier_policy_is_replaced_where_it_stands():
    old = with_rule((), rule_of())[0]
    setup = wanted(SOURCE, REPLICA, NativeOptions(role=ROLE, time_control=True))
    (change,) = changes(setup, Seen(VERSIONED, VERSIONED, Replication(ROLE, (old,))))
    assert [(rule.rule_id, rule.priority, rule.time_control) for rule in change.rules] == [(old.rule_id, 1, True)]
    assert "time control is False instead of True today" in describe(change)


def test_a_rule_that_was_switched_off_or_narrowed_does_not_count():
    for more in ({"Status": "Disabled"}, {"Filter": {"Tag": {"Key": "a", "Value": "b"}}}):
        there = parse_rule(write_rule(rule_of()) | more)
        assert changes(wanted(SOURCE, REPLICA, NATIVE), Seen(VERSIONED, VERSIONED, Replication(ROLE, (there,))))


def test_a_rule_in_the_first_form_is_read_for_what_it_does():
    there = parse_rule({"Prefix": "m/", "Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::models-west"}})
    assert there.does_the_same_as(Rule("", "arn:aws:s3:::models-west", prefix="m/", delete_markers=True))


def test_everything_that_a_rule_can_say_is_read_back_as_it_was_written():
    native = NativeOptions(
        role=ROLE, replica_account="210987654321", prefix="m/", time_control=True, delete_markers=True,
        replica_kms_key="arn:aws:kms:eu-west-1:210987654321:key/k",
    )  # fmt: skip
    rule = with_rule((), rule_of(native, replica=REPLICA.model_copy(update={"storage_class": "STANDARD_IA"})))[0]
    assert rule.storage_class == "STANDARD_IA"
    assert parse_rule(write_rule(rule)) == rule


def test_another_role_is_put_without_touching_the_rules():
    there = with_rule((), rule_of())
    (change,) = changes(wanted(SOURCE, REPLICA, NATIVE), Seen(VERSIONED, VERSIONED, Replication("another", there)))
    assert (change.role, change.rules) == (ROLE, there)
    assert "instead of role another, for all rules" in describe(change)


def test_aws_replicates_as_a_role_so_one_is_needed_there_and_not_elsewhere():
    with pytest.raises(Refused, match="role"):
        changes(wanted(SOURCE, REPLICA, NativeOptions()), Seen(VERSIONED, VERSIONED))
    ceph = SOURCE.model_copy(update={"endpoint": "https://ceph.example"})
    assert len(changes(wanted(ceph, REPLICA, NativeOptions()), Seen(VERSIONED, VERSIONED))) == 1


def test_a_lock_is_never_made_weaker():
    seen = Seen(
        SeenBucket(versioning="enabled", lock=Lock("compliance", 7)),
        SeenBucket(versioning="enabled", lock=Lock("compliance", 60)),
        Replication(ROLE, with_rule((), rule_of())),
    )
    assert changes(wanted(SOURCE, REPLICA, LOCKED), seen) == (
        SetLock("source", "s3://models", Lock("compliance", 30), before=Lock("compliance", 7)),
    )


def test_what_the_endpoint_lacks_is_left_out_and_told_and_the_rest_is_planned():
    setup, seen = wanted(SOURCE, REPLICA, LOCKED), Seen(VERSIONED, VERSIONED, LACKING)
    assert {type(each) for each in changes(setup, seen)} == {SetLock}
    (words,) = lacking(setup, seen)
    assert words == (
        "s3://models: the endpoint has no PutBucketReplication (it answered 501 NotImplemented): "
        "drkeeper's copier brings the objects over (`drkeeper replicate`)"
    )


def test_neither_rule_nor_lock_is_planned_for_a_bucket_that_cannot_keep_versions():
    unknown = SeenBucket(versioning=Unread("GetBucketVersioning", "501", lacking=True))
    assert changes(wanted(SOURCE, REPLICA, LOCKED), Seen(unknown, unknown)) == ()


def test_what_may_not_be_read_refuses_everything_and_names_the_permission():
    denied = Unread("GetBucketReplication", "403 AccessDenied", lacking=False)
    with pytest.raises(Refused, match="nothing was changed") as refused:
        changes(wanted(SOURCE, REPLICA, NATIVE), Seen(SeenBucket(), SeenBucket(), denied))
    assert "s3:GetReplicationConfiguration" in refused.value.hint


def test_what_a_rule_cannot_do_is_said_of_the_policy():
    with pytest.raises(PolicyInvalid, match="keeps keys as they are"):
        rule_of(source=BucketOptions(url="s3://models/a"), replica=BucketOptions(url="s3://west/b"))
    with pytest.raises(PolicyInvalid, match="same bucket"):
        rule_of(replica=SOURCE)


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("eu-west-1", "arn:aws:s3:::models-west"),
        ("cn-north-1", "arn:aws-cn:s3:::models-west"),
        ("us-gov-west-1", "arn:aws-us-gov:s3:::models-west"),
    ],
)
def test_the_replica_is_named_as_its_partition_does(region, arn):
    assert NATIVE.bucket_arn(REPLICA.model_copy(update={"region": region})) == arn


def test_a_rule_covers_the_prefix_of_the_url_and_what_is_said_after_it():
    rule = rule_of(
        NativeOptions(role=ROLE, prefix="prod"),
        source=BucketOptions(url="s3://models/team/"),
        replica=BucketOptions(url="s3://west/team"),
    )
    assert rule.prefix == "team/prod"
    assert rule.rule_id != rule_of().rule_id


def verdicts(native, seen):
    return {
        check.subject: (check.verdict, check.severity)
        for check in native_checks.compare(wanted(SOURCE, REPLICA, native), seen, system="art")
    }


def test_an_unversioned_replica_is_an_error_and_an_unversioned_source_a_warning():
    assert verdicts(None, Seen(SeenBucket(), SeenBucket(versioning="suspended"))) == {
        "source.versioning": ("failed", "warning"),
        "replica.versioning": ("failed", "error"),
    }


def test_what_an_endpoint_lacks_is_not_checked_and_never_passed():
    assert verdicts(NATIVE, Seen(VERSIONED, VERSIONED, LACKING))["replication.rule"][0] == "not checked"


def test_objects_that_a_rule_skips_for_their_encryption_are_told():
    encrypted = SeenBucket(versioning="enabled", encryption="aws:kms")
    seen = Seen(encrypted, VERSIONED, Replication(ROLE, with_rule((), rule_of())))
    assert verdicts(NATIVE, seen)["source.encryption"] == ("failed", "warning")
    assert "source.encryption" not in verdicts(NativeOptions(role=ROLE, replica_kms_key="k"), seen)


def test_each_failure_says_which_command_mends_it():
    found = native_checks.compare(wanted(SOURCE, REPLICA, LOCKED), Seen(SeenBucket(), SeenBucket()), system="art")
    assert {check.remedy for check in found if check.verdict == "failed"} == {"`drkeeper replicate setup --system art`"}
