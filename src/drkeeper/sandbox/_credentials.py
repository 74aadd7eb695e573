"""Who is who in a throw-away control plane: its authority, whom that vouches for, and kubeconfigs. All for us alone.

Elliptic keys, because they are made in no time. The identifiers of authority and subject are in every certificate:
Python 3.13 and newer refuse one without them.
"""

import base64
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from drkeeper import clock

# A drill takes minutes; whoever starts a server again on an old folder may do so for this long.
VALID_DAYS = 365
_AUTHORITY = "drkeeper-sandbox"


@dataclass(frozen=True)
class Pair:
    """Files of a certificate and of its private key, PEM."""

    certificate: Path
    key: Path

    def embedded(self) -> dict[str, str]:
        """As the user of a kubeconfig."""
        return {
            "client-certificate-data": _base64(self.certificate.read_bytes()),
            "client-key-data": _base64(self.key.read_bytes()),
        }


class Authority:
    """A certificate authority that lives in a folder, made there where it is missing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.pair = self._files("authority")
        if not self.pair.key.exists():
            self._found()

    def issue(
        self,
        file_name: str,
        *,
        common_name: str,
        groups: Sequence[str] = (),
        hosts: Sequence[str] = (),
    ) -> Pair:
        """The pair of that file name, made where it is missing. It serves as server and as client.

        Args:
            file_name: Without its ending.
            common_name: The user's name to an API server.
            groups: The user's groups.
            hosts: DNS names and IP addresses that it serves under.
        """
        pair = self._files(file_name)
        if pair.certificate.exists():
            return pair
        key = write_key(pair.key)
        names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        builder = _builder(x509.Name(names), self._certificate().subject, key)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(each) for each in hosts]), critical=False
            )
        signer = self._key()
        builder = builder.add_extension(_authority_identifier(signer), critical=False)
        write_private(pair.certificate, _pem(builder.sign(signer, hashes.SHA256())))
        return pair

    def _found(self) -> None:
        key = write_key(self.pair.key)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _AUTHORITY)])
        builder = _builder(name, name, key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_signs_certificates(), critical=True)
        builder = builder.add_extension(_authority_identifier(key), critical=False)
        write_private(self.pair.certificate, _pem(builder.sign(key, hashes.SHA256())))

    def _files(self, name: str) -> Pair:
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())

    def _key(self) -> ec.EllipticCurvePrivateKey:
        return cast("ec.EllipticCurvePrivateKey", serialization.load_pem_private_key(self.pair.key.read_bytes(), None))


def write_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Make a private key and write it, PEM, for us alone. The form (SEC 1) is one that etcd reads too."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    write_private(file, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return key


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only we may read, from its first byte on."""
    file.touch(mode=0o600)
    file.write_bytes(content)


def write_kubeconfig(file: Path, *, server: str, authority: Authority, user: Mapping[str, str]) -> Path:
    """Write a kubeconfig that needs no other file (mode 0600), and give its path back.

    Args:
        file: Replaced where it exists.
        server: URL of the API server.
        authority: Who vouches for the server.
        user: The user's credentials in the words of a kubeconfig.
    """
    known_by = _base64(authority.pair.certificate.read_bytes())
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority-data": known_by}}],
        "users": [{"name": file.stem, "user": dict(user)}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": file.stem}}],
        "current-context": "sandbox",
    }
    write_private(file, json.dumps(content, indent=1).encode())  # JSON is YAML
    return file


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    start = clock.now() - timedelta(hours=1)  # clocks of one machine agree; containers' need not
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _signs_certificates() -> x509.KeyUsage:
    no = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **no)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
