"""Who may send as whom: tokens, and which of them a producer is bound to.

A producer is bound to the token that first stored something as it, so that who holds another token
can neither add to its records nor learn by the answers which there are.  What is kept is a keyed
hash of the token, by a random key of this directory: a copy of the file tells no token, not even a
guessed one without the key beside it.  A binding holds only as long as its token is accepted: who
replaces a token by another frees its producers.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from logbatch.disk import create_file, make_directory
from logbatch.errors import LogbatchError, TemporaryError

_REMEMBERED = 10_000  # producers
_TABLES = """
CREATE TABLE IF NOT EXISTS secret (hash_key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS binding (producer TEXT PRIMARY KEY, token BLOB NOT NULL) WITHOUT ROWID;
"""


class Tokens:
    """The tokens that are accepted.

    Args:
        tokens: The tokens themselves; none lets everybody in.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = [token.encode() for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._tokens)

    def __repr__(self) -> str:
        return f"<{len(self._tokens)} tokens>"

    def find(self, header: str) -> bytes | None:
        """Return the token that an `Authorization` header holds; None where it is not accepted.

        It takes as long for each token, whatever is in the header.
        """
        scheme, _, given = header.strip().partition(" ")
        came = given.strip().encode()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token, came):
                found = token
        return found if scheme.lower() == "bearer" else None


class Bindings:
    """Which token each producer is bound to, kept in a file.  One thread at a time may use it.

    Args:
        folder: Where the file is; it is made, for this user only.
        tokens: The tokens that are accepted.

    Raises:
        LogbatchError: The file cannot be used.
    """

    def __init__(self, folder: Path, tokens: Tokens) -> None:
        path = folder / "bindings.sqlite3"
        try:
            make_directory(folder, sync=True)
            with contextlib.suppress(FileExistsError):
                os.close(create_file(path))
            self._database = sqlite3.connect(path, check_same_thread=False)
            key = self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise LogbatchError(f"{path} cannot be used: {error}") from error
        self._key = key
        self._accepted = {self._hash(token) for token in tokens}
        self._known: dict[str, bytes | None] = {}

    def _prepare(self) -> bytes:
        self._database.executescript(_TABLES)
        row = self._database.execute("SELECT hash_key FROM secret").fetchone()
        if row is None:
            row = (secrets.token_bytes(32),)
            with self._database:
                self._database.execute("INSERT INTO secret VALUES (?)", row)
        return bytes(row[0])

    def bind(self, producer: str, token: bytes | None) -> bool:
        """Bind a producer to a token, if it is not bound to another; return whether it may be used.

        Args:
            producer: Who sends.
            token: The token it came with; None where none is asked for, which binds nothing.

        Raises:
            TemporaryError: The binding could not be read or kept.
        """
        if token is None:
            return True
        mine = self._hash(token)
        try:
            bound = self._look_up(producer)
            if bound is None or bound not in self._accepted:
                self._keep(producer, mine)
                bound = mine
        except sqlite3.Error as error:
            self._known.pop(producer, None)
            raise TemporaryError("the token of a producer cannot be kept") from error
        return hmac.compare_digest(bound, mine)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _hash(self, token: bytes) -> bytes:
        return hmac.digest(self._key, token, hashlib.sha256)

    def _look_up(self, producer: str) -> bytes | None:
        if producer not in self._known:
            query = "SELECT token FROM binding WHERE producer = ?"
            row = self._database.execute(query, (producer,)).fetchone()
            self._remember(producer, None if row is None else bytes(row[0]))
        return self._known[producer]

    def _keep(self, producer: str, mine: bytes) -> None:
        with self._database:
            self._database.execute("REPLACE INTO binding VALUES (?, ?)", (producer, mine))
        self._remember(producer, mine)

    def _remember(self, producer: str, token: bytes | None) -> None:
        self._known[producer] = token
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
