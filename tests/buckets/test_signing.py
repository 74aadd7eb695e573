"""Signatures, held to the worked examples of the Amazon S3 API reference."""

from datetime import UTC, datetime

from drkeeper.buckets.signing import Credentials, Signer

# "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", examples of AWS.
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
AT = datetime(2013, 5, 24, tzinfo=UTC)


def signed(method, path, query, headers, payload=EMPTY):
    signer = Signer("us-east-1", "examplebucket.s3.amazonaws.com")
    return signer.headers(EXAMPLE, method, path, query, headers, now=AT, payload=payload)["authorization"]


def test_a_get_with_a_range_is_signed_as_in_the_example_of_aws():
    signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert signed("GET", "/test.txt", "", {"range": "bytes=0-9"}).endswith(f"Signature={signature}")


def test_a_put_with_further_headers_is_signed_as_in_the_example_of_aws():
    headers = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
    signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert signed("PUT", "/test%24file.text", "", headers, payload).endswith(f"Signature={signature}")


def test_a_query_is_signed_as_in_the_examples_of_aws():
    lifecycle = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    listing = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert signed("GET", "/", "lifecycle=", {}).endswith(f"Signature={lifecycle}")
    assert signed("GET", "/", "max-keys=2&prefix=J", {}).endswith(f"Signature={listing}")


def test_temporary_credentials_send_their_token_and_never_show_their_secret():
    credentials = Credentials("AK", "the-secret", "the-token")
    headers = Signer("r", "h").headers(credentials, "GET", "/", "", {}, now=AT)
    assert headers["x-amz-security-token"] == "the-token"
    assert "x-amz-security-token" in headers["authorization"]
    assert "secret" not in repr(credentials)
    assert "token" not in repr(credentials)
