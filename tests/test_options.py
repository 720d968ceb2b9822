"""The options: where a value comes from, what is refused, and how a refusal reads."""

from __future__ import annotations

import dataclasses
import enum
import logging
import os
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.options import NEVER, OPTION_NAMES, BatchOptions, check_known, from_env, parse_level

MIB = 1 << 20


def complain(*args: object) -> None:
    """Stand in for an application's `on_error`."""


def refusal(**given: Any) -> str:
    """Return what is said about options that are refused."""
    with pytest.raises(ValueError) as caught:
        BatchOptions.build(given)
    return str(caught.value)


def test_the_defaults_are_the_documented_ones() -> None:
    """Options that nobody gave have these values."""
    expected = {
        "flush_interval": 1.0,
        "max_batch_size": 10_000,
        "max_batch_bytes": 4 * MIB,
        "flush_level": logging.ERROR,
        "durability": "process",
        "max_journal_bytes": 1024 * MIB,
        "when_full": "drop_newest",
        "block_timeout": 1.0,
        "close_timeout": 5.0,
        "max_value_bytes": MIB,
        "objects": "repr",
        "service": None,
        "host": None,
        "redact": (),
        "redact_patterns": (),
        "collapse_repeats": False,
        "report": True,
        "on_error": None,
    }

    assert expected == dataclasses.asdict(BatchOptions())


def test_options_are_values() -> None:
    """Options are equal when their values are, print them, and cannot be changed."""
    options = BatchOptions(max_batch_size=5)

    assert BatchOptions(max_batch_size=5) == options
    assert "max_batch_size=5," in repr(options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.max_batch_size = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("size", "bytes_", "interval"),
    [(100, 10_000, 1), (10, 4 * MIB, 2), (10, 4 * MIB, 60)],
    ids=["live view", "over HTTP", "quiet exporters"],
)
def test_what_the_origin_systems_ran_at_can_be_said(size: int, bytes_: int, interval: int) -> None:
    """The settings of the systems that logbatch comes from are all in range."""
    options = BatchOptions(max_batch_size=size, max_batch_bytes=bytes_, flush_interval=interval)

    assert (size, bytes_, interval) == (
        options.max_batch_size,
        options.max_batch_bytes,
        options.flush_interval,
    )


# --------------------------------------------------------------------------- where from


def test_a_keyword_wins_over_the_environment_and_that_over_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A value is the keyword's, else the environment's, else the transport's, else the default."""
    monkeypatch.setenv("LOGBATCH_MAX_BATCH_SIZE", "2")
    monkeypatch.setenv("LOGBATCH_MAX_BATCH_BYTES", "22")
    options = BatchOptions.build(
        {"max_batch_size": 1},
        defaults={"max_batch_size": 3, "max_batch_bytes": 33, "flush_interval": 3.0},
    )

    assert (
        BatchOptions(max_batch_size=1, max_batch_bytes=22, flush_interval=3.0, close_timeout=5.0)
        == options
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flush_interval", "2.5", 2.5),
        ("flush_interval", "adaptive", "adaptive"),
        ("max_batch_size", "100", 100),
        ("max_batch_bytes", " 10_000 ", 10_000),
        ("flush_level", "warning", logging.WARNING),
        ("flush_level", "35", 35),
        ("flush_level", "never", NEVER),
        ("durability", "power", "power"),
        ("max_journal_bytes", "65536", 65_536),
        ("when_full", "block", "block"),
        ("block_timeout", "0", 0.0),
        ("close_timeout", "30", 30.0),
        ("max_value_bytes", "4096", 4_096),
        ("service", "shop", "shop"),
        ("host", "node-7", "node-7"),
    ],
)
def test_the_environment_says_it_as_text(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable's text means the same as the value given as a keyword."""
    monkeypatch.setenv(f"LOGBATCH_{name.upper()}", text)

    assert {name: value} == from_env(os.environ)
    assert BatchOptions(**{name: value}) == BatchOptions.build({})  # type: ignore[arg-type]


def test_other_variables_are_ignored() -> None:
    """A variable without the prefix, or one with it that is no option, is not read."""
    environ = {
        "PATH": "/bin",
        "FLUSH_INTERVAL": "x",
        "XLOGBATCH_FLUSH_INTERVAL": "x",
        "LOGBATCH_TRANSPORT": "parquet:logs",
        "LOGBATCH_DEMO": "1",
        "LOGBATCH_HTTP_TIMEOUT": "x",
    }

    assert {} == from_env(environ)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_not_set(text: str) -> None:
    """A variable with nothing in it, as container files like to leave them, changes nothing."""
    assert {} == from_env({"LOGBATCH_FLUSH_INTERVAL": text})


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        (
            "LOGBATCH_MAX_BATCH_SIZE",
            "many",
            "environment variable LOGBATCH_MAX_BATCH_SIZE: max_batch_size='many' must be "
            "a whole number of events from 1 to 1,000,000",
        ),
        (
            "LOGBATCH_ON_ERROR",
            "print",
            "environment variable LOGBATCH_ON_ERROR: on_error='print' must be "
            "a function of (kind, text, exception)",
        ),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong in the environment is said with the name that stands there."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError) as caught:
        BatchOptions.build({})

    assert expected == str(caught.value)


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "low", "below", "high", "above"),
    [
        ("flush_interval", 0.01, 0.009, 86_400, 86_401),
        ("max_batch_size", 1, 0, 1_000_000, 1_000_001),
        ("max_batch_bytes", 1, 0, 1 << 28, (1 << 28) + 1),
        ("max_journal_bytes", 1 << 16, (1 << 16) - 1, 1 << 50, (1 << 50) + 1),
        ("block_timeout", 0, -0.1, 3_600, 3_601),
        ("close_timeout", 0, -0.1, 3_600, 3_601),
        ("max_value_bytes", 256, 255, 1 << 27, (1 << 27) + 1),
    ],
)
def test_the_limits_are_part_of_the_range(
    name: str, low: float, below: float, high: float, above: float
) -> None:
    """The least and the greatest value of a number are accepted, those beyond are not."""
    accepted = [getattr(BatchOptions.build({name: end}), name) for end in (low, high)]

    assert [low, high] == accepted
    for wrong in (below, above):
        assert refusal(**{name: wrong}).startswith(f"{name}={wrong!r} must be a")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"flush_interval": 0},
            "flush_interval=0 must be a number of seconds from 0.01 to 86,400, or 'adaptive'",
        ),
        (
            {"flush_interval": "adaptiv"},
            "flush_interval='adaptiv' must be a number of seconds from 0.01 to 86,400, "
            "or 'adaptive'",
        ),
        (
            {"max_batch_size": 2.5},
            "max_batch_size=2.5 must be a whole number of events from 1 to 1,000,000",
        ),
        (
            {"max_journal_bytes": 1},
            "max_journal_bytes=1 must be a whole number of bytes "
            "from 65,536 to 1,125,899,906,842,624",
        ),
        (
            {"close_timeout": None},
            "close_timeout=None must be a number of seconds from 0 to 3,600",
        ),
        (
            {"flush_level": "EROR"},
            "flush_level='EROR' must be a level's name or number, or 'never'; "
            "did you mean 'ERROR'?",
        ),
        (
            {"flush_level": "nevr"},
            "flush_level='nevr' must be a level's name or number, or 'never'; "
            "did you mean 'never'?",
        ),
        (
            {"flush_level": True},
            "flush_level=True must be a level's name or number, or 'never'",
        ),
        (
            {"durability": "Power"},
            "durability='Power' must be one of 'process', 'power', 'memory'; did you mean 'power'?",
        ),
        (
            {"when_full": "drop-newest"},
            "when_full='drop-newest' must be one of 'drop_newest', 'drop_oldest', 'block'; "
            "did you mean 'drop_newest'?",
        ),
        (
            {"when_full": 1},
            "when_full=1 must be one of 'drop_newest', 'drop_oldest', 'block'",
        ),
        ({"service": 5}, "service=5 must be a string or None"),
        (
            {"on_error": "print"},
            "on_error='print' must be a function of (kind, text, exception)",
        ),
        (
            {"flush_intervall": 1},
            "unknown option 'flush_intervall'; did you mean 'flush_interval'?",
        ),
        ({"Host": "a"}, "unknown option 'Host'; did you mean 'host'?"),
    ],
)
def test_a_refusal_names_the_option_the_value_and_the_rule(
    given: dict[str, Any], expected: str
) -> None:
    """What is wrong can be put right from the text alone."""
    assert expected == refusal(**given)


@pytest.mark.parametrize(
    "value",
    [True, None, "", "x", "1e400", float("nan"), float("inf"), -(10**400), 10**400, [], b"x", 1j],
)
@pytest.mark.parametrize("name", ["flush_interval", "max_batch_size", "close_timeout"])
def test_what_is_no_number_of_the_range_is_a_value_error(name: str, value: object) -> None:
    """No odd value gets another exception than a ValueError out of a number's rule."""
    assert refusal(**{name: value}).startswith(f"{name}={value!r} must be ")


@pytest.mark.parametrize("value", [7, "7", np.int64(7)])
def test_whole_numbers_of_any_kind_become_plain_ones(value: Any) -> None:
    """A whole number from a text or another package is stored as an int."""
    size = BatchOptions(max_batch_size=value).max_batch_size

    assert (7, int) == (size, type(size))


@pytest.mark.parametrize("value", [2, "2", Decimal(2), np.float32(2)])
def test_seconds_of_any_kind_become_floats(value: Any) -> None:
    """A number of seconds from a text or another package is stored as a float."""
    seconds = BatchOptions(flush_interval=value).flush_interval

    assert (2.0, float) == (seconds, type(seconds))


@given(
    st.sampled_from(sorted(OPTION_NAMES)),
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.lists(st.integers(), max_size=2), st.dictionaries(st.text(), st.none(), max_size=1),
        st.just(complain), st.just(object), st.complex_numbers(), st.decimals(),
    ),
)  # fmt: skip
def test_any_value_is_taken_or_refused_by_name(name: str, value: Any) -> None:
    """Whatever an option is given, it is accepted or a ValueError that begins with its name."""
    try:
        BatchOptions(**{name: value})
    except ValueError as error:
        assert str(error).startswith(f"{name}={value!r} must be ")


@given(st.sampled_from(sorted(OPTION_NAMES - {"on_error"})), st.text(st.characters(codec="utf-8")))
def test_an_option_is_a_fixed_point(name: str, text: str) -> None:
    """A value that was accepted is accepted again and stays as it is."""
    try:
        once = getattr(BatchOptions(**{name: text}), name)  # type: ignore[arg-type]
    except ValueError:
        return

    assert once == getattr(BatchOptions(**{name: once}), name)


# --------------------------------------------------------------------------- names and levels


def test_an_unknown_name_without_a_near_one_lists_all() -> None:
    """Where nothing is close, the message says what there is."""
    with pytest.raises(ValueError) as caught:
        check_known(["size", "zzz"], ["size", "age"])

    assert "unknown option 'zzz'; known are: age, size" == str(caught.value)


def test_known_names_pass() -> None:
    """Names that are all known raise nothing."""
    check_known({"age": 1, "size": 2}, {"size", "age"})


class Level(enum.IntEnum):
    LOUD = 45


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("INFO", 20),
        ("info", 20),
        (" Warn ", 30),
        ("NOTSET", 0),
        ("notset", 0),
        ("fatal", 50),
        ("notice", 25),
        ("25", 25),
        ("-5", -5),
        (0, 0),
        (15, 15),
        (Level.LOUD, 45),
    ],
)
def test_a_level_is_a_name_or_a_number(level: int | str, expected: int) -> None:
    """Names count in either case, numbers also as text; the answer is a plain int."""
    number = parse_level(level)

    assert (expected, int) == (number, type(number))


def test_a_level_of_the_application_is_known_by_its_name() -> None:
    """What `logging.addLevelName` was told is a level too, also in another case."""
    logging.addLevelName(33, "Vip")
    assert 33 == parse_level("VIP")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("WARNIN", "level='WARNIN' must be a level's name or number; did you mean 'WARNING'?"),
        ("--5", "level='--5' must be a level's name or number; known are: CRITICAL, FATAL, "),
        ("never", "level='never' must be a level's name or number; known are: CRITICAL, FATAL, "),
        ("", "level='' must be a level's name or number; known are: CRITICAL, FATAL, "),
        (2.5, "level=2.5 must be a level's name or number"),
        (False, "level=False must be a level's name or number"),
        (None, "level=None must be a level's name or number"),
    ],
)
def test_what_is_no_level_is_refused(level: Any, expected: str) -> None:
    """A wrong level is told with what is near it, else with all there are."""
    with pytest.raises(ValueError) as caught:
        parse_level(level)

    assert expected == str(caught.value)[: len(expected)]


@pytest.mark.parametrize("level", ["never", "Never", None])
def test_never_is_above_every_level(level: Any) -> None:
    """With `"never"` no event is urgent."""
    assert BatchOptions(flush_level=level).flush_level == NEVER > logging.CRITICAL


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["password", "Token"], ("password", "Token")),
        (("a",), ("a",)),
        ({"b", "a"}, ("a", "b")),
        ([], ()),
        ("password, authorization", ("password", "authorization")),
    ],
)
def test_names_to_redact(given: Any, expected: tuple[str, ...]) -> None:
    """They are a list, or one text with commas, as in the environment."""
    assert expected == BatchOptions(redact=given).redact
    if isinstance(given, str):
        assert {"redact": expected} == from_env({"LOGBATCH_REDACT": given})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([r"\d{16}", re.compile("x", re.IGNORECASE)], [r"\d{16}", "x"]),
        (r"\d{16},\d", [r"\d{16},\d"]),
        ("[0-9]{16}", ["[0-9]{16}"]),
        ('["a+", "b,c"]', ["a+", "b,c"]),
        ("[1, 2]", ["[1, 2]"]),
        ([], []),
    ],
)
def test_patterns_to_redact(given: Any, expected: list[str]) -> None:
    """They are a list; one text is a JSON array of them, or else one pattern."""
    options = BatchOptions(redact_patterns=given)

    assert expected == [pattern.pattern for pattern in options.redact_patterns]
    assert bool(given) == options.redacts
    if isinstance(given, str):
        found = from_env({"LOGBATCH_REDACT_PATTERNS": given})
        assert {"redact_patterns": options.redact_patterns} == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"redact": 5}, "redact=5 must be a list of attribute names"),
        ({"redact": ["a", 5]}, "redact=['a', 5] must be a list of attribute names"),
        ({"redact": "a,,b"}, "each of 1 to 200 characters"),
        ({"redact": {"password": True}}, "must be a list of attribute names"),
        ({"redact_patterns": 5}, "redact_patterns=5 must be a list of regular expressions"),
        ({"redact_patterns": ["(", "a"]}, "expressions (str): '(' is not one, missing )"),
        ({"redact_patterns": [5]}, "redact_patterns=[5] must be a list of regular expressions"),
        ({"redact_patterns": [b"a"]}, "(str): b'a' is not a string"),
        ({"redact_patterns": [re.compile(b"a")]}, "(str): re.compile(b'a') is not a string"),
        ({"redact_patterns": "a*"}, "(str): 'a*' matches the empty string"),
        ({"collapse_repeats": "perhaps"}, "collapse_repeats='perhaps' must be true or false"),
        ({"collapse_repeats": 1}, "collapse_repeats=1 must be true or false"),
        ({"redacted": []}, "unknown option 'redacted'; did you mean 'redact'?"),
    ],
)
def test_what_cannot_be_redacted_or_collapsed_is_refused(given: dict[str, Any], said: str) -> None:
    """What is wrong is said by name, value and rule."""
    assert said in refusal(**given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("True", True), (" yes ", True), ("0", False), ("no", False)],
)
def test_a_switch_in_the_environment(text: str, expected: bool) -> None:
    """A switch is set there by a word or a digit."""
    assert {"collapse_repeats": expected} == from_env({"LOGBATCH_COLLAPSE_REPEATS": text})
