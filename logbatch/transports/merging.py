"""Merge the small files that a transport wrote, a short step at a time, and within a budget.

Only what the transport published itself, in this process, is merged: its files are known without a
listing, and belong to no other process that merges.  Which files, and when, is planned by
`logbatch.storage.tiers`; `logbatch.storage.merge` does the work.

A step takes some milliseconds.  After each comes a pause, so that all of them together take no more
than a share of one core; on a slow disk it is as long as the step was.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from logbatch.gil import Yielder
from logbatch.storage.merge import Format, Merge, NoLocks, Unfit
from logbatch.storage.tiers import File, Limits, may_grow, plan
from logbatch.transports.base import Tidied

IDLE = 5.0  # seconds without a new file after which a few small ones are merged
AFTER_TROUBLE = 60.0  # seconds until the next try
_STEP = 0.01  # seconds after which a step ends

_Key = tuple[Path, str]  # a folder and a producer


class Merger:
    """Knows which files a transport has written, and merges them.  One thread at a time uses it.

    Args:
        form: Returns how files are written.
        limits: What a merged file may hold.
        share: The most of one core that merging takes, from 0 to 1.

    All times are in seconds of one clock that only goes forward.
    """

    def __init__(self, form: Callable[[], Format], limits: Limits, share: float) -> None:
        self._form = form
        self._limits = limits
        self._share = share
        self._can_lock = True
        self.forget()

    def forget(self) -> None:
        """Forget everything without touching a file: in a forked child they are the parent's."""
        self._files: OrderedDict[_Key, list[File]] = OrderedDict()  # the one written to last at
        self._changed: dict[_Key, None] = {}  # the end; those to be planned for
        self._idle_at: OrderedDict[_Key, float] = OrderedDict()  # in the order of these times
        self._folders: dict[str, Path] = {}  # producer -> where its newest file is
        self._merge: Merge | None = None
        self._not_before = float("-inf")

    def give_up(self) -> None:
        """End the merge under way; its files stay as they are."""
        if self._merge is not None:
            self._merge.give_up()
            self._merge = None

    def add(self, folder: Path, producer: str, file: File, now: float, most: int) -> None:
        """Take note of a file that was published.

        Args:
            folder: Where it is.
            producer: Whose records it holds.
            file: The file.
            now: The time.
            most: Producers of which the files are known at one time.
        """
        if not self._can_lock:
            return
        before = self._folders.get(producer, folder)
        if before != folder:
            self._touch((before, producer), now)  # nothing more comes there
        self._folders[producer] = folder
        key = folder, producer
        insort(self._files.setdefault(key, []), file)
        self._touch(key, now)
        self._files.move_to_end(key)
        while len(self._files) > most:
            self._drop(next(iter(self._files)))

    def _touch(self, key: _Key, now: float) -> None:
        if key in self._files:
            self._changed[key] = None
            self._idle_at[key] = now + IDLE
            self._idle_at.move_to_end(key)

    def _drop(self, key: _Key) -> None:
        del self._files[key]
        self._changed.pop(key, None)
        self._idle_at.pop(key, None)
        if self._folders.get(key[1]) == key[0]:
            del self._folders[key[1]]

    # ------------------------------------------------------------------ one step

    def step(self, now: float) -> Tidied:
        """Do one short step, if it is time for one.

        Raises:
            OSError: The disk does not take a merged file.
        """
        if now < self._not_before and (self._merge or self._changed or self._idle_at):
            return Tidied(self._not_before - now)
        merge = self._merge or self._begin(now)
        if merge is None:
            return Tidied(next(iter(self._idle_at.values()), float("inf")) - now)
        began, used = time.perf_counter(), time.thread_time()
        try:
            self._merge = merge if self._go_on(merge, now, began) else None
        finally:
            cost, took = time.thread_time() - used, time.perf_counter() - began
            pause = max(cost * (1 / self._share - 1), took)
            self._not_before = max(self._not_before, now + took + pause)
        if merge.merged is None:
            return Tidied(pause, seconds=cost)
        return Tidied(pause, 1, len(merge.files), merge.merged.size, cost)

    def _begin(self, now: float) -> Merge | None:
        """Begin the next merge that there is to do."""
        while self._changed:
            key = next(iter(self._changed))
            if files := self._plan(key):
                return self._make(key, files)
            self._files[key] = may_grow(self._files[key], self._limits)
            del self._changed[key]
        while self._idle_at and now >= next(iter(self._idle_at.values())):
            key = next(iter(self._idle_at))
            if files := self._plan(key, idle=True):
                return self._make(key, files)
            if self._is_closed(key):
                self._drop(key)
            else:
                del self._idle_at[key]
        return None

    def _plan(self, key: _Key, *, idle: bool = False) -> list[File]:
        closed = idle and self._is_closed(key)
        return plan(self._files[key], self._limits, closed=closed, idle=idle)

    def _is_closed(self, key: _Key) -> bool:
        """Return whether the producer writes to another folder by now."""
        return self._folders.get(key[1]) != key[0]

    def _make(self, key: _Key, files: Sequence[File]) -> Merge:
        return Merge(*key, files, self._form())

    def _go_on(self, merge: Merge, now: float, began: float) -> bool:
        """Work for some milliseconds; return whether there is more to do."""
        self._merge = None  # whatever happens
        yielder = Yielder()
        try:
            while merge.step():
                if time.perf_counter() - began >= _STEP:
                    return True
                yielder.let_others_run()
        except Unfit as error:
            self._remove(merge, [error.file])
        except NoLocks:
            self.forget()
            self._can_lock = False
        except FileNotFoundError:  # somebody has merged or removed them before us
            self._remove(merge, [file for file in merge.files if not merge.path(file).exists()])
            self._not_before = now + IDLE
        except BaseException:
            self._not_before = now + AFTER_TROUBLE
            raise
        finally:
            if merge.merged is not None:
                self._replace(merge, merge.merged)
        return False

    def _replace(self, merge: Merge, merged: File) -> None:
        self._remove(merge, merge.files)
        if (files := self._files.get((merge.folder, merge.producer))) is not None:
            insort(files, merged)

    def _remove(self, merge: Merge, gone: Sequence[File]) -> None:
        files = self._files.get((merge.folder, merge.producer), [])
        for file in gone:
            at = bisect_left(files, file)
            if files[at : at + 1] == [file]:
                del files[at]
