"""Live probes of everything that the policy names, each failure with its remedy. Nothing is changed."""

import os
import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from drkeeper.applications import Application, Probing
from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check
from drkeeper.systems import System
from drkeeper.vault.layout import HEADER
from drkeeper.vault.store import Store

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CGROUP = Path("/sys/fs/cgroup")
# What a backup holds of several streams at once, with the libraries; a smaller container is ended with exit 137.
NEEDED_BYTES = 256 << 20
CLUSTER_SUFFIX = ".svc.cluster.local"


def probe_systems(systems: Mapping[str, System]) -> Iterator[Check]:
    """Each system's own probes, its name before each subject."""
    for name, system in systems.items():
        for check in system.probe():
            yield check.model_copy(update={"subject": f"{name}.{check.subject}"})


def probe_applications(known: Mapping[str, Application], systems: Mapping[str, System]) -> Iterator[Check]:
    """What applications say of running systems that a restore, or a start of their servers, would fail at."""
    for name, application in known.items():
        if isinstance(application, Probing):
            for check in application.probe(systems):
                yield check.model_copy(update={"subject": f"{name}.{check.subject}"})


def probe_regions(regions: Mapping[str, Store]) -> Iterator[Check]:
    """Whether each region answers and holds a vault."""
    for name, store in regions.items():
        subject = f"vault.{name}"
        try:
            there = store.head(HEADER) is not None
        except DrkeeperError as error:
            yield Check(subject=subject, verdict="failed", detail=str(error), remedy=error.hint)
            continue
        if there:
            yield Check(subject=subject, verdict="passed", detail="answers and holds a vault")
        else:
            yield Check(subject=subject, verdict="failed", detail="answers, and holds no vault", remedy="drkeeper init")


# --- names ------------------------------------------------------------------------------------------------------


def probe_names(options: Mapping[str, BaseModel]) -> Iterator[Check]:
    """Whether each host name means the same everywhere, and leads anywhere.

    Args:
        options: Of systems and regions, by name.
    """
    namespace = _own_namespace()
    for name, each in options.items():
        host = _host(each)
        if host and not _is_address(host):
            yield judge_name(f"{name}.host", host, namespace) or _resolved(f"{name}.host", host)


def judge_name(subject: str, host: str, namespace: str | None) -> Check | None:
    """What is wrong with a name itself; None where nothing is. Pure.

    Args:
        subject: Of the check.
        host: A name, no address.
        namespace: Of the Pod that we run in; None: we run in none.
    """
    labels = host.rstrip(".").split(".")
    within = host.endswith((".svc", CLUSTER_SUFFIX, f"{CLUSTER_SUFFIX}."))
    if namespace is None and within:
        return Check(
            subject=subject,
            verdict="failed",
            detail=f"{host} is the name of a Service, which only Pods of its cluster can resolve; we run in none",
            remedy="run drkeeper in the cluster (deploy/), or give an address that is reached from here",
        )
    if namespace is not None and len(labels) <= 2:  # noqa: PLR2004 - service, or service.namespace
        service, space = [*labels, namespace][:2]
        return Check(
            subject=subject,
            verdict="failed",
            severity="warning",
            detail=f"{host} is not fully qualified: search domains of this Pod complete it, so from another namespace "
            "it is another Service, or none (`could not translate host name`)",
            remedy=f"write {service}.{space}{CLUSTER_SUFFIX}",
        )
    return None


def _resolved(subject: str, host: str) -> Check:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter: two dots in a row, or a part that is too long
        return Check(
            subject=subject,
            verdict="failed",
            detail=f"the name {host} cannot be resolved: {getattr(error, 'strerror', None) or error}",
            remedy="write it in full, with its domain; check the DNS of this machine or Pod, and that a network "
            "policy lets port 53 through",
        )
    return Check(
        subject=subject, verdict="passed", detail=f"{host} is {', '.join(sorted({str(a[4][0]) for a in found}))}"
    )


def _host(options: BaseModel) -> str:
    """Of an endpoint; "" where the options name none: the URL of a bucket holds no host."""
    url = str(getattr(options, "endpoint", None) or "")
    if not url:
        named = str(getattr(options, "url", None) or "")
        url = named if named.startswith(("http:", "https:", "postgresql:")) else ""
    return str(getattr(options, "host", None) or urlsplit(url).hostname or "")


def _own_namespace(folder: Path = ACCOUNT) -> str | None:
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return None
    try:
        return (folder / "namespace").read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def _is_address(host: str) -> bool:
    if host == "localhost" or host.startswith("/"):  # a folder with a Unix socket
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


# --- memory -----------------------------------------------------------------------------------------------------


def probe_memory(folder: Path = CGROUP) -> Iterator[Check]:
    """Whether the container that we run in has the memory that a backup takes. Nothing where there is no limit.

    Args:
        folder: Of the control group, version 2 or 1.
    """
    limit = _number(folder / "memory.max") or _number(folder / "memory" / "memory.limit_in_bytes")
    if limit is not None and limit < NEEDED_BYTES:
        yield Check(
            subject="drkeeper.memory",
            verdict="failed",
            severity="warning",
            detail=f"this container may take {limit >> 20} MiB, and a backup or restore takes up to "
            f"{NEEDED_BYTES >> 20} MiB: it, or a pg_dump in it, is ended with exit 137 (OOMKilled)",
            remedy=f"set resources.limits.memory of the Pod to {NEEDED_BYTES >> 20}Mi or more",
        )
    killed = _counted(folder / "memory.events") or _counted(folder / "memory" / "memory.oom_control")
    if killed:
        yield Check(
            subject="drkeeper.killed",
            verdict="failed",
            severity="warning",
            detail=f"{killed} processes of this container were ended for want of memory (exit 137)",
            remedy="raise resources.limits.memory of the Pod",
        )


def _number(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit


def _counted(file: Path) -> int:
    try:
        words = file.read_text(encoding="utf-8").split()
    except OSError:
        return 0
    counts = dict(zip(words[::2], words[1::2], strict=False))
    return int(counts.get("oom_kill", 0))
