"""Ends a command with all that it started when its time is over, or when the process that started it is gone.

A program of its own, run by its path; `drkeeper.command` starts it before the command. Its stdin is a pipe whose other
end the starter alone has open, and through which come words: the command's process group, and the moment up to which it
may run, by the clock that also runs while a process is stopped and the machine sleeps. A moment that is no number means
that the guard is over. No word in time (the starter is paused, or has lost what it held) or the end of the pipe (it was
killed): the command gets SIGTERM, and SIGKILL before that moment.
"""

import math
import os
import select
import signal
import struct
import sys
import time
from contextlib import suppress

WORD = struct.Struct("qd")
OVER = WORD.pack(0, math.nan)
ENDED = 3  # our exit code where we ended the command
POLL_SECONDS = 0.1


def main(grace_seconds: float) -> int:
    """Wait for word, until there is none in time."""
    group, deadline = 0, math.inf
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # these are for the command; what becomes of the starter, the pipe tells
    while now() < deadline - grace_seconds:
        if not select.select([0], [], [], POLL_SECONDS)[0]:
            continue
        block = os.read(0, 1 << 16)  # whole words: a pipe does not cut what is written at once
        if not block:
            deadline = min(deadline, now() + grace_seconds)
            break
        group, deadline = WORD.unpack(block[-WORD.size :])
        if math.isnan(deadline):
            return 0
    if not group:
        return 0  # the command did not start
    end_group(group, deadline)
    return ENDED


def end_group(group: int, deadline: float) -> None:
    """SIGTERM to a process group, and SIGKILL at the deadline to what is left of it."""
    with suppress(ProcessLookupError):
        if now() < deadline:
            os.killpg(group, signal.SIGTERM)
            os.killpg(group, signal.SIGCONT)  # one that is stopped would not hear it
        while now() < deadline:
            os.killpg(group, 0)
            time.sleep(POLL_SECONDS / 4)
        os.killpg(group, signal.SIGKILL)


def now() -> float:
    """The same for all processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
