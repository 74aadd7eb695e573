"""A platform of two regions loses one, and comes back in the other by the commands of the runbook, as they stand.

Everything is real: the demo's servers, and the SDKs of MLflow and Feast, which fill the platform. What came back is
asked by drkeeper alone; `tests/test_demo.py` has the SDKs say whether it is the same.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.test_docs import code_blocks

from drkeeper import catalog
from drkeeper.demo.sdks import started_both
from drkeeper.demo.stage import ARTIFACTS, EAST, NEW_IN_WEST, S3_EAST, WEST, opened, pass_proxies
from drkeeper.policy import load_policy
from drkeeper.wiring import open_vault

PROTECT = "drkeeper init; drkeeper replicate setup --yes; drkeeper beat; drkeeper backup"


def shell(platform, script):
    """What the commands said on stdout; each must end well."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=platform.folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def platform(tmp_path):
    """In both regions, with features and models that are trained on them; protected."""
    pass_proxies()
    with opened(tmp_path / "regions", keep=False) as platform:
        with started_both(platform.folder) as sdks:
            platform.start(EAST + WEST)
            platform.make_database()
            sdks.open(platform)
            sdks.seed()
            sdks.features.ask("go_on", days=1)
        platform.write_policy()
        shell(platform, PROTECT)
        yield platform


@pytest.mark.slow
def test_a_platform_comes_back_in_the_other_region_by_the_commands_of_the_runbook(platform):
    page = platform.folder / "page.md"
    page.write_text(shell(platform, "drkeeper runbook show region-lost"))
    look, recover, protect, lead_back = code_blocks(page, "sh")
    platform.lose_east()
    looked = shell(platform, look)
    assert "does not answer" in looked
    assert "not durable" in looked
    platform.start(NEW_IN_WEST)
    platform.write_policy()

    said = shell(platform, recover)
    held, asked = re.findall(r"^(\d+) of (\d+) statements on use hold$", said, re.MULTILINE)[-1]
    assert held == asked
    assert re.search(r"replica +0 +19 +settled", shell(platform, "drkeeper relocate status tracking"))

    assert "the replica is primary" in shell(platform, protect)
    vault = open_vault(load_policy(platform.policy_file))
    assert sorted(catalog.holders(vault).values()) == [("east", "west")] * 2

    platform.start([S3_EAST])
    assert f"s3://{ARTIFACTS}" in shell(platform, lead_back)
