"""Lines in which each object has each of its keys once.

JSON's grammar allows a key twice, and most parsers let the last one win; but DuckDB and others
refuse the whole file.  Here, too, the last one wins, and is all that is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from logbatch.server.normalise import Rejected

_SMALL = 128 << 10  # bytes of a line that is built as a whole, which takes up to 40 times as many
_KEYS = 1 << 17  # in one line; each is kept as long as its object is open

# The next key, or the next brace of an object that has any; what stands before is passed over.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_NEXT = re.compile(
    rb'(?:[^"{}]++|\{\s*+\}|%(string)b(?!\s*+:))*+'
    rb"(?:(?P<key>%(string)b)\s*+:|(?P<opens>\{)|\})" % {b"string": _STRING},
    re.DOTALL,
)

_Span = list[int]  # where a member begins and the next one does

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


def is_as_we_write(line: bytes) -> bool:
    """Return whether a line is, byte for byte, as our own clients encode it; quickly.

    Such a line has no key twice, as what is built of it has not.
    """
    if len(line) > _SMALL:
        return False
    try:
        return _encode(_decode_any(line)) == line
    except (msgspec.MsgspecError, ValueError, OverflowError):  # numbers that Python has not
        return False


def keep_last_keys(line: bytes) -> bytes:
    """Return a line without the members of objects whose keys stand there again later.

    Args:
        line: A JSON object that the parser takes.

    Raises:
        Rejected: It has too many keys.
    """
    if is_as_we_write(line):
        return line
    kept, at = [], 0
    for start, stop in sorted(_find_repeated(line)):
        if start >= at:  # else it is a part of one that goes
            kept.append(line[at:start])
            at = stop
    return b"".join([*kept, line[at:]]) if at else line


def _find_repeated(line: bytes) -> Iterator[_Span]:
    """Yield the members that are not the last ones of their key: each with the comma behind it."""
    objects: list[dict[bytes, _Span]] = []  # those that are open, the innermost last
    newest: list[_Span] = []  # of each of them the member that was begun last
    keys = 0
    for found in _NEXT.finditer(line):
        key = found["key"]
        if key is not None:
            keys += 1
            if keys > _KEYS:
                raise Rejected("it has too many keys")
            at = found.start("key")
            newest[-1][1] = at
            newest[-1] = [at, at]
            name = _decode_text(key).encode() if b"\\" in key else key[1:-1]
            earlier = objects[-1].get(name)
            if earlier is not None:
                yield earlier
            objects[-1][name] = newest[-1]
        elif found["opens"]:
            objects.append({})
            newest.append([0, 0])
        else:
            objects.pop()
            newest.pop()
