"""Remotes that refuse, vanish, move on or never answer: no capture fails by them, and no commit is lost.

A commit that could not be pushed is checked with git's own `bundle verify`, fetched from the bundle, and pushed later.
"""

import os
import shutil
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Thread

import pytest
from tests.kubernetes_system.git_servers import (
    AS_OF,
    FILES,
    HOUR,
    Repository,
    bare,
    certificate,
    export,
    fill,
    git,
    https_server,
    ssh_program,
    wait_for_tip,
)

from drkeeper.errors import SystemUnreachable, VerificationFailed
from drkeeper.systems._kubernetes.bundle import push_bundle
from drkeeper.systems._kubernetes.git_commit import ATTEMPTS, Exported, open_export
from drkeeper.systems._kubernetes.git_remote import PushRefused, Remote
from drkeeper.systems._kubernetes.options import GitOptions

TOKEN = "glpat-not-a-real-one"
ONE = {"namespaces/shop/configmap/one.yaml": b"n: 1\n"}
TWO = {**FILES, "namespaces/shop/configmap/two.yaml": b"n: 2\n"}


@pytest.fixture
def repository(tmp_path) -> Repository:
    return bare(tmp_path)


def fetched(bundle: Iterable[bytes] | None, into: Repository, tmp_path: Path) -> str:
    """What real git makes of a bundle: verified, then fetched to the branch `kept`."""
    assert bundle is not None
    path = tmp_path / "commit.bundle"
    path.write_bytes(b"".join(bundle))
    into.git("bundle", "verify", str(path))
    into.git("fetch", str(path), "+main:kept")
    into.checked()
    return into.head("kept")


def kept(repository: Repository, files: dict[str, bytes], hours: int = 0) -> Exported:
    """An export whose remote goes away after its tip was read."""
    with open_export(GitOptions(url=repository.url)) as going:
        wait_for_tip(going)
        away = repository.path.with_name("away")
        repository.path.rename(away)
        fill(going, files)
        done = going.finish(as_of=AS_OF + hours * HOUR)
        away.rename(repository.path)
    assert (done.changed, done.pushed) == (True, False)
    return done


class TestRefusals:
    def test_what_a_hook_says_is_told_and_the_commit_is_pushed_once_it_may(self, repository, tmp_path):
        export(GitOptions(url=repository.url), FILES)
        repository.hook(
            "pre-receive", f"touch {tmp_path}/struck\necho 'Only the release bot may push to main' >&2\nexit 1\n"
        )
        done = export(GitOptions(url=repository.url), TWO, hours=1)
        assert (tmp_path / "struck").exists()
        assert (done.changed, done.pushed) == (True, False)
        assert "pre-receive hook declined" in done.error
        assert "Only the release bot may push to main" in done.error
        assert "protected branch" in done.hint
        assert repository.commits() == 1
        assert fetched(done.bundle, repository, tmp_path) == done.commit
        with pytest.raises(PushRefused, match="release bot"):
            push_bundle(GitOptions(url=repository.url), done.bundle)
        (repository.path / "hooks/pre-receive").unlink()
        assert push_bundle(GitOptions(url=repository.url), done.bundle) == done.commit
        assert repository.files() == TWO

    def test_escape_sequences_of_a_hook_reach_no_terminal(self, repository):
        repository.hook("pre-receive", "printf '\\033[2Jgone\\n' >&2\nexit 1\n")
        done = export(GitOptions(url=repository.url), FILES)
        assert "gone" in done.error
        assert "\033" not in done.error

    def test_a_wrong_token_is_told_without_being_repeated(self, repository):
        with https_server(repository.path.parent, TOKEN) as server:
            options = GitOptions(url=f"{server.url}/r.git", token="hunter2", ca=server.ca)
            done = export(options, FILES)
        assert server.requests
        assert not done.pushed
        assert "refuses our credentials" in done.error
        assert "git.token" in done.hint
        assert "hunter2" not in repr(done)

    def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(self, repository):
        with https_server(repository.path.parent, TOKEN) as server:
            done = export(GitOptions(url=f"{server.url}/r.git", token=TOKEN), FILES)
        assert server.requests == []
        assert "certificate" in done.error.lower()
        assert not done.pushed

    def test_a_repository_that_is_not_there_over_https(self, repository):
        with https_server(repository.path.parent, TOKEN) as server:
            done = export(GitOptions(url=f"{server.url}/other.git", token=TOKEN, ca=server.ca), FILES)
        assert "no repository at" in done.error


class TestRaces:
    def test_somebody_pushed_after_we_read_the_tip(self, repository):
        export(GitOptions(url=repository.url), FILES)
        with open_export(GitOptions(url=repository.url)) as going:
            wait_for_tip(going)
            theirs = repository.somebody_pushes("README.md")
            fill(going, TWO)
            done = going.finish(as_of=AS_OF + HOUR)
        assert (done.pushed, done.summary) == (True, "1 added, 0 changed, 0 removed")
        assert repository.git("rev-parse", "main^") == theirs
        assert set(repository.files()) == {*TWO, "README.md"}

    def test_somebody_removed_our_files_meanwhile_and_gets_them_back(self, repository):
        export(GitOptions(url=repository.url), FILES)
        with open_export(GitOptions(url=repository.url)) as going:
            wait_for_tip(going)
            fill(going, FILES)  # the tip has them all, so none of them is kept in memory
            empty = repository.git("mktree", stdin=b"")
            commit = repository.git("commit-tree", empty, "-p", "main", "-m", "tidy up")
            repository.git("update-ref", "refs/heads/main", commit)
            unchanged = going.finish(as_of=AS_OF + HOUR)
        assert not unchanged.changed  # compared with the tip that was read; the next export sees it
        assert export(GitOptions(url=repository.url), FILES, hours=2).summary == "4 added, 0 changed, 0 removed"
        assert repository.files() == FILES

    def test_files_that_the_first_tip_had_and_the_next_one_lacks_are_there_all_the_same(self, repository):
        export(GitOptions(url=repository.url), FILES)
        with open_export(GitOptions(url=repository.url)) as going:
            wait_for_tip(going)
            fill(going, TWO)
            empty = repository.git("mktree", stdin=b"")
            commit = repository.git("commit-tree", empty, "-p", "main", "-m", "tidy up")
            repository.git("update-ref", "refs/heads/main", commit)
            done = going.finish(as_of=AS_OF + HOUR)
        assert (done.pushed, done.summary) == (True, "5 added, 0 changed, 0 removed")
        assert repository.files() == TWO
        repository.checked()

    def moving(self, repository: Repository, tmp_path: Path, times: int) -> None:
        """The branch moves on while our push is being received, as often as said."""
        repository.hook(
            "pre-receive",
            f"""
            count=$(cat {tmp_path}/count 2>/dev/null || echo 0)
            [ "$count" -ge {times} ] && exit 0
            echo $((count + 1)) > {tmp_path}/count
            unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
            export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x
            git update-ref refs/heads/main $(git commit-tree 'main^{{tree}}' -p main -m "race $count")
            """,
        )

    def test_the_branch_moves_on_while_our_push_is_being_received(self, repository, tmp_path):
        repository.somebody_pushes("README.md")
        self.moving(repository, tmp_path, 2)
        done = export(GitOptions(url=repository.url), FILES)
        assert (tmp_path / "count").read_text().strip() == "2"
        assert done.pushed, done.error
        assert repository.commits() == 4
        assert set(repository.files()) == {*FILES, "README.md"}

    def test_a_branch_that_always_moves_on_is_given_up_and_the_commit_kept(self, repository, tmp_path):
        repository.somebody_pushes("README.md")
        self.moving(repository, tmp_path, 100)
        done = export(GitOptions(url=repository.url), FILES)
        assert (tmp_path / "count").read_text().strip() == str(ATTEMPTS)
        assert not done.pushed
        assert f"moved on {ATTEMPTS} times" in done.error
        assert fetched(done.bundle, repository, tmp_path) == done.commit


class TestVanishing:
    def test_a_server_that_dies_while_it_receives(self, repository, tmp_path):
        export(GitOptions(url=repository.url), FILES)
        repository.hook("pre-receive", f"touch {tmp_path}/struck\nkill -9 $PPID\n")
        done = export(GitOptions(url=repository.url), TWO, hours=1)
        assert (tmp_path / "struck").exists()
        assert (done.changed, done.pushed) == (True, False)
        assert "cannot be reached" in done.error
        assert repository.commits() == 1
        assert fetched(done.bundle, repository, tmp_path) == done.commit

    def test_a_server_that_dies_when_it_has_our_commit_but_has_not_said_so(self, repository, tmp_path):
        export(GitOptions(url=repository.url), FILES)
        repository.hook(
            "reference-transaction", f'[ "$1" = committed ] && touch {tmp_path}/struck && kill -9 $PPID\nexit 0\n'
        )
        done = export(GitOptions(url=repository.url), TWO, hours=1)
        assert (tmp_path / "struck").exists()
        assert (done.pushed, done.error, done.bundle) == (True, "", None)
        assert repository.head() == done.commit

    def test_an_ssh_connection_that_breaks_midway(self, repository, tmp_path, monkeypatch):
        programs = ssh_program(
            tmp_path,
            script='case "$last" in *receive-pack*) head -c 900 >/dev/null; exit 255;; esac\nexec sh -c "$last"',
        )
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        many = {f"namespaces/n/configmap/{n}.yaml": os.urandom(2000) for n in range(300)}
        done = export(GitOptions(url=f"git@host:{repository.path}", timeout_seconds=5), many)
        assert "receive-pack" in (tmp_path / "argv").read_text()
        assert not done.pushed
        assert done.error
        assert fetched(done.bundle, repository, tmp_path) == done.commit


class TestSilence:
    def test_an_ssh_that_never_answers_is_ended_in_time(self, repository, tmp_path, monkeypatch):
        monkeypatch.setattr("drkeeper.systems._kubernetes.git_process._END_SECONDS", 1.0)
        programs = ssh_program(tmp_path, script="trap '' TERM\nsleep 60 & wait\nwait")
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        begun = time.monotonic()
        done = export(GitOptions(url="git@host:r.git", timeout_seconds=1), FILES)
        assert time.monotonic() - begun < 20
        assert "ssh gave no answer within 1 s" in done.error
        assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
        assert fetched(done.bundle, repository, tmp_path) == done.commit

    def test_what_ssh_complains_about_is_told(self, tmp_path, monkeypatch):
        programs = ssh_program(tmp_path, script="echo 'Host key verification failed.' >&2; exit 255")
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        done = export(GitOptions(url="git@host:r.git"), FILES)
        assert "Host key verification failed." in done.error
        assert "git.known_hosts" in done.hint

    @pytest.mark.parametrize("speaks_tls", [False, True])
    def test_a_peer_that_takes_the_connection_and_is_mute(self, tmp_path, speaks_tls):
        import ssl

        ca, key = certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ca, key)
        taken = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    taken.append(context.wrap_socket(connection, server_side=True) if speaks_tls else connection)
                except OSError:
                    return

        with socket.create_server(("127.0.0.1", 0)) as listening:
            Thread(target=serve, daemon=True).start()
            begun = time.monotonic()
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/r.git"
            done = export(GitOptions(url=url, ca=ca, timeout_seconds=1), FILES)
            assert time.monotonic() - begun < 15
            assert len(taken) == 1
            listening.shutdown(socket.SHUT_RDWR)
            taken[0].close()
        assert not done.pushed
        assert "timed out" in done.error

    def test_a_git_that_stops_in_the_middle_of_a_push(self, repository, tmp_path):
        repository.hook("pre-receive", f"touch {tmp_path}/struck\nsleep 30\n")
        begun = time.monotonic()
        done = export(GitOptions(url=repository.url, timeout_seconds=2), FILES)
        assert (tmp_path / "struck").exists()
        assert time.monotonic() - begun < 25
        assert not done.pushed
        assert "gave no answer within 2 s" in done.error

    def test_a_port_where_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        done = export(GitOptions(url=f"https://127.0.0.1:{port}/r.git", timeout_seconds=5), FILES)
        assert "cannot be reached" in done.error


class TestLater:
    def test_a_remote_that_was_away_from_the_start_gets_everything(self, repository, tmp_path):
        away = repository.path.with_name("away")
        repository.path.rename(away)
        done = export(GitOptions(url=repository.url), FILES)
        assert (done.changed, done.pushed) == (True, False)
        elsewhere = bare(tmp_path, "elsewhere.git")
        assert fetched(done.bundle, elsewhere, tmp_path) == done.commit
        assert elsewhere.files("kept") == FILES
        with pytest.raises(SystemUnreachable):
            push_bundle(GitOptions(url=repository.url), done.bundle)
        away.rename(repository.path)
        repository.somebody_pushes("README.md")
        commit = push_bundle(GitOptions(url=repository.url), done.bundle)
        assert commit == repository.head()
        assert set(repository.files()) == {*FILES, "README.md"}
        assert repository.git("log", "-1", "--format=%s%n%aI", "main").split("\n") == [
            "drkeeper: 4 added, 0 changed, 0 removed",
            AS_OF.isoformat(),
        ]
        repository.checked()

    def test_an_empty_repository_takes_the_kept_commit_itself(self, repository, tmp_path):
        done = kept(repository, FILES)
        assert push_bundle(GitOptions(url=repository.url), done.bundle) == done.commit == repository.head()

    def test_a_branch_that_did_not_move_on_gets_the_very_commit(self, repository, tmp_path):
        export(GitOptions(url=repository.url), FILES)
        done = kept(repository, TWO, hours=1)
        assert fetched(done.bundle, repository, tmp_path) == done.commit
        assert push_bundle(GitOptions(url=repository.url), done.bundle) == done.commit
        assert repository.files() == TWO

    def test_a_branch_that_moved_on_gets_our_folder_upon_its_tip(self, repository, tmp_path):
        export(GitOptions(url=repository.url), FILES)
        done = kept(repository, TWO, hours=1)
        theirs = repository.somebody_pushes("apps/a.yaml")
        commit = push_bundle(GitOptions(url=repository.url), done.bundle)
        assert commit == repository.head() != done.commit
        assert repository.git("rev-parse", "main^") == theirs
        assert set(repository.files()) == {*TWO, "apps/a.yaml"}
        assert repository.git("log", "-1", "--format=%s", "main") == "drkeeper: 1 added, 0 changed, 0 removed"
        repository.checked()

    def test_the_later_of_two_within_a_second_is_no_old_one(self, repository):
        away = repository.path.with_name("away")
        export(GitOptions(url=repository.url), FILES)
        repository.path.rename(away)
        done = export(GitOptions(url=repository.url), TWO, hours=1 / 7200)
        away.rename(repository.path)
        repository.somebody_pushes("README.md")
        assert push_bundle(GitOptions(url=repository.url), done.bundle) == repository.head()
        assert set(repository.files()) == {*TWO, "README.md"}
        assert push_bundle(GitOptions(url=repository.url), done.bundle) == repository.head()

    def test_pushing_it_twice_changes_nothing(self, repository):
        done = kept(repository, FILES)
        first = push_bundle(GitOptions(url=repository.url), done.bundle)
        repository.somebody_pushes("README.md")
        assert push_bundle(GitOptions(url=repository.url), done.bundle) == first
        assert repository.commits() == 2

    @pytest.mark.parametrize("then", ["as it is", "with a person's commit on top"])
    def test_an_old_one_never_brings_an_old_state_back(self, repository, then):
        export(GitOptions(url=repository.url), FILES)
        old = kept(repository, ONE, hours=1)
        new = export(GitOptions(url=repository.url), TWO, hours=2)
        if then != "as it is":
            repository.somebody_pushes("README.md")
        head = repository.head()
        assert push_bundle(GitOptions(url=repository.url), old.bundle) == new.commit
        assert repository.head() == head

    def test_a_newer_commit_for_another_cluster_does_not_stand_in_its_way(self, repository):
        done = kept(repository, FILES)
        export(GitOptions(url=repository.url, folder="clusters/us"), ONE, hours=2)
        push_bundle(GitOptions(url=repository.url), done.bundle)
        assert set(repository.files()) == {*FILES, *(f"clusters/us/{name}" for name in ONE)}

    def test_over_https_with_a_branch_that_moved_on(self, repository):
        repository.git("config", "http.receivepack", "true")
        export(GitOptions(url=repository.url), FILES)
        done = kept(repository, TWO, hours=1)
        repository.somebody_pushes("README.md")
        with https_server(repository.path.parent, TOKEN) as server:
            push_bundle(GitOptions(url=f"{server.url}/r.git", token=TOKEN, ca=server.ca), done.bundle)
        assert set(repository.files()) == {*TWO, "README.md"}

    @pytest.mark.parametrize("how", ["cut off", "a bit", "another file", "nothing"])
    def test_a_damaged_one_is_refused_before_anything_is_pushed(self, repository, how):
        done = kept(repository, FILES)
        assert done.bundle is not None
        data = bytearray(b"".join(done.bundle))
        match how:
            case "cut off":
                del data[-30:]
            case "a bit":
                data[len(data) // 2] ^= 1
            case "another file":
                data = bytearray(b"---\nkind: Secret\n")
            case "nothing":
                data.clear()
        with pytest.raises(VerificationFailed, match="bundle"):
            push_bundle(GitOptions(url=repository.url), [bytes(data)])
        assert repository.git("for-each-ref") == ""

    def test_a_bundle_can_be_read_more_than_once_and_always_the_same(self, repository):
        done = kept(repository, FILES)
        assert done.bundle is not None
        assert b"".join(done.bundle) == b"".join(done.bundle)


class TestOddRemotes:
    def test_a_repository_with_other_object_names_is_refused_clearly(self, tmp_path):
        git("init", "-q", "--bare", "-b", "main", "--object-format=sha256", str(tmp_path / "r.git"), cwd=tmp_path)
        done = export(GitOptions(url=str(tmp_path / "r.git")), FILES)
        assert not done.pushed
        assert "sha256" in done.error

    def test_a_missing_git_program_is_named(self, repository, tmp_path, monkeypatch):
        (tmp_path / "empty").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        done = export(GitOptions(url=repository.url), FILES)
        assert "git is not installed" in done.error

    def test_a_tip_that_is_too_large_without_a_filter_is_refused_with_advice(self, repository, monkeypatch):
        monkeypatch.setattr("drkeeper.systems._kubernetes.git_remote.FETCH_LIMIT_BYTES", 50_000)
        repository.somebody_pushes("noise", os.urandom(60_000).hex())
        with pytest.raises(SystemUnreachable, match="larger than") as raised:
            Remote(GitOptions(url=repository.url)).tip()
        assert "uploadpack.allowFilter" in raised.value.hint
        repository.git("config", "uploadpack.allowFilter", "true")
        assert Remote(GitOptions(url=repository.url)).tip() is not None

    def test_a_folder_that_is_no_repository(self, tmp_path):
        (tmp_path / "r.git").mkdir()
        done = export(GitOptions(url=str(tmp_path / "r.git")), FILES)
        assert "does not appear to be a git repository" in done.error
        shutil.rmtree(tmp_path / "r.git")
