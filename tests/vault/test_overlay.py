"""What is written over a vault is read back, and never reaches it."""

import pytest

from drkeeper.vault.store import ObjectMissing, StoreOptions, open_store


@pytest.fixture
def below(tmp_path):
    store = open_store(StoreOptions(url=str(tmp_path / "below")))
    store.prepare()
    for name in ("kept", "changed", "deleted"):
        store.put(f"points/{name}", name.encode())
    return store


@pytest.fixture
def over(tmp_path, below):
    store = open_store(StoreOptions(url=below.url, overlay=tmp_path / "above"))
    store.prepare()
    return store


def contents(store):
    return {entry.key: store.get(entry.key) for entry in store.list("points/")}


def test_what_lies_below_is_read_and_never_written(over, below):
    before = contents(below)
    over.put("points/changed", b"anew")
    over.put("points/added", b"added")
    over.delete(["points/deleted", "points/never-there"])
    assert contents(over) == {"points/kept": b"kept", "points/changed": b"anew", "points/added": b"added"}
    assert contents(below) == before


def test_a_key_that_lies_below_is_taken(over):
    assert over.create("points/kept", b"other") is False
    assert over.get("points/kept") == b"kept"


def test_what_was_deleted_can_be_made_again(over, below):
    over.delete(["points/deleted"])
    assert over.head("points/deleted") is None
    with pytest.raises(ObjectMissing):
        over.get("points/deleted")
    assert over.create("points/deleted", b"anew")
    assert over.get("points/deleted") == b"anew"
    over.delete(["points/deleted"])
    assert "points/deleted" not in contents(over)
    assert below.get("points/deleted") == b"deleted"
