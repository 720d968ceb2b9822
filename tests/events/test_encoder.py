"""Any value becomes JSON: exactly, where it is JSON already, and as marked text at the worst.

What is tested here is seen in the bytes of `encode_value`; the table is in the module's docstring.
"""

from __future__ import annotations

import dataclasses
import enum
import gc
import json
import logging
import math
import re
import sys
import uuid
import weakref
from array import array
from collections import OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pace import cpu_seconds
from rows import Raising, make_json_values

from logbatch.events.encoder import encode_value, is_small, spare_room, text_of
from logbatch.events.values import MAX_DEPTH, MAX_ITEMS, fit_text

MIB = 1 << 20
Point = namedtuple("Point", "x y")

json_values = make_json_values(max_leaves=20)


class Recursing:
    def __repr__(self) -> str:
        return repr(self)


odd_values = st.recursive(
    st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas()
    | st.fractions()
    | st.uuids()
    | st.complex_numbers()
    | st.integers(min_value=1 << 64)
    | st.builds(Raising)
    | st.builds(Recursing)
    | st.sampled_from([object(), int, len, ..., Path("/a"), range(3)]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.booleans() | st.none(), inner, max_size=4)
        | st.frozensets(st.integers() | st.text() | st.none(), max_size=4)
        | st.builds(deque, st.lists(inner, max_size=3))
    ),
    max_leaves=12,
)


def encoded(value: object, limit: int = MIB) -> Any:
    """Encode a value and read it back as any reader of JSON would."""
    return json.loads(encode_value(value, limit))


@given(json_values)
def test_json_round_trips(value: Any) -> None:
    """What is JSON already comes back exactly, integers of any usual size included."""
    assert encoded(value) == value


@given(odd_values)
def test_odd_values_make_json(value: Any) -> None:
    """Whatever a value is made of, it makes one valid piece of JSON without a raw line break."""
    data = encode_value(value, MIB)

    assert b"\n" not in data
    assert b"\0" not in data
    json.loads(data.decode("utf-8"))


@given(odd_values | json_values, st.integers(64, 600))
def test_size_is_bounded(value: Any, limit: int) -> None:
    """A value takes no more than its limit and the marks that say what is missing."""
    assert len(encode_value(value, limit)) <= limit + 64 * 10


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (-float("inf"), "-Infinity"),
        (None, None),
        (1 << 70, 1 << 70),
        (-(1 << 70), -(1 << 70)),
        (1 << 2000, hex(1 << 2000)),
        (-(1 << 2000), hex(-(1 << 2000))),
        ("a\udc80b", "a\\udc80b"),
        ("a\0b", "a\0b"),
        (b"GET / \xc3\xa9", "GET / é"),
        (b"\xff\0", r"b'\xff\x00'"),
        (bytearray(b"abc"), "abc"),
        (memoryview(b"abc"), "abc"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("b"), ["b"]),
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (deque([1]), [1]),
        (array("i", [1, 2]), [1, 2]),
        (UserList([1]), [1]),
        (UserDict(a=1), {"a": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.items(), [["a", 1]]),
        (Decimal("1.20"), "1.20"),
        (Decimal("NaN"), "NaN"),
        (uuid.UUID(int=3), "00000000-0000-0000-0000-000000000003"),
        (PurePosixPath("/a/b"), "/a/b"),
        (timedelta(days=1, milliseconds=500), 86400.5),
        (date(2026, 11, 21), "2026-11-21"),
        (time_of_day(1, 2), "01:02:00"),
        (datetime(2026, 11, 21), "2026-11-21T00:00:00"),
        (datetime(2026, 11, 21, tzinfo=UTC), "2026-11-21T00:00:00Z"),
        (
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
            "9999-12-31T23:59:59.999999-05:00",
        ),
        (datetime.min, "0001-01-01T00:00:00"),
        (1 + 2j, "(1+2j)"),
        (Fraction(1, 3), "Fraction(1, 3)"),
        (ValueError("x"), "ValueError('x')"),
        (len, "<built-in function len>"),
        (int, "<class 'int'>"),
        (range(10**9), "range(0, 1000000000)"),
        (..., "Ellipsis"),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", repr(value))[:40],
)
def test_what_becomes_of_what(value: object, expected: object) -> None:
    """Each kind of odd value has its own plain form, alone and within a container."""
    assert encoded(value) == expected
    assert encoded([value]) == [expected]
    assert encoded({"k": value}) == {"k": expected}


def test_keys_are_text() -> None:
    """A key that is no text becomes the text of its JSON; no key replaces another."""
    value = {1: "a", "1": "b", None: "c", (1, 2): "d", 1.5: "e", b"x": "f", "\ud800": "g"}

    assert encoded(value) == {
        "1": "a",
        "1 (2)": "b",
        "null": "c",
        "[1,2]": "d",
        "1.5": "e",
        "x": "f",
        "\\ud800": "g",
    }


def test_equal_texts_of_many_keys() -> None:
    """Thousands of keys with one text are told apart in no time."""

    class Key:
        def __repr__(self) -> str:
            return "key"

    result = encoded({Key(): index for index in range(2000)})

    assert sorted(result.values()) == list(range(2000))
    assert "key (2000)" in result


class Colour(enum.Enum):
    RED = "red"
    MANY = frozenset({1})


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    A = "a"


class Mixed(str, enum.Enum):  # noqa: UP042  # its str() is another
    B = "b"


class Flags(enum.Flag):
    X = 1
    Y = 2


def test_enums() -> None:
    """An enum is its value, whatever it is mixed with."""
    members = [Colour.RED, Colour.MANY, Level.LOW, Name.A, Mixed.B, Flags.X | Flags.Y]

    assert encoded(members) == ["red", [1], 1, "a", "b", 3]


@dataclasses.dataclass
class User:
    name: str
    tags: set[str]
    password: str = dataclasses.field(default="secret", repr=False)


class Setting(msgspec.Struct):
    a: int = 1
    b: float = math.nan


def test_objects_with_fields() -> None:
    """Dataclasses and Structs are objects; a field that is not to be shown is not."""
    assert encoded(User("a", {"x"})) == {"name": "a", "tags": ["x"]}
    assert encoded(Setting()) == {"a": 1, "b": "NaN"}
    assert encoded(User) == "<class 'test_encoder.User'>".replace("test_encoder", __name__)


def test_attrs() -> None:
    """An object of a class that attrs has made is shown as the class says."""

    class Item:
        __attrs_attrs__ = (
            SimpleNamespace(name="a", repr=True),
            SimpleNamespace(name="hidden", repr=False),
            SimpleNamespace(name="masked", repr=lambda value: "***"),
            SimpleNamespace(name="missing", repr=True),
        )
        a, hidden, masked = {1}, "x", "y"

    missing = f"<{__name__}.{Item.__qualname__}: AttributeError while it was read>"

    assert encoded(Item()) == {"a": [1], "masked": "***", "missing": missing}


class TestSubclasses:
    """Subclasses of built-in types cannot do harm, and keep what they hold."""

    def test_numbers(self) -> None:
        """A number of a subclass is that number."""
        number = type("Number", (int,), {"__str__": lambda self: 1 / 0, "__int__": lambda self: 0})
        fraction = type("Fraction", (float,), {"__float__": lambda self: 1 / 0})

        assert encoded([number(5), fraction(1.5), fraction("nan"), True]) == [5, 1.5, "NaN", True]

    def test_texts(self) -> None:
        """A text of a subclass is what it shows itself to be."""
        secret = type("Secret", (str,), {"__str__": lambda self: "***"})
        marked = type("Marked", (str,), {})

        assert encoded([secret("a"), marked("b")]) == ["***", "b"]

    @pytest.mark.parametrize("kind", [dict, list, tuple, set])
    def test_containers(self, kind: Any) -> None:
        """Methods of a container's subclass that fail are not needed."""

        def fail(self: Any, *_: Any) -> Any:
            raise RuntimeError

        names = ("__iter__", "__len__", "__getitem__", "items", "keys", "values", "__repr__")
        broken = type("Broken", (kind,), dict.fromkeys(names, fail))
        content = {"a": 1} if kind is dict else [1]

        assert encoded(broken(content)) == content

    def test_mapping(self) -> None:
        """A mapping that fails is a text that says so."""

        class Broken(Mapping[str, int]):
            def __getitem__(self, key: str) -> int:
                raise KeyError(key)

            def __iter__(self) -> Iterator[str]:
                return iter("a")

            def __len__(self) -> int:
                return 1

        assert (
            encoded(Broken()) == f"<{__name__}.{Broken.__qualname__}: KeyError while it was read>"
        )


class TestHostileObjects:
    """Nothing that an object does raises an exception or keeps the rest from being seen."""

    @pytest.mark.parametrize(
        ("value", "error"), [(Raising(), "ValueError"), (Recursing(), "RecursionError")]
    )
    def test_repr_that_fails(self, value: object, error: str) -> None:
        """An object that cannot be shown is a text that says so; what is beside it is shown."""
        text = f"<{type(value).__module__}.{type(value).__name__}: {error} while it was read>"

        assert encoded({"a": value, "b": 1}) == {"a": text, "b": 1}

    def test_metaclass_that_fails(self) -> None:
        """A class that does not even tell its name makes a text."""

        class Meta(type):
            def __getattribute__(cls, name: str) -> Any:
                raise ValueError

        class Odd(metaclass=Meta):
            pass

        assert encoded(Odd()) == "<?: ValueError while it was read>"

    def test_class_that_lies(self) -> None:
        """What an object says about its class is not believed."""

        class Liar:
            @property  # type: ignore[misc]
            def __class__(self) -> Any:
                raise ValueError

            def __repr__(self) -> str:
                return "liar"

        assert encoded([Liar(), Mock(spec=dict)])[0] == "liar"

    @pytest.mark.parametrize("value", [Mock(), MagicMock(), Mock(spec=dict), MagicMock(spec=list)])
    def test_mocks(self, value: object) -> None:
        """An object that has every attribute is still just shown."""
        assert encoded(value) == repr(value)

    def test_generator_is_not_consumed(self) -> None:
        """An iterator is shown, not run."""
        generator = (number for number in [1, 2])

        assert encoded(generator).startswith("<generator object")
        assert list(generator) == [1, 2]

    def test_growing_while_it_is_read(self) -> None:
        """A container that is changed by its own items is read once, as it was."""
        grown: dict[Any, Any] = {}

        class Grower:
            def __repr__(self) -> str:
                grown[len(grown)] = self
                return "grower"

        grown["a"] = Grower()
        grown["b"] = 1

        assert encoded(grown) == {"a": "grower", "b": 1}

    def test_interrupt_passes(self) -> None:
        """A KeyboardInterrupt is the user's, and comes through."""

        class Interrupted:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            encode_value(Interrupted(), MIB)

    def test_encoding_within_encoding(self) -> None:
        """An object may encode others while it is being encoded."""

        class Nested:
            def __repr__(self) -> str:
                return encode_value([{1}, "inner"], MIB).decode()

        assert encoded([Nested(), {2}]) == ['[[1],"inner"]', [2]]

    def test_near_the_recursion_limit(self) -> None:
        """With hardly any stack left there is still an answer, or RecursionError itself."""
        answers: list[bytes] = []

        def descend() -> None:
            answers.append(encode_value([{1}, {"a": [b"x"]}], MIB))
            descend()

        with pytest.raises(RecursionError):
            descend()

        assert all(json.loads(answer) for answer in answers)


class TestLimits:
    """What is too long, too deep or too wide is cut, and says how much there was."""

    def test_text(self) -> None:
        """A long text keeps its beginning and tells its length."""
        result = encoded("é" * 1000, 200)

        assert result.startswith("ééé")
        assert result.endswith("é…[cut: 1000 characters in all]")
        assert len(encode_value("é" * 1000, 200)) <= 204

    def test_text_that_just_fits(self) -> None:
        """A text of exactly the limit is not cut."""
        assert fit_text("a" * 100, 100) == "a" * 100
        assert fit_text("a" * 101, 100).endswith("a…[cut: 101 characters in all]")

    def test_escapes_count(self) -> None:
        """The limit is one of JSON: characters that need escapes take more of it."""
        assert len(encode_value("\0" * 100, 300)) <= 304
        assert encoded("\0" * 100, 300).endswith("…[cut: 100 characters in all]")

    @pytest.mark.parametrize("character", [b"a", b"\xff"])
    def test_bytes(self, character: bytes) -> None:
        """Long bytes tell how many they were."""
        assert encoded(character * 1000, 200).endswith("…[cut: 1000 bytes in all]")

    def test_bytes_are_not_cut_amid_a_character(self) -> None:
        """Bytes that are UTF-8 stay so when they are cut."""
        for limit in range(200, 204):
            assert encoded("é".encode() * 1000, limit).startswith("ééé")

    def test_array(self) -> None:
        """A long array keeps its beginning and tells how many items there were."""
        result = encoded([float("nan")] * (MAX_ITEMS * 2))

        assert len(result) == MAX_ITEMS + 1
        assert result[-1] == f"…[cut: {MAX_ITEMS * 2} items in all]"

    @pytest.mark.parametrize("kind", [set, dict.fromkeys, deque])
    def test_as_many_items_as_are_promised(self, kind: Callable[[Any], Any]) -> None:
        """A set, and a dict whose keys are numbers, too: keys do not count twice."""
        whole = encoded(kind(range(MAX_ITEMS)))
        cut = encoded(kind(range(MAX_ITEMS + 1)))

        assert len(whole) == MAX_ITEMS
        assert "cut:" not in str(whole)
        assert len(cut) == MAX_ITEMS + 1
        assert f"[cut: {MAX_ITEMS + 1} items in all]" in str(cut)

    def test_object(self) -> None:
        """A large object keeps its first keys and tells how many there were."""
        result = encoded({"…": "mine"} | {key: b"" for key in map(str, range(100))}, 300)

        assert result["…"] == "mine"
        assert result["……"] == "[cut: 101 items in all]"

    def test_plain_data_up_to_the_limit_is_whole(self) -> None:
        """Plain data is cut by its size only, however many items it has."""
        value = [{"a": index} for index in range(60_000)]

        assert encoded(value) == value

    def test_integer(self) -> None:
        """An integer of millions of bits keeps its first digits."""
        assert encoded(1 << 10_000_000, 1000).startswith("0x1000")
        assert encoded(1 << 10_000_000, 1000).endswith("…[cut: 10000001 bits in all]")

    def test_depth(self) -> None:
        """What is too deep is cut there, and only there."""
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]

        data = encode_value(["beside", value], MIB)

        assert data.count(b"[cut: deeper than 30 levels]") == 1
        assert data.startswith(b'["beside",[[[')
        assert json.loads(data)

    @given(st.integers(1, MAX_DEPTH))
    def test_depth_up_to_the_limit(self, depth: int) -> None:
        """What is not too deep is whole."""
        value: Any = 1
        for _ in range(depth):
            value = {"a": value}

        assert encoded(value) == value

    def test_cycles(self) -> None:
        """What holds itself is cut where it does; what is merely there twice is there twice."""
        cycle: list[Any] = [1]
        cycle.append({"again": cycle})
        twice = [1]

        assert encoded(cycle) == [1, {"again": "…[cycle]"}]
        assert encoded([twice, {"a": twice, "b": {2}}]) == [[1], {"a": [1], "b": [2]}]

    def test_tiny_limit(self) -> None:
        """Where there is no room at all there is a mark."""
        assert encoded("a" * 1000, 0) == "…[cut: 1000 characters in all]"
        assert encoded([1, 2], 0) == ["…[cut: 2 items in all]"]


def _nested(make: Callable[[Any], Any]) -> Any:
    value: Any = make(None)
    for _ in range(100_000):
        value = make(value)
    return value


def _doubled() -> Any:
    value: Any = []
    for _ in range(100):
        value = [value, value]
    return value


PATHOLOGICAL: dict[str, Callable[[], Any]] = {
    "list of 10 million": lambda: [0] * 10_000_000,
    "list of 3 million odd ones": lambda: [float("nan")] * 3_000_000,
    "dict of a million": lambda: dict.fromkeys(range(1_000_000)),
    "set of a million": lambda: set(range(1_000_000)),
    "text of 100 MB": lambda: "a" * 100_000_000,
    "bytes of 100 MB": lambda: b"a" * 100_000_000,
    "bytes of 100 MB that are no text": lambda: b"\xff" * 100_000_000,
    "text of controls": lambda: "\0" * 10_000_000,
    "text of surrogates": lambda: "\ud800" * 10_000_000,
    "lists of depth 100,000": lambda: _nested(lambda inner: [inner]),
    "dicts of depth 100,000": lambda: _nested(lambda inner: {"a": inner}),
    "doubled a hundred times": _doubled,
    "many empty lists": lambda: [[] for _ in range(200_000)],
    "many dicts": lambda: [{"a": index} for index in range(60_000)],
    "integer of a million digits": lambda: 1 << 3_300_000,
    "many big integers": lambda: [1 << 1999] * 100_000,
    "recursing": Recursing,
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_pathological_values_are_quick(name: str) -> None:
    """The worst of values costs under 100 ms on a fast machine, and no more bytes than others."""
    value = PATHOLOGICAL[name]()
    data = encode_value(value, MIB)

    assert cpu_seconds(lambda: encode_value(value, MIB)) < 0.1
    assert len(data) <= MIB + 5000
    json.loads(data)


class TestNumpy:
    """numpy's values are plain data; numpy itself is not needed for it."""

    @pytest.fixture(autouse=True)
    def _numpy(self) -> None:
        self.np = pytest.importorskip("numpy")

    def test_scalars(self) -> None:
        """Scalars are Python's own; dates and what is wider than Python's numbers is text."""
        np = self.np
        values = [
            np.int64(3),
            np.float32(1.5),
            np.float64("nan"),
            np.bool_(True),
            np.datetime64("2026-11-21T00:00:00.123456789"),
            np.str_("s"),
            np.bytes_(b"b"),
        ]

        assert encoded(values) == [3, 1.5, "NaN", True, "2026-11-21T00:00:00.123456789", "s", "b"]
        assert encoded(np.longdouble(1) / 3).startswith("0.333")

    def test_arrays(self) -> None:
        """Arrays are arrays of any dimension, and none is a scalar."""
        np = self.np

        assert encoded(np.arange(4).reshape(2, 2)) == [[0, 1], [2, 3]]
        assert encoded(np.array(5)) == 5
        assert encoded(np.array([])) == []
        assert encoded(np.array([{1}, None], dtype=object)) == [[1], None]
        assert encoded(np.array(["2026-11-21"], dtype="M8[D]")) == ["2026-11-21"]

    def test_large_array(self) -> None:
        """Only the beginning of a large array is ever copied."""
        result = encoded(self.np.zeros((4000, 4000)).T)

        assert len(result) == MAX_ITEMS + 1
        assert result[-1] == "…[cut: 16000000 items in all]"


class TestTextOf:
    """`text_of` is str() that cannot fail and cannot take long."""

    @pytest.mark.parametrize("value", ["a", 1, None, {"a": 1}, [1], ValueError("x"), b"x"])
    def test_ordinary(self, value: object) -> None:
        """Ordinary values are what str() makes of them."""
        assert text_of(value, 1000) == str(value)

    def test_failing(self) -> None:
        """What cannot be shown is a text that says so."""
        assert text_of(Raising(), 1000) == "<rows.Raising: ValueError while it was read>"

    def test_huge(self) -> None:
        """A huge container is shown as the JSON of its beginning."""
        text = text_of(list(range(1_000_000)), 1000)

        assert text.startswith("[0,1,2,")
        assert text.endswith('"…[cut: 1000000 items in all]"]')

    @given(odd_values)
    def test_whatever(self, value: Any) -> None:
        """Whatever it is, there is a text that can be encoded."""
        text_of(value, 1000).encode()


def test_small_is_told_from_large() -> None:
    """Sizes are summed up over everything that is inside of a built-in container."""
    cycle: list[Any] = []
    cycle.append(cycle)

    assert is_small({"a": [1, (2, "x")]}, 1000)
    assert not is_small([["x" * 1000]], 1000)
    assert not is_small({"a": {"b": bytes(1000)}}, 1000)
    assert not is_small(cycle, 1000)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 1 << 64, -(1 << 64), b"", {1: 2}, {1}, object(), [[math.nan]]]
)
def test_not_plain(value: object) -> None:
    """Only what is JSON already is plain."""
    assert spare_room((value,), 1000) < 0
    assert spare_room(([value] * 200,), 100_000) < 0
    assert spare_room(([[value]] * 200,), 100_000) < 0


@given(st.lists(json_values, max_size=3))
def test_room_is_estimated_from_below(values: list[Any]) -> None:
    """What is said not to fit does not fit."""
    size = len(msgspec.json.encode(values))

    assert spare_room(
        values, size + 8 * str(values).count("[") + 8 * str(values).count("{")
    ) >= 0 or (any(abs(number) >= 1 << 64 for number in _integers(values)))


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _integers(item)


def test_nothing_is_kept() -> None:
    """When a value is encoded, no reference to it or its parts is left."""

    class Thing:
        pass

    def encode() -> list[weakref.ref[Thing]]:
        things = [Thing(), Thing(), Thing()]
        encode_value([{"a": things[0]}, {things[1]}, Raising(), User("a", {things[2]})], MIB)  # type: ignore[arg-type]
        return [weakref.ref(thing) for thing in things]

    gc.disable()
    try:
        assert [reference() for reference in encode()] == [None] * 3
    finally:
        gc.enable()


def test_logging_from_within(caplog: pytest.LogCaptureFixture) -> None:
    """An object that logs while it is encoded disturbs nothing."""

    class Talking:
        def __repr__(self) -> str:
            logging.getLogger("talking").warning("%s", encoded({"inner": {1}}))
            return "talking"

    assert encoded([Talking(), {2}]) == ["talking", [2]]
    assert caplog.messages == ["{'inner': [1]}"]


def test_numpy_is_not_imported() -> None:
    """Encoding asks for no library that the application has not loaded."""
    loaded = set(sys.modules)

    encode_value([{1}, object(), Raising(), UserDict(a=b"")], MIB)

    assert set(sys.modules) == loaded
