"""The command `logbatch`.

Importing this package loads none of the libraries of the extra `tools`; `main` does, and where
one is missing it prints in one line what to install.

Exit codes: 0 done; 1 an expected failure, explained in one line on stderr; 2 wrong usage; 3 a bug
in logbatch; 130 interrupted by Ctrl-C; 141 the reader of a pipe went away, as for any Unix tool;
143 ended by SIGTERM, which for a command that goes on until then is 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

_T = TypeVar("_T")

_TOOLS = (
    *("click", "rich", "duckdb"),
    *("starlette", "uvicorn", "h11", "websockets", "prometheus_client", "opentelemetry", "google"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: What follows the program's name; None means `sys.argv`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:
        found = _prepare_run(words[1:])
        # Here, where nothing catches anything: what the program raises is the interpreter's.
        return found if isinstance(found, int) else found()
    from logbatch.cli.ending import ending

    with ending(words):
        if arguments is None:  # the process is ours
            _do_without_numpy()
        return _explaining(lambda: _run_command(words))


def _run_command(words: Sequence[str]) -> int:
    from logbatch.cli.commands import run

    return run(words)


def _prepare_run(words: Sequence[str]) -> Callable[[], int] | int:
    """Prepare `logbatch run`; what is plain, and a child that joins a run, needs no `click`."""
    if words[:1] == ["--joined"]:
        from logbatch.capture.python import PythonRun

        words = words[1:]
        if (joined := PythonRun.join(words)) is not None:
            return joined.run

    def prepare() -> Callable[[], int] | int:
        from logbatch.cli.run_plain import prepare_plain

        if (plain := prepare_plain(words)) is not None:
            return plain
        from logbatch.cli.run import prepare

        return prepare(words)

    return _explaining(prepare)


def _explaining(do: Callable[[], _T]) -> _T | int:
    """Do something; where a library is missing, say what to install and return the exit code."""
    try:
        return do()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _TOOLS:
            raise
        hint = f'logbatch: this command needs {missing}: pip install "logbatch[tools]"'
        print(hint, file=sys.stderr)
        return 1


def _do_without_numpy() -> None:
    """Spare each command the time to import NumPy, which PyArrow does wherever it is installed.

    No command needs it: neither PyArrow nor DuckDB nor logbatch depends on it.
    """
    sys.modules.setdefault("numpy", None)  # type: ignore[arg-type]
