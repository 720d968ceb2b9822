"""The shape of some fields: their names, which stay the same from call to call.

What is known of names is checked once, and the values go to the encoder in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from logbatch.events.encoder import encode_value
from logbatch.events.fields import NAME_BYTES
from logbatch.events.origins import Unusual, require
from logbatch.events.values import MAX_DEPTH, TEXTS, Describe

MAX_NAMES = 64
_SMALL = 4096  # characters of a container that goes into the line as it is
_PLAIN = frozenset((str, int, bool, type(None)))


class Shape(NamedTuple):
    """The names of some fields: how to read the values, and how to make attributes of them."""

    names: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    make: Callable[..., Any]


def passing_shape(names: tuple[str, ...], kept: tuple[str, ...]) -> Shape:
    """Make a shape in a moment, for a single record.

    Args:
        names: The fields.
        kept: Those of them that are attributes.
    """
    require(len(names) <= MAX_NAMES)
    require(all(type(name) is str and len(name) < NAME_BYTES // 24 for name in names))
    read = _reader(kept, names)
    return Shape(kept, read, lambda *values: dict(zip(kept, values, strict=True)) or None)


@lru_cache(maxsize=512)
def shape_of(names: tuple[str, ...], kept: tuple[str, ...]) -> Shape:
    """Make a shape that serves best, which takes as long as some records do."""
    _, read, make = passing_shape(names, kept)
    if kept:
        keys = {f"field{index}": name for index, name in enumerate(kept)}
        make = msgspec.defstruct("Attributes", list(keys), rename=keys, gc=False)
    return Shape(kept, read, make)


def make_attributes(shape: Shape, values: tuple[Any, ...], limit: int, describe: Describe) -> Any:
    """Make attributes of their values; those that are not plain are replaced by their JSON."""
    for value in values:
        kind = type(value)
        if kind is str:
            if len(value) > limit:
                raise Unusual
        elif kind is not int:
            if kind is float:
                if value - value == 0.0:  # neither NaN nor an infinity
                    continue
            elif kind is bool or value is None:
                continue
            return shape.make(*[tame_value(each, limit, describe) for each in values])
    return shape.make(*values)


def _reader(
    kept: tuple[str, ...], names: tuple[str, ...]
) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return a function that reads what is kept, and raises KeyError if any field is missing."""
    if kept == names and len(names) > 1:
        return itemgetter(*names)
    order = (*kept, *(name for name in names if name not in kept))

    def read(fields: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple([fields[name] for name in order])[: len(kept)]

    return read


def tame_value(value: Any, limit: int, describe: Describe) -> Any:
    """Return what the encoder makes the right JSON of."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict or kind is list or kind is tuple:
        if _spare_room(value, _SMALL, MAX_DEPTH) >= 0:
            return value
        return Raw(encode_value(value, limit, describe))
    if (convert := TEXTS.get(kind)) is not None:
        return convert(value, limit)
    return Raw(encode_value(value, limit, describe))


def _spare_room(container: Any, room: int, depth: int) -> int:
    """Return how much of some room a container of plain JSON data leaves; below 0 if it is not.

    It takes about its length in characters, estimated from below.
    """
    room -= len(container)
    if room < 0 or depth < 0:
        return -1
    values = container
    if type(container) is dict:
        for key in container:
            if type(key) is not str:
                return -1
            room -= len(key)
        values = container.values()
    for value in values:
        kind = type(value)
        if kind is str:
            room -= len(value)
        elif kind is dict or kind is list or kind is tuple:
            room = _spare_room(value, room, depth - 1)
        elif kind is float:
            if value - value != 0.0:  # NaN or an infinity
                return -1
        elif kind is not int and kind is not bool and value is not None:
            return -1
        if room < 0:
            return -1
    return room


def add_bound(
    bound: dict[str, Any], shape: Shape | None, attributes: Any, limit: int, describe: Describe
) -> Any:
    """Put bound values before the other attributes, which win over a bound value."""
    merged = bound
    if _spare_room(bound, _SMALL, MAX_DEPTH) < 0:
        merged = {key: tame_value(value, limit, describe) for key, value in bound.items()}
    if shape is not None and attributes is not None:
        values = attributes.values() if type(attributes) is dict else astuple(attributes)
        merged.update(zip(shape.names, values, strict=True))
    return merged
