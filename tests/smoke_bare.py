"""Try the wheel as it is installed by a plain `pip install`: no extras, no development tools.

Run by `tox -e wheel`, as a script: pytest is one of the tools that are not there.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata, resources
from pathlib import Path

import pyarrow.parquet

import logbatch

ABSENT = ("click", "duckdb", "rich", "mypy", "pytest", "tox")
CHECKOUT = Path(__file__).parents[1]


def main() -> None:
    """Run every check; the first that fails ends the script."""
    with tempfile.TemporaryDirectory() as folder:
        check_environment()
        check_wheel()
        check_writing(Path(folder))
        check_hint(Path(folder))
    print(f"logbatch {metadata.version('logbatch')} works without its extras")


def check_environment() -> None:
    """What is tried is the installed wheel, and only what it asks for stands beside it."""
    present = [name for name in ABSENT if importlib.util.find_spec(name)]
    assert not present, f"not a bare install: {present}"
    assert not Path(logbatch.__file__).is_relative_to(CHECKOUT / "logbatch"), logbatch.__file__


def check_wheel() -> None:
    """The wheel holds the package with its type marker, and nothing else."""
    files = metadata.files("logbatch")
    assert files is not None
    tops = {file.parts[0] for file in files} - {".."}  # the script is reached by ../../../bin
    assert {"logbatch"} == {top for top in tops if not top.endswith(".dist-info")}, tops
    assert (resources.files("logbatch") / "py.typed").is_file()


def check_writing(folder: Path) -> None:
    """A record goes through the handler to a Parquet file that pyarrow reads."""
    handler = logbatch.BatchHandler(f"parquet:{folder}")
    logger = logging.getLogger("smoke")
    logger.addHandler(handler)
    logger.warning("it %s", "works", extra={"answer": 42})
    handler.close()
    logger.removeHandler(handler)
    rows = [
        row
        for path in folder.glob("**/*.parquet")
        for row in pyarrow.parquet.ParquetFile(path).read(["level", "message"]).to_pylist()
    ]
    assert [{"level": "WARNING", "message": "it works"}] == rows, rows


def check_hint(folder: Path) -> None:
    """A command without its extra says in one line what to install."""
    script = Path(sysconfig.get_path("scripts")) / "logbatch"
    for command in ([str(script)], [sys.executable, "-m", "logbatch"]):
        done = subprocess.run(
            [*command, "tail", str(folder)], capture_output=True, text=True, check=False
        )
        assert 1 == done.returncode, done
        assert not done.stdout, done
        assert 1 == len(done.stderr.splitlines()), done
        assert "logbatch[tools]" in done.stderr, done


if __name__ == "__main__":
    main()
