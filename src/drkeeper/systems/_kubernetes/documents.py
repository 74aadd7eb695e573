"""Where an object's manifest lies in git, and `manifests.yaml` read back, one document at a time."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from drkeeper.errors import VerificationFailed

# Kubernetes' own groups: nobody else may serve kinds in them, so that their kinds need no group to be told apart.
BUILT_IN_GROUPS = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    }
)
# What a file system or git would mind, and our own escape character.
_AWKWARD = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|%]')
# ext4, XFS, NTFS and APFS take names of 255; names in Kubernetes have up to 253 before `.yaml` is added.
_LONGEST_NAME = 255
_SUFFIX = ".yaml"
_HEAD = b"---\n# "
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """One object of `manifests.yaml`; a Secret is still encrypted."""

    path: str
    manifest: dict[str, Any]


def object_path(manifest: dict[str, Any]) -> str:
    """Where an object lies in git; no two objects of a cluster share a path.

    `namespaces/<namespace>/<kind>/<name>.yaml`, or `cluster/<kind>/<name>.yaml`. The kind carries its group unless
    that is one of Kubernetes' own. Awkward characters of names become `%XX`; a name that no file system takes is cut,
    and told apart by a digest.
    """
    metadata = manifest["metadata"]
    return folder_of(manifest["apiVersion"], manifest["kind"], metadata.get("namespace")) + file_name(metadata["name"])


def folder_of(api_version: str, kind: str, namespace: str | None) -> str:
    """The folder of all objects of a kind, in a namespace or in none; ends with `/`."""
    group, _, version = api_version.rpartition("/")
    group = group if version else ""
    folder = kind.lower() if group in BUILT_IN_GROUPS else f"{kind.lower()}.{group}"
    return f"namespaces/{namespace}/{folder}/" if namespace else f"cluster/{folder}/"


def file_name(name: str) -> str:
    """A name as a file's name."""
    safe = _AWKWARD.sub(lambda found: f"%{ord(found[0]):02X}", name) + _SUFFIX
    if len(safe.encode()) <= _LONGEST_NAME:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{safe[:200]}%-{digest}{_SUFFIX}"


def document(path: str, rendered: bytes) -> bytes:
    """One document of `manifests.yaml`."""
    return b"%b%b\n%b" % (_HEAD, path.encode(), rendered)


def read_documents(chunks: Iterable[bytes]) -> Iterator[Document]:
    """Read `manifests.yaml` back in constant memory, in its order.

    Raises:
        VerificationFailed: It is not what we write.
    """
    for text in _split(chunks):
        head, _, body = text.partition(b"\n")
        try:
            manifest = yaml.load(body, Loader=_LOADER)  # noqa: S506 - a safe loader
        except (yaml.YAMLError, ValueError) as error:
            raise VerificationFailed(f"{head.decode(errors='replace')}: not sound YAML: {error}") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("metadata"), dict):
            raise VerificationFailed(f"{head.decode(errors='replace')}: not a manifest")
        yield Document(head.decode(), manifest)


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Each document from its path on; `---` stands at a line's begin nowhere but between documents."""
    separator = b"\n" + _HEAD
    kept = b"\n"
    begun = False
    for chunk in chunks:
        kept += chunk
        if not begun and len(kept) > len(separator):
            if not kept.startswith(separator):
                raise VerificationFailed("manifests.yaml does not begin with a document")
            begun, kept = True, kept[len(separator) :]
        *whole, kept = kept.split(separator) if begun else [kept]
        for text in whole:
            yield text + b"\n"
    if begun:
        yield kept
    elif kept.strip():
        raise VerificationFailed("manifests.yaml does not begin with a document")
