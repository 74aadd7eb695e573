"""`drkeeper drill`: without another word it runs one."""

from typing import Any

import click

from drkeeper.cli.drill_game import game_day
from drkeeper.cli.drill_list import list_drills, show_one
from drkeeper.cli.drill_run import drill_due, run_drill
from drkeeper.cli.drill_verify import verify_drill

DEFAULT = "run"


class Drills(click.Group):
    """A group in which `drkeeper drill` and `drkeeper drill 3f2a` run a drill, as they always did."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the word that was left out."""
        place = self._own_options(args)
        if place == len(args) and ctx.resilient_parsing:
            return super().parse_args(ctx, args)  # a shell completes: the word is yet to come
        if place == len(args) or (args[place] not in self.commands and args[place] not in ctx.help_option_names):
            args = [*args[:place], DEFAULT, *args[place:]]
        return super().parse_args(ctx, args)

    def _own_options(self, args: list[str]) -> int:
        """How many of the words are options of all commands, given before the word that says which."""
        flags = {name: bool(getattr(each, "is_flag", False)) for each in self.params for name in each.opts}
        place = 0
        while place < len(args):
            name, _, value = args[place].partition("=")
            if name not in flags:
                break
            place += 1 if flags[name] or value else 2
        return min(place, len(args))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Its commands, and what `run` would be given."""
        with run_drill.make_context(DEFAULT, [], parent=ctx, resilient_parsing=True) as running:
            point = run_drill.params[0].shell_complete(running, incomplete)
        return [*super().shell_complete(ctx, incomplete), *point]


@click.group("drill", cls=Drills)
def command() -> None:
    r"""Rehearse a recovery in a sandbox, with a clock; say what was rehearsed, and what is due.

    Without another word, `drkeeper drill [ID]` is `drkeeper drill run [ID]`.

    \b
    Examples:
      drkeeper drill
      drkeeper drill run --scenario region-lost --report-dir reports
      drkeeper drill due
      drkeeper drill game-day --scenario region-lost
      drkeeper drill list
      drkeeper drill -o json | jq .rto_seconds
    """


for each in (run_drill, drill_due, game_day, list_drills, show_one, verify_drill):
    command.add_command(each)
