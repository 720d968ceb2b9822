"""The filter that finds the errors of a group.

A fingerprint is no field of a record, and what it looks at is only in part what a filter can ask
for.  So the filter finds all of the group, unless their stack traces were cut, and perhaps a few
more: of exceptions those of the same type with the same innermost frame; of what other languages
print, with the same first line.
"""

from __future__ import annotations

import re

from logbatch.dataset.analysis.fingerprints import Fingerprint, remains
from logbatch.dataset.analysis.kinds import HAS_PLACES, REST, Newest
from logbatch.dataset.filter.language import Filter
from logbatch.errors import FilterError

_LONGEST = 300  # characters of a text that are looked for


def filter_for(found: Fingerprint, newest: Newest) -> Filter:
    """Return the filter.

    Args:
        found: The group's fingerprint.
        newest: What the newest of it says.
    """
    kind = Filter.equals("exception_type", newest.type)
    if newest.type is None:
        kind &= Filter.parse("levelno>=40")
    if found.frames:
        return kind & _matching("stacktrace", _pattern_of_frame(found))
    if newest.trace is not None:
        lines = remains(newest.trace)
        if not lines:
            return kind & Filter.equals("stacktrace", newest.trace)
        return kind & _matching("stacktrace", f"(?-i){_pattern_of(lines[0])}")
    return kind & Filter.equals("logger", newest.logger) & _filter_for_text(newest.text)


def _matching(field: str, pattern: str) -> Filter:
    """Return the filter for what a regular expression matches; for anything if it is too large."""
    try:
        return Filter.matching(field, pattern)
    except FilterError:
        return Filter()


def _pattern_of_frame(found: Fingerprint) -> str:
    """Return the expression for the innermost frame, wherever the file is deployed."""
    _, function = found.frames[-1]
    name = (found.culprit or "").removesuffix(f" in {function}")
    file = r"[\\/]".join(map(re.escape, name.split("/")))
    place = rf",? in {re.escape(function)}" if function else ""
    return rf'(?-i)[\\/"]{file}", line [0-9]+{place}(?:\r?\n|$)'


def _filter_for_text(text: str) -> Filter:
    if REST in text and not re.search(HAS_PLACES, text, re.ASCII):
        end = "$" if len(text) <= _LONGEST else ""
        return _matching("message", f"(?s-i)^{_pattern_of(text)}{end}")
    template, message = (Filter.equals(name, text) for name in ("template", "message"))
    return Filter.parse(f"({template} or ({Filter.equals('template', None)} {message}))")


def _pattern_of(text: str) -> str:
    """Return the expression for the beginning of a text that has lost what varies."""
    return ".*".join(map(re.escape, text[:_LONGEST].split(REST)))
