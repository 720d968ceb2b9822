"""Tables of records as Parquet, CSV or JSON Lines, written into a file as they come.

CSV is mostly opened by spreadsheets, and those run a text that begins with `=`, `+`, `-` or `@` as
a formula; what a log holds was often written by strangers.  So such a text gets a `'` in front
(https://owasp.org/www-community/attacks/CSV_Injection), unless it is asked for exactly.
"""

from __future__ import annotations

from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from logbatch.dataset.batches import lines_of_table
from logbatch.dataset.footers import FIXED
from logbatch.storage.arrays import make_scalar
from logbatch.storage.columns import COLUMNS

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

FORMATS = ("parquet", "csv", "jsonl")
_GROUP = 100_000  # rows of a row group
_STRIDE = 1_000  # rows that are made lines at a time
_FORMULA = r"^[=+\-@\t\r]"


class Writer(Protocol):
    """Writes tables into an open file."""

    def write(self, table: pa.Table) -> object: ...
    def close(self) -> object: ...


def make_writer(file: IO[bytes], form: str, *, exact: bool = False) -> Writer:
    """Make what writes tables of the fixed columns into a file.

    Args:
        file: The file; it is left open.
        form: One of `FORMATS`.
        exact: Whether texts that look like formulas are left as they are in CSV.
    """
    if form == "parquet":
        return _Parquet(file)
    return _Csv(file, exact=exact) if form == "csv" else _Lines(file)


class _Parquet:
    def __init__(self, file: IO[bytes]) -> None:
        self._writer = pq.ParquetWriter(file, FIXED, compression="zstd", store_schema=False)
        self._tables: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        self._tables.append(table)
        if sum(map(len, self._tables)) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables).cast(FIXED))
            self._tables = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


class _Lines:
    """JSON Lines, in the form of logbatch's own files."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, table: pa.Table) -> None:
        for at in range(0, len(table), _STRIDE):
            lines = [
                b'%b,"producer":"%b","sequence":%d}\n' % (line[:-2], producer.encode(), sequence)
                for producer, sequence, line in lines_of_table(table.slice(at, _STRIDE))
            ]
            self._file.write(b"".join(lines))

    def close(self) -> None:
        pass


class _Csv:
    """CSV in which a null is an empty field and an empty text is `""`."""

    def __init__(self, file: IO[bytes], *, exact: bool) -> None:
        self._file = file
        self._exact = exact
        file.write((",".join(COLUMNS) + "\n").encode())

    def write(self, table: pa.Table) -> None:
        columns = [self._convert(name, table.column(name)) for name in COLUMNS]
        options = pyarrow.csv.WriteOptions(include_header=False)
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(pa.table(dict(zip(COLUMNS, columns, strict=True))), sink, options)
        self._file.write(memoryview(sink.getvalue()))

    def _convert(self, name: str, column: Any) -> Any:
        if name == "timestamp":  # by hand: Arrow would look for a database of time zones
            text = column.cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
            text = pc.replace_substring(text, " ", "T", max_replacements=1)
            return pc.binary_join_element_wise(text, "Z", "")
        if self._exact or not pa.types.is_string(column.type):
            return column
        marked = pc.binary_join_element_wise(make_scalar("'", "string"), column, "")
        return pc.if_else(pc.match_substring_regex(column, _FORMULA), marked, column)

    def close(self) -> None:
        pass
