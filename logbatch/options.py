"""Every option of the batcher: its default, its limits, and where a value may come from.

A value comes from the first of: keyword (or dictConfig key), environment variable
`LOGBATCH_<NAME>`, the transport's own default, the default below.  A wrong one raises `ValueError`
when the handler is built.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, cast

from logbatch.levels import number_of

ENVIRONMENT_PREFIX = "LOGBATCH_"
NEVER = 1 << 31  # a level that no event reaches

LONGEST_NAME = 200  # characters of an attribute's name that can be redacted

OnError = Callable[[str, str, BaseException | None], object]

_Number = TypeVar("_Number", int, float)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How events are collected into batches, and what happens at the limits: checked values.

    `logbatch.BatchHandler` documents each; a transport may have other defaults.
    """

    flush_interval: float | Literal["adaptive"] = 1.0
    max_batch_size: int = 10_000
    max_batch_bytes: int = 4 << 20
    flush_level: int = logging.ERROR
    durability: Literal["process", "power", "memory"] = "process"
    max_journal_bytes: int = 1 << 30
    when_full: Literal["drop_newest", "drop_oldest", "block"] = "drop_newest"
    block_timeout: float = 1.0
    close_timeout: float = 5.0
    max_value_bytes: int = 1 << 20
    objects: Literal["repr", "type"] = "repr"
    service: str | None = None
    host: str | None = None
    redact: tuple[str, ...] = ()
    redact_patterns: tuple[re.Pattern[str], ...] = ()
    collapse_repeats: bool = False
    report: bool = True
    on_error: OnError | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            checked = _RULES[field.name](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, checked)

    @property
    def redacts(self) -> bool:
        """Whether anything is to be taken out of events."""
        return bool(self.redact or self.redact_patterns)

    @classmethod
    def build(
        cls,
        keywords: Mapping[str, Any],
        *,
        defaults: Mapping[str, Any] | None = None,
    ) -> BatchOptions:
        """Make the options from keywords, the process's environment and a transport's defaults.

        Args:
            keywords: What the caller gave; it wins.
            defaults: What the transport wants where nobody said anything.

        Raises:
            ValueError: An option is unknown or its value is out of range; the text names the
                option, the value and the rule.
        """
        check_known(keywords, OPTION_NAMES)
        return cls(**{**(defaults or {}), **from_env(os.environ), **keywords})


def from_env(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the options from the variables `LOGBATCH_<NAME>`.

    Other variables with the prefix are ignored; an empty one counts as not set.

    Raises:
        ValueError: A value is out of range; the text names the variable.
    """
    found: dict[str, Any] = {}
    for variable, value in environ.items():
        prefix, _, name = variable.partition("_")
        name = name.lower()
        if f"{prefix}_" != ENVIRONMENT_PREFIX or name not in OPTION_NAMES or not value.strip():
            continue
        try:
            found[name] = _RULES[name](name, value)
        except ValueError as error:
            raise ValueError(f"environment variable {variable}: {error}") from None
    return found


def check_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a ValueError for the first name that is not known, saying which was meant."""
    names = sorted(known)
    for name in given:
        if name not in names:
            raise ValueError(f"unknown option {name!r}{_hint(str(name), names)}")


def _hint(given: str, names: Iterable[str]) -> str:
    """Return which name was probably meant or, where none is close, all names."""
    close = find_close(given, names)
    return f"; did you mean {close!r}?" if close else f"; known are: {', '.join(names)}"


def find_close(given: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant; None where no one is close."""
    import difflib  # late, as it takes time

    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(given.strip().casefold(), folded, 1)
    return folded[close[0]] if close else None


def parse_level(level: int | str) -> int:
    """Turn a level's name or number into its number.

    Raises:
        ValueError: There is no such level.
    """
    return _level("level", level, "a level's name or number")


def _level(name: str, value: object, rule: str, *more: str) -> int:
    number = _find_level(value)
    if number is None:
        names = (*logging.getLevelNamesMapping(), *more)
        hint = _hint(value, names) if isinstance(value, str) else ""
        raise ValueError(f"{name}={value!r} must be {rule}{hint}")
    return number


def _find_level(value: object) -> int | None:
    if isinstance(value, str):
        number = number_of(value)
        with contextlib.suppress(ValueError):
            return int(value) if number is None else number
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # a member of an IntEnum becomes a plain number
    return None


def _flush_level(name: str, value: Any) -> int:
    if value is None or (isinstance(value, str) and value.strip().casefold() == "never"):
        return NEVER
    return _level(name, value, "a level's name or number, or 'never'", "never")


def seconds(low: float, high: float) -> Callable[[str, Any], float]:
    """Return the rule of an option that is a time: a function of its name and value."""
    rule = f"a number of seconds from {low:,} to {high:,}"
    return lambda name, value: _within(low, high, rule, _real, name, value)


def proportion(name: str, value: Any) -> float:
    """Read a share, from 0.01 to 1."""
    return _within(0.01, 1, "a number from 0.01 to 1", _real, name, value)


def whole(low: int, high: int, unit: str) -> Callable[[str, Any], int]:
    """Return the rule of an option that is a whole number: a function of its name and value."""
    rule = f"a whole number of {unit} from {low:,} to {high:,}"
    return lambda name, value: _within(low, high, rule, _index, name, value)


def _within(
    low: float, high: float, rule: str, read: Callable[[Any], _Number], name: str, value: Any
) -> _Number:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if not isinstance(value, bool) and low <= (number := read(value)) <= high:
            return number
    raise ValueError(f"{name}={value!r} must be {rule}")


def _real(value: Any) -> float:
    return float(value)


def _index(value: Any) -> int:
    """Read a whole number, also from a string; 2.5 and 2.0 raise."""
    return int(value) if isinstance(value, str) else operator.index(value)


def choice(*allowed: str) -> Callable[[str, Any], str]:
    """Return the rule of an option that is one of some words: a function of its name and value."""

    def check(name: str, value: Any) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        close = find_close(str(value), allowed)
        hint = f"; did you mean {close!r}?" if close else ""
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, allowed))}{hint}")

    return check


def _flush_interval(name: str, value: Any) -> Any:
    if isinstance(value, str) and value == "adaptive":
        return value
    rule = "a number of seconds from 0.01 to 86,400, or 'adaptive'"
    return _within(0.01, 86_400, rule, _real, name, value)


def _text(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{name}={value!r} must be a string or None")


def _callable(name: str, value: Any) -> OnError | None:
    if value is None or callable(value):
        return cast("OnError | None", value)
    raise ValueError(f"{name}={value!r} must be a function of (kind, text, exception)")


def _names(name: str, value: Any) -> tuple[str, ...]:
    """Read attribute names: a list, or one string with commas."""
    given = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if isinstance(given, list | tuple | set | frozenset):
        names = [part for part in given if isinstance(part, str) and 0 < len(part) <= LONGEST_NAME]
        if len(names) == len(given):
            return tuple(sorted(names) if isinstance(given, set | frozenset) else names)
    rule = f"a list of attribute names, each of 1 to {LONGEST_NAME} characters"
    raise ValueError(f"{name}={value!r} must be {rule}")


def _patterns(name: str, value: Any) -> tuple[re.Pattern[str], ...]:
    """Read regular expressions: a list, or one string that is a JSON array or else a pattern."""
    given = _read_patterns(value) if isinstance(value, str) else value
    rule = f"{name}={value!r} must be a list of regular expressions (str)"
    if isinstance(given, list | tuple):
        try:
            return tuple(map(_compile, given))
        except ValueError as error:
            rule = f"{rule}: {error}"
    raise ValueError(rule)


def _read_patterns(text: str) -> list[str]:
    import json

    with contextlib.suppress(ValueError):
        read = json.loads(text)
        if isinstance(read, list) and all(isinstance(part, str) for part in read):
            return read
    return [text]  # also one that begins with a bracket: [0-9]{16}


def _compile(part: Any) -> re.Pattern[str]:
    if not isinstance(part.pattern if isinstance(part, re.Pattern) else part, str):
        raise ValueError(f"{part!r} is not a string")
    try:
        compiled: re.Pattern[str] = re.compile(part)
    except (re.error, OverflowError, RecursionError, Warning) as error:  # warnings may be errors
        raise ValueError(f"{part!r} is not one, {error}") from None
    if compiled.search("") is not None:
        raise ValueError(f"{part!r} matches the empty string")
    return compiled


def switch(name: str, value: Any) -> bool:
    """Read a bool, or a string from the environment."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    text = value.strip().casefold() if isinstance(value, str) else ""
    if isinstance(value, bool) or text in known:
        return value if isinstance(value, bool) else known[text]
    raise ValueError(f"{name}={value!r} must be true or false")


_RULES: dict[str, Callable[[str, Any], Any]] = {
    "flush_interval": _flush_interval,
    "max_batch_size": whole(1, 1_000_000, "events"),
    "max_batch_bytes": whole(1, 1 << 28, "bytes"),
    "flush_level": _flush_level,
    "durability": choice("process", "power", "memory"),
    "max_journal_bytes": whole(1 << 16, 1 << 50, "bytes"),
    "when_full": choice("drop_newest", "drop_oldest", "block"),
    "block_timeout": seconds(0, 3_600),
    "close_timeout": seconds(0, 3_600),
    "max_value_bytes": whole(256, 1 << 27, "bytes"),
    "objects": choice("repr", "type"),
    "service": _text,
    "host": _text,
    "redact": _names,
    "redact_patterns": _patterns,
    "collapse_repeats": switch,
    "report": switch,
    "on_error": _callable,
}

OPTION_NAMES = frozenset(_RULES)
