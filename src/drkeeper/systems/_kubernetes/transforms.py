"""Changes of objects on their way back: the policy's JSON patches, then the names of namespaces."""

from fnmatch import fnmatchcase

import jsonpatch

from drkeeper.errors import Refused
from drkeeper.systems._kubernetes.identities import Manifest, identity
from drkeeper.systems._kubernetes.namespace_map import mapped
from drkeeper.systems._kubernetes.options import Options, Transform


def transformed(manifest: Manifest, options: Options, plural: str = "") -> Manifest | None:
    """What a restore makes of an object of the recovery point, before anything is held.

    Args:
        manifest: As it is in the point, a Secret decrypted.
        options: The target's.
        plural: The name of its kind in URLs, where it is known: `deployments`.

    Returns:
        None where a `test` of a patch says that this object is left out.

    Raises:
        Refused: A patch does not fit the object; the message names both.
    """
    before = identity(manifest)
    labels = [f"{word}.{before.group}" if before.group else word for word in (plural, before.kind.lower()) if word]
    result = manifest
    for number, transform in enumerate(options.transforms, start=1):
        if not _meant(transform, labels, before.namespace, before.name):
            continue
        try:
            result = jsonpatch.JsonPatch([dict(operation) for operation in transform.patch]).apply(result)
        except jsonpatch.JsonPatchTestFailed:
            return None
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise Refused(
                f"transform {number} does not fit {before}: {error}; nothing was changed",
                hint="narrow its `kind`, `namespace` or `name`, or make the path exist with an `add` before",
            ) from error
    return mapped(result, options.namespace_map)


def _meant(transform: Transform, labels: list[str], namespace: str, name: str) -> bool:
    return (
        any(fnmatchcase(label, transform.kind) for label in labels)
        and fnmatchcase(namespace, transform.namespace)
        and fnmatchcase(name, transform.name)
    )
