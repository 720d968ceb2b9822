"""The pages are true: their blocks run, their transcripts are what is printed, their links lead."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import warm
from documents import (
    DOCUMENTS,
    PAGES,
    README,
    ROOT,
    find_anchors,
    find_blocks,
    find_links,
    find_rows,
)

import logbatch
from logbatch.options import BatchOptions

RECIPES = ROOT / "docs" / "recipes.md"  # run by its own test, with the software it is for
RUN = [page for page in DOCUMENTS if page != RECIPES]
OPTIONS = ROOT / "docs" / "options.md"


def run(*command: str) -> str:
    """Run a command in the current directory and return what it printed."""
    done = warm.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    shown: str = done.stdout
    return shown


def name_of(page: Path) -> str:
    """Name a page by its path in the repository."""
    return str(page.relative_to(ROOT))


def transcripts(page: Path) -> list[tuple[str, str]]:
    """List the commands of logbatch in a page, each with what is said to be printed."""
    found = []
    for block in find_blocks(page, "console"):
        for part in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE):
            command, _, output = part.partition("\n")
            if command.startswith("$ logbatch "):
                found.append((command.removeprefix("$ logbatch "), output))
    return found


def without_times(text: str) -> list[str]:
    """Make two outputs comparable: times, ids and the width of what stands for them go."""
    text = re.sub(r"\d\d:\d\d:\d\d(\.\d+)?", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)
    text = re.sub(r"\b[0-7][0-9a-z]{25}\b", "PRODUCER", text)
    text = re.sub(r"^[0-7][0-9a-z]{9}(?= )", "RUN_ID", text, flags=re.MULTILINE)
    text = re.sub(r"\b\d\.\d s\b", "SECONDS", text)
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_blocks_run_and_the_transcripts_are_what_is_printed(page: Path, tmp_path: Path) -> None:
    """Every Python block of a page runs as it stands; every command then prints what is shown."""
    for block in find_blocks(page, "python"):
        run(sys.executable, "-c", block.text)
    for command, expected in transcripts(page):
        printed = run(sys.executable, "-m", "logbatch", *shlex.split(command))
        assert without_times(expected) == without_times(printed), command


def test_the_readme_is_short_and_shows_its_uses() -> None:
    """It has at most 200 lines, in which three programs and what to ask of them."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200
    assert len(find_blocks(README, "python")) >= 3
    assert len(transcripts(README)) >= 3


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_the_links_lead_somewhere(page: Path) -> None:
    """Each link to a file of ours leads to one, and behind its `#` stands a heading of it."""
    for link in find_links(page):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in find_anchors(target), link


def test_the_readme_has_a_picture_of_the_page() -> None:
    """Dark and light, each small enough to be there at once."""
    named = re.findall(r'src(?:set)?="([^"]+)"', README.read_text(encoding="utf-8"))
    assert ["docs/view-dark.png", "docs/view-light.png"] == sorted(named)
    assert [] == [name for name in named if (ROOT / name).stat().st_size >= 200_000]


def test_every_page_can_be_found() -> None:
    """The README links to every page."""
    linked = {link.partition("#")[0] for link in find_links(README)}
    assert {name_of(page) for page in PAGES} <= linked
    assert {"SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= linked


def test_every_dependency_is_in_the_table() -> None:
    """The README says of each dependency what it is for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tools"]]
    named = ", ".join(row[0] for row in find_rows(README, "Dependencies"))
    for requirement in wanted:
        assert re.split(r"[<>=\[]", requirement)[0] in named


def find_commands() -> list[str]:
    """List the commands of the command line."""
    listed = run(sys.executable, "-m", "logbatch", "--help")
    return re.findall(r"^  (\w+)  ", listed[listed.index("Commands:") :], re.MULTILINE)


def test_every_command_is_documented() -> None:
    """The README names every command, and the page on asking says what it is for."""
    table = {row[0].split()[1].strip("`") for row in find_rows(ROOT / "docs/asking.md", "Commands")}
    commands = find_commands()
    assert len(commands) >= 6
    assert set(commands) == table
    for command in commands:
        assert f"logbatch {command}" in README.read_text(encoding="utf-8"), command


def test_every_option_of_the_receiver_is_documented() -> None:
    """The page on receiving has each option of `logbatch serve`."""
    listed = run(sys.executable, "-m", "logbatch", "serve", "--help")
    options = set(re.findall(r"^  (--[a-z-]+)", listed, re.MULTILINE))
    rows = find_rows(ROOT / "docs" / "receiver.md", "Options")
    documented = {name for row in rows for name in re.findall(r"--[a-z-]+", row[0])}
    assert len(options) > 10
    assert options == documented


def test_the_example_of_a_mistake_in_a_filter_is_what_is_said() -> None:
    """A filter that does not parse says what stands on the page."""
    page = ROOT / "docs" / "asking.md"
    (example,) = [b.text for b in find_blocks(page) if b.section == "Filters"]
    with pytest.raises(logbatch.FilterError) as error:
        list(logbatch.Dataset(".").rows("level>=WARNIN user_id=42"))
    assert example.rstrip("\n") == str(error.value)


def test_all_is_exact() -> None:
    """`__all__` names what can be imported, and each public name is documented."""
    for name in logbatch.__all__:
        assert getattr(logbatch, name).__doc__, name
    public = {name for name in vars(logbatch) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(logbatch, name)).__name__ == "module"}
    assert public - modules - {"TYPE_CHECKING", "Any"} <= set(logbatch.__all__)


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_nothing_is_left_to_be_written(page: Path) -> None:
    """No placeholder stands where something was to be written, and nothing names one machine."""
    text = page.read_text(encoding="utf-8")
    assert [] == re.findall(r"\b(?:TODO|FIXME|XXX)\b|^[A-Z_]{4,}$", text, re.MULTILINE)
    assert not re.search(r"/(root|home|work)/", text)


# ------------------------------------------------------------------ options


def test_every_option_is_in_the_table() -> None:
    """Each option of the handler stands there, and nothing that is none."""
    documented = {row[0].strip("`") for row in find_rows(OPTIONS, "Of every transport")}
    fields = {field.name for field in dataclasses.fields(BatchOptions)}
    assert fields | {"export_metrics", "level"} == documented
