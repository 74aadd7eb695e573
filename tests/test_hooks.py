"""Whoever is to be told is told, within bounds, and gets to know no secret."""

import socket
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.failover.listener import Program, http_listener

from drkeeper.errors import Interrupted, PolicyInvalid
from drkeeper.hooks import Hook, HookFailed, call
from drkeeper.policy import load_policy
from drkeeper.throttle import stopped_by

MESSAGE = {"event": "failover", "phase": "after", "system": "modèles"}


def python(script, **more):
    return Hook(command=(sys.executable, "-c", script), **more)


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path / "program")


def test_a_command_gets_the_message_on_its_standard_input(program):
    call(Hook(**program.hook), MESSAGE)
    assert [each["message"] for each in program.told()] == [MESSAGE]


def test_a_command_gets_nothing_of_our_environment_that_it_does_not_name(program, monkeypatch):
    monkeypatch.setenv("BUCKET_SECRET", "hunter2")
    monkeypatch.setenv("CHANNEL", "#ops")
    call(Hook(**program.hook, environment=("CHANNEL",)), MESSAGE)
    environment = program.told()[0]["environment"]
    assert environment["CHANNEL"] == "#ops"
    assert "PATH" in environment
    assert "BUCKET_SECRET" not in environment


def test_no_shell_reads_the_arguments(tmp_path):
    file = tmp_path / "made"
    call(Hook(command=("true", f"; touch {file}", f"$(touch {file})")), MESSAGE)
    assert not file.exists()


def test_a_command_that_reads_nothing_holds_nobody_up():
    call(Hook(command=("true",)), {"text": "x" * 1_000_000})


def test_a_command_that_fails_says_how_and_why():
    with pytest.raises(HookFailed, match=r"^hook python\S* exited with 3$") as failed:
        call(python("import sys; print('the queue is full', file=sys.stderr); sys.exit(3)"), MESSAGE)
    assert failed.value.said == "the queue is full"


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path):
    file = tmp_path / "child"
    hook = Hook(command=("sh", "-c", f"sleep 60 & echo $! > {file}; wait"), timeout=timedelta(seconds=0.5))
    started = time.monotonic()
    with pytest.raises(HookFailed, match=r"took longer than 0\.5 s and was ended"):
        call(hook, MESSAGE)
    assert time.monotonic() - started < 5
    state = Path(f"/proc/{file.read_text()}/stat")
    assert not state.exists() or ") Z " in state.read_text()


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(HookFailed, match="hook no-such-program is not installed"):
        call(Hook(command=("/nowhere/no-such-program", "--password=x")), MESSAGE)


def test_a_program_that_is_none_is_a_hook_that_failed(tmp_path):
    program = tmp_path / "no-interpreter-is-named"
    program.write_text("echo hello")
    program.chmod(0o755)
    with pytest.raises(HookFailed, match="hook no-interpreter-is-named cannot be run: Exec format error"):
        call(Hook(command=(str(program),)), MESSAGE)


def test_a_signal_ends_the_waiting():
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    with stopped_by(stop), pytest.raises(Interrupted):
        call(python("import time; time.sleep(60)"), MESSAGE)
    assert time.monotonic() - started < 5


def test_a_url_is_posted_to():
    with http_listener() as (url, received):
        call(Hook(url=f"{url}/hooks/T0/B0", allow_http=True, token="let-me-in"), MESSAGE)
    path, headers, message = received[0]
    assert (path, message) == ("/hooks/T0/B0", MESSAGE)
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer let-me-in"


@pytest.mark.parametrize("status", [500, 404, 302])
def test_any_answer_but_a_good_one_is_a_failure_and_the_address_stays_secret(status):
    with (
        http_listener(status, location="http://127.0.0.1:1/elsewhere") as (url, received),
        pytest.raises(HookFailed, match=f"answered {status}") as failed,
    ):
        call(Hook(url=f"{url}/services/s3cr3t", allow_http=True), MESSAGE)
    assert len(received) == 1
    assert "s3cr3t" not in str(failed.value)


def test_a_server_that_is_silent_is_given_its_time_only():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/s3cr3t"
        started = time.monotonic()
        with pytest.raises(HookFailed, match="did not answer") as failed:
            call(Hook(url=url, allow_http=True, timeout=timedelta(seconds=0.5)), MESSAGE)
    assert time.monotonic() - started < 5
    assert "s3cr3t" not in str(failed.value)


# --- in a policy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("{}", "give one of command, url and exec"),
        ("{command: [a], url: 'https://x'}", "give one of command, url and exec"),
        ("{command: notify.sh}", "expected a list"),
        ("{command: []}", "expected at least 1 of them"),
        ("{url: 'http://x'}", "the url has no TLS; say allow_http: true where that is meant"),
        ("{url: 'ftp://x'}", "expected an address such as https://hooks.example/drkeeper"),
        ("{url: 'https://x', environment: [A]}", "environment goes with a command"),
        ("{command: [a], token: '${env:TOKEN}'}", "token, ca_certificate and allow_http go with a url"),
        ("{url: 'https://x', token: s3cr3t}", "a secret stands in a policy by reference only"),
        ("{url: 'https://x', timeout: soon}", "expected a duration such as 4h"),
        ("{url: 'https://x', timeuot: 5s}", 'did you mean "timeout"?'),
        ("{url: 'https://user:s3cr3t@x'}", "a URL here holds a password"),
    ],
)
def test_a_hook_that_makes_no_sense_is_told_with_its_line(tmp_path, hook, said):
    with pytest.raises(PolicyInvalid) as invalid:
        load_policy(written(tmp_path, hook), {"TOKEN": "t"})
    assert said in str(invalid.value)
    assert "drkeeper.yaml:8: failover.hooks[0]" in str(invalid.value)
    assert "s3cr3t" not in str(invalid.value)


def test_hooks_are_read_in_order_and_shown_without_their_token(tmp_path):
    hooks = "{url: 'https://hooks.example/x', token: '${env:TOKEN}', timeout: 5s}\n    - {command: [notify, --now]}"
    policy = load_policy(written(tmp_path, hooks), {"TOKEN": "hunter2"})
    assert [hook.label for hook in policy.failover.hooks] == ["https://hooks.example", "notify"]
    assert policy.failover.hooks[0].timeout == timedelta(seconds=5)
    assert policy.failover.hooks[1].timeout == timedelta(seconds=30)
    assert policy.shown()["failover"]["hooks"][0]["token"] == "${env:TOKEN}"
    assert "hunter2" in policy.secret_values()


def test_a_wrong_hook_shows_no_input():
    with pytest.raises(ValidationError) as invalid:
        Hook(url="http://x/s3cr3t")
    assert "s3cr3t" not in str(invalid.value)


def written(folder, hook):
    file = folder / "drkeeper.yaml"
    file.write_text(
        "version: 1\nname: shop\nsystems:\n  cache: {kind: redis, host: localhost}\n"
        f"vault: {{regions: {{here: {{url: {folder}/vault}}}}}}\nfailover:\n  hooks:\n    - {hook}\n"
    )
    return file


PAIRS = """\
hooks:
  - {systems: [cash], before: {command: [a]}}
  - {before: {exec: {system: cluster, namespace: n, pod: p, command: [a]}}}
  - {after: {exec: {system: cache, namespace: n, selector: app=a, command: [a]}}}
  - {after: {exec: {system: cache, namespace: n, selector: app=a, pod: p, command: [a]}}}
"""


def test_hooks_around_freezes_and_steps_name_systems_that_are_there(tmp_path):
    file = written(tmp_path, "{command: [a]}")
    file.write_text(file.read_text() + PAIRS)
    with pytest.raises(PolicyInvalid) as invalid:
        load_policy(file, {})
    lines = str(invalid.value).splitlines()
    assert [line.partition("drkeeper.yaml:")[2] for line in lines] == [
        '10: hooks[0].systems[0]: unknown system "cash"; did you mean "cache"?',
        '11: hooks[1].before.exec.system: unknown system "cluster"; expected one of: cache',
        '12: hooks[2].after.exec.system: "cache" must be of kind kubernetes, and is redis',
        "13: hooks[3].after.exec: give one of pod and selector",
    ]
