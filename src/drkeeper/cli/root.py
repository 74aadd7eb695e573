"""The command `drkeeper` itself: knows its commands by name and one line, and imports one only when it is used."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from drkeeper import __version__
from drkeeper.cli.settings import Settings, global_options

COMMANDS: dict[str, dict[str, str]] = {
    "Protect": {
        "init": "Write a starter policy, or create the policy's vault.",
        "check": "Probe every system and region; say what to do about what fails.",
        "backup": "Take a recovery point of all systems.",
        "replicate": "Bring recovery points to the regions that lack them.",
        "lock": "Run a writer while nobody else writes, backs up or restores.",
        "run": "Do everything that the policy schedules, as a daemon.",
    },
    "Prove": {
        "verify": "Check that stored recovery points are there and unharmed.",
        "beat": "Write a heartbeat into each system, to measure lost data by.",
        "drill": "Restore into a sandbox with a clock: measure RTO and RPO.",
        "findings": "List what was found wrong; assign, close or accept it.",
        "report": "Report on a quarter, for auditors: HTML, PDF, Markdown, JSON.",
    },
    "Recover": {
        "points": "List recovery points; show, pin or forget one.",
        "scenarios": "List what may be lost, and what brings it back.",
        "plan": "Show what a restore would do, and how long it would take.",
        "runbook": "Show what to do by hand, scenario by scenario, with this policy's names.",
        "restore": "Bring systems back from a recovery point.",
        "recovery": "Look on while something is restored; pause, go on, abort.",
        "approve": "Sign a saved plan, where the policy has restores approved.",
        "release": "Let workloads run that a restore left held.",
        "rebuild": "Bring a Feast online store up to date with its sources.",
        "failover": "Make a bucket's replica the primary; plan it, test it, see who is.",
        "failback": "Make the source primary again, with what was written meanwhile.",
        "relocate": "Have MLflow's database say where its artifacts are after a fail-over.",
        "ids": "Show the new ids of what was restored beside the former ones.",
    },
    "Keep": {
        "prune": "Forget what retention does not keep, and free its space.",
        "audit": "Show who changed what, and check that the log of it is whole.",
        "metrics": "Print or serve what is known of the vault, for Prometheus.",
        "policy": "Validate or show the policy; print its JSON schema.",
        "deploy": "Print what is needed to run in a Kubernetes cluster.",
        "key": "Make and show keys, for approvals and for evidence.",
        "completion": "Print a shell's completion script.",
        "demo": "Lose a small ML platform and get it back, in two minutes.",
    },
}
SUMMARIES = {name: summary for group in COMMANDS.values() for name, summary in group.items()}

EPILOG = """\b
Examples:
  drkeeper init && drkeeper check    first steps with a new policy
  drkeeper drill --report-dir out    prove that everything comes back, with a report"""


class Root(click.Group):
    """A group that imports `drkeeper.cli.<name>` and takes its `command` when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        del ctx
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in SUMMARIES:
            return None
        command: click.Command = import_module(f"drkeeper.cli.{cmd_name}").command
        return with_global_options(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with a near spelling for a command that is unknown."""
        if args and args[0] not in SUMMARIES and not args[0].startswith("-"):
            matches = get_close_matches(args[0], SUMMARIES, n=1)
            hint = f'did you mean "{matches[0]}"?' if matches else "see them with `drkeeper --help`"
            raise click.UsageError(f'no command "{args[0]}"; {hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and one-liners, group by group, without importing anything."""
        del ctx
        for group, commands in COMMANDS.items():
            with formatter.section(group):
                formatter.write_dl([(f"{name:<10}", summary) for name, summary in commands.items()])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands before options: that is what one looks for."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_commands(ctx, formatter)
        records = [record for each in self.get_params(ctx) if (record := each.get_help_record(ctx))]
        with formatter.section("Options, before or after the command"):
            formatter.write_dl(records)
        self.format_epilog(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Names with their one-liners, without importing anything."""
        del ctx
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=summary) for name, summary in SUMMARIES.items() if name.startswith(incomplete)
        ]


def with_global_options(command: click.Command) -> click.Command:
    """The command, and those below it, with the global options that it does not have yet, and lines kept in examples.

    Click keeps the lines of a paragraph that begins with a backspace character; in a raw docstring it is spelled.
    """
    command.help = command.help and command.help.replace("\\b\n", "\b\n")
    known = {parameter.name for parameter in command.params}
    command.params.extend(each for each in global_options(hidden=True) if each.name not in known)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_global_options(below)
    return command


def root() -> Root:
    """A new `drkeeper` command."""
    return Root(
        "drkeeper",
        help="Recovery points of a whole ML platform: taken, proven, restored, measured.",
        epilog=EPILOG,
        params=[*global_options(hidden=False), _version()],
        invoke_without_command=True,
        callback=_help_without_command,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code and raises nothing."""
    from drkeeper.cli.errors import guarded

    settings = Settings()
    return guarded(
        lambda: root().main(list(arguments), "drkeeper", standalone_mode=False, obj=settings), settings, arguments
    )


@click.pass_context
def _help_without_command(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), color=context.color)


def _version() -> click.Option:
    def show(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            click.echo(f"drkeeper {__version__}")
            context.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show the version."
    )
