"""The most frequent values of columns and of attributes.

Columns are counted in all records that match.  Attributes are JSON, so they are counted in the
newest of these only: first the shapes of the JSON, of which there are few, then the values of those
attributes that most records have.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from logbatch.dataset.filter.literals import quoted_text
from logbatch.dataset.filter.sql_attributes import may_be_index, pointer
from logbatch.dataset.matching import Matches
from logbatch.epoch import to_datetime
from logbatch.storage.columns import COLUMNS

_SHAPES = 1000  # shapes of attributes that are looked at
_DEPTH = 20  # objects inside one another that are looked into

_NOTHING = {"different": 0, "missing": 0, "looked": 0}

Path = tuple[str, ...]
"""The keys that lead to a value, from the outside to the inside."""


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent values of a field.

    Attributes:
        field: The field, by the name that a filter has for it.
        values: The values and how many records have each, most frequent first.  Those of an
            attribute are texts, as a filter compares them: `"42"` for the number, too.
        distinct: How many different values there are.
        missing: How many records have none.
        of: How many records were looked at.
        exact: Whether these are all that match.
    """

    field: str
    values: Sequence[tuple[Any, int]]
    distinct: int
    missing: int
    of: int
    exact: bool


def column_facets(
    matches: Matches, grouped: str, fields: Sequence[str], limit: int
) -> Iterator[Facet]:
    """Yield what is frequent in columns.

    Args:
        matches: Is asked.
        grouped: A table of values and how many records have them: of the n-th column in `f<n>`,
            where `field` is n.
        fields: The columns.
        limit: How many values are wanted of each.
    """
    if not fields:
        return
    totals = {row["field"]: row for row in matches.table(_totals(grouped, len(fields))).to_pylist()}
    for number, field in enumerate(fields):
        value = f"epoch_us(f{number})" if field == "timestamp" else f"f{number}"
        top = f"SELECT {value} AS value, records FROM {grouped} WHERE field = {number}"
        order = f"ORDER BY records DESC, value LIMIT {limit}"
        found = matches.table(f"{top} AND f{number} IS NOT NULL {order}").to_pylist()
        make = to_datetime if field == "timestamp" else _same
        values = tuple((make(row["value"]), row["records"]) for row in found)
        total = totals.get(number, _NOTHING)
        yield Facet(
            field, values, total["different"], total["missing"], total["looked"], exact=True
        )


def _totals(grouped: str, fields: int) -> str:
    """Return a query that counts by column: values, records without one, and all records."""
    value = "".join(f" WHEN {n} THEN f{n} IS NULL" for n in range(fields))
    return (
        "SELECT field, count(*) FILTER (NOT empty) AS different,"
        " coalesce(sum(records) FILTER (empty), 0)::BIGINT AS missing,"
        " sum(records)::BIGINT AS looked"
        f" FROM (SELECT field, records, CASE field{value} END AS empty"
        f" FROM {grouped} WHERE field IS NOT NULL) GROUP BY field"
    )


def _same(value: Any) -> Any:
    return value


# ------------------------------------------------------------------ attributes


def attribute_facets(
    matches: Matches, sample: str, wanted: Sequence[str], most: int, limit: int, of: int, total: int
) -> list[Facet]:
    """Return what is frequent in attributes.

    Args:
        matches: Is asked.
        sample: A table of records with their `attributes`.
        wanted: Attributes that are wanted in any case, by the names that a filter has for them.
        most: How many others are wanted, those that most records have.
        limit: How many values are wanted of each.
        of: How many records are in the sample.
        total: How many match.
    """
    shape = "TRY(json_structure(attributes))::VARCHAR AS shape, count(*) AS records"
    shapes = f"SELECT {shape} FROM {sample} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_SHAPES}"
    found = _find(matches.table(shapes).to_pylist())
    chosen = {name.removeprefix("attributes."): name for name in wanted}
    others = [path for path in found if path not in chosen and found[path].total()]
    others.sort(key=lambda path: (-found[path].total(), path))
    chosen |= {path: _field(path) for path in others[:most]}
    if not chosen:
        return []
    values = _values(matches, sample, [list(found.get(path, ())) for path in chosen], limit)
    return [
        Facet(field, top, distinct, of - records, of, of == total)
        for field, (top, distinct, records) in zip(chosen.values(), values, strict=True)
    ]


def _find(shapes: Iterable[Mapping[str, Any]]) -> dict[str, Counter[Path]]:
    """Return by the name of each attribute the ways to it, and how many records have it there."""
    found: dict[str, Counter[Path]] = {}
    for row in shapes:
        shape = json.loads(row["shape"] or "null")
        for path, some in _leaves(shape) if isinstance(shape, dict) else ():
            if name := ".".join(path):
                found.setdefault(name, Counter())[path] += row["records"] if some else 0
    return found


def _leaves(shape: Mapping[str, Any], before: Path = ()) -> Iterator[tuple[Path, bool]]:
    """Yield ways to values, and whether these are neither null nor an object."""
    for key, inner in shape.items():
        path = (*before, key)
        yield path, not isinstance(inner, dict) and inner not in ("NULL", "JSON")
        if isinstance(inner, dict) and len(path) < _DEPTH:
            yield from _leaves(inner, path)


def _field(path: str) -> str:
    """Return the name that a filter has for an attribute."""
    taken = path in COLUMNS or path in ("since", "until") or path.startswith("attributes.")
    return f"attributes.{path}" if taken else path


def _values(
    matches: Matches, sample: str, ways: Sequence[Sequence[Path]], limit: int
) -> Iterator[tuple[Sequence[tuple[str, int]], int, int]]:
    """Yield of each attribute the most frequent values, how many there are, and in how many."""
    values = f"SELECT {_extract(ways)} FROM {sample}"
    grouped = matches.keep(
        f"SELECT field, value, count(*) AS records FROM ({values})"
        " WHERE value IS NOT NULL GROUP BY ALL"
    )
    sums = "count(*) AS different, sum(records)::BIGINT AS records"
    totals = matches.table(f"SELECT field, {sums} FROM {grouped} GROUP BY field").to_pylist()
    tops: dict[int, list[tuple[str, int]]] = {row["field"]: [] for row in totals}
    some = f"SELECT field, value, records FROM {grouped} WHERE field ="
    order = f"ORDER BY records DESC, value LIMIT {limit}"
    queries = [f"({some} {row['field']} {order})" for row in totals]
    for row in matches.table(" UNION ALL ".join(queries)).to_pylist() if queries else ():
        tops[row["field"]].append((row["value"], row["records"]))
    sizes = {row["field"]: (row["different"], row["records"]) for row in totals}
    for number in range(len(ways)):
        top = sorted(tops.get(number, ()), key=lambda each: (-each[1], each[0]))
        yield tuple(top), *sizes.get(number, (0, 0))


def _extract(ways: Sequence[Sequence[Path]]) -> str:
    """Return a list of the texts of attributes, and beside each its number, as SQL.

    The JSON is parsed once for all but those to which there are several ways.
    """
    single, other = {}, {}
    for number, each in enumerate(ways):
        if len(each) == 1 and not any(map(may_be_index, each[0][1:])):
            single[number] = each[0]
        elif each:
            other[number] = each
    pointers = ", ".join(map(_pointer, single.values()))
    texts = f"TRY(json_extract_string(attributes, [{pointers}]))" if single else "[]::VARCHAR[]"
    more = ", ".join(map(_first_of, other.values()))
    numbers = ", ".join(map(str, [*single, *other]))
    return (
        f"unnest(list_concat({texts}, [{more}]::VARCHAR[])) AS value, unnest([{numbers}]) AS field"
    )


def _first_of(ways: Sequence[Path]) -> str:
    """Return the text that is found on the first way on which there is one."""
    first, *others = sorted(ways, key=_order)
    found = f"coalesce({', '.join([*map(_text, others), 'NULL'])})"
    if len(first) > 1:
        return f"TRY(coalesce({_text(first)}, {found}))"
    there = f"json_extract(attributes, {_pointer(first)}) IS NOT NULL"  # null counts, too
    return f"TRY(CASE WHEN {there} THEN {_text(first)} ELSE {found} END)"


def _text(way: Path) -> str:
    """Return the text that is found on a way, which does not lead into a list."""
    objects = {way[:at] for at, key in enumerate(way) if at and may_be_index(key)}
    tests = [f"json_type(attributes, {_pointer(each)}) = 'OBJECT'" for each in sorted(objects)]
    found = f"json_extract_string(attributes, {_pointer(way)})"
    return f"CASE WHEN {' AND '.join(tests)} THEN {found} END" if tests else found


def _order(way: Path) -> list[int]:
    """Order ways as a filter tries them: the whole name first, then by the shortest first key."""
    return [0] if len(way) == 1 else [len(way[0]) + 1, *_order(way[1:])]


def _pointer(way: Path) -> str:
    return quoted_text("".join(map(pointer, way)))
