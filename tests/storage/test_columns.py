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


def test_the_format_is_documented() -> None:
    """The description of the format lists all columns in order, with type and whether null."""
    text = (ROOT / "docs" / "format.md").read_text()
    found = re.findall(r"^\| `(\w+)` \| (\S+(?:, UTC\])?) \| (yes|no) \|", text, re.M)
    types = {"timestamp": "timestamp[us, UTC]"}

    assert [
        (name, types.get(column.type, column.type), "no" if column.required else "yes")
        for name, column in COLUMNS.items()
    ] == found
