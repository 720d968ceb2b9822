"""Parquet files: each batch a segment of its own, published atomically.

    <path>/date=2026-11-21/<producer>-<first>-<last>.parquet

The columns are those of `logbatch.storage.arrow`, the same in every file.  Readers see a file
whole or not at all.  The batch is converted on the flusher's thread, in short stretches between
which the application's threads run; compression needs no interpreter lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from logbatch.disk import publish
from logbatch.gil import Yielder
from logbatch.identity import SegmentName
from logbatch.options import choice
from logbatch.storage.arrow import check_columns, table_from_lines
from logbatch.storage.arrow import columns as names
from logbatch.transports.base import Batch
from logbatch.transports.directory import DirectoryTransport

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
_COMPRESSION = choice(*COMPRESSIONS)

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
        retain_age: How old records may become, `"14d"`; older files are removed.  None keeps them.
        retain_bytes: What all files may take of the disk, `"5GB"`; the oldest are removed.

    Raises:
        ValueError: A column, its type or another option is not in order.
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
        retain_age: str | float | None = None,
        retain_bytes: str | int | None = None,
    ) -> None:
        super().__init__(path, retain_age, retain_bytes)
        self._columns = check_columns(columns)
        self._format: dict[str, Any] = {
            "compression": _COMPRESSION("compression", compression or "none"),
            "use_dictionary": [name for name in names(self._columns) if name not in _DIFFERENT],
            "store_schema": False,  # it says nothing that the columns do not
        }

    def close(self) -> None:
        """Close nothing: no file is open between two batches."""

    def _write(self, batch: Batch) -> int:
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
        content = memoryview(self._encode(table))
        name = str(SegmentName(batch.producer, batch.first, batch.last, "parquet"))
        with self._changing_folder() as folder:
            publish(folder / name, [content])
        return len(content)

    def import_libraries(self) -> None:
        for name in ("pyarrow", "pyarrow.compute", "pyarrow.parquet"):
            import_module(name)

    def _encode(self, table: pa.Table) -> pa.Buffer:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **self._format)
        return sink.getvalue()
