"""`logbatch tail`: which records are shown, in which order, and in which form."""

from __future__ import annotations

import json
import operator
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import warm
from make import START, event, publish_events

from logbatch.cli import main

NASTY = "a\x1b[31mb\u202ec\nd\x9b\u2028[bold]e[/bold]"


def write(directory: Path, *events: dict[str, Any]) -> str:
    """Publish events, a second apart unless they say when, as one process; return its id."""
    default = (
        event(f"event {at}", timestamp=START + timedelta(seconds=at)) for at in range(len(events))
    )
    return publish_events(directory, *map(operator.or_, default, events))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run `logbatch tail logs …`, which succeeds; return its lines."""
    assert main(["tail", "logs", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.split("\n")[:-1]


def messages(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run `logbatch tail logs --json …`; return the messages."""
    return [json.loads(line)["message"] for line in shown(capsys, "--json", *arguments)]


def test_the_newest_ten_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest ten records are shown, oldest first."""
    write(tmp_path / "logs", *[{}] * 15)

    assert [f"event {at}" for at in range(5, 15)] == messages(capsys)


@pytest.mark.parametrize(("lines", "first"), [("3", 12), ("all", 0), ("0", 15), ("99", 0)])
def test_how_many(
    lines: str, first: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-n` takes a number, or all."""
    write(tmp_path / "logs", *[{}] * 15)

    assert [f"event {at}" for at in range(first, 15)] == messages(capsys, "-n", lines)


def test_all_since(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--since`, all records since then are shown."""
    write(tmp_path / "logs", *[{}] * 15)

    assert len(messages(capsys, "--since", "2026-11-21T10:00:01")) == 14
    assert len(messages(capsys, "--since", "2026-11-21T10:00:01", "-n", "2")) == 2


def test_processes_are_merged_by_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Records of all processes stand in the order of time."""
    write(tmp_path / "logs", {"message": "a"}, {"message": "c", "timestamp": "2026-11-21T11:00Z"})
    write(tmp_path / "logs", {"message": "b", "timestamp": "2026-11-21T10:30Z"})

    assert ["a", "b", "c"] == messages(capsys)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--level", "warning"], ["low disk", "failed"]),
        (["--logger", "app.web"], ["low disk"]),
        (["--until", "2026-11-21T10:00:01"], ["Hello there"]),
        (["--grep", "hello"], ["Hello there"]),
        (["--grep", 'say "x"'], []),
        (["--where", "-disk status>=500"], ["failed"]),
        (["--level", "ERROR", "--where", "disk"], []),
    ],
)
def test_filters(
    options: list[str], expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each option narrows the choice, and all of them hold together."""
    write(
        tmp_path / "logs",
        {"message": "Hello there"},
        {"message": "low disk", "level": "WARNING", "levelno": 30, "logger": "app.web.disk"},
        {"message": "failed", "level": "ERROR", "levelno": 40, "attributes": {"status": 503}},
    )

    assert expected == messages(capsys, *options)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--level", "WARN1NG", "'--level': level='WARN1NG' "),
        ("--since", "soon", "'--since': 'soon' is not a time"),
        ("--where", "a=1 b>>2", "'--where': >> is not an operator"),
        ("--lines", "-3", "'-n' / '--lines': '-3' is neither a number nor all"),
    ],
)
def test_mistakes(
    option: str, value: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in an option is told with the option's name."""
    (tmp_path / "logs").mkdir()

    assert main(["tail", "logs", option, value]) == 2
    assert f"Error: Invalid value for {said}" in capsys.readouterr().err


def test_a_mistake_in_a_filter_is_pointed_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below a filter with a mistake, a mark stands where it is."""
    (tmp_path / "logs").mkdir()
    main(["tail", "logs", "--where", "a=1 b>>2"])

    assert ["  a=1 b>>2", "       ^"] == capsys.readouterr().err.splitlines()[-2:]


def test_dangerous_text_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences, bidirectional marks and markup from the log do nothing, in a pipe too."""
    write(tmp_path / "logs", {"message": NASTY, "logger": "[red]x", "attributes": {"k": "\x1b"}})

    assert [
        "2026-11-21T10:00:00.000Z INFO     [red]x  a\\x1b[31mb\\u202ec",
        '  | d\\x9b\\u2028[bold]e[/bold]  k="\\u001b"',
    ] == shown(capsys)


def test_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--raw` gives the text as it was logged."""
    write(tmp_path / "logs", {"message": NASTY})

    assert f"2026-11-21T10:00:00.000Z INFO     app  {NASTY}" == "\n".join(shown(capsys, "--raw"))


def test_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` gives valid JSON lines, complete and safe to show."""
    attributes = {"nan": "NaN", "deep": {"list": [1, None, "\u202e"]}}
    producer = write(tmp_path / "logs", {"message": NASTY, "attributes": attributes})
    [line] = shown(capsys, "--json")

    assert line.isascii()
    assert {
        "timestamp": "2026-11-21T10:00:00.000000Z",
        "level": "INFO",
        "levelno": 20,
        "logger": "app",
        "message": NASTY,
        "attributes": attributes,
        "producer": producer,
        "sequence": 0,
    } == json.loads(line)


def test_an_empty_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing was logged yet, nothing is shown."""
    (tmp_path / "logs").mkdir()

    assert [] == shown(capsys)


def test_a_field_that_no_record_has_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is found, and where something is that it could not keep out."""
    write(tmp_path / "logs", {"attributes": {"user_id": 7, "a\x1b[31m": 1}})

    assert main(["tail", "logs", "--where", "usr_id=7"]) == 0
    out, err = capsys.readouterr()
    assert ("", "no record has a field 'usr_id'; did you mean 'user_id'?\n") == (out, err)
    assert main(["tail", "logs", "--where", "'a\x1b'=1"]) == 0
    assert "\x1b" not in capsys.readouterr().err
    assert [] == shown(capsys, "--where", "user_id=8")
    assert ["event 0"] == messages(capsys, "--where", "user_id=7 job=null -job=*")
    for where in ("user_id=7 or usr_id=7", "-usr_id=7", "level=INFO (event not usr_id=7)"):
        assert main(["tail", "logs", "--where", where]) == 0
        out, err = capsys.readouterr()
        assert ("event 0" in out, 1) == (True, err.count("did you mean 'user_id'?")), where


def test_a_misspelt_field_is_said_while_following(tmp_path: Path) -> None:
    """Otherwise one would wait for ever; what comes then is shown all the same."""
    write(tmp_path / "logs", {"attributes": {"user_id": 7}})
    command = [sys.executable, "-m", "logbatch", "tail", "-f", "logs", "--json"]
    with warm.Popen(
        [*command, "--where", "usr_id=7"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None and child.stderr is not None
            hint = child.stderr.readline()
            assert "no record has a field 'usr_id'; did you mean 'user_id'?\n" == hint
            write(tmp_path / "logs", {"message": "it is new", "attributes": {"usr_id": 7}})
            assert "it is new" == json.loads(child.stdout.readline())["message"]
        finally:
            child.kill()
