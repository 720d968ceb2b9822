"""A program that was packed into one file finds transports and commands, which are loaded late."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
from scripted import scripted

import logbatch

PROGRAM = Path(__file__).parent / "programs" / "frozen.py"
COMMANDS = (
    *("run", "demo", "tail", "query", "stats", "export"),
    *("verify", "compact", "retain", "recover", "replay", "serve"),
)


def run(command: list[str | Path]) -> str:
    """Run the packed program, away from the checkout, and check what it says.

    Returns:
        The first line: where it has the package from.
    """
    # Not the checkout; but what else a run of the tests needs, such as that under another clock.
    checkout = str(Path(logbatch.__file__).parents[1])
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in path if each != checkout)}
    with scripted() as server:
        places = ["parquet:logs", "jsonl:lines", "jsonl:packed?compression=zstd", server.url]
        ran = subprocess.run(
            [*command, ",".join(COMMANDS), "logs", *places],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=env,
        )
        assert (0, "") == (ran.returncode, ran.stderr)
        assert [f"record {n}" for n in range(10)] == server.messages
    lines = ran.stdout.splitlines()
    assert 4 == lines.count("[10, null]")
    assert [f"record {n}" for n in range(10)] == [line[-8:] for line in lines[-10:]]
    usages = [line.split()[2] for line in lines if line.startswith("Usage: logbatch ")]
    assert list(COMMANDS) == usages
    return lines[0]


def test_a_zipapp(home: Path, tmp_path: Path) -> None:
    """The package is imported from the archive."""
    source = tmp_path / "source"
    package = Path(logbatch.__file__).parent
    shutil.copytree(package, source / "logbatch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROGRAM, source / "__main__.py")
    archive = tmp_path / "program.pyz"
    zipapp.create_archive(source, archive)

    assert run([sys.executable, archive]).startswith(str(archive))


@pytest.mark.timeout(600)
def test_pyinstaller(home: Path, tmp_path: Path) -> None:
    """No hook is needed, and no list of hidden imports.

    It said: No module named 'logbatch.transports.jsonl', and the same of each command.
    """
    if os.environ.get("TOX_ENV_NAME") == "recipes":
        importlib.import_module("PyInstaller")
    else:
        pytest.importorskip("PyInstaller")
    package = Path(logbatch.__file__).parent
    paths = ["--paths", str(package.parent), str(PROGRAM)]
    build = [sys.executable, "-m", "PyInstaller", "--onedir", *paths]
    subprocess.run(build, check=True, timeout=500, capture_output=True)

    assert str(tmp_path / "dist") in run([tmp_path / "dist" / "frozen" / "frozen"])
