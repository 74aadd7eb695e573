"""Secrets in git: real sops and real age read what we write, we read what sops wrote, and nothing else opens it."""

import base64
import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519

from drkeeper.errors import KeyMissing, PolicyInvalid, VerificationFailed
from drkeeper.systems._kubernetes import sops
from drkeeper.systems._kubernetes.age_stanza import Parts, sealed
from drkeeper.systems._kubernetes.options import SecretsOptions
from drkeeper.systems._kubernetes.render import render

SOPS = Path(sys.executable).with_name("sops")
FIRST, SECOND, STRANGER = (x25519.Identity.generate() for _ in range(3))
KEY = "0123456789abcdef0123456789abcdef"
PASSWORD = "geheim-äöü: 'x' #1"


def options(**changes) -> SecretsOptions:
    given = {"recipients": (str(FIRST.to_public()),), "key": KEY, "identity": str(FIRST)}
    return SecretsOptions(**{**given, **changes})


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def secret(**changes) -> dict:
    given = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "db",
            "namespace": "shop",
            "labels": {"app": "db"},
            "annotations": {"data": "not a secret"},
        },
        "type": "Opaque",
        "data": {
            "password": encoded(PASSWORD),
            "user": encoded("admin"),
            "blob": encoded(bytes(range(256)) * 40),
            "empty": "",
            "a.b:c": encoded("colon"),
        },
        "stringData": {"config.ini": "[db]\npassword = x\n\n"},
        "immutable": True,
    }
    return {**given, **changes}


def run_sops(*argv: str, identity: x25519.Identity | None = None, folder: Path) -> subprocess.CompletedProcess:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    if identity is not None:
        (folder / "keys.txt").write_text(f"# a comment\n{identity}\n")
        env["SOPS_AGE_KEY_FILE"] = str(folder / "keys.txt")
    argv = (str(SOPS), "--disable-version-check", *argv)
    return subprocess.run(argv, env=env, capture_output=True, text=True, cwd=folder, check=False)


def written(manifest: dict, folder: Path) -> Path:
    path = folder / "db.yaml"
    path.write_bytes(render(manifest))
    return path


class TestRealSops:
    @pytest.mark.parametrize("identity", [FIRST, SECOND], ids=["first", "second"])
    def test_each_recipient_decrypts_the_rendered_file(self, tmp_path, identity):
        recipients = (str(FIRST.to_public()), str(SECOND.to_public()))
        path = written(sops.encrypt(secret(), options(recipients=recipients)), tmp_path)
        done = run_sops("-d", str(path), identity=identity, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert yaml.safe_load(done.stdout) == secret()

    def test_a_stranger_does_not(self, tmp_path):
        path = written(sops.encrypt(secret(), options()), tmp_path)
        done = run_sops("-d", str(path), identity=STRANGER, folder=tmp_path)
        assert done.returncode == 128
        assert PASSWORD not in done.stdout + done.stderr

    def test_a_label_may_be_edited_in_git_without_sops(self, tmp_path):
        encrypted = sops.encrypt(secret(), options())
        encrypted["metadata"]["labels"]["team"] = "ml"
        done = run_sops("-d", str(written(encrypted, tmp_path)), identity=FIRST, folder=tmp_path)
        assert yaml.safe_load(done.stdout)["metadata"]["labels"] == {"app": "db", "team": "ml"}

    def test_a_value_swapped_in_git_is_found_by_sops_too(self, tmp_path):
        encrypted = sops.encrypt(secret(), options())
        del encrypted["data"]["user"]
        done = run_sops("-d", str(written(encrypted, tmp_path)), identity=FIRST, folder=tmp_path)
        assert done.returncode == 51, done.stderr  # sops: MAC mismatch

    def test_a_secret_without_data_is_a_sound_document(self, tmp_path):
        bare = {key: value for key, value in secret().items() if key not in ("data", "stringData")}
        bare["metadata"] = {"name": "bare", "namespace": "shop"}
        encrypted = sops.encrypt(bare, options())
        assert sops.is_encrypted(encrypted)
        done = run_sops("-d", str(written(encrypted, tmp_path)), identity=FIRST, folder=tmp_path)
        assert yaml.safe_load(done.stdout) == bare == sops.decrypt(encrypted, options())

    @pytest.mark.parametrize(
        "flags",
        [
            ["--encrypted-regex", "^(data|stringData)$"],
            ["--encrypted-regex", "^(data|stringData)$", "--mac-only-encrypted"],
            ["--unencrypted-regex", "^(apiVersion|metadata|kind|type)$"],
            ["--encrypted-suffix", "ata"],
            [],
        ],
        ids=["regex", "only", "unencrypted", "suffix", "all"],
    )
    def test_what_sops_encrypted_is_decrypted_by_us(self, tmp_path, flags):
        plain = secret(
            data={"n": encoded("x"), "empty": ""}, extra={"n": 3, "f": 1.5, "yes": True, "none": None, "l": ["a"]}
        )
        argv = ("-e", "--age", f"{SECOND.to_public()},{FIRST.to_public()}", *flags, str(written(plain, tmp_path)))
        done = run_sops(*argv, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        document = yaml.safe_load(done.stdout)
        assert sops.is_encrypted(document)
        assert encoded(PASSWORD) not in done.stdout
        assert sops.decrypt(document, options()) == plain

    def test_a_file_of_ours_that_sops_changed_is_still_read(self, tmp_path):
        path = written(sops.encrypt(secret(), options()), tmp_path)
        done = run_sops("set", str(path), '["data"]["user"]', '"cm9vdA=="', identity=FIRST, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert sops.decrypt(yaml.safe_load(path.read_text()), options())["data"]["user"] == encoded("root")


class TestDeterminism:
    def test_an_unchanged_secret_encrypts_to_the_same_bytes(self):
        shuffled = dict(reversed(copy.deepcopy(secret()).items()))
        shuffled["data"] = dict(reversed(shuffled["data"].items()))
        assert render(sops.encrypt(secret(), options())) == render(sops.encrypt(shuffled, options()))

    @pytest.mark.parametrize(
        "other",
        [
            sops.encrypt(secret(data={**secret()["data"], "user": encoded("root")}), options()),
            sops.encrypt(secret(metadata={"name": "other", "namespace": "shop"}), options()),
            sops.encrypt(secret(metadata={"name": "db", "namespace": "else"}), options()),
            sops.encrypt(secret(), options(key=KEY[::-1])),
            sops.encrypt(secret(), options(recipients=(str(FIRST.to_public()), str(SECOND.to_public())))),
        ],
        ids=["value", "name", "namespace", "key", "recipients"],
    )
    def test_any_other_content_key_or_reader_shares_no_ciphertext_and_no_iv(self, other):
        one = sops.encrypt(secret(), options())
        assert one["data"]["password"] != other["data"]["password"]
        assert _iv(one["data"]["password"]) != _iv(other["data"]["password"])
        assert one["sops"]["mac"] != other["sops"]["mac"]
        assert one["sops"]["age"][0]["enc"] != other["sops"]["age"][0]["enc"]

    def test_equal_values_of_one_secret_do_not_look_equal(self):
        encrypted = sops.encrypt(
            secret(data={"a": encoded("x"), "b": encoded("x")}, list={"data": ["x", "x"]}), options()
        )
        values = [*encrypted["data"].values(), *encrypted["list"]["data"]]
        assert len({_iv(value) for value in values}) == 4

    def test_no_plain_value_is_left(self):
        text = render(sops.encrypt(secret(), options())).decode()
        for value in secret()["data"].values():
            assert not value or value not in text
        assert "not a secret" not in text
        assert KEY not in text


def _iv(value: str) -> str:
    return value.partition("iv:")[2].partition(",")[0]


class TestOpening:
    def test_without_an_identity_the_key_is_missing_and_a_hint_is_given(self):
        with pytest.raises(KeyMissing, match="shop/db is encrypted, and no identity") as raised:
            sops.decrypt(sops.encrypt(secret(), options()), options(identity=None))
        assert "secrets.identity" in raised.value.hint
        assert raised.value.exit_code == 12

    def test_a_wrong_identity_is_told_which_recipients_there_are(self):
        with pytest.raises(KeyMissing, match=str(FIRST.to_public())):
            sops.decrypt(sops.encrypt(secret(), options()), options(identity=str(STRANGER)))

    def test_an_identity_that_is_none_is_not_repeated(self):
        with pytest.raises(KeyMissing, match="not an age identity") as raised:
            sops.decrypt(sops.encrypt(secret(), options()), options(identity="AGE-SECRET-KEY-1HUNTER2"))
        assert "HUNTER2" not in str(raised.value)

    def test_a_key_file_may_hold_comments_and_several_identities(self):
        text = f"# created\n{STRANGER}\n\n{FIRST}\n"
        assert sops.decrypt(sops.encrypt(secret(), options()), options(identity=text)) == secret()

    def test_a_document_without_age_says_what_is_the_matter(self):
        document = {**secret(), "sops": {"pgp": [{"fp": "ABC"}], "mac": "x", "lastmodified": "x"}}
        with pytest.raises(KeyMissing, match="no age recipient"):
            sops.decrypt(document, options())

    @pytest.mark.parametrize(
        "how", ["value", "moved", "removed", "added", "emptied", "mac", "stanza", "cleared", "no mac"]
    )
    def test_what_was_tampered_with_is_refused(self, how):
        document = sops.encrypt(secret(), options())
        data, section = document["data"], document["sops"]
        match how:
            case "value":
                data["user"] = data["user"].replace("data:", "data:AAAA")
            case "moved":
                data["user"], data["password"] = data["password"], data["user"]
            case "removed":
                del data["user"]
            case "added":
                data["extra"] = encoded("plain")
            case "emptied":
                data["user"] = ""
            case "mac":
                section["mac"] = data["user"]
            case "stanza":
                lines = section["age"][0]["enc"].splitlines()
                lines[-2] = lines[-2][:-8] + "AAAAAAA="
                section["age"][0]["enc"] = "\n".join(lines)
            case "cleared":
                data["user"] = encoded("plain")
            case "no mac":
                del section["mac"]
        with pytest.raises(VerificationFailed, match=r"shop/db"):
            sops.decrypt(document, options())


class TestPolicy:
    def test_a_short_key_is_refused_without_being_repeated(self):
        with pytest.raises(PolicyInvalid, match="shorter than 32") as raised:
            sops.encrypt(secret(), options(key="too-short-a-key"))
        assert "too-short-a-key" not in str(raised.value) + raised.value.hint

    @pytest.mark.parametrize(
        ("recipient", "why"),
        [
            ("age1" + "q" * 58, "checksum"),
            (str(FIRST.to_public())[:-1], "checksum"),
            ("ssh-ed25519 AAAA", "not an age public key"),
            ("age1yubikey1qxxxx", "not an age public key"),
        ],
        ids=["no checksum", "cut", "ssh", "plugin"],
    )
    def test_a_bad_recipient_is_refused(self, recipient, why):
        with pytest.raises(PolicyInvalid, match=why):
            sops.check(options(recipients=(str(FIRST.to_public()), recipient)))

    def test_an_identity_among_the_recipients_is_refused_and_not_repeated(self):
        with pytest.raises(PolicyInvalid, match="secret") as raised:
            sops.check(options(recipients=(str(FIRST),)))
        assert str(FIRST) not in str(raised.value) + raised.value.hint


class TestAge:
    def test_the_age_program_reads_a_stanza(self, tmp_path):
        program = shutil.which("age")
        if program is None:
            pytest.skip("age is not installed; pyrage and sops read the same stanzas in the other tests")
        (tmp_path / "key").write_text(str(FIRST))
        text = sealed(b"content", str(FIRST.to_public()), Parts(b"f" * 16, b"e" * 32, b"n" * 16))
        argv = [program, "-d", "-i", str(tmp_path / "key")]
        assert subprocess.run(argv, input=text.encode(), capture_output=True, check=True).stdout == b"content"


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abcdefgXYZ0123456789._-", min_size=1, max_size=12),
        st.one_of(st.binary(max_size=200).map(encoded), st.text(max_size=60)),
        max_size=6,
    )
)
def test_any_data_come_back_from_their_rendered_file(data):
    rendered = render(sops.encrypt(secret(data=data), options()))
    assert sops.decrypt(yaml.safe_load(rendered), options()) == secret(data=data)
