"""How the online store lies in Redis, against what Feast itself writes and computes."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from drkeeper.applications._feast.layout import (
    INT32,
    INT64,
    STRING,
    UNIX_TIMESTAMP,
    KeyForeign,
    entity_of,
    feature_field,
    key_of,
    views_in,
)
from drkeeper.applications._feast.murmur import murmur3_32
from drkeeper.applications._feast.repo import connection_string
from drkeeper.applications._feast.values import ValueUnreadable, compact, event_time, feature_value, value_message
from drkeeper.systems import Endpoint

FEASTS_OWN = """
import json, sys
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
key = EntityKey(join_keys=["shop", "customer_id", "since", "grade"], entity_values=[
    Value(string_val="Zürich"), Value(int64_val=-7), Value(unix_timestamp_val=1), Value(int32_val=3)])
print(json.dumps({
    "key": _redis_key("churn", key).hex(),
    "field": _mmh3("totals:spent").hex(),
    "connections": [RedisOnlineStore._parse_connection_string(text) for text in json.load(sys.stdin)],
}))
"""
AWKWARD = ['a,b=c"d\\e', "12345", "true", "null", "ü:/@ ;", "{}"]


@pytest.fixture(scope="module")
def feasts_own() -> dict[str, Any]:
    """What Feast itself computes, and how it reads the addresses that it is given."""
    endpoints = [
        Endpoint("cache", 6379, "reader", SecretStr(each), tls=True, ca=Path("/etc/a,b.pem")) for each in AWKWARD
    ]
    strings = json.dumps([connection_string(each) for each in endpoints])
    done = subprocess.run([sys.executable, "-c", FEASTS_OWN], input=strings, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@given(st.binary(max_size=40))
def test_murmur_is_the_one_that_feast_uses(data):
    assert murmur3_32(data) == mmh3.hash(data, signed=False)


def test_keys_and_fields_are_those_that_feast_computes(feasts_own):
    entity = {"shop": (STRING, "Zürich"), "customer_id": (INT64, -7), "since": (UNIX_TIMESTAMP, 1), "grade": (INT32, 3)}
    key = key_of(entity, "churn")
    assert key.hex() == feasts_own["key"]
    assert entity_of(key, b"churn") == {"shop": "Zürich", "customer_id": -7, "since": 1, "grade": 3}
    assert feature_field("totals", "spent").hex() == feasts_own["field"]


def test_feast_reads_any_password_as_it_is(feasts_own):
    for password, (nodes, settings) in zip(AWKWARD, feasts_own["connections"], strict=True):
        assert nodes == [{"host": "cache", "port": "6379"}]
        assert settings == {"username": "reader", "password": password, "ssl": True, "ssl_ca_certs": "/etc/a,b.pem"}


@given(
    st.dictionaries(st.text(min_size=1), st.text() | st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.from_regex(r"[a-z_0-9]{1,12}", fullmatch=True),
)
def test_a_key_is_read_as_it_was_written(entity, project):
    typed = {name: (INT64 if isinstance(value, int) else STRING, value) for name, value in entity.items()}
    key = key_of(typed, project)
    assert entity_of(key, project.encode()) == entity
    with pytest.raises(KeyForeign):
        entity_of(key, b"x" + project.encode())


def test_a_project_whose_name_ends_as_ours_does_is_another_one():
    key = key_of({"customer_id": (INT64, 7)}, "old_churn")
    with pytest.raises(KeyForeign):
        entity_of(key, b"churn")
    assert entity_of(key, b"old_churn") == {"customer_id": 7}


@given(st.binary(max_size=60))
def test_any_other_key_is_foreign_and_no_error(data):
    with pytest.raises(KeyForeign):
        entity_of(data + b"?churn", b"churn")


@pytest.mark.parametrize(
    "key", [b"churn", b"drkeeper:heartbeat", b"\xff\xff\xff\xffchurn", struct.pack("<I", 1) + b"churn"]
)
def test_keys_of_other_programs_are_foreign(key):
    with pytest.raises(KeyForeign):
        entity_of(key, b"churn")


def test_views_are_told_by_their_event_times():
    assert views_in({b"_ts:b": b"", b"_ts:a": b"", b"\x00\x01\x02\x03": b""}) == ["a", "b"]


@pytest.mark.parametrize(
    ("set_up", "value"),
    [
        ({"float_val": 0.1}, 0.10000000149011612),
        ({"double_val": float("nan")}, "nan"),
        ({"int64_val": 2**62}, 2**62),
        ({"bool_val": False}, False),
        ({"bytes_val": b"\x00\xff"}, "base64:AP8="),
        ({"string_list_val": {"val": ["b", "a"]}}, ["b", "a"]),
        ({"string_set_val": {"val": ["b", "a"]}}, ["a", "b"]),
        ({"map_val": {"val": {"b": {"int32_val": 1}, "a": {"null_val": 0}}}}, {"a": None, "b": 1}),
        ({"list_val": {"val": [{"string_val": "x"}, {"double_val": 2.0}]}}, ["x", 2.0]),
        ({"zoned_timestamp_val": {"unix_timestamp": 5, "zone": "UTC"}}, {"unix_timestamp": 5, "zone": "UTC"}),
        ({}, None),
    ],
)
def test_values_become_what_json_has(set_up, value):
    message = type(value_message())(**set_up)
    assert feature_value(message.SerializeToString()) == value


def test_an_absent_field_is_null_and_the_zero_time_is_none():
    assert feature_value(None) is None
    assert event_time(None) is None
    assert event_time(b"") is None


def test_damaged_fields_are_told():
    with pytest.raises(ValueUnreadable, match="no value"):
        feature_value(b"\xff\xff\xff")
    with pytest.raises(ValueUnreadable, match="no event time"):
        event_time(b"\xff\xff\xff")


def test_an_embedding_is_remembered_by_its_digest():
    numbers = [float(number) for number in range(1000)]
    assert compact(numbers) == compact(list(numbers))
    assert compact(numbers) != compact([*numbers[:-1], 0.0])
    assert len(str(compact(numbers))) < 100
