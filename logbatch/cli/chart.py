"""The picture of volume over time: bars stacked by level, drawn with half blocks.

With colours a cell holds two points, one above the other.  Without, a cell is one point and the
shade shows the level, or a letter if the encoding has no shades.  A point of errors or warnings is
drawn wherever there is at least one, however many other records there are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

from logbatch.epoch import SECOND, to_datetime


class Band(NamedTuple):
    """A group of levels that is drawn alike."""

    name: str
    least: int
    color: str
    shade: str
    letter: str
    always: bool


BANDS = (
    Band("ERROR", logging.ERROR, "red", "█", "E", True),
    Band("WARNING", logging.WARNING, "yellow", "▓", "W", True),
    Band("INFO", logging.INFO, "green", "▒", "i", False),
    Band("DEBUG", -(2**31), "bright_black", "░", ".", False),
)
"""From the bottom of a bar to its top."""


def band_of(levelno: int) -> int:
    """Return the index of the band that a level belongs to."""
    return next(at for at, band in enumerate(BANDS) if levelno >= band.least)


_STEPS = tuple(
    seconds * unit
    for unit, amounts in (
        (1_000, (1, 2, 5, 10, 20, 50, 100, 200, 500)),
        (SECOND, (1, 2, 5, 10, 15, 30)),
        (60 * SECOND, (1, 2, 5, 10, 15, 30)),
        (3600 * SECOND, (1, 2, 3, 6, 12)),
        (86400 * SECOND, (1, 2, 7, 14, 30, 90, 365, 3650, 36500)),
    )
    for seconds in amounts
)

Counts = Sequence[int]
"""How many records of each band, in the order of `BANDS`."""


class Axis(NamedTuple):
    """Equal spans of time, in microseconds since 1970, that cover a period."""

    start: int
    step: int
    bins: int

    @classmethod
    def over(cls, first: int, last: int, width: int) -> Axis:
        """Cover `first..last` by at most `width` spans of a round length."""
        for step in _STEPS:
            bins = last // step - first // step + 1
            if bins <= width:
                return cls(first // step * step, step, bins)
        step = (last - first) // width + 1
        return cls(first, step, (last - first) // step + 1)

    def time(self, index: int) -> datetime:
        """Return when a span begins."""
        return to_datetime(self.start + index * self.step)

    @property
    def span(self) -> str:
        """The length of one span in words: `10 s`, `500 ms`, `1 h`."""
        for unit, name in ((86400 * SECOND, "d"), (3600 * SECOND, "h"), (60 * SECOND, "min")):
            if self.step % unit == 0:
                return f"{self.step // unit} {name}"
        return f"{self.step / SECOND:g} s" if self.step >= SECOND else f"{self.step / 1000:g} ms"


def stack(counts: Counts, highest: int, height: int) -> list[int]:
    """Choose the points of one bar, from the bottom: for each the index of its band.

    Args:
        counts: Records of each band in this span of time.
        highest: Records in the fullest span.
        height: Points in the fullest bar.
    """
    total = sum(counts)
    if not total:
        return []
    marks = [1 if count and band.always else 0 for count, band in zip(counts, BANDS, strict=True)]
    points = max(-(-total * height // highest), sum(marks))
    shares = [max(mark, count * points // total) for count, mark in zip(counts, marks, strict=True)]
    shares[counts.index(max(counts))] += points - sum(shares)
    return [index for index, share in enumerate(shares) for _ in range(share)]


def draw(spans: Sequence[Counts], height: int, *, coloured: bool, shades: bool) -> list[Text]:
    """Draw the bars, one text for each line from the top.

    Args:
        spans: What each bar stands for.
        height: Lines.
        coloured: Two points to a cell, distinguished by colour; otherwise one, by shade or letter.
        shades: The encoding has block characters.
    """
    highest = max(map(sum, spans), default=0) or 1
    points = 2 * height if coloured and shades else height
    bars = [stack(counts, highest, points) for counts in spans]
    lines = []
    for row in range(points - 1, -1, -1 if points == height else -2):
        cells = (_cell(bar, row, points == 2 * height, coloured, shades) for bar in bars)
        lines.append(Text.assemble(*cells))
    return lines


def legend(totals: Mapping[str, int], *, coloured: bool, shades: bool) -> Text:
    """Return the key: the colour or shade of each level, and how many records there are of it."""
    text = Text()
    for band in BANDS:
        count = totals.get(band.name, 0)
        mark = ("█" if coloured else band.shade) if shades else band.letter
        more = "+" if band is BANDS[0] else ""
        text.append(f"{mark} ", band.color if coloured else "")
        text.append(f"{band.name}{more} {count:,}   ")
    text.rstrip()
    return text


def _cell(
    bar: Sequence[int], row: int, double: bool, coloured: bool, shades: bool
) -> tuple[str, str]:
    if not double:
        return _single(bar, row, coloured, shades)
    lower, upper = (BANDS[bar[at]].color if at < len(bar) else None for at in (row - 1, row))
    if lower is None:
        return " ", ""
    if upper is None:
        return "▄", lower
    return ("█", lower) if upper == lower else ("▄", f"{lower} on {upper}")


def _single(bar: Sequence[int], row: int, coloured: bool, shades: bool) -> tuple[str, str]:
    if row >= len(bar):
        return " ", ""
    band = BANDS[bar[row]]
    return band.shade if shades else band.letter, band.color if coloured else ""


def time_axis(axis: Axis) -> str:
    """Label the axis: when it begins, its middle where there is room, and its end."""
    labels = [_time_label(axis, 0), _time_label(axis, axis.bins // 2), _time_label(axis, axis.bins)]
    first, middle, last = labels
    room = axis.bins - len(first) - len(last)
    if room < 1:
        return first
    if room < len(middle) + 2 or axis.bins < 2:
        return f"{first}{' ' * room}{last}"
    before = max(axis.bins // 2 - len(middle) // 2 - len(first), 1)
    return f"{first}{' ' * before}{middle}{' ' * (room - before - len(middle))}{last}"


def _time_label(axis: Axis, index: int) -> str:
    try:
        time = axis.time(index)
    except OverflowError:
        return "…"
    if axis.step >= 86400 * SECOND:
        return f"{time:%Y-%m-%d}"
    if axis.step >= 3600 * SECOND:
        return f"{time:%m-%d %H:%M}"
    if axis.step >= 60 * SECOND:
        return f"{time:%H:%M}"
    return f"{time:%H:%M:%S}" + (f".{time.microsecond // 1000:03}" if axis.step < SECOND else "")
