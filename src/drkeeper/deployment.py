"""How drkeeper runs in a cluster, derived from a policy: values for the chart in `deploy/chart`, and plain rules.

Pure: what the cluster serves is given as kinds. The policy's text goes along as it is; references in it stay
references, and name keys of Secrets that somebody else makes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drkeeper._deployment.mounts import (
    Folder,
    SecretFile,
    SecretVariable,
    folders,
    secret_files,
    secret_variables,
    vault_folders,
)
from drkeeper._deployment.peers import STAND_IN, egress_peers, restore_notes, restore_peers
from drkeeper._deployment.rbac import cluster_rules, manifests, namespace_rules
from drkeeper.errors import UsageInvalid
from drkeeper.hooks import Hook
from drkeeper.policy import VAULT_REGIONS, Policy
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.permissions import (
    Rule,
    merged,
    rules_for_backup,
    rules_for_beat,
    rules_for_restore,
)

__all__ = ["STAND_IN", "Place", "clusters", "kinds_from", "kinds_to", "notes", "rbac_manifests", "rules", "values"]

JOBS = ("backup", "replicate", "verify", "prune", "beat", "drill")
# An encrypted vault without an identity can be looked at, not into.
VERIFY_STORED = ("verify", "--all")
VERIFY_INTACT = ("verify", "--all", "--level", "intact", "--sample", "5%")

Kinds = tuple[ResourceKind, ...]


@dataclass(frozen=True)
class Place:
    """Where drkeeper is to run.

    Attributes:
        namespace: Of its Pods.
        account: Its ServiceAccount; that for restores has `-restore` behind it.
        secret: The Secret whose keys the policy's references are.
    """

    namespace: str = "drkeeper"
    account: str = "drkeeper"
    secret: str = "drkeeper"  # noqa: S105 - a name


def clusters(policy: Policy, name: str | None = None) -> dict[str, Options]:
    """The systems of kind kubernetes whose rules are meant: the one named, else those reached by the Pod's account.

    Raises:
        UsageInvalid: The one named is none.
    """
    found = {each: system.options for each, system in policy.systems.items() if isinstance(system.options, Options)}
    if name is None:
        return {each: options for each, options in found.items() if options.kubeconfig is None}
    if name not in found:
        raise UsageInvalid(
            f"no system {name} of kind kubernetes in policy {policy.name}", hint=f"it has {', '.join(found) or 'none'}"
        )
    return {name: found[name]}


def rules(
    served: Mapping[str, tuple[Options, Kinds]], *, restore: bool = False, hooks: Iterable[Hook] = ()
) -> tuple[Rule, ...]:
    """What an account needs to back these clusters up and to mark them; or to restore them.

    Args:
        served: By system: what of it is protected, and what it serves.
        restore: For the account that restores.
        hooks: Of the policy: some run programs in Pods.
    """
    each: list[Rule] = [rule for hook in hooks for rule in _hook_rules(hook, served)]
    for options, kinds in served.values():
        if restore:
            each += rules_for_restore(options, kinds)
        else:
            each += rules_for_backup(options, kinds)
            each += rules_for_beat(options)
    return merged(each)


def _hook_rules(hook: Hook, served: Mapping[str, object]) -> Iterator[Rule]:
    """A web socket is opened by GET, and newer servers ask for the right to create as well."""
    if hook.exec is not None and hook.exec.system in served:
        yield Rule(hook.exec.namespace, "", ("pods/exec",), ("create", "get"))
        yield Rule(hook.exec.namespace, "", ("pods",), ("get", "list"))


def hooks_of(policy: Policy) -> tuple[Hook, ...]:
    """All that a policy calls."""
    around = [hook for pair in policy.hooks for hook in (pair.before, pair.after)]
    return tuple(hook for hook in (*around, *policy.failover.hooks) if hook is not None)


def rbac_manifests(
    served: Mapping[str, tuple[Options, Kinds]], place: Place, *, restore: bool, hooks: Iterable[Hook] = ()
) -> list[dict[str, Any]]:
    """A ServiceAccount with its roles and bindings."""
    account = f"{place.account}-restore" if restore else place.account
    return list(manifests(rules(served, restore=restore, hooks=hooks), account=account, namespace=place.namespace))


def values(
    policy: Policy, text: str, place: Place, served: Mapping[str, tuple[Options, Kinds]], *, restore: bool = False
) -> dict[str, Any]:
    """Values for the chart.

    Args:
        policy: As loaded, with `STAND_IN` for references that have no value here.
        text: Of its file.
        place: Where it is to run.
        served: The clusters that are protected by the Pod's own account, and what they serve.
        restore: Rules and a Job for restores too.

    Raises:
        UsageInvalid: Something that the Pod needs cannot be derived; the message says what.
    """
    return {
        "policy": text,
        **_mounts(place, secret_files(policy), secret_variables(policy), folders(policy)),
        "jobs": _jobs(policy),
        "serviceAccount": {"name": place.account},
        "kubernetes": {"enabled": bool(served)},
        "rbac": _rbac(served, hooks_of(policy), restore=restore),
        "networkPolicy": {
            "egress": [peer.value() for peer in egress_peers(policy, place.namespace)],
            "restoreIngress": [peer.value() for peer in restore_peers(policy, place.namespace)],
        },
        "restore": {"enabled": restore},
        # An exporter listens: it gets what leads to the vault, and no more.
        "monitoring": {
            "exporter": {
                "mounts": _mounts(
                    place,
                    secret_files(policy, VAULT_REGIONS),
                    secret_variables(policy, VAULT_REGIONS),
                    vault_folders(policy),
                )
            }
        },
    }


def _mounts(
    place: Place, files: Iterable[SecretFile], variables: Iterable[SecretVariable], needed: Iterable[Folder]
) -> dict[str, Any]:
    return {
        "secretFiles": [{"path": each.path, "secret": place.secret, "key": each.key} for each in files],
        "secretEnv": [
            {"name": each.name, "secret": place.secret, "key": each.name, "optional": each.optional}
            for each in variables
        ],
        "folders": [{"path": each.path, **({"claim": each.claim} if each.claim else {})} for each in needed],
    }


def _jobs(policy: Policy) -> dict[str, Any]:
    """Schedules of the policy; a job without one is off."""
    schedules = policy.schedules.model_dump()
    jobs: dict[str, Any] = {
        name: {"enabled": True, "schedule": schedules[name]} if schedules.get(name) else {"enabled": False}
        for name in JOBS
    }
    encryption = policy.vault.encryption
    readable = encryption is None or encryption.identity is not None
    jobs["verify"]["args"] = list(VERIFY_INTACT if readable else VERIFY_STORED)
    return jobs


def _rbac(served: Mapping[str, tuple[Options, Kinds]], hooks: tuple[Hook, ...], *, restore: bool) -> dict[str, Any]:
    needed = rules(served, hooks=hooks)
    placed: dict[str, Any] = {"clusterRules": cluster_rules(needed), "namespaceRules": namespace_rules(needed)}
    if restore:
        needed = rules(served, restore=True, hooks=hooks)
        placed |= {
            "restoreClusterRules": cluster_rules(needed),
            "restoreNamespaceRules": namespace_rules(needed),
        }
    return placed


def notes(policy: Policy) -> tuple[str, ...]:
    """What a person should know before he installs it."""
    found = list(restore_notes(policy))
    encryption = policy.vault.encryption
    if policy.schedules.drill and encryption is not None and encryption.identity is None:
        found.append("drills need vault.encryption.identity, or each will fail: the vault is encrypted")
    if (
        policy.schedules.drill
        and policy.sandbox.cluster is None
        and any(isinstance(system.options, Options) for system in policy.systems.values())
    ):
        found.append(
            "drills need a place for the cluster's objects, for the image has no control plane: name a scratch cluster "
            "under sandbox.cluster, or mount kube-apiserver and etcd (extraVolumes) and name their folder in "
            "KUBEBUILDER_ASSETS (extraEnv)"
        )
    return tuple(found)


def kinds_to(kinds: Iterable[ResourceKind]) -> list[dict[str, Any]]:
    """Kinds as plain data, to be kept in a file."""
    return [
        {
            "group": kind.group,
            "version": kind.version,
            "kind": kind.kind,
            "plural": kind.plural,
            "namespaced": kind.namespaced,
            "verbs": sorted(kind.verbs),
        }
        for kind in sorted(kinds, key=lambda each: (each.group, each.plural))
    ]


def kinds_from(data: object) -> Kinds:
    """What `kinds_to` gave.

    Raises:
        UsageInvalid: It is something else.
    """
    try:
        return tuple(_kind(entry) for entry in data)  # type: ignore[attr-defined]
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageInvalid("these are no kinds", hint="save them with `drkeeper deploy kinds > kinds.json`") from error


def _kind(entry: Mapping[str, Any]) -> ResourceKind:
    return ResourceKind(
        group=str(entry["group"]),
        version=str(entry["version"]),
        kind=str(entry["kind"]),
        plural=str(entry["plural"]),
        namespaced=bool(entry["namespaced"]),
        verbs=frozenset(entry["verbs"]),
    )
