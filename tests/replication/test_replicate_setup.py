"""`drkeeper replicate setup`, as far as its own words go: what it shows is what it does, and it asks."""

import json

import pytest

from drkeeper.cli.errors import guarded
from drkeeper.cli.replicate_setup import command
from drkeeper.cli.settings import Settings


class Setup:
    def __init__(self, folder, capfd, near, far):
        self._folder = folder
        self._capfd = capfd
        self._near, self._far = near, far
        self.source, self.replica = near.make_bucket(), far.make_bucket()
        self._write("")

    def _write(self, native):
        def at(server, bucket):
            return (
                f"url: s3://{bucket}, endpoint: {server.endpoint}, allow_http: true, "
                f"access_key: {server.access_key}, secret_key: '${{env:SECRET_{bucket[-12:].upper()}}}'"
            )

        (self._folder / "drkeeper.yaml").write_text(
            "version: 1\nname: models\nsystems:\n"
            f"  artifacts: {{kind: objects, {at(self._near, self.source)}, "
            f"replica: {{{at(self._far, self.replica)}}}{native}}}\n"
            f"  alone: {{kind: objects, {at(self._near, self.source)}}}\n"
            f"vault: {{regions: {{here: {{url: {self._folder}/vault}}}}}}\n"
        )

    def ask_for(self, native):
        self._write(f", native: {native}")

    def run(self, *words, code=0):
        settings = Settings(policy_file=self._folder / "drkeeper.yaml")
        self._capfd.readouterr()
        ended = guarded(
            lambda: command.main(list(words), "setup", standalone_mode=False, obj=settings), settings, words
        )
        said = self._capfd.readouterr()
        assert ended == code, f"exit {ended}, not {code}\n{said.out}\n{said.err}"
        return said

    def statuses(self):
        return [
            server.client().get_bucket_versioning(Bucket=bucket).get("Status")
            for server, bucket in ((self._near, self.source), (self._far, self.replica))
        ]


@pytest.fixture
def setup(tmp_path, capfd, near, far, monkeypatch):
    setup = Setup(tmp_path, capfd, near, far)
    monkeypatch.setenv(f"SECRET_{setup.source[-12:].upper()}", near.secret_key)
    monkeypatch.setenv(f"SECRET_{setup.replica[-12:].upper()}", far.secret_key)
    return setup


def test_a_dry_run_shows_the_changes_and_makes_none(setup):
    told = json.loads(setup.run("--dry-run", "-o", "json").out)
    assert [(each["system"], each["change"], each["url"]) for each in told["changes"]] == [
        ("artifacts", "versioning", f"s3://{setup.replica}"),
        ("artifacts", "versioning", f"s3://{setup.source}"),
    ]
    assert setup.statuses() == [None, None]


def test_nothing_is_changed_without_a_yes(setup):
    assert "confirmation" in setup.run(code=4).err
    assert setup.statuses() == [None, None]


def test_what_was_shown_is_done_and_a_second_run_has_nothing_to_do(setup):
    assert f"turn on versioning of the source s3://{setup.source}" in setup.run("--yes").out
    assert setup.statuses() == ["Enabled", "Enabled"]
    assert setup.run().out == "nothing to change\n"


def test_what_the_endpoint_lacks_is_shown_beside_what_is_changed(setup):
    setup.ask_for("{lock: {days: 2}}")
    said = setup.run("--yes", "--system", "artifacts").out
    assert "LEFT OUT" in said
    assert "the endpoint has no PutBucketReplication" in said
    assert "lock new versions in the replica" in said
    assert json.loads(setup.run("-o", "json").out)["changes"] == []


def test_a_system_without_a_replica_is_usage(setup):
    said = setup.run("--system", "alone", code=2).err
    assert "alone is no bucket with a replica" in said
    assert "there is: artifacts" in said
