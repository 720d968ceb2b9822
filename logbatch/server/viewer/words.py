"""What the filter box offers while one types: fields, operators and values, as the log has them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from logbatch.dataset.filter.comparisons import EQUALITIES, ORDERINGS, number_in
from logbatch.dataset.filter.completion import Place, find_place, write_name, write_value
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.merge import ordered_rows
from logbatch.levels import from_name
from logbatch.server.viewer.room import Room
from logbatch.storage.columns import ATTRIBUTE, COLUMNS, LEVEL, TEXT, TIME

_SAMPLE = 2_000  # records, the newest, in which is looked which fields and values there are
_FRESH = 10.0  # seconds for which that is good
_FIELDS = 1_000  # attributes that are remembered
_VALUES = 200  # values of each
_LONG = 100  # characters of a value that is worth being offered
_MOST = 30  # words that are offered
_DEPTH = 4  # objects inside one another that are looked into

_TIMES = {"since": "from then on: 15m, 2h, 3d, or a time", "until": "before then: a time"}
_LEVELS = ("trace", "debug", "info", "notice", "warning", "error", "critical")
_SPANS = ("5m", "15m", "1h", "6h", "1d", "7d", "30d")
_KINDS = {TIME: "time", LEVEL: "level", TEXT: "text", ATTRIBUTE: "JSON"}


class Word(NamedTuple):
    """What may be written.

    Attributes:
        text: It, as it is written.
        what: What it means, in some words.
    """

    text: str
    what: str


class Known(NamedTuple):
    """Fields and their values, the most frequent first."""

    fields: Counter[str]
    values: dict[str, Counter[str]]


class Words:
    """What is offered; any thread may ask.

    Args:
        room: Whose records are looked at.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._known = Known(Counter(), {})
        self._until = 0.0

    def complete(self, text: str, at: int) -> tuple[Place, list[Word]]:
        """Return what is being written at a place, and what it may become.

        Raises:
            DatasetError: The directory cannot be read.
        """
        place = find_place(text, at)
        known = self._look()
        words = _names(place.text, known) if place.name is None else _values(place, known)
        return place, list(islice(words, _MOST))

    def _look(self) -> Known:
        with self._lock:
            if time.monotonic() > self._until:
                self._known = _gather(self._room)
                self._until = time.monotonic() + _FRESH
            return self._known


def _gather(room: Room) -> Known:
    snapshot = room.snapshot()
    rows = ordered_rows(room.source, snapshot, Filter(), limit=_SAMPLE, newest_first=True)
    known = Known(Counter(), {})
    for row in rows:
        attributes = dict(_paths(row.pop("attributes")))
        known.fields.update(islice(attributes, _FIELDS))
        for name, value in (*row.items(), *attributes.items()):
            if isinstance(value, str | int | float) and len(known.values) < _FIELDS:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                counts = known.values.setdefault(name, Counter())
                if len(text) <= _LONG and (text in counts or len(counts) < _VALUES):
                    counts[text] += 1
    return known


def _paths(found: Mapping[str, Any], before: str = "", depth: int = _DEPTH) -> Iterator[Any]:
    for key, value in found.items():
        path = f"{before}{key}"
        if isinstance(value, dict) and depth:
            yield from _paths(value, f"{path}.", depth - 1)
        else:
            yield (f"attributes.{path}" if path in COLUMNS else path), value


def _names(text: str, known: Known) -> Iterator[Word]:
    """Yield the fields whose name has a text in it, those that begin with it first."""
    columns = {name: f"column, {_KINDS.get(c.kind, 'number')}" for name, c in COLUMNS.items()}
    columns.pop("attributes")
    attributes = {name: "attribute" for name, _ in known.fields.most_common()}
    every = {**columns, **_TIMES, **attributes}
    for name in _matching(every, text):
        written = write_name(name)
        if name == text:
            for operator in _operators(name):
                yield Word(f"{written}{operator}", every[name])
        else:
            yield Word(f"{written}{_first_operator(name)}", every[name])


def _operators(name: str) -> Iterable[str]:
    if name in _TIMES:
        return ("=",)
    kind = COLUMNS[name].kind if name in COLUMNS else ATTRIBUTE
    return (*EQUALITIES, "~", "=*") if kind == TEXT else (*EQUALITIES, *ORDERINGS, "~", "=*")


def _first_operator(name: str) -> str:
    kind = COLUMNS[name].kind if name in COLUMNS else ""
    return {LEVEL: ">=", TIME: ">="}.get(kind, "=")


def _values(place: Place, known: Known) -> Iterator[Word]:
    if place.name in _TIMES or place.name == "timestamp":
        yield from (Word(span, "before now") for span in _SPANS if span.startswith(place.text))
        return
    counts = known.values.get(place.name or "", Counter())
    told = {value: f"{count:,} of the newest" for value, count in counts.most_common()}
    if place.name == "level":
        levels = [level for name in _LEVELS if (level := from_name(name)) is not None]
        told = {name: f"level {number}" for name, number in levels} | told
    elif place.operator in ORDERINGS:
        told = {value: what for value, what in told.items() if number_in(value) is not None}
    for value in _matching(told, place.text):
        yield Word(write_value(value), told[value])


def _matching(names: Iterable[str], text: str) -> list[str]:
    wanted = text.casefold()
    found = [name for name in names if wanted in name.casefold()]
    return sorted(found, key=lambda name: not name.casefold().startswith(wanted))
