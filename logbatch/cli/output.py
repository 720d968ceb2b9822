"""The answer to a query in each of its forms.

`table` is for people: everything unsafe is shown escaped.  The others are exact.  JSON writes
unsafe characters as `\\u…`, which changes nothing; CSV has no escapes, so on a terminal, and only
there, its cells are escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, TextIO

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from logbatch.cli.escape import escape, to_json, to_text
from logbatch.cli.terminal import Terminal, new_table, plain_text
from logbatch.dataset.answers import unique, values_of

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "json", "jsonl", "csv", "parquet")

_CHUNK = 10_000
_GAP = 2
_BREAKING = frozenset(',"\r\n')  # characters that a field of CSV must be quoted for
_NARROW = 12  # columns of a table are not squeezed below this; then rows are written one by one


def write_text(table: pa.Table, form: str, file: TextIO, *, safe: bool = False) -> None:
    """Write a table as `json`, `jsonl` or `csv`.

    Args:
        table: The rows.
        form: Which of them.
        file: Where to.
        safe: Escape what is unsafe on a terminal, also where the form has no escapes.
    """
    _WRITERS[form](table, file, safe)


def write_parquet(table: pa.Table, file: IO[bytes]) -> None:
    """Write a table as one Parquet file."""
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, file, compression="zstd")


def show_table(table: pa.Table, terminal: Terminal, max_rows: int | None = None) -> None:
    """Write a table for people.

    Where it is far too wide for the terminal, each row is written as a list of its values.
    In a pipe there is no width to keep to, and no line is folded.

    Args:
        table: The rows.
        terminal: Where to.
        max_rows: How many rows to show at the most; None shows all.
    """
    part = table if max_rows is None else table.slice(0, max_rows)
    names = [escape(name) for name in part.column_names]
    rows = [[_cell(value) for value in row] for row in rows_of(part)]
    natural = [
        max([cell_len(name), *(cell_len(row[at].plain) for row in rows)])
        for at, name in enumerate(names)
    ]
    width = sum(natural) + _GAP * len(names)
    if not terminal.is_screen:
        terminal.width = max(width, terminal.width)
    if width > terminal.width and terminal.width // max(len(names), 1) < _NARROW:
        _show_one_by_one(names, rows, terminal)
    else:
        terminal.print(_as_table(names, rows, _numbers(part)))


def rows_of(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows as tuples, as a name may be there twice; times with a zone are aware."""
    for at in range(0, len(table), _CHUNK):
        part = table.slice(at, _CHUNK)
        yield from zip(*(values_of(column) for column in part.columns), strict=True)


def _write_json(table: pa.Table, file: TextIO, _safe: bool) -> None:
    start = "["
    for line in _json_lines(table):
        file.write(f"{start}\n  {line}")
        start = ","
    file.write("[]\n" if start == "[" else "\n]\n")


def _write_jsonl(table: pa.Table, file: TextIO, _safe: bool) -> None:
    for line in _json_lines(table):
        file.write(f"{line}\n")


def _json_lines(table: pa.Table) -> Iterator[str]:
    names = unique(table.column_names)
    for row in rows_of(table):
        found = dict(zip(names, row, strict=True))
        if isinstance(text := found.get("attributes"), str):
            found["attributes"] = _decoded(text)
        yield to_json(found)


def _decoded(text: str) -> Any:
    """Read attributes, which are JSON text in the column, so that they are not encoded twice."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _write_csv(table: pa.Table, file: TextIO, safe: bool) -> None:
    """Write CSV in which a null is an empty field and an empty text is `""`."""
    clean: Callable[[str], str] = escape if safe else str
    file.write(",".join(_quoted(clean(name)) for name in table.column_names) + "\n")
    for row in rows_of(table):
        fields = ("" if value is None else _quoted(clean(_as_text(value))) for value in row)
        file.write(",".join(fields) + "\n")


def _quoted(text: str) -> str:
    needs_quotes = not text or not _BREAKING.isdisjoint(text)
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text


_WRITERS: dict[str, Callable[[pa.Table, TextIO, bool], None]] = {
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return to_json(value) if isinstance(value, bool | dict | list) else to_text(value)


def _cell(value: Any) -> Text:
    return Text("null", style="dim") if value is None else plain_text(_as_text(value))


def _numbers(table: pa.Table) -> list[bool]:
    import pyarrow as pa

    kinds = pa.types
    tests = (kinds.is_integer, kinds.is_floating, kinds.is_decimal)
    return [any(test(kind) for test in tests) for kind in table.schema.types]


def _as_table(
    names: Sequence[str], rows: Sequence[Sequence[Text]], numbers: Sequence[bool]
) -> Table:
    table = new_table()
    for name, number in zip(names, numbers, strict=True):
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _show_one_by_one(
    names: Sequence[str], rows: Sequence[Sequence[Text]], terminal: Terminal
) -> None:
    for number, row in enumerate(rows, 1):
        terminal.print(Text(f"row {number}", style="bold"))
        table = new_table()
        table.show_header = False
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            table.add_row(Text(name), value)
        terminal.print(table)
