"""Which objects name which others, and which of those are missing. Pure: manifests in, references out.

A cluster that was restored object by object can still be broken: a Deployment whose Secret was left out starts no
Pod. So each name that one object gives another is followed (`pod_references`, `other_references` know the fields).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from drkeeper.systems._kubernetes import other_references, pod_references
from drkeeper.systems._kubernetes.documents import BUILT_IN_GROUPS
from drkeeper.systems._kubernetes.identities import Identity, Manifest, identity, owners
from drkeeper.systems._kubernetes.reference import Reference, mapping

__all__ = ["Closure", "Reference", "missing_references", "references_of"]

DEFINITIONS = "CustomResourceDefinition"
# Made by the API server and the controllers of every cluster.
_ALWAYS_THERE = frozenset(
    {
        *(Identity("", "Namespace", "", name) for name in ("default", "kube-system", "kube-public", "kube-node-lease")),
        Identity("", "Service", "default", "kubernetes"),
        Identity("scheduling.k8s.io", "PriorityClass", "", "system-cluster-critical"),
        Identity("scheduling.k8s.io", "PriorityClass", "", "system-node-critical"),
    }
)


@dataclass
class Closure:
    """References and what answers them, gathered from manifests one by one; each is dropped after a look.

    Attributes:
        made_by_others: `kind/namespace/name` patterns of what may be missing because others make it.
    """

    made_by_others: tuple[str, ...] = ()
    _there: set[Identity] = field(default_factory=lambda: set(_ALWAYS_THERE))
    _made: set[Identity] = field(default_factory=set)
    _groups: set[str] = field(default_factory=set)
    _references: list[Reference] = field(default_factory=list)

    def add(self, manifest: Manifest) -> None:
        """An object that refers, and that others may refer to."""
        self.note(manifest)
        self._references.extend(references_of(manifest))

    def note(self, manifest: Manifest) -> None:
        """An object that others may refer to; what it refers to itself is of no interest."""
        self._there.update(_answers_to(manifest))
        self._made.update(other_references.made_by(manifest))
        spec = mapping(manifest.get("spec"))
        if manifest.get("kind") == "APIService" and spec.get("service"):
            self._groups.add(spec.get("group", ""))

    @property
    def references(self) -> tuple[Reference, ...]:
        """All that were found, required or not."""
        return tuple(self._references)

    def missing(self) -> list[Reference]:
        """Required references to objects that are not there, and that nobody makes; each once, sorted."""
        return sorted({each for each in self._references if not each.optional and not self.has(each.target)})

    def has(self, target: Identity) -> bool:
        """Whether an object is there, or somebody makes it."""
        if target in self._there or self.makes(target) or _is_built_in_role(target):
            return True
        if replace(target, namespace="") in self._there:  # an owner may stand outside namespaces
            return True
        return target.kind == DEFINITIONS and target.name.partition(".")[2] in self._groups

    def makes(self, target: Identity) -> bool:
        """Whether others make an object: an operator whose order for it was seen, or whom the patterns mean."""
        place = f"{target.kind.lower()}/{target.namespace}/{target.name}"
        return target in self._made or any(fnmatchcase(place, each) for each in self.made_by_others)


def missing_references(manifests: Iterable[Manifest], *, made_by_others: Iterable[str] = ()) -> list[Reference]:
    """Required references of these objects that none of them answers, and that nobody makes later.

    Args:
        manifests: Read once, each dropped after a look. Secrets may be encrypted.
        made_by_others: `kind/namespace/name` patterns. What a cert-manager Certificate, an ExternalSecret and their
            like among the manifests make is known without.
    """
    closure = Closure(tuple(made_by_others))
    for manifest in manifests:
        closure.add(manifest)
    return closure.missing()


def references_of(manifest: Manifest) -> Iterator[Reference]:
    """Everything that an object names, with the field that names it."""
    yield from _namespace(manifest)
    yield from _definition(manifest)
    yield from _owners(manifest)
    yield from pod_references.of(manifest)
    yield from other_references.of(manifest)


def _answers_to(manifest: Manifest) -> Iterator[Identity]:
    """The keys under which others may name an object."""
    key = identity(manifest)
    yield key
    spec = mapping(manifest.get("spec"))
    if key.kind == DEFINITIONS:
        yield definition_key(spec.get("group", ""), mapping(spec.get("names")).get("kind", ""))
    if key.kind == "PersistentVolume" and spec.get("storageClassName"):
        # A claim finds a volume of its class by the name alone; the class itself need not exist.
        yield Identity("storage.k8s.io", "StorageClass", "", spec["storageClassName"])


def definition_key(group: str, kind: str) -> Identity:
    """A CRD by the kind that it defines: an object does not know its plural."""
    return Identity("apiextensions.k8s.io", DEFINITIONS, "", f"{kind}.{group}")


def _is_built_in_role(target: Identity) -> bool:
    """Whether the API server makes the role when it starts."""
    if target.group != "rbac.authorization.k8s.io":
        return False
    return target.name in {"cluster-admin", "admin", "edit", "view"} or target.name.startswith("system:")


def _namespace(manifest: Manifest) -> Iterator[Reference]:
    namespace = manifest["metadata"].get("namespace")
    if namespace:
        yield Reference(identity(manifest), "metadata.namespace", Identity("", "Namespace", "", namespace))


def _definition(manifest: Manifest) -> Iterator[Reference]:
    key = identity(manifest)
    if key.group not in BUILT_IN_GROUPS:
        yield Reference(identity(manifest), "kind", definition_key(key.group, key.kind))


def _owners(manifest: Manifest) -> Iterator[Reference]:
    for index, (_, choices) in enumerate(owners(manifest)):
        yield Reference(identity(manifest), f"metadata.ownerReferences[{index}]", choices[0])
