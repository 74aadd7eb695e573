"""`drkeeper completion`: the script that a shell completes with, and what is completed from the vault."""

import click

from drkeeper.errors import UsageInvalid

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_DRKEEPER_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    r"""Print a shell's completion script.

    \b
    Examples:
      source <(drkeeper completion bash)                        in ~/.bashrc
      source <(drkeeper completion zsh)                         in ~/.zshrc
      drkeeper completion fish > ~/.config/fish/completions/drkeeper.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is None:
        raise UsageInvalid(f"no completion for {shell}")
    click.echo(script(context.find_root().command, {}, "drkeeper", VARIABLE).source())
