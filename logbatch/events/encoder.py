"""The total JSON encoder: any Python value becomes JSON, in bounded time and memory.

No function here raises an `Exception`; a `BaseException` such as KeyboardInterrupt, raised by an
object's own method, passes through.  No state is shared between calls and no value is kept, so an
object may log from its own `__repr__`, and any number of threads may encode at once.

Plain JSON data is encoded unchanged.  Everything else becomes text or plain data:

    integer of any size      a JSON number; as hexadecimal text from 2,000 bits
    NaN, infinities          "NaN", "Infinity", "-Infinity"; null is None and nothing else
    lone surrogate           the six characters \\udc80
    bytes                    their text where they are UTF-8, else a Python literal: "b'\\xff'"
    tuple, set, deque        an array; sets of texts, numbers, tuples are sorted where possible
    key that is not a string its JSON as text; a second key of the same text gets " (2)" after it
    dataclass, attrs, Struct an object of its fields, but those with `repr=False`
    Enum                     its value
    Decimal, UUID, Path      str()
    date, time, datetime     ISO 8601, with "Z" for UTC; a naive one has no offset
    timedelta                seconds
    numpy                    what `item()` and `tolist()` give; its dates as text
    what is known to be lazy what it holds already, else a text saying so: see `lazy`
    anything else            repr(), or its type's name; if that fails, a text saying so

At the limits: a value longer than `limit` bytes, nested deeper than `MAX_DEPTH`, or, if it is not
plain JSON data, with more than `MAX_ITEMS` items in all its containers together, is cut and marked:
"…[cut: 5242880 characters in all]".
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from itertools import chain, islice
from typing import Any

import msgspec

from logbatch.events.values import (
    KEY_BYTES,
    MAX_DEPTH,
    MAX_ITEMS,
    SCALARS,
    Conversion,
    Describe,
    failure_text,
    fit_text,
    name_of,
)

_MANY = 100
_BIG = 1 << 64
_encode = msgspec.json.Encoder().encode


def encode_value(value: object, limit: int, describe: Describe = repr) -> bytes:
    """Encode any value as JSON.

    Args:
        value: Anything.
        limit: Most bytes of JSON; a longer value is cut.  The mark may exceed it slightly.
        describe: What makes the text of an object of any other type.
    """
    try:
        if type(value) in SCALARS:
            value = SCALARS[type(value)](value, max(limit - 16, 0))  # with room for its quotes
        if spare_room((value,), limit) >= 0:
            data = _encode(value)
            if len(data) <= limit:
                return data
        return _encode(Conversion(limit, describe).convert(value))
    except Exception:  # a lone surrogate, or it changes while we look at it
        return _encode_carefully(value, limit, describe)


def encode_fields(
    fields: Mapping[Any, object], limit: int, describe: Describe = repr
) -> dict[str, msgspec.Raw]:
    """Encode the values of a mapping one by one.

    Args:
        fields: Anything, by name.
        limit: Most bytes of JSON of one value; all values together may take twice as much.
        describe: As for `encode_value`.

    Returns:
        JSON by name; encoding it cannot fail.
    """
    room = 2 * limit
    result: dict[str, msgspec.Raw] = {}
    for key, value in islice(fields.items(), MAX_ITEMS):
        if room <= 0:
            break
        name = text_of(key, KEY_BYTES)
        data = encode_value(value, min(limit, room), describe)
        room -= len(data) + len(name)
        result[name] = msgspec.Raw(data)
    if len(result) < len(fields):
        result["…"] = msgspec.Raw(_encode(f"[cut: {len(fields)} items in all]"))
    return result


def _encode_carefully(value: object, limit: int, describe: Describe) -> bytes:
    try:
        return _encode(Conversion(limit, describe).convert(value))
    except Exception as error:  # near the recursion limit anything can fail
        return _encode(f"<{name_of(type(error))} while it was read>")


def spare_room(values: Collection[Any], room: int, depth: int = MAX_DEPTH) -> int:
    """Return how many of `room` bytes are left after values that are plain JSON data.

    Sizes are estimated from below.  The result is negative if the values do not fit, or if
    anything is not plain: another type, not finite, huge, nested too deeply.
    """
    room -= 2 * len(values)
    if room < 0 or depth < 0:
        return -1
    if len(values) > _MANY and set(map(type, values)) <= {list, dict}:
        return _spare_room_of_many(values, room, depth)
    for value in values:
        kind = type(value)
        if kind is str:
            room -= len(value)
        elif kind is int:
            if not -_BIG < value < _BIG:
                return -1
        elif kind is float:
            if not math.isfinite(value):
                return -1
        elif kind is list or kind is tuple:
            room = spare_room(value, room - 6, depth - 1)
        elif kind is dict:
            room = spare_room(value.values(), _spare_room_of_keys(value, room - 6), depth - 1)
        elif kind is not bool and value is not None:
            return -1
        if room < 0:
            return -1
    return room


def _spare_room_of_keys(keys: Iterable[object], room: int) -> int:
    for key in keys:
        if type(key) is not str:
            return -1
        room -= len(key) + 3
        if room < 0:
            return -1
    return room


def _spare_room_of_many(values: Collection[Any], room: int, depth: int) -> int:
    """Check the items of many containers as if they were in one; a call for each is too slow."""
    room -= 2 * sum(map(len, values))
    if room < 0:
        return -1
    lists = [value for value in values if type(value) is list]
    dicts = [value for value in values if type(value) is dict]
    room = _spare_room_of_keys(chain.from_iterable(dicts), room)
    inner = [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, dicts))]
    return spare_room(inner, room, depth - 1)


def text_of(value: object, limit: int) -> str:
    """Return str() of any value, cut to `limit` bytes; if str() fails, a text saying so.

    A built-in container whose str() would be slow is shown as the JSON of its first items.
    """
    kind = type(value)
    if kind is str:
        return fit_text(value, limit)  # type: ignore[arg-type]
    try:
        is_quick = issubclass(kind, str) or is_small(value, limit // 4)
        text = str(value) if is_quick else encode_value(value, limit).decode()
    except Exception as error:
        text = failure_text(kind, error)
    return fit_text(text, limit)


def is_small(value: object, room: int) -> bool:
    """Return whether str() of a value is short, judging by the built-in types in it."""
    ahead: list[Any] = [value]
    while ahead and room > 0:
        part = ahead.pop()
        room -= 3
        for base in type(part).__mro__:
            if base in _SIZED:
                room -= 3 * base.__len__(part)  # type: ignore[attr-defined]  # it cannot fail
                if room > 0 and type(part) in _CONTAINERS:
                    ahead.extend(part)
                    ahead.extend(part.values() if base is dict else ())
                break
    return room > 0


_CONTAINERS = frozenset((list, tuple, dict, set, frozenset, deque))
_SIZED = _CONTAINERS | {str, bytes, bytearray}
