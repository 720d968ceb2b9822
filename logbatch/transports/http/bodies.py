"""The body of a request: the lines of a batch, joined; they are never decoded for that.

    logs     {"logs": [line, …]}
    array    [line, …]
    ndjson   one line after the other

A single event is sent as the JSON object that its line is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from logbatch.forks import holding_off

FORMS = ("logs", "array", "ndjson")
COMPRESSIONS = ("auto", "gzip", "zstd", "none")
SMALL = 1000  # bytes under which "auto" does not compress
_GZIP_LEVEL = 1  # logs shrink nearly as much as at 6, for a third of the time

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def join(lines: bytes, form: str) -> bytes:
    """Make the body of a batch.

    Args:
        lines: The events, each a line with its newline; there is no other newline in them.
        form: One of `FORMS`.
    """
    if form == "ndjson":
        return lines
    first, last = (b"[", b"]") if form == "array" else (b'{"logs":[', b"]}")
    # Each copy of a megabyte costs its page faults, so there are only two.
    listed = memoryview(lines.replace(b"\n", b","))[: len(lines) - lines.endswith(b"\n")]
    return b"".join((first, listed, last))


def media_type(form: str) -> str:
    """Name the media type of a body."""
    return "application/x-ndjson" if form == "ndjson" else "application/json"


def rename(lines: bytes, names: Mapping[str, str | None]) -> bytes:
    """Rename top-level keys of events; their values stay as they are, byte for byte.

    Args:
        lines: The events.
        names: Old name to new one; None leaves the key out.
    """
    return b"".join(
        msgspec.json.encode(_rename_keys(_decode(line), names)) + b"\n"
        for line in lines.splitlines()
    )


def _rename_keys(
    event: dict[str, msgspec.Raw], names: Mapping[str, str | None]
) -> dict[str, msgspec.Raw]:
    renamed = ((names.get(key, key), value) for key, value in event.items())
    return {key: value for key, value in renamed if key is not None}


def compress(body: bytes, method: str) -> tuple[bytes, str | None]:
    """Compress a body; the same bytes give the same bytes each time.

    Args:
        body: The body.
        method: One of `COMPRESSIONS`.

    Returns:
        The bytes to send, and their `Content-Encoding`, None where they are plain.
    """
    if method == "none" or (method == "auto" and len(body) < SMALL):
        return body, None
    name = "gzip" if method == "auto" else method
    return _COMPRESSORS[name](body), name


def _gzip(body: bytes) -> bytes:
    import zlib

    # wbits=31: a gzip header, without time and name.  One call, as each gives the interpreter lock
    # away and waits 5 ms for it where a thread of the application computes.
    return zlib.compress(body, _GZIP_LEVEL, wbits=31)


def _zstd(body: bytes) -> bytes:
    import pyarrow as pa

    with holding_off():
        compressed: bytes = pa.Codec("zstd").compress(body, asbytes=True)
    return compressed


_COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": _gzip, "zstd": _zstd}
