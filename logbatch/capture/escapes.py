r"""What a terminal would show of a line: escape sequences, overwritten text and backspaces go.

Escape sequences are those of ECMA-48 and xterm: CSI (colours, cursor), OSC (titles, links; ended by
BEL or ST), DCS, SOS, PM and APC, the choice of character sets, the same with 8-bit C1 controls,
a lone ESC, and whatever is unfinished at the end of the line.  A byte that is no UTF-8, here a
surrogate as `surrogateescape` makes it, counts as the 8-bit CSI only where a whole sequence
follows: in Latin-1 it is a letter.

A movement of the cursor to another place of the screen, or erasing the whole line, begins a new
text, as `\r` does; the text that stays is the last that is not blank.  All of it takes linear
time: each expression stops where the next sequence may begin.

Source: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*+[ -/]*+[@-~]?"  # CSI
    "|\udc9b[0-?]*+[ -/]*+[@-~]"
    "|\x1b\\](?:P[0-9A-Fa-f]{7}|R)"  # the Linux console's palette, which has no end
    "|(?:\x1b\\]|\x9d)[^\x07\x1b\x9c\x9d]*+(?:\x07|\x1b\\\\|\x9c)?"  # OSC
    "|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c\x90\x98\x9e\x9f]*+(?:\x1b\\\\|\x9c)?"  # strings
    "|\x1b[ -/]++[0-~]?"  # character sets
    "|\x1b[0-~]?"
    "|[\x0e\x0f\x80-\x9f]"
)
_MOVE = re.compile("(?:\x1b\\[|\x9b)(?:[01]?G|2[JK]|[0-9;]*+[ABEFHdf])")
_MARKS = re.compile("[\x08\x0e\x0f\x1b\x80-\x9f\udc9b]")

_CONTROL = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_NEAR = 1000  # characters
_NO_UTF8 = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}

has_marks = _MARKS.search
"""Returns whether a text has anything that `clean` would take out."""


def clean(text: str) -> str:
    r"""Return what a terminal would show of a text without line ends and without `\r`.

    Args:
        text: May hold bytes that are no UTF-8, as `surrogateescape` makes them.
    """
    if has_marks(text) is None:
        return text
    text = _MOVE.sub("\r", text)
    if "\r" not in text:
        return _without_marks(text)
    shown = [_without_marks(piece) for piece in text.split("\r")]
    return next((piece for piece in reversed(shown) if not is_blank(piece)), shown[0])


def is_binary(text: str) -> bool:
    """Return whether a text has, near its beginning, controls that no text has."""
    return _CONTROL.search(text, 0, _NEAR) is not None


def is_blank(text: str) -> bool:
    """Return whether nothing of a clean text is visible."""
    return not text or text.isspace()


def _without_marks(text: str) -> str:
    text = _SEQUENCE.sub("", text)
    return _step_back(text) if "\b" in text else text


def _step_back(text: str) -> str:
    """Let what follows a backspace overwrite what was there, as spinners and `man` have it."""
    shown: list[str] = []
    at = 1
    for piece in text.split("\b"):
        at = max(at - 1, 0)
        shown[at : at + len(piece)] = piece
        at += len(piece)
    return "".join(shown)


def as_text(data: str) -> str:
    r"""Return a text whose bytes that are no UTF-8 are written `\xff`, as everywhere in a line."""
    return data if data.isascii() else data.translate(_NO_UTF8)
