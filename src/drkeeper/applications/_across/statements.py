"""All models of one MLflow with features of one Feast project: recorded with a point, and asked for after a restore."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from drkeeper.applications._across import check_across, record_across, unanswered
from drkeeper.applications._across.champion import NOWHERE, opened_champion
from drkeeper.applications._feast.definitions import Definitions
from drkeeper.applications._feast.options import Options as FeastOptions
from drkeeper.applications._feast.process import Feast
from drkeeper.applications._feast.samples import Sample
from drkeeper.applications._mlflow.options import Options as MlflowOptions
from drkeeper.applications._mlflow.options import RecordedModel
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check
from drkeeper.systems import System

SUBJECT = "across"


def recorded(
    tracking: MlflowOptions,
    features: FeastOptions,
    sources: Mapping[str, object],
    definitions: Definitions,
    samples: Iterable[Sample],
) -> tuple[list[dict[str, JsonValue]], dict[str, str]]:
    """A record of each model that the policy names, and why there is none of others, by their subjects.

    Args:
        tracking: Of the application of kind mlflow.
        features: Of the one of kind feast.
        sources: Systems of both by name; of the database its frozen view.
        definitions: Of the frozen registry.
        samples: Of the frozen online store.
    """
    records, unread, known = [], {}, list(samples)
    for model in tracking.models:
        try:
            with opened_champion(tracking, sources, model) as champion:
                records.append(record_across(champion, definitions, known, service=features.service))
        except Interrupted:
            raise
        except DrkeeperError as error:
            unread[f"{SUBJECT}.{model.name}@{model.alias}"] = str(error)
    return records, unread


def unrecorded(
    tracking: MlflowOptions, records: Iterable[Mapping[str, Any]], unread: Mapping[str, str]
) -> Iterator[Check]:
    """Models that the policy names, and of which the point has no record.

    Args:
        tracking: As above.
        records: By `recorded`, and why there is none of others:
        unread: Likewise.
    """
    known = {(record["model"], record["alias"]) for record in records}
    for model in tracking.models:
        if (model.name, model.alias) not in known:
            subject = f"{SUBJECT}.{model.name}@{model.alias}"
            reason = f"not read at backup: {unread[subject]}" if subject in unread else "the point has no record of it"
            yield Check(subject=subject, verdict="not checked", detail=reason)


def checked(
    tracking: MlflowOptions,
    feast: Feast,
    systems: Mapping[str, System],
    records: Iterable[Mapping[str, Any]],
    moment: datetime,
    *,
    elsewhere: Mapping[str, str] = NOWHERE,
) -> Iterator[Check]:
    """Whether they are served, and say, what they were recorded to.

    Args:
        tracking: As above.
        feast: Is asked for features.
        systems: The restored ones of both applications.
        records: By `recorded`.
        moment: Now.
        elsewhere: As in `Restored`.
    """
    records = list(records)
    if not records:
        if not tracking.models:
            detail = "the policy names no model whose predictions are recorded"
            yield Check(subject=SUBJECT, verdict="not checked", detail=detail)
        return
    try:
        feast.insist_known()
    except DrkeeperError as error:
        yield unanswered(SUBJECT, error)
        return
    for record in records:
        model = RecordedModel(name=record["model"], alias=record["alias"])
        try:
            with opened_champion(tracking, systems, model, elsewhere) as champion:
                yield from check_across(record, champion, feast, moment)
        except Interrupted:
            raise
        except DrkeeperError as error:
            yield unanswered(f"{SUBJECT}.{model.name}@{model.alias}", error)
