"""The policy: what is protected, where recovery points go, what is promised, and when things happen.

`load_policy` reads a YAML file, tells everything that is wrong with it at once, and never shows a secret.
`python -m drkeeper.policy` prints the JSON schema for editors (`policies/policy.schema.json`).
"""

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, SerializeAsAny, model_validator

from drkeeper._policy.orders import merge_orders
from drkeeper._policy.quantities import Cron, Duration, Name, Recipient, Size
from drkeeper._policy.recovery_sections import (
    DrillsPolicy,
    EvidencePolicy,
    HookPair,
    NotifyPolicy,
    RecoveryPolicy,
    ScenarioPolicy,
)
from drkeeper._policy.section import Section
from drkeeper.applications import ApplicationOptions
from drkeeper.errors import PolicyInvalid
from drkeeper.hooks import Hook
from drkeeper.vault.store import StoreOptions

VAULT_REGIONS = ("vault", "regions")
"""The part of a policy that is enough to read what lies in the vault."""
DEFAULT_FILES = (Path("drkeeper.yaml"), Path("/etc/drkeeper/drkeeper.yaml"))


class SystemPolicy(Section):
    """One protected system at one endpoint."""

    name: Name = Field(description="The system's name in this policy.")
    kind: str = Field(description="What it is: postgres, redis or another kind that is installed.")
    options: SerializeAsAny[BaseModel] = Field(description="How it is reached; each kind has its own.")
    rate_bytes_per_second: int | None = Field(default=None, description="Upper bound of reading from it.")


class ApplicationPolicy(Section):
    """Meaning that spans systems: an order of freezing, or a kind of application that is known."""

    order: tuple[str, ...] = Field(
        default=(),
        min_length=1,
        description="Its systems as they are frozen, one after the other: what refers comes first.",
    )
    kind: str = Field(default="", description="What it is: mlflow or feast; without one it is an order and no more.")
    options: SerializeAsAny[ApplicationOptions] | None = Field(default=None, description="What a kind has besides.")

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of its systems in the order in which they are frozen."""
        return self.options.systems if self.options is not None else self.order


class EncryptionPolicy(Section):
    """Encryption of all that is stored, with age."""

    recipients: tuple[Recipient, ...] = Field(
        min_length=1, description="Public keys (age1…); whoever holds one of their identities can restore."
    )
    identity: SecretStr | None = Field(
        default=None, description="The secret key, as ${file:path}; only where restores, drills or checks run."
    )


class VaultPolicy(Section):
    """Where recovery points live."""

    regions: dict[Name, StoreOptions] = Field(
        min_length=1, description="Stores by name, in order; the first is the primary, the others get copies."
    )
    encryption: EncryptionPolicy | None = Field(default=None, description="Left out: frames are stored in the clear.")
    lease: Duration = Field(
        default=timedelta(minutes=2), description="How long a process that crashed keeps others from writing."
    )
    capacity: Size | None = Field(
        default=None, description="Room of each region (2TB), where it has a bound that drkeeper cannot ask for."
    )


class ObjectivesPolicy(Section):
    """What is promised; drills are measured against it."""

    rto: Duration | None = Field(default=None, description="Longest time until the platform works again (4h, 90m).")
    rpo: Duration | None = Field(default=None, description="Longest stretch of data that may be lost (15m, 24h).")

    @property
    def rto_seconds(self) -> float | None:
        """None where nothing is promised."""
        return self.rto.total_seconds() if self.rto is not None else None

    @property
    def rpo_seconds(self) -> float | None:
        """None where nothing is promised."""
        return self.rpo.total_seconds() if self.rpo is not None else None


class RetentionPolicy(Section):
    """Which recovery points stay; a point stays when any rule wants it."""

    keep_last: int = Field(default=0, ge=0, description="The newest so many points.")
    keep_daily: int = Field(default=0, ge=0, description="The newest point of each of so many days.")
    keep_weekly: int = Field(default=0, ge=0, description="The newest point of each of so many weeks.")
    keep_monthly: int = Field(default=0, ge=0, description="The newest point of each of so many months.")
    keep_yearly: int = Field(default=0, ge=0, description="The newest point of each of so many years.")

    @model_validator(mode="after")
    def _keeps_something(self) -> "RetentionPolicy":
        if not any((self.keep_last, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly)):
            raise ValueError("these rules say nothing; give one (keep_last: 3), or leave the section out to keep all")
        return self


class SchedulesPolicy(Section):
    """When the daemon (`drkeeper run`) does what: cron lines of five fields, in UTC."""

    backup: Cron | None = Field(default=None, description="Take a recovery point.")
    replicate: Cron | None = Field(default=None, description="Bring points to regions that lack them.")
    verify: Cron | None = Field(default=None, description="Prove stored data.")
    prune: Cron | None = Field(default=None, description="Forget and delete what retention does not keep.")
    beat: Cron | None = Field(default=None, description="Write heartbeats, by which lost data is measured.")
    drill: Cron | None = Field(default=None, description="Restore into a sandbox, with a clock.")


class ScratchCluster(Section):
    """A cluster that drills may fill and empty again; a ConfigMap `default/drkeeper-scratch` in it must allow that."""

    kubeconfig: Path = Field(description="How it is reached.")
    context: str | None = Field(default=None, description="Of the kubeconfig; left out: its current one.")


class SandboxPolicy(Section):
    """Where drills run."""

    folder: Path | None = Field(
        default=None,
        description="For the sandbox's data; needs the room of a whole restore. Else a temporary one.",
    )
    cluster: ScratchCluster | None = Field(
        default=None, description="For systems of kind kubernetes, where no control plane of their own can be started."
    )


class FailoverPolicy(Section):
    """What happens beside a fail-over of a bucket, and a fail-back."""

    hooks: tuple[Hook, ...] = Field(default=(), description="Who is told before and after the switch, in this order.")


class Policy(Section):
    """A whole policy."""

    version: Literal[1] = Field(description="Of this format.")
    name: Name = Field(description="Of the protected platform; recovery points carry it.")
    systems: dict[Name, SystemPolicy] = Field(min_length=1, description="What is protected, by name.")
    applications: dict[Name, ApplicationPolicy] = Field(
        default_factory=dict, description="What the systems mean together, by name."
    )
    vault: VaultPolicy = Field(description="Where recovery points live.")
    objectives: ObjectivesPolicy = Field(default_factory=ObjectivesPolicy, description="What is promised.")
    retention: RetentionPolicy | None = Field(
        default=None, description="Which recovery points stay; left out, all of them."
    )
    schedules: SchedulesPolicy = Field(default_factory=SchedulesPolicy, description="When the daemon does what.")
    sandbox: SandboxPolicy = Field(default_factory=SandboxPolicy, description="Where drills run.")
    failover: FailoverPolicy = Field(default_factory=FailoverPolicy, description="Beside a bucket's fail-over.")
    hooks: tuple[HookPair, ...] = Field(default=(), description="Done around freezes, restores and their steps.")
    recovery: RecoveryPolicy = Field(default_factory=RecoveryPolicy, description="How restores are carried out.")
    scenarios: dict[Name, ScenarioPolicy] = Field(
        default_factory=dict, description="What may be lost, beside the built-in scenarios."
    )
    drills: DrillsPolicy = Field(default_factory=DrillsPolicy, description="What is rehearsed, and due after it.")
    evidence: EvidencePolicy = Field(default_factory=EvidencePolicy, description="How drill records are signed.")
    notify: tuple[NotifyPolicy, ...] = Field(default=(), description="Who is told how work ended.")

    _written: dict[tuple[str | int, ...], str] = PrivateAttr(default_factory=dict)

    def shown(self) -> dict[str, object]:
        """The policy with its defaults, as plain data; what was given by reference stands as it was written."""
        from drkeeper._policy.show import shown

        return shown(self, self._written)

    def references(self, within: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The texts that hold `${env:NAME}` or `${file:path}`, as they were written; in that part of the policy."""
        return tuple(text for path, text in self._written.items() if path[: len(within)] == within)

    def secret_values(self) -> tuple[str, ...]:
        """The values that must never be printed."""
        return tuple(_secrets(self))


def _secrets(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for _, each in value:
                yield from _secrets(each)
        case dict():
            for each in value.values():
                yield from _secrets(each)
        case list() | tuple():
            for each in value:
                yield from _secrets(each)


def find_policy(given: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """Which policy file is meant: the one given, else $DRKEEPER_POLICY, else the first default place that has one.

    Raises:
        PolicyInvalid: Nothing was named, and no default place has one.
    """
    named = (os.environ if environment is None else environment).get("DRKEEPER_POLICY")
    if given is not None or named:
        return given or Path(named or "")
    for file in DEFAULT_FILES:
        if file.exists():
            return file
    places = " nor ".join(str(file) for file in DEFAULT_FILES)
    raise PolicyInvalid(
        f"no policy: neither {places} is there",
        hint="write one with `drkeeper init`, or name one with `--policy FILE` or DRKEEPER_POLICY",
    )


def load_policy(
    file: Path,
    environment: Mapping[str, str] | None = None,
    *,
    stand_in: str | None = None,
    needed: tuple[str, ...] | None = None,
) -> Policy:
    """Read and check a policy.

    Args:
        file: YAML.
        environment: Where `${env:NAME}` looks; the process's own by default.
        stand_in: The value of references that have none here, for who reads a policy somewhere else than where it is
            used; None: that is a problem.
        needed: The part of the policy (`vault`, `regions`) in which that is a problem all the same.

    Raises:
        PolicyInvalid: Something is wrong; the message has one line for each thing, with file, line and key.
    """
    from drkeeper._policy.build import build_policy
    from drkeeper._policy.source import read_source

    source = read_source(file, os.environ if environment is None else environment, stand_in, needed)
    policy = build_policy(source)
    policy._written.update({path: reference.written for path, reference in source.references.items()})  # noqa: SLF001
    return policy


def freeze_order(policy: Policy) -> tuple[str, ...]:
    """The names of all systems in the order in which they are frozen: what refers comes first.

    Keeps the policy's own order wherever no application says otherwise.

    Raises:
        PolicyInvalid: The applications' orders contradict one another; the message names the circle.
    """
    orders = {name: application.systems for name, application in policy.applications.items()}
    return merge_orders(policy.systems, orders)


def main() -> None:
    """Print the JSON schema."""
    import json
    import sys

    from drkeeper._policy.schema import policy_schema

    sys.stdout.write(json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
