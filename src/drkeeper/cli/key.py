"""`drkeeper key`: keys that approve restores, and that sign what drills have shown."""

from pathlib import Path

import click

from drkeeper.cli.output import Column, Output, output_option, show
from drkeeper.errors import Refused

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("key")
def command() -> None:
    r"""Make and show Ed25519 keys, for approvals and for evidence.

    \b
    Examples:
      drkeeper key new --out ada.pem
    """


@command.command("new")
@click.option("--out", type=FILE, required=True, help="Where the private key goes; FILE.pub gets the public one.")
@output_option
def new(out: Path, output: Output) -> None:
    r"""Make a key pair; print the public key, as a policy has it.

    The private key is not encrypted: keep it where only its owner, or the machine that signs, can read it.

    \b
    Examples:
      drkeeper key new --out ada.pem
      drkeeper key new --out evidence.pem -o json
    """
    from drkeeper.signing import new_key, public_of, public_pem

    private = new_key()
    _write(out, private, 0o600)
    _write(out.with_name(f"{out.name}.pub"), public_pem(public_of(private)), 0o644)
    _show(public_of(private), output)


@command.command("show")
@click.argument("file", type=FILE)
@output_option
def show_key(file: Path, output: Output) -> None:
    r"""Print the public key of a file that holds a private or a public one.

    \b
    Examples:
      drkeeper key show ada.pem
      drkeeper key show ada.pem.pub -o json
    """
    from drkeeper.signing import public_of, read_public

    text = read_key(file)
    _show(public_of(text) if "PRIVATE KEY" in text else read_public(text), output)


def read_key(file: Path) -> str:
    """The text of a key's file.

    Raises:
        Refused: It cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"{file} cannot be read: {reason}") from error


def _show(public: bytes, output: Output) -> None:
    from drkeeper.signing import key_id, public_text

    if output in {"json", "yaml"}:
        show({"public": public_text(public), "key_id": key_id(public)}, output, ())
    elif output == "wide":
        show({"public": public_text(public), "key_id": key_id(public)}, output, (Column("public"), Column("key_id")))
    else:
        click.echo(public_text(public))


def _write(file: Path, text: str, mode: int) -> None:
    """Write a new file that nobody else can read for a moment, either."""
    import os

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise Refused(f"{file} is there already; nothing was written", hint="name another file") from error
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from error
