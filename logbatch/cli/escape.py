r"""Make text from a log safe to show.

Whoever can get a text logged can put terminal commands, marks that reorder a line, or invisible
characters into it.  `escape` shows each such character as `\n`, `\t`, `\r`, `\x1b`, `\u202e` or
`\U000e0041`.  A backslash that stands before something that could be read as such an escape is
doubled, so two different texts never look the same and the shown text can be turned back.

Escaped are: C0 and C1 controls and DEL, every format character (zero-width, bidirectional, tags),
other characters that Unicode calls default-ignorable, line and paragraph separators, and
surrogates.  A variation selector right behind a symbol (as in a two-character heart) is left.

Sources: https://www.unicode.org/reports/tr9/ (bidirectional marks),
https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt (default-ignorable),
https://trojansource.codes/.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

_SYMBOL = (
    "\xa9\xae\u2122\u2139\u203c\u2049\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_UNSAFE = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SELECTOR = f"(?<![{_SYMBOL}])[\ufe0e\ufe0f]"
_DANGEROUS = re.compile(f"[{_UNSAFE}]|{_SELECTOR}")
_AMBIGUOUS = r"\\(?=[nrt\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}" + f"|[{_UNSAFE}\ufe0e\ufe0f])"
_ESCAPED = re.compile(f"[{_UNSAFE}]|{_SELECTOR}|{_AMBIGUOUS}")
_BEGUN = re.compile(  # what the next character may belong to
    r"(?:\\*\r|\\+[xuU]?[0-9a-f]{0,7}|" + f"[{_SYMBOL}])" + r"\Z"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}


def escape(text: str) -> str:
    r"""Return the text with everything unsafe or invisible shown as an escape such as `\x1b`."""
    return _ESCAPED.sub(_shown, text)


def escape_lines(text: str) -> list[str]:
    """Escape a text of several lines, keeping only its line breaks."""
    return [escape(line) for line in text.replace("\r\n", "\n").split("\n")]


class Escaper:
    """Make what a program printed safe to show, as it comes; line breaks and tabs stay as they are.

    A byte that is no text is shown as a surrogate, `\\udc80` to `\\udcff`.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._left = ""

    def feed(self, data: bytes, *, end: bool = False) -> str:
        """Take the next bytes, and return what can be shown of them.

        Args:
            data: The bytes.
            end: Whether they are the last ones, so that nothing needs to wait for others.
        """
        text = self._left + self._decode(data, end)
        begun = None if end else _BEGUN.search(text)
        cut = begun.start() if begun else len(text)
        self._left = text[cut:]
        lines = (line.split("\t") for line in text[:cut].replace("\r\n", "\n").split("\n"))
        return "\n".join("\t".join(map(escape, parts)) for parts in lines)


def is_safe(text: str) -> bool:
    """Return whether a text holds nothing whose effect `escape` would hide."""
    return _DANGEROUS.search(text) is None


def to_json(value: Any) -> str:
    """Encode a value as JSON on one line, safe to show and lossless.

    Timestamps become ISO 8601 in UTC, NaN and infinities the texts "nan", "inf" and "-inf", and
    whatever else JSON has no form for becomes its text.
    """
    try:
        encoded = _encoder.encode(value)
    except ValueError:
        encoded = _encoder.encode(_without_nan(value))
    return _DANGEROUS.sub(_json_shown, encoded)


def to_text(value: Any) -> str:
    """Format a value that JSON has no form for; a time is ISO 8601, in UTC where aware."""
    if isinstance(value, datetime):
        aware = value.tzinfo is not None
        return (
            f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
            if aware
            else value.isoformat()
        )
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_shown(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=to_text)
