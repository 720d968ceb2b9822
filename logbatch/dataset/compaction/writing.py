"""Compacted files: what they are written with.

Measured on 300,000 records of the call in `benchmarks/calls.py` (four values in `extra=`), sorted
by time, in bytes a record; and, in brackets, on records whose paths, times and ids are random:

    as transports write it (zstd 1, dictionaries)                     5.5  (21.9)
    timestamp and sequence as differences (DELTA_BINARY_PACKED)       3.7  (20.2)
    … and zstd 3                                                      3.5  (20.7)
    … zstd 9 and pages of 8 MB, four times as slow                    3.4  (18.8)
    row groups of 64 k, 128 k, 256 k rows                             all within 1 %

So differences, zstd 3, and row groups of 128 k rows, which hold a minute or an hour of most logs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from logbatch.disk import create_file, sync_file
from logbatch.storage.arrow import promote
from logbatch.storage.arrow import schema as make_schema
from logbatch.storage.columns import COLUMNS
from logbatch.storage.coverage import KEY, Coverage, encode_coverage

# Columns in which hardly two rows agree; a dictionary of their values would be built in vain.
_DIFFERENT = {"timestamp", "message", "attributes", "trace_id", "span_id", "sequence"}
_DIFFERENCES = {"timestamp": "DELTA_BINARY_PACKED", "sequence": "DELTA_BINARY_PACKED"}
_BUFFER = 1 << 20


class CompactedFile:
    """A compacted file while it is written.

    Args:
        path: The file, which is created.
        columns: The typed columns and their types.
        order: The columns by which the records are ordered, before their time; None where they
            are ordered by something that is no column.
    """

    def __init__(
        self, path: Path, columns: Mapping[str, str], order: Sequence[str] | None = ()
    ) -> None:
        self.path = path
        self.rows = 0
        self._columns = columns
        self._schema = make_schema(columns)
        self._file = open(create_file(path), "wb", buffering=_BUFFER)  # noqa: SIM115
        by = None if order is None else dict.fromkeys([*order, "timestamp", "producer", "sequence"])
        repeated: Any = [name for name in self._schema.names if name not in _DIFFERENT]
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=repeated,
            column_encoding=_DIFFERENCES,
            write_page_index=True,
            sorting_columns=None if by is None else self._sorting(by),
            store_schema=False,
        )

    def _sorting(self, names: Iterable[str]) -> Any:
        pairs: Any = [(name, "ascending") for name in names]
        return pq.SortingColumn.from_ordering(self._schema, pairs, null_placement="at_end")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):  # what is left is removed
            self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()

    def append(self, batch: pa.RecordBatch) -> None:
        """Append records, as a row group of their own."""
        attributes = batch.column(batch.schema.get_field_index("attributes"))
        arrays = {name: batch.column(batch.schema.get_field_index(name)) for name in COLUMNS}
        arrays |= promote(attributes, self._columns)
        columns = [
            arrays[field.name].cast(field.type)
            if arrays[field.name].type != field.type
            else arrays[field.name]
            for field in self._schema
        ]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._writer.write_table(table, row_group_size=max(1, len(table)))
        self.rows += len(table)

    def finish(self, coverage: Coverage, modified: int) -> int:
        """Write the end, and bring all to the disk; return how many bytes the file has.

        Args:
            coverage: Which records are in it.
            modified: When the newest input was written, in nanoseconds since 1970: no record is
                newer, as readers take for granted.
        """
        self._writer.add_key_value_metadata({KEY.decode(): encode_coverage(coverage).decode()})
        self._writer.close()
        self._file.flush()
        os.utime(self._file.fileno(), ns=(modified, modified))
        sync_file(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size
