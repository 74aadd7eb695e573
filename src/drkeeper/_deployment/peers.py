"""Whom drkeeper talks to, derived from a policy, as peers of a NetworkPolicy. Pure.

A NetworkPolicy knows addresses and labels, no names. A Service's name says in which namespace its Pods are; what lies
outside of the cluster can be narrowed to its port only, unless the policy names it by address.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import UsageInvalid
from drkeeper.policy import Policy
from drkeeper.vault.store import StoreOptions

# Stands in the place of values that are known in the cluster only; long enough for every key that has a least length.
STAND_IN = "known-in-the-cluster-only-and-not-here"

HTTPS, SSH = 443, 22
API_SERVER_PORTS = (443, 6443)
_PORTS = {"https": HTTPS, "http": 80, "ssh": SSH, "git": 9418}


@dataclass(frozen=True)
class Endpoint:
    """A host, as the policy names it, and a port."""

    name: str
    host: str
    port: int | None


@dataclass(frozen=True)
class Peer:
    """A peer of a NetworkPolicy; with neither namespace nor cidr, any address at these ports."""

    name: str
    ports: tuple[int, ...]
    namespace: str = ""
    cidr: str = ""

    def value(self) -> dict[str, Any]:
        """As it stands in the chart's values."""
        place = {"namespace": self.namespace} if self.namespace else {"cidr": self.cidr} if self.cidr else {}
        return {"name": self.name, **place, **({"ports": list(self.ports)} if self.ports else {})}


def egress_peers(policy: Policy, namespace: str) -> tuple[Peer, ...]:
    """Systems and regions, in the policy's order.

    Args:
        policy: Whose.
        namespace: Of our own Pods: where a Service named without a namespace is.

    Raises:
        UsageInvalid: An address is given by a reference that has no value here.
    """
    found = [*_systems(policy), *_regions(policy)]
    return tuple(dict.fromkeys(peer for each in found if (peer := _peer(each, namespace)) is not None))


def restore_peers(policy: Policy, namespace: str) -> tuple[Peer, ...]:
    """Who connects to us while he is restored: a Redis or Valkey that loads its data as a replica would."""
    peers = []
    for name, system in policy.systems.items():
        options = system.options
        if hasattr(options, "listen_port") and getattr(options, "restore", "") != "commands":
            found = _peer(Endpoint(name, str(getattr(options, "host", "")), options.listen_port or None), namespace)
            if found is not None and (found.namespace or found.cidr or found.ports):
                peers.append(found)
    return tuple(dict.fromkeys(peers))


def restore_notes(policy: Policy) -> Iterator[str]:
    """What would keep such a system from reaching us."""
    for name, system in policy.systems.items():
        options = system.options
        if not hasattr(options, "listen_port") or getattr(options, "restore", "") == "commands":
            continue
        labels = str(getattr(options, "host", "")).rstrip(".").split(".")
        if len(labels) == 1 or "svc" in labels[2:3]:
            yield (
                f"{name}: while it is restored it connects to us from its Pod's own address, and other addresses are "
                "turned away: let `host` name the Pod (pod.service.namespace.svc), or a headless Service"
            )
        if not options.listen_port:
            yield f"{name}: it connects to us while it is restored; set `listen_port`, so that one port is let in"


def _systems(policy: Policy) -> Iterator[Endpoint]:
    for name, system in policy.systems.items():
        options = system.options
        for part in (options, *getattr(options, "servers", ())):
            yield from _host_and_port(name, part)
            if isinstance(part, BucketOptions):
                yield _store(name, part)
        replica = getattr(options, "replica", None)
        if isinstance(replica, BucketOptions):
            yield _store(f"{name}, replica", replica)
        elif isinstance(replica, BaseModel):
            yield from _host_and_port(f"{name}, replica", replica)
        git = getattr(options, "git", None)
        if isinstance(git, BaseModel):
            yield from _remote(f"{name}, git", str(getattr(git, "url", "")))
        if system.kind == "kubernetes" and getattr(options, "kubeconfig", None) is not None:
            yield from (Endpoint(name, "", port) for port in API_SERVER_PORTS)
    if policy.sandbox.cluster is not None:
        yield from (Endpoint("sandbox, cluster", "", port) for port in API_SERVER_PORTS)


def _host_and_port(name: str, options: BaseModel) -> Iterator[Endpoint]:
    host, port = getattr(options, "host", None), getattr(options, "port", None)
    if isinstance(host, str) and isinstance(port, int):
        yield Endpoint(name, host, port)


def _remote(name: str, url: str) -> Iterator[Endpoint]:
    """A git remote: a URL, `user@host:path` as ssh has it, or a folder."""
    parts = urlsplit(url)
    if parts.hostname and parts.scheme in _PORTS:
        yield Endpoint(name, parts.hostname, parts.port or _PORTS[parts.scheme])
    elif "://" not in url and "@" in url.partition(":")[0]:
        yield Endpoint(name, url.partition(":")[0].rpartition("@")[2], SSH)


def _regions(policy: Policy) -> Iterator[Endpoint]:
    for name, region in policy.vault.regions.items():
        if region.local_folder is not None or region.url.startswith("memory:"):
            continue
        yield _store(f"vault, {name}", region)


def _store(name: str, options: StoreOptions | BucketOptions) -> Endpoint:
    """Where object storage is; a provider's own endpoints have no fixed addresses."""
    if options.endpoint is None:
        return Endpoint(name, "", HTTPS)
    parts = urlsplit(options.endpoint)
    return Endpoint(name, parts.hostname or STAND_IN, parts.port or _PORTS.get(parts.scheme, HTTPS))


def _peer(endpoint: Endpoint, namespace: str) -> Peer | None:
    """Where a host is; None where it is in our own Pod."""
    host = endpoint.host.lower().rstrip(".")
    if STAND_IN in host:
        raise UsageInvalid(
            f"{endpoint.name}: its address is a reference that has no value here",
            hint="set the environment variables that hold addresses to what they are in the cluster; secrets need none",
        )
    if host == "localhost" or host.startswith("/"):
        return None
    ports = () if endpoint.port is None else (endpoint.port,)
    address = _address(host)
    if address:
        return None if ip_address(host).is_loopback else Peer(endpoint.name, ports, cidr=address)
    labels = host.split(".")
    if host and len(labels) == 1:
        return Peer(endpoint.name, ports, namespace=namespace)
    if "svc" in labels[2:3] or "svc" in labels[3:4]:  # service.namespace.svc, pod.service.namespace.svc
        return Peer(endpoint.name, ports, namespace=labels[labels.index("svc", 2) - 1])
    return Peer(endpoint.name, ports)


def _address(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    return f"{address}/{address.max_prefixlen}"
