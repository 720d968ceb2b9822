"""What an editor and a type checker know of the options.

Nothing runs here: `BatchOptions` and the transports check the values.  What an option means stands
in the docstring of `BatchHandler`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Literal, TypedDict

from logbatch.options import OnError


class Options(TypedDict, total=False):
    """The keywords that a handler and a processor have in common, with their types.

    For a function that passes them on (`**options: Unpack[Options]`), and for options that several
    handlers share (`shared: Options = {"flush_interval": 2.0}`).  `BatchHandler` documents them.
    """

    # Of every transport.
    flush_interval: float | Literal["adaptive"]
    max_batch_size: int
    max_batch_bytes: int
    flush_level: int | str | None
    durability: Literal["process", "power", "memory"]
    max_journal_bytes: int
    when_full: Literal["drop_newest", "drop_oldest", "block"]
    block_timeout: float
    close_timeout: float
    max_value_bytes: int
    objects: Literal["repr", "type"]
    service: str | None
    host: str | None
    redact: str | Sequence[str] | Set[str]
    redact_patterns: str | Sequence[str | re.Pattern[str]]
    collapse_repeats: bool
    report: bool
    on_error: OnError | None

    # Of files, and of HTTP too.
    compression: Literal["zstd", "gzip", "snappy", "lz4", "brotli", "auto", "none"]

    # Of files.
    retain_age: str | float | None
    retain_bytes: str | int | None

    # Of Parquet files.
    compact: bool
    compact_share: float
    compact_bytes: int

    # Of JSON Lines files.
    rotate_bytes: int
    rotate_seconds: float

    # Of HTTP.
    body: Literal["logs", "array", "ndjson"]
    fields: Mapping[str, str | None] | None
    headers: Mapping[str, str] | None
    token: str | Callable[[], str] | None
    account: str | None
    single_url: str | None
    single_method: Literal["POST", "PATCH", "PUT"]
    batch_recheck: float
    fallback: Literal["missing", "any"]
    timeout: float
    proxies: str | Mapping[str, str] | None
    verify: bool | str | os.PathLike[str]
    insecure: bool
    accept_html: bool
