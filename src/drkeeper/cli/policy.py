"""`drkeeper policy`: validate, show, schema."""

import click

from drkeeper.cli.output import Output
from drkeeper.cli.settings import Settings, pass_settings


@click.group("policy")
def command() -> None:
    r"""Validate or show the policy; print its JSON schema.

    \b
    Examples:
      drkeeper policy validate --policy policies/production.yaml
      drkeeper policy show -o json
      drkeeper policy schema > policy.schema.json
    """


@command.command("validate")
@pass_settings
def validate(settings: Settings) -> None:
    """Read the policy, and tell everything that is wrong with it at once.

    References must have their values here: run it where backups run. Exit code 2 where something is wrong.
    """
    from drkeeper.policy import freeze_order

    policy = settings.load_policy()
    if not settings.quiet:
        click.echo(f"{settings.find_policy()}: policy {policy.name} is valid; frozen in order: ", nl=False)
        click.echo(", ".join(freeze_order(policy)))


@command.command("show")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@pass_settings
def show_policy(settings: Settings, output: Output) -> None:
    """Print the policy with its defaults; secrets stay the references that were written."""
    from drkeeper.cli.output import show

    show(settings.load_policy().shown(), output, ())


@command.command("schema")
def schema() -> None:
    """Print the JSON schema of a policy, with all kinds of systems that are installed, for editors."""
    from drkeeper.policy import main

    main()
