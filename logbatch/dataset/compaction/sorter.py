"""DuckDB, as a compaction needs it: files in, records out in order, within a limit of memory.

What does not fit into memory is put into files of the compaction's own directory.  DuckDB is given
the exact files; whoever stops the compaction interrupts it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pyarrow as pa

from logbatch.dataset.filter.literals import quoted_text
from logbatch.errors import QueryError
from logbatch.identity import Ranges
from logbatch.storage.columns import COLUMNS

if TYPE_CHECKING:
    import duckdb

BATCH = 65_536  # rows that are taken at a time, which make a row group
OWN_MEMORY = 300_000_000
"""Bytes that Python, Arrow and the rows of one batch take beside what DuckDB is allowed."""

LEAST_MEMORY = OWN_MEMORY + 200_000_000
"""Bytes with which a compaction gets along, however large it is."""


_FOR_A_THREAD = 100_000_000  # bytes of memory, without which there is one thread less

_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET preserve_insertion_order = false",
    "SET enable_progress_bar = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
)
_KEEP = "CASE WHEN json_valid(attributes) THEN attributes END"
_FIXED = ", ".join(f'"{name}"' for name in COLUMNS)
_ORDER = 'timestamp, "producer", "sequence"'


class Numbers(NamedTuple):
    """What the values of an attribute are.

    Attributes:
        types: How many there are of each type of JSON, as DuckDB calls them.
        low: The least number; None where there is none.
        high: The greatest one.
    """

    types: dict[str, int]
    low: float | None
    high: float | None


class Sorter:
    """A connection of a compaction.

    Args:
        spill: A directory for what does not fit into memory; it is made if need be.
        memory: Bytes that the process may take, `LEAST_MEMORY` or more.
        threads: How many threads may work.

    Raises:
        QueryError: DuckDB is not installed.
    """

    def __init__(self, spill: Path, memory: int, threads: int) -> None:
        try:
            import duckdb
        except ModuleNotFoundError:
            raise QueryError('compaction needs DuckDB: pip install "logbatch[tools]"') from None
        self.error: type[Exception] = duckdb.Error
        self.no_memory: type[Exception] = duckdb.OutOfMemoryException
        self._connection: duckdb.DuckDBPyConnection = duckdb.connect(":memory:")
        self._source = ""
        self._slices = "0"
        for setting in _SETTINGS:
            self._connection.execute(setting)
        self._connection.execute(f"SET memory_limit = '{memory - OWN_MEMORY}B'")
        threads = max(1, min(threads, (memory - OWN_MEMORY) // _FOR_A_THREAD))
        self._connection.execute(f"SET threads = {threads}")
        self._connection.execute("SET temp_directory = $path", {"path": os.fspath(spill)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def interrupt(self) -> None:
        """End what it is doing, from another thread."""
        self._connection.interrupt()

    # -------------------------------------------------------------- files

    def join(self, files: Sequence[Path], target: Path) -> None:
        """Write the fixed columns of files into one Parquet file."""
        self._connection.execute(
            f"COPY (SELECT {_FIXED} FROM {_read(files)}) TO {quoted_text(os.fspath(target))}"
            " (FORMAT parquet, COMPRESSION zstd)"
        )

    def use(self, files: Sequence[Path]) -> None:
        """Take the records from these files from now on."""
        self._source = f"(SELECT {_FIXED} FROM {_read(files)})"
        self._slices = "0"

    # -------------------------------------------------------------- what is in them

    def keys(self, least: int) -> list[tuple[str, int]]:
        """Return the attributes that so many records have, and how many have them."""
        return self._ask(
            f"SELECT key, count(*) AS n FROM (SELECT unnest(json_keys({_KEEP})) AS key"
            f" FROM {self._source}) GROUP BY key HAVING n >= $least ORDER BY n DESC, key",
            least=least,
        )

    def describe(self, names: Sequence[str]) -> list[Numbers]:
        """Return what the values of attributes are."""
        parts, answers = [f"{_KEEP} AS kept"], []
        for at, name in enumerate(names):
            pointer = quoted_text(point_at(name))
            parts.append(f"json_type(kept, {pointer}) AS t{at}")
            parts.append(f"try_cast(kept->>{pointer} AS DOUBLE) AS n{at}")
            number = f"FILTER (WHERE t{at} IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE'))"
            answers += [f"histogram(t{at})", f"min(n{at}) {number}", f"max(n{at}) {number}"]
        query = f"SELECT {', '.join(answers)} FROM (SELECT {', '.join(parts)} FROM {self._source})"
        row = self._ask(query)[0] if names else ()
        return [Numbers(row[at] or {}, *row[at + 1 : at + 3]) for at in range(0, len(row), 3)]

    def divide(self, slices: int) -> int:
        """Divide the records into slices of time of about the same number; return how many."""
        shares = ", ".join(f"{at / slices:.6f}" for at in range(1, slices))
        moments = self._ask(
            f"SELECT quantile_disc(epoch_us(timestamp), [{shares}]) FROM {self._source}"
        )[0][0]
        bounds = sorted(set(moments))
        cases = (f"WHEN epoch_us(timestamp) < {bound} THEN {at}" for at, bound in enumerate(bounds))
        self._slices = f"CASE {' '.join(cases)} ELSE {len(bounds)} END" if bounds else "0"
        return len(bounds) + 1

    def stay_whole(self) -> None:
        """Have one slice only."""
        self._slices = "0"

    def identities(self, most: int | None) -> dict[int, dict[str, Ranges]] | None:
        """Return which records are in each slice; None where those are more ranges than `most`.

        A record that is there twice makes ranges overlap; `rows` tells how many there are.
        """
        limit = "" if most is None else f" LIMIT {most + 1}"
        found = self._ask(
            "SELECT slice, producer, min(sequence), max(sequence) FROM (SELECT slice, producer,"
            " sequence, sequence - row_number() OVER (PARTITION BY slice, producer ORDER BY"
            f" sequence) AS run FROM (SELECT {self._slices} AS slice, producer, sequence FROM"
            f" {self._source})) GROUP BY slice, producer, run{limit}"
        )
        if most is not None and len(found) > most:
            return None
        ranges: dict[int, dict[str, Ranges]] = {}
        for at, producer, first, last in found:
            ranges.setdefault(at, {}).setdefault(producer, Ranges()).add(first, last)
        return ranges

    def rows(self) -> int:
        """Count the records."""
        return int(self._ask(f"SELECT count(*) FROM {self._source}")[0][0])

    def stream(self, at: int, cluster: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the records of a slice in order.

        Args:
            at: The slice.
            cluster: Expressions by which they are ordered before their time.
        """
        order = ", ".join([*(f"{each} NULLS LAST" for each in cluster), _ORDER])
        query = f"SELECT {_FIXED} FROM {self._source} WHERE {self._slices} = {at} ORDER BY {order}"
        relation: Any = self._connection.sql(query)
        # DuckDB 1.3 has the older of the two names only.
        read = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
        yield from read(BATCH)

    def _ask(self, query: str, **values: Any) -> list[Any]:
        return self._connection.execute(query, values or None).fetchall()


def order_by(name: str, kind: str | None) -> str:
    """Return the expression that orders records by a column, or else by an attribute.

    Args:
        name: As in a filter.
        kind: The type of the typed column that the attribute has; None where it has none.
    """
    if name in COLUMNS and name != "attributes":
        return f'"{name}"'
    name = name.removeprefix("attributes.")
    value = f"({_KEEP})->>{quoted_text(point_at(name))}"
    if "." in name:  # a key with a dot, or one within another
        value = f"coalesce({value}, ({_KEEP})->>{quoted_text(point_at(*name.split('.')))})"
    types = {"int64": "BIGINT", "float64": "DOUBLE"}
    return f"try_cast({value} AS {types[kind]})" if kind in types else f"({value})"


def point_at(*keys: str) -> str:
    """Return the JSON pointer to a key."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def _read(files: Sequence[Path]) -> str:
    names = ", ".join(quoted_text(os.fspath(file)) for file in files)
    return f"read_parquet([{names}], hive_partitioning = false)"
