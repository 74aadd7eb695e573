"""Buckets of artifacts proven and healed: what the command line and the daemon do."""

import threading
from collections.abc import Iterable

from drkeeper import audit
from drkeeper.artifacts import pairs
from drkeeper.errors import VerificationFailed
from drkeeper.facts import Check
from drkeeper.failover import current_roles, insist_source_is_primary
from drkeeper.lease import hold
from drkeeper.policy import Policy
from drkeeper.progress import Progress, Silent
from drkeeper.replication.proof import Prover
from drkeeper.replication.proof_heal import Healer
from drkeeper.replication.proof_records import BucketLevel, BucketProof, newest_walk
from drkeeper.replication.run import Pair
from drkeeper.throttle import stopped_by
from drkeeper.vault.vault import Vault
from drkeeper.wiring import open_vault

SCHEDULED_SHARE = 1 / 30
"""Of the ring, that each scheduled verification re-hashes: daily, all is re-hashed each month."""


def verify_buckets(
    policy: Policy,
    names: Iterable[str] = (),
    *,
    level: BucketLevel = "stored",
    share: float | None = None,
    seed: int | None = None,
    heal: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> tuple[list[BucketProof], list[Check]]:
    """Prove buckets and their replicas; the proofs, and what came of healing.

    Args:
        policy: Whose buckets.
        names: Only these; all that have a replica where none is named.
        level: How deep.
        share: See `Prover.prove`.
        seed: See `Prover.prove`.
        heal: With "intact": copy what is damaged in a replica again from the source, then look at it again.
        progress: Told of bytes read.
        stop: Set from elsewhere to end it.

    Raises:
        UsageInvalid: One of the names is no bucket with a replica.
        LeaseHeld: Another verification, or with `heal` a replication, of a bucket is under way.
        Refused: With `heal`: the replica is primary, and nothing is copied to it.
        Interrupted: `stop` was set; "intact" goes on from there next time.
    """
    chosen = pairs(policy, tuple(names))
    if not chosen:
        return [], []
    vault = open_vault(policy)
    proofs, healed = [], list[Check]()
    command, about = "verify --heal" if heal else "verify", " ".join(pair.system for pair in chosen)
    with (
        stopped_by(stop or threading.Event()),
        audit.recorded(vault, policy.name, command, level=level, systems=about) as ending,
    ):
        for pair in chosen:
            if heal:
                insist_source_is_primary(vault, pair.system)
            prover = Prover(pair, vault, progress or Silent(), _incomparable(vault, pair.system))
            proof = prover.prove(level, share=share, seed=seed)
            if heal and level == "intact" and proof.verdict == "failed":
                healed += _heal(vault, policy, pair)
                proof = prover.look_again()
            proofs.append(proof)
        ending.detail["findings"] = sum(len(proof.findings) for proof in proofs)
        ending.exit_code = VerificationFailed.exit_code if any(one.verdict != "passed" for one in proofs) else 0
    return proofs, healed


def verify_on_schedule(policy: Policy, stop: threading.Event) -> list[str]:
    """List all buckets, and re-hash a thirtieth of each; what did not pass, in words."""
    stored, _ = verify_buckets(policy, level="stored", stop=stop)
    intact, _ = verify_buckets(policy, level="intact", share=SCHEDULED_SHARE, stop=stop)
    return [
        f"{check.subject}: {check.detail}"
        for proof in (*stored, *intact)
        if proof.verdict != "passed"
        for check in proof.findings
    ]


def _incomparable(vault: Vault, system: str) -> str:
    roles = current_roles(vault, system)
    if roles.primary == "source":
        return ""
    return f"the replica is primary since {roles.since:%Y-%m-%d %H:%M:%SZ}; `drkeeper failback` makes both alike again"


def _heal(vault: Vault, policy: Policy, pair: Pair) -> list[Check]:
    """While nobody else copies to the replica."""
    replica, source = (newest_walk(vault, pair.system, region) for region in ("replica", "source"))
    ttl_seconds = policy.vault.lease.total_seconds()
    with hold(vault.first_reachable(), f"replicate-{pair.system}", ttl_seconds=ttl_seconds):
        copier = pair.copier()
        insist_source_is_primary(vault, pair.system, copier.replica)
        healer = Healer(pair.system, copier)
        return list(healer.heal(replica.damaged if replica else (), source.damaged if source else ()))
