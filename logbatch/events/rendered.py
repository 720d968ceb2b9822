"""Exceptions that somebody has rendered already, as text or as structlog's dicts."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from logbatch.events.encoder import text_of
from logbatch.events.stacktrace import (
    CAUSE,
    CONTEXT,
    HEADER,
    MAX_CHAIN,
    MAX_FRAMES,
    MAX_WIDTH,
    TEXT_BYTES,
    Failure,
    from_exc_info,
    message_of,
    squeeze,
)

_START = re.compile(
    r"^(?P<group>  \+ Exception Group )?Traceback \(most recent call last\):$", re.M
)
_STACK_START = re.compile(r"^Stack \(most recent call last\):$", re.M)
_FINAL = re.compile(r"(?P<type>[^\W\d][\w.<>]*)(?:: (?P<message>.*))?", re.S)
_NEVER_RAISED = re.compile(r"[^\W\d][\w.]*(?:Error|Exception|Exit|Group|Interrupt|Warning)(?:: |$)")


def is_printed(text: str) -> bool:
    """Return whether a text is a printed exception; one never raised has no traceback."""
    return HEADER in text or _NEVER_RAISED.match(text) is not None


def from_text(text: str, limit: int) -> Failure:
    """Describe an exception that was printed in the standard library's form."""
    final = _FINAL.fullmatch(_final_lines(text))
    stacktrace = squeeze(text, limit)
    if final is None:
        return Failure(None, None, stacktrace)
    failure = Failure(final["type"], final["message"] or "", stacktrace)
    live = _find_live(failure, limit)
    return failure if live is None else live._replace(stacktrace=stacktrace)


def _final_lines(text: str) -> str:
    """Return the lines after the frames of the last traceback: the exception's own."""
    starts = list(_START.finditer(text))
    if not starts:
        return text if _NEVER_RAISED.match(text) else ""
    prefix = "  | " if starts[-1]["group"] else ""
    lines = text[starts[-1].end() :].strip("\n").split("\n")
    own = [line.removeprefix(prefix) for line in lines]
    begin = next((at for at, line in enumerate(own) if not line.startswith(" ")), len(own))
    end = next((at for at, line in enumerate(own) if line.startswith("  +-")), len(own))
    return "\n".join(own[begin:end]).rstrip("\n")


def split_message(text: str) -> tuple[str, Failure | None, str | None]:
    """Split what `logging.Formatter.format` has joined into message, exception, stack info."""
    text, stack = _split_before(text, _STACK_START)
    text, trace = _split_before(text, _START)
    return text, from_text(trace, len(trace) * 6) if trace else None, stack


def _split_before(text: str, pattern: re.Pattern[str]) -> tuple[str, str | None]:
    found = pattern.search(text)
    if found is None or found.start() == 0:
        return text, None
    return text[: found.start()].removesuffix("\n"), text[found.start() :]


def from_dicts(stacks: Sequence[Any], limit: int) -> Failure:
    """Describe an exception as structlog's `dict_tracebacks` renders it."""
    shown = [stack for stack in stacks[:MAX_CHAIN] if isinstance(stack, Mapping)]
    if not shown:
        return Failure(None, None, None)
    parts: list[str] = []
    for stack in reversed(shown):
        parts += _lines_of(stack)
        if stack is not shown[0]:
            parts.append(CAUSE if stack.get("is_cause") else CONTEXT)
    kind = text_of(shown[0].get("exc_type"), TEXT_BYTES)
    message = text_of(shown[0].get("exc_value"), TEXT_BYTES)
    failure = Failure(kind, message, squeeze("\n".join(parts), limit))
    return _find_live(failure, limit) or failure


def _lines_of(stack: Mapping[str, Any]) -> Iterator[str]:
    frames = stack.get("frames")
    if isinstance(frames, Sequence) and frames:
        yield HEADER
        for frame in frames[-MAX_FRAMES:]:
            if isinstance(frame, Mapping):
                place, line, name = (text_of(frame.get(key), 4096) for key in _FRAME_KEYS)
                yield f'  File "{place}", line {line}, in {name}'
    kind, message = (text_of(stack.get(key), TEXT_BYTES) for key in ("exc_type", "exc_value"))
    yield f"{kind}: {message}" if message else kind
    notes = stack.get("exc_notes")
    if isinstance(notes, Sequence):
        yield from (text_of(note, TEXT_BYTES) for note in notes[:MAX_WIDTH])


_FRAME_KEYS = ("filename", "lineno", "name")


def _find_live(failure: Failure, limit: int) -> Failure | None:
    """Describe the exception that is being handled, if it is the rendered one.

    Unlike the rendered text, it has its module and can be printed in full.
    """
    error = sys.exception()
    if error is None or type(error).__name__ != (failure.type or "").rpartition(".")[2]:
        return None
    is_same = (failure.message or "").startswith(message_of(error))  # notes may follow it
    return from_exc_info(error, limit) if is_same else None
