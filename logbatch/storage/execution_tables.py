"""The tables of the record of runs, and the indexes that keep it quick however long it gets.

What is long, `stdout` and `stderr`, a list of runs never touches: all other columns that it shows
are in `executions_by_time`.
"""

from __future__ import annotations

import sqlite3

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS executions (
        id TEXT PRIMARY KEY NOT NULL,
        command TEXT NOT NULL,
        started_at TEXT NOT NULL,
        ended_at TEXT,
        exit_code INTEGER,
        stdout,
        stderr,
        stdout_size INTEGER NOT NULL DEFAULT 0,
        stderr_size INTEGER NOT NULL DEFAULT 0,
        output_truncated INTEGER NOT NULL DEFAULT 0,
        progress TEXT,
        last_output_at TEXT,
        host TEXT,
        pid INTEGER,
        position INTEGER NOT NULL DEFAULT 0,
        owner TEXT
    )""",
    """CREATE TABLE IF NOT EXISTS execution_output_chunks (
        execution_id TEXT NOT NULL,
        chunk_index INTEGER NOT NULL,
        stream TEXT NOT NULL,
        text NOT NULL,
        timestamp TEXT NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL,
        place INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS execution_inline_pieces (
        execution_id TEXT NOT NULL,
        place INTEGER NOT NULL,
        stream TEXT NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (execution_id, place)
    ) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS executions_by_time ON executions (
        started_at, id, command, ended_at, exit_code, stdout_size, stderr_size, output_truncated,
        progress, last_output_at, host, pid, owner
    )""",
    """CREATE INDEX IF NOT EXISTS executions_without_end ON executions (started_at)
        WHERE ended_at IS NULL""",
    """CREATE UNIQUE INDEX IF NOT EXISTS chunks_by_index
        ON execution_output_chunks (execution_id, chunk_index)""",
    """CREATE INDEX IF NOT EXISTS chunks_by_start
        ON execution_output_chunks (execution_id, stream, start, size)""",
    """CREATE INDEX IF NOT EXISTS chunks_by_place
        ON execution_output_chunks (execution_id, place, size)""",
)

_LAST = "chunks_by_place"  # is created last: where it is there, all is


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is not there yet, in the transaction that goes on."""
    query = "SELECT 1 FROM sqlite_master WHERE name = ?"
    if connection.execute(query, (_LAST,)).fetchone() is None:
        for statement in _SCHEMA:
            connection.execute(statement)
