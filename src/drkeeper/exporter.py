"""Gives the gauges to Prometheus, and a status page to people: as text once, or over HTTP.

The vault is looked at in the background, each so many seconds, and whoever asks is answered from what was seen last.
So neither many scrapes nor a dead region can hold anybody up, and a scrape costs the vault nothing.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from drkeeper import clock
from drkeeper._exporter.http import Looked, Page, Server
from drkeeper.drill_wiring import rehearsable
from drkeeper.errors import ToolMissing, UsageInvalid
from drkeeper.forecast import Limits
from drkeeper.gauges import GAUGES, PREFIX, Sample
from drkeeper.known import Expected, Known, ScenarioExpected
from drkeeper.log import get_logger
from drkeeper.metrics import samples
from drkeeper.observation import Observer
from drkeeper.outlook import outlooks
from drkeeper.policy import Policy
from drkeeper.report.record import Objectives
from drkeeper.report.status_page import render_page
from drkeeper.schedules import Cron
from drkeeper.status import build_status
from drkeeper.wiring import loss, meanings, open_regions

PATIENCE_SECONDS = 10.0  # for one request to a region


def observer(policy: Policy) -> Observer:
    """Of the policy's vault. Connects to nothing, and needs neither the systems nor the vault's identity."""
    return Observer(
        policy.name,
        {name: system.kind for name, system in policy.systems.items()},
        policy.objectives,
        open_regions(policy, patience_seconds=PATIENCE_SECONDS),
        expected(policy),
    )


def expected(policy: Policy) -> Expected:
    """What a policy expects to happen."""
    backup = policy.schedules.backup
    return Expected(
        backup=Cron.parse(backup) if backup else None,
        every=policy.drills.every,
        retest_within=policy.drills.retest_within,
        scenarios=tuple(_scenarios(policy)),
        capacity_bytes=policy.vault.capacity,
        meanings=meanings(policy),
        limits=Limits(policy.recovery.at_once, policy.recovery.at_once_per_host),
    )


def _scenarios(policy: Policy) -> Iterator[ScenarioExpected]:
    """Those in scope; one that does not fit the policy is for `drkeeper scenarios` to tell, no reason to be mute."""
    for name in rehearsable(policy):
        try:
            yield _scenario(policy, name)
        except UsageInvalid as error:
            get_logger().warning("scenario left out", scenario=name, error=str(error))


def _scenario(policy: Policy, name: str) -> ScenarioExpected:
    lost, own = loss(policy, name)
    rto = own.rto if own and own.rto else policy.objectives.rto
    rpo = own.rpo if own and own.rpo else policy.objectives.rpo
    return ScenarioExpected(
        name,
        lost.scenario.title,
        lost,
        Objectives(rto_seconds=rto and rto.total_seconds(), rpo_seconds=rpo and rpo.total_seconds()),
        sealed=lost.scenario.key_lost and not (own and own.identity),
    )


def look(watch: Observer) -> str:
    """Look at the vault once; the gauges as text.

    Raises:
        ToolMissing: The library that writes them is not installed.
    """
    return _look(watch, refresh_seconds=None).metrics


def _look(watch: Observer, *, refresh_seconds: float | None) -> Looked:
    _library()
    started = clock.monotonic_seconds()
    now = clock.now()
    known = watch.observe(now)
    _tell_what_is_wrong(known)
    ahead = outlooks(known, now)
    took = round(clock.monotonic_seconds() - started, 3)
    page = render_page(build_status(known, ahead, now), refresh_seconds) if refresh_seconds is not None else ""
    return Looked(exposition(samples(known, now, took, ahead)), page)


def exposition(found: Iterable[Sample]) -> str:
    """Samples in Prometheus' text format, in the order of `GAUGES`.

    Raises:
        ToolMissing: The library that writes them is not installed.
    """
    client, core = _library()
    by_name: dict[str, list[Sample]] = {name: [] for name in GAUGES}
    for sample in found:
        by_name[sample.name].append(sample)

    class Collector:
        def collect(self) -> Iterator[Any]:
            for name, own in by_name.items():
                if own:
                    yield _family(core, name, own)

    registry = client.CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    text: bytes = client.generate_latest(registry)
    return text.decode()


@contextmanager
def serving(watch: Observer, listen: tuple[str, int], every_seconds: float) -> Iterator[tuple[str, int]]:
    """Serve /metrics, /healthz and a status page for the length of the block; yields the address that was bound.

    Args:
        watch: Nobody else may use it meanwhile.
        listen: Host and port; port 0 takes a free one.
        every_seconds: How often the vault is looked at.

    Raises:
        UsageInvalid: The address cannot be bound.
        ToolMissing: The library that writes the text is not installed.
    """
    _library()
    page = Page(lambda: _look(watch, refresh_seconds=every_seconds), every_seconds)
    try:
        server = Server(listen, page)
    except OSError as error:
        raise UsageInvalid(f"cannot listen on {listen[0]}:{listen[1]}: {error.strerror or error}") from error
    stop = threading.Event()
    threads = [
        threading.Thread(target=page.keep_fresh, args=(stop,), name="metrics-look", daemon=True),
        threading.Thread(target=server.serve_forever, name="metrics-http", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


def _tell_what_is_wrong(known: Known) -> None:
    for region in known.regions:
        if not region.up:
            get_logger().warning("region is not up", region=region.name, error=region.why)
    if not known.readable:
        get_logger().warning("the catalog cannot be read", error=known.why)
    for name, count in known.unreadable.items():
        if count:
            get_logger().warning("records are damaged", record=name, count=count)


def _family(core: Any, name: str, own: list[Sample]) -> Any:
    labels = list(own[0].labels)
    family = core.GaugeMetricFamily(f"{PREFIX}{name}", GAUGES[name], labels=labels)
    for sample in own:
        family.add_metric([sample.labels[label] for label in labels], float(sample.value))
    return family


def _library() -> tuple[Any, Any]:
    try:
        import prometheus_client
        from prometheus_client import core
    except ImportError as error:
        raise ToolMissing(
            "prometheus_client, which writes metrics, is not installed",
            hint="install it with `pip install 'drkeeper[metrics]'`",
        ) from error
    return prometheus_client, core
