"""What a fail-back does with a key, decided from the versions of both sides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drkeeper.failover.reconcile import Decision, Parting, Seen, decide, resolve

PARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
AHEAD = timedelta(minutes=7)
"""The source's clock is that much ahead of the replica's."""
PARTING = Parting(source_at=PARTED + AHEAD, replica_at=PARTED)


def here(minutes, text, **more):
    """A version at the source, so many minutes after the fail-over."""
    return seen(PARTED + AHEAD, minutes, text, **more)


def there(minutes, text, **more):
    """The same at the replica."""
    return seen(PARTED, minutes, text, **more)


def seen(since, minutes, text, **more):
    at = since + timedelta(minutes=minutes)
    if text is None:
        return Seen(at, is_marker=True)
    return Seen(at, etag=text, size_bytes=more.pop("size", len(text)), **more)


FIRST = there(-50, "v1")

CASES = {
    # both sides hold the key
    "nobody changed it": ([here(-60, "v1")], [FIRST], "same", ""),
    "changed at the replica": ([here(-60, "v1")], [there(5, "v2"), FIRST], "copy", "written at the replica"),
    "changed twice at the replica": (
        [here(-60, "v1")], [there(6, "v3"), there(5, "v2"), FIRST], "copy", "written at the replica",
    ),
    "brought back by a run that was cut off, and changed again": (
        [here(30, "v2"), here(-60, "v1")], [there(40, "v3"), there(5, "v2"), FIRST], "copy", "written at the replica",
    ),
    "changed at the source since": (
        [here(5, "s2"), here(-60, "v1")], [FIRST], "conflict", "written at the source since the fail-over",
    ),
    "changed at both sides": (
        [here(5, "s2"), here(-60, "v1")], [there(6, "v2"), FIRST],
        "conflict", "written at both sides; at the source since the fail-over",
    ),
    "changed at both sides to the same": ([here(5, "v2"), here(-60, "v1")], [there(6, "v2"), FIRST], "same", ""),
    "not replicated in time": (
        [here(-1, "s2"), here(-60, "v1")], [FIRST],
        "keep", "written at the source before the fail-over, too late to be replicated",
    ),
    "not replicated in time, and changed at the replica": (
        [here(-1, "s2"), here(-60, "v1")], [there(5, "v2"), FIRST],
        "conflict", "written at both sides; at the source before the fail-over, too late to be replicated",
    ),
    "set back at the source before the fail-over": (
        [here(-1, "v1"), here(-30, "v2")], [there(-29, "v2"), FIRST],
        "keep", "written at the source before the fail-over, too late to be replicated",
    ),
    # only the replica holds it
    "new at the replica": ([], [there(5, "v1")], "copy", "written at the replica"),
    "lost by the source with its bucket": ([], [FIRST], "copy", "the source has lost it"),
    "deleted at the source before": (
        [here(-20, None), here(-60, "v1")], [FIRST], "keep", "deleted at the source before the fail-over",
    ),
    "deleted at the source before, changed at the replica": (
        [here(-20, None), here(-60, "v1")], [there(5, "v2"), FIRST], "copy", "written at the replica",
    ),
    "deleted at the source since": (
        [here(3, None), here(-60, "v1")], [FIRST], "conflict", "deleted at the source since the fail-over",
    ),
    "deleted at the source since, changed at the replica": (
        [here(3, None), here(-60, "v1")], [there(5, "v2"), FIRST],
        "conflict", "deleted at the source since the fail-over, written at the replica",
    ),
    "deleted by a run that was cut off, and written anew at the replica": (
        [here(30, None), here(-60, "v1")], [there(40, "v2"), there(5, None), FIRST], "copy", "written at the replica",
    ),
    # only the source holds it
    "deleted at the replica": ([here(-60, "v1")], [there(5, None), FIRST], "delete", "deleted at the replica"),
    "deleted at the replica, changed at the source": (
        [here(6, "s2"), here(-60, "v1")], [there(5, None), FIRST],
        "conflict", "deleted at the replica, written at the source",
    ),
    "deleted at the replica, with what had not been replicated": (
        [here(-1, "s2"), here(-60, "v1")], [there(5, None), FIRST],
        "conflict", "deleted at the replica, written at the source",
    ),
    "never replicated": (
        [here(-1, "s1")], [], "keep", "written at the source before the fail-over, too late to be replicated",
    ),
    "new at the source since": ([here(5, "s1")], [], "conflict", "written at the source since the fail-over"),
    "gone from both": ([here(5, None), here(-60, "v1")], [there(5, None), FIRST], "same", ""),
}  # fmt: skip


@pytest.mark.parametrize(("source", "replica", "verdict", "why"), CASES.values(), ids=CASES)
def test_versions_tell_what_is_done(source, replica, verdict, why):
    decision = decide("model", source, replica, PARTING)
    assert (decision.verdict, decision.why) == (verdict, why)


def test_a_deletion_that_replication_had_noted_is_no_loss():
    """A source without versions does not tell a deletion from a loss."""
    unversioned = Parting(PARTED + AHEAD, PARTED, source_versioned=False)
    assert decide("model", [], [FIRST], unversioned).verdict == "copy"
    assert decide("model", [], [FIRST], unversioned, noted_missing=True).verdict == "keep"
    assert decide("model", [], [there(5, "v2")], unversioned, noted_missing=True).verdict == "copy"


UNVERSIONED = Parting(PARTED + AHEAD, PARTED, replicated_until=PARTED + AHEAD - timedelta(minutes=10))


@pytest.mark.parametrize(
    ("source", "replica", "verdict"),
    [
        ([here(-60, "v1")], [there(5, "v2")], "copy"),
        ([here(-5, "s2")], [there(5, "v2")], "conflict"),
        ([here(5, "s2")], [there(5, "v2")], "conflict"),
        ([here(-60, "v1")], [], "delete"),
        ([here(-5, "s2")], [], "keep"),
        ([here(5, "s2")], [], "conflict"),
    ],
)
def test_without_versions_the_last_complete_replication_says_what_the_replica_had(source, replica, verdict):
    assert decide("model", source, replica, UNVERSIONED).verdict == verdict


PARTS = {"size": 9, "in_parts": True}


@pytest.mark.parametrize(
    ("source", "replica", "verdict", "because"),
    [
        ([here(-60, "o-2", **PARTS)], [there(-50, "c-2", **PARTS)], "same", "copied before, no older"),
        ([here(-40, "o-2", **PARTS)], [there(-50, "c-2", **PARTS)], "keep", "the copy is older"),
        ([here(-60, "o-2", **PARTS)], [there(5, "n-2", **PARTS), there(-50, "o-2", **PARTS)], "copy", "new parts"),
        ([here(-60, "o-2", **PARTS)], [there(5, "n-2", **PARTS), there(-50, "c-2", **PARTS)], "copy", "had a copy"),
        ([here(-40, "o-2", **PARTS)], [there(5, "n-2", **PARTS), there(-50, "c-2", **PARTS)], "conflict", "older copy"),
        ([here(-60, "o-2", **PARTS)], [there(5, None), there(-50, "c-2", **PARTS)], "delete", "deleted after a copy"),
        ([here(9, "c-2", stands_for="n-2", **PARTS)], [there(5, "n-2", **PARTS)], "same", "our copy says of what"),
        ([here(5, "s-2", **PARTS)], [there(6, "n-2", **PARTS)], "conflict", "one size is no one content"),
    ],
)  # fmt: skip
def test_objects_in_parts_are_one_only_where_a_note_or_their_age_says_so(source, replica, verdict, because):
    assert decide("model", source, replica, PARTING).verdict == verdict, because


def test_a_copy_of_this_run_is_known_whatever_its_etag():
    parting = Parting(PARTED + AHEAD, PARTED, brought={"model": ("n-2", "x-2")})
    assert decide("model", [here(9, "x-2", **PARTS)], [there(5, "n-2", **PARTS)], parting).verdict == "same"


CONFLICT = Decision("model", "conflict", "both", source=here(5, "s2"), replica=there(5, "v2"))
GONE = Decision("model", "conflict", "deleted at the replica", source=here(5, "s2"))


@pytest.mark.parametrize(
    ("decision", "prefer", "versioned", "verdict"),
    [
        (CONFLICT, None, True, "conflict"),
        (CONFLICT, "replica", True, "copy"),
        (CONFLICT, "source", True, "keep"),
        (GONE, "replica", True, "delete"),
        (GONE, "source", True, "keep"),
        (Decision("model", "delete", source=here(-9, "v1")), None, True, "delete"),
        (Decision("model", "delete", source=here(-9, "v1")), None, False, "keep"),
    ],
)
def test_conflicts_go_as_the_operator_decides_and_nothing_is_deleted_for_good(decision, prefer, versioned, verdict):
    assert resolve(decision, prefer, source_versioned=versioned).verdict == verdict


# --- the source's data are wrong ----------------------------------------------------------------------------


WRONG = replace(PARTING, source_wrong=True)


@pytest.mark.parametrize(("source", "replica", "verdict", "why"), CASES.values(), ids=CASES)
def test_of_a_source_whose_data_are_wrong_nothing_counts_whatever_it_did_and_when(source, replica, verdict, why):
    decision = decide("model", source, replica, WRONG)
    held = bool(replica) and not replica[0].is_marker
    assert decision.verdict == ("same" if verdict == "same" else "copy" if held else "delete")
    assert (decision.why, decision.righted) == (why, verdict in {"keep", "conflict"})


@pytest.mark.parametrize(
    ("source", "replica", "verdict", "because"),
    [
        (here(-60, "o-2", **PARTS), there(-50, "c-2", **PARTS), "copy", "its age does not say what it is"),
        (here(9, "c-2", stands_for="n-2", **PARTS), there(5, "n-2", **PARTS), "copy", "metadata outlive encryption"),
        (here(-60, "o-2", **PARTS), there(-50, "c-2", stands_for="o-2", **PARTS), "same", "the replica says of what"),
    ],
)
def test_of_such_a_source_neither_age_nor_metadata_say_that_an_object_is_a_copy(source, replica, verdict, because):
    assert decide("model", [source], [replica], WRONG).verdict == verdict, because
    brought = replace(WRONG, brought={"model": (replica.etag, source.etag)})
    assert decide("model", [source], [replica], brought).verdict == "same"
