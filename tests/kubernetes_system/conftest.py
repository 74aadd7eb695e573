"""Real control planes, and the objects of a real Kubeflow installation.

`KUBEBUILDER_ASSETS` names a folder with etcd, kube-apiserver and kube-controller-manager (envtest's convention);
`DRKEEPER_KUBEFLOW_CORPUS` a file with all manifests of a rendered Kubeflow. Tests are skipped without them.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes_system.cluster import Loaded, Manifest, apply, read_corpus

from drkeeper.errors import ToolMissing
from drkeeper.sandbox.kubernetes import ControlPlane, start

StartControlPlane = Callable[..., ControlPlane]
CORPUS = "DRKEEPER_KUBEFLOW_CORPUS"


def start_or_skip(folder: Path, **more: Any) -> ControlPlane:
    """A control plane with controllers, which calls webhooks as a real cluster does; skips where it has no programs."""
    try:
        return start(folder, **{"controllers": True, "webhooks": True, **more})
    except ToolMissing as error:
        pytest.skip(f"no control plane: {error}; {error.hint}")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for the whole run. Use a namespace of your own, and leave nothing cluster-wide that hinders others."""
    plane = start_or_skip(tmp_path_factory.mktemp("shared-control-plane"))
    yield plane
    plane.kill()


@pytest.fixture(scope="module")
def empty_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartControlPlane]:
    """Starts fresh ones (about 7 s each) that are gone after the module: `empty_control_plane(controllers=False)`."""
    planes: list[ControlPlane] = []

    def begin(**more: Any) -> ControlPlane:
        plane = start_or_skip(more.pop("folder", None) or tmp_path_factory.mktemp("control-plane"), **more)
        planes.append(plane)
        return plane

    yield begin
    for plane in planes:
        plane.kill()


@pytest.fixture(scope="session")
def kubeconfig_for() -> Callable[..., Path]:
    """Kubeconfigs of others than the administrator.

    `kubeconfig_for(plane, user="ann", groups=())`, `kubeconfig_for(plane, account="namespace/name")` (a token that the
    API gave for that ServiceAccount) or `kubeconfig_for(plane, token="…")`.
    """

    def write(
        plane: ControlPlane, *, user: str = "", groups: tuple[str, ...] = (), account: str = "", token: str = ""
    ) -> Path:
        if user:
            return plane.add_user(user, groups=groups)
        if account:
            return plane.kubeconfig_of_account(*account.split("/"))
        return plane.add_token(token, name="given")

    return write


@pytest.fixture(scope="session")
def corpus() -> list[Manifest]:
    """The objects of a rendered Kubeflow installation."""
    file = os.environ.get(CORPUS, "")
    if not file or not Path(file).is_file():
        pytest.skip(f"{CORPUS} names no file with the manifests of a Kubeflow installation")
    return read_corpus(Path(file))


@pytest.fixture(scope="session")
def apply_corpus(corpus: list[Manifest]) -> Callable[[ControlPlane], Loaded]:
    """Loads the corpus into a control plane; tells what the server took, and why it refused the rest."""

    def load(plane: ControlPlane) -> Loaded:
        return apply(plane, corpus)

    return load
