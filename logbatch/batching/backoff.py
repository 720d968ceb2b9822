"""How long to wait before the next try: exponential, jitter, a cap, and what a server asks for.

The jitter is the "full" one of the source, but for the lowest tenth.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import dataclasses

LONGEST_ASKED = 3600.0  # seconds; a server that asks for more is not obeyed


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """A wait that doubles with each failure.

    Attributes:
        base: Seconds, the ceiling of the first wait.
        cap: Seconds, the ceiling of any wait.
        floor: Seconds that any wait takes at the least.
    """

    base: float = 0.25
    cap: float = 30.0
    floor: float = 0.0

    def delay(self, failures: int, chance: float, asked: float | None = None) -> float:
        """Return the seconds to wait after `failures` failures in a row.

        Args:
            failures: 1 after the first failure.
            chance: A random number from 0 to 1.  The wait lies between a tenth of the ceiling
                and the ceiling, so that a broken destination is never asked without a pause.
            asked: Seconds the destination asked for; the wait is never shorter than that
                (an hour at most).  None where it asked for nothing.
        """
        ceiling = min(self.cap, self.base * 2.0 ** min(max(failures, 1) - 1, 60))
        wait = max(ceiling * (0.1 + 0.9 * chance), self.floor)
        return wait if asked is None else max(wait, min(asked, LONGEST_ASKED))
