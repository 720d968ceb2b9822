"""Whether something happens more often than before, or less, or as often as it did.

Events are counted in two ranges of time.  If their rate did not change, each of all of them falls
into the second range with a probability that is its share of the time (a Poisson process); how
improbable the counts are then is told by the likelihood ratio (the G-test).

    new    none in the first range, some in the second
    gone   some in the first, none in the second
    more   at least twice the rate, and no chance
    less   at most half the rate, and no chance
    same   else

"No chance" takes `FEWEST` events at least in both ranges together, and a probability of at most
`CHANCE` that any of all that are compared differs so much by itself (Bonferroni's correction).
Events often come in bursts, of which this knows nothing: hence the factor of two besides.

Sources: https://en.wikipedia.org/wiki/G-test, https://en.wikipedia.org/wiki/Bonferroni_correction
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

Change = Literal["new", "gone", "more", "less", "same"]

CHANCE = 0.01
"""The probability that something counts as changed that did not change."""

FEWEST = 10
"""Events from which on a rate is believed to have changed."""

_FACTOR = 2


class Verdict(NamedTuple):
    """How two counts compare.

    Attributes:
        change: What became of it.
        ratio: The second rate as a multiple of the first; infinite for what is new, and None where
            there is nothing in either range.
        chance: The probability of counts that differ at least so much where nothing changed.
    """

    change: Change
    ratio: float | None
    chance: float


def compare(
    before: int, after: int, seconds_before: float, seconds_after: float, compared: int = 1
) -> Verdict:
    """Compare two counts.

    Args:
        before: Events in the first range.
        after: Events in the second.
        seconds_before: How long the first is; above 0.
        seconds_after: How long the second is; above 0.
        compared: How many pairs of counts are compared at once.
    """
    if not before and not after:
        return Verdict("same", None, 1.0)
    expected = seconds_after / (seconds_before + seconds_after)
    deviance = 2 * (
        _part(after, (before + after) * expected) + _part(before, (before + after) * (1 - expected))
    )
    chance = math.erfc(math.sqrt(max(deviance, 0.0) / 2))
    if not before or not after:
        return Verdict("gone", 0.0, chance) if before else Verdict("new", math.inf, chance)
    ratio = (after / seconds_after) / (before / seconds_before)
    change: Change = "same"
    if before + after >= FEWEST and chance * compared <= CHANCE:
        change = "more" if ratio >= _FACTOR else "less" if ratio <= 1 / _FACTOR else "same"
    return Verdict(change, ratio, chance)


def _part(count: int, expected: float) -> float:
    """Return what one range adds to the logarithm of the likelihood ratio."""
    return count * math.log(count / expected) if count else 0.0
