"""The statistics of views: computed beside whatever else goes on, and remembered for a while.

What was computed is good for the same filter and range over the same records, so it is kept by
these; another view of them has its statistics at once.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from logbatch.dataset.analysis.facets import Facet
from logbatch.dataset.analysis.summary import Summary, Wanted, summarise
from logbatch.dataset.analysis.timeline import Timeline
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.marks import Mark
from logbatch.epoch import to_microseconds
from logbatch.server.viewer import wire
from logbatch.server.viewer.pinned import Pinned
from logbatch.server.viewer.room import Room

_KEPT = 32  # views whose statistics are remembered
_SECONDS = 60.0  # that they may take
_MICROSECOND = 1_000_000


class Asked(NamedTuple):
    """Of what statistics are wanted.

    Attributes:
        where: Which records.
        start: The first microsecond since 1970; None for the beginning.
        end: The first that is not wanted; None for no end.
        bins: How many bars the histogram should have.
    """

    where: Filter
    start: int | None
    end: int | None
    bins: int


class Statistics(NamedTuple):
    """What is known of a view.

    Attributes:
        told: It, as the page is told.
        total: How many records match.
        start: Microseconds since 1970 at which a bar of the histogram begins.
        width: The width of one.
        fields: Of which the frequent values are told.
        timeline: Where in time the n-th record is.
        marks: What happened to the processes that log; None where that is not known yet.
    """

    told: dict[str, Any]
    total: int
    start: int
    width: int
    fields: tuple[str, ...]
    timeline: Timeline
    marks: Sequence[Mark] | None = None

    def message(self) -> dict[str, Any]:
        """Return what the page is told."""
        return {**self.told, "marks": list(map(describe_mark, self.marks or ()))}


class Known:
    """Remembers statistics, of the views that were asked for last; any thread may use it.

    Args:
        room: Of whose records.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[bytes, Asked], Statistics] = OrderedDict()

    def find(self, pinned: Pinned, asked: Asked) -> Statistics | None:
        """Return what is known; None where nothing is."""
        key = pinned.mark, asked
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def compute(self, pinned: Pinned, asked: Asked) -> Statistics:
        """Find statistics out.

        Raises:
            DatasetError: The directory cannot be read.
            QueryError: It takes too long.
            Stopped: Nobody wants it any more.
        """
        began = time.monotonic()
        wanted = Wanted(bins=asked.bins)
        with self._room.engine.beside() as engine:
            summary = pinned.read(
                lambda snapshot: summarise(
                    self._room.source,
                    self._room.copies.convert(snapshot),
                    asked.where,
                    wanted,
                    engine,
                    start=asked.start,
                    end=asked.end,
                    timeout=_SECONDS,
                )
            )
        return _make(summary, time.monotonic() - began)

    def keep(self, pinned: Pinned, asked: Asked, found: Statistics) -> None:
        """Remember statistics."""
        with self._lock:
            self._known[pinned.mark, asked] = found
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)


def _make(summary: Summary, seconds: float) -> Statistics:
    histogram = summary.histogram
    start = to_microseconds(histogram.start)
    width = max(round(histogram.width.total_seconds() * _MICROSECOND), 1)
    told = {
        "total": summary.total,
        "levels": summary.levels,
        "histogram": {
            "start": start,
            "width": width,
            "levels": histogram.levels,
            "counts": histogram.counts,
        },
        "facets": [_describe(facet) for facet in summary.facets],
        "seconds": round(seconds, 3),
    }
    fields = tuple(facet.field for facet in summary.facets)
    return Statistics(told, summary.total, start, width, fields, summary.timeline)


def describe_mark(mark: Mark) -> dict[str, Any]:
    """Return a mark as the page is told."""
    found = {"kind": mark.kind, "service": mark.service, "text": mark.text}
    return {"time": to_microseconds(mark.time), **found}


def _describe(facet: Facet) -> dict[str, Any]:
    return {
        "field": facet.field,
        "values": [[wire.plain(value), count] for value, count in facet.values],
        "distinct": facet.distinct,
        "missing": facet.missing,
        "of": facet.of,
        "exact": facet.exact,
    }
