"""Where batches go: the registry that turns a URL, a dict or an object into a transport.

Another package adds a kind of transport with an entry point of the group `logbatch.transports`: its
name is the scheme of the URL and the `type` of the dict, its object is a callable with these forms:

    factory(**options)                the dict, without its `type`, and the handler's own options
    factory.from_url(url, **options)  the URL, whole
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from logbatch.options import OPTION_NAMES, check_known, find_close
from logbatch.places import log_path
from logbatch.transports.adapted import adapt
from logbatch.transports.base import BaseTransport, Transport
from logbatch.transports.environment import check_variables, read_options, variable_of
from logbatch.transports.parameters import Parameters

ENTRY_POINTS = "logbatch.transports"
VARIABLE = "LOGBATCH_TRANSPORT"

_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):").match
_RULE = (
    'must be a URL ("parquet:logs"), a dict ({"type": "parquet", "path": "logs"}), '
    "or an object with send and close"
)


def build(
    transport: str | Mapping[str, Any] | Transport | None = None, **options: Any
) -> BaseTransport:
    """Make a transport; this opens nothing and touches no file.

    Args:
        transport: A URL, a dict with `type`, or an object with `send` and `close`, which is
            adapted where it lacks something.  None reads the environment variable
            `LOGBATCH_TRANSPORT`; where that is not set, it means Parquet files in the user's log
            directory.
        **options: Options of the transport; None counts as not given.

    Raises:
        ValueError: The kind of transport or an option is unknown, or a value is out of range.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if transport is None:
        return _build_default(options)
    if isinstance(transport, str):
        return _from_url(transport, options)
    if isinstance(transport, Mapping):
        return _from_mapping(transport, options)
    if isinstance(transport, type):
        raise ValueError(f"transport {_RULE}; got the class {transport.__name__}")
    if not _is_transport(transport):
        raise ValueError(f"transport {_RULE}; got an object of type {type(transport).__name__}")
    if options:
        _refuse_options(options)
    return adapt(transport)


def check_handler_variables() -> None:
    """Check the environment for misspelt options of the handler.

    Raises:
        ValueError: A variable looks like one.
    """
    names = OPTION_NAMES - {"on_error"} | {"transport"}
    check_variables({name: name for name in names}, _list_kinds)


def _refuse_options(options: Mapping[str, Any]) -> NoReturn:
    name = next(iter(options))
    if find_close(name, OPTION_NAMES):
        check_known([name], OPTION_NAMES)
    raise ValueError(f"{name!r} must be given to the transport object itself")


def _is_transport(value: object) -> bool:
    return callable(getattr(value, "send", None)) and callable(getattr(value, "close", None))


def _build_default(options: dict[str, Any]) -> BaseTransport:
    if url := os.environ.get(VARIABLE):
        try:
            return _from_url(url, options)
        except ValueError as error:
            raise ValueError(f"environment variable {VARIABLE}: {error}") from error
    return _from_mapping({"type": "parquet", "path": log_path("logbatch")}, options)


def _from_url(url: str, options: dict[str, Any]) -> BaseTransport:
    match = _scheme(url)
    if match is None:  # the text is not repeated: nobody knows what it holds
        raise ValueError(
            'transport: the URL does not begin with a scheme; for a directory write "parquet:logs"'
        )
    kind = match[1].lower()
    factory = _find_factory(kind)
    parameters = Parameters.of(factory)
    in_url = {"path", "url"}.intersection(parameters.needed)
    _check_names(parameters._replace(names=parameters.names - in_url), options)
    found = read_options(kind, parameters, {*options, *_names_in_query(kind, url)}, _list_kinds)
    return _make(kind, found, lambda: factory.from_url(url, **found, **options))


def _names_in_query(kind: str, url: str) -> set[str]:
    """Return the options that the URL itself gives; the query of an http: URL is the server's."""
    query = "" if kind in ("http", "https") else url.partition("?")[2]
    return {name for name, _ in parse_qsl(query, keep_blank_values=True)}


def _from_mapping(given: Mapping[str, Any], options: dict[str, Any]) -> BaseTransport:
    # Item by item: logging.config's dicts resolve "ext://" and "cfg://" that way.
    values = {name: given[name] for name in given}
    kind = values.pop("type", None)
    if not isinstance(kind, str):
        raise ValueError(f'transport {_RULE}; this dict has no "type"')
    if twice := sorted(values.keys() & options.keys()):
        raise ValueError(f"{twice[0]!r} is given twice: in the transport's dict and beside it")
    if misplaced := sorted(values.keys() & OPTION_NAMES):
        raise ValueError(f"{misplaced[0]!r} belongs beside the transport's dict, not inside it")
    values |= options
    factory = _find_factory(kind)
    parameters = Parameters.of(factory)
    _check_names(parameters, values)
    for name in parameters.needed:
        if name not in values:
            raise ValueError(f"transport {kind!r} needs {name!r}")
    found = read_options(kind, parameters, values, _list_kinds)
    return _make(kind, found, lambda: factory(**found, **values))


def _make(kind: str, found: Iterable[str], make: Callable[[], Any]) -> BaseTransport:
    """Make a transport; of a wrong option that was found in the environment name the variable."""
    try:
        return adapt(make())
    except ValueError as error:
        text = str(error)
        for name in found:
            if re.match(rf"{name}\b", text):
                raise ValueError(
                    f"environment variable {variable_of(kind, name)}: {text}"
                ) from None
        raise


def _check_names(parameters: Parameters, given: Mapping[str, Any]) -> None:
    """Raise for the first option that the transport does not have, saying which was meant."""
    if not parameters.any:
        check_known(given, parameters.names | OPTION_NAMES)


def _http() -> Any:
    from logbatch.transports.http.transport import HttpTransport

    return HttpTransport


def _jsonl() -> Any:
    from logbatch.transports.jsonl import JsonlTransport

    return JsonlTransport


def _parquet() -> Any:
    from logbatch.transports.parquet import ParquetTransport

    return ParquetTransport


def _sqlite() -> Any:
    from logbatch.transports.sqlite import SqliteTransport

    return SqliteTransport


# Imported when asked for, yet in a way that those who pack programs into one file can see.
_BUILT_IN: Mapping[str, Callable[[], Any]] = {
    "http": _http,
    "https": _http,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "sqlite": _sqlite,
}


def _find_factory(kind: str) -> Any:
    if kind in _BUILT_IN:
        return _BUILT_IN[kind]()
    registered = _registered()
    if kind not in registered:
        raise ValueError(_explain_unknown(kind, {*_BUILT_IN, *registered}))
    try:
        return registered[kind].load()
    except Exception as error:
        where = registered[kind].value
        raise ValueError(f"transport {kind!r} ({where}) cannot be loaded: {error}") from error


def _list_kinds() -> set[str]:
    """Return the names of all kinds; this searches the installed packages."""
    return {*_BUILT_IN, *_registered()}


def _registered() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {each.name: each for each in entry_points(group=ENTRY_POINTS)}


def _explain_unknown(kind: str, known: set[str]) -> str:
    close = find_close(kind, sorted(known))
    hint = f"did you mean {close!r}? " if close else ""
    return (
        f"transport {kind!r} is unknown; {hint}Known are: {', '.join(sorted(known))}. "
        f"Another package can add one under the entry point group {ENTRY_POINTS!r}"
    )
