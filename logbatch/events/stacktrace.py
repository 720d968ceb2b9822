"""Exceptions as text: what the standard library prints, bounded where that is too much.

An exception of the usual size is printed by `traceback` itself, with its chain, groups, notes and
hints.  If a traceback has more than `MAX_FRAMES` frames, or there are more than `_MAX_EXCEPTIONS`
exceptions, the form is the same, but only the first and last of each list are printed, and the text
says how many are left out.  The result is at most `limit` bytes long.  Nothing is raised, and no
exception, traceback or frame is referenced afterwards.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from itertools import islice
from textwrap import indent
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import msgspec

from logbatch.events.encoder import is_small, text_of
from logbatch.events.frames import print_frames
from logbatch.events.values import fit_text, name_of

MAX_FRAMES = 100  # of one traceback; beyond it the first 10 and the last 50 are shown
_FIRST_FRAMES = 10
_NO_TEXT = "<exception str() failed>"  # the standard library's words
_LAST_FRAMES = 50
_ALL_FRAMES = 250  # of all tracebacks together
MAX_CHAIN = 16
_MAX_EXCEPTIONS = 32
MAX_WIDTH = 15  # of a group, as in the standard library
_FAR = 10_000  # most links of a chain that are followed
TEXT_BYTES = 65_536  # of one exception's own message

_GROUP = BaseExceptionGroup
_TOLD_IN_FULL = (SyntaxError, NameError, AttributeError, ImportError)  # hints, or a line of source
_BARE = ("__main__", "builtins")  # modules whose names are left out
STACK_HEADER = "Stack (most recent call last):"
HEADER = "Traceback (most recent call last):"
CAUSE = "\nThe above exception was the direct cause of the following exception:\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n"

_encode = msgspec.json.Encoder().encode


class Failure(NamedTuple):
    """The columns that describe an exception."""

    type: str | None
    message: str | None
    stacktrace: str | None


def from_exc_info(exc_info: object, limit: int) -> Failure | None:
    """Describe what was given as `exc_info`: an exception, a triple, or True for the current one.

    Args:
        exc_info: As for `logging`.
        limit: Most bytes of the stack trace.

    Returns:
        None if there is no exception.
    """
    kind, error, trace = _as_triple(exc_info)
    if error is None:
        return Failure(name_of(kind), None, None) if isinstance(kind, type) else None
    text = ""
    for render in (_render, _render_alone):
        try:
            text = render(error, trace)
            break
        except Exception as problem:  # an exception class can do anything
            text = f"<{name_of(type(problem))} while the stack trace was made>"
    return Failure(name_of(type(error)), message_of(error), squeeze(text, limit))


def _as_triple(exc_info: Any) -> tuple[Any, BaseException | None, TracebackType | None]:
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    if isinstance(exc_info, tuple):
        if len(exc_info) != 3 or not isinstance(exc_info[1], BaseException | None):
            return None, None, None
        trace = exc_info[2]
        return exc_info[0], exc_info[1], trace if isinstance(trace, TracebackType) else None
    try:
        return sys.exc_info() if exc_info else (None, None, None)
    except Exception:  # it is neither true nor false
        return None, None, None


def message_of(error: BaseException) -> str:
    """Return str() of an exception, cut if it is very long, replaced if it fails."""
    try:
        is_group = isinstance(error, BaseExceptionGroup)  # which does not print its members
        if is_group or all(is_small(part, TEXT_BYTES) for part in error.args):
            return fit_text(str(error), TEXT_BYTES)
        return text_of(error.args[0] if len(error.args) == 1 else error.args, TEXT_BYTES)
    except Exception:  # an exception of the application may raise anything
        return _NO_TEXT


def render_stack(frame: FrameType | None) -> str:
    """Return the calls that led to a frame, as `logging` prints `stack_info`."""
    frames: list[tuple[FrameType, int]] = []
    while frame is not None and len(frames) < _LAST_FRAMES:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    left_out = "  [the first frames are left out]\n" if frame is not None else ""
    lines = traceback.StackSummary.extract(reversed(frames)).format()
    return f"{STACK_HEADER}\n{left_out}{''.join(lines)}".rstrip("\n")


def squeeze(text: str, limit: int) -> str:
    """Cut the middle out of a text: a stack trace says most at its end."""
    text = text.removesuffix("\n")
    if len(text) <= limit // 2:
        return fit_text(text, limit)
    fitted = fit_text(text, limit)
    if fitted == text:
        return text
    half = max(limit // 2 - 64, 0)
    text = text.encode("utf-8", "backslashreplace").decode()  # half surrogates
    head, tail = _fit_start(text[:half], half), _fit_start(text[::-1][:half], half)[::-1]
    middle = f"\n…[cut: {len(text)} characters in all]…\n"
    return fit_text(f"{head}{middle}{tail}", limit)


def _fit_start(text: str, room: int) -> str:
    """Return as much of the beginning of a text as fits, as JSON, into so many bytes."""
    while text and (used := len(_encode(text))) > room:  # escapes make some characters longer
        text = text[: min(len(text) - 1, len(text) * room // used)]
    return text


# ------------------------------------------------------------------ a live exception


def _render(error: BaseException, trace: TracebackType | None) -> str:
    if not _is_usual(error, trace):
        return "".join(_Bounded().chain(error, trace))
    links = _printed_links(error, trace)
    if hasattr(sys, "tracebacklimit") or any(isinstance(link[0], _GROUP) for link in links):
        printer = traceback.TracebackException(type(error), error, trace, compact=True)
        return "".join(printer.format())
    return "".join(_print_one(*link) for link in reversed(links))


def _printed_links(
    error: BaseException, trace: TracebackType | None
) -> list[tuple[BaseException, TracebackType | None, str]]:
    """Follow the chain from an exception as far as the standard library prints it."""
    links = [(error, trace, "")]
    if error.__cause__ is None and error.__context__ is None:
        return links
    seen = {id(error)}
    while True:
        found, relation = error.__cause__, CAUSE
        if (found is None or id(found) in seen) and not error.__suppress_context__:
            found, relation = error.__context__, CONTEXT
        if found is None or id(found) in seen:
            return links
        seen.add(id(found))
        links.append((found, found.__traceback__, f"{relation}\n"))
        error = found


def _print_one(error: BaseException, trace: TracebackType | None, relation: str) -> str:
    """Print an exception, and how it led to the one that is printed next."""
    kind = type(error)
    frames = f"{HEADER}\n{print_frames(trace)}" if trace is not None else ""
    if isinstance(error, _TOLD_IN_FULL) or getattr(error, "__notes__", None) is not None:
        printer = traceback.TracebackException(kind, error, trace, limit=0, compact=True)
        return f"{frames}{''.join(printer.format_exception_only())}{relation}"
    module: Any = kind.__module__  # a class may say anything
    if not isinstance(module, str):
        module = "<unknown>"
    name = kind.__qualname__ if module in _BARE else f"{module}.{kind.__qualname__}"
    try:
        text = str(error)
    except Exception:  # as above
        text = _NO_TEXT
    return f"{frames}{name}: {text}\n{relation}" if text else f"{frames}{name}\n{relation}"


def _render_alone(error: BaseException, trace: TracebackType | None) -> str:
    """Print an exception without its chain, which could not be read."""
    return "".join(_Bounded().one(error, trace))


def _is_usual(error: BaseException, trace: TracebackType | None) -> bool:
    """Return whether the standard library's own output is small enough."""
    ahead: list[tuple[BaseException, TracebackType | None]] = [(error, trace)]
    seen: set[int] = set()
    frames = 0
    while ahead:
        error, trace = ahead.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        depth = sum(1 for _ in islice(_walk(trace), MAX_FRAMES + 1))
        frames += depth
        if depth > MAX_FRAMES or frames > _ALL_FRAMES or len(seen) > _MAX_EXCEPTIONS:
            return False
        is_group = isinstance(error, BaseExceptionGroup)
        texts = [getattr(error, "__notes__", None), () if is_group else error.args]
        if not is_small(texts, TEXT_BYTES):
            return False
        if isinstance(error, BaseExceptionGroup):
            if len(error.exceptions) > _MAX_EXCEPTIONS:
                return False
            ahead += ((part, part.__traceback__) for part in error.exceptions)
        linked = (error.__cause__, error.__context__)
        ahead += ((link, link.__traceback__) for link in linked if link is not None)
    return True


def _walk(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


class _Bounded:
    """Prints an exception in the standard library's form, within its budgets."""

    def __init__(self) -> None:
        self.frames = _ALL_FRAMES
        self.exceptions = _MAX_EXCEPTIONS

    def chain(self, error: BaseException, trace: TracebackType | None) -> Iterator[str]:
        """Print an exception and what led to it, the oldest first."""
        links, is_all = _links(error, trace)
        # The oldest exceptions show where the failure began, the newest where it surfaced.
        oldest = MAX_CHAIN // 4 if is_all else 0
        newest = MAX_CHAIN - oldest
        for index, (link, its_trace, relation) in enumerate(reversed(links)):
            if oldest <= index < len(links) - newest:
                if index == oldest:
                    some = "" if is_all else "at least "
                    yield f"[{some}{len(links) - MAX_CHAIN} exceptions are left out]\n{CONTEXT}\n"
                continue
            yield from self.one(link, its_trace)
            if relation:
                yield f"{relation}\n"

    def one(self, error: BaseException, trace: TracebackType | None) -> Iterator[str]:
        """Print one exception without its chain."""
        self.exceptions -= 1
        if trace is not None:
            yield f"{HEADER}\n"
            yield from self.stack(trace)
        yield f"{_name_as_printed(type(error))}: {message_of(error)}".removesuffix(": ") + "\n"
        yield from _notes(error)
        if isinstance(error, BaseExceptionGroup):
            yield from self.group(error)

    def stack(self, trace: TracebackType) -> Iterator[str]:
        """Print the first and the last frames of a traceback."""
        traces = list(_walk(trace))
        shown = min(len(traces), max(self.frames, 4))
        first, last = shown, 0
        if shown > MAX_FRAMES or shown < len(traces):
            first = min(_FIRST_FRAMES, shown // 4)
            last = min(_LAST_FRAMES, shown - first)
        self.frames -= first + last
        yield from traceback.extract_tb(trace, limit=first).format()
        if last:
            yield f"  [{len(traces) - first - last} frames are left out]\n"
            yield from traceback.extract_tb(traces[-last]).format()

    def group(self, error: BaseExceptionGroup[BaseException]) -> Iterator[str]:
        """Print the members of a group, indented."""
        for index, part in enumerate(error.exceptions[:MAX_WIDTH]):
            if self.exceptions <= 0:
                break
            yield f"  +---------------- {index + 1} ----------------\n"
            yield indent("".join(self.one(part, part.__traceback__)), "  | ")
        yield f"  +---------------- {len(error.exceptions)} in all ----------------\n"


def _links(
    error: BaseException, trace: TracebackType | None
) -> tuple[list[tuple[BaseException, TracebackType | None, str]], bool]:
    """Follow the chain from an exception to the oldest.

    Returns:
        Each exception with its traceback and how it led to the one before; and whether the oldest
        was reached.
    """
    links = [(error, trace, "")]
    seen = {id(error)}
    while len(links) < _FAR:
        found, relation = error.__cause__, CAUSE
        if found is None and not error.__suppress_context__:
            found, relation = error.__context__, CONTEXT
        if found is None or id(found) in seen:
            return links, True
        links.append((found, found.__traceback__, relation))
        seen.add(id(found))
        error = found
    return links, False


def _name_as_printed(kind: type) -> str:
    return name_of(kind).removeprefix("__main__.")


def _notes(error: BaseException) -> Iterator[str]:
    notes = getattr(error, "__notes__", ())
    if isinstance(notes, Sequence):
        for note in notes[:MAX_WIDTH]:
            yield f"{text_of(note, TEXT_BYTES)}\n"
