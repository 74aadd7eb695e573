"""Which place an url means, and how Feast's SDK finds it."""

from typing import Any, assert_never

from pydantic import SecretStr

from drkeeper.systems._feast_registry.content import Place
from drkeeper.systems._feast_registry.options import Options


def open_place(options: Options) -> Place:
    """The place; connects to nothing."""
    match options.form:
        case "file":
            from drkeeper.systems._feast_registry.file import FilePlace

            return FilePlace(options)
        case "bucket":
            from drkeeper.systems._feast_registry.bucket import BucketPlace

            return BucketPlace(options)
        case "postgres":
            from drkeeper.systems._feast_registry.postgres import PostgresPlace

            return PostgresPlace(options)
        case "sqlite":
            from drkeeper.systems._feast_registry.sqlite import SqlitePlace

            return SqlitePlace(options)
        case _:
            assert_never(options.form)


def feast_config(options: Options) -> tuple[dict[str, Any], dict[str, SecretStr]]:
    """The `registry` part of a `RepoConfig`, and the environment of its process."""
    match options.form:
        case "file":
            return {"registry_type": "file", "path": str(options.path)}, {}
        case "bucket":
            return {"registry_type": "file", "path": options.url}, _bucket_environment(options)
        case "sqlite":
            return {"registry_type": "sql", "path": f"sqlite:///{options.path}"}, {}
        case "postgres":
            return _postgres_config(options), _postgres_environment(options)
        case _:
            assert_never(options.form)


def _bucket_environment(options: Options) -> dict[str, SecretStr]:
    """Feast's store takes the endpoint from one variable, boto3 the keys from others."""
    given = {
        "FEAST_S3_ENDPOINT_URL": options.endpoint,
        "AWS_ACCESS_KEY_ID": options.access_key,
        "AWS_SECRET_ACCESS_KEY": options.secret_key and options.secret_key.get_secret_value(),
        "AWS_SESSION_TOKEN": options.session_token and options.session_token.get_secret_value(),
        "AWS_CA_BUNDLE": options.ca_certificate and str(options.ca_certificate),
        "AWS_DEFAULT_REGION": options.region,
    }
    return {name: SecretStr(value) for name, value in given.items() if value}


def _postgres_config(options: Options) -> dict[str, Any]:
    server = options.postgres_options
    host = f"[{server.host}]" if ":" in server.host else server.host
    path = f"postgresql+psycopg://{server.user}@{host}:{server.port}/{options.database}"
    config: dict[str, Any] = {"registry_type": "sql", "path": path}
    if options.schema_name != "public":
        found_in = {"options": f"-c search_path={options.schema_name}"}
        config["sqlalchemy_config_kwargs"] = {"echo": False, "connect_args": found_in}
    return config


def _postgres_environment(options: Options) -> dict[str, SecretStr]:
    """What libpq looks for."""
    tls = options.tls
    given = {
        "PGPASSWORD": options.password and options.password.get_secret_value(),
        "PGPASSFILE": options.passfile and str(options.passfile),
        "PGSSLMODE": tls.mode if tls.mode != "prefer" else None,
        "PGSSLROOTCERT": tls.ca and str(tls.ca),
        "PGSSLCERT": tls.cert and str(tls.cert),
        "PGSSLKEY": tls.key and str(tls.key),
    }
    return {name: SecretStr(value) for name, value in given.items() if value}
