"""`Filter.equals`: the filter for exactly one value, whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from filtering import NOW, chosen, record
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logbatch import Filter, FilterError

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("nul*\\\"'/~(),= -@.or\n")


def agreed(found: Filter, *rows: dict[str, Any]) -> list[bool]:
    """Ask the filter, and the one that its text is, in all forms."""
    asked = chosen(str(found), *rows)
    assert asked == [found.matches(row) for row in rows]
    assert found == Filter.parse(str(found), NOW)
    assert Filter.parse(f"level>=DEBUG {found}", NOW) == Filter.parse("level>=DEBUG", NOW) & found
    return asked


@pytest.mark.parametrize("name", ["template", "message"])
@settings(max_examples=40)
@given(TEXTS, TEXTS)
@example("null", "NULL")
@example("*", "x")
@example("", "a")
@example("or", "OR")
@example("level=5", "a,b")
@example("~/x/", "/x/")
@example("\0", "\\0")
def test_any_text(name: str, value: str, other: str) -> None:
    """Only the record with that text matches."""
    rows = [record(**{name: text}) for text in (value, other, f"{value} ", f"x{value}")]
    rows += [record(**{name: None})] if name == "template" else []
    assert [True, value == other, False, False, False][: len(rows)] == agreed(
        Filter.equals(name, value), *rows
    )


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), TEXTS)
@example("a.b", "x")
@example("since", "1h")
def test_any_attribute(name: str, value: str) -> None:
    """A name may be anything, too."""
    path = f"attributes.{name}"
    rows = [record(attributes=each) for each in ({name: value}, {name: f"{value}."}, {})]
    assert [True, False, False] == agreed(Filter.equals(path, value), *rows)


@pytest.mark.parametrize(
    ("name", "value", "same", "others"),
    [
        ("user_id", 42, {"user_id": 42}, [{"user_id": 43}, {}, {"user_id": True}]),
        ("share", 0.5, {"share": 0.5}, [{"share": 0.25}]),
        ("done", True, {"done": True}, [{"done": False}, {"done": 1}, {"done": "True"}]),
        ("tags", ["a", "b"], {"tags": ["a", "b"]}, [{"tags": ["a"]}]),
        ("job", None, {}, [{"job": ""}, {"job": "null"}, {"job": False}]),
    ],
)
def test_values_that_are_no_text(
    name: str, value: object, same: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    """Numbers, booleans, lists, and none at all."""
    rows = [record(attributes=each) for each in (same, *others)]
    assert [True] + [False] * len(others) == agreed(Filter.equals(name, value), *rows)


def test_columns_of_other_kinds() -> None:
    """Levels by their number, or by a name that only their program knows; times; integers."""
    rows = [record(level="ERROR", levelno=40), record(level="AUDIT", levelno=35), record()]
    assert [True, False, False] == agreed(Filter.equals("level", "ERROR"), *rows)
    assert [False, True, False] == agreed(Filter.equals("level", "AUDIT"), *rows)
    assert [False] * 3 == agreed(Filter.equals("level", "A.DIT"), *rows)
    moment = datetime(2026, 11, 21, 10, 0, 0, 500_000, tzinfo=UTC)
    assert [True] == agreed(Filter.equals("timestamp", moment), record())
    assert [True] == agreed(Filter.equals("sequence", 5), record())
    assert [True, False] == agreed(Filter.equals("process", None), record(), record(process=7))
    with pytest.raises(FilterError):
        Filter.equals("sequence", "five")


def test_a_regular_expression() -> None:
    """It is found as in a filter that is written, and its text is one."""
    rows = [record(message=text) for text in ('GET "/a b"', "get /a", "POST /")]
    found = Filter.matching("message", r'(?-i)^GET ["/]+a')
    assert [True, False, False] == agreed(found, *rows)
    assert [False] == agreed(Filter.matching("attributes.path", "x/y"), record())
    for pattern in ("", "(", "a{1000}{1000}"):
        with pytest.raises(FilterError):
            Filter.matching("message", pattern)
