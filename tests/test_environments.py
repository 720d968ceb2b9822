"""The Pythons that are promised are those that are tested."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def supported() -> list[str]:
    """Return the versions of Python that the package says it supports, the oldest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    kind = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    return [found[1] for each in project["classifiers"] if (found := kind.fullmatch(each))]


def test_every_supported_python_has_an_environment() -> None:
    """`tox` runs the tests on each, and everything else on the first of these that there is."""
    names = [f"py{version.replace('.', '')}" for version in supported()]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")

    found = tox["tox"]["env_list"].split(", ")
    assert names == [name for name in found if name.startswith("py")]
    assert names == tox["testenv"]["base_python"].split(", ")


def test_the_oldest_and_the_newest_python_are_told() -> None:
    """What pip refuses, and what the pages say, agree with the classifiers."""
    oldest, *_, newest = supported()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert f">={oldest}" == project["project"]["requires-python"]
    assert f"py{oldest.replace('.', '')}" == project["tool"]["ruff"]["target-version"]
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text()
        assert f"CPython {oldest} or newer" in text
        assert f"every CPython from {oldest} to {newest} that is installed" in text
