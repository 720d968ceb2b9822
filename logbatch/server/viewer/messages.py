"""What the page asks, over its socket and in URLs, checked while it is decoded."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from logbatch.dataset.filter.language import Filter
from logbatch.epoch import FIRST, LAST, to_text
from logbatch.errors import FilterError

MOST_ROWS = 10_000
"""Rows in one message at the most."""

ALWAYS = ("producer", "sequence", "timestamp", "level", "levelno")
"""Columns that rows always have."""

_Moment = Annotated[int, Meta(ge=FIRST, le=LAST)]
_Range = Annotated[str, Meta(pattern=r"^(-?[0-9]{1,18})?,(-?[0-9]{1,18})?$")]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]

Range = tuple[int | None, int | None]


class Look(msgspec.Struct, tag="view"):
    """The client wants to see something; what it saw before is of no use any more.

    Attributes:
        generation: Its number, greater than any before.
        where: The filter.
        start: The first microsecond since 1970 that is shown; None for the beginning.
        end: The first that is not; None for no end.
        columns: Columns of rows, or paths of attributes.
        count: Rows of the first page.
        bins: How many bars the histogram should have.
        follow: Whether what is logged from now on is to be shown.
    """

    generation: Annotated[int, Meta(ge=0, le=1 << 53)]
    where: Annotated[str, Meta(max_length=20_000)] = ""
    start: _Moment | None = None
    end: _Moment | None = None
    columns: Annotated[tuple[_Name, ...], Meta(max_length=100)] = ("logger", "message")
    count: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 200
    bins: Annotated[int, Meta(ge=1, le=2_000)] = 120
    follow: bool = False

    def parse(self) -> Filter:
        """Return the filter.

        Raises:
            FilterError: The text has a mistake.
        """
        return Filter.parse(self.where)


class Page(msgspec.Struct, tag="page"):
    """The client wants other rows of what it sees.

    Attributes:
        generation: Of which view.
        offset: How many newer rows there are.
        count: How many rows are wanted.
    """

    generation: int
    offset: Annotated[int, Meta(ge=0, le=1 << 53)]
    count: Annotated[int, Meta(ge=1, le=MOST_ROWS)]


class Mistake(msgspec.Struct, tag="error"):
    """What is told to the client where something cannot be done.

    Attributes:
        where: `filter`, `view` or `server`.
        message: In one sentence.
        generation: Of which view; None for no certain one.
        position: Where in the filter the mistake begins.
    """

    where: Literal["filter", "view", "server"]
    message: str
    generation: int | None = None
    position: int | None = None


class Search(msgspec.Struct):
    """What most requests have in their URL.

    Attributes:
        where: The filter.
        start: The first microsecond since 1970; None for the beginning.
        end: The first that is not wanted; None for no end.
    """

    where: Annotated[str, Meta(max_length=20_000)] = ""
    start: _Moment | None = None
    end: _Moment | None = None

    def parse(self) -> Filter:
        """Return the filter.

        Raises:
            FilterError: The text has a mistake.
        """
        return Filter.parse(self.where)

    def narrow(self) -> Filter:
        """Return the filter with the range of time in it.

        Raises:
            FilterError: The text has a mistake.
        """
        return narrow(self.parse(), self.start, self.end)


class Export(Search):
    """A file is wanted.

    Attributes:
        form: Which (`format` in the URL).
    """

    form: Literal["csv", "jsonl", "parquet"] = msgspec.field(default="csv", name="format")


class Errors(Search):
    """The kinds of errors are wanted.

    Attributes:
        since: From when on an error counts as new, in microseconds since 1970.
        limit: How many kinds.
        bins: In how many parts the range is divided.
    """

    since: _Moment | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    bins: Annotated[int, Meta(ge=1, le=500)] = 30


class Patterns(Search):
    """The patterns of messages are wanted.

    Attributes:
        before: A range that is compared with another one, as `start,end`; either may be empty.
        after: The other one.
        limit: How many patterns.
    """

    before: _Range | None = None
    after: _Range | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000

    def compared(self) -> tuple[Range, Range] | None:
        """Return the two ranges, where there are both."""
        if self.before is None or self.after is None:
            return None
        return _range(self.before), _range(self.after)


class OneRow(msgspec.Struct):
    """One record is wanted, by who wrote it and its number."""

    producer: Annotated[str, Meta(max_length=100)]
    sequence: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Around(OneRow):
    """What is around a record is wanted: so many before it, and after it."""

    before: Annotated[int, Meta(ge=0, le=1_000)] = 20
    after: Annotated[int, Meta(ge=0, le=1_000)] = 20


class Typing(msgspec.Struct):
    """Help is wanted with a filter, at a place in it."""

    text: Annotated[str, Meta(max_length=20_000)] = ""
    at: int = 0


class Some(msgspec.Struct):
    """The newest few of something are wanted."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class Question(msgspec.Struct):
    """SQL is to be answered."""

    query: Annotated[str, Meta(max_length=50_000)]


decode = msgspec.json.Decoder(Look | Page).decode
"""Decode what came over the socket; raises `msgspec.MsgspecError`."""


def narrow(where: Filter, start: int | None, end: int | None) -> Filter:
    """Add a range of time to a filter."""
    since = None if start is None else to_text(start)
    until = None if end is None else to_text(end)
    return where & Filter.build(since=since, until=until)


def as_mistake(error: FilterError, generation: int | None = None) -> Mistake:
    """Tell where a filter is wrong."""
    return Mistake("filter", error.reason, generation, error.position)


def _range(text: str) -> Range:
    start, _, end = text.partition(",")
    return (int(start) if start else None), (int(end) if end else None)
