"""The page's scripts one by one, in the browser, against what the package itself does."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from browsing import OpenTabs, View

from logbatch.dataset.filter.language import Filter

Call = Callable[..., Any]

VALUES = (
    *("a", "a b", 'say "hi"', "back\\slash", "\\", "it's", "a,b", "(x)", "a)", "-4", "*", "a*b"),
    *("or", "NOT", "and", "", " ", "ümläut", "two\nlines", "/re/", "[1,2]", "{", "=", "<b>", "😀"),
    *("null", "true", "4", "\u202egnp", "~x", "#", "%s", 4, -4.5, True, None),
)
FIELDS = ("user", "user_id", "a.b", "two words", 'a"b', "x=y", "ä", "-x", "or")
BASES = ("", "timeout", "timeout or refused", "level>=DEBUG (a or timeout)", 'and="x" timeout')


@pytest.fixture
def call(tabs: OpenTabs, shop: View) -> Call:
    """Call a function of a script, once for each of what it is given."""
    page = tabs().open(shop.url)

    def ask(file: str, name: str, *given: Sequence[Any]) -> list[Any]:
        code = (
            f'async (all) => {{ const script = await import("/static/{file}");'
            f" return all.map((given) => script.{name}(...given)); }}"
        )
        found: list[Any] = page.evaluate(code, [list(each) for each in given])
        return found

    return ask


def row_of(field: str, value: object) -> dict[str, Any]:
    """Make a row that has a value at the place of a filter's field."""
    attributes: dict[str, Any] = {"and": "x"}
    inner = attributes
    *outer, last = field.split(".")
    for name in outer:
        inner = inner.setdefault(name, {})
    if value is not None:
        inner[last] = value
    return {"message": "a timeout", "level": "INFO", "levelno": 20, "attributes": attributes}


@pytest.mark.parametrize("base", BASES)
def test_a_click_makes_a_filter_that_finds_the_value(call: Call, base: str) -> None:
    """Whatever field, value and filter: included it is found, excluded it is not."""
    cases = [(base, field, value) for field in FIELDS for value in VALUES]
    included = call("language.js", "toggleInclude", *cases)
    excluded = call("language.js", "toggleExclude", *cases)
    for (_, field, value), include, exclude in zip(cases, included, excluded, strict=True):
        here, other = row_of(field, value), row_of(field, "another")
        assert Filter.parse(include).matches(here), include
        assert not Filter.parse(include).matches(other), include
        assert not Filter.parse(exclude).matches(here), exclude
        assert Filter.parse(exclude).matches(other), exclude


@pytest.mark.parametrize("toggle", ["toggleInclude", "toggleExclude"])
def test_a_second_click_takes_it_back(call: Call, toggle: str) -> None:
    """The filter is what it was before."""
    cases = [("a -b", field, value) for field in FIELDS for value in VALUES]
    once = call("language.js", toggle, *cases)
    again = [(text, *case[1:]) for text, case in zip(once, cases, strict=True)]
    assert call("language.js", toggle, *again) == ["a -b"] * len(cases)


def test_a_second_value_will_do_as_well(call: Call) -> None:
    """Any of the values that were clicked is found, in one term."""
    values = [value for value in VALUES if value not in (None, "null")]
    cases = [("user=first", "user", value) for value in values]
    for value, text in zip(values, call("language.js", "toggleInclude", *cases), strict=True):
        assert text.startswith("user=first,")
        parsed = Filter.parse(text)
        assert parsed.matches(row_of("user", "first"))
        assert parsed.matches(row_of("user", value)), text
        assert not parsed.matches(row_of("user", "another"))


def test_words_of_messages_are_those_of_the_filter(call: Call) -> None:
    """They stand out in the list; what is negated or compared does not."""
    text = 'timeout level>=INFO "asked for" (a1 or Refused) -debug path~x not user=1 and'
    assert call("language.js", "bareWords", (text,)) == [["timeout", "asked for", "a1", "refused"]]


def test_what_is_invisible_is_shown(call: Call) -> None:
    """Controls and what turns the direction are written as Python writes them."""
    texts = ["a\x1b[0m\nb", "\u202egnp", "\u200b", "👩\u200d👧", "\U000e0041", "سلام", "a\tb"]
    shown = ["a\\x1b[0m↵b", "\\u202egnp", "\\u200b", "👩\u200d👧", "\\U000e0041", "سلام", "a  b"]
    assert call("format.js", "line", *zip(texts)) == shown


def test_what_was_printed_is_shown_as_a_terminal_leaves_it(call: Call) -> None:
    """Without colours, and of a line that was written anew its last form."""
    printed = "\x1b[32mok\x1b[0m\n 10%\r 50%\r100%\nend\r\n\x1b]0;title\x07x"
    assert call("runs.js", "readable", (printed,)) == ["ok\n100%\nend\nx"]


def test_an_address_with_a_time_that_is_none(call: Call) -> None:
    """It said `Since ?`, and compared with 1970; what is a time stays, of whatever form."""
    day = "2026-11-21T10:00:00Z"
    wrong, right = call(
        "state.js",
        "parseView",
        ("?from=garbage&to=2026-13-41&since=yy&before=a/b/c/d&q=x",),
        (f"?from=-15m&to={day}&since={day}&before={day}/-2h/-1h/-0s",),
    )
    names = ("from", "to", "since", "before")
    assert ["", "", "", "", "x"] == [wrong[name] for name in (*names, "q")]
    assert ["-15m", day, day, f"{day}/-2h/-1h/-0s"] == [right[name] for name in names]


def test_times_keep_their_microseconds(call: Call) -> None:
    """In both directions, before 1970 too."""
    times = [0, 1, -1, 1_795_869_887_226_560, 1_795_869_887_000_001, -62_135_596_800_000_000]
    texts = call("format.js", "iso", *zip(times))
    assert texts[:2] == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000001Z"]
    assert texts[2] == "1969-12-31T23:59:59.999999Z"
    assert call("state.js", "parseIso", *zip(texts)) == times


@pytest.mark.parametrize("rows", [0, 1, 30, 350_000, 400_000, 5_000_000, 2_000_000_000])
def test_every_place_of_a_list_can_be_scrolled_to(tabs: OpenTabs, shop: View, rows: int) -> None:
    """However many rows, the bar goes from the first to the last, and back to the same place."""
    code = """async (tall) => {
      const { Bar } = await import("/static/scale.js");
      const bar = new Bar(tall, 600);
      const most = Math.max(0, tall - 600);
      const places = [0, 0.00001, 0.1, 0.5, 0.9, 0.99999, 1].map((share) => share * most);
      const stands = places.map((place) => bar.fromPixels(place));
      return [bar.height, stands, stands.map((at, index) => bar.toPixels(at) - places[index])];
    }"""
    height, stands, errors = tabs().open(shop.url).evaluate(code, rows * 22)
    assert height <= 8_000_000
    assert stands == sorted(stands)
    assert stands[0] == 0
    assert stands[-1] == max(0, height - 600)
    assert max(map(abs, errors)) < 1


def test_a_trace_is_cut_into_frames(call: Call) -> None:
    """Those of causes and groups, too; what stands between them stays."""
    try:
        try:
            json.loads("{")
        except ValueError as cause:
            raise ExceptionGroup("two", [KeyError("a"), OSError("b")]) from cause
    except ExceptionGroup:
        text = traceback.format_exc()
    (parts,) = call("trace.js", "parseTrace", (text,))
    frames = [part for part in parts if isinstance(part, dict)]
    assert [frame["name"] for frame in frames][:2] == [
        "test_a_trace_is_cut_into_frames",
        "loads",
    ]
    assert frames[0]["code"][0] == 'json.loads("{")'
    libraries = call("trace.js", "isLibrary", *([frame["file"]] for frame in frames))
    assert [False, True] == libraries[:2]
    between = [part for part in parts if isinstance(part, str)]
    assert any("direct cause" in part for part in between)
    assert any("KeyError" in part for part in between)
