"""Manifests as YAML that people read: deterministic, and fast enough to keep up with an API server."""

from typing import Any

import yaml


def render(manifest: dict[str, Any]) -> bytes:
    """The manifest as YAML in block style, keys sorted."""
    text: str = yaml.safe_dump(manifest, allow_unicode=True, width=1 << 30)
    return text.encode()
