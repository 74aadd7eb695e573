"""Commands that are killed in their midst, in processes that need no start of their own."""

import os
import signal
import subprocess
import sys

DRIVER = """
import os, signal, sys
import obstore, pycurl, structlog
from drkeeper import artifacts, wiring
from drkeeper.cli import failback, failover, interrupt, progress, root
from drkeeper.failover import prepare, reconciling, switch

perform, copy_all = switch.Switch.perform, reconciling.copy_all
for line in sys.stdin:
    what, left, *words = line.split()
    left = [int(left)]
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)

        def strike():
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        def struck(self, step):
            strike()
            perform(self, step)

        def cut_off(copier, wanted):
            for outcome in copy_all(copier, wanted):
                strike()
                yield outcome

        if what == "step":
            switch.Switch.perform = struck
        else:
            reconciling.copy_all = cut_off
        os._exit(root.run(words))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Imports once, and has no thread: each command runs in a fork, and is killed before a step, or after some copies."""


class Killer:
    """Runs commands that are killed."""

    def __init__(self, platform):
        self._platform = platform
        self._driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            env={**os.environ, **platform.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def killed_before(self, step, *words):
        """Whether the command was killed before its step of that number, from 0; else it ended well."""
        return self._killed("step", step, words)

    def killed_after_copies(self, count, *words):
        """Whether it was killed once so many objects, and one more, had been brought back."""
        return self._killed("copies", count, words)

    def _killed(self, what, count, words):
        line = (what, str(count), "--policy", str(self._platform.policy_file), *words, "--yes")
        self._driver.stdin.write(" ".join(line) + "\n")
        self._driver.stdin.flush()
        code = int(self._driver.stdout.readline())
        self._platform.forget_leases()
        assert code in {0, -signal.SIGKILL}
        return code != 0

    def end(self):
        self._driver.communicate()
        assert self._driver.returncode == 0
