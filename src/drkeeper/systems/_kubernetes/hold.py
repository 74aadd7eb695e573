"""What keeps a restored workload from running before the data systems are back, and lets it run again.

Every such object carries what was changed in an annotation of its own: whoever releases needs no notes from whoever
restored, a crash between the two loses nothing, and a person can read it and undo it by hand.

An autoscaler leaves a workload alone that stands at zero, and custom resources do nothing while their controllers
stand at zero; so neither is held. Jobs are held by `parallelism`, not by `suspend`, which servers before 1.22 do not
know. A webhook is held by ignoring that it does not answer: its Service has no endpoints while workloads stand at
zero, and with `Fail` it would refuse everything, its own release included. (`docs/adr/0104-hold-and-release.md`)
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson

from drkeeper.systems._kubernetes.identities import Identity, Manifest, identity

HELD = "drkeeper.io/held"
_SKIP_RECONCILE = "argocd.argoproj.io/skip-reconcile"
_ADMISSION = "admissionregistration.k8s.io"
_WEBHOOK_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


@dataclass(frozen=True)
class Stop:
    """A field that stops a workload.

    Attributes:
        path: Where it is.
        value: What stops the workload; None: that the field is not there.
        default: What the API server takes where the field is not there.
    """

    path: tuple[str, ...]
    value: Any
    default: Any = None

    @property
    def pointer(self) -> str:
        """The path as a JSON pointer (RFC 6901)."""
        return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in self.path)


_REPLICAS = (Stop(("spec", "replicas"), 0, default=1),)
_SUSPEND = (Stop(("spec", "suspend"), value=True, default=False),)
STOPS: dict[tuple[str, str], tuple[Stop, ...]] = {
    ("apps", "Deployment"): _REPLICAS,
    ("apps", "StatefulSet"): _REPLICAS,
    ("apps", "ReplicaSet"): _REPLICAS,
    ("", "ReplicationController"): _REPLICAS,
    ("apps", "DaemonSet"): (Stop(("spec", "template", "spec", "nodeSelector", HELD), "true"),),
    ("batch", "CronJob"): _SUSPEND,
    ("batch", "Job"): (Stop(("spec", "parallelism"), 0, default=1),),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"): _SUSPEND,
    ("helm.toolkit.fluxcd.io", "HelmRelease"): _SUSPEND,
    ("argoproj.io", "Application"): (
        Stop(("spec", "syncPolicy", "automated"), None),
        Stop(("metadata", "annotations", _SKIP_RECONCILE), "true"),
    ),
}
HELD_KINDS = (*STOPS, *((_ADMISSION, kind) for kind in _WEBHOOK_KINDS))


def is_webhook(target: Identity) -> bool:
    """Whether it is a configuration of admission webhooks."""
    return target.group == _ADMISSION and target.kind in _WEBHOOK_KINDS


def excepted(target: Identity, patterns: Iterable[str]) -> bool:
    """Whether a policy lets a workload start at once; `target` as it is in the recovery point."""
    return any(fnmatchcase(f"{target.namespace}/{target.name}", pattern) for pattern in patterns)


def held(manifest: Manifest) -> Manifest:
    """The manifest, at rest, and what it was in an annotation; itself where it needs no holding."""
    target = identity(manifest)
    if is_webhook(target):
        return _webhooks_held(manifest)
    result, former = copy.deepcopy(manifest), {}
    for stop in STOPS.get((target.group, target.kind), ()):
        value = _get(result, stop.path)
        if value == stop.value or (value is None and stop.default == stop.value):
            continue
        former[stop.pointer] = value
        _put(result, stop.path, stop.value)
    return _annotated(result, former) if former else manifest


def with_live_values(manifest: Manifest, live: Manifest) -> Manifest:
    """The manifest with the fields that stop it as they are on the target, where another manager owns them."""
    target, result = identity(manifest), copy.deepcopy(manifest)
    if is_webhook(target):  # taken over as a whole
        return result
    ((result.get("metadata") or {}).get("annotations") or {}).pop(HELD, None)
    former = _former(live) or {}
    for stop in STOPS.get((target.group, target.kind), ()):
        _put(result, stop.path, former[stop.pointer] if stop.pointer in former else _get(live, stop.path))
    return result


def holding_fields(manifest: Manifest) -> tuple[str, ...]:
    """The fields that keep this object at rest, as server-side apply names them in a conflict."""
    target = identity(manifest)
    if HELD not in ((manifest.get("metadata") or {}).get("annotations") or {}):
        return ()
    stops = STOPS.get((target.group, target.kind), ())
    webhooks = [f'.webhooks[name="{webhook["name"]}"].failurePolicy' for webhook in manifest.get("webhooks") or ()]
    return (f".metadata.annotations.{HELD}", *("." + ".".join(stop.path) for stop in stops), *webhooks)


def is_held(live: Manifest) -> bool:
    """Whether a live object waits for its release.

    A Deployment's annotations are copied to its ReplicaSets by its controller: there ours means nothing.
    """
    metadata = live.get("metadata") or {}
    if live.get("kind") == "ReplicaSet" and any(
        owner.get("controller") for owner in metadata.get("ownerReferences") or ()
    ):
        return False
    return HELD in (metadata.get("annotations") or {})


def release_patch(live: Manifest) -> Manifest:
    """The merge patch that lets a held object run as it did.

    A field that somebody has changed meanwhile stays as it is. The patch fits this version of the object only
    (the server answers 409 to it otherwise).

    Raises:
        ValueError: The annotation cannot be read.
    """
    former = _former(live)
    if former is None:
        raise ValueError(f"the annotation {HELD} of {identity(live)} cannot be read")
    metadata = {"resourceVersion": live["metadata"]["resourceVersion"], "annotations": {HELD: None}}
    patch: Manifest = {"metadata": metadata}
    target = identity(live)
    if is_webhook(target):
        return patch | {"webhooks": [_released_webhook(webhook, former) for webhook in live.get("webhooks") or ()]}
    for stop in STOPS.get((target.group, target.kind), ()):  # nothing but these fields, whatever the annotation says
        if stop.pointer in former and _get(live, stop.path) == stop.value:
            _put(patch, stop.path, former[stop.pointer], keep_none=True)
    return patch


def backing_services(live: Manifest) -> list[tuple[str, str]]:
    """Namespace and name of the Services behind a webhook configuration."""
    services = [(webhook.get("clientConfig") or {}).get("service") for webhook in live.get("webhooks") or ()]
    return sorted({(service["namespace"], service["name"]) for service in services if service})


def _webhooks_held(manifest: Manifest) -> Manifest:
    result, former = copy.deepcopy(manifest), {}
    for webhook in result.get("webhooks") or ():
        policy = webhook.get("failurePolicy", "Fail")
        if policy != "Ignore" and (webhook.get("clientConfig") or {}).get("service"):
            former[str(webhook["name"])] = policy
            webhook["failurePolicy"] = "Ignore"
    return _annotated(result, former) if former else manifest


def _released_webhook(webhook: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    policy = former.get(str(webhook["name"]))
    return {**webhook, "failurePolicy": policy} if policy in {"Fail", "Ignore"} else dict(webhook)


def _annotated(manifest: Manifest, former: Mapping[str, Any]) -> Manifest:
    metadata = manifest.setdefault("metadata", {})
    words = orjson.dumps(former, option=orjson.OPT_SORT_KEYS).decode()
    metadata["annotations"] = {**(metadata.get("annotations") or {}), HELD: words}
    return manifest


def _former(live: Manifest) -> dict[str, Any] | None:
    """What the annotation says, None where there is none that can be read."""
    try:
        words = orjson.loads(live["metadata"]["annotations"][HELD])
    except (KeyError, TypeError, orjson.JSONDecodeError):
        return None
    return words if isinstance(words, dict) else None


def _get(manifest: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = manifest
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _put(manifest: Manifest, path: tuple[str, ...], value: Any, *, keep_none: bool = False) -> None:
    """Set a field, or remove it with None (a merge patch removes by saying None)."""
    holder: Any = manifest
    for part in path[:-1]:
        if holder.get(part) is None:
            if value is None and not keep_none:
                return
            holder[part] = {}
        holder = holder[part]
    if value is None and not keep_none:
        holder.pop(path[-1], None)
    else:
        holder[path[-1]] = value
