"""Public keys that a command line names, or that the policy knows."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drkeeper.cli.settings import Settings
    from drkeeper.policy import Policy

public_keys_option = click.option(
    "--key",
    "keys",
    metavar="PUBLIC",
    multiple=True,
    help="A public key, as text or its file; several where keys were changed. Left out: that of the policy's own key.",
)


def public_keys(keys: "Sequence[str]", policy: "Policy | None") -> dict[str, bytes]:
    """Raw public keys by what they are called here: those that were given, else the policy's.

    Raises:
        KeyUnusable: One of them is none.
        Refused: A file cannot be read.
    """
    from drkeeper.cli.key import read_key
    from drkeeper.signing import public_of, read_public

    given = {key: read_public(read_key(Path(key)) if Path(key).is_file() else key) for key in keys}
    own = policy.evidence.key if policy is not None else None
    return given or ({"the policy's key": public_of(own.get_secret_value())} if own else {})


def policy_if_any(settings: "Settings") -> "Policy | None":
    """The policy, where one is at hand that can be read; evidence can be verified without."""
    from drkeeper.errors import PolicyInvalid

    try:
        return settings.load_policy()
    except PolicyInvalid:
        return None
