"""The commands of the runbooks, as `drkeeper runbook show` prints them, on one platform of real servers.

Region lost with MLflow and Feast: `test_region_lost.py`. The blocks are read by line and given in this process: it is
the commands that are to be right, and bash says of all pages that they are shell (`tests/test_runbook_pages.py`).
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import time

import pyrage
import pytest
from tests.buckets.regions import bucket_at
from tests.failover.platform import put, texts
from tests.failover.test_region_lost import Region
from tests.feast_registry.examples import a_registry
from tests.replication.buckets import secrets_of, versioned
from tests.spine.conftest import Platform
from tests.test_docs import code_blocks

import seaweed
from drkeeper import clock
from drkeeper.buckets.reserved import OURS
from drkeeper.cli.root import run as drkeeper

POLICY = """\
  artifacts:
    kind: objects
    url: {source.url}
    endpoint: {source.endpoint}
    allow_http: true
    access_key: {source.options.access_key}
    secret_key: ${{env:SOURCE_KEY}}
    timeout_seconds: 5
    retries: 1
    replica:
      url: {replica.url}
      endpoint: {replica.endpoint}
      allow_http: true
      access_key: {replica.options.access_key}
      secret_key: ${{env:REPLICA_KEY}}
  feast-registry: {{kind: feast_registry, url: {registry}}}
"""


class Whole(Platform):
    """A database, a store, a registry in a file, and a bucket with a replica at another server."""

    def build(self, near, far):
        self.near = near
        self.source, self.replica = bucket_at(near.server), bucket_at(far)
        versioned(near.server, self.source)
        versioned(far, self.replica)
        self.registry = self.folder / "registry/registry.db"
        self.registry.parent.mkdir()
        self.registry.write_bytes(a_registry())
        put(self.source, models__a="a1", models__b="b1")
        self.write("scenarios: {bucket-emptied: {prefer: less loss}}")  # the replica takes over: back into the damage
        self.fill(rows=500)
        self.give("init", "beat", "replicate --system artifacts", "backup")

    def write(self, more=""):
        self.write_policy(lease="5s", more=more)
        buckets = POLICY.format(source=self.source, replica=self.replica, registry=self.registry)
        text = self.policy_file.read_text().replace("applications:\n", f"{buckets}applications:\n", 1)
        self.policy_file.write_text(text)
        self.environment |= secrets_of(self.source, self.replica)

    def give(self, *lines, **environment):
        """Each line as a shell would read it, in this process; what was said."""
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            for name, value in {**self.environment, **environment}.items():
                patched.setenv(name, value)
            for line in lines:
                command, _, allowed = line.partition(" || test $? -eq ")
                words = shlex.split(os.path.expandvars(command), comments=True)
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    code = drkeeper(["--policy", str(self.policy_file), *words])
                ok = {0, int(re.match(r"\d+", allowed)[0])} if allowed else {0}
                assert code in ok, f"{line}: exit {code}\n{said.getvalue()[-3000:]}"
        return said.getvalue()

    def blocks(self, scenario, language="sh"):
        """The lines of each block of the page."""
        page = self.folder / "page.md"
        page.write_text(self.give(f"runbook show {scenario}"))
        return [
            [line.removeprefix("drkeeper ") for line in block.splitlines()] for block in code_blocks(page, language)
        ]

    def everything(self):
        objects = {key: text for key, text in texts(self.source).items() if not key.startswith(OURS)}
        return self.contents(), self.registry.read_bytes(), objects

    def lose_servers(self):
        self.near.kill()
        self.destroy()
        self.registry.unlink()


@pytest.fixture(scope="module")
def platform(servers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runbooks")
    usual = pyrage.x25519.Identity.generate()
    other = pyrage.x25519.Identity.generate()
    near = Region(folder / "near")
    near.start()
    with contextlib.ExitStack() as stack, seaweed.running_seaweed(folder / "far") as far:
        stack.callback(near.kill)
        recipients = f"{usual.to_public()}, {other.to_public()}"
        platform = Whole(folder, *servers, identity=str(usual), recipient=recipients)
        platform.other = str(other)
        platform.build(near, far)
        yield platform


def spoil_database(platform):
    with platform.connect() as shop:
        shop.execute("UPDATE sale SET note = 'wrong'")


def spoil_registry(platform):
    platform.registry.write_bytes(b"garbage")


def spoil_bucket(platform):
    put(platform.source, models__a="encrypted")
    platform.source.request("DELETE", "models/b")


def lose_store(platform):
    platform.cache().flushall()


DAMAGE = {
    "database-corrupted": spoil_database,
    "registry-corrupted": spoil_registry,
    "bucket-emptied": spoil_bucket,
    "online-store-lost": lose_store,
}


@pytest.mark.parametrize("scenario", DAMAGE)
def test_what_is_wrong_comes_back_by_the_page_and_by_hand(platform, scenario):
    before = platform.everything()
    blocks = {language: platform.blocks(scenario, language) for language in ("sh", "bash")}
    for language, given in blocks.items():
        point_id = platform.json("points")[0]["point_id"]
        time.sleep(1.1)  # times of objects and points are told in whole seconds
        moment = clock.now().isoformat()
        time.sleep(1.1)
        DAMAGE[scenario](platform)
        assert platform.everything() != before
        for lines in given:
            platform.give(*lines, BEFORE=moment, POINT=point_id)
        assert platform.everything() == before, language


def test_everything_comes_back_from_the_vault_and_the_replica(platform):
    before = platform.everything()
    *recover, lead_back = platform.blocks("everything-lost")
    platform.lose_servers()
    for lines in recover:
        platform.give(*lines)
    platform.near.start()
    platform.give(*lead_back)
    assert platform.everything() == before


def test_a_region_comes_back_by_hand(platform):
    before = platform.everything()
    [by_hand], [_, _, protect, lead_back] = platform.blocks("region-lost", "bash"), platform.blocks("region-lost")
    platform.lose_servers()
    shutil.rmtree(platform.folder / "vault/here")
    platform.give(*by_hand)
    platform.give(*protect)
    assert (platform.folder / "vault/here").is_dir()
    platform.near.start()
    platform.give(*lead_back)
    assert platform.everything() == before


def test_without_the_key_the_other_one_opens_the_vault(platform):
    before = platform.everything()
    platform.write(more=f"scenarios: {{key-lost: {{identity: '${{file:{platform.folder}/other.txt}}'}}}}")
    (platform.folder / "other.txt").write_text(platform.other)
    policy = platform.policy_file.read_text()
    platform.policy_file.write_text(policy.replace("    identity: ${env:AGE_IDENTITY}\n", ""))
    platform.environment["AGE_IDENTITY"] = ""
    look, plan = platform.blocks("key-lost")
    restore, by_hand = platform.blocks("key-lost", "bash")
    platform.give(*look)
    assert "restore" in platform.give(*plan)
    platform.destroy()
    platform.registry.unlink()
    platform.give(*restore)
    assert platform.contents() == before[0]
    platform.policy_file.write_text(policy)
    platform.environment["AGE_IDENTITY"] = platform.other
    platform.destroy()
    platform.registry.unlink()
    platform.give(by_hand[0], f"{by_hand[1].partition('  #')[0]} --overwrite")  # the bucket is not empty here
    assert platform.everything()[:2] == before[:2]
