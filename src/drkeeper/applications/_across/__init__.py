"""Across MLflow and Feast: whether a model, asked about what the feature store serves, says what it said.

When a point is taken, a model predicts for a few entities, from the values that the frozen online store held of them;
both go into the point. After a restore, Feast is asked for the same entities by the names of the features, as whoever
serves the model would do it, and the restored model predicts from what comes back. If registry, online store, model
files and database are of one moment, the prediction is the same.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from drkeeper.applications._across.champion import Champion
from drkeeper.applications._across.features import Undecided, features_of
from drkeeper.applications._across.rows import MOST_ROWS, Row, picked, rows_of, standing
from drkeeper.applications._feast.definitions import Definitions
from drkeeper.applications._feast.process import Feast
from drkeeper.applications._feast.samples import Sample
from drkeeper.applications._mlflow import likeness
from drkeeper.applications._sdk import TaskFailed, TaskTimedOut, TaskTooLarge
from drkeeper.errors import DrkeeperError, Interrupted
from drkeeper.facts import Check

__all__ = ["Champion", "Undecided", "check_across", "record_across"]

_MOST_TOLD = 5
_REMEDY = {
    "features": "restore registry and online store from one point, then materialise from the time of the oldest values",
    "prediction": "compare the model's files and library versions with those of the point before it serves anybody",
}


def record_across(
    champion: Champion, definitions: Definitions, samples: list[Sample], *, service: str = ""
) -> dict[str, JsonValue]:
    """What a model says of sampled entities, to be asked again after a restore.

    Args:
        champion: With its files, and the tags of its run and version.
        definitions: Of the frozen registry.
        samples: What the frozen online store held, none of it changed meanwhile.
        service: Whose features a model takes that does not say so itself.

    Raises:
        Undecided: It is not known which features the model takes, or no entity has all of them.
        DrkeeperError: It does not predict, in its bounds or at all.
    """
    features = features_of(champion.tags, definitions, service)
    rows = rows_of(samples, features, definitions)[:MOST_ROWS]
    if not rows:
        raise Undecided(f"none of {len(samples)} sampled entities has all of its features")
    answer = champion.predict(features, [list(row.values) for row in rows])
    return {
        "model": champion.name,
        "alias": champion.alias,
        "version": champion.version,
        "features": list(features),
        "columns": answer["columns"],
        "rows": [row.record() for row in rows],
        "prediction": answer["prediction"],
    }


def check_across(recorded: Mapping[str, Any], champion: Champion, feast: Feast, moment: datetime) -> Iterator[Check]:
    """Two statements: the features are served as they were, and the model says of them what it said.

    Args:
        recorded: By `record_across`.
        champion: What the alias names now.
        feast: Asks the restored registry and online store.
        moment: Now.
    """
    subject = f"across.{champion.name}@{champion.alias}"
    if champion.version != recorded["version"]:
        detail = f"the alias names version {champion.version}; {recorded['version']} was recorded"
        yield Check(subject=subject, verdict="not checked", detail=detail)
        return
    rows, features = [Row.of(each) for each in recorded["rows"]], list(recorded["features"])
    try:
        served = feast.rows("online", [row.entity for row in rows], features)
    except Interrupted:
        raise
    except DrkeeperError as error:
        yield unanswered(f"{subject}.features", error)
        return
    stands = [standing(row, now, features, moment) for row, now in zip(rows, served, strict=True)]
    yield _features(f"{subject}.features", rows, stands)
    same = [place for place, stand in enumerate(stands) if stand == "same"]
    values = [[served[place]["values"][feature.replace(":", "__")] for feature in features] for place in same]
    yield _prediction(f"{subject}.prediction", recorded, champion, same, values)


def unanswered(subject: str, error: DrkeeperError) -> Check:
    """What does not work is a failure; bounds and tools of ours are none of its faults."""
    failed = isinstance(error, TaskFailed) and not isinstance(error, TaskTimedOut | TaskTooLarge)
    verdict = "failed" if failed else "not checked"
    return Check.model_validate({"subject": subject, "verdict": verdict, "detail": str(error), "remedy": error.hint})


def _features(subject: str, rows: list[Row], stands: list[str]) -> Check:
    counted = {"same": "as they were", "newer": "newer than in the point", "expired": "gone as their time came"}
    wrong = [f"{row.words}: {stand}" for row, stand in zip(rows, stands, strict=True) if stand not in counted]
    if wrong:
        detail = f"of {len(wrong)} of {len(rows)} entities they are not as they were: {'; '.join(wrong[:_MOST_TOLD])}"
        return Check(subject=subject, verdict="failed", detail=detail, remedy=_REMEDY["features"])
    told = ", ".join(f"{stands.count(stand)} {words}" for stand, words in counted.items() if stand in stands)
    verdict = "passed" if {"same", "newer"} & set(stands) else "not checked"
    return Check.model_validate({"subject": subject, "verdict": verdict, "detail": f"of {len(rows)} entities, {told}"})


def _prediction(
    subject: str, recorded: Mapping[str, Any], champion: Champion, same: list[int], values: list[list[JsonValue]]
) -> Check:
    expected = picked(recorded["prediction"], same, len(recorded["rows"]))
    if not same or expected is None:
        detail = (
            "no entity is served as it was" if not same else "one prediction for all entities, of which some changed"
        )
        return Check(subject=subject, verdict="not checked", detail=detail)
    try:
        found = champion.predict(list(recorded["features"]), values)["prediction"]
    except Interrupted:
        raise
    except DrkeeperError as error:
        return unanswered(subject, error)
    differs = likeness.difference(expected, found)
    if differs:
        detail = f"of what the feature store serves it predicts otherwise: {differs}"
        return Check(subject=subject, verdict="failed", detail=detail, remedy=_REMEDY["prediction"])
    detail = f"predicts as recorded for {len(same)} entities: {likeness.shown(found)}"
    return Check(subject=subject, verdict="passed", detail=detail)
