"""What is said of the columns elsewhere agrees with the one table of them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from logbatch.events.fields import Event
from logbatch.storage.columns import COLUMNS, FIELDS
from logbatch.storage.line import Line

ROOT = Path(__file__).parents[2]
DOCUMENTED = {
    "timestamp": "timestamp, UTC, microseconds",
    "string": "text",
    "int32": "int32",
    "int64": "int64",
}


def test_a_line_holds_all_but_its_identity() -> None:
    """A line has every column but producer and sequence, in the order of the columns."""
    plain = [name for name in COLUMNS if name not in ("attributes", "producer", "sequence")]

    assert (23, 21, "attributes") == (len(COLUMNS), len(FIELDS), FIELDS[-1])
    assert (*plain, "attributes") == FIELDS


@pytest.mark.parametrize("struct", [Event, Line])
def test_what_is_written_and_what_is_read_are_the_same(struct: type[msgspec.Struct]) -> None:
    """An event and a decoded line have the keys of a line, in its order."""
    assert FIELDS == struct.__struct_fields__


@pytest.mark.parametrize("struct", [Event, Line])
@pytest.mark.parametrize("name", FIELDS[:-1])
def test_keys_have_the_types_of_columns(struct: type[msgspec.Struct], name: str) -> None:
    """A key holds what its column does, and may be absent where the column may be null."""
    column = COLUMNS[name]
    plain: dict[str, Any] = {"string": str, "int32": int, "int64": int}
    plain["timestamp"] = datetime if struct is Event else str
    expected = plain[column.type]
    if not column.required:
        expected = expected | None
    found = next(field for field in msgspec.structs.fields(struct) if field.name == name)

    assert (expected, column.required) == (found.type, found.required)


def documented() -> list[tuple[str, str]]:
    """Read name and type of each column in the documentation's table of them."""
    texts = [path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]
    table = re.search(r"^\| column \| type \|.*\n\|[-|]+\n((?:\|.*\n)+)", "\n".join(texts), re.M)
    assert table is not None
    rows = [row.split(" | ") for row in table[1].splitlines()]
    return [
        (name, kind)
        for names, kinds, *_ in rows
        for name, kind in zip(re.findall(r"`(\w+)`", names), spread(names, kinds), strict=True)
    ]


def spread(names: str, kinds: str) -> list[str]:
    """Give each name of a row its type; one type may stand for all of them."""
    count = names.count("`") // 2
    given = kinds.strip(" |").split(", ")
    return given if len(given) == count > 1 else [kinds.strip(" |")] * count


def test_the_documentation_tells_of_each_column() -> None:
    """The documentation lists all columns with their types."""
    expected = {name: DOCUMENTED[column.type] for name, column in COLUMNS.items()}
    expected["attributes"] = "JSON text"

    assert expected == dict(documented())
