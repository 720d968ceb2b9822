"""The documents of the repository, taken apart: their blocks, links, headings and tables."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, *PAGES, *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "SECURITY"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FILE = re.compile(r"`([\w./]+)`[^`\n]*:\s*\Z")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        language: What stands behind the fence.
        text: What is in it.
        section: The heading above it.
        file: The name of a file at the end of the sentence before it; empty where there is none.
    """

    language: str
    text: str
    section: str
    file: str


def find_blocks(page: Path, language: str = "") -> list[Block]:
    """List the blocks of a page; with a language, only those in it."""
    text = page.read_text(encoding="utf-8")
    headings = _find_headings(text)
    found = []
    for match in _FENCE.finditer(text):
        section = next((name for at, name in reversed(headings) if at < match.start()), "")
        file = _FILE.search(text[: match.start()])
        found.append(Block(match[1], match[2], section, file[1] if file else ""))
    return [block for block in found if language in ("", block.language)]


def _find_headings(text: str) -> list[tuple[int, str]]:
    inside = [match.span() for match in _FENCE.finditer(text)]
    return [
        (match.start(), match[1])
        for match in _HEADING.finditer(text)
        if not any(start < match.start() < end for start, end in inside)
    ]


def find_anchors(page: Path) -> set[str]:
    """List what a link may name behind its `#`, as GitHub makes it of the headings."""
    text = page.read_text(encoding="utf-8")
    return {
        _NOT_IN_ANCHORS.sub("", heading).strip().lower().replace(" ", "-")
        for _, heading in _find_headings(text)
    }


def find_links(page: Path) -> list[str]:
    """List where the links of a page lead."""
    return _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def find_rows(page: Path, section: str) -> list[list[str]]:
    """List the cells of all tables in a section, row by row, without the headers."""
    text = page.read_text(encoding="utf-8")
    headings = [*_find_headings(text), (len(text), "")]
    rows: list[list[str]] = []
    for (start, name), (end, _) in pairwise(headings):
        if name == section:
            lines = [line for line in text[start:end].splitlines() if line.startswith("|")]
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            rules = [at for at, row in enumerate(cells) if set("".join(row)) <= set("-:")]
            rows += [row for at, row in enumerate(cells) if at not in rules and at + 1 not in rules]
    return rows


def names_in(cell: str) -> list[str]:
    """List what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)
