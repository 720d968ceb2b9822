"""Columns, and tables made of lines."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from make import P, encode, event

from logbatch.storage import arrow
from logbatch.storage.columns import FIELDS
from logbatch.storage.segments import born

BIRTH = datetime.fromtimestamp(born(P), UTC)

EXPECTED = """\
timestamp: timestamp[us, tz=UTC] not null
level: string not null
levelno: int32 not null
logger: string not null
message: string not null
template: string
attributes: string not null
exception_type: string
exception_message: string
stacktrace: string
pathname: string
lineno: int32
func_name: string
process: int64
thread: int64
thread_name: string
task: string
trace_id: string
span_id: string
service: string
host: string
producer: string not null
sequence: int64 not null"""


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
moments = st.datetimes(timezones=st.just(UTC))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
events = st.fixed_dictionaries(
    {
        "timestamp": moments,
        "level": st.sampled_from(["DEBUG", "INFO", "ERROR"]),
        "levelno": st.integers(-(1 << 31), (1 << 31) - 1),
        "logger": texts,
        "message": texts,
    },
    optional={
        "template": texts,
        "exception_type": texts,
        "stacktrace": texts,
        "lineno": st.integers(0, (1 << 31) - 1),
        "process": st.integers(0, (1 << 63) - 1),
        "thread": st.integers(-(1 << 63), (1 << 63) - 1),
        "task": texts,
        "host": st.just("here"),
        "attributes": st.dictionaries(texts, values, max_size=4),
    },
)


def row(lines: bytes, **promoted: str) -> dict[str, Any]:
    """The only row of a table, with its attributes as a dict."""
    (found,) = check(arrow.table_from_lines(lines, P, 0, promoted)).to_pylist()
    return {**found, "attributes": json.loads(found["attributes"])}


def check(table: pa.Table) -> pa.Table:
    """Assert that a table is sound, and is the same after a file."""
    table.validate(full=True)
    file = io.BytesIO()
    pq.write_table(table, file, store_schema=False)
    assert table.schema == pq.read_schema(file)
    assert table.equals(pq.read_table(file))
    return table


class TestSchema:
    def test_fixed_columns(self) -> None:
        """The fixed columns, their types and their order are those of the design."""
        assert EXPECTED == str(arrow.schema())
        assert tuple(arrow.schema().names) == arrow.columns()

    def test_promoted_columns(self) -> None:
        """Promoted columns follow, in the order in which they were given."""
        extra = {"b": "int64", "a": "timestamp", "c": "bool", "d": "float64", "e": "string"}
        found = arrow.schema(extra)

        assert (*arrow.columns(), *extra) == arrow.columns(extra) == tuple(found.names)
        assert [
            pa.int64(),
            pa.timestamp("us", tz="UTC"),
            pa.bool_(),
            pa.float64(),
            pa.string(),
        ] == found.types[23:]

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"user_id": "int"}, "user_id='int' must be one of .*; did you mean 'int64'"),
            ({"user_id": "Timestamp"}, "did you mean 'timestamp'"),
            ({"user_id": "decimal"}, "must be one of int64, float64, bool, string, timestamp$"),
            ({"user_id": None}, "must be one of"),
            ({"user_id": ["int64"]}, "must be one of"),
            ({"message": "string"}, "'message' cannot be promoted, it is a fixed column already"),
            ({"Level": "string"}, "'Level' cannot be promoted, it is a fixed column"),
            ({"date": "string"}, "the name of the day's folder"),
            ({"a": "string", "A": "string"}, "'A' cannot be promoted, it is a promoted column"),
            ({"": "string"}, "'' must be the name of an attribute"),
            ({1: "string"}, "1 must be the name of an attribute"),
            ({'a"b': "string"}, "a column's name holds no quotation mark"),
            ({"a\\b": "string"}, "no backslash"),
            ({"a\nb": "string"}, "no control character"),
            ({"a\0": "string"}, "no control character"),
            ({"a\udc00": "string"}, "no surrogate"),
            (["user_id"], "must map attribute names to types"),
        ],
    )
    def test_wrong_columns(self, columns: Any, message: str) -> None:
        """A wrong name or type is told, with the rule."""
        with pytest.raises(ValueError, match=message):
            arrow.check_columns(columns)

    def test_right_columns(self) -> None:
        """What is in order is returned, as a copy."""
        given_columns = {"user id": "int64", "größe": "float64"}
        checked = arrow.check_columns(given_columns)

        assert given_columns == checked
        assert given_columns is not checked
        assert {} == arrow.check_columns(None)


class TestLinesThatFit:
    @given(st.lists(events, max_size=20), st.integers(0, 1 << 40))
    def test_round_trip(self, events: list[dict[str, Any]], first: int) -> None:
        """Each event is a row, with all of its values, its producer and its sequence."""
        table = check(arrow.table_from_lines(encode(*events), P, first))
        empty = dict.fromkeys(FIELDS)
        expected = [
            {**empty, **event, "attributes": event.get("attributes", {}), "producer": P}
            for event in events
        ]
        found = table.drop_columns("sequence").to_pylist()

        assert arrow.schema() == table.schema
        assert list(range(first, first + len(events))) == table["sequence"].to_pylist()
        assert expected == [
            {**each, "attributes": msgspec.json.decode(each["attributes"])} for each in found
        ]

    def test_attributes_stay_as_they_are(self) -> None:
        """The text of attributes is that of the line, to the byte."""
        text = '{"a":1.50,"b":[1,2],"a\\u00e9":"\\u0000\\ud83d\\ude00 ü"}'
        lines = encode(event())[:-2] + b',"attributes":%b}\n' % text.encode()

        assert [text] == arrow.table_from_lines(lines, P, 0)["attributes"].to_pylist()

    def test_many_blocks(self) -> None:
        """A large batch is converted in blocks, in order, and other threads get their turns."""
        events = [event(f"m{i}", lineno=i // 5000) for i in range(20_000)]
        turns: list[None] = []
        table = arrow.table_from_lines(
            encode(*events), P, 5, count=len(events), pause=lambda: turns.append(None)
        )

        assert [event["message"] for event in events] == table["message"].to_pylist()
        assert [event["lineno"] for event in events] == table["lineno"].to_pylist()
        assert list(range(5, 20_005)) == table["sequence"].to_pylist()
        assert len(turns) > 50

    def test_long_constants(self) -> None:
        """A long text that is the same in each row is there in each row."""
        events = [event("x" * 10_000)] * 100

        assert ["x" * 10_000] * 100 == (
            arrow.table_from_lines(encode(*events), P, 0)["message"].to_pylist()
        )

    def test_no_lines(self) -> None:
        """No lines make an empty table of the same schema."""
        assert (0, arrow.schema()) == (
            (table := arrow.table_from_lines(b"", P, 0)).num_rows,
            table.schema,
        )

    @pytest.mark.parametrize(
        "text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59Z"]
    )
    def test_extreme_moments(self, text: str) -> None:
        """The first and last moments that Python knows are kept."""
        assert datetime.fromisoformat(text) == row(encode(event(timestamp=text)))["timestamp"]


class TestOddLines:
    @given(
        st.lists(
            st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))
            | events.map(msgspec.json.encode)
            | values.map(msgspec.json.encode)
            | st.dictionaries(st.sampled_from(FIELDS), values).map(msgspec.json.encode),
            max_size=8,
        )
    )
    @example([b"", b"{}"])
    @example([b"{}{}", b""])
    @example([b"{", b"}"])
    @example([b"\xff", b'{"message":"\xff"}', b'{"attributes":{"a":"\xff"}}'])
    @example([b"[" * 100_000])
    @example([b'{"attributes":' + b"[" * 100_000])
    @example([b'{"timestamp":"0001-01-01T00:00:00+14:00"}'])
    @example([b'{"timestamp":"0000-01-01T00:00:00Z"}'])
    @example([b'{"message":"\\ud800"}'])
    @example([b'{"thread":1' + b"0" * 5000 + b"}"])
    @example([b'{"attributes":1e999}'])
    def test_a_row_for_each(self, lines: list[bytes]) -> None:
        """Whatever bytes a line holds, it is one row, and the table is sound."""
        data = b"".join(each + b"\n" for each in lines)
        table = check(arrow.table_from_lines(data, P, 7, {"a": "float64"}, count=len(lines)))

        assert list(range(7, 7 + len(lines))) == table["sequence"].to_pylist()
        assert table.equals(arrow.table_from_lines(data, P, 7, {"a": "float64"}))
        for attributes in table["attributes"].to_pylist():
            msgspec.json.decode(attributes, type=dict[str, msgspec.Raw])

    @given(st.lists(events, min_size=1, max_size=6), st.data())
    def test_neighbours_are_not_touched(
        self, events: list[dict[str, Any]], data: st.DataObject
    ) -> None:
        """A damaged line changes no other row."""
        lines = [msgspec.json.encode(event) + b"\n" for event in events]
        at = data.draw(st.integers(0, len(lines) - 1))
        sound = arrow.table_from_lines(b"".join(lines), P, 0).to_pylist()
        lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at]) - 2))] + b"\n"
        found = arrow.table_from_lines(b"".join(lines), P, 0).to_pylist()

        assert sound[:at] == found[:at]
        assert sound[at + 1 :] == found[at + 1 :]

    def test_damaged(self) -> None:
        """What is no JSON object is shown as it is, in an ERROR, with the time that it tells."""
        damaged = encode(event(attributes={"a": 1}))[:-9]
        found = row(damaged + b"\xff\n")

        assert damaged.decode() + "\\xff" == found["message"]
        assert ("ERROR", 40, "logbatch") == (found["level"], found["levelno"], found["logger"])
        assert datetime(2026, 11, 21, 10, 0, 0, 123456, UTC) == found["timestamp"]
        assert ["damaged"] == list(found["attributes"])

    @pytest.mark.parametrize(
        "text",
        ["0000-06-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
    )
    def test_a_year_that_python_has_not(self, text: str) -> None:
        """A moment before the year 1 or after 9999 is kept as text."""
        found = row(encode(event(timestamp=text)))

        assert (BIRTH, {"timestamp": text}) == (found["timestamp"], found["attributes"])

    def test_a_producer_of_the_far_future(self) -> None:
        """An id whose time Python cannot show gives the last moment that it can."""
        table = arrow.table_from_lines(b"torn\n", "7" + "z" * 25, 0)

        assert [datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)] == table["timestamp"].to_pylist()

    def test_no_time(self) -> None:
        """Where a line tells no time, it is that at which its producer began."""
        assert BIRTH == row(b"torn\n")["timestamp"] == row(b"{}\n")["timestamp"]
        found = row(encode(event(timestamp="yesterday")))

        assert (BIRTH, {"timestamp": "yesterday"}) == (found["timestamp"], found["attributes"])

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-11-21T12:00:00+02:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
            ("2026-11-21T10:00:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
            ("2026-11-21T10:00:00.123456789Z", datetime(2026, 11, 21, 10, 0, 0, 123457, UTC)),
        ],
    )
    def test_other_times(self, text: str, expected: datetime) -> None:
        """A timestamp with an offset, without one (UTC), or with nanoseconds is understood."""
        found = row(encode(event(timestamp=text, attributes={"a": 1})))

        assert (expected, {"a": 1}) == (found["timestamp"], found["attributes"])

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("message", 5, "5"),
            ("message", {"a": [1]}, '{"a":[1]}'),
            ("task", ["x"], '["x"]'),
            ("lineno", "5", None),
            ("lineno", 1 << 31, None),
            ("lineno", 5.5, None),
            ("lineno", True, None),
            ("thread", 1 << 63, None),
            ("process", -(1 << 63) - 1, None),
            ("colour", "red", None),
        ],
    )
    def test_misfits_are_kept(self, field: str, value: Any, expected: Any) -> None:
        """A value that its column cannot hold, or that has none, is kept in the attributes."""
        found = row(encode(event(**{field: value, "attributes": {"a": 1}})))

        assert expected == found.get(field)
        assert {"a": 1, field: value} == found["attributes"]

    def test_attributes_win(self) -> None:
        """An attribute is not replaced by a misfit of its name."""
        found = row(encode(event(lineno="x", attributes={"lineno": 1})))

        assert {"lineno": 1} == found["attributes"]

    @pytest.mark.parametrize("value", [[1], 5, "x"])
    def test_attributes_that_are_no_object(self, value: Any) -> None:
        """Attributes that are something else are kept in one, if anything in the line is odd."""
        assert {"attributes": value, "lineno": "x"} == (
            row(encode(event(lineno="x", attributes=value)))["attributes"]
        )

    @pytest.mark.parametrize(
        ("given_fields", "expected"),
        [
            ({"levelno": 30}, ("WARNING", 30)),
            ({"levelno": 35}, ("Level 35", 35)),
            ({"level": "error"}, ("error", 40)),
            ({"level": "notice"}, ("notice", 25)),
            ({"level": "loud"}, ("loud", 0)),
            ({"level": None, "levelno": None}, ("NOTSET", 0)),
            ({}, ("NOTSET", 0)),
        ],
    )
    def test_levels_are_filled_in(
        self, given_fields: dict[str, Any], expected: tuple[str, int]
    ) -> None:
        """A level's name follows from its number, and the number from the name."""
        found = row(encode({"timestamp": event()["timestamp"], **given_fields}))

        assert expected == (found["level"], found["levelno"])
        assert ("", "", {}) == (found["logger"], found["message"], found["attributes"])


class TestPromoted:
    @pytest.mark.parametrize(
        ("kind", "text", "expected"),
        [
            ("int64", "42", 42),
            ("int64", "-9223372036854775808", -(1 << 63)),
            ("int64", "9223372036854775807", (1 << 63) - 1),
            ("int64", "9223372036854775808", None),
            ("int64", "1" + "0" * 400, None),
            ("int64", "42.0", None),
            ("int64", '"42"', None),
            ("int64", "true", None),
            ("int64", "null", None),
            ("int64", "[42]", None),
            ("float64", "1.5", 1.5),
            ("float64", "2", 2.0),
            ("float64", "-0.0", -0.0),
            ("float64", '"Infinity"', math.inf),
            ("float64", '"-Infinity"', -math.inf),
            ("float64", '"1.5"', None),
            ("float64", "1" + "0" * 400, None),
            ("float64", "false", None),
            ("bool", "true", True),
            ("bool", "false", False),
            ("bool", "1", None),
            ("bool", '"true"', None),
            ("string", '"x"', "x"),
            ("string", '""', ""),
            ("string", "5", None),
            ("string", '{"a":1}', None),
            ("timestamp", '"2026-11-21T10:00:00Z"', datetime(2026, 11, 21, 10, tzinfo=UTC)),
            ("timestamp", '"2026-11-21T10:00:00+02:00"', datetime(2026, 11, 21, 8, tzinfo=UTC)),
            ("timestamp", '"2026-11-21T10:00:00"', None),
            ("timestamp", '"2026-11-21"', None),
            ("timestamp", "1795255200", None),
        ],
    )
    @pytest.mark.parametrize("beside", ["null", "[]"])
    def test_fit(self, kind: str, text: str, expected: Any, beside: str) -> None:
        """A value that fits its type is there, any other is null, whatever other rows hold."""
        lines = b"".join(
            encode(event())[:-2] + b',"attributes":{"x":%b}}\n' % each.encode()
            for each in (text, beside)
        )
        table = check(arrow.table_from_lines(lines, P, 0, {"x": kind}))

        assert [expected, None] == table["x"].to_pylist()
        assert [f'{{"x":{text}}}', f'{{"x":{beside}}}'] == table["attributes"].to_pylist()

    def test_nan(self) -> None:
        """The NaN of the encoder is one in a float64 column."""
        lines = encode(event(attributes={"x": "NaN"}))
        (found,) = arrow.table_from_lines(lines, P, 0, {"x": "float64"})["x"].to_pylist()

        assert math.isnan(found)

    def test_names_of_any_kind(self) -> None:
        """An attribute's name need not be an identifier; only the top level is looked at."""
        attributes = {"user id": 1, "class": 2, "a.b": 3, "a": {"b": 4}, "größe": 5}
        promoted = dict.fromkeys(["user id", "class", "a.b", "größe", "b"], "int64")
        found = row(encode(event(attributes=attributes)), **promoted)

        assert [1, 2, 3, 5, None] == [found[name] for name in promoted]
        assert attributes == found["attributes"]

    @given(st.lists(st.dictionaries(st.sampled_from("abc"), values), max_size=10))
    def test_what_fits_is_there(self, attributes: list[dict[str, Any]]) -> None:
        """Promoted columns agree with the rule, value by value."""
        promoted = {"a": "int64", "b": "string", "c": "bool"}
        lines = encode(*(event(attributes=each) for each in attributes))
        table = check(arrow.table_from_lines(lines, P, 0, promoted))

        def fit(value: Any, kind: type) -> Any:
            fits = type(value) is kind and (kind is not int or -(1 << 63) <= value < 1 << 63)
            return value if fits else None

        for name, kind in (("a", int), ("b", str), ("c", bool)):
            assert [fit(each.get(name), kind) for each in attributes] == table[name].to_pylist()
