"""Lines in which each object has each of its keys once.

JSON's grammar allows a key twice, and most parsers let the last one win; but DuckDB and others
refuse the whole file.  Here, too, the last one wins, and is all that is stored.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from logbatch.server.normalise import Rejected

SMALL = 128 << 10
"""Bytes of a line that may be built as a whole, which takes up to 40 times as many."""

_KEYS = 1 << 17  # in one line; each is kept as long as its object is open

# The next key, or the next brace of an object that has any; what stands before is passed over.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_NEXT = re.compile(
    rb'(?:[^"{}]++|\{\s*+\}|%(string)b(?!\s*+:))*+'
    rb"(?:(?P<key>%(string)b)\s*+:|(?P<opens>\{)|\})" % {b"string": _STRING},
    re.DOTALL,
)

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


class _Object(NamedTuple):
    """An object that is open.

    Attributes:
        places: Key -> the last of its members that has it, counted from 0.
        starts: Where each of its members begins.
    """

    places: dict[bytes, int]
    starts: array[int]


def keep_last_keys(line: bytes) -> bytes:
    """Return a line without the members of objects whose keys stand there again later.

    Args:
        line: A JSON object that the parser takes.

    Raises:
        Rejected: It has too many keys.
    """
    if _is_as_encoded(line):  # what was built has no key twice
        return line
    kept, at = [], 0
    for start, stop in sorted(_find_repeated(line)):
        if start >= at:  # else it is a part of one that goes
            kept.append(line[at:start])
            at = stop
    return b"".join([*kept, line[at:]]) if at else line


def _find_repeated(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield the members that are not the last ones of their key: each with the comma behind it."""
    objects: list[_Object] = []  # those that are open, the innermost last
    keys = 0
    for found in _NEXT.finditer(line):
        key = found["key"]
        if key is not None:
            keys += 1
            if keys > _KEYS:
                raise Rejected("it has too many keys")
            name = _decode_text(key).encode() if b"\\" in key else key[1:-1]
            places, starts = objects[-1]
            earlier = places.get(name)
            places[name] = len(starts)
            starts.append(found.start("key"))
            if earlier is not None:
                yield starts[earlier], starts[earlier + 1]
        elif found["opens"]:
            objects.append(_Object({}, array("Q")))
        else:
            objects.pop()


def _is_as_encoded(line: bytes) -> bool:
    """Return whether a line is, byte for byte, what a decoder and an encoder make of it."""
    try:
        return len(line) <= SMALL and _encode(_decode_any(line)) == line
    except (msgspec.MsgspecError, ValueError, OverflowError):  # numbers that Python has not
        return False
