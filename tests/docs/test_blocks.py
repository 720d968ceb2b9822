"""Each fenced block of each page is run or looked at by a test; `CHECKED` says by which."""

from __future__ import annotations

import ast
import json
import logging
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import click
import duckdb
import pytest
from documents import DOCUMENTS, ROOT, Block, find_blocks
from make import P, make_batch, publish

import logbatch
from logbatch.cli.commands import group
from logbatch.dataset.batches import batches_of_letters

pytestmark = pytest.mark.usefixtures("tmp_path")  # they write to the current directory

FILES = [*(ROOT / "tests" / "docs").glob("test_*.py"), ROOT / "tests" / "server" / "test_page.py"]
README = "README.md"
ASKING, FORMAT = "docs/asking.md", "docs/format.md"
OPERATIONS, RECEIVER, RECIPES = "docs/operations.md", "docs/receiver.md", "docs/recipes.md"


class Check(NamedTuple):
    """Blocks, and the test that checks them.

    Attributes:
        page: The page; empty for every one, except that of recipes.
        language: What stands behind the fence; None for whatever does.
        holding: A text that is in the blocks.
        test: The name of the test, in one of `FILES`.
    """

    page: str
    language: str | None
    holding: str
    test: str


RUN = "test_the_blocks_run_and_the_transcripts_are_what_is_printed"
CHECKED = [
    Check("", "python", "", RUN),
    Check("", "console", "$ logbatch ", RUN),
    Check("", "console", "pip install", "test_what_is_installed"),
    Check("", "sh", "logbatch ", "test_the_commands_are_understood"),
    Check(RECIPES, None, "", "test_every_recipe_is_run"),
    Check(README, "", "log.info", "test_the_pictures"),
    Check("docs/architecture.md", "", "transports/", "test_the_pictures"),
    Check(ASKING, "sql", "", "test_other_engines"),
    Check(ASKING, "", "level>=", "test_the_example_of_a_mistake_in_a_filter_is_what_is_said"),
    Check(FORMAT, "", "date=", "test_the_names_in_the_picture_are_names"),
    Check(FORMAT, "", ',"producer":', "test_the_end_of_a_line"),
    Check(FORMAT, "", '"pid":', "test_the_example_of_a_state_is_one"),
    Check(FORMAT, "json", "", "test_the_dead_letter"),
    Check(OPERATIONS, "dockerfile", "", "test_the_dockerfile_has_known_instructions"),
    Check(OPERATIONS, "yaml", "services:", "test_the_compose_file_mounts_what_it_declares"),
    Check(
        OPERATIONS, "yaml", "kind: Deployment", "test_the_environment_of_the_deployment_is_taken"
    ),
    Check(OPERATIONS, "yaml", "kind: StatefulSet", "test_the_receiver_of_the_cluster_runs"),
    Check(OPERATIONS, "yaml", "alert:", "test_the_alerts_ask_for_metrics_that_are_there"),
    Check(OPERATIONS, "ini", "", "test_systemd_takes_the_units"),
    Check(OPERATIONS, "sh", "rsync ", "test_a_backup_has_what_is_published"),
    Check("docs/run.md", "", "running 3/10", "test_the_table_of_runs"),
    Check("docs/view.md", "json", "", "test_the_message_is_one"),
    Check("docs/view.md", "py", "", "test_the_client_sees_the_newest"),
    Check("docs/run.md", "sql", "", "test_the_question_about_runs"),
    Check(RECEIVER, "sh", "curl ", "test_curl"),
    Check(RECEIVER, "json", "", "test_the_answer"),
    Check(RECEIVER, "", "syslog", "test_the_fields_of_syslog_daemons"),
    Check(RECEIVER, "", "d_logbatch", "test_the_fields_of_syslog_daemons"),
    Check(RECEIVER, "sh", "OTEL_", "test_the_variables_of_opentelemetry"),
    Check(RECEIVER, "yaml", "", "test_the_configurations_name_the_receivers_paths"),
]
BLOCKS = [(str(page.relative_to(ROOT)), block) for page in DOCUMENTS for block in find_blocks(page)]


def checks(check: Check, page: str, block: Block) -> bool:
    """Return whether it is that block's."""
    return (
        check.page in (page, "" if page != RECIPES else page)
        and check.language in (None, block.language)
        and check.holding in block.text
    )


def test_every_block_is_checked() -> None:
    """A block that no test looks at gets one, and a row in `CHECKED`."""
    unchecked = [
        (page, block.language, block.text)
        for page, block in BLOCKS
        if not any(checks(check, page, block) for check in CHECKED)
    ]
    assert [] == unchecked


def test_every_check_is_there() -> None:
    """Each test of `CHECKED` exists, and has a block."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in FILES]
    nodes = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert {check.test for check in CHECKED} <= {node.name for node in nodes}
    for check in CHECKED:
        assert any(checks(check, page, block) for page, block in BLOCKS), check


def test_no_block_is_overlooked() -> None:
    """There are as many blocks as half the fences."""
    fences = sum(len(re.findall(r"^\s*```", p.read_text(), re.MULTILINE)) for p in DOCUMENTS)
    assert fences == 2 * len(BLOCKS)


# ------------------------------------------------------------------ checks of single blocks


def text_of(page: str, holding: str) -> str:
    """Return the one block of a page that holds a text."""
    (found,) = [block.text for where, block in BLOCKS if where == page and holding in block.text]
    return found


def blocks_of(check: str) -> list[Block]:
    """List the blocks that a test here checks."""
    rows = [row for row in CHECKED if row.test == check]
    return [block for page, block in BLOCKS if any(checks(row, page, block) for row in rows)]


def test_what_is_installed() -> None:
    """The commands that install ask for an extra that there is, and run commands that there are."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = "".join(block.text for block in blocks_of("test_what_is_installed"))
    named = re.findall(r"\.\[(\w+)\]", text)
    assert named
    assert set(named) <= set(extras["optional-dependencies"])
    assert set(re.findall(r"-m logbatch (\w+)", text)) == {"demo"}


def commands_in(text: str) -> list[list[str]]:
    """List what follows `logbatch` in the lines of a shell."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "logbatch" in words:
            found.append(words[words.index("logbatch") + 1 :])
    return found


def test_the_commands_are_understood() -> None:
    """Each command has the options that a page gives it."""
    blocks = blocks_of("test_the_commands_are_understood")
    commands = [command for block in blocks for command in commands_in(block.text)]
    assert len(commands) >= 3
    for name, *arguments in commands:
        context = click.Context(group)
        command = group.get_command(context, name)
        assert command is not None, name
        inner = click.Context(command, **command.context_settings)
        command.make_parser(inner).parse_args(list(arguments))


def test_the_pictures() -> None:
    """Files and folders in them are there, and so are commands."""
    readme, architecture = (block.text for block in blocks_of("test_the_pictures"))
    paths = re.findall(r"\b[a-z_]+(?:/[a-z_]+\.py|/|\.py)", architecture)
    assert len(paths) > 8
    package = ROOT / "logbatch"
    for path in paths:
        assert list(package.rglob(path)) or (package / path).exists(), path
    for picture in (readme, architecture):
        (listed,) = re.findall(r"\b(tail(?:, \w+)+)", picture)
        assert set(listed.split(", ")) <= set(group.list_commands(click.Context(group)))


def test_other_engines() -> None:
    """The query of the page is one of DuckDB's, and sees what was logged."""
    with logbatch.attach("parquet:logs"):
        logging.getLogger("app").warning("it rains")
    found = duckdb.sql(text_of(ASKING, "SELECT level"))
    assert found is not None
    assert [("WARNING", 1)] == found.fetchall()


def test_the_end_of_a_line(tmp_path: Path) -> None:
    """Lines of files end as the page says, but for whose they are and which."""
    publish(tmp_path, make_batch(0, 0), kind="jsonl")
    (path,) = tmp_path.glob("date=*/*.jsonl")
    example = text_of(FORMAT, ',"producer":').rstrip("\n")
    ending = re.sub(r'"\w{26}","sequence":\d+', f'"{P}","sequence":0', example)
    assert path.read_text(encoding="utf-8").rstrip("\n").endswith(ending)


def test_the_dead_letter(tmp_path: Path) -> None:
    """It is read as one, and its record is what stands in it."""
    text = text_of(FORMAT, '"reason"')
    (tmp_path / "letters.jsonl").write_text(text, encoding="utf-8")
    shown = json.loads(text)
    (batch,) = batches_of_letters(tmp_path / "letters.jsonl", 10)
    assert (shown["producer"], shown["sequence"]) == (batch.producer, batch.first)
    (event,) = batch.events()
    assert shown["event"].items() <= event.items()
