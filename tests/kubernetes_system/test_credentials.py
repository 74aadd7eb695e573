"""ConfigMaps that hold a credential are noticed; those of a whole Kubeflow installation are left in peace."""

import base64
import os
from pathlib import Path

import pytest
import yaml

from drkeeper.systems._kubernetes.credentials import looks_secret

# Put together here, so that no scanner takes this file for a leak.
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiJkcmtlZXBlciJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
CLOUD_KEY_ID = "AKIA" + "Q3EGVRMPL5TXK2WD"
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow" + "IBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n"
REGISTRY = base64.b64encode(b"robot:geheim1234").decode()


def config_map(**data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("tls.key", PRIVATE_KEY, "tls.key"),
        ("sa.json", '{"private_key": "' + PRIVATE_KEY.replace("\n", "\\n") + '"}', "sa.json"),
        ("id", CLOUD_KEY_ID, "id"),
        ("session", JWT, "session"),
        ("DB_PASSWORD", "hunter2!", "DB_PASSWORD"),
        ("mysqlRootPassword", "s3cret", "mysqlRootPassword"),
        ("password", "12345", "password"),
        ("DATABASE_URL", "postgresql://app:hunter2@db:5432/app", "DATABASE_URL"),
        ("config.yaml", "db:\n  user: app\n  password: hunter2  # rotate\n", "config.yaml.password"),
        ("app.ini", "[db]\nuser = app\npassword = hunter2\n", "app.ini.password"),
        (".env", "export API_TOKEN=9f8a7b6c5d4e3f2a1b0c9d8e\n", ".env.API_TOKEN"),
        ("c.json", '{\n  "clientSecret": "Zm9vYmFyMTIzNDU2Nzg5",\n  "x": 1\n}', "c.json.clientSecret"),
        ("s3.yaml", 'accessKey: "minio"\nsecretKey: "minio123"\n', "s3.yaml.secretKey"),
        ("dsn", "host=db dbname=app password=hunter2 sslmode=off", "dsn.password"),
        ("settings.py", "import os\nPASSWORD = 'hunter2'\n", "settings.py.PASSWORD"),
        ("config.json", '{"auths": {\n "registry": {\n  "auth": "' + REGISTRY + '"\n}}}', "config.json.auth"),
        ("users", "admin:$2y$05$" + "abcdefghijklmnopqrstuv" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234", "users"),
    ],
)
def test_a_credential_is_told_by_the_name_of_its_key(key, value, told):
    found = looks_secret(config_map(**{key: value, "harmless": "yes"}))
    assert told in found
    assert "harmless" not in found
    assert not any(word in " ".join(found) for word in ("hunter2", "s3cret", "minio123", "MIIE"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", ""),
        ("password", "$(DB_PASSWORD)"),
        ("password", "${DB_PASSWORD}"),
        ("password", "{{ .Values.password }}"),
        ("password", "<your password>"),
        ("password", "changeme"),
        ("password", "/run/secrets/db-password"),
        ("password", "********"),
        ("passwordFile", "/etc/secret"),
        ("secretName", "storage-config"),
        ("secret", "mlpipeline-minio-artifact"),
        ("imagePullSecret", "docker-secret-2k29b64d74"),
        ("token", "true"),
        ("max_token", "4096"),
        ("tokenTTL", "24h"),
        ("ENABLE_M2M_TOKENS", "true"),
        ("redeem_url", "http://dex.auth.svc.cluster.local:5556/dex/token"),
        ("git", "https://git@example.org/x.git"),
        ("aws", "AKIAIOSFODNN7" + "EXAMPLE"),
        ("config.yaml", "# password: hunter2\nhashFromEnv: DEX_USER_PASSWORD\n"),
        ("config.yaml", "secretKeyRef:\n  key: secretkey\n  name: minio\n"),
        ("run.py", "password = os.environ['PASSWORD']\ntoken = read_token()\n"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ("ssh.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@home"),
    ],
)
def test_what_only_speaks_of_credentials_is_none(key, value):
    assert looks_secret(config_map(**{key: value})) == []


def test_binary_data_are_looked_into_and_key_stores_are_known_by_name():
    manifest = {
        "kind": "ConfigMap",
        "metadata": {"name": "b"},
        "binaryData": {
            "store.jks": base64.b64encode(b"\xfe\xed").decode(),
            "bundle": base64.b64encode(b"\x00\xff" + PRIVATE_KEY.encode()).decode(),
            "logo.png": base64.b64encode(b"\x89PNG\r\n").decode(),
        },
    }
    assert looks_secret(manifest) == ["bundle", "store.jks"]


def test_a_config_map_without_data_holds_nothing():
    assert looks_secret({"kind": "ConfigMap", "metadata": {"name": "e"}}) == []
    assert looks_secret({"kind": "ConfigMap", "metadata": {"name": "e"}, "data": None, "binaryData": None}) == []


def test_nothing_is_suspected_in_the_47_config_maps_of_kubeflow():
    where = os.environ.get("DRKEEPER_KUBEFLOW_CORPUS")
    if not where:
        pytest.skip("DRKEEPER_KUBEFLOW_CORPUS names no rendered Kubeflow installation")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = yaml.load_all(Path(where).read_text(), loader)
    config_maps = [document for document in documents if document and document["kind"] == "ConfigMap"]
    assert len(config_maps) == 47
    # Looked at one by one: dex and oauth2-proxy name environment variables, the rest names Secrets, paths and examples.
    assert {
        document["metadata"]["name"]: looks_secret(document) for document in config_maps if looks_secret(document)
    } == {}
