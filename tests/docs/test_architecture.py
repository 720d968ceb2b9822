"""docs/architecture.md answers by file, and the files are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from documents import ROOT, find_rows

import logbatch

PAGE = ROOT / "docs" / "architecture.md"
assert logbatch.__file__ is not None
PACKAGE = Path(logbatch.__file__).parent
QUESTIONS = find_rows(PAGE, "Where to change what")
ROOMS = find_rows(PAGE, "The rooms")

_PATH = re.compile(r"`([\w/]+(?:\.py|/))`")
_NAME = re.compile(r"`([A-Za-z_.]+)`")


def find_modules() -> set[str]:
    """List the files of the package; what an empty `__init__.py` says is said by its room."""
    found = PACKAGE.rglob("*.py")
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in found
        if path.name != "__init__.py" or path.parent == PACKAGE
    }


def named_in_rooms() -> set[str]:
    """List the files that the table of rooms names; in a row of a room they are within it."""
    found = set()
    for place, text in ROOMS:
        (room, *others) = _PATH.findall(place)
        if room.endswith("/"):
            found |= {f"{room}{name}" for name in _PATH.findall(text)}
        else:
            found |= {room, *others}
    return found


def test_every_path_that_is_named_exists() -> None:
    """No file is named that is not there; where one moves, the page follows."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    outside = "\n".join(line for line in lines if not line.startswith("| `"))  # the rooms' rows
    paths = {path for path in _PATH.findall(outside) if "/" in path} | named_in_rooms()
    paths |= {path for row in QUESTIONS for path in _PATH.findall(row[1])}
    assert len(paths) > 100
    missing = {path for path in paths if not any((r / path).exists() for r in (PACKAGE, ROOT))}
    assert set() == missing


def test_every_module_has_its_place() -> None:
    """Each file of the package is in the table of rooms, with what it is for."""
    assert set() == find_modules() - named_in_rooms()


def test_every_room_is_named() -> None:
    """So is each folder at the top of the package."""
    rooms = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == {room for place, _ in ROOMS for room in _PATH.findall(place) if "/" in room}


def defined_in(path: Path) -> set[str]:
    """List what a file defines, at its top or in a class."""
    if path.is_dir():
        return {name for file in path.glob("*.py") for name in defined_in(file)}
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("row", QUESTIONS, ids=lambda row: row[0])
def test_the_answers_are_where_the_page_says(row: list[str]) -> None:
    """What to begin at is defined in one of the files of its row."""
    files = [PACKAGE / path for path in _PATH.findall(row[1])]
    defined = {name for file in files for name in defined_in(file)}
    for name in _NAME.findall(row[2]):
        assert name.rpartition(".")[2] in defined, name
