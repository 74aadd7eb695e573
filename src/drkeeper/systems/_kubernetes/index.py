"""What lies in the scratch file, and what each object of it becomes on the target."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from drkeeper.errors import KeyMissing, Refused
from drkeeper.systems._kubernetes import ranks, sops
from drkeeper.systems._kubernetes.identities import Identity, Manifest, identity, owners
from drkeeper.systems._kubernetes.namespace_map import mapped
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.order import Entry
from drkeeper.systems._kubernetes.served import Definition, Served, definition_of
from drkeeper.systems._kubernetes.spool import Line, Scratch
from drkeeper.systems._kubernetes.transforms import transformed

HEARTBEAT_PATH = "heartbeat.yaml"


@dataclass
class Index:
    """All objects of a restore, before any is applied.

    Attributes:
        definitions: What CRDs among them will make the server serve, by group and kind.
        left_out: Objects that a transform leaves out.
    """

    entries: list[Entry] = field(default_factory=list)
    definitions: dict[tuple[str, str], Definition] = field(default_factory=dict)
    left_out: list[Identity] = field(default_factory=list)

    def plural(self, served: Served, target: Identity) -> str:
        """How URLs name a kind, "" where neither the point nor the server knows it."""
        definition = self.definitions.get((target.group, target.kind))
        return definition.plural if definition else served.plural(target.group, target.kind)

    def defines(self, entry: Entry) -> bool:
        """Whether a CRD of the point makes the server serve this object."""
        definition = self.definitions.get((entry.target.group, entry.target.kind))
        return definition is not None and entry.api_version.rpartition("/")[2] in definition.versions


def opened(manifest: Manifest, options: Options) -> Manifest:
    """A Secret decrypted, everything else as it is.

    Raises:
        KeyMissing: There is no identity, or not the right one.
        VerificationFailed: The Secret was changed since it was encrypted.
    """
    if not sops.is_encrypted(manifest):
        return manifest
    if options.secrets is None:
        raise KeyMissing(
            f"{identity(manifest)} is encrypted and the target has no `secrets`; nothing was changed",
            hint="set the system's secrets.identity to ${file:PATH} of the age identity",
        )
    return sops.decrypt(manifest, options.secrets)


def arriving(path: str, manifest: Manifest, options: Options, plural: str) -> Manifest | None:
    """What an object of the point becomes on the target, decrypted; None where a transform leaves it out."""
    if path == HEARTBEAT_PATH:  # it belongs where this target's heartbeats are looked for
        return {**manifest, "metadata": {**manifest["metadata"], "namespace": options.heartbeat_namespace}}
    return transformed(opened(manifest, options), options, plural)


def read_index(scratch: Scratch, options: Options, served: Served) -> Index:
    """Look through the scratch file.

    Raises:
        Refused: A transform does not fit, or two objects become one.
    """
    index = Index()
    for line in scratch.lines():
        if (found := definition_of(line.manifest)) is not None:
            index.definitions[found[0]] = found[1]
    seen: dict[Identity, str] = {}
    for line in scratch.lines():
        entry = _entry(line, index, options, served)
        if entry is None:
            index.left_out.append(identity(line.manifest))
            continue
        if entry.target in seen:
            raise Refused(
                f"{seen[entry.target]} and {entry.path} both become {entry.target}; nothing was changed",
                hint="look at `namespace_map` and `transforms`: no two objects may meet under one name",
            )
        seen[entry.target] = entry.path
        index.entries.append(entry)
    return index


def _entry(line: Line, index: Index, options: Options, served: Served) -> Entry | None:
    source = identity(line.manifest)
    manifest: Manifest | None = line.manifest
    if options.transforms or line.path == HEARTBEAT_PATH:
        plural = index.plural(served, source) if options.transforms else ""
        manifest = arriving(line.path, line.manifest, options, plural)
    else:
        manifest = mapped(line.manifest, options.namespace_map)
    if manifest is None:
        return None
    target = identity(manifest)
    definition = definition_of(manifest)
    return Entry(
        path=line.path,
        source=source,
        target=target,
        api_version=str(manifest["apiVersion"]),
        rank=ranks.rank(target.group, target.kind),
        owners=tuple(choices for _, choices in owners(manifest)),
        defines=definition[0] if definition else None,
        offset=line.offset,
        length=line.length,
    )


def missing(index: Index, served: Served) -> Iterator[tuple[Entry, str]]:
    """Objects whose API neither the server nor a definition of the point serves, with what there is instead."""
    for entry in index.entries:
        if index.defines(entry) or served.find(entry.api_version, entry.target.kind) is not None:
            continue
        other = served.other_version(entry.target.group, entry.target.kind)
        yield entry, f"{entry.api_version} is not served" + (f"; {other} is" if other else "")
