"""The parts of a policy that say how it is recovered, rehearsed and told about."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from drkeeper._policy.quantities import Duration, Name
from drkeeper._policy.section import Section
from drkeeper.hooks import Hook
from drkeeper.signing import KeyUnusable, read_public

NotifyOn = Literal["backup", "drill", "restore", "verify", "replicate", "prune"]


class HookPair(Section):
    """What is done before something, and undone after it, whatever happened between."""

    around: str = Field(
        default="freeze",
        description="freeze: all `before` run before the first system is frozen, all `after` when the last is. "
        "restore: around a whole restore. Else a step of a restore, `*` allowed: switch:mlflow-db, load:*.",
    )
    systems: tuple[Name, ...] = Field(
        default=(), description="Only when one of these is frozen or restored; always where none is named."
    )
    before: Hook | None = Field(default=None, description="Done first.")
    after: Hook | None = Field(default=None, description="Undoes it; runs wherever `before` was begun.")
    on_failure: Literal["stop", "go on"] = Field(
        default="stop", description="What a `before` that fails means: nothing is begun, or it is told and no more."
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.before is None and self.after is None:
            raise ValueError("give before, after, or both")
        return self


class ApprovalPolicy(Section):
    """Restores into production that a second person must have approved."""

    keys: dict[Name, str] = Field(
        min_length=1, description="Who may approve: name -> Ed25519 public key, as `drkeeper key new` prints it."
    )
    needed: int = Field(default=1, ge=1, description="How many of them.")
    valid: Duration = Field(default=timedelta(hours=24), description="How long an approval holds.")

    @model_validator(mode="after")
    def _can_be_given(self) -> Self:
        """Said now, and not on the night when a restore has to be approved and cannot be."""
        if self.needed > len(self.keys):
            raise ValueError(f"{self.needed} must approve, and only {len(self.keys)} can: no restore could be approved")
        held: dict[bytes, str] = {}
        for name, text in self.keys.items():
            if "${" in text:
                continue  # a reference that somebody else resolves
            try:
                other = held.setdefault(read_public(text), name)
            except KeyUnusable as error:
                raise ValueError(f"keys.{name}: {error}") from error
            if other != name:
                raise ValueError(f"keys.{name} is the key of {other}, too: one person cannot approve for two")
        return self


class RecoveryPolicy(Section):
    """How restores are carried out."""

    at_once: int = Field(default=4, ge=1, le=64, description="Steps that run at the same time, at most.")
    at_once_per_host: int = Field(default=2, ge=1, le=64, description="Of these, how many into one host.")
    step_timeout: Duration = Field(
        default=timedelta(hours=12), description="A step that takes longer has failed; what waits for it is not run."
    )
    fall_back: int = Field(
        default=1, ge=0, le=10, description="How many earlier points are tried when one turns out to be corrupt."
    )
    approval: ApprovalPolicy | None = Field(default=None, description="Left out: whoever may run drkeeper may restore.")


class ScenarioPolicy(Section):
    """A scenario of your own, or what differs in a built-in one of the same name."""

    title: str = Field(default="", description="What has happened, in a few words.")
    like: Name | None = Field(default=None, description="The built-in scenario that it is a case of.")
    systems: tuple[Name, ...] = Field(default=(), description="What is gone; left out: as the built-in one says.")
    regions: tuple[Name, ...] = Field(default=(), description="Regions of the vault that are gone with it.")
    namespaces: tuple[str, ...] = Field(
        default=(),
        description="namespace-deleted: which ones are gone; left out: those of the point that are not in the cluster.",
    )
    prefer: Literal["", "less loss", "less time"] = Field(
        default="", description="What counts more among the ways back; left out, by the objectives."
    )
    identity: SecretStr | None = Field(
        default=None, description="key-lost: the identity that is left, as ${file:path}; of another recipient."
    )
    rto: Duration | None = Field(default=None, description="The objective of this scenario; left out, the policy's.")
    rpo: Duration | None = Field(default=None, description="The objective of this scenario; left out, the policy's.")


class DrillsPolicy(Section):
    """What drills rehearse, and what is due after them."""

    scenarios: tuple[Name, ...] = Field(
        default=(), description="Rehearsed by schedule, each when it is due; left out: all that fit the policy."
    )
    surprise: bool = Field(default=False, description="By schedule, point and scenario are drawn; the seed is kept.")
    every: Duration = Field(default=timedelta(days=92), description="Each scenario is due again after so long.")
    retest_within: Duration = Field(default=timedelta(days=30), description="A failed drill is due again in it.")
    finding_due: Duration = Field(default=timedelta(days=30), description="Findings are due after so long.")
    lead: str = Field(default="", description="Who answers for drills; stands in their reports.")
    observers: tuple[str, ...] = Field(default=(), description="Who else takes note of them.")


class EvidencePolicy(Section):
    """How drill records are signed."""

    key: SecretStr | None = Field(
        default=None, description="Ed25519 private key in PEM, as ${file:path}; `drkeeper key new` makes one."
    )


class NotifyPolicy(Section):
    """Who is told how scheduled work and restores ended."""

    url: SecretStr = Field(description="Where to post, as ${env:NAME} or ${file:path}: such an address opens doors.")
    form: Literal["json", "slack", "ping"] = Field(
        default="json", description="json: all of it; slack: a text; ping: /start, success, /fail (healthchecks)."
    )
    on: tuple[NotifyOn, ...] = Field(default=(), description="Which work; all where none is named.")
    only_failures: bool = Field(default=False, description="Say nothing of what went well.")
    timeout: Duration = Field(default=timedelta(seconds=10), description="Longer, and nobody was told.")
    allow_http: bool = Field(default=False, description="Permit a URL without TLS.")

    @model_validator(mode="after")
    def _leads_there_safely(self) -> Self:
        """What has no value here (a reference that somebody else resolves) is no address, and is not judged."""
        scheme, colon, _ = self.url.get_secret_value().partition("://")
        if colon and scheme not in {"http", "https"}:
            raise ValueError("expected an address such as https://hooks.example/drkeeper")
        if colon and scheme == "http" and not self.allow_http:
            raise ValueError("the url has no TLS; say allow_http: true where that is meant")
        return self
