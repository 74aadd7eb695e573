"""TLS with a private authority: trusted where the policy names it, refused where it does not."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.buckets.faulty import faulty
from tests.buckets.regions import bucket_at

from drkeeper.buckets.errors import BucketUnreachable
from drkeeper.buckets.listing import list_objects


def certificate(folder, host):
    """A self-signed certificate and its key, in files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / f"{host}.pem", folder / f"{host}.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture
def secured(near, source, tmp_path, request):
    host = getattr(request, "param", "localhost")
    certificate_file, key_file = certificate(tmp_path, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    with faulty(near.endpoint, tls=context) as proxy:
        yield (
            lambda **more: bucket_at(near, source.name, endpoint=proxy.endpoint, allow_http=False, retries=0, **more),
            certificate_file,
        )


def test_an_authority_that_the_policy_names_is_trusted(secured):
    bucket, authority = secured
    bucket(ca_certificate=authority).request("PUT", "k", body=b"x")
    assert [one.key for one in list_objects(bucket(ca_certificate=authority))] == ["k"]


def test_an_authority_that_nobody_named_is_refused(secured):
    bucket, _ = secured
    with pytest.raises(BucketUnreachable, match="certificate"):
        list(list_objects(bucket()))


@pytest.mark.parametrize("secured", ["elsewhere"], indirect=True)
def test_a_certificate_of_another_host_is_refused(secured):
    bucket, authority = secured
    with pytest.raises(BucketUnreachable, match="localhost"):
        list(list_objects(bucket(ca_certificate=authority)))
