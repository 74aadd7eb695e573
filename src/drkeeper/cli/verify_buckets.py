"""`drkeeper verify --system`: buckets of artifacts and their replicas."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.options import working
from drkeeper.cli.output import Column, Output, human_size, show
from drkeeper.cli.settings import Settings
from drkeeper.errors import UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from drkeeper.replication.proof_records import BucketLevel, BucketProof


def verify_buckets(
    settings: Settings,
    systems: tuple[str, ...],
    *,
    level: "BucketLevel",
    sample: float | None,
    heal: bool,
    seed: int | None,
    output: Output,
) -> None:
    """Verify, show, and insist."""
    if heal and level != "intact":
        raise UsageInvalid(
            "--heal goes with --level intact", hint="what a replica lacks is brought by `drkeeper replicate`"
        )
    if seed is not None and level != "restorable":
        raise UsageInvalid(
            "--seed goes with --level restorable", hint="intact goes on where the last run ended; stored lists all"
        )
    if sample is not None and level == "stored":
        raise UsageInvalid("--sample goes with --level intact or restorable; stored lists all")
    from drkeeper import bucket_proofs
    from drkeeper.cli.verify import show_mended

    policy = settings.load_policy()
    with working(settings) as work:
        proofs, healed = bucket_proofs.verify_buckets(
            policy, systems, level=level, share=sample, seed=seed, heal=heal, progress=work.progress, stop=work.stop
        )
    if healed:
        show_mended(healed)
    _show(proofs, output)
    _insist(proofs)


def _show(proofs: "Sequence[BucketProof]", output: Output) -> None:
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    if output in {"json", "yaml"}:
        whole = [{**proof.model_dump(mode="json"), "verdict": proof.verdict} for proof in proofs]
        show(whole, output, ())
        return
    rows = [
        {**region.model_dump(mode="json"), "system": proof.system, "level": proof.level, "sample": proof.sample}
        for proof in proofs
        for region in proof.regions
    ]
    columns = (
        Column("system"),
        Column("level"),
        Column("region"),
        Column("verdict"),
        Column("objects", right=True),
        Column("size_bytes", "SIZE", form=human_size, right=True),
        Column("failed", right=True),
        Column("coverage", "RE-HASHED", form=_covered),
        Column("sample", form=lambda share: f"{share:.0%}", right=True, wide=True),
        Column("bytes_per_second", "SPEED", form=lambda speed: f"{human_size(speed)}/s", right=True, wide=True),
        Column("url", wide=True),
    )
    show(rows, output, columns)
    findings = [row for proof in proofs for row in check_rows(proof.findings)]
    if findings:
        click.echo()
        show(findings, output, CHECK_COLUMNS)
    for note in (f"{proof.system}: {note}" for proof in proofs for note in proof.notes):
        click.echo(f"note: {note}", err=True)


def _covered(coverage: Mapping[str, Any]) -> str:
    """`12% (34% of the bytes) since 2026-03-01`, and since when all was, once a circle was whole."""
    part = (
        f"{_share(coverage['objects'], coverage['of_objects'])} "
        f"({_share(coverage['size_bytes'], coverage['of_bytes'])} of the bytes) since {coverage['since'][:10]}"
    )
    if not coverage["all_since"]:
        return part
    whole = f"100% since {coverage['all_since'][:10]}"
    return whole if coverage["ring"] >= 1 else f"{whole}, {part}"


def _share(part: int, whole: int) -> str:
    """Rounded down: only all of it is 100%."""
    return f"{100 * min(part, whole) // whole if whole else 100}%"


def _insist(proofs: "Sequence[BucketProof]") -> None:
    failed = [proof.system for proof in proofs if proof.verdict == "failed"]
    if failed:
        raise VerificationFailed(f"{', '.join(failed)} did not pass: see the findings")
    unchecked = [proof.system for proof in proofs if proof.verdict == "not checked"]
    if unchecked:
        raise VerificationFailed(f"{', '.join(unchecked)} could not be checked in every region: see the findings")
