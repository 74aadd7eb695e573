"""`drkeeper verify`."""

from typing import TYPE_CHECKING

import click

from drkeeper.cli.options import SHARE, point_argument, working
from drkeeper.cli.output import Column, Output, human_duration, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import KeyMissing, UsageInvalid, VerificationFailed

if TYPE_CHECKING:
    from drkeeper.facts import Check
    from drkeeper.verify import Depth, Verification


@click.command("verify")
@point_argument()
@click.option("--all", "every", is_flag=True, help="All recovery points.")
@click.option(
    "--level",
    type=click.Choice(["stored", "intact"]),
    default="stored",
    show_default=True,
    help="stored: every frame is in each region; intact: and hashes to its name.",
)
@click.option("--sample", type=SHARE, default="100%", show_default=True, help="Share of the frames that intact reads.")
@click.option("--heal", is_flag=True, help="Copy what is broken from a region that has it whole, then verify again.")
@click.option("--seed", type=int, help="Of the sample, to look at the same frames again.")
@output_option
@click.pass_context
@pass_settings
def command(
    settings: Settings,
    context: click.Context,
    *,
    point_id: str,
    every: bool,
    level: "Depth",
    sample: float,
    heal: bool,
    seed: int | None,
    output: Output,
) -> None:
    r"""Check that stored recovery points are there and unharmed, in every region; record it as their proof.

    Exit code 5: something is missing or damaged (the frame, stream and region are named), or a region could not be
    checked. A level is held only in the regions that were.

    \b
    Examples:
      drkeeper verify                                  the latest point is stored
      drkeeper verify --all --level intact --sample 5%
      drkeeper verify 3f2a --level intact --heal
    """
    if every and context.get_parameter_source("point_id") is not click.core.ParameterSource.DEFAULT:
        raise UsageInvalid("give an ID or --all, not both")
    from drkeeper import actions
    from drkeeper.wiring import open_vault

    policy = settings.load_policy()
    if level == "intact" and not open_vault(policy).can_read:
        raise KeyMissing("the vault is encrypted, and frames cannot be opened without an identity")
    with working(settings) as work:
        ids = () if every else (point_id,)
        result = actions.verify(policy, ids, level=level, sample=sample, seed=seed, progress=work.progress)
        if heal and (result.broken_frames or result.broken_indices):
            mended = actions.heal(policy, result)
            _show_mended(mended)
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


def _show_mended(mended: "list[Check]") -> None:
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
