"""One candidate in a process of its own: `cluster_worker.py lists|capture OPTIONS.json RESULT.json`.

Seconds are counted from when all is imported: what a list costs is compared with what a capture costs, not with what
starting Python costs. The process as a whole is measured by who starts it.
"""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from drkeeper.systems import kubernetes
from drkeeper.systems._kubernetes import documents, frozen, kinds, live_facts, paging  # noqa: F401 - imported beforehand
from drkeeper.systems._kubernetes.api import Cluster
from drkeeper.systems._kubernetes.options import Options

Found = dict[str, float]


def lists(options: Options) -> Found:
    """The floor: every list of the same kinds, page by page, with the same client, one after the other, undecoded.

    Which kinds there are is known beforehand; a capture has to ask.
    """
    size = pages = 0
    with Cluster.open(options) as cluster:
        asked = monotonic()
        chosen = kinds.selected(cluster.kinds(), options)
        discovery_seconds = monotonic() - asked
        for kind in chosen:
            for page in paging.raw_pages(cluster, kind.path(), {}):
                pages += 1
                size += len(page.body)
        seconds = monotonic() - asked - discovery_seconds
    return {"bytes": size, "pages": pages, "discovery_seconds": discovery_seconds, "seconds": seconds}


def capture(options: Options) -> Found:
    """All that a backup reads of a cluster, thrown away."""
    size = 0
    started = monotonic()
    with kubernetes.open_system("cluster", options).freeze() as view:
        for stream in view.streams():
            size += sum(map(len, stream.chunks))
        facts = view.facts()
    seconds = monotonic() - started
    counts = [low for name, (low, _) in facts.bounds.items() if name.startswith("count.")]
    return {
        "bytes": size,
        "objects": sum(counts),
        "kinds": len(counts),
        "unread": len(facts.unread),
        "seconds": seconds,
    }


WORK: dict[str, Callable[[Options], Found]] = {"lists": lists, "capture": capture}


def main() -> None:
    _, candidate, given, result = sys.argv
    options = Options.model_validate_json(Path(given).read_text())
    before = resource.getrusage(resource.RUSAGE_SELF)
    found = WORK[candidate](options)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    Path(result).write_text(json.dumps({**found, "cpu_seconds": cpu}))


if __name__ == "__main__":
    main()
