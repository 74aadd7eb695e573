"""`drkeeper init`: a starter policy where there is none, else the policy's vault."""

import os
from pathlib import Path

import click

from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import PolicyInvalid

STARTER = Path("drkeeper.yaml")


@click.command("init")
@pass_settings
def command(settings: Settings) -> None:
    r"""Write a starter policy where there is none; else create the vault that the policy names.

    \b
    Examples:
      drkeeper init                        writes ./drkeeper.yaml, to be edited
      drkeeper init                        then creates its vault, in every region
      drkeeper --policy prod.yaml init     the same for a policy elsewhere
    """
    file = _existing(settings)
    if file is None:
        file = settings.policy_file or Path(os.environ.get("DRKEEPER_POLICY") or STARTER)
        write_starter(file)
        click.echo(f"wrote {file}: edit it, then run `drkeeper init` again to create the vault")
        return
    policy = settings.load_policy()
    from drkeeper.wiring import create_vault

    create_vault(policy)
    encrypted = "encrypted" if policy.vault.encryption else "not encrypted"
    click.echo(f"created the vault of {policy.name}, {encrypted}, in: {', '.join(policy.vault.regions)}")
    click.echo("next: `drkeeper check`, then `drkeeper backup`")


def _existing(settings: Settings) -> Path | None:
    try:
        file = settings.find_policy()
    except PolicyInvalid:
        return None
    return file if file.exists() else None


def write_starter(file: Path) -> None:
    """Write the commented starter policy; never over anything that is there.

    Raises:
        PolicyInvalid: It cannot be written.
    """
    from importlib.resources import files

    text = files("drkeeper.cli").joinpath("starter.yaml").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise PolicyInvalid(f"the policy {file} cannot be written: {error.strerror}") from error
