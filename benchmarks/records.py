"""The records that benchmarks of reading ask about: many small files, and the same in a few large.

`small` is what one process of a busy service leaves, `compacted` what `logbatch compact` makes of
it: sorted, with typed columns for the attributes.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from logbatch.identity import Ranges, new_producer
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage

STEP = 125  # microseconds between two records, where nothing else is said
LOGGERS = [f"shop.{a}.{b}" for a in ("web", "db", "pay", "auth") for b in ("api", "pool", "core")]
TYPED = {"user_id": "int64", "session_id": "string", "ms": "float64", "status": "int64"}
LARGE = 1_000_000  # records of a compacted file
GROUP = 61_440  # of a row group in it


def make(
    base: Path, records: int, files: int, start: datetime | None = None, step: int = STEP
) -> None:
    """Write the same records to `base/small` and `base/compacted`.

    Args:
        base: Where they go; what is there is removed.
        records: How many.
        files: Small ones.
        start: When the first was logged; None for now.  All are written as of its date.
        step: Microseconds between two.
    """
    shutil.rmtree(base, ignore_errors=True)
    producer, start = new_producer(), start or datetime.now(UTC)
    day = f"date={start:%Y-%m-%d}"
    small, large = base / "small" / day, base / "unfinished" / day
    small.mkdir(parents=True)
    large.mkdir(parents=True)
    rng = random.Random(1)
    edges = [records * n // files for n in range(files + 1)]
    gathered: list[pa.Table] = []
    for first, stop in itertools.pairwise(edges):
        moments = (start + timedelta(microseconds=step * n) for n in range(first, stop))
        lines = b"".join(_line(moment, rng) for moment in moments)
        table = table_from_lines(lines, producer, first, TYPED)
        path = small / f"{producer}-{first}-{stop - 1}.parquet"
        pq.write_table(table.drop_columns(list(TYPED)), path, compression="zstd")
        written = (start + timedelta(microseconds=step * stop)).timestamp()
        os.utime(path, (written, written))
        gathered.append(table)
        if sum(map(len, gathered)) >= LARGE or stop == records:
            _write_large(large, producer, pa.concat_tables(gathered), stop - 1, written)
            gathered.clear()
    large.parent.rename(base / "compacted")


def _line(moment: datetime, rng: random.Random) -> bytes:
    failed = rng.random() < 0.01
    path, took = f"/items/{rng.randrange(5000)}", rng.expovariate(0.05)
    event = {
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
        "level": "ERROR" if failed else "INFO",
        "levelno": 40 if failed else 20,
        "logger": rng.choice(LOGGERS),
        "message": f"GET {path} took {took:.3f} ms",
        "template": "%s %s took %.3f ms",
        "pathname": "/srv/shop/app.py",
        "lineno": rng.randrange(300),
        "func_name": "handle",
        "process": 7,
        "thread": 1,
        "thread_name": "MainThread",
        "service": "shop",
        "host": "web-1",
        "attributes": {
            "user_id": rng.randrange(10_000),
            "session_id": f"{rng.randrange(1 << 40):x}",
            "ms": round(took, 3),
            "path": path,
            "status": rng.choice((200, 200, 200, 404, 500)),
        },
    }
    return msgspec.json.encode(event) + b"\n"


def _write_large(folder: Path, producer: str, table: pa.Table, last: int, written: float) -> None:
    coverage = Coverage({producer: Ranges([(last + 1 - len(table), last)])})
    table = table.replace_schema_metadata({KEY: encode_coverage(coverage)})
    path = folder / compacted_name()
    pq.write_table(table, path, compression="zstd", row_group_size=GROUP)
    os.utime(path, (written, written))
