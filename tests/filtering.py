"""Records and filters for tests: by hand, and any that Hypothesis thinks of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
from duck import decide
from hypothesis import strategies as st

from logbatch.dataset.filter.comparisons import HAS, MATCHES, OPERATORS
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.terms import make_term
from logbatch.dataset.filter.tree import EVERYTHING, Node, all_of, any_of, negate
from logbatch.storage.columns import COLUMNS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TYPES = {"time": pa.timestamp("us", "UTC"), "number": pa.int64()}
KINDS = {name: column.kind for name, column in COLUMNS.items()}
SCHEMA = pa.schema([(name, TYPES.get(kind, pa.string())) for name, kind in KINDS.items()])


def record(**values: Any) -> dict[str, Any]:
    """Make a record as a line decodes, with some values replaced and the None ones left out."""
    row: dict[str, Any] = {
        "timestamp": "2026-11-21T10:00:00.5Z",
        "level": "INFO",
        "levelno": 20,
        "logger": "app.web",
        "message": "GET /items/7 took 3 ms",
        "attributes": {"user_id": 42, "path": "/items/7", "user": {"id": 7}, "level": "x"},
        "producer": "01m7y4mnsn285g6hxmhvdgyfrf",
        "sequence": 5,
        **values,
    }
    return {name: value for name, value in row.items() if value is not None}


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Make the Arrow form of records: attributes as JSON text, what is absent null."""

    def cell(name: str, value: Any) -> Any:
        if name == "attributes":
            return msgspec.json.encode(value or {}).decode()
        return datetime.fromisoformat(value) if name == "timestamp" else value

    columns = {name: [cell(name, row.get(name)) for row in rows] for name in KINDS}
    return pa.table(columns, schema=SCHEMA)


def chosen(text: str, *rows: dict[str, Any]) -> list[bool]:
    """Ask a filter about records in all forms, which must agree."""
    found = Filter.parse(text, now=NOW)
    one_by_one = [found.matches(row) for row in rows]
    assert one_by_one == found.mask(as_table(list(rows))).to_pylist()
    assert_engine_agrees(found, list(rows), {})
    return one_by_one


def holds(text: str, **values: Any) -> bool:
    """Ask a filter about one record in all forms."""
    return chosen(text, record(**values))[0]


def assert_engine_agrees(found: Filter, rows: list[dict[str, Any]], typed: dict[str, str]) -> None:
    """DuckDB says the same of each row, or that it is unsure, with attributes as columns or not."""
    for row, said in zip(rows, decided(found, rows, typed), strict=True):
        assert said in (None, found.matches(row)), row


def decided(
    found: Filter, rows: list[dict[str, Any]], typed: dict[str, str] | None = None
) -> list[bool | None]:
    """Have DuckDB decide; None where it is unsure.

    Args:
        found: The filter.
        rows: The records.
        typed: The attributes that are columns, and the types of these.
    """
    table = as_table(rows)
    for key, kind in (typed or {}).items():
        values = [fitting((row.get("attributes") or {}).get(key), kind) for row in rows]
        table = table.append_column(key, pa.array(values, FITTING[kind][0]))
    return decide(found, table, typed or {})


FITTING: dict[str, tuple[pa.DataType, tuple[type, ...]]] = {
    "int64": (pa.int64(), (int,)),
    "float64": (pa.float64(), (int, float)),
    "bool": (pa.bool_(), (bool,)),
    "string": (pa.string(), (str,)),
}


def fitting(value: Any, kind: str) -> Any:
    """Return what a typed column has of an attribute: null where it is of another type."""
    fits = isinstance(value, FITTING[kind][1]) and isinstance(value, bool) is (kind == "bool")
    found: Any = value if fits else None
    if kind == "int64" and fits and not -(1 << 63) <= found < 1 << 63:
        return None
    return float(found) if kind == "float64" and fits else found


PATTERNS = ["a", "^4", "APP$", r"\d\.0?", "(?-i)A", "(?s)^.*$", "É|ς", "", "a/b", r"\/|null"]
KEYS = ["x", "y", "user", "user.id", "a.b", "é", 'q"', "back\\slash", "level", ""]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "A", "42", "3", "3.0", "true", "null", "É", "ΣΑΣ", "İ", "app.web"]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "b", "id.x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
TEXTS = st.none() | st.sampled_from(["a", "app", "app.web", "42", "null", "ΑΣ", "İx"]) | st.text()
NUMBERS = st.none() | st.integers(0, 3) | st.integers(-(2**63), 2**63 - 1)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Make a record of which any field but the required ones may be missing."""
    texts = {name: draw(TEXTS) for name, kind in KINDS.items() if kind == "text"}
    micros = draw(st.integers(-(10**15), 10**15))
    moment = datetime(2026, 11, 21, 10) + timedelta(microseconds=micros)
    return record(
        **texts,
        timestamp=f"{moment.isoformat()}Z",
        levelno=draw(st.sampled_from([0, 10, 20, 25, 30, 40, 50])),
        **{name: draw(NUMBERS) for name in ("lineno", "process", "thread", "sequence")},
        attributes=draw(st.none() | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)),
    )


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Make a filter of some terms that mean something."""
    names = [*KINDS, "since", "until", *(f"attributes.{key}" for key in KEYS if key), *KEYS[:6]]
    operand = st.sampled_from(
        ["1", "42", "3.0", "-1.5", "2h", "2026-11-21T10:00", "error", "app", "true", "null", "É"]
    ) | SCALARS.map(str)
    terms = []
    for _ in range(draw(st.integers(0, 4))):
        name, sign = draw(st.sampled_from(names)), draw(st.sampled_from(OPERATORS))
        values = draw(st.lists(operand, min_size=1, max_size=3))
        if sign == MATCHES:
            values = [draw(st.sampled_from(PATTERNS))]
        number = {"=": 3, "!=": 3, HAS: 0}.get(sign, 1)
        try:
            term = make_term(name, sign, *values[:number], now=NOW)
        except ValueError:
            continue
        terms.append(term)
    return Filter(draw(trees(terms)) if terms else EVERYTHING)


@st.composite
def trees(draw: st.DrawFn, nodes: Sequence[Node]) -> Node:
    """Join nodes to a tree, in any way."""
    if len(nodes) == 1:
        return negate(nodes[0]) if draw(st.booleans()) else nodes[0]
    half = draw(st.integers(1, len(nodes) - 1))
    join = draw(st.sampled_from([all_of, any_of]))
    joined = join([draw(trees(nodes[:half])), draw(trees(nodes[half:]))])
    return negate(joined) if draw(st.booleans()) else joined
