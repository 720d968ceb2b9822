"""How a number of bytes is written."""

from __future__ import annotations


def readable(number: float) -> str:
    """Format a number of bytes in three or four digits: `8.6 kB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.{0 if unit == 'B' else 1}f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
