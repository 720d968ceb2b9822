"""What all who look at one directory share: the memory of the engine, threads, and what is known.

There is one database for the whole process, with one limit of memory, however many look; each
question is asked beside the others.  Rows have threads of their own, so that they never wait for
statistics.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from logbatch.dataset.converted import Converted
from logbatch.dataset.engine import Engine
from logbatch.dataset.reader import Dataset
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.stopping import Stop, check, stopping
from logbatch.storage.executions import FILE

_T = TypeVar("_T")

_MEMORY = 250_000_000  # bytes for all that DuckDB does


class Crew:
    """Some threads that do one kind of work.

    Args:
        name: Of the threads.
        size: How many there are.
    """

    def __init__(self, name: str, size: int) -> None:
        self._pool = ThreadPoolExecutor(size, f"logbatch-{name}")

    async def do(self, stop: Stop, work: Callable[[], _T]) -> _T:
        """Have something done, until `stop` says so.

        Raises:
            Stopped: It did.
        """

        def run() -> _T:
            with stopping(stop):
                check()
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    def end(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def wait(self) -> None:
        """Wait until all that was begun has ended."""
        self._pool.shutdown()


class Room:
    """A directory, and who works on it; `close` ends all of that.

    Args:
        directory: The directory.

    Attributes:
        directory: The same.
        runs: The file with the record of runs, which need not be there.
        source: What reads the directory.
        dataset: The same for who needs no more than that.
        engine: The database.
        copies: What is not Parquet, copied for those who count or read anywhere.
        rows: Who reads rows.
        statistics: Who counts.
        asked: Who finds out whatever else is asked.
        query: Who answers SQL, one query at a time: each may take as much memory as all else.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs = directory / FILE
        self.source = Source(directory)
        self.dataset = Dataset(directory)
        self.engine = Engine(_MEMORY)
        self.copies = Converted(self.source)
        self._looking = threading.Lock()
        self.rows = Crew("rows", 4)
        self.statistics = Crew("statistics", 2)
        self.asked = Crew("asked", 4)
        self.query = Crew("query", 1)

    def close(self) -> None:
        """End what goes on."""
        crews = (self.rows, self.statistics, self.asked, self.query)
        for crew in crews:
            crew.end()
        for crew in crews:  # whoever asked is gone by now, and has told them to stop
            crew.wait()
        self.engine.close()
        self.copies.close()

    def snapshot(self) -> Snapshot:
        """Look at the directory; one thread after another, as they share what they remember.

        Raises:
            DatasetError: It cannot be read.
        """
        with self._looking:
            return self.source.snapshot()

    def retry(self, read: Callable[[Snapshot], _T]) -> _T:
        """Read a snapshot, and a new one as often as that turns out to be out of date.

        Raises:
            DatasetError: The directory cannot be read, or changes faster than it can be.
        """
        return self.source.retry(read, self.snapshot)

    def public(self, text: str) -> str:
        """Return a text without where the directory, or a temporary file, is."""
        for path in (str(self.directory), tempfile.gettempdir()):
            text = text.replace(f"{path}{os.sep}", "").replace(path, os.path.basename(path))
        return text

    def problems(self, after: int = 0) -> Sequence[str]:
        """Return what is wrong with the directory, from a number on."""
        return [self.public(each) for each in self.source.problems[after:]]
