"""What restores keep in the vault and beside it is read by every later version; and what older ones kept still is."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drkeeper.approvals import Approval
from drkeeper.controls import Control
from drkeeper.journal import Entry
from drkeeper.signing import read_envelope, read_public, signer
from drkeeper.vault.records import digest_of, unpack

GOLDEN = Path(__file__).parent / "golden"
KEY = bytes(range(32))


def test_the_golden_journal_is_read_as_ever():
    entries = [unpack(line, Entry, KEY, "golden")[0] for line in (GOLDEN / "journal-v1.txt").read_bytes().splitlines()]
    assert [entry.event for entry in entries] == [
        "planned",
        "started",
        "done",
        "paused",
        "continued",
        "failed",
        "resumed",
        "finished",
    ]
    assert entries[0].plan is not None
    assert entries[0].before.approved_by == ("ada",)
    assert entries[0].before.spent_seconds == 12.0
    assert entries[2].record.elapsed_seconds == 2.5
    assert (entries[3].by, entries[3].error) == ("ada", "a look")
    assert entries[-1].phases[0].people_seconds == 7.0


def test_the_golden_word_to_a_restore_is_read_as_ever():
    control, _ = unpack((GOLDEN / "control-v1.json").read_bytes(), Control, KEY, "golden")
    assert (control.word, control.by, control.why) == ("pause", "ada", "a look")


def test_the_golden_approval_is_read_and_verified_as_ever():
    envelope = read_envelope((GOLDEN / "approval-v1.json").read_bytes(), "the golden approval")
    assert signer(envelope, {"ada": read_public((GOLDEN / "approval-v1.pub").read_text())}) == "ada"
    approval = Approval.model_validate_json(envelope.content())
    assert (approval.approver, approval.point_id, approval.policy) == ("ada", "aaaaaaaaaaaa", "prod")


@pytest.mark.parametrize("event", ["started", "finished"])
def test_an_entry_that_says_nothing_new_is_stored_as_it_always_was(event):
    entry = Entry(at=datetime(2026, 11, 26, tzinfo=UTC), event=event, step_id="load:db")
    kept = json.loads(entry.model_dump_json())
    assert set(kept) == {"at", "event", "step_id", "error", "plan", "record"}
    assert digest_of(kept, KEY) == digest_of(json.loads(Entry.model_validate(kept).model_dump_json()), KEY)
