"""An exception is printed as the standard library prints it, and bounded where that is too much."""

from __future__ import annotations

import gc
import json
import sys
import traceback
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
import pytest
from pace import cpu_seconds
from structlog.tracebacks import ExceptionDictTransformer

from logbatch.events.rendered import from_dicts, from_text, is_printed, split_message
from logbatch.events.stacktrace import (
    Failure,
    from_exc_info,
    render_stack,
    squeeze,
)

KIB_256 = 262_144


def printed(error: BaseException) -> str:
    """What the standard library prints, without the last line break, as `logging` has it."""
    return "".join(traceback.format_exception(error)).removesuffix("\n")


def raised(call: Callable[[], object]) -> BaseException:
    """Return what a call raises, with its traceback."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def describe(error: object, limit: int = KIB_256) -> Failure:
    """Describe an exception that is one."""
    failure = from_exc_info(error, limit)
    assert failure is not None
    return failure


def _divide() -> NoReturn:
    raise SystemError(1 / 0)


def _wrap() -> NoReturn:
    try:
        _divide()
    except ZeroDivisionError as error:
        raise KeyError("k") from error


def _stumble() -> NoReturn:
    try:
        _wrap()
    except KeyError:
        raise RuntimeError("two\nlines")  # noqa: B904  # the context is what is tested


def _suppress() -> NoReturn:
    try:
        _divide()
    except ZeroDivisionError:
        raise OSError(2, "gone", "x.txt") from None


def _fail_together() -> NoReturn:
    parts = [raised(_divide), raised(_wrap), ExceptionGroup("inner", [ValueError(1)])]
    raise ExceptionGroup("outer", parts)  # type: ignore[type-var]


def _descend(depth: int) -> None:
    if depth == 0:
        raise ValueError("deep")
    _descend(depth - 1)


def _recurse() -> None:
    _recurse()


def _with_notes() -> ValueError:
    error = ValueError("noted")
    error.add_note("one")
    error.add_note("two\nthree")
    return error


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError


class Odd(Exception):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise ValueError

    @property
    def args(self) -> Any:  # type: ignore[override]
        raise ValueError


USUAL: dict[str, Callable[[], BaseException]] = {
    "plain": lambda: raised(_divide),
    "cause": lambda: raised(_wrap),
    "context": lambda: raised(_stumble),
    "suppressed": lambda: raised(_suppress),
    "group": lambda: raised(_fail_together),
    "notes": _with_notes,
    "syntax": lambda: raised(lambda: compile("a b", "<text>", "exec")),
    "name": lambda: raised(lambda: undefined),  # type: ignore[name-defined]  # noqa: F821
    "attribute": lambda: raised(lambda: sys.exc_inf),  # type: ignore[attr-defined]
    "json": lambda: raised(lambda: json.loads("{")),
    "never raised": lambda: ValueError("x"),
    "empty": ValueError,
    "interrupt": KeyboardInterrupt,
    "mute": MuteError,
    "deep, but not too deep": lambda: raised(lambda: _descend(80)),
}


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_is_what_the_standard_library_prints(name: str) -> None:
    """An exception of the usual size reads as it would on stderr, on each version of Python."""
    error = USUAL[name]()

    assert describe(error).stacktrace == printed(error)


def test_columns() -> None:
    """Type and message stand on their own; a built-in type has no module."""
    assert describe(raised(_divide))[:2] == ("ZeroDivisionError", "division by zero")
    assert describe(raised(lambda: json.loads("")))[0] == "json.decoder.JSONDecodeError"
    assert describe(MuteError())[:2] == (f"{__name__}.MuteError", "<exception str() failed>")
    assert describe(ExceptionGroup("g", [ValueError(1)]))[:2] == (
        "ExceptionGroup",
        "g (1 sub-exception)",
    )


def test_exc_info_forms() -> None:
    """An exception, a triple, and anything true within an `except` mean the same."""
    try:
        _divide()
    except ZeroDivisionError as error:
        expected = Failure("ZeroDivisionError", "division by zero", printed(error))

        assert from_exc_info(error, KIB_256) == expected
        assert from_exc_info(sys.exc_info(), KIB_256) == expected
        assert from_exc_info(True, KIB_256) == expected
        assert from_exc_info(1, KIB_256) == expected


@pytest.mark.parametrize("exc_info", [None, False, True, (None, None, None), (1, 2), "x", (), 0])
def test_no_exception(exc_info: object) -> None:
    """Where there is no exception, nothing is said about one."""
    assert from_exc_info(exc_info, KIB_256) is None


def test_odd_triples() -> None:
    """A triple that holds only a type, or no traceback, says what it can."""
    assert describe((ValueError, None, None)) == Failure("ValueError", None, None)
    assert describe((None, ValueError("x"), "no traceback")) == Failure(
        "ValueError", "x", "ValueError: x"
    )


def test_traceback_of_the_triple_counts() -> None:
    """The traceback that was given is printed, not the one that the exception holds."""
    error = raised(_divide)

    assert describe((type(error), error, None)).stacktrace == "ZeroDivisionError: division by zero"


class TestUnusual:
    """What the standard library would print too much of is printed in its form, in part."""

    def test_many_frames(self) -> None:
        """Of a long traceback there is the beginning and the end, and the number between."""
        text = describe(raised(_recurse)).stacktrace
        assert text is not None
        lines = text.splitlines()

        assert lines[0] == "Traceback (most recent call last):"
        assert "in raised" in lines[1]
        assert any(line.endswith(" frames are left out]") for line in lines)
        assert lines[-1].startswith("RecursionError: maximum recursion depth exceeded")

    def test_long_chain(self) -> None:
        """Of a long chain there are the oldest and the newest exceptions."""
        text = describe(_chain(1000)).stacktrace
        assert text is not None

        assert text.startswith("ValueError: 0\n\nDuring handling of the above exception")
        assert "[984 exceptions are left out]" in text
        assert text.endswith("\nValueError: 999")
        assert text.count("ValueError: ") == 16

    def test_endless_chain(self) -> None:
        """Of a chain that nobody has the time to follow there are the newest exceptions."""
        text = describe(_chain(100_000)).stacktrace
        assert text is not None

        assert text.startswith("[at least 9984 exceptions are left out]")
        assert text.endswith("\nValueError: 99999")

    def test_cycle(self) -> None:
        """A chain that goes round in a circle is printed once."""
        first, second = ValueError("first"), ValueError("second")
        first.__context__, second.__context__ = second, first

        assert describe(first).stacktrace == printed(first)

    def test_wide_group(self) -> None:
        """Of a group with many members there are the first."""
        text = describe(ExceptionGroup("many", [ValueError(i) for i in range(1000)])).stacktrace
        assert text is not None

        assert "ExceptionGroup: many (1000 sub-exceptions)" in text
        assert "  | ValueError: 14\n" in text
        assert "ValueError: 15" not in text
        assert "1000 in all" in text

    def test_deep_group(self) -> None:
        """A group in a group in a group ends somewhere."""
        error: Exception = ValueError("leaf")
        for depth in range(500):
            error = ExceptionGroup(f"level {depth}", [error])

        text = describe(error).stacktrace

        assert text is not None
        assert text.startswith("ExceptionGroup: level 499 (1 sub-exception)")
        assert len(text) < 20_000

    def test_large_arguments(self) -> None:
        """A message that is made of a huge value is cut before it is made."""
        failure = describe(ValueError(list(range(1_000_000))))

        assert failure.message is not None
        assert failure.message.startswith("[0,1,2,")
        assert failure.message.endswith('"…[cut: 1000000 items in all]"]')
        assert failure.stacktrace == f"ValueError: {failure.message}"

    def test_size(self) -> None:
        """A stack trace that is too long is cut in its middle, for its end says the most."""
        text = describe(raised(_stumble), limit=500).stacktrace
        assert text is not None

        assert text.startswith("Traceback (most recent call last):")
        assert "…[cut: " in text
        assert text.endswith("RuntimeError: two\nlines")
        assert len(json.dumps(text)) <= 510

    @pytest.mark.parametrize("piece", ["x", '"\n', "\ud83d", "é\0"])
    def test_the_end_is_there_whatever_is_cut(self, piece: str) -> None:
        """Characters that JSON has escapes for take more room, and not at the cost of the end."""
        text = "Traceback (most recent call last):\n" + piece * 5000 + "and so it ended"
        short = squeeze(text, 4000)

        assert short.startswith("Traceback") and short.endswith("and so it ended")
        assert 3000 < len(msgspec.json.encode(short)) <= 4002

    def test_exception_that_fails(self) -> None:
        """An exception that does not let itself be looked at is still named."""
        failure = describe(raised(lambda: _raise(Odd())))

        assert failure.type == f"{__name__}.Odd"
        assert failure.stacktrace is not None
        assert failure.stacktrace.startswith("Traceback (most recent call last):")
        assert failure.stacktrace.endswith(f"{__name__}.Odd: <exception str() failed>")


def _raise(error: BaseException) -> NoReturn:
    raise error


def _chain(length: int) -> ValueError:
    error: ValueError | None = None
    for number in range(length):
        error, before = ValueError(number), error
        error.__context__ = before
    assert error is not None
    return error


def _long_chain_of_deep_ones() -> BaseException:
    error: BaseException | None = None
    for _ in range(16):

        def fail(before: BaseException | None = error) -> None:
            try:
                _descend(80)
            except ValueError as now:
                now.__context__ = before
                raise

        error = raised(fail)
    assert error is not None
    return error


PATHOLOGICAL: dict[str, Callable[[], BaseException]] = {
    "recursion": lambda: raised(_recurse),
    "100,000 links": lambda: _chain(100_000),
    "a million members": lambda: ExceptionGroup("big", [ValueError(0)] * 1_000_000),
    "long text": lambda: ValueError("x" * 100_000_000),
    "long list": lambda: ValueError([0] * 10_000_000),
    "long notes": lambda: _noted("x" * 50_000_000),
    "many notes": lambda: _noted(*["x"] * 100_000),
    "chain of deep ones": _long_chain_of_deep_ones,
    "syntax": lambda: raised(lambda: compile("a " * 100_000, "<text>", "exec")),
    "mute": MuteError,
}


def _noted(*notes: str) -> ValueError:
    error = ValueError("noted")
    for note in notes:
        error.add_note(note)
    return error


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_pathological_exceptions_are_quick(name: str) -> None:
    """The worst of exceptions costs under 100 ms on a fast machine, and no more than 256 KiB."""
    error = PATHOLOGICAL[name]()
    failure = describe(error)

    assert cpu_seconds(lambda: describe(error)) < 0.1
    assert len(json.dumps(failure.stacktrace, ensure_ascii=False).encode()) <= KIB_256 + 100


class TestPrinted:
    """An exception that somebody else has printed is understood."""

    @pytest.mark.parametrize("name", USUAL)
    def test_type_and_message(self, name: str) -> None:
        """Type and message are found in the text; what the text lacks is not made up."""
        error = USUAL[name]()
        text = printed(error)
        failure = from_text(text, KIB_256)
        expected = describe(error)

        assert is_printed(text)
        assert failure.stacktrace == text
        assert expected.type is not None
        assert failure.type == expected.type.removeprefix("__main__.")
        if name not in ("notes", "syntax", "attribute", "name"):  # more is printed than str()
            assert failure.message == expected.message

    def test_text_that_is_none(self) -> None:
        """A text that is no exception is kept as the stack trace, and says nothing else."""
        assert from_text("no such thing", KIB_256) == Failure(None, None, "no such thing")
        assert not is_printed("no such thing")
        assert not is_printed("timeout: 5")

    def test_live_exception_knows_more(self) -> None:
        """The exception that is being handled is taken where it is the one in the text."""

        class Local(Exception):
            pass

        try:
            raise Local("x\ny")
        except Local as error:
            failure = from_text(printed(error).replace(f"{__name__}.", ""), KIB_256)

        assert failure.type == f"{__name__}.{Local.__qualname__}"
        assert failure.message == "x\ny"

    def test_another_live_exception_is_none_of_it(self) -> None:
        """The exception that is being handled is left alone where the text tells of another."""
        text = printed(raised(_wrap))
        try:
            _divide()
        except ZeroDivisionError:
            failure = from_text(text, KIB_256)

        assert failure[:2] == ("KeyError", "'k'")

    def test_message_taken_apart(self) -> None:
        """What `logging.Formatter` puts after a message is taken off it again."""
        trace = printed(raised(_stumble))
        stack = "Stack (most recent call last):\n  File x"

        assert split_message("a\nb") == ("a\nb", None, None)
        assert split_message(f"a\nb\n{trace}") == ("a\nb", from_text(trace, KIB_256), None)
        assert split_message(f"a\n{stack}") == ("a", None, stack)
        assert split_message(f"a\n{trace}\n{stack}") == ("a", from_text(trace, KIB_256), stack)
        assert split_message(trace) == (trace, None, None)


class TestDicts:
    """What structlog's `dict_tracebacks` makes of an exception is understood."""

    def test_rendered(self) -> None:
        """Each exception of the chain is printed with its frames and how it came about."""
        error = raised(_stumble)
        stacks = ExceptionDictTransformer(show_locals=False)(
            (type(error), error, error.__traceback__)
        )
        failure = from_dicts(stacks, KIB_256)

        assert failure[:2] == ("RuntimeError", "two\nlines")
        assert failure.stacktrace is not None
        expected = [line for line in printed(error).splitlines() if not line.startswith("    ")]
        assert failure.stacktrace.splitlines() == expected

    def test_live(self) -> None:
        """The exception that is being handled is printed itself."""
        try:
            _stumble()
        except RuntimeError as error:
            stacks = ExceptionDictTransformer()((type(error), error, error.__traceback__))

            assert from_dicts(stacks, KIB_256).stacktrace == printed(error)

    @pytest.mark.parametrize("stacks", [[], [1], [{}], [{"exc_type": 1, "frames": [None, {}, 5]}]])
    def test_odd(self, stacks: list[Any]) -> None:
        """A list that is something else does no harm."""
        from_dicts(stacks, KIB_256)


def test_stack() -> None:
    """A stack is printed as `logging` prints it."""
    text, number = render_stack(sys._getframe()), sys._getframe().f_lineno

    assert text.startswith("Stack (most recent call last):\n")
    assert text.splitlines()[-2:] == [
        f'  File "{__file__}", line {number}, in test_stack',
        "    text, number = render_stack(sys._getframe()), sys._getframe().f_lineno",
    ]


def test_deep_stack() -> None:
    """Of a deep stack there are the last frames."""

    def deep(depth: int) -> str:
        return render_stack(sys._getframe()) if depth == 0 else deep(depth - 1)

    text = deep(300)

    assert text.splitlines()[1] == "  [the first frames are left out]"
    assert "in deep" in text


@pytest.mark.parametrize("name", ["plain", "group", "recursion", "100,000 links"])
def test_nothing_is_kept(name: str) -> None:
    """When an exception is described, nothing refers to it, its frames or what they hold."""

    class Thing:
        pass

    def fail() -> weakref.ref[Thing]:
        thing = Thing()
        try:
            raise (USUAL | PATHOLOGICAL)[name]()
        except BaseException as error:
            describe(error)
        return weakref.ref(thing)

    reference = fail()
    gc.collect()  # an exception of a group and its frame hold each other

    assert reference() is None
