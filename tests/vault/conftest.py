"""Stores of every kind, and vaults over them."""

import pytest

import seaweed
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    with seaweed.running_seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(params=["memory", "local", "s3", "overlay"])
def any_store(request, tmp_path):
    if request.param == "memory":
        options = StoreOptions(url="memory://")
    elif request.param == "local":
        options = StoreOptions(url=f"file://{tmp_path}/store")
    elif request.param == "overlay":
        (tmp_path / "below").mkdir()
        options = StoreOptions(url=f"{tmp_path}/below", overlay=tmp_path / "above")
    else:
        server = request.getfixturevalue("s3")
        options = server.store_options(server.make_bucket())
    store = open_store(options)
    store.prepare()
    return store


@pytest.fixture
def local_regions(tmp_path):
    return {name: open_store(StoreOptions(url=str(tmp_path / name))) for name in ("near", "far")}


@pytest.fixture
def vault(local_regions):
    return Vault.create(local_regions)
