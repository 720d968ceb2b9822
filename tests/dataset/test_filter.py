"""The filter language: what each term means, where a mistake is, and that both forms agree."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logbatch.dataset.filter.comparisons import HAS, MATCHES, OPERATORS, fold
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.terms import make_term
from logbatch.dataset.filter.tree import EVERYTHING, Node, all_of, any_of, negate
from logbatch.errors import FilterError
from logbatch.storage.columns import COLUMNS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TYPES = {"time": pa.timestamp("us", "UTC"), "number": pa.int64()}
KINDS = {name: column.kind for name, column in COLUMNS.items()}
SCHEMA = pa.schema([(name, TYPES.get(kind, pa.string())) for name, kind in KINDS.items()])


def record(**values: Any) -> dict[str, Any]:
    """Make a record as a line decodes, with some values replaced and the None ones left out."""
    row: dict[str, Any] = {
        "timestamp": "2026-11-21T10:00:00.5Z",
        "level": "INFO",
        "levelno": 20,
        "logger": "app.web",
        "message": "GET /items/7 took 3 ms",
        "attributes": {"user_id": 42, "path": "/items/7", "user": {"id": 7}, "level": "x"},
        "producer": "01m7y4mnsn285g6hxmhvdgyfrf",
        "sequence": 5,
        **values,
    }
    return {name: value for name, value in row.items() if value is not None}


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Make the Arrow form of records: attributes as JSON text, what is absent null."""

    def cell(name: str, value: Any) -> Any:
        if name == "attributes":
            return msgspec.json.encode(value or {}).decode()
        return datetime.fromisoformat(value) if name == "timestamp" else value

    columns = {name: [cell(name, row.get(name)) for row in rows] for name in KINDS}
    return pa.table(columns, schema=SCHEMA)


def chosen(text: str, *rows: dict[str, Any]) -> list[bool]:
    """Ask a filter about records in both forms, which must agree."""
    found = Filter.parse(text, now=NOW)
    one_by_one = [found.matches(row) for row in rows]
    assert one_by_one == found.mask(as_table(list(rows))).to_pylist()
    return one_by_one


def holds(text: str, **values: Any) -> bool:
    """Ask a filter about one record in both forms."""
    return chosen(text, record(**values))[0]


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


def test_a_name_is_a_column_or_else_an_attribute() -> None:
    """`attributes.` says that the attribute is meant; dots lead into objects, a whole key first."""
    assert (
        holds("level=INFO") and holds("attributes.level=x") and not holds("attributes.level=INFO")
    )
    assert holds("user.id=7") and holds("attributes.user.id=7")
    assert holds("user.id=1", attributes={"user.id": 1, "user": {"id": 2}})
    assert holds("a.b.c=1", attributes={"a": {"b": 2}, "a.b": {"c": 1}})
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


def test_bare_and_quoted_words_are_text_in_the_message() -> None:
    """Case does not matter; a `-` before a word takes records without it."""
    assert holds("TOOK items") and not holds("took -ITEMS") and holds("-nothing")
    assert holds('"items/7 took"') and holds(r"items/7\ took") and holds("'GET /'")
    assert holds(r'"\"x\""', message='say "X"') and holds("don't", message="I don't")
    assert holds("hello!!", message="Hello!!") and holds('"a=b"', message="a=b")


def test_an_empty_filter_lets_everything_through() -> None:
    """No terms, or only spaces: every record."""
    assert holds("") and holds("  \t ") and not Filter.parse(" ")
    assert [] == Filter.parse("x=1 took level>=5").mask(as_table([])).to_pylist()


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("a==1", "== is not an operator; the operators are > >= < <= = != ~", 1),
        ("b=1 status=>5", "=> is not an operator", 10),
        ("level>=WARNIN", "did you mean 'WARNING'?", 7),
        ("level=", 'the value after level= is missing ("" is an empty one)', 6),
        ("since=tomorrow", "'tomorrow' is not a time", 6),
        ("since=3x", "'3x' is not a time", 6),
        ("until=99999999w", "'99999999w' is too far away", 6),
        ("since=0001-01-01T00:00+23:00", "is too far away", 6),
        ("since>=2h", "since needs =, not >=", 5),
        ("x>=abc", "x>= needs a number, not 'abc'", 3),
        ("levl>=WARNING", "did you mean level>=?", 6),
        ("lineno=abc", "lineno= needs a number, not 'abc'", 7),
        ("lineno>null", "lineno> needs a number, not 'null'", 7),
        ("message>=5", "message is text, which supports =, != and ~, not >=", 7),
        ('a "b c', 'this " is not closed', 2),
        ("x='b", "this ' is not closed", 2),
        ("=5", "the name before = is missing", 0),
        ('""=5', "the name before = is missing", 0),
        ("a http://x?a=b", "'http://x?a' is not a name; quote a text that contains =", 2),
        ('"a"b', "a space is missing after the closing quote", 3),
        ('x="a"b', "a space is missing after the closing quote", 5),
        ("a -", "- must come right before a term, once", 2),
        ("--a", "- must come right before a term, once", 0),
        ("a\\", "nothing follows this \\", 1),
        ('""', "a text to look for is missing", 0),
        ('x~""', "a text to look for is missing", 2),
        ('"attributes."=1', "the name of an attribute is missing", 0),
        ("x=\ud800", "this is not valid text", 2),
    ],
)
def test_a_mistake_is_pointed_at(text: str, reason: str, position: int) -> None:
    """The error says what is wrong, and where."""
    with pytest.raises(FilterError) as caught:
        Filter.parse(text, now=NOW)
    assert reason in caught.value.reason
    assert (text, position) == (caught.value.text, caught.value.position)


def test_conditions_that_come_one_by_one_are_joined() -> None:
    """`build` takes each value as it is: nothing in it is syntax, so nothing needs quotes."""
    first, end = "2026-11-21T10:00", "2026-11-21T11:00"
    built = Filter.build(
        "x=1", level="warning", logger="app", since=first, until=end, grep='a "b" ='
    )
    text = rf'x=1 level>=warning logger=app since={first} until={end} "a \"b\" ="'
    assert Filter.parse(text) == built
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
    assert (at + 1, None) == Filter.parse("timestamp>2026-11-21T12:00", NOW).period


def test_case_is_dropped_as_arrow_does_it() -> None:
    """Wherever a letter folds to ASCII both tables agree; the others are asked of Python."""
    letters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    lower = pc.utf8_lower(pa.array(letters)).to_pylist()
    differ = [a for a, b in zip(lower, map(fold, letters), strict=True) if a != b]
    assert [] == [text for text in differ if str(text).isascii()]
    assert "οδοσ" == fold("ΟΔΟΣ") and "i" == fold("İ")


PATTERNS = ["a", "^4", "APP$", r"\d\.0?", "(?-i)A", "(?s)^.*$", "É|ς", "", "a/b", r"\/|null"]
KEYS = ["x", "y", "user", "user.id", "a.b", "é", 'q"', "back\\slash", "level", ""]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "A", "42", "3", "3.0", "true", "null", "É", "ΣΑΣ", "İ", "app.web"]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "b", "id.x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
TEXTS = st.none() | st.sampled_from(["a", "app", "app.web", "42", "null", "ΑΣ", "İx"]) | st.text()
NUMBERS = st.none() | st.integers(0, 3) | st.integers(-(2**63), 2**63 - 1)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Make a record of which any field but the required ones may be missing."""
    texts = {name: draw(TEXTS) for name, kind in KINDS.items() if kind == "text"}
    micros = draw(st.integers(-(10**15), 10**15))
    moment = datetime(2026, 11, 21, 10) + timedelta(microseconds=micros)
    return record(
        **texts,
        timestamp=f"{moment.isoformat()}Z",
        levelno=draw(st.sampled_from([0, 10, 20, 25, 30, 40, 50])),
        **{name: draw(NUMBERS) for name in ("lineno", "process", "thread", "sequence")},
        attributes=draw(st.none() | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)),
    )


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Make a filter of some terms that mean something."""
    names = [*KINDS, "since", "until", *(f"attributes.{key}" for key in KEYS if key), *KEYS[:6]]
    operand = st.sampled_from(
        ["1", "42", "3.0", "-1.5", "2h", "2026-11-21T10:00", "error", "app", "true", "null", "É"]
    ) | SCALARS.map(str)
    terms = []
    for _ in range(draw(st.integers(0, 4))):
        name, sign = draw(st.sampled_from(names)), draw(st.sampled_from(OPERATORS))
        values = draw(st.lists(operand, min_size=1, max_size=3))
        if sign == MATCHES:
            values = [draw(st.sampled_from(PATTERNS))]
        number = {"=": 3, "!=": 3, HAS: 0}.get(sign, 1)
        try:
            term = make_term(name, sign, *values[:number], now=NOW)
        except ValueError:
            continue
        terms.append(term)
    return Filter(draw(trees(terms)) if terms else EVERYTHING)


@st.composite
def trees(draw: st.DrawFn, nodes: Sequence[Node]) -> Node:
    """Join nodes to a tree, in any way."""
    if len(nodes) == 1:
        return negate(nodes[0]) if draw(st.booleans()) else nodes[0]
    half = draw(st.integers(1, len(nodes) - 1))
    join = draw(st.sampled_from([all_of, any_of]))
    joined = join([draw(trees(nodes[:half])), draw(trees(nodes[half:]))])
    return negate(joined) if draw(st.booleans()) else joined


@settings(max_examples=300)
@given(st.lists(rows(), max_size=6), filters())
@example([record()], Filter.parse("user.id=7 -x~ΣΑΣ thread>1.5"))
def test_a_filter_means_the_same_on_a_record_and_on_a_table(
    records: list[dict[str, Any]], found: Filter
) -> None:
    """Whatever the records and the terms, both forms choose the same."""
    table = as_table(records)
    expected = [found.matches(row) for row in records]
    assert expected == found.mask(table).to_pylist()
    assert table.filter(pa.array(expected, pa.bool_())) == found.apply(table)


@settings(max_examples=300)
@given(st.lists(rows(), max_size=6), filters())
def test_what_is_left_out_early_does_not_match(
    records: list[dict[str, Any]], found: Filter
) -> None:
    """The expression for a Parquet scan and the period let through every record that matches."""
    first, last = found.period
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for row in filter(found.matches, records):
        micros = (datetime.fromisoformat(row["timestamp"]) - epoch) // timedelta(microseconds=1)
        assert (first is None or first <= micros) and (last is None or micros <= last)
    scan, table = found.expression(), as_table(records)
    if scan is not None:
        assert found.apply(table) == found.apply(table.filter(scan))


@settings(max_examples=300)
@given(filters())
def test_a_filter_reads_back_what_it_writes(found: Filter) -> None:
    """`str` gives a text that `parse` understands as the same filter."""
    assert found == Filter.parse(str(found), now=NOW)


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab=<>!~-\"'\\ .5") | st.characters(), max_size=12))
@example(r"\:<0")  # a name that is one only in quotes was written without them
def test_any_text_is_a_filter_or_a_mistake_inside_it(text: str) -> None:
    """Nothing but a FilterError comes out, and it points into the text or right behind it."""
    try:
        found = Filter.parse(text, now=NOW)
    except FilterError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert found == Filter.parse(str(found), now=NOW)
