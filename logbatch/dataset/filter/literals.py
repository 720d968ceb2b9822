"""Values and names as DuckDB's SQL has them."""

from __future__ import annotations

from collections.abc import Iterable

from logbatch.epoch import to_text


def quoted_text(text: str) -> str:
    """Return a text as a literal."""
    if "\0" in text:  # it would end the statement
        return f"decode(from_hex('{text.encode().hex()}'))"
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """Return the name of a column."""
    return '"' + name.replace('"', '""') + '"'


def quoted_time(microseconds: int) -> str:
    """Return a time, given since 1970, as a literal."""
    return f"TIMESTAMPTZ '{to_text(microseconds).replace('T', ' ').removesuffix('Z')}+00'"


def among(name: str, values: Iterable[str]) -> str:
    """Return the condition that a column has one of some values, of which there must be one."""
    return f"{name} IN ({', '.join(values)})"
