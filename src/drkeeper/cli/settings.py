"""What the options that every command takes say, and the policy they lead to."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TextIO, TypeVar, cast

import click

if TYPE_CHECKING:
    from drkeeper.policy import Policy

WARNING = 30
NOT_HERE = "not-known-here"

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Settings:
    """Of one run of the command line.

    Attributes:
        policy_file: As given by `--policy`.
        secrets: Values that must never be printed; known once the policy was read.
    """

    policy_file: Path | None = None
    verbose: bool = False
    quiet: bool = False
    color: bool | None = None
    secrets: list[str] = field(default_factory=list)

    def find_policy(self) -> Path:
        """The policy file that is meant.

        Raises:
            PolicyInvalid: There is none.
        """
        from drkeeper.policy import find_policy

        return find_policy(self.policy_file)

    def load_policy(self, *, only_the_vault: bool = False) -> "Policy":
        """Read the policy, and remember which values are secret.

        Args:
            only_the_vault: References elsewhere (passwords of systems, the vault's identity) need have no value here,
                and must not be used.

        Raises:
            PolicyInvalid: Something is wrong with it.
        """
        from drkeeper.policy import VAULT_REGIONS, load_policy

        file = self.find_policy()
        policy = load_policy(file, stand_in=NOT_HERE, needed=VAULT_REGIONS) if only_the_vault else load_policy(file)
        self.secrets.extend(policy.secret_values())
        return policy

    def start_logging(self) -> None:
        """Log to stderr; `--verbose` shows debug events, `--quiet` only warnings and errors."""
        from drkeeper.log import DEBUG, INFO, WARNING, configure

        level = DEBUG if self.verbose else WARNING if self.quiet else INFO
        configure(level=level, stream=cast("TextIO", CurrentStderr()))

    def quiet_logging(self) -> None:
        """Log warnings and errors only, unless `--verbose` asks for more."""
        self.quiet = not self.verbose
        self.start_logging()


class CurrentStderr:
    """Whatever sys.stderr is at the moment: progress bars replace it, and logs must go above them."""

    def write(self, text: str) -> int:
        """Write to it."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush it."""
        sys.stderr.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return sys.stderr.isatty()


def pass_settings(function: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Give a command its settings as the first argument."""

    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(settings_of(click.get_current_context()), *args, **kwargs)

    return update_wrapper(wrapped, function)


def settings_of(context: click.Context) -> Settings:
    """Those of the run that a context belongs to."""
    return context.ensure_object(Settings)


def global_options(*, hidden: bool) -> Iterator[click.Option]:
    """The options that work before and after the command; shown in the help of `drkeeper` only."""

    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_remember, hidden=hidden, **attributes)

    yield option(
        "--policy", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="The policy to work with."
    )
    yield option("-v", "--verbose", is_flag=True, help="Say more; show where an error came from.")
    yield option("-q", "--quiet", is_flag=True, help="Results and errors only.")
    yield option("--no-color", is_flag=True, help="No colours; so does NO_COLOR in the environment.")


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = settings_of(context)
    match parameter.name, value:
        case _, None | False:
            return
        case "policy", _:
            settings.policy_file = value
        case "verbose", _:
            settings.verbose = True
        case "quiet", _:
            settings.quiet = True
        case "no_color", _:
            settings.color = False
            context.color = False
