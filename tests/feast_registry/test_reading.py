"""A registry is read without Feast, and refused where it is none."""

import subprocess
import sys

import pytest
from tests.feast_registry.examples import UNTIL, a_bare_registry, a_newer_registry, a_registry

from drkeeper.feature_registry import RegistryNewer, RegistryUnreadable, differences, parse, registry_message

UNKNOWN_FIELD = b"\xc2\x3e\x03abc"  # number 1000, three bytes


def test_a_registry_tells_its_objects():
    registry = parse(a_registry(version_id="v-1"))

    assert (registry.version_id, registry.schema_version, registry.projects) == ("v-1", "1", ("churn",))
    assert registry.last_updated == UNTIL
    assert [(one.kind, one.project, one.name) for one in registry.objects()] == [
        ("entities", "churn", "customer"),
        ("feature_views", "churn", "churn"),
        ("feature_services", "churn", "churn_v1"),
        ("projects", "churn", "churn"),
    ]
    assert not registry.bare
    assert parse(a_bare_registry()).bare


def test_digests_are_of_what_an_object_says():
    first, second = (
        {one.key: one.digest for one in parse(a_registry(version_id=version)).objects()} for version in ("a", "b")
    )

    assert first == second


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (b"not a registry at all", "cannot be decoded"),
        (a_registry()[:-1], "cannot be decoded"),
        (registry_message().SerializeToString() + b"\x22\x01x", "no schema version"),
    ],
    ids=["empty", "text", "cut within a field", "no schema version"],
)
def test_what_is_no_registry_is_refused(data: bytes, says: str):
    with pytest.raises(RegistryUnreadable, match=says):
        parse(data)


def test_a_registry_cut_off_between_two_objects_is_refused():
    """Projects stand behind the views: bytes that end before them can be decoded, and are half a registry."""
    message = registry_message()
    message.ParseFromString(a_registry())
    del message.projects[:]

    with pytest.raises(RegistryUnreadable, match="cut off"):
        parse(message.SerializeToString())


def test_a_newer_schema_is_not_guessed_at():
    with pytest.raises(RegistryNewer, match="version 2"):
        parse(a_newer_registry())


def test_fields_of_a_newer_feast_are_kept_and_told():
    message = registry_message()
    message.ParseFromString(a_registry())
    message.feature_views[0].spec.MergeFromString(UNKNOWN_FIELD)

    registry = parse(message.SerializeToString())

    assert registry.unknown == ("FeatureViewSpec 1000",)
    assert UNKNOWN_FIELD in registry.serialise()
    assert parse(a_registry()).unknown == ()


def test_what_changed_is_said_in_words():
    old, message = parse(a_registry("orders")), registry_message()
    message.ParseFromString(a_registry("orders", "days_since_last", until=UNTIL.replace(hour=4)))
    view = message.feature_views[0]
    view.spec.ttl.FromSeconds(3600)
    view.spec.features[0].value_type = 6
    view.spec.batch_source.file_options.uri = "s3://key:secret@bucket/orders.parquet"
    del message.entities[:]
    added = message.feature_services.add().spec
    added.name, added.project = "churn_v2", "churn"

    assert differences(old, parse(message.SerializeToString())) == [
        "entity customer removed",
        "feature service churn_v2 added",
        "feature view churn: field orders: value type FLOAT instead of INT64",
        "feature view churn: field days_since_last added",
        "feature view churn: ttl 3600 s instead of 86400 s",
        "feature view churn: batch source added",
        "feature view churn: materialised until 2026-03-01T04:00:00+00:00 instead of 2026-03-01T02:00:00+00:00",
    ]


def test_no_password_of_a_source_is_said():
    registries = []
    for file in ("a", "b"):
        message = registry_message()
        message.ParseFromString(a_registry())
        message.feature_views[0].spec.batch_source.file_options.uri = f"s3://key:secret@bucket/{file}.parquet"
        registries.append(parse(message.SerializeToString()))

    (told,) = differences(*registries)

    assert "s3://***@bucket/b.parquet instead of s3://***@bucket/a.parquet" in told


def test_to_write_a_registry_again_is_no_change():
    message = registry_message()
    message.ParseFromString(a_registry())
    message.feature_views[0].meta.last_updated_timestamp.FromDatetime(UNTIL)

    assert differences(parse(a_registry()), parse(message.SerializeToString())) == []


def test_reading_costs_no_feast_and_leaves_room_for_it():
    """`import feast` costs seconds; what was stubbed for its messages must not stand in the way of the real one."""
    script = """
import sys
from drkeeper.feature_registry import registry_message
first = registry_message()
assert not [name for name in sys.modules if name.split(".")[0] in {"feast", "pandas", "pyarrow"}], "feast was imported"
import feast
import feast.protos.feast.core.Registry_pb2 as messages
assert feast.__version__ and feast.protos
assert messages.Registry is type(first)
assert registry_message() == first
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
