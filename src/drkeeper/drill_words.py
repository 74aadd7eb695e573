"""What a drill record says in words: what was taken for granted, what was expected, what was not tested. Pure."""

from collections.abc import Iterator

from drkeeper.drill_request import DrillRequest, Exercise, Measured
from drkeeper.report.record import Forecast, Objectives
from drkeeper.report.words import duration, moment

PARTLY = (
    "that only what is gone of a cluster is put back, and other namespaces stay as they are: a drill restores all of "
    "it into an empty one"
)
NOT_TESTED = (
    "provisioning of production hardware, network and DNS: the sandbox runs on the machine of the drill",
    "the wait for disks: a sandbox server does not sync what it writes, as a production server does",
    "the applications' own servers (MLflow, Feast): they were not started; what they would find was looked at",
)
NOBODY = "detecting the disaster and deciding to restore: no person took part"
BESIDE = {
    "objects": "making the replica of {} the primary: `drkeeper failover test` does that; objects were copied from it",
    "redis": "rebuilding {} from the offline store: what came after the point is not there",
}
"""What would be done beside a restore, and is not done in a sandbox, by kind."""


def assumptions(exercise: Exercise) -> tuple[str, ...]:
    """What the drill took for granted."""
    return tuple(_assumptions(exercise))


def _assumptions(exercise: Exercise) -> Iterator[str]:
    if exercise.data_wrong:
        yield "the moment since which data are wrong is known"
    if exercise.disaster_at is not None:
        yield f"the disaster is taken to strike at {moment(exercise.disaster_at)}: lost data are measured from then"
    if exercise.left:
        yield f"{', '.join(exercise.left)} {'is' if len(exercise.left) == 1 else 'are'} there and unharmed"
    if exercise.regions_gone:
        yield f"of the vault, {', '.join(exercise.regions_gone)} is gone: only the other regions were read"
    if exercise.other_key:
        yield "the usual key is gone: the vault was opened with the identity that the policy names for this scenario"
    yield "servers to restore into are at hand, of the versions that the sandbox has"
    if exercise.kind == "drill":
        yield "the machine of the drill, its drkeeper and the policy are at hand"


def expected(objectives: Objectives, forecast: Forecast | None, systems: tuple[str, ...]) -> str:
    """What should come of it, in one sentence."""
    within = [
        f"{name} within {duration(seconds)}"
        for name, seconds in (("RTO", objectives.rto_seconds), ("RPO", objectives.rpo_seconds))
        if seconds is not None
    ]
    promised = " and ".join(within) if within else "with no objective set"
    predicted = f"; predicted {duration(forecast.p50_seconds)}" if forecast is not None else ""
    return f"{', '.join(systems)} come back with every fact of the point, {promised}{predicted}"


def not_tested(request: DrillRequest, measured: Measured) -> tuple[str, ...]:
    """What this drill did not cover."""
    failed = (
        f"{record.name}: {'it failed' if record.status == 'failed' else 'it is partial'}, at backup: {record.error}"
        for record in request.systems
        if record.status != "complete"
    )
    nobody = (NOBODY,) if request.exercise.kind == "drill" else ()
    return (*failed, *_borrowed(measured), *_beside(request), *NOT_TESTED, *nobody)


def _borrowed(measured: Measured) -> Iterator[str]:
    """What served where no sandbox could be started."""
    for name, words in sorted(measured.places.items()):
        lacks = "; its RTO and RPO were not measured" if name in measured.asked_only else ""
        yield f"{name}: no sandbox could be started for it here, so the drill used {words}{lacks}"


def _beside(request: DrillRequest) -> Iterator[str]:
    if not request.exercise.scenario:
        return
    if request.exercise.partly:
        yield PARTLY
    for record in request.systems:
        if record.kind == "objects" or (record.kind == "redis" and _is_online_store(request, record.name)):
            yield BESIDE[record.kind].format(record.name)


def _is_online_store(request: DrillRequest, name: str) -> bool:
    return any(meaning.kind == "feast" and name in meaning.systems for meaning in request.meanings)
