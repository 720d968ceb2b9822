"""DuckDB, as any of its users would ask it, and as a reader has it decide a filter."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.sql import condition


def ask(query: str) -> list[tuple[Any, ...]]:
    """Return the rows of an answer."""
    with duckdb.connect() as connection:
        return connection.sql(query).fetchall()


def decide(where: Filter, table: pa.Table, typed: Mapping[str, str]) -> list[bool | None]:
    """Have DuckDB say of each row whether a filter takes it; None where it is unsure.

    Args:
        where: The filter.
        table: The rows.
        typed: Those of the columns that are of attributes, and their types.
    """
    numbered = table.append_column("row", pa.array(range(len(table)), pa.int64()))
    kept, unsure = condition(where.root, typed)
    connection = _connection()
    connection.register("numbered", numbered)
    query = f"SELECT row, {unsure or 'FALSE'} FROM numbered WHERE {kept}"
    found = dict(connection.sql(query).fetchall())
    return [None if found.get(row) else row in found for row in range(len(table))]


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET threads = 1")
    return connection
