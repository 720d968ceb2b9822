"""Parquet files: each batch a segment of its own, published atomically.

    <path>/date=2026-11-21/<producer>-<first>-<last>.parquet

The columns are those of `logbatch.storage.arrow`, the same in every file.  Readers see a file
whole or not at all.  The batch is converted on the flusher's thread, in short stretches between
which the application's threads run; compression needs no interpreter lock.

While nothing is to be sent, small files of one producer are merged into larger ones
(`logbatch.transports.merging`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from logbatch.disk import publish
from logbatch.errors import TemporaryError
from logbatch.forks import holding_off
from logbatch.gil import Yielder
from logbatch.identity import SegmentName
from logbatch.options import choice, proportion, switch, whole
from logbatch.storage.arrow import check_columns, schema, table_from_lines
from logbatch.storage.arrow import columns as names
from logbatch.storage.merge import Format
from logbatch.storage.tiers import File, Limits
from logbatch.transports.base import Batch, Tidied
from logbatch.transports.directory import DirectoryTransport
from logbatch.transports.merging import Merger

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
_COMPRESSION = choice(*COMPRESSIONS)
_COMPACT_BYTES = whole(1 << 16, 1 << 30, "bytes")

# Columns in which hardly two rows agree; a dictionary of their values would be built in vain.
_DIFFERENT = {"timestamp", "message", "attributes", "trace_id", "span_id", "sequence"}


class ParquetTransport(DirectoryTransport):
    """Writes each batch as one Parquet file.

    Args:
        path: The directory; `~` is the home directory, a relative one is resolved now.  It is made
            by the first batch.
        columns: Attributes that also get a typed column, by name: `{"user_id": "int64"}`.  Types
            are int64, float64, bool, string and timestamp.
        compression: `"zstd"`, `"snappy"`, `"gzip"`, `"lz4"`, `"brotli"` or `"none"`.
        compact: Whether small files of one producer are merged while nothing is to be sent.
        compact_share: How much of one core that may take, from 0.01 to 1.
        compact_bytes: How large a file may become by it.
        retain_age: How old records may become, `"14d"`; older files are removed.  None keeps them.
        retain_bytes: What all files may take of the disk, `"5GB"`; the oldest are removed.

    Attributes:
        clock: Seconds that only go forward, for the pauses between merging.
        group_bytes: How much a row group of a merged file holds, before it is encoded.

    Raises:
        ValueError: A column, its type or an option is not in order.
    """

    kind = "parquet"
    defaults: ClassVar[Mapping[str, Any]] = {
        "flush_interval": 1.0,
        "max_batch_size": 100_000,
        "max_batch_bytes": 16 << 20,
    }

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Mapping[str, str] | None = None,
        compression: str = "zstd",
        compact: bool = True,
        compact_share: float = 0.1,
        compact_bytes: int = 32 << 20,
        retain_age: str | float | None = None,
        retain_bytes: str | int | None = None,
    ) -> None:
        super().__init__(path, retain_age, retain_bytes)
        self.clock: Callable[[], float] = time.monotonic
        self.group_bytes = 16 << 20
        self._columns = check_columns(columns)
        self._format: dict[str, Any] = {
            "compression": _COMPRESSION("compression", compression or "none"),
            "use_dictionary": [name for name in names(self._columns) if name not in _DIFFERENT],
            "store_schema": False,  # it says nothing that the columns do not
        }
        share = proportion("compact_share", compact_share)
        limits = Limits(size=_COMPACT_BYTES("compact_bytes", compact_bytes))
        self._merger = (
            Merger(lambda: self._form, limits, share) if switch("compact", compact) else None
        )

    @cached_property
    def _form(self) -> Format:
        return Format(schema(self._columns), self._format, self.group_bytes)

    def tidy(self) -> Tidied:
        """Merge small files of one producer, for some milliseconds."""
        if self._merger is None:
            return Tidied()
        try:
            with self._told_as_temporary("merge files in"):
                return self._merger.step(self.clock())
        except TemporaryError:
            self._cleaned.clear()  # the next batch looks for what is left
            raise

    def close(self) -> None:
        """Leave files that are being merged as they are; none is open between two batches."""
        if self._merger is not None:
            self._merger.give_up()

    def after_fork(self) -> None:
        super().after_fork()
        if self._merger is not None:
            self._merger.forget()

    def _write(self, batch: Batch) -> int:
        with holding_off():
            content = self._convert(batch)
        name = str(SegmentName(batch.producer, batch.first, batch.last, "parquet"))
        with self._changing_folder() as folder:
            publish(folder / name, [memoryview(content)])
        if self._merger is not None:
            file = File(batch.first, batch.last, len(content))
            self._merger.add(folder, batch.producer, file, self.clock(), self.remembered)
        return len(content)

    def import_libraries(self) -> None:
        for name in ("pyarrow", "pyarrow.compute", "pyarrow.parquet"):
            import_module(name)

    def _convert(self, batch: Batch) -> pa.Buffer:
        table = table_from_lines(
            batch.lines,
            batch.producer,
            batch.first,
            self._columns,
            count=len(batch),
            pause=Yielder().let_others_run,
        )
        if len(table) != len(batch):
            raise ValueError(f"batch {batch.key} holds {len(table)} lines")
        return self._encode(table)

    def _encode(self, table: pa.Table) -> pa.Buffer:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **self._format)
        return sink.getvalue()
