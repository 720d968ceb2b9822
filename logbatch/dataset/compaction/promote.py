"""Which attributes become typed columns.

`auto` takes those that at least a fifth of a date's records have, whose values are all of one type
of JSON and fit a column exactly, at most 16 of them, those first that more records have:

    int64       integers from -2**63 to 2**63 - 1
    float64     numbers, some with a fraction, none beyond 2**53: it would be rounded
    bool        true and false
    string      texts

A null is as if the attribute was not there.  What is in the columns is what
`logbatch.storage.arrow` makes of these types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from logbatch.dataset.compaction.sorter import Numbers, Sorter
from logbatch.storage.arrow import check_columns
from logbatch.storage.columns import COLUMNS

AUTO, NONE = "auto", "none"
SHARE = 0.2  # of the records of a date have an attribute that is promoted by itself
MOST = 16  # columns that are made by themselves

_CANDIDATES = 64
_EXACT = 1 << 53  # up to here a float64 holds each integer
_INTEGERS = {"BIGINT", "UBIGINT"}
_NUMBERS = {*_INTEGERS, "DOUBLE", "HUGEINT"}


def choose_columns(
    sorter: Sorter, promote: str, names: Sequence[str], known: Mapping[str, str], rows: int
) -> dict[str, str]:
    """Return the typed columns of a date's files, and their types.

    Args:
        sorter: Has the records.
        promote: `auto`, `none`, or anything else for those that are named.
        names: Attributes that are wanted: those that are named, or that records are ordered by.
        known: Columns that files have already.
        rows: How many records there are.
    """
    found = dict(known)
    wanted = [name for name in names if name not in found and _is_allowed(name)]
    if promote == NONE:
        return found
    if promote == AUTO:
        frequent = sorter.keys(max(1, round(rows * SHARE)))[:_CANDIDATES]
        wanted += [name for name, _ in frequent if name not in wanted and name not in found]
    wanted = list(filter(_is_allowed, wanted))
    for name, values in zip(wanted, sorter.describe(wanted), strict=True):
        kind = fit(values)
        enough = name in names or _count(values) >= rows * SHARE
        room = len(found) < MOST or promote != AUTO
        if kind is not None and enough and room and _is_new(name, found):
            found[name] = kind
    return dict(sorted(found.items()))


def fit(values: Numbers) -> str | None:
    """Return the type of the column that holds all values exactly; None where there is none."""
    types = values.types.keys() - {"NULL"}
    low, high = values.low or 0, values.high or 0
    if not types:
        return None
    if types <= _INTEGERS:
        return "int64" if high < 1 << 63 else None
    if types <= _NUMBERS:
        return "float64" if low >= -_EXACT and high <= _EXACT else None
    if len(types) > 1:
        return None
    return {"VARCHAR": "string", "BOOLEAN": "bool"}.get(next(iter(types)))


def _count(values: Numbers) -> int:
    return sum(n for kind, n in values.types.items() if kind != "NULL")


def _is_allowed(name: str) -> bool:
    if name in COLUMNS:
        return False
    try:
        check_columns({name: "string"})
    except ValueError:
        return False
    return True


def _is_new(name: str, found: Iterable[str]) -> bool:
    return name.lower() not in {other.lower() for other in found}  # SQL ignores case
