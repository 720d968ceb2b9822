"""How sizes and counts are written."""

from __future__ import annotations


def readable(number: float) -> str:
    """Format a number of bytes in three or four digits: `8.6 kB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.{0 if unit == 'B' else 1}f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def counted(number: int, noun: str) -> str:
    """Write a number with what it counts: `1 record`, `1,200 records`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith(("s", "ch")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
