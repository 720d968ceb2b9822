"""The filter language: what each term means, where a mistake is, and that both forms agree."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from filtering import (
    FITTING,
    NOW,
    as_table,
    assert_engine_agrees,
    decided,
    filters,
    holds,
    record,
    rows,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logbatch.dataset.filter.comparisons import fold
from logbatch.dataset.filter.language import Filter
from logbatch.errors import FilterError


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("level>=WARNING", [30, 40]),
        ("level>=warning", [30, 40]),
        ("level>=30", [30, 40]),
        ("level=ERROR", [40]),
        ("level!=ERROR", [10, 20, 30]),
        ("level<info", [10]),
        ("-level>=info", [10]),
        ("levelno>=25.5", [30, 40]),
    ],
)
def test_a_level_is_compared_by_its_number(text: str, levels: list[int]) -> None:
    """Names in either case and numbers stand for the same levels."""
    assert levels == [number for number in (10, 20, 30, 40) if holds(text, levelno=number)]


def test_a_logger_means_those_below_it() -> None:
    """`logger=app` takes app and app.web, but not apple; `!=` is the other way round."""
    names = ("app", "app.web", "apple", "", "root")
    assert ["app", "app.web"] == [name for name in names if holds("logger=app", logger=name)]
    assert ["apple", "", "root"] == [name for name in names if holds("logger!=app", logger=name)]
    assert ["app.web"] == [name for name in names if holds("logger~WEB", logger=name)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("since=2h", True),  # now is 12:00, the record is of 10:00:00.5
        ("since=119m", False),
        ("since=1h59m59.5s", True),
        ("since=1d", True),
        ("until=2h", False),
        ("until=1h", True),
        ("since=2026-11-21", True),
        ("until=2026-11-21", False),
        ("since=2026-11-21T10:00:00.5", True),
        ("until=2026-11-21T10:00:00.5", False),
        ("since=2026-11-21T11:00+01:00 until=2026-11-21T10:00:01Z", True),
        ('since="2026-11-21 10:00"', True),
        ("-since=2h", False),
        ("timestamp=2026-11-21T10:00:00.500000", True),
        ("timestamp>2026-11-21T10:00:00.499999", True),
        ("timestamp~10:00:00.500000Z", True),
    ],
)
def test_times_are_utc_and_durations_count_back_from_now(text: str, expected: bool) -> None:
    """`since` is included, `until` is not; a time without an offset is UTC."""
    assert expected is holds(text)
    assert expected is Filter.parse(text, NOW).matches(
        record(timestamp=datetime(2026, 11, 21, 10, 0, 0, 500_000, tzinfo=UTC))
    )


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("x=42", 42, True),
        ("x=42", "42", True),
        ('x="42"', 42, True),
        ("x=42.0", 42, True),
        ("x=42.0", "42", False),
        ("x=4e1", 40, True),
        ("x=123456789012345678901234567890", 123456789012345678901234567890, True),
        ("x=true", True, True),
        ("x=True", True, True),
        ("x=1", True, False),
        ("x=null", None, True),
        ("x!=null", 0, True),
        ("x!=null", None, False),
        ("x=Ann", "ann", False),
        ("x~ANN", "joanne", True),
        ("x~É", "café", True),
        ("x~4", 3.14, True),
        ("x~tru", True, True),
        ("x~b", ["a", "b"], True),
        ('x="[1,2]"', [1, 2], True),
        ("x>=500", 500, True),
        ("x>=500", "503", True),
        ("x>=500", "5xx", False),
        ("x<500", None, False),
        ("x>0", True, False),
        ("x<-1.5", -2, True),
        ("x!=200", 404, True),
        ("x!=200", 200, False),
        ("x!=200", None, False),
        ("-x=200", None, True),
        ("-x<500", None, True),
        ('x=""', "", True),
    ],
)
def test_what_a_comparison_with_an_attribute_means(text: str, value: Any, expected: bool) -> None:
    """Numbers by amount, texts exactly, `~` in either case; what is missing meets no comparison."""
    assert expected is holds(text, attributes={"x": value})
    if value is None:
        assert expected is holds(text, attributes={})
        assert expected is holds(text, attributes=None)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("x=1,2", 2, True),
        ("x=1,2", 3, False),
        ("x=1,2", None, False),
        ("x=1,true,b", True, True),
        ("x=1,null", None, True),
        ("x!=1,2", 2, False),
        ("x!=1,2", 3, True),
        ("x!=1,2", None, False),
        ("-x=1,2", None, True),
        ("x=*", 0, True),
        ("x=*", "", True),
        ("x=*", "null", True),
        ("x=*", None, False),
        ("x!=*", None, True),
        ("x!=*", [], False),
        ("-x=*", False, False),
        ("x~/^it/", "Items", True),
        ("x~/^tem/", "items", False),
        ("x~/(?-i)^it/", "Items", False),
        ("x~/a.c/", "a\nc", False),
        ("x~/(?s)a.c/", "a\nc", True),
        ("x~/^c$/", "b\nc", False),
        ("x~/(?m)^c$/", "b\nc\n", True),
        ("x~/b$/", "b\n", False),
        ("x~/é|ß/", "É", True),
        ("x~/^[45]../", 503, True),
        ("x~/^3.1/", 3.14, True),
        ("x~/^true$/", True, True),
        ("x~/^null$|^$/", None, False),
        ("-x~/a/", None, True),
        (r"x~/\[1,2\]/", [1, 2], True),
        ("x~/^[\U0001f600]$/", "\U0001f600", True),
        ("x~/timed? out (after|in) \\d+ ms/", "it timed out in 30 ms", True),
    ],
)
def test_several_values_any_value_and_expressions(text: str, value: Any, expected: bool) -> None:
    """Commas are any of, `*` is whatever is not missing, `~/…/` looks for an expression."""
    assert expected is holds(text, attributes={"x": value})
    if value is None:
        assert expected is holds(text, attributes={})


def test_several_values_of_a_column() -> None:
    """Each is read as the column is compared: levels by number, loggers with those below."""
    assert ["app.web", "db"] == [
        name for name in ("app.web", "apple", "db") if holds("logger=app,db", logger=name)
    ]
    assert not holds("logger!=db,app") and holds("logger!=db,web") and holds("logger~/\\.WEB$/")
    assert holds("level=error,info") and not holds("level!=error,info") and holds("level~/^inf/")
    assert holds("level=*") and holds("timestamp=*") and holds("timestamp~/T10:00.*Z$/")
    assert holds("timestamp=2026-11-20,2026-11-21T10:00:00.5")
    assert holds("lineno=null,7") and holds("lineno=null,7", lineno=7) and holds("lineno!=*")
    assert not holds("lineno=null,7", lineno=8) and holds("lineno=*", lineno=8)
    assert holds("lineno~/^1.$/", lineno=12) and not holds("lineno~/^1.$/")
    assert holds("trace_id=a,null") and holds("trace_id=a,b", trace_id="b")
    assert not holds("trace_id!=a,b") and holds("trace_id!=a,b", trace_id="c")


def test_no_expression_takes_long() -> None:
    """One that keeps a backtracking engine busy for ages is found, or not, at once."""
    begun = time.thread_time()
    for text in ("x~/^(a+)+$/", "x~/(a*)*(a|aa)+c/", r"x~/(x+x+)+y/"):
        assert not holds(text, attributes={"x": "a" * 5000 + "!" + "x" * 5000})
    assert time.thread_time() - begun < 5  # it is milliseconds


def test_a_name_is_a_column_or_else_an_attribute() -> None:
    """`attributes.` says that the attribute is meant; dots lead into objects, a whole key first."""
    assert (
        holds("level=INFO") and holds("attributes.level=x") and not holds("attributes.level=INFO")
    )
    assert holds("user.id=7") and holds("attributes.user.id=7")
    assert holds("user.id=1", attributes={"user.id": 1, "user": {"id": 2}})
    assert holds("a.b.c=1", attributes={"a": {"b": 2}, "a.b": {"c": 1}})
    assert holds("tags.0=a", attributes={"tags": {"0": "a"}})
    assert not holds("tags.0=a", attributes={"tags": ["a"]})
    assert not holds("user.name~a") and holds('user={"id":7}'.replace('"', '\\"'))
    assert holds('"user name"=x', attributes={"user name": "x"})
    assert holds(r"user\ name=a\ b", attributes={"user name": "a b"})
    assert holds(r'"a\"b\\"=1', attributes={'a"b\\': 1})
    assert holds('attributes~"items/7"')


def test_columns_that_are_missing() -> None:
    """A column that is null meets no comparison, and so every negated one."""
    assert [False, False, False] == [holds(f"trace_id{op}1") for op in ("=", "!=", "~")]
    assert holds("-trace_id=1") and holds("trace_id=null") and holds("lineno=null")
    assert holds("trace_id=null", trace_id="null") and not holds("trace_id!=null", trace_id="null")
    assert not holds("lineno>0") and holds("lineno>0", lineno=1) and holds("lineno!=null", lineno=1)


def test_conditions_that_come_one_by_one_are_joined() -> None:
    """`build` takes each value as it is: nothing in it is syntax, so nothing needs quotes."""
    first, end = "2026-11-21T10:00", "2026-11-21T11:00"
    built = Filter.build(
        "x=1", level="warning", logger="app", since=first, until=end, grep='a "b" ='
    )
    text = rf'x=1 level>=warning logger=app since={first} until={end} "a \"b\" ="'
    assert Filter.parse(text) == built
    assert Filter.parse("(a or b) c=1", NOW) == Filter.build("a or b") & Filter.build("c=1")
    assert Filter.parse("a b", NOW) == Filter.parse("a", NOW) & Filter.parse("b", NOW)
    assert Filter() == Filter.build() and hash(Filter()) == hash(Filter.build(""))


def test_durations_are_counted_back_from_one_moment() -> None:
    """Those of all conditions from the same: the time of the call."""
    earliest = time.time_ns() // 1000
    first, last = Filter.build("since=1h", until="1h").period
    latest = time.time_ns() // 1000
    assert first is not None and last == first - 1
    assert earliest <= first + 3_600_000_000 <= latest


def test_a_mistake_in_a_single_condition_points_into_it() -> None:
    """The error shows the value that was given."""
    with pytest.raises(FilterError) as caught:
        Filter.build("x=1", level="loud")
    assert ("loud", 0) == (caught.value.text, caught.value.position)


def test_the_period_is_what_the_times_leave() -> None:
    """Both ends are microseconds that may still match; a negated time narrows nothing."""
    second = 1_000_000
    at = int(NOW.timestamp()) * second
    assert (at - 7200 * second, at - 3600 * second - 1) == Filter.parse(
        "since=2h since=3h until=1h", NOW
    ).period
    assert (None, None) == Filter.parse("-since=2h a", NOW).period
    assert (at - 7200 * second, at - 1) == Filter.parse(
        "(since=2h until=1h) or (since=1h until=0s x=1)", NOW
    ).period
    assert (at - 7200 * second, None) == Filter.parse("since=2h until=1h or since=1h", NOW).period
    assert (None, None) == Filter.parse("since=2h or x=1", NOW).period
    assert (at - 7200 * second, None) == Filter.parse("since=2h (since=3h or x=1)", NOW).period
    assert (at - 3600 * second, at) == Filter.parse(
        "timestamp=2026-11-21T12:00,2026-11-21T11:00", NOW
    ).period
    assert (at + 1, None) == Filter.parse("timestamp>2026-11-21T12:00", NOW).period


def test_case_is_dropped_as_arrow_does_it() -> None:
    """Wherever a letter folds to ASCII both tables agree; the others are asked of Python."""
    letters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    lower = pc.utf8_lower(pa.array(letters)).to_pylist()
    differ = [a for a, b in zip(lower, map(fold, letters), strict=True) if a != b]
    assert [] == [text for text in differ if str(text).isascii()]
    assert "οδοσ" == fold("ΟΔΟΣ") and "i" == fold("İ")


@settings(max_examples=300)
@given(
    st.lists(rows(), max_size=6),
    filters(),
    st.dictionaries(st.sampled_from(["x", "y", "user.id"]), st.sampled_from(sorted(FITTING))),
)
@example([record()], Filter.parse("user.id=7 -x~ΣΑΣ thread>1.5"), {})
@example([record(levelno=0)], Filter.parse("level>1 (timestamp=* or -level>1)"), {})
@example([record(), record(message="b")], Filter.parse("-(user.id=8 or took) or x~/a/ b x=1,2"), {})
def test_a_filter_means_the_same_on_a_record_and_on_a_table_and_in_the_engine(
    records: list[dict[str, Any]], found: Filter, typed: dict[str, str]
) -> None:
    """Whatever the records and the terms, all forms choose the same, and only of its period."""
    check_period(records, found)
    table = as_table(records)
    expected = [found.matches(row) for row in records]
    assert_engine_agrees(found, records, typed)
    assert expected == found.mask(table).to_pylist()
    assert table.filter(pa.array(expected, pa.bool_())) == found.apply(table)


def check_period(records: list[dict[str, Any]], found: Filter) -> None:
    """What is outside its period does not match, so a reader may leave out what is."""
    first, last = found.period
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for row in filter(found.matches, records):
        micros = (datetime.fromisoformat(row["timestamp"]) - epoch) // timedelta(microseconds=1)
        assert (first is None or first <= micros) and (last is None or micros <= last)


ODD_VALUES = [
    *(0, -0.0, 7, -7, 7.0, 7.5, 1e3, 1000, 1e-7, 123456789012345, 1234567890123456),
    *(2**53, 2**53 + 1, 2.0**53, 2**63, -(2**63), 10**30, 1e300),
    *(
        "7",
        "07",
        "7.0",
        "1e3",
        "a.b",
        "a|b",
        "aXb",
        "a",
        "",
        " 7",
        "ä\n(b)*",
        "b" * 2000,
        "x" * 400,
    ),
    *(True, False, "true", "True", None, "null", {"a": 1}, [7], "[7]", "a\0b", "a.b.c"),
]
ODD_WORDS = [
    *("7", "0", "7.5", "1000", "1e3", "1234567890123456", "9007199254740993", "-7"),
    *("9223372036854775808", "true", "null", "a.b", "a|b", '"ä\n(b)*"', "b" * 2000, '"[7]"', '""'),
]


WORDS = {
    "all": ODD_WORDS,
    "not null": [word for word in ODD_WORDS if word != "null"],
    "texts": ["a.b", "a|b", '"ä\n(b)*"', "b" * 2000, '""'],
    "numbers": ["7", "0", "1000", "9007199254740993", "-7", "9223372036854775808"],
    "others": ["-0", "7.0", "TRUE", "+7", "1e3"],
}


@pytest.mark.parametrize("field", ["x", "message", "logger", "lineno"])
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_many_values_mean_what_each_of_them_does(words: list[str], field: str) -> None:
    """They are looked up together, in all forms of a filter; so are alternatives."""
    rows = [record(attributes={"x": value}) for value in [*ODD_VALUES, 20_003, "20003z"]]
    rows += [record(message=text, logger=text) for text in ODD_VALUES if isinstance(text, str)]
    rows += [record(lineno=n) for n in (0, 7, 1000, 20_003)] + [record(message=None, attributes={})]
    if field == "lineno":
        words = [word for word in words if re.fullmatch("-?[0-9]+|null", word)]
    many = [*words, *(f"{n}{end}" for n in range(20_000, 20_030) for end in ("", "z"))]
    if field == "lineno":
        many = [word for word in many if not word.endswith("z")]
    singles = [Filter.parse(f"{field}={word}") for word in many]
    there = [Filter.parse(f"{field}=*").matches(row) for row in rows]
    equal = [any(single.matches(row) for single in singles) for row in rows]
    other = [is_there and not same for is_there, same in zip(there, equal, strict=True)]
    for text, expected in (
        (f"{field}={','.join(many)}", equal),
        (f"{field}!={','.join(many)}", other),
        (" or ".join(f"{field}={word}" for word in many), equal),
        (" ".join(f"{field}!={word}" for word in many), other),
    ):
        found = Filter.parse(text)
        assert expected == [found.matches(row) for row in rows]
        assert expected == found.mask(as_table(rows)).to_pylist()
        for kind in sorted(FITTING):
            assert_engine_agrees(found, rows, {"x": kind})


def test_python_is_asked_about_none_of_many_ordinary_values() -> None:
    """The engine tells them from others."""
    rows = [record(attributes={"x": n, "y": f"/b/{n}"}) for n in (7, 8, 1999)]
    many = Filter.parse("x=" + ",".join(map(str, range(1000, 3000))))
    assert [False, False, True] == decided(many, rows)
    many = Filter.parse("y=" + ",".join(f"/b/{n}" for n in range(1000, 20_000)))
    assert [False, False, True] == decided(many, rows, {"y": "string"})


@pytest.mark.parametrize(
    "text",
    [
        "user_id=42",
        "user_id!=42 -user_id=7,8",
        "user_id>41.5 user_id<=1e3",
        "user_id=null or user_id=*",
        "path=/items/7 path~ITEMS path~/^.items/",
        "user.id=7 -user.name=*",
        "attributes.level=x -nothing",
        'level>=INFO logger=app timestamp>2026-11-21 "took" -lineno=1',
        "-attributes~zzz7 -message~größte -exception_type=*",
    ],
)
def test_the_engine_decides_what_is_ordinary(text: str) -> None:
    """Python is asked about none of it."""
    rows = [record(), record(attributes={}), record(message="größer", logger="b")]
    found = Filter.parse(text, now=NOW)
    assert [found.matches(row) for row in rows] == decided(found, rows)
    assert_engine_agrees(found, rows, {"user_id": "int64", "path": "string"})
