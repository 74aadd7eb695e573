"""Manifests become commits that people would browse, in a repository that others use too."""

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kubernetes_system.git_servers import AS_OF, FILES, Repository, bare, export, git, https_server, ssh_program

from drkeeper.errors import PolicyInvalid
from drkeeper.systems._kubernetes.git_address import Address, parse
from drkeeper.systems._kubernetes.git_commit import open_export
from drkeeper.systems._kubernetes.git_message import message
from drkeeper.systems._kubernetes.git_process import ssh_argv
from drkeeper.systems._kubernetes.git_remote import Remote
from drkeeper.systems._kubernetes.git_tree import FILE_MODE, Changes, NewTrees, grafted, planted
from drkeeper.systems._kubernetes.options import GitOptions
from drkeeper.systems._kubernetes.pack import BLOB, object_id

TOKEN = "glpat-not-a-real-one"
CHANGED = {**FILES, "namespaces/shop/configmap/a.yaml": b"kind: ConfigMap\ndata:\n  a: '2'\n"}


@pytest.fixture
def repository(tmp_path) -> Repository:
    return bare(tmp_path)


class TestCommits:
    def test_the_first_one_makes_the_branch(self, repository):
        done = export(GitOptions(url=repository.url), FILES)
        assert (done.changed, done.pushed, done.error, done.bundle) == (True, True, "", None)
        assert done.summary == "4 added, 0 changed, 0 removed"
        assert done.commit == repository.head()
        assert repository.files() == FILES
        assert repository.commits() == 1
        repository.checked()

    def test_author_time_and_message_follow_from_the_capture(self, repository, tmp_path):
        options = GitOptions(url=repository.url, author="Backup <backup@example.org>", folder="clusters/eu")
        done = export(options, FILES)
        shown = repository.git("log", "-1", "--format=%an <%ae>|%cn <%ce>|%aI|%cI|%s|%(trailers:only)", "main")
        who, committer, authored, committed, subject, trailers = shown.split("|")
        assert who == committer == "Backup <backup@example.org>"
        assert authored == committed == AS_OF.isoformat()
        assert subject == "drkeeper: 4 added, 0 changed, 0 removed"
        assert trailers.split("\n") == ["As-Of: 2026-03-01T12:00:00Z", "Folder: clusters/eu"]
        elsewhere = bare(tmp_path, "elsewhere.git")
        assert export(options.model_copy(update={"url": elsewhere.url}), FILES).commit == done.commit

    def test_nothing_changed_makes_none(self, repository):
        first = export(GitOptions(url=repository.url), FILES)
        again = export(GitOptions(url=repository.url), FILES, hours=1)
        assert (again.commit, again.changed, again.pushed) == (first.commit, False, True)
        assert repository.commits() == 1

    def test_nothing_at_all_makes_none(self, repository):
        done = export(GitOptions(url=repository.url), {})
        assert (done.commit, done.changed, done.pushed) == ("", False, True)

    def test_the_message_lists_what_was_added_changed_and_removed(self, repository):
        export(GitOptions(url=repository.url), FILES)
        after = {**CHANGED, "namespaces/web/service/w.yaml": b"kind: Service\n"}
        del after["cluster/namespace/shop.yaml"]
        done = export(GitOptions(url=repository.url), after, hours=1)
        assert done.summary == "1 added, 1 changed, 1 removed"
        assert repository.files() == after
        assert repository.git("log", "-1", "--format=%B", "main") == (
            "drkeeper: 1 added, 1 changed, 1 removed\n\n"
            "cluster test\n\n"
            "Added:\n- namespaces/web/service/w.yaml\n\n"
            "Changed:\n- namespaces/shop/configmap/a.yaml\n\n"
            "Removed:\n- cluster/namespace/shop.yaml\n\n"
            "As-Of: 2026-03-01T13:00:00Z"
        )

    def test_a_long_list_ends_with_a_number(self):
        text = message(Changes(tuple(f"p{n}" for n in range(73)), (), ()), note="", as_of=AS_OF, folder="")
        assert "- p49\n- and 23 more\n" in text
        assert "p50" not in text

    def test_what_others_keep_in_the_repository_stays(self, repository):
        repository.somebody_pushes("README.md")
        repository.somebody_pushes("apps/run.sh", mode="100755")
        repository.somebody_pushes("apps/link", "run.sh", mode="120000")
        repository.somebody_pushes("namespaces/shop/configmap/gone.yaml")
        before = repository.git("ls-tree", "-r", "main", "README.md", "apps")
        done = export(GitOptions(url=repository.url), FILES)
        assert done.summary == "4 added, 0 changed, 1 removed"
        assert repository.git("ls-tree", "-r", "main", "README.md", "apps") == before
        assert set(repository.files()) == {*FILES, "README.md", "apps/run.sh", "apps/link"}
        repository.checked()

    def test_only_our_folder_is_ours(self, repository):
        for name in ("namespaces/theirs.yaml", "clusters/us/namespaces/theirs.yaml", "clusters/eu/kustomization.yaml"):
            repository.somebody_pushes(name)
        export(GitOptions(url=repository.url, folder="/clusters/eu/"), FILES)
        ours = {f"clusters/eu/{name}" for name in FILES}
        theirs = {"namespaces/theirs.yaml", "clusters/us/namespaces/theirs.yaml", "clusters/eu/kustomization.yaml"}
        assert set(repository.files()) == ours | theirs
        export(GitOptions(url=repository.url, folder="clusters/eu"), {}, hours=1)
        assert set(repository.files()) == theirs

    def test_another_branch_is_made_beside_main(self, repository):
        repository.somebody_pushes("README.md")
        export(GitOptions(url=repository.url, branch="clusters/eu"), FILES)
        assert set(repository.files()) == {"README.md"}
        assert repository.files("clusters/eu") == FILES

    def test_a_branch_whose_name_only_begins_alike_is_another(self, repository):
        repository.somebody_pushes("README.md", branch="main-2")
        assert export(GitOptions(url=repository.url), FILES).pushed
        assert repository.files() == FILES

    def test_a_file_where_the_folder_should_be_is_left_alone(self, repository):
        repository.somebody_pushes("clusters")
        done = export(GitOptions(url=repository.url, folder="clusters/eu"), FILES)
        assert not done.pushed
        assert "clusters" in done.error
        assert "is a file" in done.error
        assert set(repository.files()) == {"clusters"}

    def test_a_kind_that_could_not_be_read_stays_as_it_was(self, repository):
        export(GitOptions(url=repository.url), FILES)
        with open_export(GitOptions(url=repository.url)) as going:
            going.add("namespaces/shop/configmap/a.yaml", FILES["namespaces/shop/configmap/a.yaml"])
            going.keep("trial.kubeflow.org")
            done = going.finish(as_of=AS_OF)
        assert done.summary == "0 added, 0 changed, 2 removed"
        assert set(repository.files()) == {
            "namespaces/shop/configmap/a.yaml",
            "namespaces/shop/trial.kubeflow.org/t%3A1.yaml",
        }

    @pytest.mark.parametrize(
        "path", ["README.md", "cluster", "namespaces/../x", "namespaces//x", "namespaces/.GIT/x", "/cluster/x"]
    )
    def test_a_path_that_is_not_ours_is_refused(self, repository, path):
        with (
            open_export(GitOptions(url=repository.url)) as going,
            pytest.raises(ValueError, match=r"cannot be|neither"),
        ):
            going.add(path, b"")

    def test_more_than_memory_is_set_aside_for_is_refused_and_harms_nothing(self, repository):
        many = {f"namespaces/n/configmap/{n}.yaml": os.urandom(400) for n in range(20)}
        done = export(GitOptions(url=repository.url), many, limit_bytes=4096)
        assert (done.commit, done.pushed, done.bundle) == ("", False, None)
        assert "more than 4 KiB" in done.error
        assert "exclude_kinds" in done.hint
        assert repository.git("for-each-ref") == ""


class TestFetching:
    @pytest.mark.parametrize("offered", ["true", "false"])
    def test_trees_come_and_files_do_not_stay(self, repository, offered):
        repository.git("config", "uploadpack.allowFilter", offered)
        many = {f"namespaces/n{n}/configmap/{m}.yaml": b"x: %d\n" % (m % 3) for n in range(30) for m in range(30)}
        export(GitOptions(url=repository.url), many)
        repository.git("repack", "-adfq", "--depth=50", "--window=50")  # so that trees come as deltas
        tip = Remote(GitOptions(url=repository.url)).tip()
        assert tip is not None
        listed = repository.git("ls-tree", "-rtd", "--format=%(objectname)", "main").split()
        assert {name.decode() for name in tip.trees} == {*listed, repository.git("rev-parse", "main^{tree}")}
        assert export(GitOptions(url=repository.url), many, hours=1).changed is False

    def test_only_what_the_tip_lacks_is_sent(self, repository):
        export(GitOptions(url=repository.url), FILES)
        repository.git("gc", "-q")
        export(GitOptions(url=repository.url), CHANGED, hours=1)
        loose = int(repository.git("count-objects").split()[0])
        assert loose == 6  # a file, the four trees above it, the commit

    def test_history_is_not_fetched(self, repository):
        for n in range(5):
            repository.somebody_pushes("big", f"{n}" * 10)
        tip = Remote(GitOptions(url=repository.url)).tip()
        assert tip is not None
        assert len(tip.trees) == 1


class TestTransports:
    def three_exports(self, options: GitOptions, repository: Repository) -> None:
        assert export(options, FILES).pushed
        assert not export(options, FILES, hours=1).changed
        done = export(options, CHANGED, hours=2)
        assert (done.pushed, done.summary) == (True, "0 added, 1 changed, 0 removed")
        assert repository.files() == CHANGED
        assert repository.commits() == 2
        repository.checked()

    def test_a_file_url(self, repository):
        self.three_exports(GitOptions(url=f"file://{repository.path}"), repository)

    @pytest.mark.parametrize("offered", ["true", "false"])
    def test_https_with_a_token_and_our_own_ca(self, repository, offered):
        repository.git("config", "http.receivepack", "true")
        repository.git("config", "uploadpack.allowFilter", offered)
        with https_server(repository.path.parent, TOKEN) as server:
            options = GitOptions(url=f"{server.url}/r.git", token=TOKEN, ca=server.ca, timeout_seconds=30)
            self.three_exports(options, repository)
        assert "version=2" in server.protocols
        assert TOKEN not in "".join(server.requests)

    def test_https_with_a_pack_larger_than_one_buffer(self, repository):
        repository.git("config", "http.receivepack", "true")
        many = {f"namespaces/n/configmap/{n}.yaml": os.urandom(30_000) for n in range(60)}
        with https_server(repository.path.parent, TOKEN) as server:
            options = GitOptions(url=f"{server.url}/r.git", token=TOKEN, ca=server.ca)
            assert export(options, many).pushed
        assert repository.files() == many

    @pytest.mark.parametrize("url", ["ssh://git@git.example.org:2222{path}", "git@git.example.org:{path}"])
    def test_ssh_asks_nothing_and_trusts_known_hosts_only(self, repository, tmp_path, monkeypatch, url):
        monkeypatch.setenv("PATH", f"{ssh_program(tmp_path)}:{os.environ['PATH']}")
        options = GitOptions(
            url=url.format(path=repository.path),
            ssh_key=tmp_path / "id",
            known_hosts=tmp_path / "known hosts",
            timeout_seconds=20,
        )
        self.three_exports(options, repository)
        runs = [run.strip().split("\n") for run in (tmp_path / "argv").read_text().split("--\n")]
        first = (tmp_path / "argv").read_text().split("\n")
        for wanted in (
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "ConnectTimeout=20",
            "IdentitiesOnly=yes",
            str(tmp_path / "id"),
            f'UserKnownHostsFile="{tmp_path}/known hosts"',
            "git@git.example.org",
            f"git-upload-pack '{repository.path}'",
        ):
            assert wanted in first, wanted
        assert any(f"git-receive-pack '{repository.path}'" in run for run in runs)
        assert ("2222" in first) == url.startswith("ssh://")

    def test_the_real_ssh_understands_our_arguments(self, tmp_path):
        (tmp_path / "id").touch()
        options = GitOptions(url="x", ssh_key=tmp_path / "id", known_hosts=tmp_path / "known hosts", timeout_seconds=7)
        argv = ssh_argv(Address("ssh", "r.git", "git.example.org", 2222, "git"), options, "git-upload-pack 'r.git'", 2)
        done = subprocess.run([argv[0], "-F", os.devnull, "-G", *argv[1:]], capture_output=True, text=True, check=True)
        settled = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
        assert settled["hostname"] == "git.example.org"
        assert settled["port"] == "2222"
        assert settled["user"] == "git"
        assert settled["batchmode"] == "yes"
        assert settled["stricthostkeychecking"] in ("yes", "true")
        assert settled["connecttimeout"] == "7"
        assert settled["userknownhostsfile"].strip('"') == str(tmp_path / "known hosts")
        assert settled["identityfile"] == str(tmp_path / "id")
        assert settled["setenv"] == "GIT_PROTOCOL=version=2"


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("/srv/r.git", Address("local", "/srv/r.git")),
            ("./r.git", Address("local", "./r.git")),
            ("file:///srv/a%20b.git", Address("local", "/srv/a b.git")),
            ("git@host:team/r.git", Address("ssh", "team/r.git", "host", user="git")),
            ("host:/srv/r.git", Address("ssh", "/srv/r.git", "host")),
            ("[::1]:r.git", Address("ssh", "r.git", "::1")),
            ("ssh://git@host:22/~/r.git", Address("ssh", "/~/r.git", "host", 22, "git")),
            ("https://host/team/r.git", Address("https", "/team/r.git", "host")),
        ],
    )
    def test_are_read_as_git_reads_them(self, url, expected):
        assert parse(url) == expected

    @pytest.mark.parametrize(
        "url",
        [
            "http://host/r.git",
            "ftp://host/r",
            "ssh://-oProxyCommand=x/r",
            "-oProxyCommand=x:r",
            "https://host",
            "ssh:///r",
            "https://h:x/r",
        ],
    )
    def test_that_cannot_be_used_are_refused(self, url):
        with pytest.raises(PolicyInvalid):
            parse(url)

    def test_a_password_in_one_is_refused_and_not_repeated(self):
        with pytest.raises(PolicyInvalid) as raised:
            parse("https://git:hunter2@host/r.git")
        assert "hunter2" not in str(raised.value) + raised.value.hint

    @pytest.mark.parametrize("branch", ["a..b", "a b", "x.lock", "-"])
    def test_a_branch_that_git_would_not_take_is_refused(self, branch, repository):
        if branch == "-":
            assert Remote(GitOptions(url=repository.url, branch=branch)).tip() is None
        else:
            with pytest.raises(PolicyInvalid, match="name of a branch"):
                Remote(GitOptions(url=repository.url, branch=branch))


@settings(max_examples=25, deadline=None)
@given(
    st.sets(
        st.lists(st.sampled_from(["a", "a.b", "a-b", "a0", "ab", "A", "ü", "z"]), min_size=1, max_size=4).map(tuple),
        max_size=12,
    )
)
def test_our_trees_are_git_s_own(tmp_path_factory, paths):
    """The same files, put together by git's index."""
    files = {
        "/".join(["cluster", *path, "x.yaml"]).encode(): (FILE_MODE, object_id(BLOB, repr(path).encode()))
        for path in paths
    }
    folder = tmp_path_factory.mktemp("trees")
    git("init", "-q", "--bare", ".", cwd=folder)
    lines = b"".join(b"%o %b\t%b\0" % (mode, name, path) for path, (mode, name) in files.items())
    git("update-index", "-z", "--index-info", cwd=folder, stdin=lines)
    expected = git("write-tree", "--missing-ok", cwd=folder)
    new = NewTrees({})
    root = grafted(new, {}, None, (), planted(new, files.items())) or new.add_empty()
    shutil.rmtree(folder)
    assert root.decode() == expected


@pytest.mark.slow
def test_ten_thousand_files_stay_within_little_memory(repository):
    """Measured in a process of its own: what the export adds to the interpreter and its libraries."""
    script = """
import resource, sys
from datetime import datetime, UTC
from drkeeper.systems._kubernetes.git_commit import open_export
from drkeeper.systems._kubernetes.options import GitOptions
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = peak()
for hour in (1, 2):
    with open_export(GitOptions(url=sys.argv[1])) as going:
        for n in range(10_000):
            lines = "".join(f"  key{m}: value {n * m * 31337}\\n" for m in range(20))
            going.add(f"namespaces/ns{n % 50}/configmap/c{n}.yaml", f"kind: ConfigMap\\ndata:\\n{lines}".encode())
        done = going.finish(as_of=datetime(2026, 3, 1, hour, tzinfo=UTC))
    assert done.pushed and done.changed == (hour == 1), done
print(peak() - before)
"""
    argv = [sys.executable, "-c", script, repository.url]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert repository.commits() == 1
    assert int(done.stdout) < 48  # MiB
