"""What is tested is what a user installs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import logbatch
from logbatch.version import VERSION

ROOT = Path(__file__).parents[1]

under_tox = pytest.mark.skipif(
    "TOX_ENV_NAME" not in os.environ, reason="only tox installs the built wheel"
)


@under_tox
def test_the_wheel_is_tested_not_the_checkout() -> None:
    """Under tox, the tests import the installed package."""
    assert logbatch.__file__ is not None
    package = Path(logbatch.__file__).parent

    assert package != ROOT / "logbatch"
    assert package.is_relative_to(sys.prefix)


def test_children_run_the_same_package() -> None:
    """A Python that a test starts imports the very package that the test imports."""
    child = subprocess.run(
        [sys.executable, "-c", "import logbatch; print(logbatch.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert logbatch.__file__ == child.stdout.rstrip("\n")


def test_the_changelog_knows_the_version() -> None:
    """The newest section of the changelog is about this version."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    newest = next(line for line in lines if line.startswith("## "))

    assert newest.startswith(f"## [{VERSION}] - ")


def test_the_package_knows_its_version() -> None:
    """The version in the code is that of the installed package."""
    assert VERSION == metadata.version("logbatch")
