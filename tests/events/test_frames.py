"""Frames are printed as the standard library prints them, whether seen before or not."""

from __future__ import annotations

import gc
import sys
import traceback
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.events import frames
from logbatch.events.frames import print_frames
from logbatch.events.stacktrace import from_exc_info


def _left(ahead: str) -> int:
    return _STEPS[ahead[0]](ahead[1:]) + 1


def _right(ahead: str) -> int:
    text = f"é{ahead}"
    return len(text) + _STEPS[ahead[0]](ahead[1:])


def _spread(ahead: str) -> int:
    return _STEPS[ahead[0]](
        ahead[1:],
    )


def _end(_ahead: str) -> int:
    return 1 // 0


_STEPS: dict[str, Callable[[str], int]] = {"l": _left, "r": _right, "s": _spread, "e": _end}


def trace_of(path: str) -> TracebackType:
    """Return the traceback of calls that go left and right as a path says."""
    try:
        _STEPS[path[0]](path[1:])
    except ZeroDivisionError as error:
        assert error.__traceback__ is not None
        return error.__traceback__
    raise AssertionError(path)


@given(st.text("lrs", max_size=20))
def test_frames_look_as_the_standard_library_prints_them(path: str) -> None:
    """Any path of calls, recursive or not, prints alike the first time and the second."""
    trace = trace_of(path + "e")
    expected = "".join(traceback.format_tb(trace))

    assert expected == print_frames(trace)
    assert expected == print_frames(trace)


def test_repeated_lines_are_counted() -> None:
    """A function that calls itself at one line is shown three times and then counted."""
    for times in (3, 4, 5, 12):
        trace = trace_of("l" * times + "e")

        assert "".join(traceback.format_tb(trace)) == print_frames(trace)


def test_no_traceback() -> None:
    """No traceback prints nothing."""
    assert "" == print_frames(None)


def test_code_without_source() -> None:
    """Code that came from no file has no source lines, with its own place all the same."""
    for name in ("<first>", "<second>"):
        space: dict[str, Any] = {}
        exec(compile("def fail():\n    raise ValueError", name, "exec"), space)
        try:
            space["fail"]()
        except ValueError as error:
            assert "".join(traceback.format_tb(error.__traceback__)) == print_frames(
                error.__traceback__
            )


def test_memory_is_bounded_and_lets_code_go() -> None:
    """Ever new code does not fill the memory, and what is thrown away holds nothing."""
    kept: list[weakref.ref[Any]] = []
    for number in range(frames._MOST + 10):
        space: dict[str, Any] = {}
        exec(compile("def fail():\n    raise ValueError", f"<made {number}>", "exec"), space)
        kept.append(weakref.ref(space["fail"].__code__))
        try:
            space["fail"]()
        except ValueError as error:
            print_frames(error.__traceback__)
    del space
    gc.collect()

    assert len(frames._remembered) <= frames._MOST
    assert kept[0]() is None


class _NoModule(Exception):
    """Its class says nothing of where it is from."""


_NoModule.__module__ = None  # type: ignore[assignment]


def _raise_chain(kinds: list[str]) -> None:
    if not kinds:
        raise ValueError("the first")
    try:
        _raise_chain(kinds[1:])
    except Exception as error:
        _RAISE[kinds[0]](error)


def _from(error: Exception) -> None:
    raise KeyError("missing") from error


def _while(_error: Exception) -> None:
    raise RuntimeError


def _from_none(_error: Exception) -> None:
    raise OSError(2, "No such file") from None


def _noted(_error: Exception) -> None:
    error = ValueError("odd\nin two lines")
    error.add_note("a note\nof two lines")
    raise error


def _hinted(_error: Exception) -> None:
    sys.modul  # type: ignore[attr-defined]  # noqa: B018


def _syntax(_error: Exception) -> None:
    compile("a b", "<text>", "exec")


def _grouped(error: Exception) -> None:
    raise ExceptionGroup("several", [error, ValueError("another")])


def _again(error: Exception) -> None:
    raise error


def _circle(error: Exception) -> None:
    other = ValueError("in a circle")
    error.__context__ = other
    raise other


def _bad_text(_error: Exception) -> None:
    class Bad(Exception):
        def __str__(self) -> str:
            raise ValueError

    raise Bad


def _of_no_module(_error: Exception) -> None:
    raise _NoModule("lost")


_RAISE: dict[str, Callable[[Exception], None]] = {
    each.__name__: each
    for each in (
        *(_from, _while, _from_none, _noted, _hinted, _syntax, _grouped, _again, _circle),
        *(_bad_text, _of_no_module),
    )
}


@given(st.lists(st.sampled_from(sorted(_RAISE)), max_size=6))
def test_any_chain_is_printed_as_the_standard_library_prints_it(kinds: list[str]) -> None:
    """Causes, contexts, notes, hints, groups and circles come out in the usual words."""
    try:
        _raise_chain(kinds)
    except Exception as error:
        expected = "".join(traceback.format_exception(error)).removesuffix("\n")
        failure = from_exc_info(error, 1 << 20)

    assert failure is not None
    assert expected == failure.stacktrace


def test_a_limit_of_tracebacks_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sys.tracebacklimit` is obeyed as by the standard library."""
    monkeypatch.setattr(sys, "tracebacklimit", 1, raising=False)
    try:
        _raise_chain(["_from"])
    except Exception as error:
        expected = "".join(traceback.format_exception(error)).removesuffix("\n")
        failure = from_exc_info(error, 1 << 20)

    assert failure is not None
    assert expected == failure.stacktrace
