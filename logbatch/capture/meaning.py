"""What a line says about itself: level, time, logger, and what is in JSON or logfmt.

A level counts only at a place where loggers put one.  The beginning of the line is read token by
token: times, numbers, brackets, `name:`, `name -`; the level is what comes behind them, in capitals
(`ERROR`, `[INFO]`, `WARNING/MainProcess`), or in any case where it stands alone in brackets or
before a colon (`error: …`, `[core:error]`).  `level=warn` counts anywhere near the beginning.
A message that merely holds such a word, as "0 errors" does, says nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from logbatch.capture.escapes import is_binary
from logbatch.capture.structured import Level, Parts, from_json, from_logfmt, level_of_name
from logbatch.capture.times import time_at_start
from logbatch.levels import from_name, from_priority

_FAR = 240  # characters in which a level may stand
_TOKENS = 9  # that may stand before it

_NAMES = (
    "trace|trce|trc|verbose|vrb|debug|dbug|dbg|information|info|inf|notice|warning|warn|wrn|"
    "error|err|fail|severe|fatal|ftl|critical|crit|alert|emergency|emerg|panic"
)
_END = r"(?=[\s:\]|,/)!>\[(]|\Z| - )"
_UPPER = re.compile(rf"({_NAMES.upper()}){_END}(?!: ?\d{{1,6}}\Z| ?/ ?\d)", re.ASCII)
_COLON = re.compile(
    rf"(?:(?:fatal|parse|internal|php) ){{0,2}}({_NAMES})(?:\[\w{{1,10}}\]| \w{{1,3}}\d{{1,6}})?"
    r": ?+(?!\d{1,6}\Z)",
    re.ASCII | re.IGNORECASE,
)
_CLASS = re.compile(r"(?:[A-Za-z_][\w.]{0,60})?(Warning): |((?:[A-Za-z_][\w.]{0,60})?Error): ")
_BRACKETS = re.compile(r"\[([^\[\]\n]{1,80})\]|<([a-z]{1,11})>|\(([a-zA-Z]{1,11})\)")
_WITHIN = re.compile(rf"(?<![\w-])({_NAMES.upper()})(?![\w-])", re.ASCII)
_MODULE = re.compile(rf"[\w.-]{{1,40}}:({_NAMES})\Z", re.ASCII)
_LETTER_WITHIN = re.compile(r"([TDIWEFC]) \d")
_LETTER = re.compile(
    r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d|([TDIWEF]), \[\d{4}-|([EWN]): |([VDIWEF])/[\w.]{1,60}\s?\("
)
_LOGCAT = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} {1,6}\d{1,6} {1,6}\d{1,6} ([VDIWEF]) ")
_REDIS = re.compile(r"\d{1,10}:[XCSM] \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} ([.*#-]) ")
_NPM = re.compile(r"(?:npm|pnpm|yarn) (ERR!|(?:WARN|error|warn|verb|info|http|notice)\b)")
_PRIORITY = re.compile(r"<(\d{1,3})>")
_FIELD = re.compile(
    r"(?<![\w.-])(?:level|lvl|severity|loglevel)=\"?([A-Za-z]{3,11})\b", re.IGNORECASE | re.ASCII
)
_BASIC = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):([\w.]{1,100}):")
_LETTERS = {
    **{
        letter: from_name(name) for letter, name in (("V", "trace"), ("T", "trace"), ("D", "debug"))
    },
    **{letter: from_name(name) for letter, name in (("I", "info"), ("N", "notice"))},
    **{letter: from_name(name) for letter, name in (("W", "warning"), ("E", "error"))},
    **{letter: from_name(name) for letter, name in (("F", "fatal"), ("C", "critical"))},
    **{letter: from_name(name) for letter, name in ((".", "debug"), ("-", "verbose"))},
    **{letter: from_name(name) for letter, name in (("*", "notice"), ("#", "warning"))},
}
_NPMS = {"ERR!": "error", "verb": "verbose", "http": "info"}


def _level_of_npm(name: str) -> Level | None:
    return level_of_name(_NPMS.get(name, name.lower()))


_SPECIALS: dict[str, list[tuple[re.Pattern[str], Callable[[str], Level | None]]]] = {
    "<": [(_PRIORITY, lambda digits: from_priority(int(digits) & 7))],
    **{first: [(_LETTER, _LETTERS.__getitem__)] for first in "TDIWEFCNV"},
    **{first: [(_NPM, _level_of_npm)] for first in "npy"},
    **{
        first: [(_LOGCAT, _LETTERS.__getitem__), (_REDIS, _LETTERS.__getitem__)]
        for first in "0123456789"
    },
}

# What may stand before a level, beside a time and brackets.
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?[AP]M)?"
_SYSLOG = (
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\d{1,2},? (?:\d{4},? )?" + _CLOCK
)
_SKIPS = re.compile(
    rf"{_SYSLOG}(?: [\w.-]{{1,64}}(?= ))?"
    rf"|{_CLOCK}(?![\w:])"
    r"|[-|•*>»–]{1,3}(?= )"
    r"|\[?\d{1,20}\]?:?(?=\s)"
    r"|\d{1,3}(?:\.\d{1,3}){3}:?(?=\s)"
    r"|(?:[A-Za-z]:)?[^\s:\[\]()]{1,100}(?:\[\d{1,10}\])?(?::\d{1,7}){0,2}:(?=\s)"
    r"|(?:UTC|GMT|[A-Z]{3,4})(?= \[)"
)
_NAME = re.compile(r"[\w.$/@#:-]{1,80}(?= {1,9}[-|:] )|(?=\S{0,79}[._/$\d])[\w.$/@#:-]{1,80}(?=\s)")
_WORD = re.compile(r"\w{1,40}(?=\s{1,9}[A-Z\[|])")


class Meaning(NamedTuple):
    """What a line says about itself.

    Attributes:
        level: Name and number, if it says one.
        moment: When it was logged, if it says so.
        logger: Name of the logger, if it says one.
        parts: What it was taken apart into, if it is JSON or logfmt.
    """

    level: Level | None = None
    moment: datetime | None = None
    logger: str | None = None
    parts: Parts | None = None


def read_line(text: str, read: float, limit: int) -> Meaning:
    """Read what a line says about itself.

    Args:
        text: A line; of an object of JSON on several lines, all of them.
        read: When it was read, in seconds since 1970.
        limit: Most bytes of a stack trace.
    """
    if is_binary(text):
        return Meaning()
    start = text[:1]
    parts = None
    if start == "{" and text.rstrip().endswith("}"):
        parts = from_json(text, read, limit)
    elif "=" in text[:_FAR] and "\n" not in text:
        parts = from_logfmt(text, read, limit)
    if parts is not None:
        return Meaning(parts.level, parts.moment, parts.logger, parts)
    head = text[:_FAR].partition("\n")[0]
    moment, end = time_at_start(head, read)
    basic = _BASIC.match(head)
    return Meaning(find_level(head, end), moment, basic[2] if basic else None)


def find_level(head: str, time_end: int) -> Level | None:
    """Find the level that a line says at its beginning.

    Args:
        head: The beginning.
        time_end: Where the time ends that it begins with; 0 if with none.
    """
    for form, level_of in _SPECIALS.get(head[:1], ()):
        found = form.match(head)
        if found:
            said = found[found.lastindex or 1]
            return level_of(said)
    return _behind_tokens(head, time_end) or _in_field(head)


def _in_field(head: str) -> Level | None:
    field = _FIELD.search(head)
    return _level(field[1].lower()) if field else None


def _behind_tokens(head: str, time_end: int) -> Level | None:
    """Read tokens from the beginning until a level, or what no logger writes before one."""
    at, names = 0, 0
    is_dated = False
    if time_end and _is_before_level(head, time_end):
        at, is_dated = time_end, True
    for _ in range(_TOKENS):
        at = _skip_spaces(head, at)
        upper = _UPPER.match(head, at) or (None if names else _COLON.match(head, at))
        if upper:
            return _level(upper[1].lower())
        if not names and (named := _CLASS.match(head, at)):
            return _level("warning" if named[1] else "error")
        bracket = _BRACKETS.match(head, at)
        if bracket:
            level = _in_brackets(bracket[1] or bracket[2] or bracket[3])
            if level is not None:
                return level
            at = bracket.end() + (head[bracket.end() : bracket.end() + 1] == ":")
            is_dated = is_dated or bool(time_end and bracket.start() < time_end)
            continue
        skip = _SKIPS.match(head, at)
        if skip is None and names < 3:
            skip = _NAME.match(head, at)
            if skip is None and is_dated and not names:
                skip = _WORD.match(head, at)
            names += 1
        if skip is None or skip.end() == at:
            return None
        is_dated = is_dated or skip[0][0].isdigit() or ":" in skip[0][1:-1]
        at = skip.end()
    return None


def _is_before_level(head: str, time_end: int) -> bool:
    """Return whether a level can only stand behind the time, as that is not within brackets."""
    return "[" not in head[:time_end] and not head[:1].isalpha()


def _skip_spaces(head: str, at: int) -> int:
    while at < len(head) and head[at] in " \t,":
        at += 1
    return at


@lru_cache(maxsize=512)
def _in_brackets(content: str) -> Level | None:
    level = level_of_name(content) if content.strip().isalpha() else None
    if level is None and (found := _MODULE.match(content) or _WITHIN.search(content)):
        level = _level(found[1].lower())
    if level is None and (found := _LETTER_WITHIN.match(content)):
        level = _LETTERS[found[1]]
    return level


def _level(name: str) -> Level | None:
    return level_of_name(name)


def at_least_error(level: Level | None) -> Level:
    """Return the level of a traceback, which is an error even where the line says less."""
    return level if level is not None and level[1] >= logging.ERROR else ("ERROR", logging.ERROR)


def says_trouble(text: str) -> bool:
    """Return whether a line says a level of WARNING or above."""
    head = text[:_FAR]
    level = find_level(head, time_at_start(head, 0.0)[1])
    return level is not None and level[1] >= logging.WARNING
