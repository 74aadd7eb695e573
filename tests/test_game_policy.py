"""The policy of a game day leads to empty servers and to a vault that is only read, and nowhere else."""

import stat
from pathlib import Path

import pytest

from drkeeper import artifacts
from drkeeper.drill_wiring import exercise_of
from drkeeper.game_policy import write_game_policy
from drkeeper.policy import load_policy
from drkeeper.vault.overlay import Overlay
from drkeeper.wiring import loss, open_regions

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
POLICY = f"""\
version: 1
name: shop
systems:
  db: {{kind: postgres, host: production-db, user: production-user, password: "${{env:SECRET}}", databases: [shop]}}
  cache: {{kind: redis, host: production-cache, password: "${{env:SECRET}}"}}
  artifacts:
    kind: objects
    url: s3://production-artifacts
    endpoint: https://production-s3
    access_key: production-key
    secret_key: ${{env:SECRET}}
    replica: {{url: "s3://far", endpoint: "https://far-s3", access_key: far-key, secret_key: "${{file:keys/far}}"}}
applications:
  both: {{order: [db, cache]}}
  stored: {{order: [db, artifacts]}}
vault:
  encryption: {{recipients: [{RECIPIENT}], identity: "${{file:keys/usual}}"}}
  regions:
    here: {{url: /vault/here}}
    there: {{url: /vault/there}}
objectives: {{rto: 1h}}
recovery: {{at_once: 2}}
schedules: {{backup: "0 2 * * *"}}
hooks: [{{before: {{command: [/production/hook]}}}}]
notify: [{{url: "${{env:HOOK_URL}}"}}]
evidence: {{key: "${{file:keys/evidence}}"}}
failover: {{hooks: [{{command: [/production/dns]}}]}}
scenarios: {{key-lost: {{identity: "${{file:keys/other}}"}}}}
"""
ENVIRONMENT = {"SECRET": "production-secret", "HOOK_URL": "https://production-hook"}
SERVERS = {
    "db": {"host": "127.0.0.1", "port": 5001, "user": "postgres", "password": "sandbox-db-password"},
    "cache": {"host": "127.0.0.1", "port": 5002, "password": "sandbox-cache-password"},
    "artifacts": {
        "url": "s3://sandbox", "endpoint": "http://127.0.0.1:5003", "access_key": "sandbox-key",
        "secret_key": "sandbox-secret", "allow_http": True, "throw_away": True,
    },
}  # fmt: skip


@pytest.fixture
def production(tmp_path):
    keys = tmp_path / "production/keys"
    keys.mkdir(parents=True)
    for name in ("far", "usual", "other", "evidence"):
        (keys / name).write_text(f"{name}-key-material")
    file = tmp_path / "production/drkeeper.yaml"
    file.write_text(POLICY)
    return load_policy(file, ENVIRONMENT), file.parent


@pytest.fixture
def played(production, tmp_path):
    """Write the game's policy of a scenario, and read it as people's drkeeper does."""
    policy, folder = production
    place = tmp_path / "game"
    place.mkdir()

    def played(scenario):
        lost, own = loss(policy, scenario)
        servers = {name: options for name, options in SERVERS.items() if name in lost.systems}
        file = write_game_policy(policy, exercise_of(policy, lost, own), servers, place, folder)
        return file, load_policy(file, ENVIRONMENT)

    return played


def test_it_names_the_empty_servers_and_nothing_of_production(played, tmp_path):
    file, game = played("everything-lost")
    assert {name: system.options.model_dump().get("port") for name, system in game.systems.items()} == {
        "db": 5001,
        "cache": 5002,
        "artifacts": None,
    }
    text = file.read_text().replace(str(tmp_path), "")
    assert "production" not in text.replace("/production/keys/", "")
    assert "sandbox-db-password" not in text
    assert game.systems["db"].options.password.get_secret_value() == "sandbox-db-password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (file.parent / "keys").iterdir()} == {0o600}
    assert (game.hooks, game.notify, game.evidence.key, game.failover.hooks) == ((), (), None, ())
    assert game.schedules.backup is None
    assert (game.name, game.recovery.at_once, game.objectives.rto_seconds) == ("shop", 2, 3600)


def test_files_that_the_policy_names_are_found_from_elsewhere(played):
    _, game = played("everything-lost")
    assert game.vault.encryption.identity.get_secret_value() == "usual-key-material"
    assert game.systems["artifacts"].options.replica.secret_key.get_secret_value() == "far-key-material"


def test_the_replica_of_production_is_read_and_never_made_primary(played, production):
    assert [pair.system for pair in artifacts.pairs(production[0])] == ["artifacts"]
    assert artifacts.pairs(played("everything-lost")[1]) == ()


def test_regions_that_are_left_are_only_read_and_those_that_are_gone_are_not_there(played):
    _, game = played("region-lost")
    stores = open_regions(game)
    assert not Path(stores["here"].url).exists()
    assert isinstance(stores["there"], Overlay)
    assert "/vault/here" not in str(game.vault.regions["here"])


def test_applications_whose_systems_are_not_all_in_the_game_are_left_out(played):
    _, game = played("database-corrupted")
    assert set(game.systems) == {"db"}
    assert game.applications == {}


def test_when_the_key_is_lost_the_other_one_is_what_people_have(played):
    _, game = played("key-lost")
    assert game.vault.encryption.identity.get_secret_value() == "other-key-material"
    assert set(game.applications) == {"both", "stored"}
