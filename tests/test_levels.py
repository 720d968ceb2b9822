"""Levels: what `logging` calls them, and what others do."""

from __future__ import annotations

import logging

import pytest

from logbatch import levels
from logbatch.dataset.filter.language import Filter


@pytest.mark.parametrize("name", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTSET"])
def test_the_names_of_logging_stand_for_themselves(name: str) -> None:
    """In either case a name of `logging` is that level, for senders and for structlog too."""
    number = getattr(logging, name)

    assert (name, number) == levels.from_name(name.lower())
    assert number == levels.number_of(name) == levels.number_of_method(name.lower())
    assert name == levels.name_of(number)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("warn", ("WARNING", 30)),
        ("Fatal", ("CRITICAL", 50)),
        ("information", ("INFO", 20)),
        ("err", ("ERROR", 40)),
        ("emerg", ("CRITICAL", 50)),
        (" NOTICE ", ("NOTICE", 25)),
        ("verbose", ("TRACE", 5)),
        ("no such level", None),
    ],
)
def test_the_names_of_others_are_known(name: str, expected: tuple[str, int] | None) -> None:
    """What others call a level is the level that `logging` has for it, or one between two."""
    assert expected == levels.from_name(name)
    assert (expected[1] if expected else None) == levels.number_of(name)


def test_priorities_of_syslog() -> None:
    """They count down from 7, which is the least."""
    found = [levels.from_priority(number) for number in range(-1, 9)]
    names = [level[0] if level else None for level in found]
    assert [None, *["CRITICAL"] * 3, "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG", None] == names


def test_a_level_of_the_program_is_known() -> None:
    """A level that the program has added is known at once, in either case."""
    logging.addLevelName(33, "Vip")
    assert ("Vip", 33) == levels.from_name("VIP")
    assert 33 == levels.number_of("vip") == levels.number_of_method("vip")


@pytest.mark.parametrize(
    ("method", "expected"),
    [("msg", 20), ("exception", 40), ("failure", 40), ("err", 40), ("shout", None), ("bind", None)],
)
def test_methods_of_structlog_have_a_level(method: str, expected: int | None) -> None:
    """A method of structlog's own loggers has a level; what an application adds has none."""
    assert expected == levels.number_of_method(method)


def test_a_filter_knows_the_levels_that_a_receiver_stores() -> None:
    """A level that came from another program can be asked for by the name that it was given."""
    assert Filter.parse("level>=NOTICE").matches({"levelno": 25})
    assert not Filter.parse("level>NOTICE").matches({"levelno": 25})


def test_severities_are_the_inverse_of_levels() -> None:
    """The severities that Python's levels become lead back to these levels."""
    pairs = [
        (5, 10),
        (8, 15),
        (9, 20),
        (12, 25),
        (13, 30),
        (16, 35),
        (17, 40),
        (20, 45),
        (21, 50),
        (24, 60),
    ]
    assert [n for _, n in pairs] == [levels.from_severity(s)[1] for s, _ in pairs]
    assert ("VIP", 25) == levels.from_severity(12, "VIP")
    assert ("WARNING", 30) == levels.from_severity(13, "WARN")
    assert ("ERROR", 40) == levels.from_severity(0, "error")
    assert ("NOTSET", 0) == levels.from_severity(0)
    assert ("odd", 0) == levels.from_severity(99, "odd")


def test_severities_are_numbered_as_in_their_protocol() -> None:
    """Each of the 24 severities of OpenTelemetry has the number that its protocol gives it."""
    numbers = levels.SEVERITY_NUMBERS

    assert list(range(1, 25)) == list(numbers.values())
    assert (1, 9, 12, 13, 24) == tuple(
        numbers[f"SEVERITY_NUMBER_{name}"] for name in ("TRACE", "INFO", "INFO4", "WARN", "FATAL4")
    )
