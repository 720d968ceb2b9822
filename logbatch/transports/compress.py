"""Compress a rotated JSON Lines file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from logbatch.disk import publish, read_blocks, sync_directory
from logbatch.forks import holding_off


def compress_file(path: Path, method: str) -> None:
    """Replace a file by its compressed form; a crash may leave both, which count as one.

    Raises:
        OSError: The compressed form could not be written; the file is as it was.
    """
    blocks = read_blocks(path, 0, path.stat().st_size)
    suffix, make = COMPRESSIONS[method]
    publish(path.with_name(path.name + suffix), make(blocks))
    sync_directory(path.parent)
    os.unlink(path)


def _gzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    import zlib

    stream = zlib.compressobj(wbits=31)
    for block in blocks:
        yield stream.compress(block)
    yield stream.flush()


def _zstd(blocks: Iterable[bytes]) -> Iterator[bytes]:
    import pyarrow as pa

    sink: Any = _Sink()
    with holding_off():
        stream = pa.CompressedOutputStream(pa.PythonFile(sink, "w"), "zstd")
    try:
        for block in blocks:
            with holding_off():
                stream.write(block)
            yield from sink.drain()
    finally:
        with holding_off():
            stream.close()
    yield from sink.drain()


class _Sink:
    """What Arrow writes to."""

    closed = False

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, block: bytes) -> int:
        self._blocks.append(bytes(block))
        return len(block)

    def drain(self) -> list[bytes]:
        blocks, self._blocks = self._blocks, []
        return blocks

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


COMPRESSIONS: Mapping[str, tuple[str, Callable[[Iterable[bytes]], Iterator[bytes]]]] = {
    "zstd": (".zst", _zstd),
    "gzip": (".gz", _gzip),
}
"""By name: the end of the file's name, and what compresses."""

LIBRARIES: Mapping[str, str] = {"zstd": "pyarrow", "gzip": "zlib"}
"""By name: what a compression, of a file or of a body, is imported from."""
