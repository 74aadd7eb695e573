"""The command line as a whole: help, options, errors and exit codes, in real processes."""

import ast
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time

import click
import pytest

from drkeeper import errors
from drkeeper.cli.errors import guarded, hide_secrets, wants_json
from drkeeper.cli.interrupt import stoppable
from drkeeper.cli.root import COMMANDS, SUMMARIES, root, run
from drkeeper.cli.settings import Settings

SECRET = "correct-horse-battery"


def drkeeper(*arguments, cwd=None, stdin=subprocess.DEVNULL, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "drkeeper", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def here(monkeypatch, capfd, tmp_path):
    """Run the command in this process, in a folder of its own: quicker, for what a process adds nothing to."""
    monkeypatch.chdir(tmp_path)

    def here(*arguments, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        code = run(list(arguments))
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return here


@pytest.fixture
def policy_file(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        "version: 1\n"
        "name: test\n"
        "systems:\n"
        "  cache: {kind: redis, host: localhost, password: '${env:PW}', rate: 5MB/s}\n"
        "vault:\n"
        f"  regions: {{primary: {{url: {tmp_path}/vault}}}}\n"
    )
    return file


# --- help ------------------------------------------------------------------------------------------------


def test_help_fits_a_screen_and_names_every_command():
    shown = drkeeper("--help")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    for group, commands in COMMANDS.items():
        assert f"{group}:" in lines
        for name in commands:
            assert re.search(rf"^  {name} ", shown.stdout, re.MULTILINE), name


def test_help_is_shown_where_no_command_is_given():
    assert drkeeper().stdout == drkeeper("--help").stdout


def test_help_comes_at_once():
    """In CPU seconds, of which a free machine needs no more wall seconds; a busy one would fail for its own reasons."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        drkeeper("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) <= 0.3


def test_help_imports_no_command_and_nothing_heavy():
    script = (
        "import sys; from drkeeper.cli.root import run; run(['--help']);"
        "print([m for m in sys.modules if m.startswith('drkeeper.cli.') or m.split('.')[0] in "
        "('rich', 'pydantic', 'structlog', 'obstore', 'ruamel', 'psycopg', 'asyncio')], file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(ast.literal_eval(shown.stderr)) == [
        "drkeeper.cli.errors",
        "drkeeper.cli.root",
        "drkeeper.cli.settings",
    ]


@pytest.mark.parametrize("name", list(SUMMARIES))
def test_every_command_has_help_with_examples_that_fits_a_screen(name):
    context = click.Context(root(), info_name="drkeeper")
    command = root().get_command(context, name)
    assert command is not None
    assert command.name == name
    text = command.get_help(click.Context(command, info_name=f"drkeeper {name}", parent=context))
    examples = text.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    assert all("drkeeper " in line and line.count("drkeeper ") <= 2 for line in examples)
    assert len(text.splitlines()) <= 50
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


def test_the_version_is_shown():
    from drkeeper import __version__

    assert drkeeper("--version").stdout == f"drkeeper {__version__}\n"


# --- usage errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bakup"], 'no command "bakup"; did you mean "backup"?'),
        (["xyzzy"], "see them with `drkeeper --help`"),
        (["--polcy", "x"], "no such option"),
        (["policy", "show", "--output", "xml"], "'xml' is not one of 'yaml', 'json'"),
        (["completion"], "missing argument"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_usage(here, arguments, said):
    shown = here(*arguments)
    assert shown.returncode == 2
    assert said in shown.stderr
    assert shown.stderr.startswith("error: ")
    assert shown.stdout == ""


# --- errors ----------------------------------------------------------------------------------------------


def test_an_error_is_a_message_a_hint_and_an_exit_code(tmp_path):
    shown = drkeeper("policy", "validate", "--policy", "nowhere.yaml", cwd=tmp_path)
    assert shown.returncode == 2
    assert shown.stderr.splitlines() == [
        "error: there is no policy at nowhere.yaml",
        "hint: write a starter policy with `drkeeper init`, or name one with `--policy FILE`",
    ]


def test_an_error_is_json_where_output_is_json(tmp_path):
    shown = drkeeper("policy", "show", "-o", "json", "--policy", "nowhere.yaml", cwd=tmp_path)
    assert shown.returncode == 2
    told = json.loads(shown.stderr)
    assert told["error"] == "there is no policy at nowhere.yaml"
    assert told["exit_code"] == 2
    assert "drkeeper init" in told["hint"]


def test_several_problems_are_counted_and_stand_one_a_line(here, policy_file):
    policy_file.write_text(policy_file.read_text().replace("host", "hots").replace("name:", "nmae:"))
    shown = here("--policy", str(policy_file), "policy", "validate", PW=SECRET)
    lines = shown.stderr.splitlines()
    assert lines[0] == f"error: {len(lines) - 1} problems"
    assert all(line.startswith(f"{policy_file}:") for line in lines[1:])


@pytest.mark.parametrize(
    "error",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DrkeeperError)],
)
def test_each_of_our_errors_leads_to_its_own_exit_code(error, capsys):
    def fail():
        raise error("what is the case", hint="what to do")

    assert guarded(fail, Settings(), []) == error.exit_code
    assert capsys.readouterr().err == "error: what is the case\nhint: what to do\n"


def test_an_unexpected_error_is_short_and_its_traceback_is_for_verbose(capsys):
    def fail():
        raise RuntimeError(f"it broke near {SECRET}")

    assert guarded(fail, Settings(secrets=[SECRET]), []) == 1
    said = capsys.readouterr().err
    assert said.splitlines()[0] == "error: unexpected RuntimeError: it broke near ********"
    assert "Traceback" not in said

    assert guarded(fail, Settings(secrets=[SECRET], verbose=True), []) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert SECRET not in said


def test_an_interrupt_is_130(capsys):
    def fail():
        raise KeyboardInterrupt

    assert guarded(fail, Settings(), []) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_sigterm_ends_a_command_through_its_context_managers(tmp_path):
    script = (
        "import sys, time\n"
        "from drkeeper.cli.errors import guarded\n"
        "from drkeeper.cli.settings import Settings\n"
        "def work():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        while True: time.sleep(0.05)\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "sys.exit(guarded(work, Settings(), []))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "cleaned up\n"
        assert process.wait(timeout=20) == 130


def test_the_first_signal_asks_and_the_second_ends():
    script = (
        "import sys, time\n"
        "from drkeeper.cli.interrupt import stoppable\n"
        "with stoppable() as stop:\n"
        "    print('ready', flush=True)\n"
        "    while not stop.wait(0.05): pass\n"
        "    print('asked', flush=True)\n"
        "    while True: time.sleep(0.05)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]


def test_a_signal_is_heard_by_who_holds_the_lock_of_what_it_sets():
    with stoppable() as stop:
        with stop._cond:  # as the main thread does for a moment, whenever it begins or ends to wait
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            assert not stop.is_set()
        assert stop.wait(20)


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m drkeeper policy schema | head -c 10; exit ${{PIPESTATUS[0]}}"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert shown.stdout == '{\n  "$schem'[:10]
    assert shown.stderr == ""
    assert shown.returncode in {0, 141}


def test_secrets_are_hidden_longest_first():
    assert hide_secrets("a secret-and-more secret", ["secret", "", "secret-and-more"]) == "a ******** ********"


@pytest.mark.parametrize("arguments", [["-o", "json"], ["-ojson"], ["--output=json"], ["x", "--output", "json"]])
def test_a_wish_for_json_is_seen(arguments):
    assert wants_json(arguments)
    assert not wants_json([*arguments[:-1], "table"] if len(arguments) > 1 else ["-otable"])


# --- policy and global options ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
def test_global_options_work_before_and_after_the_command(here, policy_file, before):
    options, command = ["--policy", str(policy_file)], ["policy", "validate"]
    shown = here(*(options + command if before else command + options), PW=SECRET)
    assert shown.returncode == 0, shown.stderr
    assert "policy test is valid; frozen in order: cache" in shown.stdout


def test_quiet_shows_no_more_than_results(here, policy_file):
    assert here("policy", "validate", "-q", "--policy", str(policy_file), PW=SECRET).stdout == ""


def test_the_policy_is_named_by_the_environment_too(here, policy_file):
    assert here("policy", "validate", PW=SECRET, DRKEEPER_POLICY=str(policy_file)).returncode == 0


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_policy_show_shows_references_and_no_secret(here, policy_file, output):
    shown = here("policy", "show", "-o", output, "--policy", str(policy_file), PW=SECRET)
    assert shown.returncode == 0, shown.stderr
    assert "${env:PW}" in shown.stdout
    assert SECRET not in shown.stdout + shown.stderr
    from ruamel.yaml import YAML

    data = json.loads(shown.stdout) if output == "json" else YAML(typ="safe").load(shown.stdout)
    assert data["systems"]["cache"]["port"] == 6379
    assert data["systems"]["cache"]["rate"] == "5MB/s"


def test_what_policy_show_prints_is_a_policy_again(here, policy_file, tmp_path):
    shown = here("policy", "show", "--policy", str(policy_file), PW=SECRET)
    again = tmp_path / "again.yaml"
    again.write_text(shown.stdout)
    assert here("policy", "show", "--policy", str(again), PW=SECRET).stdout == shown.stdout


def test_policy_schema_prints_a_schema(here):
    assert json.loads(here("policy", "schema").stdout)["title"] == "drkeeper policy"


@pytest.mark.parametrize(
    ("shell", "said"), [("bash", "complete -o nosort"), ("zsh", "#compdef drkeeper"), ("fish", "complete --no-files")]
)
def test_a_completion_script_is_printed(here, shell, said):
    shown = here("completion", shell)
    assert shown.returncode == 0
    assert said in shown.stdout
    assert "_DRKEEPER_COMPLETE" in shown.stdout


def test_commands_complete_without_being_imported():
    shown = drkeeper(_DRKEEPER_COMPLETE="bash_complete", COMP_WORDS="drkeeper p", COMP_CWORD="1")
    assert shown.stdout.split() == ["plain,points", "plain,plan", "plain,prune", "plain,policy"]


# --- init ------------------------------------------------------------------------------------------------


def test_init_writes_a_starter_policy_that_is_valid(here, tmp_path):
    shown = here("init")
    assert shown.returncode == 0, shown.stderr
    assert "wrote drkeeper.yaml" in shown.stdout
    checked = here("policy", "validate", MLFLOW_DB_PASSWORD=SECRET)
    assert checked.returncode == 0, checked.stderr
    assert "frozen in order: mlflow-db, online-store" in checked.stdout


def test_init_creates_the_vault_of_a_policy_that_is_there(here, policy_file, tmp_path):
    before = policy_file.read_text()
    shown = here("init", "--policy", str(policy_file), PW=SECRET)
    assert shown.returncode == 0, shown.stderr
    assert "created the vault of test, not encrypted, in: primary" in shown.stdout
    assert (tmp_path / "vault" / "vault.json").exists()
    assert policy_file.read_text() == before

    again = here("init", "--policy", str(policy_file), PW=SECRET)
    assert again.returncode == 4, again.stderr


def test_init_that_cannot_write_says_why(here, tmp_path):
    shown = here("init", "--policy", "no/such/folder/p.yaml")
    assert shown.returncode == 2
    assert "cannot be written: No such file or directory" in shown.stderr


# --- asking ----------------------------------------------------------------------------------------------

ASK = "import sys; from drkeeper.cli.errors import guarded; from drkeeper.cli.settings import Settings; from drkeeper.cli.prompt import confirm; sys.exit(guarded(lambda: (confirm('Overwrite?', yes=False), print('done'))[1], Settings(), []))"


def test_without_a_terminal_nothing_is_asked_and_nothing_is_done():
    shown = subprocess.run(
        [sys.executable, "-c", ASK], input="y\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert shown.returncode == 4
    assert "hint: give --yes" in shown.stderr
    assert shown.stdout == ""


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("n", 4), ("", 4)])
def test_on_a_terminal_only_yes_goes_on(answer, code):
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", ASK], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
        ) as process:
            os.write(ours, f"{answer}\n".encode())
            output = process.communicate(timeout=60)[0]
        assert process.returncode == code
        assert (output == b"done\n") == (code == 0)
    finally:
        os.close(ours)
        os.close(theirs)
