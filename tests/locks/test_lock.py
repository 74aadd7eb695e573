"""`drkeeper lock`: one writer at a time, with an end, whatever happens to who holds it."""

import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import seaweed
from drkeeper.errors import Interrupted, LeaseHeld, LeaseLost, VaultUnreachable
from drkeeper.locks import hold_lock
from drkeeper.throttle import stopped_by
from drkeeper.vault.store import StoreOptions, open_store
from drkeeper.vault.vault import Vault

DRKEEPER = [sys.executable, "-m", "drkeeper"]
TICKING = "while :; do date +%s.%N >> {}; sleep 0.05; done"


@pytest.fixture
def vault(tmp_path):
    return Vault.create({"here": open_store(StoreOptions(url=str(tmp_path / "here")))})


@pytest.fixture
def policy(tmp_path, vault):
    return write_policy(tmp_path, f"{{url: {tmp_path / 'here'}}}")


def write_policy(folder, region):
    file = folder / "policy.yaml"
    file.write_text(
        "version: 1\nname: platform\n"
        "systems: {features: {kind: redis, host: 127.0.0.1, port: 1}}\n"
        f"vault: {{regions: {{here: {region}}}}}\n"
    )
    return file


def argv(policy, *arguments):
    return [*DRKEEPER, "lock", "--policy", str(policy), *map(str, arguments)]


def lock(policy, *arguments, **more):
    more = {"stdin": subprocess.DEVNULL, "text": True, "capture_output": True, "timeout": 60, **more}
    return subprocess.run(argv(policy, *arguments), check=False, **more)


@contextmanager
def locking(policy, *arguments):
    """The same, going on; killed where the test does not see it end."""
    process = subprocess.Popen(
        argv(policy, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def alive(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition, seconds=20):
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it never came about"
        time.sleep(0.02)


# --- the command ---


def test_the_command_has_our_stdin_stdout_stderr_and_exit_code_and_knows_its_lock(policy):
    script = "echo $DRKEEPER_LOCK $DRKEEPER_FENCING_TOKEN; cat; echo complaint >&2; exit 7"
    done = lock(policy, "registry", "--", "sh", "-c", script, stdin=None, input="from stdin\n")
    assert done.returncode == 7
    name, token = done.stdout.splitlines()[0].split()
    assert name == "registry"
    assert int(token) >= 1
    assert done.stdout.splitlines()[1] == "from stdin"
    assert done.stderr == "complaint\n"


def test_tokens_grow_from_holder_to_holder(policy):
    tokens = [int(lock(policy, "registry", "--", "sh", "-c", "echo $DRKEEPER_FENCING_TOKEN").stdout) for _ in range(3)]
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_run_ends_as_in_a_shell(policy, program, code):
    done = lock(policy, "registry", "--", program)
    assert done.returncode == code
    assert program in done.stderr


def test_a_file_that_is_no_program_of_any_kind_ends_as_in_a_shell(policy, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x00\x01")
    program.chmod(0o755)
    assert lock(policy, "registry", "--", program).returncode == 126


def test_a_command_that_a_signal_ended_ends_as_in_a_shell(policy):
    assert lock(policy, "registry", "--", "sh", "-c", "kill -KILL $$").returncode == 137


def test_a_name_that_is_none_is_refused(policy):
    done = lock(policy, "../points", "--", "true")
    assert done.returncode == 2
    assert "a name is made of" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_once_and_the_command_decides(policy, number):
    script = f"""if True:
        import signal, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, [{number}])
        print("ready", flush=True)
        signal.sigwait([{number}])
        print("caught", flush=True)
        print(signal.sigtimedwait([{number}], 0.3))
        sys.exit(5)"""
    with locking(policy, "registry", "--", sys.executable, "-c", script) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "caught\n"
        said, _ = process.communicate(timeout=20)
        assert (process.returncode, said) == (5, "None\n")


def test_at_a_terminal_the_command_reads_from_it_and_gets_ctrl_c(policy):
    # It waits in short sleeps: Python's input() may miss a signal that comes just before it begins to wait.
    asks = """if True:
        import time
        print('name?', flush=True)
        print('hello', input(), flush=True)
        while True:
            time.sleep(0.1)"""
    process_id, terminal = at_a_terminal(argv(policy, "registry", "--", sys.executable, "-c", asks))
    try:
        read_until(terminal, b"name?")
        os.write(terminal, b"Ada\n")
        read_until(terminal, b"hello Ada")
        os.write(terminal, b"\x03")
        said = read_until(terminal, b"KeyboardInterrupt")
        _, status = os.waitpid(process_id, 0)
        assert os.waitstatus_to_exitcode(status) == 130
        assert said.count(b"Traceback") == 1
    finally:
        os.close(terminal)


def test_at_a_terminal_ctrl_z_gives_it_back_and_the_command_goes_on_later(policy):
    # A shell with jobs: what it prints after the stop, it can print only with the terminal back.
    job = shlex.join(argv(policy, "registry", "--", "bash", "-c", "echo began; read x; echo got $x"))
    process_id, terminal = at_a_terminal(["bash", "-c", f"set -m; {job}; echo stopped; fg >/dev/null; echo over"])
    try:
        read_until(terminal, b"began")
        os.write(terminal, b"\x1a")
        read_until(terminal, b"stopped")
        os.write(terminal, b"it\n")
        read_until(terminal, b"got it")
        read_until(terminal, b"over")
    finally:
        os.close(terminal)
        os.waitpid(process_id, 0)


def at_a_terminal(words):
    process_id, terminal = pty.fork()
    if process_id == 0:
        os.execvp(words[0], words)  # noqa: S606 - argv, as everywhere
    return process_id, terminal


def read_until(terminal, wanted):
    said = b""
    while wanted not in said:
        assert select.select([terminal], [], [], 60)[0], f"nothing more after {said!r}"
        said += os.read(terminal, 4096)
    return said


# --- taking turns ---


def test_who_waits_is_told_who_holds_it_and_since_when_and_comes_next(policy):
    with locking(policy, "registry", "--", "sh", "-c", "echo ready; read line") as first:
        assert first.stdout.readline() == "ready\n"
        with locking(policy, "registry", "--", "echo", "second") as second:
            told = second.stderr.readline()
            assert f"process {first.pid} holds the lease lock-registry since 20" in told
            assert "sh under drkeeper on" in told
            first.communicate("\n", timeout=20)
            assert second.communicate(timeout=20)[0] == "second\n"


def test_who_does_not_wait_is_refused_with_the_holders_name(policy):
    with locking(policy, "registry", "--", "sh", "-c", "echo ready; read line") as first:
        assert first.stdout.readline() == "ready\n"
        done = lock(policy, "registry", "--wait", "0s", "--", "touch", "never")
        assert done.returncode == 11
        assert f"process {first.pid} holds the lease lock-registry" in done.stderr
        assert lock(policy, "another", "--wait", "0s", "--", "true").returncode == 0


def test_waiting_ends_at_once_when_it_is_told_to(vault):
    stop = threading.Event()
    with hold_lock(vault, "registry", ttl_seconds=30), stopped_by(stop):
        threading.Timer(0.3, stop.set).start()
        started = time.monotonic()
        with pytest.raises(Interrupted), hold_lock(vault, "registry", ttl_seconds=30, wait_seconds=60):
            pass
        assert time.monotonic() - started < 5


# --- holders that come to grief ---


def test_killed_with_9_its_command_ends_with_all_that_it_started_and_the_lock_is_free_after_its_time(policy, vault):
    script = "sleep 600 & echo $! $$; wait"
    with locking(policy, "registry", "--ttl", "3s", "--", "bash", "-c", script) as process:
        started = [int(each) for each in process.stdout.readline().split()]
        assert all(map(alive, started))
        process.kill()
        eventually(lambda: not any(map(alive, started)), seconds=3)
    with pytest.raises(LeaseHeld), hold_lock(vault, "registry", ttl_seconds=3):
        pass
    with hold_lock(vault, "registry", ttl_seconds=3, wait_seconds=10):
        pass


@pytest.mark.parametrize("prefix", ["", "trap '' TERM; "], ids=["orderly", "deaf to SIGTERM"])
def test_while_it_is_stopped_its_command_is_ended_before_others_may_start(policy, vault, tmp_path, prefix):
    ticks = tmp_path / "ticks"
    script = prefix + TICKING.format(ticks)
    with locking(policy, "registry", "--ttl", "3s", "--", "bash", "-c", script) as process:
        eventually(ticks.exists)
        process.send_signal(signal.SIGSTOP)
        with hold_lock(vault, "registry", ttl_seconds=30, wait_seconds=20):
            others_began_at = time.time()
            time.sleep(0.3)
            assert float(ticks.read_text().split()[-1]) < others_began_at
            process.send_signal(signal.SIGCONT)
            _, said = process.communicate(timeout=20)
        assert process.returncode == 11
        assert "the lock registry could not be renewed in time, so bash was ended" in said


def test_when_the_vault_goes_away_the_command_is_ended_before_others_may_start(tmp_path):
    ticks = tmp_path / "ticks"
    with seaweed.running_seaweed(tmp_path / "server") as server:
        options = server.store_options(server.make_bucket())
        vault = Vault.create({"here": open_store(options)})
        secret = options.secret_key.get_secret_value()
        region = f"{{url: {options.url}, endpoint: {options.endpoint}, access_key: {options.access_key}, "
        policy = write_policy(tmp_path, region + "secret_key: '${env:SECRET}', allow_http: true}")
        os.environ["SECRET"] = secret
        try:
            with locking(policy, "registry", "--ttl", "6s", "--", "bash", "-c", TICKING.format(ticks)) as process:
                eventually(ticks.exists)
                server_is_stopped(server, signal.SIGSTOP)
                stopped_at = time.time()
                _, said = process.communicate(timeout=60)
                server_is_stopped(server, signal.SIGCONT)
        finally:
            del os.environ["SECRET"]
        assert process.returncode == 11
        assert "could not be renewed in time" in said
        assert float(ticks.read_text().split()[-1]) < stopped_at + 6
        with hold_lock(vault, "registry", ttl_seconds=6, wait_seconds=20):
            pass


def server_is_stopped(server, number):
    port = server.endpoint.rpartition(":")[2]
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"-s3.port={port}".encode() in words:
            os.kill(int(each.parent.name), number)
            return
    raise AssertionError("no such server")


def test_without_the_process_beside_the_command_we_end_it_ourselves(policy, vault, tmp_path):
    ticks, leases = tmp_path / "ticks", tmp_path / "here" / "leases"
    with locking(policy, "registry", "--ttl", "3s", "--", "bash", "-c", TICKING.format(ticks)) as process:
        eventually(lambda: ticks.exists() and guards_of(process.pid))
        os.kill(guards_of(process.pid)[0], signal.SIGKILL)
        leases.rename(tmp_path / "aside")
        leases.write_text("no folder: nothing can be renewed")
        away_at = time.time()
        _, said = process.communicate(timeout=20)
        assert process.returncode == 11, said
        assert float(ticks.read_text().split()[-1]) < away_at + 3


def guards_of(process_id):
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return [int(each) for each in children if b"_command_guard.py" in Path(f"/proc/{each}/cmdline").read_bytes()]


# --- regions ---


class Away:
    """A store whose calls fail while `away` is set, and are counted."""

    def __init__(self, inner):
        self.inner, self.away, self.struck, self.url = inner, False, 0, inner.url

    def __getattr__(self, name):
        def call(*arguments):
            if self.away:
                self.struck += 1
                raise VaultUnreachable("away")
            return getattr(self.inner, name)(*arguments)

        return call if callable(getattr(self.inner, name)) else getattr(self.inner, name)


@pytest.fixture
def regions(tmp_path):
    return {name: Away(open_store(StoreOptions(url=str(tmp_path / name)))) for name in ("near", "far")}


@pytest.fixture
def wide(regions):
    return Vault.create(regions)


def test_who_comes_when_the_first_region_is_gone_finds_the_lock_held(wide, regions):
    with hold_lock(wide, "registry", ttl_seconds=60, holder="the first one"):
        regions["near"].away = True
        with pytest.raises(LeaseHeld, match="the first one holds"), hold_lock(wide, "registry", ttl_seconds=60):
            pass
        assert regions["near"].struck >= 1
        regions["near"].away = False


def test_who_comes_when_the_first_region_is_back_finds_the_lock_held(wide, regions):
    regions["near"].away = True
    with hold_lock(wide, "registry", ttl_seconds=60, holder="the first one"):
        regions["near"].away = False
        with pytest.raises(LeaseHeld, match="the first one holds"), hold_lock(wide, "registry", ttl_seconds=60):
            pass
    with hold_lock(wide, "registry", ttl_seconds=60):
        pass


def test_tokens_grow_whichever_regions_answer(wide, regions):
    tokens = []
    for away in (None, "far", "far", "near", None, "near", None):
        if away:
            regions[away].away = True
        with hold_lock(wide, "registry", ttl_seconds=60) as held:
            tokens.append(held.token)
        for each in regions.values():
            each.away = False
    assert tokens == sorted(set(tokens))


def test_losing_the_region_that_counts_is_losing_the_lock_and_losing_another_is_not(wide, regions):
    with hold_lock(wide, "registry", ttl_seconds=2) as held:
        regions["far"].away = True
        time.sleep(2.2)
        held.check()
        regions["far"].away = False
    holding = hold_lock(wide, "registry", ttl_seconds=2, wait_seconds=5)
    held = holding.__enter__()
    regions["near"].away = True
    time.sleep(1.8)
    assert held.remaining_seconds == 0
    regions["near"].away = False
    with pytest.raises(LeaseLost):
        holding.__exit__(None, None, None)


def test_without_any_region_there_is_no_lock(wide, regions):
    for each in regions.values():
        each.away = True
    with pytest.raises(VaultUnreachable), hold_lock(wide, "registry", ttl_seconds=60, wait_seconds=60):
        pass


def test_what_was_done_under_a_lock_counts_although_the_vault_is_away_at_its_end(wide, regions):
    with hold_lock(wide, "registry", ttl_seconds=60):
        for each in regions.values():
            each.away = True
    assert regions["near"].struck >= 1
