"""Redaction: secrets are removed from a line before it is written anywhere.

The value of an attribute whose name is in the list becomes "[redacted]", whatever its type and
depth.  What matches a pattern becomes "[redacted]" in the message, its template, the exception's
message, the stack trace, and every string in the attributes.  Everything else stays as it is, byte
for byte: no number is parsed, no key moves.

What is not searched, and what to do about it:

- text that a logging call has put into its message, also by `%(password)s`: names cannot find it,
  patterns can.  The same holds for the repr() of an object, for JSON inside a string, and for
  pairs: in `[("authorization", …)]`, as raw headers are often kept, there is no name.
- numbers and the names of attributes: patterns are for strings.  Redact a number by its name.
- the other columns: logger, path, function, thread, task, service, host, the exception's type.
- a match that `max_value_bytes` has cut in two: the pattern sees only what is left.

A pattern runs on the caller's thread, and nothing stops one that never ends on some text.

If redaction fails, the record is stored without anything that may hold a secret: message, template,
exception and attributes are dropped, and the message says so.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from logbatch.storage.columns import COLUMNS

REDACTED = "[redacted]"

_HARMLESS = frozenset(name for name, column in COLUMNS.items() if not column.secret)
# A pattern that is meant for tokens may match the name of any class.
_TEXTS = tuple(COLUMNS.keys() - _HARMLESS - {"attributes", "exception_type"})
_REDACTED = b'"[redacted]"'

# A string of JSON and, where it is a key, its colon; what else opens or closes a container.
_STRING = re.compile(rb'("(?:[^"\\]++|\\.)*+")(\s*:)?', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_SCALAR = re.compile(rb"\s*[^\s,\]}\[{\"]++")
_REPEATED = re.compile(r" \(\d+\)\Z")  # what the encoder puts after the second key of one text

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_decode_text = msgspec.json.Decoder(str).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode

OnFailure = Callable[[str, str, BaseException | None], object]


class Redactor:
    """Removes the secrets from a line; never raises an Exception.

    Args:
        names: Names of attributes, in any case.
        patterns: Regular expressions.
        on_failure: Called with (kind, text, exception) when a line could not be searched.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        patterns: Sequence[re.Pattern[str]] = (),
        on_failure: OnFailure | None = None,
    ) -> None:
        folded = {_encodable(name).casefold() for name in names}
        self._names = frozenset(folded)
        marks = [re.escape(_encode(name)[1:-1]) for name in sorted(folded)]
        self._find_name = re.compile(b'"(?:%b)' % b"|".join(marks)).search
        self._patterns = tuple(patterns)
        self._on_failure = on_failure

    def __call__(self, line: bytes) -> bytes:
        """Return the line without the secrets; the same object if there are none.

        Args:
            line: One line of JSON, newline and all.
        """
        try:
            if not (self._patterns or self._may_have_name(line)):
                return line
            return self._redact(line)
        except Exception as error:
            kind = type(error).__name__
        if self._on_failure is not None:  # without the exception, which may hold the text
            self._on_failure("redact", f"an event is stored without its content: {kind}", None)
        return _without_content(line, kind)

    def _may_have_name(self, line: bytes) -> bool:
        """Return whether a name may be in the line: a cheap check that misses none."""
        if b"\\" in line and rb"\u" in line:  # an escape may stand for any letter
            return True
        at = line.find(b'"attributes"')
        if at < 0:
            return False
        fields = line[at:]
        folded = fields.lower() if fields.isascii() else fields.decode().casefold().encode()
        return self._find_name(folded) is not None

    def _redact(self, line: bytes) -> bytes:
        fields = _decode_fields(line)
        changed: dict[str, Raw] = {}
        for column in _TEXTS if self._patterns else ():
            if column in fields and (text := self._redact_text(bytes(fields[column]))):
                changed[column] = Raw(text)
        if "attributes" in fields:
            attributes = bytes(fields["attributes"])
            redacted = self._redact_values(attributes)
            if redacted is not attributes:
                changed["attributes"] = Raw(redacted)
        return _encode_lines([{**fields, **changed}]) if changed else line

    def _redact_values(self, data: bytes) -> bytes:
        """Walk over all keys and strings of a piece of JSON, once and without recursion."""
        kept: list[bytes] = []
        done = at = 0
        while found := _STRING.search(data, at):
            at = found.end()
            new = None
            if found[2] is None:
                start, new = found.start(), self._redact_text(found[1])
            elif self._names and self._is_named(found[1]):
                start, at, new = at, _end_of_value(data, at), _REDACTED
            if new is not None:
                kept += data[done:start], new
                done = at
        return b"".join((*kept, data[done:])) if kept else data

    def _is_named(self, key: bytes) -> bool:
        name = _decode_text(key).casefold()
        return name in self._names or (
            name.endswith(")") and _REPEATED.sub("", name) in self._names
        )

    def _redact_text(self, data: bytes) -> bytes | None:
        """Return the JSON of a string without what matches; None if nothing does."""
        if not self._patterns or not data.startswith(b'"'):
            return None
        text = before = _decode_text(data)
        for pattern in self._patterns:
            if pattern.search(text):
                text = pattern.sub(_replacement, text)
        return None if text == before else _encode(text)


def _replacement(found: re.Match[str]) -> str:
    return REDACTED if found[0] else ""  # an empty match hides nothing


def _end_of_value(data: bytes, at: int) -> int:
    """Return the end of the value that begins at an offset, or after the space there."""
    if scalar := _SCALAR.match(data, at):
        return scalar.end()
    depth = 0
    while token := _TOKEN.search(data, at):
        at = token.end()
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
        if depth == 0:
            return at
    raise ValueError("a value without an end")


def _without_content(line: bytes, kind: str) -> bytes:
    """Return a line with the harmless columns only, and a message saying why."""
    fields: dict[str, Any] = {
        "timestamp": datetime.now(UTC),
        "level": "ERROR",
        "levelno": logging.ERROR,
        "logger": "logbatch",
    }
    with contextlib.suppress(Exception):  # it may not be an event at all
        fields |= {key: raw for key, raw in _decode_fields(line).items() if key in _HARMLESS}
    fields["message"] = f"[redacted: {kind} while this event was looked through]"
    return _encode_lines([fields])


def _encodable(name: str) -> str:
    """Write a lone surrogate as the encoder does in the name of an attribute."""
    return name.encode("utf-8", "backslashreplace").decode()
