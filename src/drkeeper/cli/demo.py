"""`drkeeper demo`."""

from pathlib import Path

import click

from drkeeper.cli.settings import Settings, pass_settings

EPILOG = """\b
Examples:
  drkeeper demo            two minutes; leaves the drill's report in ./drkeeper-demo
  drkeeper demo --keep     leaves the restored servers up, to look at"""


@click.command(epilog=EPILOG)
@click.option("--keep", is_flag=True, help="Leave servers, vault and policy as they are at the end.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("drkeeper-demo"),
    show_default=True,
    help="For everything that the demo writes.",
)
@pass_settings
def command(settings: Settings, keep: bool, folder: Path) -> None:
    """Lose a small ML platform and get it back, in two minutes.

    Starts PostgreSQL and Valkey from wheels, fills them through the real MLflow and Feast, backs up into an
    encrypted vault with two regions, drills, destroys both servers, restores them, and lets MLflow and Feast say
    whether everything is back. Touches nothing outside its folder; needs `pip install 'drkeeper[demo]'`.
    """
    from drkeeper.demo.stage import opened, require_extra
    from drkeeper.demo.story import play
    from drkeeper.demo.telling import Telling
    from drkeeper.errors import VerificationFailed

    settings.quiet = not settings.verbose
    settings.start_logging()
    require_extra()
    tell = Telling()
    with opened(folder, keep=keep) as platform:
        failures = play(platform, tell)
        if failures:
            raise VerificationFailed("; ".join(failures))
        if keep:
            platform.explain(tell.say)
    tell.say(f"[bold green]Everything is back.[/] The whole took {tell.elapsed_seconds:.0f} s.")
