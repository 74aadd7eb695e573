"""What we may do in a cluster, asked without doing it; each right that is missing comes with the exact rule to add."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from drkeeper.errors import DrkeeperError
from drkeeper.facts import Check, Severity
from drkeeper.systems._kubernetes.api import ApiError, Cluster, translated
from drkeeper.systems._kubernetes.permissions import Access, written

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_ASKED_AT_ONCE = 4


def checks(cluster: Cluster, *asked: Iterable[tuple[Access, Severity]]) -> Iterator[Check]:
    """One check where all is allowed, else one for each right that is missing."""
    known = [each for group in asked for each in group]
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        answers = list(pool.map(lambda each: allowed(cluster, each[0]), known))
    refused = [answer for answer in answers if isinstance(answer, DrkeeperError)]
    if refused:
        yield Check(subject="permissions", verdict="not checked", detail=str(refused[0]), remedy=refused[0].hint)
        return
    missing = [each for each, answer in zip(known, answers, strict=True) if not answer]
    if not missing:
        yield Check(subject="permissions", verdict="passed", detail=f"{len(known)} asked, all allowed")
    for access, severity in missing:
        yield _missing(access, severity)


def allowed(cluster: Cluster, access: Access) -> bool | DrkeeperError:
    """The API server's answer, or why there is none."""
    try:
        answer = cluster.create(_REVIEWS, _review(access))
    except ApiError as error:
        return translated(error)
    except DrkeeperError as error:
        return error
    return bool(answer["status"]["allowed"])


def _missing(access: Access, severity: Severity) -> Check:
    label = f"{access.resource}.{access.group}" if access.group else access.resource
    where = f" in namespace {access.namespace}" if access.namespace else ""
    place = f".{access.namespace}" if access.namespace else ""
    return Check(
        subject=f"may_{access.verb}.{label}{place}",
        verdict="failed",
        severity=severity,
        detail=f"may not {access.verb} {label}{where}",
        remedy=f"add the rule {written(access.rule)}; `drkeeper deploy rbac` prints all of them",
    )


def _review(access: Access) -> dict[str, object]:
    attributes = {
        "namespace": access.namespace or "",
        "verb": access.verb,
        "group": access.group,
        "resource": access.resource,
        "name": access.name,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
