"""What all who look at one directory share: the memory of the engine, threads, and what is known.

There is one database for the whole process, with one limit of memory, however many look; each
question is asked beside the others.  Rows have threads of their own, so that they never wait for
statistics.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from logbatch.dataset.engine import Engine
from logbatch.dataset.reader import Dataset
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.stopping import Stop, stopping

_T = TypeVar("_T")

_MEMORY = 250_000_000  # bytes for all that DuckDB does
_ROWS = 4  # threads that read rows
_REST = 2  # threads for statistics, and one each for whatever else takes long


class Room:
    """A directory, and who works on it; `close` ends all of that.

    Args:
        directory: The directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dataset = Dataset(directory)
        self.source = Source(directory)
        self.engine = Engine(_MEMORY)
        self._looking = threading.Lock()
        self._rows = ThreadPoolExecutor(_ROWS, "logbatch-rows")
        self._statistics = ThreadPoolExecutor(_REST, "logbatch-statistics")
        self._asked = ThreadPoolExecutor(_REST, "logbatch-asked")

    def close(self) -> None:
        """End what goes on."""
        for pool in (self._rows, self._statistics, self._asked):
            pool.shutdown(wait=False, cancel_futures=True)
        self.engine.close()
        for pool in (self._rows, self._statistics, self._asked):
            pool.shutdown()

    def snapshot(self) -> Snapshot:
        """Look at the directory; one thread after another, as they share what they remember.

        Raises:
            DatasetError: It cannot be read.
        """
        with self._looking:
            return self.source.snapshot()

    async def read(self, stop: Stop, work: Callable[[], _T]) -> _T:
        """Have rows read, until `stop` says so."""
        return await _run(self._rows, stop, work)

    async def count(self, stop: Stop, work: Callable[[], _T]) -> _T:
        """Have statistics computed, until `stop` says so."""
        return await _run(self._statistics, stop, work)

    async def ask(self, stop: Stop, work: Callable[[], _T]) -> _T:
        """Have anything else found out, until `stop` says so."""
        return await _run(self._asked, stop, work)

    def public(self, text: str) -> str:
        """Return a text without where the directory is."""
        return text.replace(f"{self.directory}/", "").replace(
            str(self.directory), self.directory.name or "the directory"
        )

    def problems(self, after: int = 0) -> Sequence[str]:
        """Return what is wrong with the directory, from a number on."""
        return [self.public(each) for each in self.source.problems[after:]]


async def _run(pool: ThreadPoolExecutor, stop: Stop, work: Callable[[], _T]) -> _T:
    def do() -> _T:
        with stopping(stop):
            return work()

    return await asyncio.get_running_loop().run_in_executor(pool, do)
