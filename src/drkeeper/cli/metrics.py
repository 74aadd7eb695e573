"""`drkeeper metrics`: print, write, push or serve the gauges of a vault."""

from pathlib import Path

import click

from drkeeper.cli.options import DURATION, LISTEN
from drkeeper.cli.settings import Settings, pass_settings, settings_of

DEFAULT_LISTEN = "127.0.0.1:9750"


@click.group("metrics", invoke_without_command=True)
@click.option(
    "--out",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write this file, whole or not at all, instead of stdout.",
)
@click.option(
    "--push",
    "gateway",
    metavar="URL",
    envvar="DRKEEPER_PUSH_URL",
    help="Put them to this Pushgateway, instead of stdout; for jobs that nobody can scrape.",
)
@click.pass_context
def command(context: click.Context, file: Path | None, gateway: str | None) -> None:
    r"""Print what is known of the vault in Prometheus' text format.

    Needs to read the vault only: no password of a system, no key of an encrypted vault; references to them need
    have no value here. A vault that does not answer is a result, not a failure: drkeeper_vault_up is 0.

    \b
    Examples:
      drkeeper metrics
      drkeeper metrics --out /var/lib/node_exporter/textfile/drkeeper.prom
      drkeeper metrics --push http://pushgateway.monitoring.svc.cluster.local:9091
      drkeeper metrics serve --listen 0.0.0.0:9750
    """
    if context.invoked_subcommand is not None:
        return
    from drkeeper.exporter import look, observer

    settings = settings_of(context)
    settings.quiet_logging()
    policy = settings.load_policy(only_the_vault=True)
    text = look(observer(policy))
    if file is not None:
        _replace(file, text)
    if gateway is not None:
        from drkeeper.pushing import push

        push(gateway, policy.name, text)
    if file is None and gateway is None:
        click.echo(text, nl=False)


@command.command("serve")
@click.option("--listen", type=LISTEN, default=DEFAULT_LISTEN, show_default=True, help="Address to serve at.")
@click.option(
    "--every", "every_seconds", type=DURATION, default="60s", show_default=True, help="How often to look at the vault."
)
@pass_settings
def serve(settings: Settings, listen: tuple[str, int], every_seconds: float) -> None:
    r"""Serve /metrics, /healthz and, for people, a status page until SIGTERM.

    All are answered from what was seen last, so they cost the vault nothing. The page is read only, and asks nobody
    for a password: let those reach it who may know what is protected, and how well.

    \b
    Examples:
      drkeeper metrics serve
      drkeeper metrics serve --listen 0.0.0.0:9750 --every 5m
    """
    from drkeeper.cli.interrupt import stoppable
    from drkeeper.exporter import observer, serving
    from drkeeper.log import get_logger

    settings.start_logging()
    watch = observer(settings.load_policy(only_the_vault=True))
    with stoppable() as stop, serving(watch, listen, max(1.0, every_seconds)) as (host, port):
        get_logger().info("metrics served", listen=f"{host}:{port}", every_seconds=every_seconds)
        stop.wait()


def _replace(file: Path, text: str) -> None:
    """Whole or not at all: node_exporter reads such files at any moment, those that end in `.prom`."""
    import os
    import tempfile

    from drkeeper.errors import DrkeeperError

    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
        half = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
            half.chmod(0o644)
            half.replace(file)
        except BaseException:
            half.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DrkeeperError(f"{file} cannot be written: {error.strerror}") from error
