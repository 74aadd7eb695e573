"""By what objects are checked: the ETag where it is a digest, else a checksum, and never by a guess."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkeeper.buckets.described import Described
from drkeeper.buckets.listed import is_multipart
from drkeeper.buckets.parts import combined_etag
from drkeeper.replication.yardstick import Yardstick, measured, yardstick_of

MD5 = "0123456789abcdef0123456789abcdef"
SIZES = (4, 5)


def described(etag, *, encrypted=False, **checksums):
    parts = int(etag.rpartition("-")[2]) if is_multipart(etag) else 0
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Described("k", 9, etag, "", at, {}, {}, 0, checksums, parts, encrypted)


@pytest.mark.parametrize(
    ("one", "told", "expected"),
    [
        (described(MD5), None, Yardstick("md5", MD5)),
        (described(MD5, sha256="s"), None, Yardstick("md5", MD5)),
        (described(f"{MD5}-2"), SIZES, Yardstick("md5", f"{MD5}-2", SIZES)),
        (described(f"{MD5}-2"), None, None),
        (described(f"{MD5}-2", crc64nvme="c"), None, Yardstick("crc64nvme", "c")),
        (described(MD5, encrypted=True), None, None),
        (described(MD5, encrypted=True, crc32="c", sha256="s"), None, Yardstick("sha256", "s")),
        (described(f"{MD5}-2", encrypted=True, sha256="s-2"), SIZES, Yardstick("sha256", "s-2", SIZES)),
        (described(f"{MD5}-2", encrypted=True, sha256="s-2"), None, None),
        (described(f"{MD5}-2", encrypted=True, sha256="s-2", crc32="c"), None, Yardstick("crc32", "c")),
        (described("0x8D4BCC2E4835CD0"), None, None),
        (described("0x8D4BCC2E4835CD0", crc32c="c"), None, Yardstick("crc32c", "c")),
        (described("0x8D4BCC2E4835CD0", blake9="c"), None, None),
    ],
)
def test_what_an_object_is_checked_by(one, told, expected):
    assert yardstick_of(one, lambda: told) == expected


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [  # the check values of the catalogue of CRC algorithms, and of the RFCs
        ("crc32", "cbf43926"),
        ("crc32c", "e3069283"),
        ("crc64nvme", "ae8b14860a799888"),
        ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ],
)
def test_checksums_are_those_of_the_standards(algorithm, digest):
    expected = b64encode(bytes.fromhex(digest)).decode()
    assert measured(Yardstick(algorithm, ""), [b"1234", b"", b"56789"]) == expected


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200)), blocks=st.lists(st.integers(1, 50)))
def test_parts_and_blocks_have_nothing_to_do_with_each_other(data, cuts, blocks):
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    sizes = tuple(end - start for start, end in pairwise(edges)) or (0,)
    parts, given_out, at = [], [], 0
    for size in sizes:
        parts.append(hashlib.md5(data[at : at + size], usedforsecurity=False).digest())
        at += size
    at = 0
    for size in [*blocks, len(data) + 1]:
        given_out.append(data[at : at + size])
        at += size
    assert measured(Yardstick("md5", "", sizes), given_out) == combined_etag(parts)
    assert measured(Yardstick("md5", ""), given_out) == hashlib.md5(data, usedforsecurity=False).hexdigest()
