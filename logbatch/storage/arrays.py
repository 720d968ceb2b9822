"""Arrow's arrays and scalars of Python's values, made of buffers.

`pyarrow.array` and `pyarrow.scalar` ask of a list or a number whether it is a Series, and so import
pandas where that is installed: half a second, 47 MB, and an error if the interpreter is about to
exit.  So does every function of `pyarrow.compute` that gets a number or a text.  They are given
what is made here.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from logbatch.epoch import to_microseconds

if TYPE_CHECKING:
    import pyarrow as pa

_CODES = {"int32": "i", "int64": "q", "float64": "d"}  # of the module `array`
_BLANKS: dict[str, Any] = {  # what stands where None is
    "string": "",
    "int32": 0,
    "int64": 0,
    "float64": 0.0,
    "bool": False,
    "timestamp": datetime(1970, 1, 1, tzinfo=UTC),
}


@functools.cache
def arrow_type(kind: str) -> pa.DataType:
    """Return the type of a column; `kind` is one of `JSON_TYPES`."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "string": pa.string(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
    return types[kind]


def make_array(values: Sequence[Any], kind: str) -> pa.Array[Any]:
    """Make an array of values that are of this kind, or None.

    Raises:
        TypeError: A value is of another kind.
        ValueError: A text holds a surrogate.
        OverflowError: A number is too large.
    """
    import pyarrow as pa

    try:
        valid, data = None, _data(values, kind)
    except (TypeError, AttributeError):  # there is None among them
        valid = _bits(bytes([value is not None for value in values]))
        data = _data([_BLANKS[kind] if value is None else value for value in values], kind)
    return pa.Array.from_buffers(arrow_type(kind), len(values), [valid, *data])


def make_scalar(value: Any, kind: str) -> Any:
    """Make a scalar of a value that is of this kind, or None; raise as `make_array` does."""
    return make_array([value], kind)[0]


def _data(values: Sequence[Any], kind: str) -> list[Any]:
    import pyarrow as pa

    if kind == "string":
        return _texts(values)
    if kind == "bool":
        return [_bits(bytes(values))]
    if kind == "timestamp":
        return [pa.py_buffer(array("q", map(to_microseconds, values)))]
    return [pa.py_buffer(array(_CODES[kind], values))]


def _texts(values: Sequence[str]) -> list[pa.Buffer]:
    text = "".join(values)
    if text.isascii():
        return join_texts(map(len, values), text.encode())
    encoded = [value.encode() for value in values]
    return join_texts(map(len, encoded), b"".join(encoded))


def join_texts(lengths: Iterable[int], joined: bytes) -> list[pa.Buffer]:
    """Make the buffers of an array of texts that stand one behind the other, without null."""
    import pyarrow as pa

    return [pa.py_buffer(array("i", accumulate(lengths, initial=0))), pa.py_buffer(joined)]


def find_true(mask: Any) -> Any:
    """Return the positions of what is true in a mask.

    Of one that is in no pieces at all, as a comparison of nothing gives it, pyarrow 20 crashes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(mask, pa.ChunkedArray) and not mask.num_chunks:
        return make_array([], "int64").cast(pa.uint64())
    return pc.indices_nonzero(mask)


def _bits(truths: bytes) -> pa.Buffer | None:
    """Make a buffer with a bit for each byte, which is 0 or 1."""
    import pyarrow as pa

    wide = pa.Array.from_buffers(pa.uint8(), len(truths), [None, pa.py_buffer(truths)])
    return wide.cast(pa.bool_()).buffers()[1]
