"""The README is true: its blocks run, its transcripts are what is printed, its tables are whole."""

import dataclasses
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import logbatch
from logbatch.options import BatchOptions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(README)
PYTHON = [text for language, text in BLOCKS if language == "python"]
CONSOLE = [text for language, text in BLOCKS if language == "console"]
OURS = "$ logbatch "


def run(*command: str) -> str:
    """Run a command in the current directory and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def transcripts() -> list[tuple[str, str]]:
    """Find the commands of logbatch in the README, each with what is said to be printed."""
    found = []
    for block in CONSOLE:
        for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE):
            command, _, output = part.partition("\n")
            if command.startswith(OURS):
                found.append((command.removeprefix(OURS), output))
    return found


def without_times(text: str) -> list[str]:
    """Make two outputs comparable: times, ids and the width of what stands for them go."""
    text = re.sub(r"\d\d:\d\d:\d\d(\.\d+)?", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)
    text = re.sub(r"\b[0-7][0-9a-z]{25}\b", "PRODUCER", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_blocks_run_and_the_transcripts_are_what_is_printed(tmp_path: Path):
    """Every Python block runs as it stands, and every command prints what is shown."""
    for block in PYTHON:
        run(sys.executable, "-c", block)
    assert len(PYTHON) >= 4
    assert len(transcripts()) >= 3
    for command, expected in transcripts():
        import shlex

        printed = run(sys.executable, "-m", "logbatch", *shlex.split(command))
        assert without_times(expected) == without_times(printed), command


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_blocks_of_a_guide_run(guide: Path, tmp_path: Path):
    """As they stand; and each link to a file of ours leads to one."""
    text = guide.read_text()
    for language, block in FENCE.findall(text):
        if language == "python":
            run(sys.executable, "-c", block)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (guide.parent / link).exists(), link


@pytest.mark.parametrize("field", dataclasses.fields(BatchOptions), ids=lambda field: field.name)
def test_every_option_is_in_the_table(field):
    """The README names every option."""
    assert f"`{field.name}`" in README


def test_every_dependency_is_in_the_table():
    """The README says of each dependency what it is for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tools"]]
    table = README[README.index("## Dependencies") :]
    for requirement in wanted:
        assert re.split(r"[<>=\[]", requirement)[0] in table


def test_every_command_is_documented():
    """The README names every command of the command line."""
    listed = run(sys.executable, "-m", "logbatch", "--help")
    commands = re.findall(r"^  (\w+)  ", listed[listed.index("Commands:") :], re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        assert f"logbatch {command}" in README, command


def test_all_is_exact():
    """`__all__` names what can be imported, and each public name is documented."""
    for name in logbatch.__all__:
        assert getattr(logbatch, name).__doc__, name
    public = {name for name in vars(logbatch) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(logbatch, name)).__name__ == "module"}
    assert public - modules - {"TYPE_CHECKING", "Any"} <= set(logbatch.__all__)


def test_the_readme_has_no_gaps():
    """No placeholder is left where something was to be written."""
    assert [] == re.findall(r"^[A-Z_]{4,}$", README, re.MULTILINE)


def test_the_readme_names_no_machine():
    """Nothing in the README is tied to one machine."""
    assert not re.search(r"/(root|home|work)/", README)
