"""The filter language: the `where` of `Dataset`, of the commands and of the viewer.

    level>=WARNING logger=app.web since=2h user_id=42 status!=200 path~items timeout -debug

Terms are separated by spaces, and all must hold.  A term is a name, one of `=` `!=` `<` `<=` `>`
`>=` `~` (contains), and a value; or a bare word, which is text in the message.  `-` before a term
negates it.  `"…"`, `'…'` and `\\` quote spaces and signs.  A name that is a column means the
column, any other an attribute; `attributes.level` is always the attribute.  `since=` and `until=`
accept a duration before now (`90s`, `15m`, `2h`, `3d`, `1w`) or a date or time, in UTC unless it
has an offset; `since` is included, `until` is not.  `logbatch.dataset.filter.terms` says what a
comparison means.

The meaning is the same for a record as a dict (`matches`) and for an Arrow table (`mask`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from logbatch.dataset.filter.terms import NAME, OPERATORS, Mistake, Part, Term, make_term
from logbatch.errors import FilterError
from logbatch.storage.columns import TIME

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

_SIGNS = re.compile(r"[=<>~][=<>~!]*|!(?=[=<>~])[=<>~!]*")
_QUOTES = "\"'"


class Filter:
    """A parsed filter: terms that must all hold.

    Args:
        terms: The terms; without any, every record matches.
    """

    def __init__(self, *terms: Term) -> None:
        self.terms = terms

    @classmethod
    def parse(cls, text: str, now: datetime | None = None) -> Filter:
        """Parse a filter text.

        Args:
            text: The terms; an empty text matches every record.
            now: What durations are counted back from; None means the current time.

        Raises:
            FilterError: The text has a mistake; the error points at it.
        """
        return cls(*_Parser(text, now or datetime.now(UTC)).terms())

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
        """
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
        return cls(*parsed.terms, *terms)

    def __and__(self, other: Filter) -> Filter:
        return Filter(*self.terms, *other.terms)

    def __bool__(self) -> bool:
        """Return whether there are any terms."""
        return bool(self.terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)

    def __str__(self) -> str:
        """Return the filter as a text that `parse` reads; times are absolute."""
        return " ".join(map(str, self.terms))

    def __repr__(self) -> str:
        return f"<Filter {self}>"

    @functools.cached_property
    def columns(self) -> frozenset[str]:
        """The columns that `mask` reads."""
        return frozenset(term.column for term in self.terms)

    @functools.cached_property
    def period(self) -> tuple[int | None, int | None]:
        """The first and last microsecond since 1970 that can match; None if unlimited."""
        first: list[int] = []
        last: list[int] = []
        for term in self.terms:
            if term.kind == TIME and not term.negated:
                if term.operator in (">", ">=", "="):
                    first.append(term.operand + (term.operator == ">"))
                if term.operator in ("<", "<=", "="):
                    last.append(term.operand - (term.operator == "<"))
        return max(first, default=None), min(last, default=None)

    @functools.cached_property
    def _checks(self) -> tuple[tuple[Any, Any, bool], ...]:
        return tuple((term.read, term.test(), term.negated) for term in self.terms)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a record matches the filter.

        Args:
            row: Column -> value, as from `Dataset.rows`, or as decoded from a line of the journal
                or of a JSONL file, with `producer` and `sequence`.  What is absent is null.
        """
        return all(test(read(row)) is not negated for read, test, negated in self._checks)

    def mask(self, table: pa.Table) -> pa.BooleanArray:
        """Return for each row of a table whether it matches; `columns` must be in it."""
        from logbatch.dataset.filter.masks import mask

        return mask(self.terms, table)

    def apply(self, table: pa.Table) -> pa.Table:
        """Return the rows of a table that match the filter."""
        return table.filter(self.mask(table)) if self.terms else table

    def expression(self) -> ds.Expression | None:
        """Return an expression by which a scan of Parquet files can skip row groups.

        It keeps at least the rows that match; `mask` decides.  None if nothing can be skipped.
        """
        from logbatch.dataset.filter.masks import expression

        found: ds.Expression | None = expression(self.terms)
        return found


class _Word(NamedTuple):
    """A piece of a filter text: where it begins and ends, and its meaning."""

    start: int
    stop: int
    text: str
    quoted: bool


class _Parser:
    """Parses a filter text from left to right."""

    def __init__(self, text: str, now: datetime) -> None:
        self.text = text
        self.now = now
        self.at = 0

    def terms(self) -> Iterator[Term]:
        while self._skip_spaces():
            yield self._term()

    def _error(self, reason: str, position: int) -> FilterError:
        return FilterError(reason, self.text, position)

    def _skip_spaces(self) -> bool:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at < len(self.text)

    def _at_end(self) -> bool:
        return self.at == len(self.text) or self.text[self.at].isspace()

    def _term(self) -> Term:
        start = self.at
        negated = self.text[start] == "-"
        self.at += negated
        if negated and (self._at_end() or self.text[self.at] == "-"):
            raise self._error("- must come right before a term, once", start)
        word = self._word(stop_at_sign=True)
        if self._at_end():
            return self._make(word, "~", word, negated, name="message")
        operator = self._operator(word)
        value = self._value(word, operator)
        return self._make(word, operator.text, value, negated, operator)

    def _word(self, *, stop_at_sign: bool) -> _Word:
        start = self.at
        if self.at < len(self.text) and self.text[self.at] in _QUOTES:
            return self._quoted(start)
        piece = []
        while not self._at_end() and not (stop_at_sign and _SIGNS.match(self.text, self.at)):
            piece.append(self._character())
        escaped = "\\" in self.text[start : self.at]
        return _Word(start, self.at, "".join(piece), quoted=escaped)

    def _quoted(self, start: int) -> _Word:
        quote = self.text[start]
        self.at += 1
        piece = []
        while self.at < len(self.text) and self.text[self.at] != quote:
            piece.append(self._character())
        if self.at == len(self.text):
            raise self._error(f"this {quote} is not closed", start)
        self.at += 1
        return _Word(start, self.at, "".join(piece), quoted=True)

    def _character(self) -> str:
        if self.text[self.at] == "\\":
            self.at += 1
            if self.at == len(self.text):
                raise self._error("nothing follows this \\", self.at - 1)
        self.at += 1
        return self.text[self.at - 1]

    def _operator(self, name: _Word) -> _Word:
        signs = _SIGNS.match(self.text, self.at)
        if signs is None:
            raise self._error("a space is missing after the closing quote", self.at)
        if not name.text:
            raise self._error(f"the name before {signs[0]} is missing", name.start)
        if not name.quoted and not NAME.fullmatch(name.text):
            reason = f"{name.text!r} is not a name; quote a text that contains {signs[0]}"
            raise self._error(reason, name.start)
        if signs[0] not in OPERATORS:
            known = " ".join(OPERATORS)
            raise self._error(f"{signs[0]} is not an operator; the operators are {known}", self.at)
        self.at = signs.end()
        return _Word(signs.start(), signs.end(), signs[0], quoted=False)

    def _value(self, name: _Word, operator: _Word) -> _Word:
        if self._at_end():
            reason = f'the value after {name.text}{operator.text} is missing ("" is an empty one)'
            raise self._error(reason, self.at)
        value = self._word(stop_at_sign=False)
        if not self._at_end():
            raise self._error("a space is missing after the closing quote", self.at)
        return value

    def _make(
        self,
        word: _Word,
        operator: str,
        value: _Word,
        negated: bool,
        sign: _Word | None = None,
        name: str | None = None,
    ) -> Term:
        try:
            return make_term(name or word.text, operator, value.text, now=self.now, negated=negated)
        except Mistake as mistake:
            places: dict[Part, _Word] = {"name": word, "operator": sign or word, "value": value}
            raise self._error(str(mistake), places[mistake.part].start) from None


def _given(name: str, operator: str, value: str | None, now: datetime) -> Term:
    try:
        return make_term(name, operator, value or "", now=now)
    except Mistake as mistake:
        raise FilterError(str(mistake), value or "", 0) from None
