"""DuckDB, the one engine: it reads Parquet files for filters, rows, tables and SQL.

It is given the exact files of a snapshot, by name, and which of the records of a file are not
taken.  Where files differ in their columns it is told which there are, so it need not look into all
before it begins; a file that lacks one has nulls there.

What it does, it does on a thread of its own: while DuckDB works, a thread takes no signal.  Ctrl-C,
a time that is up, and a consumer that wants no more interrupt it.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa

from logbatch.dataset.filter.literals import quoted_text
from logbatch.dataset.footers import FIXED
from logbatch.dataset.snapshot import Part, Spans, Taken
from logbatch.dataset.stopping import Stopped, result_of

if TYPE_CHECKING:
    import duckdb

_T = TypeVar("_T")

MEMORY = 400_000_000
"""Bytes that it may take for what a caller has set no limit; beyond them it uses the disk."""

BATCH = 10_000  # rows of a result that are taken at a time
_ASK_AGAIN = 0.01  # seconds after which it is interrupted once more; it may not have begun before
_MANY = 50  # files that are better put into a variable
_LISTS = 64  # of them that are kept for other queries
_TOGETHER = 100  # ranges in one pair of parentheses: DuckDB limits how deep an expression is

_IDENTITY = pa.schema([FIXED.field("producer"), FIXED.field("sequence")])
_TYPES = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}
_SETTINGS = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}


def is_installed() -> bool:
    """Return whether there is a DuckDB; without it Arrow reads file by file, and Python decides."""
    try:
        import duckdb  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


class Engine:
    """A connection, to be used in a `with`; whatever it leaves on the disk goes at its end.

    Args:
        memory: Bytes that it may take.
        spill: Whether it may use the disk beyond them.
        files: How many it is going to read, where that is known.  Of a few it keeps what their ends
            tell, which it needs more than once.

    Raises:
        ModuleNotFoundError: DuckDB is not installed.
    """

    def __init__(
        self,
        memory: int = MEMORY,
        *,
        spill: bool = True,
        files: int = _MANY,
    ) -> None:
        import duckdb

        self.errors: tuple[type[Exception], ...] = (duckdb.Error, OSError, pa.ArrowException)
        spilled = Path(tempfile.gettempdir(), f"logbatch-{secrets.token_hex(8)}")
        limits = {
            "memory_limit": f"{memory}B",
            "temp_directory": str(spilled) if spill else "",  # made only if need be
        }
        connection = duckdb.connect(":memory:", config={**_SETTINGS, **limits})
        self._begin(connection, spilled, files)

    def _begin(
        self, connection: duckdb.DuckDBPyConnection, spilled: Path | None, files: int
    ) -> None:
        self.connection = connection
        self._spilled = spilled
        self._pool = ThreadPoolExecutor(1, "logbatch-engine")
        self._working = threading.Lock()
        self._closed = False
        self._numbers = count()
        self._lists: dict[tuple[Path, ...], str] = {}  # in the order of their last use
        try:
            keep = "true" if files < _MANY else "false"
            self.execute(f"SET TimeZone = 'UTC'; SET parquet_metadata_cache = {keep}")
        except BaseException:
            self.close()
            raise

    def beside(self, *, files: int = _MANY) -> Engine:
        """Return another that works at the same time, in the same memory, and ends before this one.

        To close it, from any thread, ends what it is doing and disturbs no other.

        Args:
            files: How many files it is going to read, as for the first.
        """
        other = object.__new__(type(self))
        other.errors = self.errors
        other._begin(self.connection.cursor(), None, files)
        return other

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what it may still do, its thread, and what it left on the disk."""
        self._closed = True
        while not self._working.acquire(timeout=_ASK_AGAIN):
            self.connection.interrupt()
        try:
            self.connection.close()
        finally:
            self._working.release()
            self._pool.shutdown()
        if self._spilled is not None:
            shutil.rmtree(self._spilled, ignore_errors=True)

    def run(self, work: Callable[[], _T], timeout: float | None = None) -> _T:
        """Have its thread do something, and wait until it has ended, whatever happens meanwhile.

        Raises:
            TimeoutError: The time was up.
            Stopped: Nobody wants the answer any more, or it was closed.
        """
        try:
            answer = self._pool.submit(self._do, work)
        except RuntimeError:  # it takes nothing any more
            raise Stopped from None
        try:
            return result_of(answer, timeout)
        except CancelledError:
            raise Stopped from None
        except self.errors:
            if self._closed:
                raise Stopped from None
            raise
        finally:
            while wait([answer], 0).not_done:
                self.connection.interrupt()
                wait([answer], _ASK_AGAIN)

    def _do(self, work: Callable[[], _T]) -> _T:
        with self._working:
            if self._closed:  # whoever asked was interrupted when this had not begun
                raise CancelledError
            return work()

    def execute(self, statement: str, timeout: float | None = None) -> None:
        """Have a statement carried out; raise as `table` does."""
        self.run(lambda: self.connection.execute(statement), timeout)

    def list_files(self, paths: Sequence[Path]) -> str:
        """Return an expression for a list of files.

        Many are put into a variable: a query is parsed more than once.
        """
        if len(paths) < _MANY:
            return literal_list(paths)
        key = tuple(paths)
        name = self._lists.pop(key, None)
        if name is None:
            name = f"files_{next(self._numbers)}"
            self.execute(f"SET VARIABLE {name} = {literal_list(paths)}")
        self._lists[key] = name
        if len(self._lists) > _LISTS:
            self.execute(f"RESET VARIABLE {self._lists.pop(next(iter(self._lists)))}")
        return f"getvariable('{name}')"

    def keep(self, query: str, timeout: float | None = None) -> str:
        """Return the name of a table with the answer to a query; raise as `table` does."""
        name = f"kept_{next(self._numbers)}"
        self.execute(f"CREATE TEMPORARY TABLE {name} AS {query}", timeout)
        return name

    def drop(self, name: str) -> None:
        """Let go of a table that was kept."""
        with suppress(Stopped):  # it is closed, and has none
            self.execute(f"DROP TABLE {name}")

    def name_table(self, table: pa.Table) -> str:
        """Return a name by which a query reads a table."""
        name = f"table_{next(self._numbers)}"
        self.run(lambda: self.connection.register(name, table))
        return name

    def forget(self, name: str) -> None:
        """Let go of a table that was named."""
        with suppress(Stopped):  # it is closed, and has forgotten it
            self.run(lambda: self.connection.unregister(name))

    def table(self, query: str, timeout: float | None = None) -> pa.Table:
        """Return the whole answer to a query.

        Raises:
            TimeoutError: The time was up.
            Stopped: Nobody wants the answer any more, or it was closed.
        """
        return self.run(lambda: self._reader(query).read_all(), timeout)

    def batches(
        self, query: str, left: Callable[[], float | None] = lambda: None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the answer to a query as it comes; raise as `table` does.

        Args:
            query: The query.
            left: Says how many seconds are left for it; None for any number.
        """
        reader = self.run(lambda: self._reader(query), left())
        while (batch := self.run(lambda: next(reader, None), left())) is not None:
            yield batch

    def _reader(self, query: str) -> pa.RecordBatchReader:
        return reader_of(self.connection.sql(query))


def reader_of(relation: Any) -> pa.RecordBatchReader:
    """Return the answer of a relation, bit by bit."""
    # DuckDB 1.3 has the older of the two names only.
    fetch = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
    reader: pa.RecordBatchReader = fetch(BATCH)
    return reader


# ------------------------------------------------------------------ what it reads


def literal_list(paths: Iterable[Path]) -> str:
    """Return a list of files as it stands in a query."""
    return f"[{', '.join(quoted_text(str(path)) for path in paths)}]"


class Reading(NamedTuple):
    """How to read Parquet files.

    Attributes:
        schema: The columns that may be asked for.
        alike: Whether all files have all of them, of these types; it is quicker then.
        list_files: Makes the expression for a list of files.
    """

    schema: pa.Schema
    alike: bool
    list_files: Callable[[Sequence[Path]], str] = literal_list

    def parts(self, parts: Sequence[Part], select: str, where: str = "TRUE") -> str:
        """Return a query for what is taken of files.

        It has no query inside another: DuckDB would not filter while it scans.

        Args:
            parts: The files; at least one.
            select: What is wanted: names of columns, or expressions.
            where: The condition.

        Raises:
            Vanished, Damaged: A compacted file cannot be read.
        """
        whole = [part.path for part in parts if part.whole]
        queries = [self.files(whole, select, where)] if whole else []
        full = self._replace(schema=pa.unify_schemas([self.schema, _IDENTITY]))
        for part in parts:
            if not part.whole:
                queries.append(full.files([part.path], select, f"{_is_taken(part)} AND {where}"))
        return " UNION ALL ".join(queries)

    def files(self, paths: Sequence[Path], select: str, where: str = "TRUE") -> str:
        """Return a query for what is in files."""
        options = "hive_partitioning=false"
        if not self.alike:
            options += f", schema=MAP {{{', '.join(map(_column, self.schema))}}}"
        files = self.list_files(paths)
        return f"SELECT {select} FROM read_parquet({files}, {options}) WHERE {where}"


def _column(field: pa.Field[Any]) -> str:
    name, kind = quoted_text(field.name), quoted_text(_TYPES.get(field.type, "VARCHAR"))
    return f"{name}: {{'name': {name}, 'type': {kind}, 'default_value': NULL}}"


def _is_taken(part: Part) -> str:
    """Return what tells the records that are taken of a file; either they or the others are few."""
    left = part.left_out()
    if len(left) < len(part.taken):
        return f"NOT ({_is_among(left)})"
    return _is_among(part.taken)


def _is_among(taken: Taken) -> str:
    each = (
        f"WHEN {quoted_text(producer)} THEN {_is_within(spans)}"
        for producer, spans in taken
        if spans
    )
    cases = " ".join(each)
    return f"CASE producer {cases} ELSE FALSE END" if cases else "FALSE"


def _is_within(spans: Spans) -> str:
    tests = [f"sequence BETWEEN {first} AND {last}" for first, last in spans]
    groups = (tests[at : at + _TOGETHER] for at in range(0, len(tests), _TOGETHER))
    return "(" + " OR ".join("(" + " OR ".join(group) + ")" for group in groups) + ")"
