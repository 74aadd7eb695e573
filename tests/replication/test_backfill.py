"""Where the provider replicates by itself, drkeeper brings what was skipped, and says how far behind the replica was."""

import time

from tests.buckets.regions import bucket_at
from tests.replication.buckets import contents, pair_of, run

from drkeeper.buckets.native_options import NativeOptions
from drkeeper.replication import native


def test_what_was_there_before_the_rule_is_brought_and_what_the_provider_brought_is_not_brought_again(provider):
    source, replica = bucket_at(provider), bucket_at(provider)
    source.request("PUT", "from/before", body=b"skipped")
    wanted = NativeOptions(role="arn:aws:iam::000000000000:role/replication")
    native.carry_out(native.plan_setup(source.options, replica.options, wanted))
    source.request("PUT", "from/after", body=b"replicated")
    deadline = time.monotonic() + 20
    while set(contents(replica)) != {"from/after"} and time.monotonic() < deadline:
        time.sleep(0.1)
    assert set(contents(replica)) == {"from/after"}
    record = run(pair_of(source, replica))
    assert (record.new, record.source_objects, record.overwritten) == (1, 2, 0)
    assert contents(replica) == contents(source)
