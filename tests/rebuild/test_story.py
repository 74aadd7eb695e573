"""The online store is lost and comes back as old as its recovery point; the registry is as new as ever.

Everything is real: Feast's own SDK writes and reads, Valkey serves, and what was and what is are compared field for
field. Feast takes five to ten seconds to import in each process that asks it, so the tests tell one story.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.test_docs import code_blocks

from drkeeper import rebuild as rebuilding
from drkeeper._rebuild import kept
from drkeeper._rebuild.records import RebuildBegun
from drkeeper.facts import broken
from drkeeper.wiring import open_vault

RUNBOOK = Path(__file__).parents[2] / "runbooks/online-store-lost.md"


def differing(one, other):
    """Keys that are not the same in both, field for field and to their time to live."""
    return {key for key in {*one, *other} if one.get(key) != other.get(key)}


def test_what_feast_calls_incremental_leaves_a_gap_that_nobody_sees(story):
    story.project.restore(story.then)
    story.project.materialise_incrementally()
    missing = differing(story.project.contents(), story.now)
    assert len(missing) == 1000  # whoever has no row in the last hour that the registry knows of
    assert set(story.project.contents()) == set(story.now)


def test_the_commands_of_the_runbook_bring_back_every_field_of_every_key(story):
    story.project.restore(story.then)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (script,) = code_blocks(RUNBOOK, "sh")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=story.project.folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert differing(story.project.contents(), story.now) == set()
    begun, ended = kept.entries(open_vault(story.project.policy()), "features")
    assert isinstance(begun, RebuildBegun)
    assert {view.start for view in ended.views} == {view.start for view in ended.views if view.start.hour == 5}
    assert (ended.mode, ended.error, broken(ended.checks)) == ("materialise", "", [])
    assert [check.verdict for check in ended.checks if check.subject.startswith("rebuild.")] == ["passed"] * 6


def test_its_records_are_in_every_region(story):
    names = [
        {file.name for file in (story.project.folder / region / "rebuilds/features").iterdir()}
        for region in ("near", "far")
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 2


def test_a_store_that_was_captured_while_it_was_written_is_made_whole(story):
    """Its newest event times are those of T2, and most of its entities are of T1."""
    story.project.restore(story.then)
    with story.project.client() as client:
        for key in sorted(story.now)[:100]:
            client.hset(key, mapping=story.now[key][0])
    prepared = rebuilding.prepare(story.project.policy(), "features")
    assert {view.why for view in prepared.plan.views} == {"entities in the store are older than in its source"}
    record = rebuilding.rebuild(prepared)
    assert differing(story.project.contents(), story.now) == set()
    assert (record.mode, record.removed_keys, broken(record.checks)) == ("materialise", 0, [])
