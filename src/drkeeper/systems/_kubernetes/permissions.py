"""Which rules a user needs, no wider: made from what the policy protects and what the cluster serves.

Discovery, `/version` and the question "may I?" (SelfSubjectAccessReview) are open to every authenticated user, by the
roles `system:discovery`, `system:public-info-viewer` and `system:basic-user` that each cluster is born with: no rules
for them here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from drkeeper.systems._kubernetes.hold import HELD_KINDS
from drkeeper.systems._kubernetes.kinds import ResourceKind, selected
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.places import live_places
from drkeeper.systems._kubernetes.selection import HEARTBEAT

CAPTURE_VERBS = ("list",)
# Server-side apply of an object that is not there yet is authorised as a patch and as a creation.
BEAT_VERBS = ("get", "patch")
RESTORE_VERBS = ("create", "get", "list", "patch")
# Whoever restores a role must be allowed to grant what he does not hold himself.
GRANTING = {"roles": ("bind", "escalate"), "clusterroles": ("bind", "escalate")}
RBAC = "rbac.authorization.k8s.io"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """What may be done with some resources of one API group.

    Attributes:
        namespace: Where, by a Role; None: everywhere, by a ClusterRole.
        group: "" is the core group.
        resource_names: Only objects of these names; empty: all.
    """

    namespace: str | None
    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    resource_names: tuple[str, ...] = ()

    def manifest(self) -> Manifest:
        """As it stands in a role's `rules`."""
        names = {"resourceNames": list(self.resource_names)} if self.resource_names else {}
        return {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs)} | names


@dataclass(frozen=True)
class Access:
    """One question to the API server: may I?"""

    namespace: str | None
    group: str
    resource: str
    verb: str
    name: str = ""

    @property
    def rule(self) -> Rule:
        """The narrowest rule that allows it. A creation cannot be limited by name: there is no name yet."""
        names = (self.name,) if self.name and self.verb != "create" else ()
        return Rule(self.namespace, self.group, (self.resource,), (self.verb,), names)


def rules_for_backup(options: Options, kinds: Iterable[ResourceKind]) -> tuple[Rule, ...]:
    """What a capture of these options lists: one rule for each API group, and namespace where the policy names any.

    Args:
        options: What is protected.
        kinds: All that the cluster serves.
    """
    return _grouped(
        Access(namespace, kind.group, kind.plural, verb)
        for kind in selected(kinds, options)
        for namespace in _places(options, kind)
        for verb in CAPTURE_VERBS
    )


def rules_for_beat(options: Options) -> tuple[Rule, ...]:
    """What the heartbeat needs: its own ConfigMap."""
    namespace = options.heartbeat_namespace
    return (
        Rule(namespace, "", ("configmaps",), ("create",)),
        Rule(namespace, "", ("configmaps",), BEAT_VERBS, (HEARTBEAT,)),
    )


def rules_for_restore(options: Options, kinds: Iterable[ResourceKind]) -> tuple[Rule, ...]:
    """What a restore of these options needs. Far-reaching: for an account of its own, kept for the day."""
    known = tuple(kinds)
    return _grouped((*_for_restored(options, known), *_for_release(options, known)))


def merged(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rights in as few rules as say them; for an account that serves several purposes."""
    return _grouped(questions(rules))


def questions(rules: Iterable[Rule]) -> Iterator[Access]:
    """Each thing that the rules allow, as a question to the API server."""
    for rule in rules:
        for resource in rule.resources:
            for verb in rule.verbs:
                for name in rule.resource_names or ("",):
                    yield Access(rule.namespace, rule.group, resource, verb, name)


def rule_text(kind: ResourceKind, verb: str, namespace: str | None) -> str:
    """The exact rule that is missing, as it is added to a role: `{apiGroups: [apps], …} in a ClusterRole`."""
    return written(Rule(namespace, kind.group, (kind.plural,), (verb,)))


def written(rule: Rule) -> str:
    """A rule as YAML on one line, and where it belongs."""
    parts = ", ".join(f"{key}: [{', '.join(_word(each) for each in value)}]" for key, value in rule.manifest().items())
    place = f"a Role of namespace {rule.namespace}" if rule.namespace is not None else "a ClusterRole"
    return f"{{{parts}}} in {place}"


def _word(text: str) -> str:
    return text or '""'


def _places(options: Options, kind: ResourceKind) -> tuple[str | None, ...]:
    """Each namespace that the policy names; None: everywhere."""
    return options.namespaces if kind.namespaced and options.namespaces is not None else (None,)


def _for_restored(options: Options, kinds: tuple[ResourceKind, ...]) -> Iterator[Access]:
    for kind in selected(kinds, options):
        granting = GRANTING.get(kind.plural, ()) if kind.group == RBAC else ()
        for namespace in live_places(kind, options):
            for verb in (*RESTORE_VERBS, *granting):
                yield Access(namespace, kind.group, kind.plural, verb)


def _for_release(options: Options, kinds: tuple[ResourceKind, ...]) -> Iterator[Access]:
    """What is held is found by its annotation, whatever kinds the policy names; webhooks wait for their Services."""
    for kind in kinds:
        if not kind.namespaced and not options.cluster_scoped:
            continue
        for namespace in live_places(kind, options):
            if (kind.group, kind.kind) in HELD_KINDS or kind.label == "nodes":
                yield Access(namespace, kind.group, kind.plural, "list")
            elif kind.label in {"endpoints", "services"}:
                yield Access(namespace, kind.group, kind.plural, "get")


def _grouped(accesses: Iterable[Access]) -> tuple[Rule, ...]:
    """As few rules as say the same: resources of one group, place, name and set of verbs stand together."""
    verbs: dict[tuple[str, str, str, str], set[str]] = {}
    for each in accesses:
        # A namespace has no empty name, so "" can stand for everywhere and sort first. A creation has no name yet.
        name = "" if each.verb == "create" else each.name
        verbs.setdefault((each.namespace or "", each.group, each.resource, name), set()).add(each.verb)
    resources: dict[tuple[str, str, tuple[str, ...], str], list[str]] = {}
    for (namespace, group, resource, name), allowed in sorted(verbs.items()):
        resources.setdefault((namespace, group, tuple(sorted(allowed)), name), []).append(resource)
    return tuple(
        Rule(namespace or None, group, tuple(names), allowed, (name,) if name else ())
        for (namespace, group, allowed, name), names in sorted(resources.items())
    )
