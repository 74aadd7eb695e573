"""Feast in a process of its own, which is asked several things: each start costs seconds of a core."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

from pydantic import JsonValue, SecretStr

from drkeeper.applications._sdk import Limits, Session, opened

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Feast:
    """How Feast is asked: in one process, which begins with the first question and ends with the block.

    A process that did not answer is ended at once; the next question finds a new one.

    Args:
        place: Gives the config of a `RepoConfig`, and the environment that holds the secrets that it names.
        limits: Of the process.
    """

    def __init__(self, place: Callable[[], tuple[dict[str, Any], Mapping[str, SecretStr]]], limits: Limits) -> None:
        self.limits = limits
        self._place = place
        self._process = ExitStack()
        self._session: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _known_place(self) -> tuple[dict[str, Any], Mapping[str, SecretStr]]:
        return self._place()

    def insist_known(self) -> None:
        """Raise where it cannot be said how Feast finds registry and online store."""
        _ = self._known_place

    def ask(
        self,
        task: str,
        request: Mapping[str, JsonValue],
        *,
        config: Mapping[str, Any] = NOTHING,
        seconds: float | None = None,
        stop: threading.Event | None = None,
    ) -> dict[str, Any]:
        """What a task answers. Raises as `Session.ask` does, and as the place does.

        Args:
            task: One of Feast's.
            request: Its arguments but the config.
            config: Of the `RepoConfig`, besides what the place says.
            seconds: As `Session.ask` takes it.
            stop: Likewise.
        """
        known, environment = self._known_place
        if self._session is None or not self._session.ready:  # it goes first where a machine is short of memory
            self.close()
            begun = opened("feast", limits=self.limits, environment=environment)
            self._session = self._process.enter_context(begun)
        session = self._session
        try:
            return session.ask(task, {"repo_config": {**known, **config}, **request}, seconds=seconds, stop=stop)
        finally:
            if not session.ready:
                self.close()

    def rows(self, task: str, rows: Sequence[Mapping[str, JsonValue]], features: Sequence[str]) -> list[dict[str, Any]]:
        """The rows that a task answers with. Raises as `ask` does."""
        request: dict[str, JsonValue] = {"entity_rows": [dict(row) for row in rows], "features": list(features)}
        return list(self.ask(task, request)["rows"])

    def close(self) -> None:
        """End the process; a later question begins another one."""
        self._session = None
        self._process.close()
