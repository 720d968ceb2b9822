"""The record of runs: what was run, how it ended, and what it printed, as rows of SQLite.

`executions` has a row for each run, `execution_output_chunks` its output as it comes.  When a run
ends, the first `inline_bytes` of each stream move into its row, and the chunks hold the rest; in
which order the two streams came is kept in `execution_inline_pieces`.  Up to then the row is small:
to change a row, SQLite writes all of it, so that a mebibyte in it would be written again with each
line of progress (0.5 to 2.7 ms, measured; a chunk of 10 kB takes 0.04 ms).  Writing into the row
piece by piece (SQLite's incremental I/O) needs its final size beforehand, and walks along all its
pages: from 0.5 ms at 2 MB to 6 ms at 10 MB.  With chunks each byte is copied once more at most, and
appending costs the same whatever is there.

How far the spool is stored stands in the row of the run, and is written by the same transaction:
what is taken from there twice is stored once.

Times are texts, as in the table `events`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from logbatch.epoch import FIRST, LAST, SECOND, to_datetime, to_microseconds
from logbatch.journal.owner import Owner
from logbatch.storage.events import format_moment
from logbatch.storage.execution_tables import create_tables
from logbatch.storage.output_rows import Piece, Row, as_value, boundary, lay_out
from logbatch.storage.sqlite import PATIENCE, writing

FILE = "runs.db"
"""Its name in a directory of logs."""

STREAMS = ("stdout", "stderr")

INLINE_BYTES = 1 << 20
"""How much of each stream stands in the row of a run, unless somebody says so."""


def to_moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as it is stored, which is as in the table `events`."""
    moment = min(max(round(seconds * SECOND), FIRST), LAST)  # a clock may show anything
    return format_moment(to_datetime(moment))


def from_moment(text: str) -> float:
    """Return a time that is stored, in seconds since 1970."""
    return to_microseconds(datetime.fromisoformat(text)) / SECOND


class Execution(NamedTuple):
    """A run, as it begins.

    Attributes:
        id: What it is called for ever: a ULID.
        command: What was run, as one would type it in a shell.
        started_at: When, in seconds since 1970.
        host: The machine.
        pid: The process that was started.
    """

    id: str
    command: str
    started_at: float
    host: str
    pid: int


class Executions:
    """Where runs are written: each call is one transaction, which is on the disk when it returns.

    Several processes may write to one file, each the runs that are its own.  What each call raises:

        LockedError: Another program has locked the file.  Nothing was written; try again.
        DamagedError: The file was damaged, and was set aside.  Try again: it goes to a new one.
        TemporaryError: It could not be written, as the disk is full, for example.  Try again.

    Args:
        path: The file; it is created if need be.
        inline_bytes: How much of each stream stands in the row of a run in the end.
        patience: Seconds to wait for others who write.

    Attributes:
        patience: The same, for the next calls.
    """

    def __init__(
        self, path: Path, *, inline_bytes: int = INLINE_BYTES, patience: float = PATIENCE
    ) -> None:
        self._path = path
        self._inline_bytes = inline_bytes
        self.patience = patience
        self._begun: dict[str, _Begun] = {}

    def begin(self, execution: Execution, owner: Owner | None = None) -> None:
        """Record that a run has begun; one that is there already stays as it is.

        Args:
            execution: The run.
            owner: The process that writes its output, by default this one: while it lives, the
                run is shown as running.
        """
        who = json.dumps((owner or Owner.this_process())._asdict())
        execution = execution._replace(command=_as_text(execution.command))
        begun = _Begun(execution, who, _State(0, 0, 0))
        self._begun[execution.id] = begun
        with self._writing() as connection:
            _insert(connection, begun)

    def append(self, run_id: str, pieces: Sequence[Piece], progress: str | None) -> None:
        """Store output, and the position in the spool behind it; what is there already is left out.

        Args:
            run_id: The run.
            pieces: The output, in the order in which it was read.
            progress: The newest text of progress; None leaves the last one.

        Raises:
            LookupError: The run is not there, and this object has not begun it.
        """
        with self._writing() as connection:
            state = self._state(connection, run_id)
            new = [piece for piece in pieces if piece.end > state.position]
            if new:
                state = _store(connection, run_id, state, new)
            if progress is not None:
                text = "UPDATE executions SET progress = ? WHERE id = ?"
                connection.execute(text, (_as_text(progress), run_id))
        if run_id in self._begun:
            self._begun[run_id] = self._begun[run_id]._replace(state=state)

    def position(self, run_id: str) -> int:
        """Return the position in the spool up to which output is stored; 0 for an unknown run."""
        query = "SELECT position FROM executions WHERE id = ?"
        with self._writing() as connection:
            found = connection.execute(query, (run_id,)).fetchone()
        return found[0] if found else 0

    def finish(self, run_id: str, *, ended_at: float, exit_code: int | None) -> None:
        """Record that a run has ended; the first who says so is believed.

        Args:
            run_id: The run.
            ended_at: When, in seconds since 1970.
            exit_code: Its exit status, -n where signal n ended it; None where nobody knows, as the
                process that wrote it died.
        """
        with self._writing() as connection:
            state = self._state(connection, run_id)
            if not _has_ended(connection, run_id):
                self._finish(connection, run_id, state, ended_at, exit_code)
        self._begun.pop(run_id, None)

    def _finish(
        self,
        connection: sqlite3.Connection,
        run_id: str,
        state: _State,
        ended_at: float,
        exit_code: int | None,
    ) -> None:
        inline = sum(
            _move_inline(connection, run_id, stream, self._inline_bytes) for stream in STREAMS
        )
        connection.execute(
            "UPDATE executions SET ended_at = ?, exit_code = ?, output_truncated = ? WHERE id = ?",
            (to_moment(ended_at), exit_code, inline < state.stdout + state.stderr, run_id),
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with writing(self._path, patience=self.patience) as connection:
            create_tables(connection)
            yield connection

    def _state(self, connection: sqlite3.Connection, run_id: str) -> _State:
        """Return how far a run is stored; where its file was set aside, it is continued here."""
        query = "SELECT stdout_size, stderr_size, position FROM executions WHERE id = ?"
        found = connection.execute(query, (run_id,)).fetchone()
        if found is not None:
            return _State(*found)
        if run_id not in self._begun:
            raise LookupError(f"run {run_id} has not begun")
        begun = self._begun[run_id]
        _insert(connection, begun)
        return begun.state


class _State(NamedTuple):
    """How far a run is stored: the bytes of its streams, and the position in the spool."""

    stdout: int
    stderr: int
    position: int


class _Begun(NamedTuple):
    """What is needed to go on with a run in another file."""

    execution: Execution
    owner: str
    state: _State


def _insert(connection: sqlite3.Connection, begun: _Begun) -> None:
    run_id, command, started_at, host, pid = begun.execution
    connection.execute(
        "INSERT INTO executions (id, command, started_at, host, pid, owner, stdout_size,"
        " stderr_size, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (run_id, command, to_moment(started_at), host, pid, begun.owner, *begun.state),
    )


def _as_text(text: str) -> str:
    """Return a text that SQLite takes: what stands for bytes of no character is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _has_ended(connection: sqlite3.Connection, run_id: str) -> bool:
    query = "SELECT ended_at IS NOT NULL FROM executions WHERE id = ?"
    return bool(connection.execute(query, (run_id,)).fetchone()[0])


def _store(
    connection: sqlite3.Connection, run_id: str, state: _State, pieces: Sequence[Piece]
) -> _State:
    """Store output behind what is there, and return how far that is."""
    newest = "SELECT coalesce(max(chunk_index), -1) FROM execution_output_chunks"
    (index,) = connection.execute(f"{newest} WHERE execution_id = ?", (run_id,)).fetchone()
    ends = {"stdout": state.stdout, "stderr": state.stderr}
    rows = []
    for number, row in enumerate(lay_out(pieces, dict(ends)), index + 1):
        place = row.start + sum(end for stream, end in ends.items() if stream != row.stream)
        rows.append((run_id, number, *_values(row), place))
        ends[row.stream] = row.end
    connection.executemany(
        "INSERT INTO execution_output_chunks"
        " (execution_id, chunk_index, stream, text, timestamp, start, size, place)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    new = _State(**ends, position=pieces[-1].end)
    connection.execute(
        "UPDATE executions SET stdout_size = ?, stderr_size = ?, position = ?,"
        " output_truncated = 1, last_output_at = ? WHERE id = ?",
        (*new, to_moment(pieces[-1].time), run_id),
    )
    return new


def _values(row: Row) -> tuple[str, str | bytes, str, int, int]:
    return row.stream, as_value(row.data), to_moment(row.time), row.start, len(row.data)


# ------------------------------------------------------------------ the end of a run


class _Chunk(NamedTuple):
    rowid: int
    start: int
    size: int
    place: int


def _move_inline(connection: sqlite3.Connection, run_id: str, stream: str, most: int) -> int:
    """Move the beginning of a stream from its chunks into the row of its run; return its size."""
    chunks, data = _read_beginning(connection, run_id, stream, most)
    value = data if len(data) <= most else data[: boundary(data, most)]
    if isinstance(as_value(value), bytes):  # it has no characters that could be cut
        value = data[:most]
    left = len(value)
    pieces: list[tuple[int, int, int]] = []
    for chunk in chunks:
        taken = min(chunk.size, left)
        left -= taken
        if taken:
            _add(pieces, chunk, taken)
        if taken == chunk.size:
            connection.execute(
                "DELETE FROM execution_output_chunks WHERE rowid = ?", (chunk.rowid,)
            )
        elif taken:
            _shorten(connection, chunk, taken, data[len(value) : chunk.start + chunk.size])
    connection.executemany(
        "INSERT INTO execution_inline_pieces (execution_id, place, stream, start, size)"
        " VALUES (?, ?, ?, ?, ?)",
        [(run_id, place, stream, start, size) for place, start, size in pieces],
    )
    connection.execute(
        f"UPDATE executions SET {stream} = ? WHERE id = ?", (as_value(value), run_id)
    )
    return len(value)


def _read_beginning(
    connection: sqlite3.Connection, run_id: str, stream: str, most: int
) -> tuple[list[_Chunk], bytes]:
    """Return the chunks that hold the first bytes of a stream, up to a gap, and all their data."""
    chunks: list[_Chunk] = []
    data = bytearray()
    found = connection.execute(
        "SELECT rowid, start, size, place, CAST(text AS BLOB) FROM execution_output_chunks"
        " WHERE execution_id = ? AND stream = ? AND start < ? ORDER BY start",
        (run_id, stream, most),
    )
    for *numbers, text in found:
        chunk = _Chunk(*numbers)
        if chunk.start != len(data):
            break
        chunks.append(chunk)
        data += text
    return chunks, bytes(data)


def _add(pieces: list[tuple[int, int, int]], chunk: _Chunk, size: int) -> None:
    """Add a piece, as a part of the last one where nothing of the other stream lies between."""
    if pieces:
        place, start, before = pieces[-1]
        if place + before == chunk.place:
            pieces[-1] = place, start, before + size
            return
    pieces.append((chunk.place, chunk.start, size))


def _shorten(connection: sqlite3.Connection, chunk: _Chunk, taken: int, rest: bytes) -> None:
    """Take the beginning off a chunk."""
    connection.execute(
        "UPDATE execution_output_chunks SET text = ?, start = ?, size = ?, place = ?"
        " WHERE rowid = ?",
        (
            as_value(rest),
            chunk.start + taken,
            chunk.size - taken,
            chunk.place + taken,
            chunk.rowid,
        ),
    )
