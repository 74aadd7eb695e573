"""Recovery points made of plain manifests, and what a test wants to know of a control plane."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.kubernetes_system.cluster import Http, Manifest

from drkeeper.facts import Facts
from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.sandbox.kubernetes import ControlPlane
from drkeeper.systems._kubernetes import apply, documents, load
from drkeeper.systems._kubernetes.identities import group_of
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.outcome import Outcome
from drkeeper.systems._kubernetes.ranks import rank_of
from drkeeper.systems._kubernetes.render import render
from drkeeper.systems._kubernetes.sanitise import sanitise


@dataclass
class Point:
    """What a capture would have given, in memory."""

    record: SystemRecord
    contents: dict[str, bytes]

    def names(self) -> tuple[str, ...]:
        return tuple(self.contents)

    def size_bytes(self, name: str) -> int:
        return len(self.contents[name])

    def read(self, name: str) -> Iterator[bytes]:
        content = self.contents[name]
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]


def point(manifests: Iterable[Manifest], **streams: bytes) -> Point:
    """A recovery point of these objects, in the order in which a capture writes them."""
    ordered = sorted(
        manifests, key=lambda each: (rank_of(each["apiVersion"], each["kind"]), documents.object_path(each))
    )
    text = b"".join(documents.document(documents.object_path(each), render(each)) for each in ordered)
    contents = {"manifests.yaml": text, **{name.replace("_", "."): data for name, data in streams.items()}}
    counts = Counter(_label(each) for each in ordered)
    record = SystemRecord(
        name="cluster",
        kind="kubernetes",
        status="complete",
        as_of=datetime.now(UTC),
        streams=tuple(
            StreamRecord(
                name=name, ref=StreamRef(index_id="00", size_bytes=len(data), frame_count=1), stored_bytes=len(data)
            )
            for name, data in contents.items()
        ),
        facts=Facts(bounds={f"count.{label}": (count, count) for label, count in counts.items()}),
    )
    return Point(record, contents)


def _label(manifest: Manifest) -> str:
    group = group_of(manifest["apiVersion"])
    return f"{manifest['kind'].lower()}s.{group}" if group else f"{manifest['kind'].lower()}s"


def options_for(plane: ControlPlane, scratch: Path, **more: Any) -> Options:
    return Options(**{"kubeconfig": plane.kubeconfig, "scratch": scratch, "hold": False, **more})


def restore(options: Options, source: Point, staging: str = "s1") -> Outcome:
    load.load("cluster", options, source.record, source, staging)
    return apply.switch("cluster", options, staging)


@contextmanager
def asking(plane: ControlPlane) -> Iterator[Http]:
    with Http(plane) as http:
        yield http


def live_path(manifest: Manifest) -> str:
    """Where an object of the kinds that these tests use is served."""
    api_version, metadata = manifest["apiVersion"], manifest["metadata"]
    plural = manifest["kind"].lower() + ("es" if manifest["kind"].endswith("s") else "s")
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    within = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{root}{within}/{plural}/{metadata['name']}"


def as_captured(http: Http, manifests: Iterable[Manifest]) -> list[Manifest]:
    """The live objects as a capture writes them: with the server's defaults, without what is the server's own."""
    return [sanitise(http("GET", live_path(each))) for each in manifests]


def obj(api_version: str, kind: str, name: str, namespace: str = "", **rest: Any) -> Manifest:
    metadata: Manifest = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def namespace(name: str) -> Manifest:
    return obj("v1", "Namespace", name)


def config_map(name: str, where: str, **data: str) -> Manifest:
    return obj("v1", "ConfigMap", name, where, data=data)


def workload(
    kind: str, name: str, where: str, replicas: int | None = 3, labels: dict[str, str] | None = None
) -> Manifest:
    labels = labels or {"app": name}
    spec: Manifest = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "registry.example/app:1"}]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return obj("apps/v1", kind, name, where, spec=spec)


def definition(
    plural: str, kind: str, group: str = "example.com", *, scope: str = "Namespaced", **names: str
) -> Manifest:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return obj(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        f"{plural}.{group}",
        spec={
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List", **names},
            "scope": scope,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    )
