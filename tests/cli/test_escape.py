"""Nothing in a text from a log reaches the terminal as anything but visible characters."""

from __future__ import annotations

import json
import random
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.cli.escape import Escaper, escape, escape_lines, is_safe, to_json

_FORMS = re.compile(r"\\(?:([nrt\\])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_SHORT = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}

texts = st.text(st.characters()) | st.text(
    st.sampled_from("\\nrtxuU0123456789abcdef\x1b\x9b\u202e\u200b\ufe0f\u2764\ud800\U000e0041é")
)


def unescape(shown: str) -> str:
    """Turn what `escape` shows back, as its documentation says one can."""
    return _FORMS.sub(_character, shown)


def _character(match: re.Match[str]) -> str:
    short, *codes = match.groups()
    return _SHORT[short] if short else chr(int(next(filter(None, codes)), 16))


@given(texts)
def test_nothing_dangerous_is_left(text: str) -> None:
    """Whatever the text, what is shown has no control, format or surrogate character."""
    shown = escape(text)

    assert is_safe(shown)
    assert [c for c in shown if unicodedata.category(c) in _INVISIBLE] == []


@given(texts)
def test_two_texts_never_look_the_same(text: str) -> None:
    """What is shown can be turned back into the very text."""
    assert text == unescape(escape(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("a\x1b\u202e"), inner),
        max_leaves=9,
    )
)
def test_json_is_safe_and_lossless(value: object) -> None:
    """Values as JSON are on one line, show nothing dangerous, and read back the same."""
    encoded = to_json(value)

    assert is_safe(encoded)
    assert value == json.loads(encoded)


def test_every_invisible_character_is_known() -> None:
    """No control, format, surrogate or separator character of Unicode is left out."""
    characters = map(chr, range(sys.maxunicode + 1))
    left = [c for c in characters if unicodedata.category(c) in _INVISIBLE and is_safe(c)]

    assert left == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢字 🎉", "plain é 漢字 🎉"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202eb\u2066\u200e\u061c", r"a\u202eb\u2066\u200e\u061c"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("hangul \u3164filler", r"hangul \u3164filler"),
        ("line\r\n\ttab", r"line\r\n\ttab"),
        ("\x00\x07\x08\x7f", r"\x00\x07\x08\x7f"),
        ("\ud800", r"\ud800"),
        (r"C:\Users\me", r"C:\Users\me"),
        (r"not an escape: \x1b", r"not an escape: \\x1b"),
        ("\u2764\ufe0f but e\ufe0f", "\u2764\ufe0f but e\\ufe0f"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    """Dangerous characters are named; harmless ones are left as they are."""
    assert expected == escape(text)


def test_lines_are_kept() -> None:
    """A text of several lines keeps them, whatever its line ends, and nothing else."""
    assert ["a", r"b\x1b", r"c\rd", ""] == escape_lines("a\r\nb\x1b\nc\rd\n")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), '"nan"'),
        ({"a": [float("-inf"), 1.5]}, '{"a": ["-inf", 1.5]}'),
        (2**70, str(2**70)),
        (b"\xff\x1b", r'"\\xff\u001b"'),
        ("\u202e\x9b\U000e0041", r'"\u202e\u009b\udb40\udc41"'),
        (object, "\"<class 'object'>\""),
    ],
)
def test_json_of_odd_values(value: object, expected: str) -> None:
    """A value that JSON has no form for becomes a text; the output is always valid JSON."""
    assert expected == to_json(value)
    json.loads(expected)


@pytest.mark.parametrize("seed", range(20))
def test_what_comes_bit_by_bit(seed: int) -> None:
    """However output is cut, it is shown as if it came at once; line breaks and tabs are kept."""
    chance = random.Random(seed)
    words = (b"a", b"\r", b"\n", b"\t", b"\\", b"x1b", b"u202e", b"\x1b", b"\xff", "€️⚠️".encode())
    data = b"".join(chance.choices(words, k=60))
    whole = Escaper().feed(data, end=True)
    escaper, shown, left = Escaper(), "", data
    while left:
        size = chance.randrange(1, 5)
        shown += escaper.feed(left[:size])
        left = left[size:]
    shown += escaper.feed(b"", end=True)

    assert whole == shown
    text = data.decode(errors="surrogateescape").replace("\r\n", "\n")
    assert [escape(word) for word in re.split(r"[\n\t]", text)] == re.split(r"[\n\t]", shown)


def test_what_could_begin_an_escape_waits() -> None:
    """A backslash is not shown before it is known what follows; everything else is at once."""
    escaper = Escaper()

    assert ["50%", "", "\\\\x1b", ""] == [
        escaper.feed(each) for each in (b"50%", b"\\x1", b"b\\", b"")
    ]
    assert "\\" == escaper.feed(b"", end=True)
