"""Remove old records from a directory that a process logs to, rarely, and in short steps.

It is done by the thread that delivers, while nothing is to be sent: some milliseconds at a time,
and no more than a small share of one core.  Of several processes that log to one directory, one
looks and the others leave it to that; `logbatch compact` or `logbatch retain` at work keep them all
away.  What is removed, and which time is believed, is said in `logbatch.storage.policy`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from logbatch import forks
from logbatch.errors import TemporaryError
from logbatch.gil import Yielder
from logbatch.storage.bounds import Steps, finish
from logbatch.storage.maintenance import JOURNAL, MaintenanceBusy, maintaining
from logbatch.storage.policy import Policy, parse_age, parse_bytes
from logbatch.storage.removal import note_looks, remove, remove_empty_folders
from logbatch.storage.retention import File, Known, Plan, make_plan
from logbatch.storage.retired import DamagedNote, read_retired

FIRST = 60.0  # seconds until the first look: a process that ends before leaves it to others
_SPREAD = 30.0  # seconds by which those of several processes differ, at the most
_LONGEST, _SHORTEST = 3600.0, 10.0  # seconds between two looks
_OF_AGE = 24  # looks in the time that records may stay
_OF_BYTES = 20  # looks while as much is written as may stay
_STEP = 0.005  # seconds after which a step ends
_PAUSE = 9  # times as long as a step took is the pause behind it
_TOGETHER = 32  # files that are removed in one step
_REMEMBERED = 20_000  # files of which it is kept in mind from when their records are


def read_policy(age: Any, size: Any) -> Policy:
    """Read the options of a transport.

    Raises:
        ValueError: One is out of range.
    """
    return Policy(
        None if age is None else parse_age("retain_age", age),
        None if size is None else parse_bytes("retain_bytes", size),
    )


class Retaining:
    """Keeps a directory small.  One thread at a time may use it.

    Args:
        root: The directory.
        policy: What may stay.
        clock: Seconds that only go forward.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        root: Path,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._root = root
        self._policy = policy
        self._clock = clock
        self._now = now
        self._known: Known = {}
        self._told: str | None = None
        age = _LONGEST if policy.max_age is None else policy.max_age / 1e6 / _OF_AGE
        self._every = min(max(age, _SHORTEST), _LONGEST)
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a forked child."""
        spread = int.from_bytes(os.urandom(2)) / 0xFFFF * _SPREAD
        self._due = self._clock() + min(FIRST, self._every) + spread
        self._not_before = float("-inf")
        self._bytes = 0  # published since the last look
        self._work: Steps[None] | None = None

    def add(self, size: int) -> None:
        """Take note of what was published."""
        self._bytes += size

    def step(self) -> float:
        """Do a short step, if it is time for one.

        Returns:
            Seconds until there may be something to do again.

        Raises:
            TemporaryError: Something could not be removed; it is tried again.
        """
        now = self._clock()
        if self._work is None:
            is_full = self._is_full()
            if now < self._due and not is_full:
                return self._due - now
            self._work = self._run(alone=not is_full)
            self._due, self._bytes = now + self._every, 0
        if now < self._not_before:
            return self._not_before - now
        work, self._work = self._work, None  # it is over where it fails
        began = time.perf_counter()
        try:
            goes_on = _go_on(work, began)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TemporaryError(f"cannot remove old records: {reason}") from error
        if not goes_on:
            return self._every
        self._work = work
        took = time.perf_counter() - began
        self._not_before = now + took * (1 + _PAUSE)
        return took * _PAUSE

    def _is_full(self) -> bool:
        """Return whether so much was published that it is time to look, but not all the time."""
        limit = self._policy.max_bytes
        is_late = self._clock() > self._due - self._every + _SHORTEST
        return limit is not None and is_late and self._bytes * _OF_BYTES > limit

    # ------------------------------------------------------------------ one run

    def _run(self, *, alone: bool) -> Steps[None]:
        """Look at all files, and remove what is old.

        Args:
            alone: Whether this is left to another process that looked just before.
        """
        if alone and self._others_look():
            return
        try:
            now = int(self._now() * 1e6)
            plan = yield from make_plan(self._root, self._policy, now, self._known)
            with maintaining(self._root, "a process that logs there"):
                note_looks(self._root, plan)
                remove_empty_folders(self._root)
            yield from self._remove(plan, [*plan.old, *plan.excess])
        except MaintenanceBusy:
            return
        if len(self._known) > _REMEMBERED:
            self._known.clear()

    def _remove(self, plan: Plan, files: list[File]) -> Steps[None]:
        problems: list[str] = []
        for start in range(0, len(files), _TOGETHER):
            with maintaining(self._root, "a process that logs there"):
                done = finish(remove(self._root, plan, files[start : start + _TOGETHER]))
            problems += done.problems
            yield
        text = f"{len(problems)} old files: {problems[0]}" if problems else None
        if text != self._told:
            self._told = text
            if text is not None:
                raise TemporaryError(f"cannot remove {text}")

    def _others_look(self) -> bool:
        """Return whether another process has looked shortly before, by the clock."""
        with contextlib.suppress(DamagedNote, OSError):
            seen = read_retired(self._root / JOURNAL).seen
            return seen is not None and 0 <= self._now() - seen[1] / 1e6 < self._every / 2
        return False


def _go_on(work: Steps[None], began: float) -> bool:
    """Work for some milliseconds; return whether there is more to do."""
    yielder = Yielder()
    while time.perf_counter() - began < _STEP:
        try:
            with forks.holding_off():  # a child would have Arrow's locks, and ours
                next(work)
        except StopIteration:
            return False
        yielder.let_others_run()
    return True
