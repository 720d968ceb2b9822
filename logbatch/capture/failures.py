"""What a program does not catch, and what Python warns of, becomes an event; it is printed as ever.

Nothing is stored twice: where the program's own hook logs what it is given, that record is enough,
and asyncio logs by itself what nobody awaits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, TracebackType
from typing import Any

from logbatch.capture.logs import Records, RunHandler

LOGGER = "run"
"""The logger of events that no logger of the program has logged."""

_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
_NO_FRAME = ("sys", 1) if sys.version_info < (3, 13) else ("<sys>", 0)
_WARNINGS = "py.warnings"  # the logger of `logging.captureWarnings`


class Failures:
    """Turns failures into events.

    Args:
        handler: Where they are stored.
        records: Knows what is logged.
    """

    def __init__(self, handler: RunHandler, records: Records) -> None:
        self._handler = handler
        self._records = records

    def install(self) -> None:
        """Replace the hooks of threads, of what cannot be raised, and of warnings."""
        self._watch_threads()
        self._watch_unraisable()
        self._watch_warnings()

    def end_of_program(self, error: BaseException, print_it: Callable[[], object]) -> None:
        """Print what ends the program, and store it unless its own hook logs it."""
        self._store_unless_logged(logging.CRITICAL, error, print_it, "the program ended by")

    def _watch_threads(self) -> None:
        # Not threading.excepthook: programs replace it, and some compare it with the original.
        make: Any = threading._make_invoke_excepthook  # type: ignore[attr-defined]

        def make_invoke_excepthook() -> Callable[[threading.Thread], None]:
            invoke = make()

            def invoke_excepthook(thread: threading.Thread) -> None:
                error = sys.exc_info()[1]
                if error is None or isinstance(error, SystemExit):
                    invoke(thread)
                    return
                text = f"thread {thread.name} ended by"
                self._store_unless_logged(logging.ERROR, error, lambda: invoke(thread), text)

            return invoke_excepthook

        threading._make_invoke_excepthook = make_invoke_excepthook  # type: ignore[attr-defined]

    def _watch_unraisable(self) -> None:
        hook = sys.unraisablehook

        def unraisablehook(unraisable: sys.UnraisableHookArgs, /) -> None:
            error = unraisable.exc_value
            if error is None:
                hook(unraisable)
                return
            where = _name_of(unraisable.object)
            text = f"{unraisable.err_msg or 'Exception ignored in'} {where}:"
            self._store_unless_logged(logging.ERROR, error, lambda: hook(unraisable), text)

        sys.unraisablehook = unraisablehook

    def _watch_warnings(self) -> None:
        # The function that prints: not called where a warning is recorded, or logged.
        show: Any = warnings._showwarnmsg_impl  # type: ignore[attr-defined]

        def showwarnmsg(message: warnings.WarningMessage) -> None:
            if _is_of_our_thread(message):
                _forget(message)
                return
            if message.filename.startswith(_PACKAGE):  # a `stacklevel` beyond the program's start
                message.filename, message.lineno = _NO_FRAME
            try:
                show(message)
            finally:
                text = f"{message.category.__name__}: {message.message}"
                self._store(_WARNINGS, logging.WARNING, text, message.filename, message.lineno)

        warnings._showwarnmsg_impl = showwarnmsg  # type: ignore[attr-defined]

    def _store_unless_logged(
        self, level: int, error: BaseException, print_it: Callable[[], object], text: str
    ) -> None:
        watched = self._records.watched
        watched.add(id(error))
        try:
            print_it()
        finally:
            if id(error) in watched:
                watched.discard(id(error))
                self._store_error(level, error, text)

    def _store_error(self, level: int, error: BaseException, text: str) -> None:
        path, line = _place_of(error.__traceback__)
        message = f"{text} {_describe(error)}"
        self._store(LOGGER, level, message, path, line, error)

    def _store(
        self,
        logger: str,
        level: int,
        text: str,
        path: str,
        line: int,
        error: BaseException | None = None,
    ) -> None:
        if level < self._handler.level:
            return
        # At the end of the interpreter modules may be half gone; then there is nobody to tell.
        with contextlib.suppress(Exception):
            info = (type(error), error, error.__traceback__) if error is not None else None
            record = logging.LogRecord(logger, level, path, line, text, None, info)
            self._handler.handle(record)


def _is_of_our_thread(message: warnings.WarningMessage) -> bool:
    """Return whether it warns of a fork (CPython 3.12 and newer) beside no thread but ours.

    A fork beside that one does no harm: see `logbatch.forks`.
    """
    if message.category is not DeprecationWarning or "use of fork()" not in str(message.message):
        return False
    main, dummy = threading.main_thread(), threading._DummyThread
    return all(each is main or isinstance(each, dummy) for each in threading.enumerate())


def _forget(message: warnings.WarningMessage) -> None:
    """Have the next warning at this place shown: it may be of a thread of the program's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != message.filename:
        frame = frame.f_back
    if frame is not None:
        shown = frame.f_globals.get("__warningregistry__", {})
        shown.pop((str(message.message), message.category, message.lineno), None)


def _place_of(trace: TracebackType | None) -> tuple[str, int]:
    """Return the file and line where something was raised."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "", 0
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return name
    return f"{name}: {text}" if text else name


def _name_of(value: object) -> str:
    """Name what failed where nobody could catch it, without calling anything of its own."""
    if isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType):
        return value.__qualname__
    return f"a {type(value).__qualname__}"
