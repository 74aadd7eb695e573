"""`drkeeper verify`."""

from typing import TYPE_CHECKING, Literal

import click

from drkeeper.cli.options import SHARE, point_argument, working
from drkeeper.cli.output import Column, Output, human_duration, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import KeyMissing, UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drkeeper.facts import Check
    from drkeeper.replication.proof_records import BucketLevel
    from drkeeper.verify import Depth, Verification


@click.command("verify")
@point_argument()
@click.option("--all", "every", is_flag=True, help="All recovery points.")
@click.option(
    "--system", "systems", metavar="NAME", multiple=True, help="This bucket and its replica instead; may be repeated."
)
@click.option(
    "--level",
    type=click.Choice(["stored", "intact", "restorable", "usable"]),
    default="stored",
    show_default=True,
    help="stored: all is in each region; intact: and hashes right; restorable: (bucket) and is fetched; usable: works.",
)
@click.option("--application", "applications", metavar="NAME", multiple=True, help="With usable: only this one.")
@click.option(
    "--sample", type=SHARE, help="Share of the frames or objects that is read; 100% (5% with restorable) by default."
)
@click.option("--heal", is_flag=True, help="Copy what is broken from a region that has it whole, then verify again.")
@click.option("--seed", type=int, help="Of the sample, to look at the same frames or objects again.")
@output_option
@click.pass_context
@pass_settings
def command(
    settings: Settings,
    context: click.Context,
    *,
    point_id: str,
    every: bool,
    systems: tuple[str, ...],
    level: "BucketLevel | Literal['usable']",
    applications: tuple[str, ...],
    sample: float | None,
    heal: bool,
    seed: int | None,
    output: Output,
) -> None:
    r"""Check that stored recovery points are there and unharmed, in every region; record it as their proof.

    Exit code 5: something is missing or damaged, or a region could not be checked. With --system a bucket and its
    replica are verified: listings, bytes (each run going on where the last one ended), or some objects fetched from
    each. With usable the applications are asked whether the live platform works (references lead somewhere, models
    load, features are there); with an ID it is held against that point's witness, too, as after a restore.

    \b
    Examples:
      drkeeper verify                                  the latest point is stored
      drkeeper verify --all --level intact --sample 5%
      drkeeper verify 3f2a --level intact --heal
      drkeeper verify --system artifacts --level intact --sample 5%
      drkeeper verify --level usable
    """
    named = context.get_parameter_source("point_id") is not click.core.ParameterSource.DEFAULT
    if level == "usable":
        if every or systems or heal:
            raise UsageInvalid("--level usable is about the live platform: --all, --system and --heal are not")
        _verify_use(settings, applications, point_id if named else "", output)
        return
    if applications:
        raise UsageInvalid("--application goes with --level usable")
    if named + every + bool(systems) > 1:
        raise UsageInvalid("give an ID, --all or --system, and only one of them")
    if systems:
        from drkeeper.cli.verify_buckets import verify_buckets

        verify_buckets(settings, systems, level=level, sample=sample, heal=heal, seed=seed, output=output)
    elif level == "restorable":
        raise UsageInvalid("--level restorable is for buckets", hint="points are restored by `drkeeper drill`")
    else:
        ids = () if every else (point_id,)
        _verify_points(settings, ids, level=level, sample=sample or 1.0, heal=heal, seed=seed, output=output)


def _verify_use(settings: Settings, names: tuple[str, ...], point_id: str, output: Output) -> None:
    from drkeeper import usable
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    with working(settings):
        checks = usable.prove_live(settings.load_policy(), names, point_id=point_id)
    passed = sum(check.verdict == "passed" for check in checks)
    shown = check_rows(check for check in checks if output in {"wide", "json", "yaml"} or check.verdict != "passed")
    if shown or output in {"json", "yaml"}:
        show(shown, output, CHECK_COLUMNS)
    click.echo(f"{passed} of {len(checks)} statements hold", err=output in {"json", "yaml"})
    insist_usable(checks)


def insist_usable(checks: "Sequence[Check]") -> None:
    """Exit code 5 where a statement failed, or none could be put to the test.

    Raises:
        VerificationFailed: The platform does not work, or nobody knows.
    """
    from drkeeper.facts import broken

    failed = broken(checks)
    if failed:
        raise VerificationFailed(
            f"the platform does not work: {len(failed)} statements do not hold: "
            + "; ".join(f"{check.subject}: {check.detail}" for check in failed[:3])
        )
    if not any(check.verdict == "passed" for check in checks):
        raise VerificationFailed("no statement could be put to the test: see why")


def _verify_points(
    settings: Settings,
    ids: tuple[str, ...],
    *,
    level: "Depth",
    sample: float,
    heal: bool,
    seed: int | None,
    output: Output,
) -> None:
    from drkeeper import actions
    from drkeeper.notify import telling
    from drkeeper.wiring import open_vault

    policy = settings.load_policy()
    if level == "intact" and not open_vault(policy).can_read:
        raise KeyMissing("the vault is encrypted, and frames cannot be opened without an identity")
    with telling(policy, "verify"):
        with working(settings) as work:
            result = actions.verify(policy, ids, level=level, sample=sample, seed=seed, progress=work.progress)
            if heal and (result.broken_frames or result.broken_indices):
                mended = actions.heal(policy, result)
                show_mended(mended)
                result = actions.verify(policy, ids, level=level, sample=sample, seed=seed, progress=work.progress)
        _show(result, output)
        _insist(result)


def _show(result: "Verification", output: Output) -> None:
    from drkeeper import clock
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    now = clock.now()
    rows = [
        {
            **proof.model_dump(mode="json"),
            "age_seconds": (now - proof.at).total_seconds(),
            "findings": check_rows(proof.findings),
        }
        for proof in result.proofs
    ]
    columns = (
        Column("point_id", "ID"),
        Column("level"),
        Column("verdict"),
        Column("sample", form=lambda share: f"{share:.0%}", right=True),
        Column("verdicts", "REGIONS", form=_where),
        Column("findings", form=lambda each: str(len(each)), right=True),
        Column("seed", wide=True),
        Column("age_seconds", "AGE", form=human_duration, right=True, wide=True),
    )
    show(rows, output, columns)
    findings = [finding for row in rows for finding in row["findings"]]
    if findings and output in {"table", "wide"}:
        click.echo()
        show(findings, output, CHECK_COLUMNS)


def _where(verdicts: "dict[str, str]") -> str:
    """`near, far`, or `near, far: not checked`."""
    return ", ".join(region if verdict == "passed" else f"{region}: {verdict}" for region, verdict in verdicts.items())


def show_mended(mended: "list[Check]") -> None:
    """What came of healing, on stderr: stdout is for what was found."""
    from drkeeper.cli.output import table_lines
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    for line in table_lines(check_rows(mended), [column for column in CHECK_COLUMNS if not column.wide]):
        click.echo(line, err=True)


def _insist(result: "Verification") -> None:
    if result.verdict == "failed":
        failed = sum(proof.verdict == "failed" for proof in result.proofs)
        raise VerificationFailed(f"{failed} of {len(result.proofs)} points did not pass: see the findings")
    if result.verdict == "not checked" and result.proofs:
        raise VerificationFailed("not every point could be checked in every region: see the findings")
