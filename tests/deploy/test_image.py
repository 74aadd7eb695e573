"""The image's definition. It is not built here (there is no container runtime): it is read, its installation is carried
out in a virtual environment, and what came of it runs as the image's user, who owns none of it."""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from tests.deploy.containerfile import read_stages

from drkeeper import __version__

ROOT = Path(__file__).parent.parent.parent
CONTAINERFILE = ROOT / "deploy/image/Containerfile"
USER = 65532
BUILD_FOLDER, INSTALLED_FOLDER = "/src", "/opt/drkeeper"
OFFLINE = (  # in the words of pip, and of uv
    *("NewConnectionError", "Could not find a version", "No matching distribution", "Temporary failure"),
    *("Failed to fetch", "error sending request", "dns error"),
)


@pytest.fixture(scope="module")
def stages():
    return read_stages(CONTAINERFILE)


def test_every_file_that_is_copied_exists(stages):
    copied = [each for stage in stages for each in stage.all("COPY") if "from" not in each.options]
    sources = [source for each in copied for source in each.words[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_stages_copy_from_stages_that_come_before(stages):
    for index, stage in enumerate(stages):
        for each in stage.all("COPY"):
            if "from" in each.options:
                assert each.options["from"] in {before.name for before in stages[:index]}


def test_the_base_is_a_name_and_nothing_is_fetched_by_url(stages):
    assert {stage.base for stage in stages} == {"python:3.11-slim-trixie"}
    assert not re.search(r"https?://|curl|wget|ADD ", CONTAINERFILE.read_text())


def test_the_base_has_a_python_that_we_support(stages):
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert re.search(r"python:(3\.\d+)-", stages[-1].base)[1] in supported


def test_the_user_is_a_number_that_is_not_root_and_has_a_name(stages):
    assert [each.text for each in stages[-1].all("USER")] == [f"{USER}:{USER}"]
    created = next(each for each in stages[-1].all("RUN") if each.text.startswith("useradd"))
    assert f"--uid {USER} " in created.text


def test_no_shell_starts_it(stages):
    assert [each.words for each in stages[-1].all("ENTRYPOINT")] == [["drkeeper"]]
    assert not stages[-1].all("CMD")


def test_the_chart_runs_it_as_the_same_user_in_the_same_version():
    helpers = (ROOT / "deploy/chart/templates/_helpers.tpl").read_text()
    assert {int(found) for found in re.findall(r"(?:runAsUser|runAsGroup|fsGroup): (\d+)", helpers)} == {USER}
    chart = yaml.safe_load((ROOT / "deploy/chart/Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert f":{__version__} " in CONTAINERFILE.read_text()


# What a package registry sends takes its time.
INSTALL_SECONDS = 600


@pytest.fixture(scope="module")
def installed(stages):
    """What the build stage leaves, in another place, owned by root and writable by nobody else."""
    if os.geteuid():
        pytest.skip("only root can run things as another user")
    python = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")
    if python is None:
        pytest.skip("no Python of this version that another user could run")
    folder = Path(tempfile.mkdtemp(prefix="drkeeper-image-"))  # where another user may go too
    places = {BUILD_FOLDER: str(folder / "src"), INSTALLED_FOLDER: str(folder / "opt")}
    for each in stages[0].all("COPY"):
        target = Path(_mapped(each.words[-1], places))
        for source in each.words[:-1]:
            _copy(ROOT / source, target, into=each.words[-1].endswith("/"))
    for each in stages[0].all("RUN"):
        command = _with_uv([_mapped(word, places) for word in shlex.split(each.text)])
        command[0] = python if command[0] == "python" else command[0]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode and any(word in done.stderr for word in OFFLINE):
            pytest.skip("no package registry can be reached")
        assert not done.returncode, done.stdout + done.stderr
    shutil.rmtree(places[BUILD_FOLDER])  # it is not in the image
    (folder / "opt/.lock").unlink(missing_ok=True)  # uv's; pip leaves none
    folder.chmod(0o755)
    yield Path(places[INSTALLED_FOLDER])
    shutil.rmtree(folder, ignore_errors=True)


def _with_uv(command):
    """What pip would do, in half the time: uv keeps what it has fetched."""
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None or not command[0].endswith("/bin/pip"):
        return command
    environment = Path(command[0]).with_name("python")
    return [uv, "pip", command[1], "--python", environment, "--link-mode=copy", *command[2:]]


def _mapped(word, places):
    for there, here in places.items():
        word = re.sub(rf"^{there}(?=[/\[]|$)", here, word)
    return word


def _copy(source, target, *, into):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target / source.name if into else target)


@pytest.fixture
def run(installed):
    """Runs a program of the image as its user, who may write below TMPDIR only."""
    scratch = Path(tempfile.mkdtemp(prefix="drkeeper-image-tmp-"))
    os.chown(scratch, USER, USER)
    environment = {"PATH": f"{installed}/bin:/usr/bin:/bin", "TMPDIR": str(scratch), "HOME": str(scratch)}

    def call(*command):
        return subprocess.run(
            command,
            cwd=scratch,
            env=environment,
            user=USER,
            group=USER,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    call.scratch = scratch
    yield call
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_SECONDS)
def test_what_is_installed_runs_as_a_user_who_can_write_nothing_of_it(installed, run):
    writable = [
        file
        for file in installed.rglob("*")
        if not file.is_symlink() and (file.stat().st_mode & stat.S_IWOTH or file.stat().st_uid == USER)
    ]
    assert writable == []
    done = run("drkeeper", "--help")
    assert done.returncode == 0, done.stderr
    assert run("drkeeper", "--version").stdout == f"drkeeper {__version__}\n"


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_SECONDS)
def test_the_programs_of_postgresql_18_are_found(run):
    done = run(
        "python", "-c", "from drkeeper.systems._postgres.tools import find_tools as f; print(f(None, minimum_major=18))"
    )
    assert "version='18" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_SECONDS)
def test_the_libraries_of_a_cluster_are_there(run):
    done = run("python", "-c", "from drkeeper.systems import kubernetes as k; k.open_system('c', k.Options())")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_SECONDS)
def test_a_backup_and_a_drill_work_as_that_user(run):
    """Sandbox servers as source and as target: everything is written below TMPDIR."""
    script = run.scratch / "cycle.py"
    script.write_text(CYCLE)
    done = run("python", str(script))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "drill passed" in done.stdout


CYCLE = """\
import subprocess
from pathlib import Path

import psycopg

from drkeeper.sandbox import start_sandbox

source = start_sandbox("postgres", Path("source"))
try:
    options = source.options
    login = {name: options[name] for name in ("host", "port", "user", "password")}
    with psycopg.connect(dbname="postgres", autocommit=True, **login) as admin:
        admin.execute("CREATE DATABASE mlflow")
    Path("password").write_text(str(options["password"]))
    Path("drkeeper.yaml").write_text(
        f'''
version: 1
name: image
systems:
  db:
    kind: postgres
    host: {options["host"]}
    port: {options["port"]}
    user: {options["user"]}
    password: ${{file:password}}
vault:
  regions:
    here: {{url: {Path("vault").absolute()}}}
'''
    )
    for command in ("init", "check", "beat", "backup", "verify --all --level intact", "drill"):
        subprocess.run(["drkeeper", *command.split()], check=True)
    print("drill passed")
finally:
    source.stop()
"""
