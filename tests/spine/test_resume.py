"""What came into a target while a restore lay broken is not overwritten; what the restore put there itself is known."""

import pytest

from drkeeper import catalog, recovery
from drkeeper.errors import Refused
from drkeeper.plan import Choice
from drkeeper.wiring import open_vault


class Died(Exception):
    """Stands for the end of the process."""


class Mortal:
    """A system at whose switch the process dies: as it begins, or when all of it is done and nobody knows yet."""

    def __init__(self, system, when):
        self._system = system
        self._when = when

    def __getattr__(self, name):
        return getattr(self._system, name)

    def switch(self, record, staging):
        if self._when == "after":
            self._system.switch(record, staging)
        raise Died


def break_off(platform, name, when, *, overwrite=False):
    """A restore that dies at the switch of one system."""
    prepared = recovery.prepare(platform.policy(), choice=Choice(overwrite=overwrite))
    prepared.systems[name] = Mortal(prepared.systems[name], when)
    with pytest.raises(Died):
        recovery.restore(prepared)


def undo_points(platform):
    points = catalog.list_points(open_vault(platform.policy())).points
    return sorted((point for point in points if point.purpose == "undo"), key=lambda point: point.as_of)


def sales(platform):
    with platform.connect() as shop:
        return shop.execute("SELECT count(*) FROM sale").fetchone()[0]


def fill_database(platform, rows=3):
    with platform.connect("postgres") as admin:
        admin.execute("CREATE DATABASE shop")
    with platform.connect() as shop:
        shop.execute("CREATE TABLE sale (id bigserial PRIMARY KEY, note text NOT NULL)")
        shop.execute(f"INSERT INTO sale (note) SELECT 'new' FROM generate_series(1, {rows})")


@pytest.mark.parametrize("filled", ["online-store", "mlflow-db"])
def test_data_that_came_in_between_are_not_overwritten(platform, filled):
    platform.run("backup")
    expected = platform.contents()
    platform.destroy()
    break_off(platform, filled, "before")
    if filled == "mlflow-db":  # the online store was switched before: what it holds is known
        fill_database(platform)
    else:
        platform.cache().set("somebody", "s")
    said = platform.run("restore", "--resume", "--yes", code=4).stderr
    assert f"{filled} held nothing when this restore was planned, and now holds data; nothing was changed" in said
    assert "--overwrite" in said
    if filled == "mlflow-db":
        assert sales(platform) == 3
        with platform.connect("postgres") as admin:
            admin.execute("DROP DATABASE shop WITH (FORCE)")
    else:
        assert platform.cache().get("somebody") == b"s"
        platform.cache().flushall()
    recovery.resume(platform.policy())
    assert platform.contents() == expected


def test_what_a_broken_restore_has_not_come_to_is_looked_at_too(platform):
    platform.run("backup")
    platform.destroy()
    break_off(platform, "online-store", "before")
    fill_database(platform)
    with pytest.raises(Refused, match="mlflow-db held nothing"):
        recovery.resume(platform.policy())
    assert sales(platform) == 3


@pytest.mark.parametrize("name", ["online-store", "mlflow-db"])
def test_a_switch_that_was_made_and_not_noted_is_known_and_what_clients_wrote_since_stays(platform, name):
    platform.run("backup")
    platform.destroy()
    break_off(platform, name, "after")
    if name == "mlflow-db":
        with platform.connect() as shop:
            shop.execute("INSERT INTO sale (note) VALUES ('since')")
    else:
        platform.cache().set("since", "s")
    recovery.resume(platform.policy())
    if name == "mlflow-db":
        with platform.connect() as shop:
            assert shop.execute("SELECT count(*) FROM sale WHERE note = 'since'").fetchone() == (1,)
    else:
        assert platform.cache().get("since") == b"s"


def test_a_target_that_is_filled_while_the_others_load_is_not_overwritten(platform):
    platform.run("backup")
    platform.destroy()
    prepared = recovery.prepare(platform.policy())
    system = prepared.systems["mlflow-db"]

    class Visited(Mortal):
        def load(self, record, streams, staging):
            system.load(record, streams, staging)
            platform.cache().set("somebody", "s")

    prepared.systems["mlflow-db"] = Visited(system, "never")
    with pytest.raises(Refused, match="online-store held nothing"):
        recovery.restore(prepared)
    assert platform.cache().get("somebody") == b"s"


def test_what_a_resumed_restore_overwrites_is_in_an_undo_point_as_it_is_now(platform):
    platform.run("backup")
    expected = platform.contents()
    platform.fill(seed=2)
    break_off(platform, "mlflow-db", "before", overwrite=True)
    with platform.connect() as shop:
        shop.execute("INSERT INTO sale (note) VALUES ('since')")
    went_on = sales(platform)
    recovery.resume(platform.policy())
    assert platform.contents() == expected
    first, again = undo_points(platform)
    assert {system.name for system in first.systems} == {"mlflow-db", "online-store"}
    assert [system.name for system in again.systems] == ["mlflow-db"]
    assert again.system("mlflow-db").facts.exact["shop.public.sale.rows"] == went_on
