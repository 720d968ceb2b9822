"""How sizes, durations and counts are written."""

from __future__ import annotations


def readable(number: float) -> str:
    """Format a number of bytes in three or four digits: `8.6 kB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.{0 if unit == 'B' else 1}f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float) -> str:
    """Write how long something took: `1.2 s`, `42 s`, `3:05 min`, `2:03 h`, `5 d 4 h`."""
    seconds = max(seconds, 0.0)
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}:{minutes:02} h"
    return f"{hours // 24} d {hours % 24} h"


def counted(number: int, noun: str) -> str:
    """Write a number with what it counts: `1 record`, `1,200 records`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith(("s", "ch")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
