"""DuckDB, as a compaction needs it: files in, records out in order, within a limit of memory.

DuckDB can sort more than fits into memory, but not any number of times more.  So records are
sorted part by part, and a part is about as many as fit; what does not after all is put into files
of the compaction's own directory.  DuckDB is given the exact files; whoever stops the compaction
interrupts it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import count
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
_FOR_A_ROW = 600  # bytes that a row takes while it is sorted, beside its texts
_FOR_A_NUMBER = 100  # bytes that a row takes where only its producer and sequence are wanted
_FITS = 0.5  # of the memory: what a part is estimated to take
_SAMPLE = 50_000  # rows by which all are divided
_BLOCK = 1 << 16  # consecutive sequences that are looked at together
_RUNS = 10_000  # of them that are taken at a time

_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET preserve_insertion_order = false",
    "SET enable_progress_bar = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
)
_KEEP = "CASE WHEN json_valid(attributes) THEN attributes END"
_FIXED = ", ".join(f'"{name}"' for name in COLUMNS)
_ORDER = ("timestamp", '"producer"', '"sequence"')
_TEXTS = " + ".join(
    f'coalesce(strlen("{name}"), 0)' for name, column in COLUMNS.items() if column.type == "string"
)
_WEIGHT = f"{_FOR_A_ROW} + 2 * ({_TEXTS})"
"""Bytes that a row takes while it is sorted: texts are there once more when they come out."""


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


class End(NamedTuple):
    """Where a part of the records ends, as conditions.

    Attributes:
        before: Holds for the records before it.
        since: Holds for all others.
    """

    before: str
    since: str


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
        self._memory = memory - OWN_MEMORY
        self._numbers = count()
        self._source = ""
        self._rows = 0
        self._ends: list[End] = []  # of the slices but the last
        self._sizes: dict[int, int] = {}  # bytes that each slice takes while it is sorted
        for setting in _SETTINGS:
            self._connection.execute(setting)
        self._connection.execute(f"SET memory_limit = '{self._memory}B'")
        threads = max(1, min(threads, self._memory // _FOR_A_THREAD))
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
        self._slice_at([])

    def _fitting(self, size: int) -> int:
        """Return into how many parts something is to be divided, so that each fits into memory."""
        return 1 + int(size / (self._memory * _FITS))

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
        """Divide the records into slices of time of about the same size; return how many."""
        self._slice_at(self._cut("TRUE", ["timestamp"], slices))
        return len(self._ends) + 1

    def stay_whole(self) -> None:
        """Have one slice only."""
        self._slice_at([])

    def _slice_at(self, ends: list[End]) -> None:
        """Have slices with these ends, and measure them."""
        self._ends = ends
        found = self._ask(
            f"SELECT {self._slice()} AS slice, count(*), sum({_WEIGHT}) FROM {self._source}"
            " GROUP BY slice"
        )
        self._rows = sum(rows for _, rows, _ in found)
        self._sizes = {at: int(weight) for at, _, weight in found}

    def _slice(self) -> str:
        """Return the expression for the slice that a record is in."""
        cases = " ".join(f"WHEN {end.before} THEN {at}" for at, end in enumerate(self._ends))
        return f"CASE {cases} ELSE {len(self._ends)} END" if cases else "0"

    def _cut(self, within: str, keys: Sequence[str], parts: int) -> list[End]:
        """Divide some records by the order of keys; return all ends but the last.

        Each part takes about as much memory as any other.
        """
        columns = ", ".join(f"{key} AS k{at}" for at, key in enumerate(keys))
        order = ", ".join(f"k{at} NULLS LAST" for at in range(len(keys)))
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE sample AS SELECT *, row_number() OVER place AS n,"
            " sum(weight) OVER place AS reached FROM (SELECT * FROM"
            f" (SELECT {columns}, {_WEIGHT} AS weight FROM {self._source} WHERE {within})"
            f" USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE (1))"
            f" WINDOW place AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)"
        )
        firsts = self._ask(
            f"SELECT min(n) AS first FROM (SELECT n, (reached - weight) * {parts} // sum(weight)"
            " OVER () AS part FROM sample) GROUP BY part ORDER BY first"
        )
        return [self._end_at(first, keys) for (first,) in firsts[1:]]

    def _end_at(self, row: int, keys: Sequence[str]) -> End:
        """Return an end before a row of the sample."""
        name, before = f"end_{next(self._numbers)}", "FALSE"
        for at in reversed(range(len(keys))):
            value = f"getvariable('{name}_{at}')"
            self._connection.execute(
                f"SET VARIABLE {name}_{at} = (SELECT k{at} FROM sample WHERE n = {row})"
            )
            less = f"coalesce({keys[at]} < {value}, {value} IS NULL AND {keys[at]} IS NOT NULL)"
            before = f"({less} OR ({keys[at]} IS NOT DISTINCT FROM {value} AND {before}))"
        if keys[0] != "timestamp":
            return End(before, f"NOT {before}")
        # It is never null; so the engine leaves out row groups that lie on the other side.
        value = f"getvariable('{name}_0')"
        return End(f"timestamp <= {value} AND {before}", f"timestamp >= {value} AND NOT {before}")

    def identities(self, most: int | None) -> dict[int, dict[str, Ranges]] | None:
        """Return which records are in each slice; None where those are more ranges than `most`.

        A record that is there twice makes ranges overlap; `rows` tells how many there are.
        """
        ranges: dict[int, dict[str, Ranges]] = {}
        parts, runs = self._fitting(self._rows * _FOR_A_NUMBER), 0
        for part in range(parts):
            # What is divided at the end of a block is put together again as it comes.
            for at, producer, first, last in self._runs(f"sequence // {_BLOCK} % {parts} = {part}"):
                ranges.setdefault(at, {}).setdefault(producer, Ranges()).add(first, last)
                runs += 1
                if most is not None and runs > most + self._rows // _BLOCK * (parts > 1):
                    return None
        return ranges

    def _runs(self, within: str) -> Iterator[tuple[int, str, int, int]]:
        """Yield slice, producer, first and last sequence of what is consecutive."""
        found = self._connection.execute(
            "SELECT slice, producer, min(sequence), max(sequence) FROM (SELECT slice, producer,"
            " sequence, sequence - row_number() OVER (PARTITION BY slice, producer ORDER BY"
            f" sequence) AS run FROM (SELECT {self._slice()} AS slice, producer, sequence FROM"
            f" {self._source} WHERE {within})) GROUP BY slice, producer, run"
        )
        while rows := found.fetchmany(_RUNS):
            yield from rows

    def rows(self) -> int:
        """Return how many records there are."""
        return self._rows

    def is_unknown(self, expression: str) -> bool:
        """Return whether an expression has no value in any record."""
        return not self._ask(f"SELECT 1 FROM {self._source} WHERE {expression} IS NOT NULL LIMIT 1")

    def stream(self, at: int, cluster: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the records of a slice in order.

        Args:
            at: The slice.
            cluster: Expressions by which they are ordered before their time.
        """
        keys = list(dict.fromkeys([*cluster, *_ORDER]))
        order = ", ".join(f"{each} NULLS LAST" for each in keys)
        within_slice = _between(self._ends, at)
        parts = self._fitting(self._sizes.get(at, 0))
        ends = self._cut(within_slice, keys, parts) if parts > 1 else []
        for part in range(len(ends) + 1):
            within = f"{within_slice} AND {_between(ends, part)}"
            relation: Any = self._connection.sql(
                f"SELECT {_FIXED} FROM {self._source} WHERE {within} ORDER BY {order}"
            )
            # DuckDB 1.3 has the older of the two names only.
            read = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
            yield from read(BATCH)

    def _ask(self, query: str, **values: Any) -> list[Any]:
        return self._connection.execute(query, values or None).fetchall()


def _between(ends: Sequence[End], at: int) -> str:
    """Return the condition that a record is in one of the parts that have these ends."""
    tests = [end.since for end in ends[max(at - 1, 0) : at]]
    tests += [end.before for end in ends[at : at + 1]]
    return " AND ".join(tests) or "TRUE"


def order_by(name: str, kind: str | None) -> str:
    """Return the expression that orders records by a column, or else by an attribute.

    Args:
        name: As in a filter.
        kind: The type of the typed column that the attribute has; None where it has none.
    """
    if name in COLUMNS and name != "attributes":
        return f'"{name}"'
    name = attribute_of(name)
    value = f"({_KEEP})->>{quoted_text(point_at(name))}"
    if "." in name:  # a key with a dot, or one within another
        value = f"coalesce({value}, ({_KEEP})->>{quoted_text(point_at(*name.split('.')))})"
    types = {"int64": "BIGINT", "float64": "DOUBLE"}
    return f"try_cast({value} AS {types[kind]})" if kind in types else f"({value})"


def attribute_of(name: str) -> str:
    """Return the name of an attribute, as a filter may write it, without what stands before."""
    return name.removeprefix("attributes.")


def point_at(*keys: str) -> str:
    """Return the JSON pointer to a key."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def _read(files: Sequence[Path]) -> str:
    names = ", ".join(quoted_text(os.fspath(file)) for file in files)
    return f"read_parquet([{names}], hive_partitioning = false)"
