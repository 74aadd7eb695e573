"""Where artifacts lie: locations as MLflow writes them, and the objects of a policy's systems. Pure.

MLflow writes `s3://bucket/root/1/<run>/artifacts`, `gs://…`, `file:///…`, plain paths, `dbfs:/…`, and, behind a server
that hands artifacts through, `mlflow-artifacts:/…`, which only that server can place. `models:/…` and `runs:/…` are
references to rows, resolved where these are read.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

from drkeeper.systems import Browsing

PROXIED = "mlflow-artifacts:"
LOGGED_MODEL = "models:/m-"
SAME_AS_S3 = ("s3a://", "s3n://")


class Place(NamedTuple):
    """One object, or what all keys in a folder begin with, without a slash at the end."""

    system: str
    key: str

    def below(self, name: str) -> "Place":
        """An object in the folder."""
        return Place(self.system, f"{self.key}/{name}" if self.key else name)


class Places:
    """Which system a location is in.

    Args:
        urls: System -> `s3://bucket/prefix`; the longest that fits is taken.
        elsewhere: Location -> where its objects are now.
        proxied: What `mlflow-artifacts:/` stands for; None where nobody said.
    """

    def __init__(
        self, urls: Mapping[str, str], elsewhere: Mapping[str, str] | None = None, proxied: str | None = None
    ) -> None:
        self._urls = _longest_first({url: system for system, url in urls.items()})
        self._moves = _longest_first(elsewhere or {})
        self._proxied = proxied

    @classmethod
    def of(cls, systems: Mapping[str, object], elsewhere: Mapping[str, str], proxied: str | None) -> Self:
        """Of those systems that hold objects."""
        urls = {name: system.url for name, system in systems.items() if isinstance(system, Browsing)}
        return cls(urls, elsewhere, proxied)

    def find(self, location: str) -> Place | None:
        """The place of a location, None where it is in no system."""
        moved = self._moved(self._unproxied(location).rstrip("/"))
        found = _first(self._urls, moved)
        return Place(found[1], moved[len(found[0]) + 1 :]) if found else None

    def portable(self, location: str | None) -> str | None:
        """The same text for the same object, wherever the bucket is: `artifacts:1/<run>/artifacts`."""
        place = self.find(location) if location else None
        return f"{place.system}:{place.key}" if place else location

    def why_not(self, location: str) -> str:
        """Why a location is in no system; the same words for all that share the reason."""
        if location.startswith(PROXIED) and self._proxied is None:
            return f"{PROXIED}/ is the server's --artifacts-destination: say which in artifacts_destination"
        return f"no system of this application holds {_root(self._moved(self._unproxied(location)))}"

    def _unproxied(self, location: str) -> str:
        if location.startswith(PROXIED) and self._proxied is not None:
            path = location.removeprefix(PROXIED)
            inner = path[2:].partition("/")[2] if path.startswith("//") else path.lstrip("/")
            return f"{self._proxied.rstrip('/')}/{inner}"
        for scheme in SAME_AS_S3:
            if location.startswith(scheme):
                return "s3://" + location.removeprefix(scheme)
        return location

    def _moved(self, location: str) -> str:
        """As it is now. A system that lies deeper than what was moved stayed where it was."""
        move, here = _first(self._moves, location), _first(self._urls, location)
        if move is None or (here is not None and len(here[0]) > len(move[0])):
            return location
        return move[1] + location[len(move[0]) :]


def _first(prefixes: list[tuple[str, str]], location: str) -> tuple[str, str] | None:
    """The first whose prefix is the location, or a folder above it."""
    for prefix, value in prefixes:
        if location.startswith(prefix) and location[len(prefix) : len(prefix) + 1] in {"", "/"}:
            return prefix, value
    return None


def _longest_first(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Both without a slash at the end, as far as the second is a location."""
    return sorted(((old.rstrip("/"), new.rstrip("/")) for old, new in texts.items()), key=lambda pair: -len(pair[0]))


def _root(location: str) -> str:
    """Scheme and bucket; of a path, that it is one."""
    scheme, separator, rest = location.partition("://")
    if separator and scheme != "file":
        return f"{scheme}://{rest.partition('/')[0]}"
    if ":" in location.partition("/")[0] and scheme != "file":
        return f"{location.partition('/')[0]}/"
    return "paths of a file system"
