"""Feast: a project's registry, online store and offline sources, and whether they fit together.

The registry says what should be there; what is there is read from the store itself
(`docs/adr/0134-features-are-read-from-the-store-not-from-the-registrys-intervals.md`). Nothing here imports Feast:
what only Feast can tell, it is asked in processes of its own.
"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from drkeeper import clock
from drkeeper.applications import ALONE, Restored, Witnessed
from drkeeper.applications._feast.online_checks import online_checks
from drkeeper.applications._feast.options import Options
from drkeeper.applications._feast.process import Feast
from drkeeper.applications._feast.registry_checks import read_definitions, registry_checks
from drkeeper.applications._feast.repo import repo_config
from drkeeper.applications._feast.witness import take_witness
from drkeeper.applications._mlflow.options import Options as MlflowOptions
from drkeeper.errors import PolicyInvalid
from drkeeper.facts import Check
from drkeeper.systems import Frozen, System

__all__ = ["FeastApplication", "Options", "open_application"]


def open_application(name: str, options: BaseModel, companions: Mapping[str, BaseModel] = ALONE) -> "FeastApplication":
    """A Feast project, and the MLflow whose models it serves; connects to nothing."""
    if not isinstance(options, Options):
        raise PolicyInvalid(f"{name}: these are not options of a feast application")
    tracking = companions.get(options.tracking)
    return FeastApplication(name, options, tracking if isinstance(tracking, MlflowOptions) else None)


class FeastApplication:
    """One project.

    Args:
        name: Of the application.
        options: Of its policy.
        tracking: Of the MLflow whose models are served with its features; None: nothing is said across the two.
    """

    kind = "feast"

    def __init__(self, name: str, options: Options, tracking: MlflowOptions | None = None) -> None:
        self.name = name
        self.options = options
        self._tracking = tracking

    def witness(self, views: Mapping[str, Frozen], systems: Mapping[str, System]) -> Witnessed:
        """Counts by kind, the registry's version, what is served for some entities, and what models say of these."""
        return take_witness(self.options, views, systems, clock.now(), self._tracking)

    def check(self, restored: Restored) -> Iterator[Check]:
        """The registry first, for what the online store should hold is in it."""
        read = read_definitions(self.options, restored.systems)
        definitions = None if isinstance(read, Check) else read
        with Feast(lambda: repo_config(self.options, restored.systems), self.options.limits) as feast:
            if isinstance(read, Check):
                yield read
            else:
                yield from registry_checks(self.options, restored, read)
            yield from online_checks(self.options, restored, definitions, clock.now(), feast)
            if self._tracking is not None:
                yield from self._across(self._tracking, restored, feast)

    def _across(self, tracking: MlflowOptions, restored: Restored, feast: Feast) -> Iterator[Check]:
        from drkeeper.applications._across import statements

        record = restored.record
        kept = record.samples.get(statements.SUBJECT) if record is not None else None
        records = [each for each in kept if isinstance(each, dict)] if isinstance(kept, list) else []
        yield from statements.unrecorded(tracking, records, record.facts.unread if record is not None else {})
        yield from statements.checked(
            tracking, feast, restored.systems, records, clock.now(), elsewhere=restored.elsewhere
        )
