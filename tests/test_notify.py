"""Whoever a policy names is told how work ended, gets to know no secret, and can fail nothing by being away."""

import json
import socket
import threading
import time
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
from pydantic import SecretStr, ValidationError
from tests.failover.listener import http_listener

import report_examples
from drkeeper._policy.recovery_sections import NotifyPolicy
from drkeeper.cli.root import run
from drkeeper.errors import BackupPartial, Interrupted, VaultUnreachable
from drkeeper.facts import Check
from drkeeper.jobs import jobs
from drkeeper.notify import HIDDEN, tell, tell_drill, tell_restore, telling, text_of
from drkeeper.policy import load_policy
from drkeeper.throttle import stopped_by


def listener(url, form="json", **more):
    return NotifyPolicy(url=SecretStr(url), form=form, allow_http=True, **more)


def policy(*listeners, secrets=()):
    return SimpleNamespace(name="shop", notify=listeners, secret_values=lambda: tuple(secrets))


def test_the_whole_message_says_what_was_done_and_how_it_ended():
    with http_listener() as (url, received):
        told = policy(listener(f"{url}/hook?token=t"))
        assert tell(told, "backup", "partial", {"point": "3f2a", "error": "db failed"}) == 1
    (path, headers, message), *rest = received
    assert (path, rest, headers["content-type"]) == ("/hook?token=t", [], "application/json")
    assert {key: message[key] for key in ("format", "policy", "work", "outcome")} == {
        "format": 1, "policy": "shop", "work": "backup", "outcome": "partial",
    }  # fmt: skip
    assert message["text"] == "drkeeper: backup of shop is incomplete: db failed (point: 3f2a)"
    assert message["detail"]["point"] == "3f2a"


def test_chats_get_a_text_in_which_nothing_is_markup():
    with http_listener() as (url, received):
        tell(policy(listener(url, "slack")), "drill", "failed", {"error": "<!channel> & co"})
    assert received[0][2] == {"text": "drkeeper: drill of shop FAILED: &lt;!channel&gt; &amp; co"}


@pytest.mark.parametrize(
    ("raised", "paths"),
    [
        (None, ["/ping/1/start?a=b", "/ping/1?a=b"]),
        (VaultUnreachable("away"), ["/ping/1/start?a=b", "/ping/1/fail?a=b"]),
        (BackupPartial("db failed"), ["/ping/1/start?a=b", "/ping/1/fail?a=b"]),
        (RuntimeError("unexpected"), ["/ping/1/start?a=b", "/ping/1/fail?a=b"]),
    ],
)
def test_a_service_that_waits_for_pings_hears_of_the_start_and_of_the_end(raised, paths):
    with http_listener() as (url, received):
        told = policy(listener(f"{url}/ping/1?a=b", "ping"))
        with pytest.raises(type(raised)) if raised else nullcontext(), telling(told, "backup"):
            if raised:
                raise raised
    assert [path for path, _, _ in received] == paths


def outcomes(received):
    return [(message["work"], message["outcome"], message["detail"]["exit_code"]) for _, _, message in received]


def test_errors_pass_through_and_are_told_with_their_exit_code():
    with http_listener() as (url, received):
        told = policy(listener(url))
        for error in (BackupPartial("x"), VaultUnreachable("x"), Interrupted("x"), KeyError("secret")):
            with pytest.raises(type(error)), telling(told, "backup"):
                raise error
        with telling(told, "backup") as work:
            work.detail["point"] = "3f2a"
    assert outcomes(received) == [
        ("backup", "partial", 3), ("backup", "failed", 10), ("backup", "interrupted", 130), ("backup", "failed", 1),
        ("backup", "ok", 0),
    ]  # fmt: skip
    assert received[3][2]["detail"]["error"] == "KeyError"
    assert received[4][2]["detail"]["point"] == "3f2a"
    assert received[4][2]["detail"]["elapsed_seconds"] >= 0


def test_a_drill_or_restore_that_came_to_its_end_may_still_have_failed():
    with http_listener() as (url, received):
        told = policy(listener(url))
        for example in (report_examples.good(), report_examples.missed()):
            with telling(told, "drill") as work:
                tell_drill(work, example)
        with telling(told, "restore") as work:
            tell_restore(work, ["db"], [Check(subject="db.rows", verdict="failed", severity="error")])
    assert outcomes(received) == [("drill", "ok", 0), ("drill", "failed", 6), ("restore", "failed", 5)]
    assert received[0][2]["detail"]["rto_seconds"] == 43.218
    assert "db.rows" in received[2][2]["text"]


def test_only_those_are_told_who_asked_for_it():
    with http_listener() as (url, received):
        told = policy(listener(f"{url}/drills", on=("drill",)), listener(f"{url}/bad", only_failures=True))
        for work, outcome in (("backup", "ok"), ("drill", "ok"), ("backup", "failed"), ("backup", "started")):
            tell(told, work, outcome)
    assert [path for path, _, _ in received] == ["/drills", "/bad"]


def test_that_work_was_told_to_stop_does_not_keep_it_from_being_told():
    stop = threading.Event()
    stop.set()
    with http_listener() as (url, received), stopped_by(stop):
        assert tell(policy(listener(url)), "backup", "interrupted") == 1
    assert len(received) == 1


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def test_who_cannot_be_told_fails_nothing_and_no_secret_is_logged(capsys):
    with http_listener(status=500) as (url, received), socket.create_server(("127.0.0.1", 0)) as silent:
        bad = [
            listener(f"http://127.0.0.1:{free_port()}/T0KEN"),
            listener(f"{url}/T0KEN"),
            listener(f"http://127.0.0.1:{silent.getsockname()[1]}/T0KEN", timeout=timedelta(seconds=0.3)),
            listener("not-known-here"),
            NotifyPolicy(url=SecretStr("ftp-T0KEN")),
            *(listener(f"https://{host}/T0KEN") for host in ("[::1", "here:port", "hooks.ex\u00e4mple")),
        ]
        started = time.monotonic()
        with telling(policy(*bad), "backup"):
            pass
        assert time.monotonic() - started < 10
        assert len(received) == 1, "the fault was hit"
    said = capsys.readouterr()
    assert (said.out + said.err).count("nobody was told") == len(bad)
    assert "T0KEN" not in said.out + said.err


def test_what_the_policy_holds_secret_is_taken_out_of_what_is_told():
    with http_listener() as (url, received):
        told = policy(listener(url), secrets=["hunter2"])
        tell(told, "backup", "failed", {"error": "cannot log in as u:hunter2", "more": {"list": ["hunter2"]}})
    assert "hunter2" not in json.dumps(received[0][2])
    assert HIDDEN in received[0][2]["detail"]["error"]


def test_an_address_without_tls_must_be_meant():
    with pytest.raises(ValidationError, match="allow_http"):
        NotifyPolicy(url=SecretStr("http://hooks.example/x"))
    with pytest.raises(ValidationError, match="https"):
        NotifyPolicy(url=SecretStr("ftp://hooks.example/x"))


def test_the_text_names_what_went_wrong_first():
    assert text_of("shop", "verify", "ok", {}) == "drkeeper: verify of shop went well"


def test_work_on_the_command_line_and_jobs_of_the_daemon_are_told_of(tmp_path, monkeypatch):
    file = tmp_path / "drkeeper.yaml"
    file.write_text(
        "version: 1\nname: shop\nsystems:\n  cache: {kind: redis, host: 127.0.0.1, port: 1}\n"
        f"vault: {{regions: {{near: {{url: {tmp_path}/near}}}}}}\n"
        "notify: [{url: '${env:HOOK}', allow_http: true}]\nschedules: {prune: '0 3 * * *'}\n"
    )
    with http_listener() as (url, received):
        monkeypatch.setenv("HOOK", url)
        assert run(["--policy", str(file), "backup"]) == 10, "there is no vault"
        for words in (["verify", "--all"], ["replicate"], ["prune", "--yes"]):
            assert run(["--policy", str(file), *words]) == 10
        for words in (["replicate", "--dry-run"], ["prune", "--dry-run"]):
            run(["--policy", str(file), *words])
        with pytest.raises(VaultUnreachable):
            jobs(load_policy(file))["prune"].action(threading.Event())
    works = ("backup", "verify", "replicate", "prune", "prune")
    assert outcomes(received) == [(work, "failed", 10) for work in works], "and a dry run is nothing to tell"
