"""Options and arguments that several commands share, and what their values mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import threading

    from drkeeper.cli.settings import Settings
    from drkeeper.progress import Progress

T = TypeVar("T")
CLOCKS_DIFFER = timedelta(minutes=5)


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """A value that one of our parsers reads: a duration, a share, a bandwidth.

    Args:
        name: Stands in the help as the value's name.
        parse: Raises ValueError with what was expected.
    """

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Read it."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{error}, found {value!r}", param, ctx)


def _seconds(text: str) -> float:
    from drkeeper._policy.quantities import parse_duration

    return 0.0 if text.strip() in {"0", "0s"} else parse_duration(text).total_seconds()


def _rate(text: str) -> int:
    from drkeeper._policy.quantities import parse_rate

    return parse_rate(text)


def parse_share(text: str) -> float:
    """`5%` or `0.05` as a number above 0 and up to 1.

    Raises:
        ValueError: It is none.
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError("expected a share such as 5% or 0.05")
    return share


def parse_listen(text: str) -> tuple[str, int]:
    """`127.0.0.1:9750`, `:9750` (every address), `[::1]:9750`.

    Raises:
        ValueError: It is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):  # noqa: PLR2004
        raise ValueError("expected HOST:PORT such as 127.0.0.1:9750")
    return host.strip("[]"), int(port)


def parse_moment(text: str) -> datetime:
    """`2026-11-23T02:15Z`, `2026-11-23 02:15` (UTC where nothing else is said), or how long ago: `90m`.

    Raises:
        ValueError: It is neither, or it is yet to come: then a time of another zone was taken for UTC.
    """
    from drkeeper import clock

    moment = parse_deadline(text)
    if moment > clock.now() + CLOCKS_DIFFER:
        raise ValueError("expected a moment that has been; without a zone it is in UTC (+01:00 says another)")
    return moment


def parse_deadline(text: str) -> datetime:
    """The same, of a moment that may be yet to come.

    Raises:
        ValueError: It is none.
    """
    from drkeeper import clock

    try:
        return _moment(text, clock.now())
    except (ValueError, OverflowError) as error:
        raise ValueError("expected a moment such as 2026-11-23T02:15Z, or how long ago, such as 90m") from error


def _moment(text: str, now: datetime) -> datetime:
    with suppress(ValueError):
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return now - timedelta(seconds=_seconds(text))


DURATION = Parsed("duration", _seconds)
SHARE = Parsed("share", parse_share)
RATE = Parsed("rate", _rate)
LISTEN = Parsed("host:port", parse_listen)
MOMENT = Parsed("time", parse_moment)
DEADLINE = Parsed("time", parse_deadline)


def complete_point(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Ids from the vault, where that answers within the patience of somebody who pressed TAB."""
    from drkeeper.cli.points_completion import point_ids

    return point_ids(_context, incomplete)


def point_argument(*, required: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The id of a recovery point, the beginning of one, or `latest`."""
    return click.argument(
        "point_id",
        metavar="ID" if required else "[ID]",
        required=required,
        default=None if required else "latest",
        shell_complete=complete_point,
    )


def complete_scenario(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Names of the built-in scenarios and, where a policy can be read, of its own."""
    from click.shell_completion import CompletionItem

    from drkeeper.cli.settings import settings_of
    from drkeeper.errors import DrkeeperError
    from drkeeper.scenarios import BUILT_IN

    known = {name: scenario.title for name, scenario in BUILT_IN.items()}
    with suppress(DrkeeperError):
        policy = settings_of(context).load_policy(only_the_vault=True)
        known |= {name: own.title or known.get(name, "") for name, own in policy.scenarios.items()}
    return [CompletionItem(name, help=title) for name, title in known.items() if name.startswith(incomplete)]


scenario_option = click.option(
    "--scenario",
    metavar="NAME",
    default="",
    shell_complete=complete_scenario,
    help="What is taken to be lost: region-lost, database-corrupted …, or one of the policy's own.",
)
before_option = click.option(
    "--before",
    type=MOMENT,
    help="Take the newest point whose data are of before this moment: 2026-11-23T02:15Z, or 90m for so long ago.",
)
namespace_option = click.option(
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    help="Of a cluster, that is gone; several times. Left out: all that are missing there.",
)
system_option = click.option(
    "--system", "systems", metavar="NAME", multiple=True, help="Only this system; several times."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what targets hold; an undo point first.")
partial_option = click.option("--allow-partial", is_flag=True, help="Take a partial point, for what it holds.")
keep_held_option = click.option(
    "--keep-held", is_flag=True, help="Leave workloads of clusters at zero, until `drkeeper release`."
)
no_proof_option = click.option(
    "--no-proof", is_flag=True, help="Do not ask the applications at the end; `drkeeper verify --level usable` does."
)
only_option = click.option(
    "--only",
    multiple=True,
    metavar="KEY",
    help="Only this object or prefix/ of a bucket, or namespace/ of a cluster; several times.",
)
into_option = click.option(
    "--into", default="", metavar="URL", help="Restore a bucket into another one: s3://bucket or s3://bucket/prefix."
)
wait_option = click.option(
    "--wait", "wait_seconds", type=DURATION, default="0s", help="How long to wait for a lease that is held."
)


@dataclass(frozen=True)
class Work:
    """What long work is given: somebody to tell, and an event that asks it to end."""

    progress: "Progress"
    stop: "threading.Event"


@contextmanager
def working(settings: "Settings") -> Iterator[Work]:
    """Logs, progress and signals for the length of the block."""
    from drkeeper.cli.interrupt import stoppable
    from drkeeper.cli.progress import progress

    settings.start_logging()
    with stoppable() as stop, progress(quiet=settings.quiet, color=settings.color) as told:
        yield Work(progress=told, stop=stop)
