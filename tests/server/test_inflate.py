"""Compressed bodies: all of them, and nothing beyond the limit."""

from __future__ import annotations

import gzip
import subprocess
import zlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.server.inflate import inflate
from logbatch.server.limits import Refusal


def zstd(data: bytes) -> bytes:
    """Make one frame of zstd."""
    return pa.compress(data, codec="zstd", asbytes=True)


PACK = {"gzip": gzip.compress, "zstd": zstd}


def unpack(data: bytes, encoding: str, limit: int = 1 << 20) -> bytes:
    """Inflate, and check that all of it was told."""
    told: list[int] = []
    found = inflate(data, encoding, limit, told.append)
    assert 2 * len(found) == sum(told)
    return found


def refused(data: bytes, encoding: str, limit: int = 1 << 20) -> int:
    """Return the status with which a body is refused."""
    with pytest.raises(Refusal) as caught:
        unpack(data, encoding, limit)
    return caught.value.status


@pytest.mark.parametrize("encoding", PACK)
class TestBoth:
    @given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4))
    def test_parts(self, encoding: str, parts: list[bytes]) -> None:
        """Several members or frames are one body."""
        assert b"".join(parts) == unpack(b"".join(map(PACK[encoding], parts)), encoding)

    def test_a_large_body(self, encoding: str) -> None:
        """What is longer than a step comes whole."""
        data = bytes(range(256)) * 4000
        assert data == unpack(PACK[encoding](data), encoding)

    def test_damage(self, encoding: str) -> None:
        """What is cut off, followed by something else, or no such format is refused."""
        packed = PACK[encoding](b"hello" * 100)
        assert [400] * 4 == [
            refused(packed[:-2], encoding),
            refused(packed + b"garbage", encoding),
            refused(packed + packed[:9], encoding),
            refused(b"hello", encoding),
        ]

    def test_a_bomb(self, encoding: str) -> None:
        """Inflating stops at the limit, within a step."""
        packed = PACK[encoding](bytes(50 << 20))
        told: list[int] = []
        with pytest.raises(Refusal) as caught:
            inflate(packed, encoding, 1 << 20, told.append)
        assert (413, True) == (caught.value.status, sum(told) <= 2 << 20)

    def test_at_the_limit(self, encoding: str) -> None:
        """As much as the limit is taken, a byte more is not."""
        assert 1000 == len(unpack(PACK[encoding](bytes(1000)), encoding, 1000))
        assert 413 == refused(PACK[encoding](bytes(1001)), encoding, 1000)


def test_many_members() -> None:
    """A body of very many empty members costs no more than it is worth."""
    assert b"" == unpack(gzip.compress(b"") * 1000, "gzip")
    assert 400 == refused(gzip.compress(b"") * 100_000, "gzip")


def test_a_damaged_checksum() -> None:
    """The checksum of gzip is looked at."""
    packed = bytearray(gzip.compress(b"hello"))
    packed[-8] ^= 1
    assert 400 == refused(bytes(packed), "gzip")


def test_raw_deflate_is_not_gzip() -> None:
    """The formats that look like gzip to some are none."""
    assert 400 == refused(zlib.compress(b"hello"), "gzip")


def test_the_programs_of_these_names() -> None:
    """What the program gzip makes is understood."""
    done = subprocess.run(["gzip", "-9c"], input=b"hello" * 1000, capture_output=True, check=True)
    assert b"hello" * 1000 == unpack(done.stdout, "gzip")
