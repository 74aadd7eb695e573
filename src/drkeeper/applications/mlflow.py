"""MLflow: a tracking server and model registry, whose rows lie in PostgreSQL, and whose artifacts lie in buckets.

A point holds counts and digests of the rows, fingerprints of the operator's keys, and what chosen models predict. What
was restored is proven by the same facts, by statements about the rows, by following every reference to its object, and
by loading those models again. The parts are in `_mlflow/`.
"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, JsonValue

from drkeeper.applications import ALONE, Restored, Witnessed
from drkeeper.applications._mlflow import keys, readings, revisions, statements
from drkeeper.applications._mlflow.database import Database, opened
from drkeeper.applications._mlflow.options import Options
from drkeeper.applications._mlflow.places import Places
from drkeeper.applications._mlflow.predictions import Models
from drkeeper.applications._mlflow.versions import foremost
from drkeeper.applications._mlflow.witness import facts_of
from drkeeper.errors import DrkeeperError, Interrupted, PolicyInvalid
from drkeeper.facts import Check, Facts, Scalar, findings
from drkeeper.recovery_point import ApplicationRecord
from drkeeper.systems import Browsing, Frozen, System

__all__ = ["MlflowApplication", "Options", "open_application"]

DATABASE = "database"


def open_application(
    name: str, options: BaseModel, _companions: Mapping[str, BaseModel] = ALONE
) -> "MlflowApplication":
    """As a policy describes it; connects to nothing."""
    if not isinstance(options, Options):
        raise PolicyInvalid(f"{name}: these are not options of an application of kind mlflow")
    return MlflowApplication(name, options)


class MlflowApplication:
    """One tracking server."""

    kind = "mlflow"

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options

    def witness(self, views: Mapping[str, Frozen], systems: Mapping[str, System]) -> Witnessed:
        """Rows as of the frozen view; models from the bucket as it is, where artifacts only come on top."""
        view = views.get(self.options.database)
        if view is None:
            return Witnessed(Facts(unread={DATABASE: f"{self.options.database} was not frozen"}))
        try:
            with opened(view, self.options.database, self.options.database_name) as database:
                return self._witnessed(database, views, systems)
        except Interrupted:
            raise
        except DrkeeperError as error:
            return Witnessed(Facts(unread={DATABASE: str(error)}))

    def check(self, restored: Restored) -> Iterator[Check]:
        """Every statement; of a database that does not answer, that one."""
        try:
            yield from statements.known_before(statements.checked(self.options, restored), restored.record)
        except Interrupted:
            raise
        except DrkeeperError as error:
            yield _unasked(error, restored.record)

    def probe(self, systems: Mapping[str, System]) -> Iterator[Check]:
        """Whether the database's schema is one that the installed MLflow starts with."""
        try:
            with opened(systems[self.options.database], self.options.database, self.options.database_name) as database:
                yield from revisions.probe(database)
        except DrkeeperError as error:
            yield Check(subject="alembic", verdict="not checked", detail=str(error), remedy=error.hint)

    def _witnessed(self, database: Database, views: Mapping[str, Frozen], systems: Mapping[str, System]) -> Witnessed:
        chosen = {name: systems[name] for name in self.options.artifacts if name in systems}
        buckets = {name: system for name, system in chosen.items() if isinstance(system, Browsing)}
        places = Places.of(buckets, {}, self.options.artifacts_destination)
        facts = facts_of(database, places)
        wrong = findings([*statements.rows(database, self.options, None), *self._features(database, views)])
        samples, unread = self._models(database, Models(self.options, places, buckets))
        written = [str(each["mlflow_version"]) for each in samples]
        version = written[0] if written else readings.recorded_version(foremost(database, 3), places, buckets)
        info: dict[str, Scalar] = {statements.MLFLOW_VERSION: version or None}
        more: dict[str, JsonValue] = {"models": list(samples), "keys": keys.fingerprints(self.options)}
        known = facts.model_copy(update={"info": {**facts.info, **info}, "unread": {**facts.unread, **unread}})
        return Witnessed(known, more, tuple(wrong))

    def _features(self, database: Database, views: Mapping[str, Frozen]) -> Iterator[Check]:
        yield from statements.features(database, self.options, views)

    def _models(self, database: Database, models: Models) -> tuple[list[dict[str, JsonValue]], dict[str, str]]:
        samples, unread = [], {}
        for model in self.options.models:
            try:
                samples.append(models.record(database, model))
            except Interrupted:
                raise
            except DrkeeperError as error:
                unread[f"models.{model.name}@{model.alias}.prediction"] = str(error)
        return samples, unread


def _unasked(error: DrkeeperError, record: ApplicationRecord | None) -> Check:
    """A database that was as empty when the point was taken (of a server that never started) came back as it was."""
    if record is not None and record.facts.unread.get(DATABASE) == str(error):
        detail = f"{error}; it was so when the point was taken"
        return Check(subject=DATABASE, verdict="not checked", detail=detail)
    return Check(subject=DATABASE, verdict="failed", detail=str(error), remedy=error.hint)
