"""The filter language: the `where` of `Dataset`, of the commands and of the viewer.

    level>=WARNING since=2h (status>=500 or path~/^.api/) user_id=42,43 timeout -debug

A term is a name, one of `=` `!=` `<` `<=` `>` `>=` `~` (contains), and a value; or a bare word,
which is text in the message.  `=` and `!=` take several values, with commas between them; `=*` asks
whether there is any value; `~/…/` is a regular expression.  Terms with spaces or `and` between them
must all hold; of those with `or` between them one must, and that joins less tightly; parentheses
group.  `-` before a term or a parenthesis, or `not`, negates it.  `"…"`, `'…'` and `\\` quote
spaces, signs, commas, parentheses, and words such as `or`.

The three words may be in capitals.  As `not found` may well be meant as text, only `NOT` negates a
bare word, and `not` before one is an error.

A name that is a column means the column, any other an attribute; `attributes.level` is always the
attribute.  `since=` and `until=` accept a duration before now (`90s`, `15m`, `2h`, `3d`, `1w`) or
a date or time, in UTC unless it has an offset; `since` is included, `until` is not.
`logbatch.dataset.filter.comparisons` says what a comparison means.

The meaning is the same for a record as a dict (`matches`) and for an Arrow table (`mask`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from logbatch.dataset.filter.comparisons import HAS, MATCHES, as_text
from logbatch.dataset.filter.parser import parse
from logbatch.dataset.filter.terms import Mistake, make_term
from logbatch.dataset.filter.tree import (
    EVERYTHING,
    Check,
    Node,
    Period,
    Term,
    all_of,
    make_check,
    negate,
    period_of,
    terms_of,
)
from logbatch.epoch import to_microseconds, to_text
from logbatch.errors import FilterError
from logbatch.levels import number_of

if TYPE_CHECKING:
    import pyarrow as pa


class Filter:
    """A parsed filter.

    Args:
        root: What must hold, as a tree; without it every record matches.
    """

    def __init__(self, root: Node = EVERYTHING) -> None:
        self.root = root

    @classmethod
    def parse(cls, text: str, now: datetime | None = None) -> Filter:
        """Parse a filter text.

        Args:
            text: What must hold; an empty text matches every record.
            now: What durations are counted back from; None means the current time.

        Raises:
            FilterError: The text has a mistake; the error points at it.
        """
        return cls(parse(text, now or datetime.now(UTC)))

    @classmethod
    def build(
        cls,
        where: Filter | str | None = None,
        *,
        level: str | None = None,
        logger: str | None = None,
        since: str | None = None,
        until: str | None = None,
        grep: str | None = None,
    ) -> Filter:
        """Combine a filter with single conditions, such as the options of a command.

        Args:
            where: A filter or its text.
            level: The lowest level, by name or number.
            logger: A logger; those below it match too.
            since: A duration before the current time, or the first time.
            until: A duration before the current time, or the time after the last.
            grep: Text in the message, in any case.

        Raises:
            FilterError: A condition has a mistake; its `text` is the value that was given.
            TypeError: `where` is something else.
        """
        if not isinstance(where, Filter | str | None):
            raise TypeError(f"where must be a filter or its text, not {type(where).__name__}")
        now = datetime.now(UTC)
        given = (
            ("level", ">=", level),
            ("logger", "=", logger),
            ("since", "=", since),
            ("until", "=", until),
            ("message", "~", grep),
        )
        terms = [_given(*term, now) for term in given if term[2] is not None]
        parsed = where if isinstance(where, Filter) else cls.parse(where or "", now)
        return cls(all_of([parsed.root, *terms]))

    @classmethod
    def equals(cls, name: str, value: object) -> Filter:
        """Return the filter for the records that have exactly this value in a field.

        Its text, `str(…)`, can be put beside others: that is how to write a value of which nothing
        is known.  A logger also means those below it, and a number the text that it is written as.

        Args:
            name: A column, or an attribute.
            value: A text, a number, a boolean or a time; None for records without any.

        Raises:
            FilterError: There can be no such value.
        """
        if value is None:
            return cls(negate(_given(name, HAS, None, datetime.now(UTC))))
        text = value if isinstance(value, str) else _written(value)
        if name == "level" and number_of(text) is None:  # one that only its program knows
            return cls.matching(name, f"(?-i)^{re.escape(text)}$")
        found = cls(_given(name, "=", text, datetime.now(UTC)))
        if text == "null":  # which also stands for there being none
            return found & cls(_given(name, HAS, None, datetime.now(UTC)))
        return found

    @classmethod
    def matching(cls, name: str, pattern: str) -> Filter:
        """Return the filter for the records in a field of which a regular expression is found.

        Args:
            name: A column, or an attribute.
            pattern: The expression, as it stands between slashes in a filter.

        Raises:
            FilterError: It is none, or too large.
        """
        return cls(_given(name, MATCHES, pattern, datetime.now(UTC)))

    def __and__(self, other: Filter) -> Filter:
        return Filter(all_of([self.root, other.root]))

    def __bool__(self) -> bool:
        """Return whether there are any terms."""
        return self.root != EVERYTHING

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __str__(self) -> str:
        """Return the filter as a text that `parse` reads; times are absolute."""
        return str(self.root)

    def __repr__(self) -> str:
        return f"<Filter {self}>"

    @functools.cached_property
    def columns(self) -> frozenset[str]:
        """The columns that `mask` reads."""
        return frozenset(term.column for term in terms_of(self.root))

    @functools.cached_property
    def paths(self) -> frozenset[str]:
        """The attributes that it looks at."""
        return frozenset(term.path for term in terms_of(self.root) if term.path is not None)

    @functools.cached_property
    def period(self) -> Period:
        """The first and last microsecond since 1970 that can match; None if unlimited."""
        return period_of(self.root)

    @functools.cached_property
    def _check(self) -> Check:
        return make_check(self.root)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a record matches the filter.

        Args:
            row: Column -> value, as from `Dataset.rows`, or as decoded from a line of the journal
                or of a JSONL file, with `producer` and `sequence`.  What is absent is null.
        """
        return self._check(row)

    def mask(self, table: pa.Table) -> pa.BooleanArray:
        """Return for each row of a table whether it matches; `columns` must be in it."""
        from logbatch.dataset.filter.masks import mask

        return mask(self.root, table)

    def apply(self, table: pa.Table) -> pa.Table:
        """Return the rows of a table that match the filter."""
        return table.filter(self.mask(table)) if self else table


def _written(value: object) -> str:
    """Return a value that is no text as a filter has it."""
    if isinstance(value, datetime):
        return to_text(to_microseconds(value))
    return as_text(value)


def _given(name: str, operator: str, value: str | None, now: datetime) -> Term:
    values = () if operator == HAS else (value or "",)
    try:
        return make_term(name, operator, *values, now=now)
    except Mistake as mistake:
        raise FilterError(str(mistake), value or "", 0) from None
