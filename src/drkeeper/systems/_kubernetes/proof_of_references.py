"""After a restore: does everything that the restored objects name exist, and do owners have the UIDs by which they own?

What another kind of objects is named by is known from the lists that the proof makes anyway; only what those do not
answer is asked for by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from drkeeper.facts import Check
from drkeeper.recovery_point import SystemRecord
from drkeeper.systems._kubernetes.answers import NOT_FOUND, ApiError
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.identities import Identity, Manifest, identity, owners
from drkeeper.systems._kubernetes.kinds import ResourceKind
from drkeeper.systems._kubernetes.options import Options
from drkeeper.systems._kubernetes.references import DEFINITIONS, Closure, Reference
from drkeeper.systems._kubernetes.served import Served

TOLD_SOURCES = 3


@dataclass(frozen=True)
class _Owned:
    """That a live object has an owner of that UID."""

    source: Identity
    choices: tuple[Identity, ...]
    api_version: str
    uid: str


class ReferenceProof:
    """Gathers expected and live objects, then checks what they name."""

    def __init__(self, cluster: Cluster, served: Served, options: Options, record: SystemRecord) -> None:
        self._cluster = cluster
        self._served = served
        self._captured = Closure(options.made_by_others)
        self._live = Closure(options.made_by_others)
        self._witness = record.facts
        self._only = options.only
        self._uids: set[str] = set()
        self._owned: list[_Owned] = []
        self._dropped: list[Check] = []
        self._found: dict[Identity, str | None] = {}

    def expect(self, manifest: Manifest) -> None:
        """An object of the point, as it should be here."""
        self._captured.add(manifest)

    def skip(self, manifest: Manifest) -> None:
        """An object of the point that the target cannot have."""
        self._captured.note(manifest)

    def note_live(self, manifest: Manifest) -> None:
        """An object of the target."""
        self._live.note(manifest)
        self._uids.add(str(manifest["metadata"]["uid"]))

    def compare_owners(self, expected: Manifest, actual: Manifest) -> None:
        """An object that is there: its owners are those of the point, under the UIDs that they have here."""
        kept = {choices for _, choices in owners(actual)}
        source = identity(actual)
        for _, choices in owners(expected):
            if choices not in kept:
                self._dropped.append(_owner_dropped(source, choices[0]))
        for reference, choices in owners(actual):
            uid = str(reference.get("uid", ""))
            self._owned.append(_Owned(source, choices, str(reference.get("apiVersion", "")), uid))

    def checks(self) -> Iterator[Check]:
        """One check for each object that is named and missing, one for all that are there; the same for owners."""
        missing: dict[Identity, list[Reference]] = {}
        for reference in sorted(set(self._captured.references)):
            unanswered = not reference.optional and self._live.has(reference.source)
            if unanswered and not self._live.has(reference.target) and not self._captured.makes(reference.target):
                missing.setdefault(reference.target, []).append(reference)
        wrong = [check for target, named in missing.items() if (check := self._check(target, named)) is not None]
        yield from wrong
        count = len(set(self._captured.references))
        detail = f"{count} references were followed; {len(wrong)} of the objects that they name are not there"
        yield Check(subject="references", verdict="failed" if wrong else "passed", severity="info", detail=detail)
        yield from self._dropped
        yield from self._owner_checks()

    # --- what is named ----------------------------------------------------------------------------------

    def _check(self, target: Identity, named: list[Reference]) -> Check | None:
        """None where it is there after all."""
        subject = f"reference.{target}"
        if target.kind == DEFINITIONS:
            kind, _, group = target.name.partition(".")
            if self._served.plural(group, kind):
                return None
        elif not self._served.plural(target.group, target.kind):
            detail = f"{_by(named)}; the target does not serve {target.kind}.{target.group or 'v1'}"
            return Check(subject=subject, verdict="not checked", detail=detail)
        else:
            try:
                if self._uid(target, self._kind(target)) is not None:
                    return None
            except ApiError as error:
                return Check(subject=subject, verdict="not checked", detail=f"{_by(named)}; {error.message}")
        return self._finding(subject, target, named)

    def _finding(self, subject: str, target: Identity, named: list[Reference]) -> Check:
        label = f"{self._served.plural(target.group, target.kind)}.{target.group}".rstrip(".")
        captured = f"list.{label}.resource_version" in self._witness.info
        if captured and not self._captured.has(target):
            detail = f"{_by(named)}; it was missing when captured"
            return Check(subject=subject, verdict="failed", severity="warning", detail=detail)
        why = "it is in the point, and not here" if captured else "the point holds no objects of this kind"
        outside = bool(self._only) and target.namespace not in self._only
        remedy = (
            "it lies outside of what was restored: restore the whole cluster, or create it"
            if captured and outside
            else "restore again, and look at what the log says of it"
            if captured
            else f"create it, or let the policy capture {label}; if another makes it later, add it to `made_by_others`"
        )
        return Check(subject=subject, verdict="failed", detail=f"{_by(named)}; {why}", remedy=remedy)

    # --- owners -----------------------------------------------------------------------------------------

    def _owner_checks(self) -> Iterator[Check]:
        lost = [owned for owned in self._owned if owned.uid not in self._uids and not self._owner_has(owned)]
        for owned in lost:
            yield Check(
                subject=f"owner.{owned.source}",
                verdict="failed",
                detail=f"its owner {owned.choices[0]} does not have the UID by which it owns",
                remedy="the garbage collector removes such objects; restore the owner, then this object again",
            )
        if self._owned and not lost:
            yield Check(
                subject="owners", verdict="passed", detail=f"{len(self._owned)} owners have the UIDs they own by"
            )

    def _owner_has(self, owned: _Owned) -> bool:
        for choice in owned.choices:
            kind = self._served.find(owned.api_version, choice.kind)
            if kind is not None and kind.namespaced == bool(choice.namespace):
                try:
                    return self._uid(choice, kind) == owned.uid
                except ApiError:
                    return False
        return False

    # --- asked by itself --------------------------------------------------------------------------------

    def _kind(self, target: Identity) -> ResourceKind | None:
        preferred = self._served.other_version(target.group, target.kind)
        return self._served.find(preferred, target.kind) if preferred else None

    def _uid(self, target: Identity, kind: ResourceKind | None) -> str | None:
        """Of the live object, None where there is none."""
        if target not in self._found and kind is not None:
            try:
                path = kind.path(target.namespace if kind.namespaced else None, target.name)
                self._found[target] = str(self._cluster.get(path)["metadata"]["uid"])
            except ApiError as error:
                if error.status != NOT_FOUND:
                    raise
                self._found[target] = None
        return self._found.get(target)


def _owner_dropped(source: Identity, owner: Identity) -> Check:
    return Check(
        subject=f"owner.{source}",
        verdict="failed",
        severity="warning",
        detail=f"it was owned by {owner}, which is not here; it stays when that goes",
    )


def _by(named: list[Reference]) -> str:
    told = ", ".join(f"{each.source} ({each.field})" for each in named[:TOLD_SOURCES])
    more = len(named) - TOLD_SOURCES
    return f"named by {told}" + (f" and {more} more" if more > 0 else "")
