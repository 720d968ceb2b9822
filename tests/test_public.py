"""What `import logbatch` gives: these names, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import logbatch

NAMES = [
    *("Batch", "BatchHandler", "BatchProcessor", "BatchUnsupportedError"),
    *("Dataset", "DatasetError", "DatasetWarning", "DeniedError"),
    *("ErrorGroup", "ErrorGroups", "Facet", "Filter", "FilterError", "Histogram"),
    *("LogbatchError", "Mark", "Options", "Pattern", "Patterns", "ProcessReport"),
    *("QueryError", "Ranges", "Receipt"),
    *("RejectedError", "ReportInterval", "Stats", "TemporaryError", "Transport", "TransportError"),
    *("__version__", "attach"),
]


def run(code: str) -> list[str]:
    """Run code in a Python that has imported nothing; return the words that it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_public_names() -> None:
    """They are listed, can be imported, and are documented."""
    assert NAMES == logbatch.__all__ == sorted(logbatch.__all__)
    assert [] == [name for name in NAMES if not getattr(logbatch, name).__doc__]
    assert set(NAMES) <= set(dir(logbatch))


def test_there_are_no_others() -> None:
    """A star import brings these names; what else is in the module is a module or private."""
    code = "before = set(globals()); from logbatch import *; print(*set(globals()) - before)"
    public = run("import logbatch, types; print(*(n for n, v in vars(logbatch).items()"
                 " if n[0] != '_' and type(v) is not types.ModuleType))")  # fmt: skip

    assert set(NAMES) == set(run(code)) - {"before"}
    assert set(public) - {"TYPE_CHECKING", "Any"} <= set(NAMES)


def test_the_version() -> None:
    """It is that of the installed package."""
    assert metadata.version("logbatch") == logbatch.__version__


def test_what_reads_a_log_is_loaded_when_it_is_asked_for() -> None:
    """Neither a filter nor a warning loads pyarrow."""
    code = "import logbatch, sys; logbatch.Filter.parse('level>=ERROR'); logbatch.DatasetWarning;"

    assert ["False"] == run(code + "print('pyarrow' in sys.modules)")


def test_an_unknown_name() -> None:
    """It is told as for any module."""
    code = "import logbatch\ntry: logbatch.Datset\nexcept AttributeError as error: print(error)"

    assert ["module", "'logbatch'", "has", "no", "attribute", "'Datset'"] == run(code)
