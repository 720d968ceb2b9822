"""Bodies that are compressed: inflated step by step, and no further than the limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from logbatch.server.limits import Refusal
from logbatch.server.zstd_frames import check_frames

_STEP = 256 << 10  # bytes
_CHUNK = 16 << 10  # bytes that zlib is given at a time: what it leaves is copied
_MEMBERS = 1000  # each costs some microseconds, however short it is
_GZIP = 31  # the window bits by which zlib knows gzip, with any window


def inflate(data: bytes, encoding: str, limit: int, grow: Callable[[int], None]) -> bytes:
    """Inflate a body; one of several members or frames is all of them, one after another.

    Args:
        data: The body as it was sent.
        encoding: `gzip` or `zstd`.
        limit: Bytes from which on it is too long.
        grow: Told about each step, before it is kept, and that its bytes are there twice: they are
            copied in the end.

    Raises:
        Refusal: It is too long or takes too much (413), or is damaged, cut off, or followed by
            something else (400).
    """
    pieces, total = [], 0
    for piece in _STREAMS[encoding](data):
        total += len(piece)
        if total > limit:
            raise Refusal(413, f"the body is longer than {limit} bytes when it is inflated")
        grow(2 * len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _gunzip(data: bytes) -> Iterator[bytes]:
    members, stream = 0, zlib.decompressobj(_GZIP)
    try:
        for at in range(0, len(data), _CHUNK):
            rest = data[at : at + _CHUNK]
            while rest:
                if stream.eof:
                    members, stream = members + 1, zlib.decompressobj(_GZIP)
                    if members > _MEMBERS:
                        raise Refusal(400, f"the body has more than {_MEMBERS} members of gzip")
                yield stream.decompress(rest, _STEP)
                rest = stream.unconsumed_tail or stream.unused_data
        while data and not stream.eof:  # a little may wait inside
            piece = stream.decompress(b"", _STEP)
            if not piece and not stream.eof:
                raise Refusal(400, "the compressed body is cut off")
            yield piece
    except zlib.error:
        raise Refusal(400, "the body is not the gzip that it is said to be") from None


def _unzstd(data: bytes) -> Iterator[bytes]:
    import pyarrow as pa

    check_frames(data)
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            while piece := stream.read(_STEP):
                yield piece
    except OSError:
        raise Refusal(400, "the body is not the zstd that it is said to be") from None


_STREAMS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "zstd": _unzstd,
}
ENCODINGS = frozenset(_STREAMS)
"""What `inflate` knows; a body may also be sent plain."""
