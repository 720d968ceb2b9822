"""Conversion of values that are not JSON to plain data, for `encoder`.

`encoder`'s docstring lists the result for each type.  To support a new type, add a line to one of
the two tables below: a scalar is converted to one plain value, a container is split into items.
"""

from __future__ import annotations

import contextlib
import math
import sys
from array import array
from collections import UserList, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import EnumMeta
from itertools import islice
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from logbatch.events.lazy import find_lazy, is_loaded

MAX_DEPTH = 30  # a receiver accepts 32: these, the event and its attributes
MAX_ITEMS = 10_000

KEY_BYTES = 1024  # of the name of a field
NUMBER_BITS = 2000  # the JSON parsers we know accept 600 digits, in quadratic time
_encode = msgspec.json.Encoder().encode

Describe = Callable[[object], str]


def fit_text(text: str, limit: int) -> str:
    """Return the text in encodable form, cut if its JSON is longer than `limit` bytes."""
    return _fit(text, limit, len(text) > limit, f"{len(text)} characters in all")


def fit_beginning(text: str, limit: int, size: int) -> str:
    """Return the beginning of a text of `size` bytes in encodable form, with a mark of its size."""
    return _fit(text, limit, True, f"{size} bytes in all")


def _fit(text: str, limit: int, is_long: bool, size: str) -> str:
    text = str.__str__(text)[:limit]  # first of all: it may be 100 MB long, or of a subclass
    try:
        used = len(_encode(text))
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode()
        used = len(_encode(text))
    if used <= limit + 2 and not is_long:
        return text
    mark = f"…[cut: {size}]"
    room = limit - len(mark)
    while text and used > room:  # escapes make some characters longer than others
        text = text[: max(0, min(len(text) - 1, len(text) * room // used))]
        used = len(_encode(text))
    return text + mark


def name_of(kind: type) -> str:
    """Return the qualified name of a type; that of a built-in one has no module."""
    try:
        name = fit_text(kind.__qualname__, KEY_BYTES)
        module = kind.__module__
    except Exception:  # a metaclass can do anything
        return "?"
    return name if module == "builtins" or type(module) is not str else f"{module}.{name}"


def name_alone(value: object) -> str:
    """Return the text of an object that tells its type only, and runs nothing of its own."""
    return f"<{name_of(type(value))}>"


def failure_text(kind: type, error: Exception) -> str:
    """Return the text that replaces a value that could not be read."""
    return f"<{name_of(kind)}: {name_of(type(error))} while it was read>"


class _Parts(NamedTuple):
    """A copy of the first items of a container, which may change meanwhile."""

    items: list[Any]
    total: int
    is_keyed: bool = False
    is_scalar: bool = False  # its one item stands for the whole: an array without dimensions


class Conversion:
    """Converts one value to plain data.  Used for one call.

    Args:
        room: Bytes of JSON.
        describe: What makes the text of an object of a type that is not known here.
    """

    def __init__(self, room: int, describe: Describe = repr) -> None:
        self.room = room
        self.describe = describe
        self.items = MAX_ITEMS + 1  # beside the value itself
        self.open: set[int] = set()  # ids of the containers around the current value

    def convert(self, value: object) -> object:
        """Return a value as data that can always be encoded."""
        self.items -= 1
        self.room -= 2
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        try:
            if isinstance(kind, EnumMeta):
                return self.convert(value._value_)  # type: ignore[attr-defined]
            if (scalar := _find(SCALARS, kind)) is not None:
                return self.charge(scalar(value, max(self.room, 0)))
            if (split := _find(_SPLITTERS, kind) or _find_splitter(kind)) is not None:
                return self._build(value, split)
            if _is_numpy(kind, "generic"):
                return self._numpy_scalar(value)
            return self.charge(self.describe(value))
        except Exception as error:
            return self.charge(failure_text(kind, error))

    def charge(self, plain: object) -> object:
        """Subtract the size of a scalar from the room; a text is cut to fit."""
        if isinstance(plain, str):
            plain = fit_text(plain, max(self.room, 0))
            self.room -= len(_encode(plain))
        else:
            self.room -= 8 + (plain.bit_length() // 3 if isinstance(plain, int) else 0)
        return plain

    def _numpy_scalar(self, value: Any) -> object:
        plain = str(value) if value.dtype.kind in "mM" else value.item()
        # `item()` of a number that Python's types cannot hold returns numpy's type again.
        return self.convert(str(plain) if type(plain) is type(value) else plain)

    def _build(self, value: object, split: Callable[[Any, int], _Parts]) -> object:
        if id(value) in self.open:
            return self.charge("…[cycle]")
        if len(self.open) >= MAX_DEPTH:
            return self.charge(f"…[cut: deeper than {MAX_DEPTH} levels]")
        parts = _retry(split, value, max(self.items, 0))
        self.open.add(id(value))
        try:
            if parts.is_scalar:
                return self.convert(parts.items[0])
            return self._object(parts) if parts.is_keyed else self._array(parts)
        finally:
            self.open.discard(id(value))

    def _array(self, parts: _Parts) -> list[object]:
        result: list[object] = []
        for item in parts.items:
            if self.room <= 0 or self.items <= 0:
                break
            result.append(self.convert(item))
        if len(result) < parts.total:
            result.append(f"…[cut: {parts.total} items in all]")
        return result

    def _object(self, parts: _Parts) -> dict[str, object]:
        result: dict[str, object] = {}
        repeated: dict[str, int] = {}
        for key, value in parts.items:
            if self.room <= 0 or self.items <= 0:
                break
            name = text = self._key(key)
            while name in result:
                repeated[text] = repeated.get(text, 1) + 1
                name = f"{text} ({repeated[text]})"
            result[name] = self.convert(value)
        if len(result) < parts.total:
            mark = "…"
            while mark in result:
                mark += "…"
            result[mark] = f"[cut: {parts.total} items in all]"
        return result

    def _key(self, key: object) -> str:
        name = key
        if type(key) is not str:
            self.items += 1  # a key and its value are one item
            name = self.convert(key)
        text = name if isinstance(name, str) else _encode(name).decode()
        text = fit_text(text, KEY_BYTES)
        self.room -= len(text) + 3
        return text


def _retry(split: Callable[[Any, int], _Parts], value: object, room: int) -> _Parts:
    """Copy from a container; a RuntimeError means that another thread changed it meanwhile."""
    for _ in range(3):
        with contextlib.suppress(RuntimeError):
            return split(value, room)
    return split(value, room)


def _find(table: Mapping[type, Any], kind: type) -> Any:
    for base in kind.__mro__:
        if (found := table.get(base)) is not None:
            return found
    return None


# --------------------------------------------------------------- scalars: (value, room) -> plain


def _integer(value: int, room: int) -> int | str:
    bits = value.bit_length()
    if bits < NUMBER_BITS:
        return int.__int__(value)
    shift = max(bits - 4 * max(room - 64, 0), 0)
    shift += -shift % 4  # whole digits only
    text = hex(abs(value) >> shift)
    sign = "-" if value < 0 else ""
    return f"{sign}{text}…[cut: {bits} bits in all]" if shift else sign + text


def _float(value: float, _: int) -> float | str:
    value = float.__float__(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _string(value: str, _: int) -> str:
    # The str() of a subclass may hide its content, as that of a secret does: respect it.
    return str.__str__(value) if type(value).__str__ is str.__str__ else str(value)


def _bytes(value: bytes | bytearray | memoryview, room: int) -> str:
    view = memoryview(value).cast("B")
    head = bytes(view[:room])
    is_cut = len(head) < len(view)
    for end in range(len(head), len(head) - (4 if is_cut else 1), -1):  # not inside a character
        with contextlib.suppress(UnicodeDecodeError):
            return _fit(head[: max(end, 0)].decode(), room, is_cut, f"{len(view)} bytes in all")
    return _fit(repr(head), room, is_cut, f"{len(view)} bytes in all")


def _moment(value: date | time, _: int) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _seconds(value: timedelta, _: int) -> float:
    return value.total_seconds()


def _as_text(value: object, _: int) -> str:
    return str(value)


SCALARS: Mapping[type, Callable[[Any, int], object]] = {
    str: _string,
    int: _integer,
    float: _float,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    datetime: _moment,
    date: _moment,
    time: _moment,
    timedelta: _seconds,
    Decimal: _as_text,
    UUID: _as_text,
    PurePath: _as_text,
}


TEXTS: Mapping[type, Callable[[Any, int], str]] = {
    datetime: _moment,
    date: _moment,
    time: _moment,
    Decimal: _as_text,
    UUID: _as_text,
    PurePosixPath: _as_text,
    PureWindowsPath: _as_text,
    PosixPath: _as_text,
    WindowsPath: _as_text,
}
"""The types, themselves and no subclass, whose only JSON is a text."""


# --------------------------------------------------------------- containers: (value, room) -> parts


def _split_dict(value: dict[object, object], room: int) -> _Parts:
    # Use dict's own methods: those of a subclass may fail or return something else.
    return _Parts(list(islice(dict.items(value), room)), dict.__len__(value), is_keyed=True)


def _split_mapping(value: Mapping[object, object], room: int) -> _Parts:
    return _Parts(list(islice(value.items(), room)), len(value), is_keyed=True)


def _split_list(value: list[object], room: int) -> _Parts:
    return _Parts(list.__getitem__(value, slice(room)), list.__len__(value))


def _split_tuple(value: tuple[object, ...], room: int) -> _Parts:
    return _Parts(list(tuple.__getitem__(value, slice(room))), tuple.__len__(value))


def _split_set(value: set[object] | frozenset[object], room: int) -> _Parts:
    kind: type[Any] = set if issubclass(type(value), set) else frozenset
    items = list(islice(kind.__iter__(value), room))
    if all(_find(SCALARS, each) or each is tuple for each in set(map(type, items))):
        with contextlib.suppress(Exception):  # not all values can be compared
            items.sort()
    return _Parts(items, kind.__len__(value))


def _split_iterable(value: Collection[object], room: int) -> _Parts:
    return _Parts(list(islice(value, room)), len(value))


def _split_fields(value: object, names: Iterable[str]) -> _Parts:
    items = [(name, _field(value, name)) for name in names]
    return _Parts(items, len(items), is_keyed=True)


def _field(value: object, name: str) -> object:
    try:
        return getattr(value, name) if is_loaded(value, name) else "<not loaded>"
    except Exception as error:
        return failure_text(type(value), error)


def _split_dataclass(value: Any, _: int) -> _Parts:
    from dataclasses import fields  # loaded already, as the value shows

    return _split_fields(value, (field.name for field in fields(value) if field.repr))


def _split_attrs(value: Any, _: int) -> _Parts:
    shown = [field for field in value.__attrs_attrs__ if field.repr]
    parts = _split_fields(value, (field.name for field in shown))
    for index, field in enumerate(shown):
        if callable(field.repr):
            name, item = parts.items[index]
            parts.items[index] = (name, field.repr(item))
    return parts


def _split_struct(value: msgspec.Struct, _: int) -> _Parts:
    return _split_fields(value, value.__struct_fields__)


def _split_numpy(value: Any, room: int) -> _Parts:
    is_cut = value.size > room
    head = value.flat[:room] if is_cut else value
    if value.dtype.kind in "mM":  # tolist() would make plain integers of nanoseconds
        head = head.astype(str)
    if value.ndim == 0:
        return _Parts([head.item()], 1, is_scalar=True)
    items = head.tolist()
    return _Parts(items, value.size if is_cut else len(items))


def _is_numpy(kind: type, name: str) -> bool:
    """Return whether a type is a numpy type, without importing numpy."""
    base = getattr(sys.modules.get("numpy"), name, None)
    return isinstance(base, type) and issubclass(kind, base)


_SPLITTERS: Mapping[type, Callable[[Any, int], _Parts]] = {
    dict: _split_dict,
    list: _split_list,
    tuple: _split_tuple,
    set: _split_set,
    frozenset: _split_set,
    deque: _split_iterable,
    array: _split_iterable,
    UserList: _split_iterable,
    type({}.keys()): _split_iterable,
    type({}.values()): _split_iterable,
    type({}.items()): _split_iterable,
    msgspec.Struct: _split_struct,
}


def _find_splitter(kind: type) -> Callable[[Any, int], _Parts] | None:
    """Return how to split what is recognised by its name or its attributes, not its bases."""
    if (tell := find_lazy(kind)) is not None:
        return lambda value, _: _Parts([tell(value)], 1, is_scalar=True)
    if issubclass(kind, Mapping):
        return _split_mapping
    if hasattr(kind, "__dataclass_fields__"):
        return _split_dataclass
    if hasattr(kind, "__attrs_attrs__"):
        return _split_attrs
    return _split_numpy if _is_numpy(kind, "ndarray") else None
