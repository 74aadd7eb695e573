"""Whether the platform that came back is the one that was backed up, by what its SDKs say. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from drkeeper.facts import Check, Verdict

Snapshot = Mapping[str, Any]
# What a snapshot of each SDK holds, and how it is called in one line.
TRACKING = {
    "experiments": "experiments by name",
    "runs": "runs by id, with parameters, metrics and each step of the loss",
    "versions": "versions of the registered model",
    "aliases": "aliases of the registered model",
    "artifacts": "files of runs and models, each with its size and digest",
    "predictions": "predictions of the champion, loaded from the bucket",
}
FEATURES = {"views": "feature views", "served": "features of customers, as served online"}


def compare_tracking(before: Snapshot, after: Snapshot) -> Iterator[Check]:
    """One check for each thing that MLflow lists."""
    yield from (_check(f"mlflow.{key}", words, before[key], after[key]) for key, words in TRACKING.items())


def compare_champion(before: Snapshot, after: Snapshot) -> Check:
    """Whether the files of the champion are what they were."""
    return _check("mlflow.champion", "files of the champion, byte for byte", before, after)


def compare_features(before: Snapshot, after: Snapshot) -> Iterator[Check]:
    """One check for each thing that Feast serves; a customer without a value is never served."""
    yield from (_check(f"feast.{key}", words, before[key], after[key]) for key, words in FEATURES.items())
    verdict: Verdict = "passed" if after["absent"] == 0 else "failed"
    yield Check(subject="feast.absent", verdict=verdict, detail=f"customers without features: {after['absent']}")


def _check(subject: str, words: str, before: Any, after: Any) -> Check:
    if before == after and before:
        return Check(subject=subject, verdict="passed", detail=f"{words}: {len(before)}, the same")
    return Check(subject=subject, verdict="failed", detail=f"{words}: {_difference(before, after)}")


def _difference(before: Any, after: Any) -> str:
    if not before:
        return "there was nothing to compare with"
    if isinstance(before, Mapping):
        lost = [key for key in before if key not in after]
        more = [key for key in after if key not in before]
        other = [key for key in before if key in after and before[key] != after[key]]
        return f"{len(lost)} lost, {len(more)} unexpected, {len(other)} different"
    return f"expected {before}, found {after}"
