"""A program that writes, reads and asks, and prints what was imported or looked for.

Usage: imported.py DIRECTORY
"""

from __future__ import annotations

import logging
import sys
from importlib.abc import MetaPathFinder
from typing import Any

tried: set[str] = set()


class Watching(MetaPathFinder):
    """Notes what is imported, whether it is installed or not."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        """Note a name and leave it to others."""
        if "." not in name and name not in sys.stdlib_module_names:
            tried.add(name)


sys.meta_path.insert(0, Watching())

import logbatch  # noqa: E402


def run(command: list[str]) -> None:
    """Run one of logbatch's commands."""
    from logbatch.cli import main

    try:
        main(command)
    except SystemExit as done:
        print(command[0], done.code)


url = f"parquet:{sys.argv[1]}"
columns = {"n": "int64", "x": "float64", "ok": "bool", "who": "string", "when": "timestamp"}
with logbatch.BatchHandler(url, columns=columns) as handler:
    log = logging.getLogger("app")
    log.addHandler(handler)
    for n in range(3):
        log.warning("number %d", n, extra={"n": n, "x": n / 2, "ok": True, "who": "é"})
        log.warning("plain")
        log.error("failed", exc_info=ValueError(n))
    print(handler.flush())
    log.removeHandler(handler)

dataset = logbatch.Dataset(sys.argv[1])
for where in ("number", "level>=ERROR", "n=1", "-n=1", "logger=app since=1h", 'message="plain"'):
    print(where, sum(1 for _ in dataset.rows(where)))
print(len(list(dataset.rows(limit=2, newest_first=True))))
run(["tail", sys.argv[1]])
print(*sorted(tried))
