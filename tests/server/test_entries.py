"""What a body holds: found, counted, checked, and made lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.server import entries
from logbatch.server.json_size import count_values, is_deeper
from logbatch.server.limits import Limits, Refusal
from logbatch.storage.line import Line

LIMITS = Limits()
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
RECEIVED = "2026-11-21T12:00:00+00:00"
OWN = (
    b'{"timestamp":"2026-11-21T10:00:00.1Z","level":"VIP","levelno":33,"logger":"a",'
    b'"message":"\xc3\xa9","lineno":4,"attributes":{"a":{"b":[1,2.50]}}}'
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


def depth(value: object) -> int:
    """Count the levels of a value."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def check_one(entry: object) -> tuple[Any, dict[int, str]]:
    """Check one entry; return its line as a dict."""
    found = entries.check([json.dumps(entry).encode()], LIMITS, NOW)
    return json.loads(found.lines[0] or "null"), found.rejected


def refused(status: int, call: Callable[..., object], *arguments: object) -> str:
    """Check that a call is refused; return the reason."""
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    assert status == caught.value.status
    return caught.value.reason


class TestFinding:
    @pytest.mark.parametrize(
        "body", [b'{"logs":[%b,%b]}', b" [%b,%b]", b'{"x":[1],"logs":[%b,%b]}']
    )
    def test_forms(self, body: bytes) -> None:
        """The entries of an object with `logs` and of an array are found, byte for byte."""
        assert [OWN, b'{"b": 2}'] == entries.find_in_json(body % (OWN, b'{"b": 2}'), LIMITS)

    def test_line_ends_between(self) -> None:
        """A line end in an entry can stand between tokens only; it becomes a space."""
        assert [b'{"a": "x"  }'] == entries.find_in_json(b'[{"a":\n"x"\r\n}]', LIMITS)
        refused(400, entries.find_in_json, b'[{"a":"x\ny"}]', LIMITS)

    def test_ndjson(self) -> None:
        """Lines are entries, with or without a newline at the end; blank ones do not count."""
        assert [b"{}", b"[1]", b"x"] == entries.find_in_lines(b"{}\r\n\n [1]\nx", LIMITS)
        assert [] == entries.find_in_lines(b"\n \n", LIMITS)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"1", b"null", b'"a"', b"{}", b'{"logs":{}}', b'{"logs":1}', b"[1] x",
         b"[\xff]",
         b'[{"message":"\xc3"}]', b"[" * 100_000, b'{"a":' * 5000, b"\xef\xbb\xbf[]"],
    )  # fmt: skip
    def test_what_is_none(self, body: bytes) -> None:
        """Anything else is refused, also what is nested deeper than the parser goes."""
        refused(400, entries.find_in_json, body, LIMITS)

    def test_an_empty_batch(self) -> None:
        """A batch may be empty."""
        assert [] == entries.find_in_json(b'{"logs":[]}', LIMITS)
        assert [] == entries.find_in_json(b"[]", LIMITS)

    def test_too_many(self) -> None:
        """More entries than allowed are refused, in each form; as many as allowed are not."""
        limits = Limits(max_records=3)
        for text in (b"[%b]", b'{"logs":[%b]}'):
            assert 3 == len(entries.find_in_json(text % b"1,1,1", limits))
            refused(413, entries.find_in_json, text % b"1,1,1,1", limits)
            refused(413, entries.find_in_json, text % (b"1," * 100_000 + b"1"), limits)
        assert 3 == len(entries.find_in_lines(b"1\n1\n1\n", limits))
        refused(413, entries.find_in_lines, b"1\n1\n1\n1", limits)
        refused(413, entries.find_in_lines, b"\n" * 100, limits)

    @given(json_values, st.integers(1, 6))
    def test_depth(self, value: object, most: int) -> None:
        """How deep a text is nested is found without building it."""
        assert (depth(value) > most) == is_deeper(json.dumps(value).encode(), most)


@pytest.mark.parametrize("piece", [b",", b"[", b"{"])
def test_far_too_many_values(piece: bytes) -> None:
    """What no batch of its size can hold is not looked at any closer."""
    count_values(piece * 1000, 1000)
    refused(413, count_values, piece * 1001, 1000)


class TestChecking:
    def test_our_own_lines_stay(self) -> None:
        """Lines as our clients send them are kept byte for byte, also beside others."""
        found = entries.check([OWN, OWN], LIMITS, NOW)
        assert ([OWN, OWN], {}) == (list(found.lines), found.rejected)
        mixed = entries.check([OWN, b'{"msg":"a","level":"INFO"}', OWN], LIMITS, NOW)
        assert [OWN, OWN] == [mixed.lines[0], mixed.lines[2]]

    def test_a_foreign_entry(self) -> None:
        """Columns are taken where they fit; all else goes into the attributes."""
        entry = {
            "message": "a", "level": "warn", "timestamp": "2026-01-02T03:04:05+01:00", "host": "h",
            "program": "cron", "lineno": "x", "process": 12, "attributes": {"k": [1]},
            "producer": "01arz3ndektsv4rrffq69g5fav", "sequence": 7,
        }  # fmt: skip
        expected = {
            "timestamp": "2026-01-02T02:04:05+00:00", "level": "WARNING", "levelno": 30,
            "logger": "", "message": "a", "process": 12, "host": "h",
            "attributes": {
                "program": "cron", "lineno": "x", "producer": "01arz3ndektsv4rrffq69g5fav",
                "sequence": 7, "k": [1],
            },
        }  # fmt: skip
        assert (expected, {}) == check_one(entry)

    @pytest.mark.parametrize(
        "names",
        [
            ("msg", "severity", "time"),
            ("message", "levelname", "@timestamp"),
            ("log", "level", "date"),
            ("body", "level", "timestamp"),
        ],
    )
    def test_other_names(self, names: tuple[str, str, str]) -> None:
        """The usual other names of message, level and time are understood."""
        line, _ = check_one(dict(zip(names, ["a", "error", "2026-01-02T03:04:05Z"], strict=True)))
        assert ("a", 40, "2026-01-02T03:04:05+00:00") == (
            line["message"], line["levelno"], line["timestamp"]
        )  # fmt: skip
        assert {} == line["attributes"]

    @pytest.mark.parametrize(
        "odd", ["yesterday", 12, -1e9, 1e300, 10**20, "1" * 21, True, None, ["x"],
                "9999-99-99T00:00:00Z"],
    )  # fmt: skip
    def test_an_odd_time(self, odd: object) -> None:
        """A time that is none is kept as an attribute; the time of receipt takes its place."""
        line, _ = check_one({"message": "a", "level": "INFO", "timestamp": odd})
        assert (RECEIVED, {"timestamp (as sent)": odd}) == (line["timestamp"], line["attributes"])

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (1795255200, "2026-11-21T10:00:00+00:00"),
            ("1795255200", "2026-11-21T10:00:00+00:00"),
            (1795255200.123456, "2026-11-21T10:00:00.123456+00:00"),
            (1795255200123, "2026-11-21T10:00:00.123000+00:00"),
            (1795255200123.5, "2026-11-21T10:00:00.123500+00:00"),
            (1795255200123456, "2026-11-21T10:00:00.123456+00:00"),
            ("1795255200123456", "2026-11-21T10:00:00.123456+00:00"),
            (1795255200123456789, "2026-11-21T10:00:00.123457+00:00"),
            ("2026-11-21 10:00:00.123456", "2026-11-21T10:00:00.123456+00:00"),
            (10**8, "1973-03-03T09:46:40+00:00"),
            (10**11 - 1, "5138-11-16T09:46:39+00:00"),
            (10**20 - 1, "5138-11-16T09:46:40+00:00"),
        ],
    )
    def test_times_as_numbers(self, given: object, expected: str) -> None:
        """Seconds, milli-, micro- and nanoseconds since 1970 are told apart by their size."""
        line, _ = check_one({"message": "a", "timestamp": given})
        assert (expected, {}) == (line["timestamp"], line["attributes"])

    def test_the_first_time_that_is_one(self) -> None:
        """An odd time before it stays, and so does another one behind it."""
        entry = {"message": "a", "timestamp": "today", "time": "noon", "date": 1795255200}
        line, _ = check_one(entry | {"__REALTIME_TIMESTAMP": "1795255200123456"})
        assert "2026-11-21T10:00:00+00:00" == line["timestamp"]
        assert {
            "timestamp (as sent)": "today", "time": "noon",
            "__REALTIME_TIMESTAMP": "1795255200123456",
        } == line["attributes"]  # fmt: skip

    def test_no_time(self) -> None:
        """An entry without a time has that of receipt, and is known not to have had one."""
        found = entries.check([b'{"message":"a","level":"INFO"}'], LIMITS, NOW)
        assert frozenset([0]) == found.undated
        assert RECEIVED == json.loads(found.lines[0] or "")["timestamp"]

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"level": "info"}, ("INFO", 20)),
            ({"level": "Warn"}, ("WARNING", 30)),
            ({"level": "FATAL"}, ("CRITICAL", 50)),
            ({"level": "err"}, ("ERROR", 40)),
            ({"level": "notice"}, ("NOTICE", 25)),
            ({"level": "emerg"}, ("CRITICAL", 50)),
            ({"level": "trace"}, ("TRACE", 5)),
            ({"level": 30}, ("WARNING", 30)),
            ({"level": 33}, ("Level 33", 33)),
            ({"level": "VIP", "levelno": 33}, ("VIP", 33)),
            ({"levelno": 40}, ("ERROR", 40)),
            ({}, ("INFO", 20)),
            ({"level": None}, ("INFO", 20)),
            ({"PRIORITY": 0}, ("CRITICAL", 50)),
            ({"PRIORITY": "2"}, ("CRITICAL", 50)),
            ({"PRIORITY": "3"}, ("ERROR", 40)),
            ({"PRIORITY": 4}, ("WARNING", 30)),
            ({"PRIORITY": "5"}, ("NOTICE", 25)),
            ({"PRIORITY": "6"}, ("INFO", 20)),
            ({"PRIORITY": 7}, ("DEBUG", 10)),
            ({"PRIORITY": "err"}, ("ERROR", 40)),
        ],
    )
    def test_levels(self, given: dict[str, object], expected: tuple[str, int]) -> None:
        """A level is a known name, a number, any name with a number, or a priority of syslog."""
        line, rejected = check_one({"message": "a", **given})
        assert (*expected, {}) == (line["level"], line["levelno"], rejected)

    def test_a_default_level(self) -> None:
        """An entry without a level has that which the receiver gives it."""
        found = entries.check([b'{"log":"a"}', b'{"log":"a","level":"INFO"}'], LIMITS, NOW,
                              ("ERROR", 40))  # fmt: skip
        assert [40, 20] == [json.loads(line or b"")["levelno"] for line in found.lines]

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (5, "it is not a JSON object"),
            ([], "it is not a JSON object"),
            (None, "it is not a JSON object"),
            ({}, "it has no message"),
            ({"level": "INFO"}, "it has no message"),
            ({"message": 5, "level": "INFO"}, "its message is not a text"),
            ({"message": None, "level": "INFO"}, "its message is not a text"),
            ({"log": {"a": 1}}, "its message is not a text"),
            ({"message": "a", "PRIORITY": 8}, "its level is unknown"),
            ({"message": "a", "PRIORITY": "30"}, "its level is unknown"),
            ({"message": "a", "PRIORITY": "loud"}, "its level is unknown"),
            ({"message": "a", "PRIORITY": [3]}, "its level is neither a name nor a number"),
            ({"message": "a", "level": "loud"}, "its level is unknown"),
            ({"message": "a", "level": "30"}, "its level is unknown"),
            ({"message": "a", "level": True}, "its level is neither a name nor a number"),
            ({"message": "a", "level": 1 << 40}, "its level is neither a name nor a number"),
            ({"message": "a", "level": "VIP", "levelno": "33"}, "its level is unknown"),
        ],
    )
    def test_what_is_rejected(self, entry: object, reason: str) -> None:
        """A bad entry is named with the reason."""
        assert (None, {0: reason}) == check_one(entry)

    def test_too_many_keys(self) -> None:
        """A foreign entry of very many keys is refused; a line of ours may have them."""
        many = {f"k{n}": 1 for n in range(21_000)}
        entry = {"message": "a", "level": "INFO", "attributes": many}
        assert (None, {0: "it has too many values"}) == check_one(entry)
        own = {"timestamp": RECEIVED, "levelno": 20, "logger": "", **entry}
        assert {} == check_one(own)[1]

    def test_too_deep(self) -> None:
        """An entry nested too deeply is named; one that just fits is taken."""

        def nested(levels: int) -> bytes:
            inner = b"[" * (levels - 2) + b"]" * (levels - 2)
            return b'{"message":"a","level":"INFO","attributes":{"x":%b}}' % inner

        assert {} == entries.check([OWN, nested(32)], LIMITS, NOW).rejected
        assert "entry 1 " in refused(400, entries.check, [OWN, nested(33)], LIMITS, NOW)
        brackets = b'{"message":"%b","level":"INFO"}' % (b"[{" * 100)
        assert {} == entries.check([brackets], LIMITS, NOW).rejected

    @given(st.lists(st.dictionaries(st.sampled_from(
        [*Line.__struct_fields__, "producer", "sequence", "msg", "log", "body", "PRIORITY",
         "severity", "time", "date", "x"]
    ), json_values), max_size=5))  # fmt: skip
    def test_any_object(self, values: list[dict[str, object]]) -> None:
        """Whatever object comes, its line fits the columns or it is rejected."""
        found = entries.check([json.dumps(each).encode() for each in values], LIMITS, NOW)
        for index, line in enumerate(found.lines):
            assert (line is None) == (index in found.rejected)
            if line is not None:
                import msgspec

                assert msgspec.json.decode(line, type=Line).message == next(
                    values[index][name]
                    for name in ("message", "msg", "log", "body")
                    if name in values[index]
                )
