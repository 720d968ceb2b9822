"""The command `logbatch`.

Importing this package loads none of the libraries of the extra `tools`; `main` does, and where
one is missing it prints in one line what to install.

Exit codes: 0 done; 1 an expected failure, explained in one line on stderr; 2 wrong usage; 3 a bug
in logbatch; 130 interrupted by Ctrl-C; 141 the reader of a pipe went away, as for any Unix tool;
143 ended by SIGTERM, which for a command that goes on until then is 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from logbatch.cli.ending import ending

_TOOLS = (
    *("click", "rich", "duckdb"),
    *("starlette", "uvicorn", "h11", "prometheus_client", "opentelemetry", "google"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: What follows the program's name; None means `sys.argv`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with ending(given):
            if arguments is None:  # the process is ours
                _do_without_numpy()
            from logbatch.cli.commands import run

            return run(given)
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
