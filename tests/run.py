"""All tests, three files at a time; the few that fail are run once more, one at a time, and told.

Hundreds of servers are started and killed on two cores, and a wait that is long enough on an idle machine may not be
beside a bench's worth of other tests. A test that fails alone, too, fails; so does a run in which many fail. What
passed at its second try is named at the end, for it is a defect of the test or of the code all the same: see
`docs/adr/0123-a-failed-test-is-tried-once-more-alone.md`.
"""

import json
import subprocess
import sys
from pathlib import Path

MOST = 5
FAILED = 1  # pytest's exit code where tests failed
CACHE = Path(".pytest_cache/v/cache/lastfailed")
TOGETHER = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")


def run(arguments: list[str]) -> int:
    """Exit code of both runs: 0 where every test passed, at its second try at the latest."""
    CACHE.unlink(missing_ok=True)
    code = pytest(*TOGETHER, *arguments)
    failed = sorted(json.loads(CACHE.read_text())) if code == FAILED and CACHE.exists() else []
    if not 0 < len(failed) <= MOST:
        return code
    print(f"\n{len(failed)} failed: once more, alone", flush=True)
    code = pytest("-n", "0", *failed)
    if code == 0:
        print("\nUNSTABLE: failed beside other tests, passed alone:", *failed, sep="\n  ", flush=True)
    return code


def pytest(*arguments: str) -> int:
    """Its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
