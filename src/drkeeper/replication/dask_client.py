"""A connection to a scheduler of Dask whose workers can do our work; what stands in the way is said plainly."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import Any

from drkeeper.errors import DrkeeperError, Refused, ToolMissing
from drkeeper.log import get_logger

CONNECT_SECONDS = 10.0
FORGET_SECONDS = 15.0
PACKAGES = ("drkeeper", "distributed", "dask")


class DaskUnreachable(DrkeeperError):
    """No scheduler answers, or it has no workers."""

    retryable = True
    default_hint = (
        "start `dask scheduler`, and `dask worker ADDRESS` on each machine, where `drkeeper[dask,objects]` is installed"
    )


@contextmanager
def connected(address: str, *, wait_seconds: float = CONNECT_SECONDS) -> Iterator[Any]:
    """A `distributed.Client` of a scheduler that has workers, all of our versions.

    TLS: an address that begins with `tls://`, and certificates as Dask's own configuration names them; without it there
    is a warning, unless the scheduler is on this machine.

    Raises:
        ToolMissing: `distributed` is not installed.
        DaskUnreachable: No scheduler answers there in time, or it has no workers.
        Refused: Scheduler or workers are of other versions, or lack drkeeper.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ToolMissing(
            "several machines are reached through Dask, and `distributed` is not installed",
            hint="`pip install 'drkeeper[dask]'`",
        ) from error
    try:
        client = distributed.Client(address, timeout=wait_seconds, set_as_default=False, name="drkeeper")
    except (OSError, ValueError, TypeError) as error:  # what time-outs, and addresses that are none, raise
        raise DaskUnreachable(f"no Dask scheduler answers at {address}: {_first_line(error)}") from error
    _warn_of_open_connections(client, address)
    try:
        _insist_on_workers(client, address, wait_seconds)
        _insist_on_versions(client)
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


def forget_plugin(client: Any, name: str) -> None:
    """Remove a plugin from the workers. One that answers nobody is not waited for for minutes, as Dask would."""
    removing = Thread(target=_unregister, args=(client, name), name="dask-plugin", daemon=True)
    removing.start()
    removing.join(FORGET_SECONDS)
    if removing.is_alive():
        get_logger().warning("a worker does not answer", plugin=name)


def _unregister(client: Any, name: str) -> None:
    with suppress(OSError, ValueError, CancelledError):
        client.unregister_worker_plugin(name)


def _warn_of_open_connections(client: Any, address: str) -> None:
    at = str(client.scheduler.address)
    if at.startswith("tcp://") and not at.startswith(("tcp://127.", "tcp://localhost", "tcp://[::1]")):
        get_logger().warning("Dask without TLS: keys of buckets travel to workers in the clear", scheduler=address)


def _insist_on_workers(client: Any, address: str, wait_seconds: float) -> None:
    try:
        client.wait_for_workers(1, timeout=wait_seconds)
    except TimeoutError as error:
        raise DaskUnreachable(f"the Dask scheduler at {address} has no workers") from error


def _insist_on_versions(client: Any) -> None:
    """What we send is pickled: both ends must have the same modules. Only the standard library's is used to ask."""
    for package in PACKAGES:
        ours = version(package)
        found = {f"worker {at}": what for at, what in client.run(version, package, on_error="return").items()}
        found["the scheduler"] = _of_scheduler(client, package)
        for where, theirs in found.items():
            if theirs != ours:
                has = f"{package} {theirs}" if isinstance(theirs, str) else f"no {package}"
                raise Refused(
                    f"{where} has {has}, and here is {ours}; nothing was changed",
                    hint="install the same versions on the scheduler, all workers, and here",
                )


def _of_scheduler(client: Any, package: str) -> str | None:
    try:
        return str(client.run_on_scheduler(version, package))
    except PackageNotFoundError:
        return None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
