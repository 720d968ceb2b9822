"""The frames of a traceback as text, each made once by the standard library and then remembered.

What a frame prints as hangs on its code and on the instruction that it had come to, and on the
source file, which the standard library looks at again for every exception.  Here a frame that was
printed before looks as it did then.
"""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType
from typing import NamedTuple

_MOST = 4096  # frames that are remembered
_REPEATED = 3  # lines of one place that are printed before they are only counted, as in traceback


class _Printed(NamedTuple):
    """A frame that was printed: its file, line and function tell whether it is printed again."""

    code: CodeType  # kept, so that no other gets its id
    place: tuple[str, int | None, str]
    text: str


_remembered: dict[tuple[int, int], _Printed] = {}


def print_frames(trace: TracebackType | None) -> str:
    """Return the frames of a traceback as `traceback.format_tb` prints them, in one text."""
    texts: list[str] = []
    last, count = None, 0
    while trace is not None:
        code = trace.tb_frame.f_code
        printed = _remembered.get((id(code), trace.tb_lasti)) or _print(code, trace)
        if printed.place != last:
            if count > _REPEATED:
                texts.append(_tell_repeated(count))
            last, count = printed.place, 0
        count += 1
        if count <= _REPEATED:
            texts.append(printed.text)
        trace = trace.tb_next
    if count > _REPEATED:
        texts.append(_tell_repeated(count))
    return "".join(texts)


def _print(code: CodeType, trace: TracebackType) -> _Printed:
    summary = traceback.extract_tb(trace, limit=1)
    place = (summary[0].filename, summary[0].lineno, summary[0].name)
    printed = _Printed(code, place, "".join(summary.format()))
    if len(_remembered) >= _MOST:
        _remembered.clear()
    _remembered[id(code), trace.tb_lasti] = printed
    return printed


def _tell_repeated(count: int) -> str:
    more = count - _REPEATED
    return f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]\n"
