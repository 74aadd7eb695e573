"""A kind of system that a third party brings: one file in a folder. Quick, and complete enough for every command."""

import json
import sys
from types import ModuleType

import pytest
from pydantic import TypeAdapter

import drkeeper.systems
from drkeeper.cli.root import run
from drkeeper.drill_apart import conclude
from drkeeper.drill_process import carry_out
from drkeeper.drill_request import Order

KIND = '''
"""Protects `folder/data`; heartbeats stand in `folder/beat`."""
import shutil
from contextlib import contextmanager
from datetime import datetime, UTC
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from drkeeper.errors import LoadFailed, SystemUnreachable
from drkeeper.facts import Check, Facts
from drkeeper.heartbeat import Heartbeat
from drkeeper.systems import Stream


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: Path = Field(description="where")
    password: SecretStr | None = Field(None, description="unused")


class Frozen:
    tools = {"cp": "9"}

    def __init__(self, data, folder):
        self.as_of = datetime.now(UTC)
        self._data = data
        self._folder = folder

    def streams(self):
        yield Stream(name="data", chunks=iter([self._data]), size_hint_bytes=len(self._data), restore_hint="cat > data")

    def facts(self):
        return Facts(exact={"size": len(self._data)})

    @property
    def findings(self):
        noticed = self._folder / "noticed"
        return (Check.model_validate_json(noticed.read_text()),) if noticed.exists() else ()


class FileSystem:
    kind = "file"

    def __init__(self, name, options):
        self.name = name
        self._folder = options.folder
        self._data = options.folder / "data"

    def probe(self):
        there = self._folder.is_dir()
        yield Check(subject="folder", verdict="passed" if there else "failed", remedy="make it")

    @contextmanager
    def freeze(self):
        try:
            data = self._data.read_bytes()
        except OSError as error:
            raise SystemUnreachable(f"no data in {self._folder.name}") from error
        yield Frozen(data, self._folder)

    def facts(self, witness=None):
        wrong = (self._folder / "wrong").exists()
        return Facts(exact={"size": -1 if wrong else self._data.stat().st_size})

    def is_empty(self):
        return not self._data.exists()

    def preflight(self, record):
        yield Check(subject="disk", verdict="passed")

    def load(self, record, streams, staging):
        if (self._folder / "full").exists():
            raise LoadFailed("the disk is full")
        (self._folder / staging).write_bytes(b"".join(streams.read("data")))

    def switch(self, record, staging):
        staged = self._folder / staging
        if staged.exists():
            staged.replace(self._data)

    @property
    def holds(self):
        return (self._folder / "hold").exists()

    def release(self):
        (self._folder / "hold").unlink(missing_ok=True)

    def verify(self, record, streams):
        same = b"".join(streams.read("data")) == self._data.read_bytes()
        yield Check(subject="bytes", verdict="passed" if same else "failed")

    def difference(self, record, streams):
        yield f"-{self._data.stat().st_size if self._data.exists() else 0}"
        yield f"+{streams.size_bytes('data')}"

    def undelivered(self, record):
        return (self._folder / "send").exists()

    def deliver(self, record, streams):
        if (self._folder / "away").exists():
            raise SystemUnreachable("the other side is away")
        with (self._folder / "sent").open("ab") as sent:
            sent.write(b"".join(streams.read("data"))[:5] + b"\\n")
        return "sent"

    def new_ids(self, record, streams):
        yield "1", "2", "data"

    def discard(self, staging):
        (self._folder / staging).unlink(missing_ok=True)

    def beat(self, mark):
        if not self._folder.is_dir():
            raise SystemUnreachable(f"no folder {self._folder.name}")
        (self._folder / "beat").write_text(mark.model_dump_json())

    def newest_beat(self):
        file = self._folder / "beat"
        return Heartbeat.model_validate_json(file.read_text()) if file.exists() else None


def open_system(name, options):
    return FileSystem(name, options)
'''


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder for sys.path with the kind's distribution in it, as an installer leaves it."""
    site = tmp_path_factory.mktemp("site")
    information = site / "drkeeper_file-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: drkeeper-file\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[drkeeper.systems]\nfile = drkeeper_file\n")
    (site / "drkeeper_file.py").write_text(KIND)
    return site


class CommandLine:
    """Two files, their policy, and `drkeeper` run in this process."""

    def __init__(self, folder, capfd):
        self.folder = folder
        self._capfd = capfd
        self.policy_file = folder / "drkeeper.yaml"

    def write_policy(self, more=""):
        for name in ("first", "second"):
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name / "data").write_text(f"{name} " * 1000)
        self.policy_file.write_text(
            "version: 1\n"
            "name: files\n"
            "systems:\n"
            f"  second: {{kind: file, folder: {self.folder}/second}}\n"
            f"  first: {{kind: file, folder: {self.folder}/first}}\n"
            "applications:\n"
            "  both: {order: [first, second]}\n"
            "vault:\n"
            "  lease: 5s\n"
            "  regions:\n"
            f"    here: {{url: {self.folder}/here}}\n"
            f"    there: {{url: {self.folder}/there}}\n"
            f"{more}"
        )

    def run(self, *words, code=0):
        """Output and errors of a command that must end with `code`."""
        self._capfd.readouterr()
        ended = run(["--policy", str(self.policy_file), *words])
        said = self._capfd.readouterr()
        assert ended == code, f"exit {ended}, not {code}\n{said.out}\n{said.err}"
        return said

    def json(self, *words, code=0):
        said = self.run(*words, "-o", "json", code=code)
        assert said.out, said.err
        return json.loads(said.out)

    def data(self, name):
        return (self.folder / name / "data").read_text()

    def lose(self, *names):
        for name in names or ("first", "second"):
            (self.folder / name / "data").unlink()


@pytest.fixture
def cli(tmp_path, capfd, site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    drkeeper.systems.kind_names.cache_clear()
    drkeeper.systems.load_kind.cache_clear()
    line = CommandLine(tmp_path, capfd)
    line.write_policy()
    line.run("init")
    yield line
    sys.modules.pop("drkeeper_file", None)
    drkeeper.systems.kind_names.cache_clear()
    drkeeper.systems.load_kind.cache_clear()


class FolderServer:
    """The sandbox of the kind `file`."""

    kind = "file"
    process_ids = ()
    port = 0

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.folder, self.options = folder, {"folder": folder}

    def stop(self):
        """Nothing runs."""


def rehearsed_here(order, _environment, progress, stop):
    """A drill without the process of its own, for those that are about what is drilled: it takes half a second."""
    order = TypeAdapter(Order).validate_json(TypeAdapter(Order).dump_json(order))
    return conclude(json.loads(json.dumps(carry_out(order, progress, stop))), order.request)


@pytest.fixture
def drills(cli, monkeypatch):
    """The command line, with a sandbox for its kind, and one point."""
    monkeypatch.setattr("drkeeper.drilling.run_apart", rehearsed_here)
    module = ModuleType("drkeeper.sandbox.file")
    module.start = FolderServer
    monkeypatch.setitem(sys.modules, module.__name__, module)
    cli.run("backup")
    return cli
