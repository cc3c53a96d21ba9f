"""Declared digests: RFC 9530, RFC 3230, RFC 1864."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.protocol.digest import declared_digests

DIGEST = hashlib.sha256(b"hello")
HEX = DIGEST.hexdigest()
BASE64 = base64.b64encode(DIGEST.digest()).decode()
MD5 = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
SHA512 = base64.b64encode(hashlib.sha512(b"hello").digest()).decode()
OTHER = base64.b64encode(hashlib.sha256(b"other").digest()).decode()


def parse_repr_digest(header: str | None) -> str | None:
    found = declared_digests({} if header is None else {"repr-digest": header})
    assert all(digest.algorithm == "sha256" for digest in found)
    return found[0].hex if found else None


@pytest.mark.parametrize(
    "header",
    [
        f"sha-256=:{BASE64}:",
        f"sha-256=:{BASE64.rstrip('=')}:",
        f"sha-256={BASE64}",
        f"sha-256={HEX}",
        f"SHA-256={HEX.upper()}",
        f" sha-256=:{BASE64}: ",
        f"sha-512=:AAAA:, sha-256=:{BASE64}:",
        f"sha-256=:{BASE64}:;by=me, md5=:AAAA:",
        f'other="a,sha-256=x",sha-256=:{BASE64}:',
        f"flag, sha-256=:{BASE64}:",
        f"sha-256=:{OTHER}:, sha-256=:{BASE64}:",
    ],
)
def test_a_sha256_is_found(header: str) -> None:
    assert parse_repr_digest(header) == HEX


@pytest.mark.parametrize(
    "header",
    [None, "", ",", "crc32c=:AAAA:", "x-sha-256=:AAAA:", 'a="sha-256=:AAAA:"', "nonsense"],
)
def test_fields_without_a_sha256(header: str | None) -> None:
    assert parse_repr_digest(header) is None


@pytest.mark.parametrize(
    "value",
    ["", "::", ":", ":AAAA:", HEX[:-1], HEX + "0", f":{HEX}:", f":{BASE64}", "é" * 64, f'"{HEX}"'],
)
def test_a_malformed_sha256_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="sha-256 in Repr-Digest"):
        parse_repr_digest(f"sha-256={value}")


def test_a_sha256_without_a_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="sha-256"):
        parse_repr_digest("sha-256")


@pytest.mark.parametrize(
    ("headers", "algorithm"),
    [
        ({"content-md5": MD5}, "md5"),
        ({"digest": f"SHA-256={BASE64}"}, "sha256"),
        ({"digest": f"md5={MD5}"}, "md5"),
        ({"digest": f"unixsum=30637, SHA-512={SHA512}"}, "sha512"),
        ({"content-digest": f"sha-512=:{SHA512}:"}, "sha512"),
    ],
)
def test_older_fields_are_read(headers: dict[str, str], algorithm: str) -> None:
    (digest,) = declared_digests(headers)
    assert digest.algorithm == algorithm
    assert digest.holds(hashlib.new(algorithm, b"hello").hexdigest())
    assert not digest.holds(hashlib.new(algorithm, b"other").hexdigest())


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"content-md5": "AAAA"}, "Content-MD5"),
        ({"content-md5": ""}, "Content-MD5"),
        ({"digest": "unixsum=30637"}, "Digest holds none of"),
        ({"content-digest": "nonsense"}, "Content-Digest holds none of"),
        ({"content-digest": "sha-512=:AAAA:"}, "sha-512 in Content-Digest"),
    ],
)
def test_a_digest_that_cannot_be_verified_is_an_error(headers: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        declared_digests(headers)


@given(st.binary(), st.sampled_from(["sha-256=:{}:", "sha-256={}", "a=1, sha-256=:{}:;p"]))
def test_every_digest_reads_back(data: bytes, form: str) -> None:
    digest = hashlib.sha256(data)
    encoded = base64.b64encode(digest.digest()).decode()
    assert parse_repr_digest(form.format(encoded)) == digest.hexdigest()


@given(st.one_of(st.text(), st.text(':=,;"\\ab-').map("sha-256=".__add__)))
def test_any_text_gives_a_digest_none_or_a_value_error(header: str) -> None:
    try:
        digest = parse_repr_digest(header)
    except ValueError:
        assert "sha-256" in header.lower()
    else:
        assert digest is None or len(bytes.fromhex(digest)) == 32
