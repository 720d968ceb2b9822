"""The columns of a record: the one table from which schema, lines, filters and redaction are made.

They are the same in every file, in this order.  In a line the attributes come last; producer and
sequence are not in it, as they identify the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

import msgspec

# The types of columns, and what their values are decoded as.
Int32 = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
JSON_TYPES: Final[Mapping[str, Any]] = {
    "int32": Int32,
    "int64": Int64,
    "float64": float,
    "bool": bool,
    "string": str,
    "timestamp": Annotated[datetime, msgspec.Meta(tz=True)],
}

# How a filter compares a column.
TIME, LEVEL, NUMBER, TEXT, ATTRIBUTE = "time", "level", "number", "text", "attribute"


class Column(NamedTuple):
    """One column.

    Attributes:
        type: One of `JSON_TYPES`.
        kind: How a filter compares it.
        required: Whether it is never null.
        secret: Whether it holds what the application wrote, which may be a secret.
    """

    type: str
    kind: str
    required: bool = False
    secret: bool = False


COLUMNS: Final[Mapping[str, Column]] = {
    "timestamp": Column("timestamp", TIME, required=True),
    "level": Column("string", LEVEL, required=True),
    "levelno": Column("int32", NUMBER, required=True),
    "logger": Column("string", TEXT, required=True),
    "message": Column("string", TEXT, required=True, secret=True),
    "template": Column("string", TEXT, secret=True),
    "attributes": Column("string", ATTRIBUTE, required=True, secret=True),
    "exception_type": Column("string", TEXT, secret=True),
    "exception_message": Column("string", TEXT, secret=True),
    "stacktrace": Column("string", TEXT, secret=True),
    "pathname": Column("string", TEXT),
    "lineno": Column("int32", NUMBER),
    "func_name": Column("string", TEXT),
    "process": Column("int64", NUMBER),
    "thread": Column("int64", NUMBER),
    "thread_name": Column("string", TEXT),
    "task": Column("string", TEXT),
    "trace_id": Column("string", TEXT),
    "span_id": Column("string", TEXT),
    "service": Column("string", TEXT),
    "host": Column("string", TEXT),
    "producer": Column("string", TEXT, required=True),
    "sequence": Column("int64", NUMBER, required=True),
}

_NOT_IN_PLACE = {"attributes", "producer", "sequence"}
FIELDS: Final = (*(name for name in COLUMNS if name not in _NOT_IN_PLACE), "attributes")
"""The keys of a line, in order."""
