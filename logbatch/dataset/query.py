"""SQL over a dataset: one SELECT, on the view `logs`, and nothing else.

DuckDB may open the exact files of the snapshot, and no other: access to anything else is switched
off, and all settings are locked, before it sees the query.  The query itself must be one SELECT by
DuckDB's own word, and is looked through once more (`guard`), because a SELECT can hold a COPY, and
a function can read a setting.

What is in JSONL files and journals is made a table first; where that is much, a temporary Parquet
file, so that memory does not grow with the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from logbatch.dataset.blame import blame, is_too_much
from logbatch.dataset.engine import Engine, Reading, is_installed, literal_list, reader_of
from logbatch.dataset.filter.literals import quoted_name, quoted_text
from logbatch.dataset.guard import check_tree
from logbatch.dataset.pieces import size_of
from logbatch.dataset.snapshot import Part, Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.tables import read_rest, split, spool
from logbatch.errors import QueryError

if TYPE_CHECKING:
    import duckdb

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SPOOL = 1 << 26  # bytes of JSONL from which on they are put into a temporary Parquet file
_COMPRESSION = 10  # how much smaller files are than what they hold

_LOCKS = """
SET enable_external_access = false; SET lock_configuration = true; BEGIN TRANSACTION READ ONLY
"""


def run_query(
    source: Source,
    query: str,
    *,
    memory_limit: str,
    timeout: float | None,
    most: int | None = None,
) -> pa.Table:
    """Answer a query; see `Dataset.sql`.

    Args:
        source: What is asked.
        query: One SELECT.
        memory_limit: The most memory that the query and its result may each take.
        timeout: The most seconds it may take; None for any number.
        most: The first so many rows are enough; the others are not even computed, if that can be.
    """
    limit = parse_size(memory_limit)
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout={timeout!r} must be a number of seconds above 0, or None")
    return source.retry(lambda snapshot: _run(source, snapshot, query, limit, timeout, most))


def parse_size(text: str) -> int:
    """Read a number of bytes: `500MB`, `1GB`, `2GiB`.

    Raises:
        ValueError: It is none.
    """
    match = _SIZE.fullmatch(text.strip())
    size = 0
    if match is not None:
        unit = 1024 if match[3] else 1000
        size = int(float(match[1]) * unit ** _POWERS[match[2].upper()])
    if size < 1:
        raise ValueError(f"memory_limit={text!r} must be a size such as '500MB' or '1GB'")
    return size


def _run(
    source: Source,
    snapshot: Snapshot,
    query: str,
    limit: int,
    timeout: float | None,
    most: int | None,
) -> pa.Table:
    parquet, others = split(snapshot.parts)
    schema, alike = source.columns(parquet)
    with _engine(limit, len(parquet)) as engine, ExitStack() as stack:
        connection = engine.connection
        statement = engine.run(lambda: _check(connection, query))
        paths = [part.path for part in parquet]
        select = select_of(schema)
        reading = Reading(schema, alike, engine.list_files)
        reads = [reading.parts(parquet, select)] if parquet else []
        rest = read_rest(source, snapshot._replace(parts=others), schema)
        if _size(others) > _SPOOL:
            folder = stack.enter_context(TemporaryDirectory(prefix="logbatch-"))
            paths.append(_spooled(rest, schema, Path(folder, "rest.parquet")))
            reads.append(Reading(schema, alike=True).files(paths[-1:], select))
        elif others or snapshot.tails or not parquet:
            tables = [pa.Table.from_batches([], schema), *rest]
            connection.register("_rest", pa.concat_tables(tables))
            reads.append(f"SELECT {select} FROM _rest")
        try:
            engine.execute(f"CREATE VIEW logs AS {' UNION ALL '.join(reads)}")
            _lock(engine, paths)
            return engine.run(lambda: _fetch(connection, statement, limit, most), timeout)
        except TimeoutError:
            raise QueryError(f"the query was stopped after {timeout:g} s") from None
        except engine.errors as error:
            blame(source, error, parquet)
            raise _told(error, limit) from error


def _lock(engine: Engine, paths: list[Path]) -> None:
    """Leave DuckDB access to these files, and to nothing else."""
    # A parameter would have DuckDB 1.3 import pandas.
    engine.execute(f"SET allowed_paths = {literal_list(paths)}; {_LOCKS}")


def _engine(limit: int, files: int) -> Engine:
    if not is_installed():
        raise QueryError('SQL needs DuckDB: pip install "logbatch[tools]"')
    return Engine(limit, spill=False, files=files)


def _spooled(rest: Iterable[pa.Table], schema: pa.Schema, path: Path) -> Path:
    try:
        spool(rest, schema, path)
    except OSError as error:
        raise QueryError(f"no temporary file could be written: {error}") from error
    return path


def _size(parts: list[Part]) -> int:
    """Estimate how many bytes files take in memory."""
    size = 0
    for part in parts:
        found = size_of(part)
        size += found if part.segment.ext == "jsonl" else found * _COMPRESSION
    return size


def _check(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    """Return the one SELECT that a query is.

    Raises:
        QueryError: It is something else.
    """
    import duckdb

    try:
        query.encode()
        statements = connection.extract_statements(query)
        if len(statements) != 1:
            raise QueryError(f"write exactly one SELECT; these are {len(statements)} statements")
        statement = statements[0]
        if statement.type != duckdb.StatementType.SELECT:
            raise QueryError(f"only SELECT is allowed, not {statement.type.name.replace('_', ' ')}")
        if statement.named_parameters:
            raise QueryError("the query has a parameter ($1 or ?), but there are no values for any")
        tree = connection.execute(f"SELECT json_serialize_sql({quoted_text(query)})").fetchall()
    except UnicodeEncodeError as error:
        raise QueryError("the query is not valid text") from error
    except duckdb.Error as error:
        raise QueryError(f"DuckDB does not understand this SQL: {error}") from error
    check_tree(tree[0][0])
    return statement


def select_of(schema: pa.Schema) -> str:
    """Return the columns of `logs`.

    A text of attributes that is no JSON after all is shown as a JSON string.
    """
    attributes = "coalesce(try_cast(attributes AS JSON), to_json(attributes)) AS attributes"
    names = (attributes if name == "attributes" else quoted_name(name) for name in schema.names)
    return ", ".join(names)


def _fetch(
    connection: duckdb.DuckDBPyConnection,
    statement: duckdb.Statement,
    limit: int,
    most: int | None,
) -> pa.Table:
    relation: Any = connection.sql(statement)
    if relation is None:
        raise QueryError("only SELECT is allowed; this gives no rows")
    reader = reader_of(relation)
    batches, size, rows = [], 0, 0
    for batch in reader:
        size, rows = size + batch.nbytes, rows + batch.num_rows
        if size > limit:
            raise QueryError(
                f"the result takes more than the memory limit of {limit / 1e6:,.0f} MB;"
                " ask for fewer rows or columns, or raise the limit"
            )
        batches.append(batch)
        if most is not None and rows >= most:
            break
    return pa.Table.from_batches(batches, reader.schema)[:most]


def _told(error: Exception, limit: int) -> QueryError:
    if is_too_much(error):
        return QueryError(
            f"the query needs more than the memory limit of {limit / 1e6:,.0f} MB;"
            " ask for less, or raise the limit"
        )
    return QueryError(f"the query failed: {error}")
