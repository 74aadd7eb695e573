"""Names and scripts are taken apart and put together without a server."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drkeeper.recovery_point import StreamRecord, StreamRef, SystemRecord
from drkeeper.systems._postgres.names import dump_name, former_name, recorded_databases, staged_name
from drkeeper.systems._postgres.properties import list_elements
from drkeeper.systems._postgres.roles import split_statements
from drkeeper.systems.postgres import Options

DATABASE_NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: len(name.encode()) <= 63
)
OPTIONS = Options(host="h", user="u")


@given(DATABASE_NAMES)
def test_a_database_is_known_again_by_its_stream(name: str) -> None:
    ref = StreamRef(index_id="", size_bytes=0, frame_count=0)
    stream = StreamRecord(name=dump_name(name), ref=ref, stored_bytes=0)
    record = SystemRecord(name="x", kind="postgres", status="complete", as_of=datetime.now(UTC), streams=(stream,))
    assert recorded_databases(record, OPTIONS) == (name,)
    assert stream.name.count("/") == 1
    assert ".." not in stream.name


@given(DATABASE_NAMES, DATABASE_NAMES)
def test_staged_names_fit_and_differ(one: str, other: str) -> None:
    names = [kind(name, "r20260101_abcdef") for kind in (staged_name, former_name) for name in {one, other}]
    assert all(len(name.encode()) <= 63 for name in names)
    assert len(set(names)) == len(names)


def test_a_script_is_split_at_the_semicolons_that_end_statements() -> None:
    script = """-- it's a comment; really
\\restrict x;y
SET a = 'b;''c';
CREATE ROLE "a;""b";  -- more
COMMENT ON ROLE x IS E'two
lines; -- and \\\\ all';
\\unrestrict x
"""
    assert list(split_statements(script)) == [
        "SET a = 'b;''c'",
        'CREATE ROLE "a;""b"',
        "COMMENT ON ROLE x IS E'two\nlines; -- and \\\\ all'",
    ]


def test_a_stored_list_is_taken_apart() -> None:
    assert list_elements('"$user", public, "with "" and , inside"') == ["$user", "public", 'with " and , inside']
    assert list_elements('""') == [""]


def test_options_say_what_is_wrong_with_them() -> None:
    with pytest.raises(ValidationError, match="not both"):
        Options.model_validate({"host": "h", "user": "u", "password": "p", "passfile": "/f"})
    with pytest.raises(ValidationError, match="datbases"):
        Options.model_validate({"host": "h", "user": "u", "datbases": []})
    assert 64 << 20 <= OPTIONS.work_memory_bytes <= 1 << 30
    assert all(field.description for field in Options.model_fields.values() if field.annotation is bool)
