"""What an encoder makes of calls: rows, read and checked; and values that are hard to encode."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from logbatch.events.event import LineEncoder
from logbatch.events.fields import Event

_MAY_BE_EMPTY = {"logger", "message"}
_BITS = {"levelno": 32, "lineno": 32, "process": 64, "thread": 64}


class Raising:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")


class Unequal:
    """An object that cannot be compared, hashed or asked for its truth."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("no")

    def __hash__(self) -> int:
        raise ValueError("no")

    def __bool__(self) -> bool:
        raise ValueError("no")


def make_json_values(max_leaves: int) -> SearchStrategy[Any]:
    """Make values that JSON can hold as they are, with texts that UTF-8 can."""
    text = st.text(st.characters(exclude_categories=["Cs"]))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        st.none() | st.booleans() | st.integers() | finite | text,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
        max_leaves=max_leaves,
    )


def make_values(*more: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Make values of any kind, nested, and with some more among them."""
    simple = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    return st.recursive(
        st.one_of(simple, st.builds(Raising), *more),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=8,
    )


def read(line: bytes) -> dict[str, Any]:
    """Read a line, and see that it is one as every reader expects it."""
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert b"\0" not in line
    msgspec.json.decode(line, type=Event)  # each column has its type
    row: dict[str, Any] = json.loads(line)
    assert "while this event was read" not in row["message"]  # the last resort
    assert list(row) == [name for name in Event.__struct_fields__ if name in row]
    assert not [name for name in row if row[name] in ("", {}, None) and name not in _MAY_BE_EMPTY]
    assert all(abs(row[name] + 0.5) <= 1 << _BITS[name] - 1 for name in _BITS.keys() & row.keys())
    assert row["timestamp"].endswith("Z")
    return row


class Capture(logging.Handler):
    """A handler that keeps the lines of an encoder."""

    def __init__(self, encoder: LineEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.lines: list[bytes] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.encoder.record(record))

    @property
    def row(self) -> dict[str, Any]:
        """The last row."""
        return read(self.lines[-1])
