"""The command line as a whole: help, version, exit codes, and what is said when things go wrong."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import pytest
from make import make_batch, publish

from logbatch.cli import commands, main
from logbatch.errors import DatasetError

COMMANDS = (
    *("run", "runs", "demo", "view", "tail", "query", "stats", "export"),
    *("verify", "compact", "retain", "recover", "replay", "serve"),
)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run `logbatch tail` where it fails with a given exception; return the exit code."""

    def run(error: BaseException) -> int:
        @click.command("tail")
        def command() -> None:
            raise error

        module = importlib.import_module("logbatch.cli.tail")
        monkeypatch.setattr(module, "command", command)
        return main(["tail"])

    return run


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_80_columns(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of each command fits a terminal, and that of a command has examples."""
    assert main([*filter(None, [command]), "--help"]) == 0
    shown = capsys.readouterr().out

    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert command is None or f"\n  Examples:\n    logbatch {command}" in shown


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command is listed with what it does."""
    main(["--help"])
    listed = capsys.readouterr().out.partition("\nCommands:\n")[2].splitlines()

    assert list(COMMANDS) == [line.split()[0] for line in listed]
    assert [line for line in listed if len(line.split()) < 3 or line.endswith("...")] == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is that of the installed package."""
    assert main(["--version"]) == 0
    assert f"logbatch {metadata.version('logbatch')}\n" == capsys.readouterr().out


def test_as_a_module() -> None:
    """`python -m logbatch` is the command."""
    done = subprocess.run(
        [sys.executable, "-m", "logbatch", "--version"], capture_output=True, text=True, check=True
    )

    assert f"logbatch {metadata.version('logbatch')}\n" == done.stdout


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """Without the libraries of the extra, one line says what to install."""
    done = run_python(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from logbatch.cli import main; sys.exit(main(['tail', '.']))"
    )

    assert (1, "") == (done.returncode, done.stdout)
    assert [f'logbatch: this command needs {missing}: pip install "logbatch[tools]"'] == (
        done.stderr.splitlines()
    )


def test_importing_is_light() -> None:
    """Importing the package of the commands loads none of the libraries of the extra."""
    done = run_python("import sys, logbatch.cli; print(*sys.modules)")

    assert {"click", "rich", "duckdb", "pyarrow"}.isdisjoint(done.stdout.split())


def test_help_is_quick() -> None:
    """The help of the commands that are asked most, and wrong usage, take none of what reads."""
    done = run_python(
        "import sys\n"
        "from logbatch.cli import main\n"
        "codes = [main([each, '--help']) for each in ('tail', 'query', 'serve', 'recover')]\n"
        "codes += [main(['tail', '--level', 'loud']), main(['query', '--nonsense'])]\n"
        "print(codes)\n"
        "print({'duckdb', 'numpy', 'pyarrow', 'requests'} & {*sys.modules})"
    )

    assert ["[0, 0, 0, 0, 2, 2]", "set()"] == done.stdout.splitlines()[-2:]


def test_commands_without_colours_take_nothing_that_makes_them() -> None:
    """Such as the receiver, of which there is one in each container."""
    done = run_python(
        "import sys\n"
        "from logbatch.cli import main\n"
        "codes = [main([each, '--help']) for each in ('serve', 'export', 'recover', 'replay')]\n"
        "print(codes, 'rich' in sys.modules)"
    )

    assert "[0, 0, 0, 0] False" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["stats", "."], ["query", ".", "SELECT count(*) FROM logs"]])
def test_commands_do_without_numpy(arguments: list[str], tmp_path: Path) -> None:
    """PyArrow would import NumPy wherever it is installed; as a program of ours it does not."""
    publish(tmp_path, make_batch(1, 3))
    done = run_python(
        "import runpy, sys\n"
        f"sys.argv = {['logbatch', *arguments]}\n"
        "try:\n    runpy.run_module('logbatch', run_name='__main__')\n"
        "finally:\n    print(sys.modules.get('numpy'), 'pyarrow' in sys.modules)"
    )

    assert (0, "None True") == (done.returncode, done.stdout.splitlines()[-1])


def test_main_leaves_its_caller_numpy() -> None:
    """Who calls a command from Python with arguments can go on and import what they like."""
    done = run_python(
        "from logbatch.cli import main\nprint(main(['--version']))\nimport numpy, pyarrow"
    )

    assert (0, "0") == (done.returncode, done.stdout.splitlines()[-1])


@pytest.mark.parametrize("arguments", [["tial"], ["tail", "--nonsense"], ["tail", "a", "b"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is exit code 2."""
    assert main(arguments) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DatasetError("it is\x1b[31m away"), 1, "Error: it is\\x1b[31m away\n"),
        (PermissionError(13, "Permission denied", "x"), 1, "Error: x: Permission denied\n"),
        (click.ClickException("no"), 1, "Error: no\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    said: str,
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An expected failure is told in one line; an interruption and a closed pipe need no words."""
    assert code == failing(error)
    assert said == capsys.readouterr().err


def test_a_bug_is_kept_for_a_report(
    failing: Callable[[BaseException], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unexpected exception is exit code 3; its traceback is kept in a file that is named."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = failing(RuntimeError("odd\x1b"))
    [kept] = tmp_path.glob("logbatch-bug-*.txt")
    said = capsys.readouterr().err

    assert code == 3
    assert said.startswith("Error: this is a bug in logbatch: RuntimeError('odd")
    assert "\x1b" not in said
    assert str(kept) in said
    assert "Traceback (most recent call last):" in kept.read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere", "Error: there is no directory nowhere\n"),
        ("file", "Error: file is a file, not a directory\n"),
        ("other", "Error: other holds no logs of logbatch\n"),
    ],
)
@pytest.mark.parametrize("command", [["tail"], ["stats"], ["verify"], ["recover"], ["query"]])
def test_a_wrong_directory(
    command: list[str], given: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory that is none, or holds no log, is told in one line."""
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    more = ["SELECT 1"] if command == ["query"] else []

    assert main([*command, given, *more]) == 1
    assert ("", said) == capsys.readouterr()


def test_without_any_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a directory, and without a log where it is by default, a hint is given."""
    assert main(["tail"]) == 1
    assert "; name a DIR, or set LOGBATCH_TRANSPORT\n" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["parquet:{}", "jsonl://{}?compression=zstd"])
def test_the_default_directory(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a directory, it is the one that the library writes to by default."""
    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("LOGBATCH_TRANSPORT", value.format(tmp_path / "logs"))

    assert main(["verify", "--json"]) == 0
    assert str(tmp_path / "logs") in capsys.readouterr().out


def test_a_wrong_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that says nothing sensible is told as such."""
    monkeypatch.setenv("LOGBATCH_TRANSPORT", "parqet:logs")

    assert main(["tail"]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert "LOGBATCH_TRANSPORT" in said


def test_all_commands_are_known() -> None:
    """The group has the commands that are documented, and loads one when it is asked for."""
    context: Any = click.Context(commands.group)

    assert list(COMMANDS) == commands.group.list_commands(context)
    assert commands.group.get_command(context, "nonsense") is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["tail", "https://h/p"],
            "https:… is not a directory; what was sent there is at the server",
        ),
        (["serve", "http://h"], "http:… is not a directory"),
        (["recover", "logs", "--token", "x"], "--token and --header need a URL"),
        (
            ["recover", ".", "--to", "csv"],
            "--to csv: the files of a directory are parquet or jsonl",
        ),
    ],
)
def test_a_place_of_the_wrong_kind_is_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    assert main(arguments) in (1, 2)
    assert told in capsys.readouterr().err


def test_a_directory_may_be_written_as_a_transport_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README writes `parquet:logs`."""
    (tmp_path / "logs" / ".journal").mkdir(parents=True)
    assert 0 == main(["verify", "parquet:logs"])
    assert "0 records" in capsys.readouterr().out
