"""How a cluster is reached: from a kubeconfig or the Pod's own account to a pool of connections.

Only the configuration of the official client is used, and its urllib3 pool: its models cost ten times what the lists
themselves do (`docs/adr/0100-a-cluster-is-captured-from-raw-lists.md`).
"""

import os
import ssl
import threading
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from drkeeper import __version__
from drkeeper.errors import SystemUnreachable
from drkeeper.systems._kubernetes.options import Options

CONNECTIONS = 8
CONNECT_SECONDS = 10.0


class Connection:
    """A pool of connections to one API server, and the headers that prove who we are."""

    def __init__(self, options: Options) -> None:
        self._configuration = _configuration(options)
        self._lock = threading.Lock()
        self._rest = RESTClientObject(self._configuration)
        self.host = str(self._configuration.host).rstrip("/")
        read = float(options.timeout_seconds)
        self._timeout = urllib3.Timeout(connect=min(read, CONNECT_SECONDS), read=read)

    def open(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Send one request; the answer's body has not been read yet.

        Raises:
            urllib3.exceptions.HTTPError: No answer.
        """
        pool: urllib3.PoolManager = self._rest.pool_manager
        return pool.request(
            method,
            self.host + path,
            body=body,
            headers={"Accept": "application/json", "User-Agent": f"drkeeper/{__version__}", **self._proof(), **headers},
            timeout=self._timeout,
            retries=False,
            preload_content=False,
        )

    def socket(self, path: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        """What a web socket to that path needs: its URL, headers, and options of TLS."""
        given = self._configuration
        secured: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if given.verify_ssl else ssl.CERT_NONE}
        if given.verify_ssl and given.ssl_ca_cert:
            secured["ca_certs"] = given.ssl_ca_cert
        if given.assert_hostname is not None:
            secured["check_hostname"] = given.assert_hostname
        files = {
            "certfile": given.cert_file,
            "keyfile": given.key_file,
            "server_hostname": given.tls_server_name,
        }
        secured |= {option: value for option, value in files.items() if value}
        return self.host.replace("http", "ws", 1) + path, self._proof(), secured

    def close(self) -> None:
        """Close all connections."""
        self._rest.pool_manager.clear()

    def _proof(self) -> dict[str, str]:
        """Tokens are refreshed by the client's own hook (exec plug-ins, a Pod's rotated token)."""
        with self._lock:
            auth: dict[str, dict[str, Any]] = self._configuration.auth_settings()
        return {setting["key"]: setting["value"] for setting in auth.values() if setting["in"] == "header"}


def _configuration(options: Options) -> Configuration:
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    found = options.kubeconfig or _default_kubeconfig()
    try:
        if found is None:
            load_incluster_config(client_configuration=configuration)
        else:
            load_kube_config(
                config_file=str(found),
                context=options.context,
                client_configuration=configuration,
                persist_config=False,  # we only read
            )
    except (ConfigException, OSError, ValueError) as error:
        where = found or "no kubeconfig, and no account of a Pod"
        raise SystemUnreachable(
            f"the cluster's configuration cannot be used: {where}: {error}",
            hint="set `kubeconfig` to a file that kubectl can use, or run in a Pod with a ServiceAccount",
        ) from error
    return configuration


def _default_kubeconfig() -> str | Path | None:
    """What kubectl would take: `$KUBECONFIG` (may be a list of files), else the file in the home folder."""
    named = os.environ.get("KUBECONFIG")
    if named:
        return named
    home = Path.home() / ".kube" / "config"
    return home if home.exists() else None
