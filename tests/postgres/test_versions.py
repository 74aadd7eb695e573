"""Which of the client programs on a machine is taken."""

from pathlib import Path

import pytest

from drkeeper.errors import ToolMissing
from drkeeper.systems._postgres.tools import find_tools


def tools_folder(folder: Path, version: str) -> Path:
    folder.mkdir()
    for program in ("pg_dump", "pg_restore"):
        (folder / program).write_text(f'#!/bin/sh\necho "{program} (PostgreSQL) {version}"\n')
        (folder / program).chmod(0o755)
    return folder


def test_the_lowest_version_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tools_folder(tmp_path / v, v) for v in ("14.9", "99.1", "17.2", "18beta1")]
    monkeypatch.setattr("drkeeper.systems._postgres.tools._places", lambda: iter(folders))
    assert find_tools(None, minimum_major=16).version == "17.2"
    assert find_tools(None, minimum_major=18).version == "18beta1"
    with pytest.raises(ToolMissing, match=r"100 or newer are needed; found: 14\.9 in .*, 99\.1 in "):
        find_tools(None, minimum_major=100)
    with pytest.raises(ToolMissing, match="found: none"):
        find_tools(tmp_path, minimum_major=1)
