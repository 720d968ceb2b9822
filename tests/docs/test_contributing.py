"""CONTRIBUTING.md: its paths are there, and its commands name environments, files and tests."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT, find_rows

PAGE = ROOT / "CONTRIBUTING.md"
COMMANDS = [row[0].strip("`") for row in find_rows(PAGE, "Run the checks")]


def find_environments() -> set[str]:
    """List the environments of tox that have a section, or stand in the list."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")
    listed = re.split(r"[,\s]+", settings["tox"]["env_list"])
    return {*listed, *(name.partition(":")[2] for name in settings.sections() if ":" in name)}


def check_environment(name: str) -> None:
    """Check that tox has an environment, of which a Python's may have factors more."""
    known = find_environments()
    python, _, factor = name.partition("-")
    assert name in known or (
        python in known and f"\n    {factor}:" in (ROOT / "tox.ini").read_text(encoding="utf-8")
    ), name


def check_tests(arguments: list[str], folder: Path) -> None:
    """Check that pytest finds tests by these arguments in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "--quiet", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "::test_" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_name_what_there_is(command: str) -> None:
    """Environments of tox, tests that pytest finds, and scripts."""
    program, *arguments = shlex.split(command)
    if program == "tox":
        own, _, handed_on = " ".join(arguments).partition(" -- ")
        for name in own.removeprefix("-e ").split(",") if own else ():
            check_environment(name)
        if handed_on:
            check_tests(shlex.split(handed_on), ROOT / "tests")
    elif "pytest" in (program, *arguments):
        words = [program, *arguments]
        check_tests(words[words.index("pytest") + 1 :], ROOT)
        assert program == "pytest" or (ROOT / arguments[0] / "__main__.py").is_file()
    else:
        assert (ROOT / program).is_file()


def test_the_paths_are_there() -> None:
    """Each file and folder that the page sends a reader to."""
    named = re.findall(r"`((?:logbatch|tests|docs)/[\w./]*)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 15
    assert [] == [path for path in named if not (ROOT / path).exists()]


def test_the_source_archive_has_every_page() -> None:
    """Each is included; the README, whatever is listed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    wanted = {f"/{page.relative_to(ROOT).parts[0]}" for page in DOCUMENTS} - {"/README.md"}
    assert set() == (wanted | {"/CHANGELOG.md", "/.ci"}) - set(included)
    assert [] == [path for path in included if not (ROOT / path[1:]).exists()]
