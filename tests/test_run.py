"""Tests that fail are run once more, alone; what fails twice fails."""

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")
PASSES_AT_ITS_SECOND_TRY = """
from pathlib import Path

def test_second(tmp_path):
    seen = Path(__file__).with_name("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""


def run(folder, **files):
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, RUN, "-p", "no:randomly", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_what_passes_alone_passes_and_is_named(tmp_path):
    done = run(tmp_path, unstable=PASSES_AT_ITS_SECOND_TRY, sound="def test_sound(): pass\n")
    assert done.returncode == 0
    assert "UNSTABLE" in done.stdout
    assert done.stdout.rstrip().endswith("test_unstable.py::test_second")


def test_what_fails_twice_fails(tmp_path):
    done = run(tmp_path, broken="def test_broken(): assert False\n")
    assert done.returncode == 1
    assert "once more, alone" in done.stdout
    assert "UNSTABLE" not in done.stdout


def test_where_many_fail_nothing_is_tried_again(tmp_path):
    done = run(tmp_path, broken="\n".join(f"def test_{number}(): assert False" for number in range(6)) + "\n")
    assert done.returncode == 1
    assert "once more, alone" not in done.stdout
