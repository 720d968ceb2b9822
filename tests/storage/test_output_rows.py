"""Pieces of output as rows: nothing changes, and what can be text is."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.capture.chunk import Chunk
from logbatch.storage.output_rows import LARGEST, as_value, boundary, cut, lay_out


def text(size: int) -> bytes:
    """Some text with characters of each length."""
    return ("aé€😀\n" * (size // 11 + 1)).encode()[:size]


@given(st.binary(max_size=40))
def test_nothing_changes(data: bytes) -> None:
    """Whatever the bytes, the rows give them back."""
    values = [as_value(part) for part in cut(data)]

    assert data == b"".join(v.encode() if isinstance(v, str) else v for v in values)


@given(st.text(min_size=1).filter(lambda it: "\0" not in it), st.data())
def test_text_is_text(words: str, chance: st.DataObject) -> None:
    """Of text that is cut anywhere, at most the pieces of two characters are no text."""
    data = words.encode()
    first = chance.draw(st.integers(0, len(data)))
    last = chance.draw(st.integers(first, len(data)))
    rows = [as_value(part) for part in cut(data[first:last])]

    odd = [row for row in rows if isinstance(row, bytes)]
    assert all(len(row) <= 3 for row in odd)
    assert len(odd) <= 2


@pytest.mark.parametrize("data", [text(3 * LARGEST + 1), os.urandom(2 * LARGEST), b"x" * LARGEST])
def test_a_row_has_a_size(data: bytes) -> None:
    """What is long becomes several rows, cut where no character is."""
    parts = list(cut(data))

    assert data == b"".join(parts)
    assert max(map(len, parts)) <= LARGEST
    assert len(parts) <= len(data) // LARGEST + 2
    if data[:1] == b"a":
        assert all(isinstance(as_value(part), str) for part in parts[:-1])


@pytest.mark.parametrize(
    ("data", "is_text"),
    [
        (b"abc", True),
        ("é".encode(), True),
        (b"a\0b", False),
        (b"\xff", False),
        (b"\xed\xa0\x80", False),
    ],
)
def test_what_is_text(data: bytes, is_text: bool) -> None:
    """Bytes that are no UTF-8 are none, nor are those with a NUL."""
    assert isinstance(as_value(data), str) == is_text


@pytest.mark.parametrize(
    ("data", "end", "expected"),
    [
        ("aé".encode(), 2, 1),
        ("aé".encode(), 3, 3),
        ("a😀".encode(), 4, 1),
        ("a😀".encode(), 5, 5),
        (b"\x80\x80\x80\x80\x80", 5, 5),
        (b"abc", 2, 2),
        (b"", 0, 0),
    ],
)
def test_boundary(data: bytes, end: int, expected: int) -> None:
    """A cut goes before the character that it would hit."""
    assert expected == boundary(data, end)


def test_small_pieces_are_one_row() -> None:
    """What follows one another in a stream within a second is one row, with the first time."""
    pieces = [Chunk("stdout", 5 + at / 100, 2 * at, b"x\n", at + 1) for at in range(10)]

    (row,) = lay_out(pieces, {"stdout": 0, "stderr": 0})
    assert ("stdout", 0, 5.0, b"x\n" * 10) == row


def test_rows_keep_the_order() -> None:
    """A piece of the other stream, a second, or a gap end a row."""
    pieces = [
        Chunk("stdout", 1.0, 0, b"a", 1),
        Chunk("stderr", 1.0, 0, b"b", 2),
        Chunk("stdout", 1.0, 1, b"c", 3),
        Chunk("stdout", 2.5, 2, b"d", 4),
        Chunk("stdout", 2.5, 9, b"e", 5),
    ]
    rows = list(lay_out(pieces, {"stdout": 0, "stderr": 0}))

    assert [b"a", b"b", b"c", b"d", b"e"] == [row.data for row in rows]
    assert [0, 0, 1, 2, 9] == [row.start for row in rows]


def test_what_is_stored_is_left_out() -> None:
    """A piece of which a part is stored already is cut."""
    pieces = [Chunk("stdout", 1.0, 0, b"abc", 1), Chunk("stdout", 1.0, 3, b"def", 2)]
    sizes = {"stdout": 4, "stderr": 0}

    (row,) = lay_out(pieces, sizes)
    assert ("stdout", 4, 1.0, b"ef") == row
    assert 6 == sizes["stdout"]
