"""What of an object is not declared but made by the cluster, and is dropped; one small rule each, with its reason."""

from typing import Any

Manifest = dict[str, Any]


def sanitise(manifest: Manifest) -> Manifest:
    """The manifest without what the cluster makes by itself; the argument is changed and must not be used again."""
    manifest.pop("status", None)
    metadata = manifest["metadata"]
    for field in ("managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"):
        metadata.pop(field, None)
    return manifest
