"""Arrays and scalars made of buffers are those that pyarrow makes of the values."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.storage.arrays import arrow_type, find_true, make_array, make_scalar

_moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"])),
    "int32": st.integers(-(1 << 31), (1 << 31) - 1),
    "int64": st.integers(-(1 << 63), (1 << 63) - 1),
    "float64": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "timestamp": _moments,
}


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_they_are_what_pyarrow_makes(kind: str, data: st.DataObject) -> None:
    """Values and nulls are the same, in any mixture and number."""
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=20))
    made = make_array(values, kind)
    made.validate(full=True)
    assert pa.array(values, arrow_type(kind)).equals(made)
    for value in values[:2]:
        assert pa.scalar(value, arrow_type(kind)).equals(make_scalar(value, kind))


def test_what_fits_no_column() -> None:
    """What cannot be stored raises, as it does in pyarrow."""
    with pytest.raises(ValueError, match="surrogates"):
        make_array(["\ud800"], "string")
    with pytest.raises(OverflowError):
        make_array([1 << 63], "int64")
    with pytest.raises(TypeError):
        make_array(["1"], "int64")


@pytest.mark.parametrize("pieces", [[], [[]], [[True], [], [False, True]]])
def test_what_is_true(pieces: list[list[bool]]) -> None:
    """Also where there is nothing, not even an empty piece: of that pyarrow 20 crashed."""
    mask = pa.chunked_array(pieces, pa.bool_())
    assert ([0, 2] if len(mask) else []) == find_true(mask).to_pylist()
