"""New records for all who follow, told by one who looks.

One thread looks at the directory ten times a second, for as long as anybody follows; whoever does
is told what came, and picks what matches.  Who begins to listen before it takes its snapshot, and
leaves out what is in that, gets each record once and misses none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pyarrow as pa

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.follow import Follower
from logbatch.errors import LogbatchError
from logbatch.server.viewer.room import Room
from logbatch.trouble import Trouble, describe

EVERY = 0.1  # seconds between two looks
_MUCH = 20_000  # rows

Listener = Callable[[pa.Table | None], object]
"""Is told new rows, as a table, on the thread of whoever looks; it does not wait.  None is told
where looking has failed: then there may be a gap, and nothing more comes."""


class Poller:
    """Looks for all who listen.

    Args:
        room: What to look at.
        trouble: Told where it fails.
    """

    def __init__(self, room: Room, trouble: Trouble) -> None:
        self._room = room
        self._trouble = trouble
        self._lock = threading.Lock()
        self._listeners: dict[object, Listener] = {}
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def is_looking(self) -> bool:
        """Whether anybody listens."""
        return self._thread is not None

    def listen(self, listener: Listener) -> object:
        """Have a listener told what comes from now on; return what `leave` takes.

        Raises:
            DatasetError: The directory cannot be read.
        """
        key = object()
        with self._lock:
            if self._thread is None:
                self._begin()
            self._listeners[key] = listener
        return key

    def leave(self, key: object) -> None:
        """Tell a listener nothing any more."""
        with self._lock:
            self._listeners.pop(key, None)
            if not self._listeners:
                self._ended.set()
                self._thread = None

    def close(self) -> None:
        """Look no more."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._listeners.clear()
            self._ended.set()
        if thread is not None:
            thread.join()

    def _begin(self) -> None:
        follower = Follower(self._room.source, self._room.snapshot(), Filter())
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._look, args=(follower, self._ended), name="logbatch-poller", daemon=True
        )
        self._thread.start()

    def _look(self, follower: Follower, ended: threading.Event) -> None:
        while not ended.wait(EVERY):
            try:
                for table in _gathered(follower.tables()):
                    self._tell(table, ended)
            except (LogbatchError, OSError) as error:
                self._trouble.say("poll", f"cannot look for new records: {describe(error)}", error)
                self._tell(None, ended)

    def _tell(self, found: pa.Table | None, ended: threading.Event) -> None:
        with self._lock:
            if ended.is_set():
                return
            listeners = list(self._listeners.values())
            if found is None:
                self._listeners.clear()
                self._thread = None
                ended.set()
        for listener in listeners:
            listener(found)


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield what came between two looks together, unless it is very much."""
    found: list[pa.Table] = []
    for table in tables:
        found.append(table)
        if sum(map(len, found)) > _MUCH:
            yield pa.concat_tables(found)
            found = []
    if found:
        yield pa.concat_tables(found)
