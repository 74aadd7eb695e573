"""What goes wrong is said with a hint and its own exit code, and nothing is changed."""

import socket

import pyrage
import pytest


def vault_files(platform):
    """All but who was there, and what he tried: leases, session notes and the audit log are of each process."""
    files = (platform.folder / "vault").rglob("*.json")
    return sorted(file for file in files if not {"leases", "sessions", "audit"} & set(file.parts))


@pytest.fixture
def unchanged(platform):
    """Whatever the test does, neither data nor vault may change."""
    contents, files = platform.contents(), vault_files(platform)
    yield
    platform.write_policy()
    assert platform.contents() == contents
    assert vault_files(platform) == files


def change(platform, old, new):
    text = platform.policy_file.read_text()
    assert old in text
    platform.policy_file.write_text(text.replace(old, new))


def test_a_wrong_password_is_named_with_its_system(platform, unchanged):
    platform.environment["DB_PASSWORD"] = "not-the-password"
    failed = platform.run("backup", "--system", "mlflow-db", code=1)
    assert "mlflow-db" in failed.stderr
    assert "refuses our password" in failed.stderr
    assert "not-the-password" not in failed.stderr
    assert "hint: " in failed.stderr
    checked = platform.run("check", code=5)
    assert "mlflow-db.connection" in checked.stdout


def test_a_wrong_password_of_redis_is_named_with_its_system(platform, unchanged):
    platform.environment["REDIS_PASSWORD"] = "not-the-password"
    failed = platform.run("backup", "--system", "online-store", code=1)
    assert "WRONGPASS" in failed.stderr
    assert "hint: " in failed.stderr


def test_an_unreachable_host_is_named(platform, unchanged):
    platform.write_policy(postgres_port=1)
    failed = platform.run("backup", "--system", "mlflow-db", code=1)
    assert "refused" in failed.stderr
    assert "hint: " in failed.stderr


def test_a_host_that_never_answers_is_given_up(platform, unchanged):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        platform.write_policy(postgres_port=mute.getsockname()[1])
        change(platform, "kind: postgres\n", "kind: postgres\n    connect_timeout_seconds: 2\n")
        failed = platform.run("backup", "--system", "mlflow-db", code=1, timeout=60)
    assert "hint: " in failed.stderr


def test_a_wrong_identity_is_refused_before_anything_is_touched(platform):
    platform.run("backup")
    platform.destroy()
    platform.environment["AGE_IDENTITY"] = str(pyrage.x25519.Identity.generate())
    refused = platform.run("restore", "--yes", code=12)
    assert "identity" in refused.stderr
    assert "hint: " in refused.stderr
    assert platform.cache().dbsize() == 0


def test_an_unknown_key_is_named_with_its_line_and_a_near_spelling(platform, unchanged):
    change(platform, "kind: redis\n    host:", "kind: redis\n    hots:")
    refused = platform.run("backup", code=2)
    assert "drkeeper.yaml:6: systems.online-store.hots" in refused.stderr
    assert '"host"' in refused.stderr


def test_a_vault_that_is_not_there_has_its_own_exit_code(platform, unchanged):
    change(platform, f"{platform.folder}/vault/here", f"{platform.folder}/vault/nowhere")
    change(platform, f"{platform.folder}/vault/there", f"{platform.folder}/vault/neither")
    missing = platform.run("backup", code=10)
    assert "drkeeper init" in missing.stderr


def test_a_store_that_refuses_the_connection_has_its_own_exit_code(platform, unchanged):
    text = platform.policy_file.read_text()
    for region in ("here", "there"):
        store = f"url: s3://bucket/{region}, endpoint: http://127.0.0.1:1, allow_http: true, retries: 0, region: eu"
        keys = "access_key: k, secret_key: ${env:DB_PASSWORD}"
        text = text.replace(
            f"{{url: {platform.folder}/vault/{region}}}", "{" + f'{store}, {keys.replace("${", chr(34) + "${")}"' + "}"
        )
    platform.policy_file.write_text(text)
    away = platform.run("backup", code=10)
    assert "hint: " in away.stderr


def test_an_unknown_point_is_refused_with_a_hint(platform, unchanged):
    refused = platform.run("restore", "ffffffffffff", "--yes", code=2)
    assert "no recovery point ffffffffffff" in refused.stderr


def test_a_vault_of_another_policy_is_neither_backed_up_into_nor_pruned(platform):
    platform.run("backup", "--system", "online-store")
    before = vault_files(platform)
    change(platform, "name: spine", "name: other")
    for command in (("backup",), ("prune", "--yes")):
        refused = platform.run(*command, code=4)
        assert "holds the recovery points of policy spine, not of other; nothing was changed" in refused.stderr
        assert "hint: " in refused.stderr
    assert vault_files(platform) == before
