"""`drkeeper drill verify`: signed evidence put to the test, on a machine that has nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from drkeeper.cli.keys import policy_if_any, public_keys, public_keys_option
from drkeeper.cli.output import Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings
from drkeeper.errors import DrkeeperError, Refused, VerificationFailed

if TYPE_CHECKING:
    from drkeeper._evidence.file import Verified

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("verify")
@click.argument("file", type=FILE)
@public_keys_option
@click.option("--previous", type=FILE, help="The evidence or report of the drill before it: is it the one it names?")
@click.option("--render", type=FILE, help="Write the page that follows from what was signed.")
@output_option
@pass_settings
def verify_drill(
    settings: Settings, *, file: Path, keys: tuple[str, ...], previous: Path | None, render: Path | None, output: Output
) -> None:
    r"""Verify a drill's signed report (.html), or its evidence alone (.dsse.json), with the public key.

    Needs neither vault nor policy. The signature is checked, the record that was signed, with --previous the chain,
    and whether a page says what was signed and nothing else: for that it is rendered anew, which only the drkeeper
    of the same version can do; of another one the page is "not checked", and --render makes one to read.

    Exit code 5: something is not as it was signed, or there was no key to check the signature with.

    \b
    Examples:
      drkeeper drill verify drill-20261123T021500Z-7c41d09ab2e5.html --key evidence.pem.pub
      drkeeper drill verify drill.dsse.json --key ed25519:9mCz… --previous before.dsse.json
      drkeeper drill verify drill.dsse.json --key evidence.pem.pub --render drill.html
    """
    from drkeeper._evidence.file import verify_file

    publics = public_keys(keys, None if keys else policy_if_any(settings))
    found = verify_file(_read(file), publics, previous=_read(previous) if previous else None)
    _show(found, output)
    _insist(found)
    if render is not None:
        _render(found, render)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from error


def _show(found: "Verified", output: Output) -> None:
    from drkeeper.cli.rows import CHECK_COLUMNS, check_rows

    if output in {"json", "yaml"}:
        record = found.record.model_dump(mode="json") if found.record else None
        show({"checks": check_rows(found.checks), "record": record}, output, ())
        return
    show(check_rows(found.checks), output, CHECK_COLUMNS)
    if found.record is not None:
        from drkeeper.cli.drill_run import drill_lines

        click.echo()
        click.echo(drill_lines(found.record, output), nl=False)


def _insist(found: "Verified") -> None:
    failed = [check for check in found.checks if check.verdict == "failed"]
    if failed:
        raise VerificationFailed("; ".join(f"{check.subject}: {check.detail}" for check in failed))
    if not any(check.subject == "signature" and check.verdict == "passed" for check in found.checks):
        raise VerificationFailed("nothing is proven without the public key", hint="give it as --key PUBLIC")


def _render(found: "Verified", file: Path) -> None:
    page = found.page
    if page is None:
        raise DrkeeperError("this version cannot read all of the record, so no page was written")
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DrkeeperError(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"the page of what was signed: {file}", err=True)
