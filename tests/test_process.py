import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drkeeper.errors import CaptureFailed, ToolMissing
from drkeeper.process import Pace, read_output


def python(code):
    return [sys.executable, "-c", code]


def test_every_byte_arrives_in_blocks_of_the_size_asked_for():
    code = "import sys\nfor n in range(1000): sys.stdout.write(str(n) * 1000)"
    blocks = list(read_output(python(code), block_bytes=1 << 16))
    assert b"".join(blocks) == b"".join(str(n).encode() * 1000 for n in range(1000))
    assert {len(block) for block in blocks[:-1]} == {1 << 16}


def test_the_last_block_is_held_back_until_the_program_has_exited_well():
    blocks = read_output(python("import sys; sys.stdout.write('half'); sys.stderr.write('disk on fire'); sys.exit(3)"))
    with pytest.raises(CaptureFailed, match="exited with 3: disk on fire"):
        next(blocks)


def test_a_program_that_is_killed_midway_is_a_failed_capture():
    code = "import os, sys; sys.stdout.write('x' * 100000); sys.stdout.flush(); os.kill(os.getpid(), 9)"
    with pytest.raises(CaptureFailed, match="was ended by SIGKILL"):
        list(read_output(python(code), block_bytes=1000))


def test_a_program_that_gives_nothing_for_too_long_is_ended():
    began = time.monotonic()
    with pytest.raises(CaptureFailed, match="gave nothing for 1 s"):
        list(read_output(python("import time; print('x', flush=True); time.sleep(60)"), stall_seconds=1))
    assert time.monotonic() - began < 20


def test_a_slow_reader_is_no_stall():
    blocks = read_output(python("print('x' * 300000)"), block_bytes=1000, stall_seconds=0.5)
    total = len(next(blocks))
    time.sleep(1)
    assert total + sum(map(len, blocks)) == 300001


def test_leaving_early_ends_the_program_and_its_children():
    code = "import subprocess, time; c = subprocess.Popen(['sleep', '60']); print(f'{c.pid:09}', flush=True); "
    blocks = read_output(python(code + "print('x' * 100, flush=True); time.sleep(60)"), block_bytes=10)
    child = Path("/proc") / next(blocks).decode().lstrip("0").strip()
    assert child.exists()
    blocks.close()
    deadline = time.monotonic() + 10
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_that_is_not_installed_is_named():
    with pytest.raises(ToolMissing, match="no-such-program"):
        list(read_output(["no-such-program"]))


def test_standard_error_of_any_length_does_not_block_the_program():
    code = "import sys; sys.stderr.write('e' * 1_000_000); print('done')"
    assert b"".join(read_output(python(code))) == b"done\n"


def test_ending_the_children_wakes_up_whoever_waits_for_them():
    code = """
import threading
from drkeeper.process import end_children, running
with running(["sleep", "60"]) as process:
    waiter = threading.Thread(target=process.wait)
    waiter.start()
    end_children()
    waiter.join(timeout=10)
    print(process.returncode)
"""  # in a process of its own: this one has servers for children
    done = subprocess.run(python(code), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == str(-signal.SIGTERM)


def test_blocks_are_small_for_a_slow_reader_and_large_for_a_quick_one():
    lines = python("import sys\nfor _ in range(40): sys.stdout.write('x' * 100_000)")
    quick = [len(block) for block in read_output(lines)]
    assert max(quick) == Pace.MOST_BYTES
    slow = []
    for block in read_output(lines):
        slow.append(len(block))
        time.sleep(len(block) / 12e6)
    assert max(slow) == Pace.LEAST_BYTES
    assert sum(slow) == sum(quick) == 4_000_000
