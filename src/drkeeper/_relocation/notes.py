"""What an operator should know of a relocation, and what only he can do."""

from collections.abc import Iterator, Sequence

from drkeeper._relocation.places import Place, Toward
from drkeeper.applications._mlflow.free_text import FreeText
from drkeeper.applications._mlflow.moves import moved
from drkeeper.applications._mlflow.relocation_plan import RelocationPlan
from drkeeper.failover.records import other


def notes(place: Place, plan: RelocationPlan, towards: Sequence[Toward], found: Sequence[FreeText]) -> Iterator[str]:
    """In sentences, the most urgent first."""
    yield from _about_endpoints(towards)
    if plan.moves:
        yield from _about_the_server(place, plan)
    if plan.already and plan.rows:
        yield (
            f"{plan.already:,} locations are at the new place already; on the way back they cannot be told from those "
            "that are moved now, and go along"
        )
    if plan.elsewhere:
        places = ", ".join(f"{begins} ({rows:,})" for begins, rows in plan.elsewhere.items())
        yield f"locations elsewhere stay as they are: {places}"
    for text in found:
        if text.begins:
            yield (
                f"{text.begins:,} values of {text.name} begin with an old place, and stay: where they are read as "
                "locations, put them right by hand"
            )


def _about_the_server(place: Place, plan: RelocationPlan) -> Iterator[str]:
    for old, new in plan.roots:
        yield f"start the server with --default-artifact-root {new}: new experiments were put below {old}"
    if not plan.roots:
        yield f"the server's --default-artifact-root must not lead to {plan.moves[0].old} any more"
    if plan.proxied:
        destination = moved(place.options.artifacts_destination or plan.moves[0].old, plan.moves)
        yield (
            f"{plan.proxied:,} locations go through the server (mlflow-artifacts:/) and stay: "
            f"start it with --artifacts-destination {destination}"
        )


def _about_endpoints(towards: Sequence[Toward]) -> Iterator[str]:
    for toward in towards:
        pair, where = toward.pair, toward.pair.endpoint(toward.side)
        if where == pair.endpoint(other(toward.side)):
            continue
        same = f"{pair.system}: both urls are the same; only the endpoint differs: " if toward.move.idle else ""
        yield f"{same}set MLFLOW_S3_ENDPOINT_URL={where} for the server and clients"
