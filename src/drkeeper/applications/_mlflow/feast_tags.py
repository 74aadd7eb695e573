"""Features that runs and versions say they were made with, against Feast's registry.

Feast tags runs when features are retrieved, and versions when models are registered through it
(feast.mlflow_integration): `feast.project`, `feast.feature_service`, `feast.feature_refs`, the last cut off where it is
too long. A run of long ago may name what somebody has deleted since, so only versions with an alias are errors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drkeeper.applications._mlflow.database import Database, Row
from drkeeper.applications._mlflow.index import EXAMPLES
from drkeeper.facts import Check, Severity

if TYPE_CHECKING:
    from drkeeper.feature_registry import FeatureRegistry

CUT = "..."
SERVICES = "feature_services"
VIEWS = "_views"

TAGS = """
    SELECT project, service, refs, count(*), min(who) FROM (
      SELECT {who} AS who, max(t.value) FILTER (WHERE t.key = 'feast.project') AS project,
        max(t.value) FILTER (WHERE t.key IN ('feast.feature_service', 'feature_service')) AS service,
        max(t.value) FILTER (WHERE t.key IN ('feast.feature_refs', 'feature_refs')) AS refs
      FROM {owner} WHERE t.key IN
        ('feast.project', 'feast.feature_service', 'feature_service', 'feast.feature_refs', 'feature_refs') {which}
      GROUP BY 1) tagged
    GROUP BY 1, 2, 3"""
RUNS = "tags t JOIN runs r ON r.run_uuid = t.run_uuid AND r.lifecycle_stage = 'active'"
VERSIONS = "model_version_tags t JOIN model_versions v ON v.name = t.name AND v.version = t.version"
NAMED = "EXISTS (SELECT FROM {aliases} a WHERE a.name = v.name AND a.version::text = v.version::text AND {workspace})"
NEEDS = {
    "tags": "run_uuid key value",
    "runs": "run_uuid lifecycle_stage",
    "model_version_tags": "name version key value",
    "model_versions": "name version",
}


@dataclass(frozen=True)
class Names:
    """What a registry has, by project."""

    projects: frozenset[str]
    services: frozenset[tuple[str, str]]
    features: frozenset[tuple[str, str]]

    def lacks(self, project: str | None, service: str | None, references: str | None) -> Iterator[str]:
        """What of these it does not have; of a project that is not named, any will do."""
        if project and project not in self.projects:
            yield f"project {project}"
            return
        projects = [project] if project else sorted(self.projects)
        if service and not any((each, service) in self.services for each in projects):
            yield f"feature service {service}"
        for reference in _references(references or ""):
            if not any((each, reference) in self.features for each in projects):
                yield f"feature {reference}"


def names_of(registry: "FeatureRegistry") -> Names:
    """Of a registry that was read."""
    objects = list(registry.objects())
    views = [each for each in objects if each.kind.endswith(VIEWS)]
    return Names(
        projects=frozenset(registry.projects),
        services=frozenset((each.project, each.name) for each in objects if each.kind == SERVICES),
        features=frozenset(
            (each.project, f"{each.name}:{feature.name}") for each in views for feature in each.message.spec.features
        ),
    )


def statements(database: Database, names: Names) -> Iterator[Check]:
    """Tags of versions with an alias, of other versions, and of runs."""
    if lacks := database.lacks(NEEDS):
        yield Check(subject="tags.features", verdict="not checked", detail=lacks)
        return
    version = "v.name || '/' || v.version"
    asked: tuple[tuple[str, str, str, str, Severity], ...] = (
        ("tags.aliased-versions", VERSIONS, version, f"AND {NAMED}", "error"),
        ("tags.versions", VERSIONS, version, f"AND NOT {NAMED}", "warning"),
        ("tags.runs", RUNS, "t.run_uuid", "", "warning"),
    )
    for subject, owner, who, which, severity in asked:
        query = TAGS.format(owner=owner, who=who, which=database.filled(which))
        yield _check(subject, database.rows(query), names, severity)


def _check(subject: str, rows: list[Row], names: Names, severity: Severity) -> Check:
    wrong, owners = [], 0
    for project, service, references, count, who in rows:
        lacking = list(names.lacks(project, service, references))
        if lacking:
            wrong.append(f"{who} ({lacking[0]})")
            owners += count
    total = sum(row[3] for row in rows)
    if not wrong:
        return Check(subject=subject, verdict="passed", detail=f"{total:,} with tags, all of which the registry knows")
    detail = f"{owners:,} of {total:,} name features that the registry does not have: {'; '.join(wrong[:EXAMPLES])}"
    remedy = "restore the registry of the same point, or `feast apply` what these models need"
    return Check(subject=subject, verdict="failed", detail=detail, severity=severity, remedy=remedy)


def _references(text: str) -> Iterator[str]:
    """`view:feature` each; without versions of views (`view@v2:feature`), and without what was cut off."""
    parts = text.split(",")
    if text.endswith(CUT):
        parts.pop()
    for part in filter(None, map(str.strip, parts)):
        view, separator, feature = part.partition(":")
        if separator:
            yield f"{view.partition('@')[0]}:{feature}"
