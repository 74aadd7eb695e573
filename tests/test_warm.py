"""A command that is forked says and does what one that is started does."""

import os
import signal
import subprocess
import sys

import pytest

import warm

POLICY = """\
version: 1
name: told
systems: {features: {kind: redis, host: "${env:HOST_OF_IT}", port: 1}}
vault: {regions: {here: {url: here}}}
"""


@pytest.mark.parametrize("words", [("policy", "show"), ("points",), ("nonsense",)])
def test_it_ends_and_speaks_as_one_that_is_started(words, tmp_path):
    (tmp_path / "drkeeper.yaml").write_text(POLICY)
    place = {"env": {"PATH": os.environ["PATH"], "HOST_OF_IT": "a.example"}, "cwd": tmp_path}
    started = subprocess.run(
        [sys.executable, "-m", "drkeeper", *words],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **place,
    )  # fmt: skip
    forked = warm.run(words, timeout=60, **place)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_it_sees_nothing_of_our_environment(tmp_path, monkeypatch):
    (tmp_path / "drkeeper.yaml").write_text(POLICY)
    monkeypatch.setenv("HOST_OF_IT", "ours.example")
    done = warm.run(("policy", "show"), env={"PATH": os.environ["PATH"]}, timeout=60, cwd=tmp_path)
    assert done.returncode != 0
    assert "HOST_OF_IT" in done.stderr


def test_one_that_goes_on_is_killed_when_its_time_is_over(tmp_path):
    os.mkfifo(tmp_path / "drkeeper.yaml")  # nobody writes into it, so reading it never ends
    process = warm.Process(["points"], dict(os.environ), tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(0.5)
    assert process.poll() is None
    process.kill()
    assert process.wait(30) == process.returncode == -signal.SIGKILL
