"""Objects that are known to do their work late: what can be told of one without its doing any.

A logging call must not query a database because somebody passed it a query.  Such a type is known
by its name, so that nothing is imported.  To support another one, add a line to the table below.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

_UNREAD = object()


def find_lazy(kind: type) -> Callable[[Any], object] | None:
    """Return what tells of objects of a lazy type: their text, or what they hold already.

    Args:
        kind: Any type.

    Returns:
        None where the type is not known to be lazy.
    """
    for base in kind.__mro__:
        if (known := _LAZY.get(base.__name__)) is not None:
            package, tell = known
            if base.__module__.partition(".")[0].lstrip("_") == package:
                return tell
    return None


def is_loaded(value: object, name: str) -> bool:
    """Return whether a field of an object can be read without a query for it.

    SQLAlchemy keeps what it has loaded of a mapped object in that object's own dictionary.
    """
    attributes = sys.modules.get("sqlalchemy.orm.attributes")
    column = getattr(attributes, "QueryableAttribute", None)
    if column is None or not isinstance(getattr(type(value), name, None), column):
        return True
    return name in value.__dict__


def _unread(value: object, what: str = "") -> str:
    return f"<{type(value).__name__}{what}, not evaluated>"


def _query_set(value: Any) -> object:
    if value._result_cache is not None:
        return repr(value)  # up to 20 of the rows that it holds
    return _unread(value, f" of {value.model._meta.label}")


def _page(value: Any) -> object:
    return repr(value) if "count" in vars(value.paginator) else _unread(value, f" {value.number}")


def _documents(value: Any) -> object:
    return _unread(value, f" of {value._document.__name__}")


def _lazy_object(value: Any) -> object:
    held = object.__getattribute__(value, "__dict__").get("_wrapped", _UNREAD)
    empty = getattr(sys.modules.get("django.utils.functional"), "empty", None)
    return _unread(value) if held is _UNREAD or held is empty else held


def _local_proxy(value: Any) -> object:
    of = object.__getattribute__(value, "_LocalProxy__wrapped")
    if isinstance(of, FunctionType):
        return _unread(value, f" of {of.__qualname__}")
    return repr(value)  # what is bound to this thread or task


def _promise(value: Any) -> object:
    # As pickle would take it to pieces; the attributes have other names in other versions.
    reduce: Any = type(value).__reduce__
    _, (function, args, keywords, *_) = reduce(value)
    return _call(function, args, keywords)


def _lazy_string(value: Any) -> object:
    return _call(value._func, value._args, value._kwargs)


# Where the text that is to be translated stands among the arguments.
_TRANSLATIONS = {"gettext": 0, "ngettext": 0, "pgettext": 1, "npgettext": 1}


def _call(function: Any, args: tuple[object, ...], keywords: Mapping[str, object]) -> object:
    """Describe what would be called; of a translation, the text before it."""
    name = getattr(function, "__name__", type(function).__name__)
    if "singular" in keywords:  # Django's, which may not know its number yet
        return keywords["singular"]
    if name in _TRANSLATIONS and not keywords:
        return args[_TRANSLATIONS[name]]
    return {f"<{name}, not evaluated>": [*args, *([dict(keywords)] if keywords else ())]}


# By the name of the type: the package that it is from, and what tells of its objects.
_LAZY: Mapping[str, tuple[str, Callable[[Any], object]]] = {
    "Page": ("django", _page),
    "QuerySet": ("django", _query_set),
    "LazyObject": ("django", _lazy_object),
    "Promise": ("django", _promise),
    "DuckDBPyRelation": ("duckdb", _unread),
    "LazyString": ("flask_babel", _lazy_string),
    "BaseQuerySet": ("mongoengine", _documents),
    "LocalProxy": ("werkzeug", _local_proxy),
}
