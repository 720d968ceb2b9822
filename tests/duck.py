"""DuckDB, as any of its users would ask it."""

from __future__ import annotations

from typing import Any

import duckdb


def ask(query: str) -> list[tuple[Any, ...]]:
    """Return the rows of an answer."""
    with duckdb.connect() as connection:
        return connection.sql(query).fetchall()
