"""Replication rules as S3 writes them, and what of them matters here. Pure.

Both of S3's forms are read: the newer one with `Filter`, and the first one with `Prefix`, in which delete markers are
always replicated (Amazon S3 user guide, "Replication configuration file elements"). The newer one is written.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

TIME_CONTROL_MINUTES = 15
"""The only value that S3 takes."""
OURS = "drkeeper-"


@dataclass(frozen=True)
class Rule:
    """What one rule does.

    Attributes:
        rule_id: At most 255 characters, one of each in a bucket.
        destination: ARN of the replica bucket.
        narrowed: Only objects with certain tags.
        priority: Of rules for the same objects and destination; None in the first form.
        raw: As the endpoint sent it, so that rules of others go back unchanged; None in a rule of ours.
    """

    rule_id: str
    destination: str
    prefix: str = ""
    enabled: bool = True
    narrowed: bool = False
    time_control: bool = False
    delete_markers: bool = False
    account: str = ""
    storage_class: str = ""
    kms_key: str = ""
    priority: int | None = field(default=None, compare=False)
    raw: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    def does_the_same_as(self, other: "Rule") -> bool:
        """Whatever the two are called."""
        return replace(self, rule_id="") == replace(other, rule_id="")

    def difference_from(self, other: "Rule") -> str:
        """In words, what the other does otherwise."""
        names = ("destination", "prefix", "enabled", "narrowed", "time_control", "delete_markers", "account")
        return ", ".join(
            f"{name.replace('_', ' ')} is {getattr(self, name)!r} instead of {getattr(other, name)!r}"
            for name in (*names, "storage_class", "kms_key")
            if getattr(self, name) != getattr(other, name)
        )


def id_for(replica_bucket: str, prefix: str) -> str:
    """The same at each run, and another for each prefix: two systems may share a bucket."""
    ending = f"-{hashlib.sha256(prefix.encode()).hexdigest()[:8]}" if prefix else ""
    return f"{OURS}{replica_bucket}{ending}"


def with_rule(rules: Sequence[Rule], wanted: Rule) -> tuple[Rule, ...]:
    """The bucket's rules after ours was put in the place of its predecessor, or added after all others."""
    before = next((rule for rule in rules if rule.rule_id == wanted.rule_id), None)
    others = tuple(rule for rule in rules if rule.rule_id != wanted.rule_id)
    taken = [rule.priority for rule in others if rule.priority is not None]
    priority = before.priority if before is not None and before.priority is not None else max(taken, default=0) + 1
    return (*others, replace(wanted, priority=priority))


def parse_rule(raw: Mapping[str, Any]) -> Rule:
    """Read one rule of GetBucketReplication."""
    selected: Mapping[str, Any] = raw.get("Filter") or {}
    both: Mapping[str, Any] = selected.get("And") or {}
    to: Mapping[str, Any] = raw.get("Destination") or {}
    return Rule(
        rule_id=raw.get("ID", ""),
        destination=to.get("Bucket", ""),
        prefix=raw.get("Prefix") or selected.get("Prefix") or both.get("Prefix") or "",
        enabled=raw.get("Status") == "Enabled",
        narrowed=bool(selected.get("Tag") or both.get("Tags")),
        time_control=_is_on(to.get("ReplicationTime")),
        delete_markers=_follows_deletions(raw),
        account=to.get("Account", ""),
        storage_class=to.get("StorageClass", ""),
        kms_key=(to.get("EncryptionConfiguration") or {}).get("ReplicaKmsKeyID", ""),
        priority=raw.get("Priority"),
        raw=raw,
    )


def write_rule(rule: Rule) -> dict[str, Any]:
    """As PutBucketReplication takes it."""
    if rule.raw is not None:
        return dict(rule.raw)
    written: dict[str, Any] = {
        "ID": rule.rule_id,
        "Priority": rule.priority or 1,
        "Status": _status(rule.enabled),
        "Filter": {"Prefix": rule.prefix},
        "DeleteMarkerReplication": {"Status": _status(rule.delete_markers)},
        "Destination": _destination(rule),
    }
    if rule.kms_key:
        written["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    return written


def _follows_deletions(raw: Mapping[str, Any]) -> bool:
    said = raw.get("DeleteMarkerReplication")
    return _is_on(said) if said or "Filter" in raw else True


def _destination(rule: Rule) -> dict[str, Any]:
    to: dict[str, Any] = {"Bucket": rule.destination}
    if rule.account:
        to |= {"Account": rule.account, "AccessControlTranslation": {"Owner": "Destination"}}
    if rule.storage_class:
        to["StorageClass"] = rule.storage_class
    if rule.kms_key:
        to["EncryptionConfiguration"] = {"ReplicaKmsKeyID": rule.kms_key}
    if rule.time_control:
        minutes = {"Minutes": TIME_CONTROL_MINUTES}
        to["ReplicationTime"] = {"Status": "Enabled", "Time": minutes}
        to["Metrics"] = {"Status": "Enabled", "EventThreshold": minutes}
    return to


def _status(on: bool) -> str:
    return "Enabled" if on else "Disabled"


def _is_on(part: Mapping[str, Any] | None) -> bool:
    return (part or {}).get("Status") == "Enabled"
