"""`logbatch query`: SQL in, each output format out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest
from limits import files_of_at_most
from make import event, publish_events

from logbatch.cli import main

TIME = "2026-11-21T10:00:00.5Z"
NASTY = 'a\x1b[31m"b",\u202e\nc'
ODD = """
    SELECT 1 AS n, 1 AS n, NULL AS nothing, 'nan'::DOUBLE AS nan, TRUE AS yes, [1, NULL] AS list,
           {'a': 1} AS object, timestamp, INTERVAL '25 hours 90 seconds' AS span,
           '\\xFF'::BLOB AS bytes, 1.50::DECIMAL(4, 2) AS decimal, attributes FROM logs LIMIT 1
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log of three records, in `logs`."""
    events = [
        event("one", attributes={"user": {"id": 7}}),
        event(NASTY),
        event("three", level="ERROR", levelno=40),
    ]
    publish_events(tmp_path / "logs", *(each | {"timestamp": TIME} for each in events))
    return tmp_path / "logs"


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run `logbatch query …`, which succeeds; return what it writes."""
    assert main(["query", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return str(out)


def test_a_table(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By default the answer is a table, numbers to the right."""
    sql = "SELECT level, count(*) AS records FROM logs GROUP BY ALL ORDER BY records"
    lines = [line.rstrip() for line in answer(capsys, "logs", sql).splitlines()]

    assert ["level  records", "ERROR        1", "INFO         2"] == lines


def test_a_table_escapes(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing in a table does anything to a terminal, not even a column's name."""
    shown = answer(
        capsys, "logs", "SELECT message AS \"[b]\x1b\" FROM logs WHERE message LIKE 'a%'"
    )

    assert [r"[b]\x1b", r'a\x1b[31m"b",\u202e\nc'] == [line.rstrip() for line in shown.splitlines()]


def test_a_long_table_is_cut_and_says_so(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table shows a number of rows; that there are more is said beside it."""
    assert main(["query", "logs", "FROM range(2000) AS t(n)"]) == 0
    out, err = capsys.readouterr()

    assert len(out.splitlines()) == 1001
    assert "showing 1,000 of 2,000 rows; --max-rows 0 shows all\n" == err
    whole = answer(capsys, "logs", "FROM range(2000) AS t(n)", "--max-rows", "0")
    assert len(whole.splitlines()) == 2001


def test_a_wide_table_in_a_pipe(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe nothing is folded or cut, however wide."""
    shown = answer(capsys, "logs", "SELECT repeat('x', 300) AS a, repeat('y', 300) AS b")

    assert f"{'x' * 300}  {'y' * 300}" == shown.splitlines()[1].rstrip()


def test_json(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is one array; attributes are objects in it, odd values texts."""
    [row] = json.loads(answer(capsys, "logs", ODD, "--format", "json"))

    assert {
        "n": 1,
        "n_1": 1,
        "nothing": None,
        "nan": "nan",
        "yes": True,
        "list": [1, None],
        "object": {"a": 1},
        "timestamp": "2026-11-21T10:00:00.500000Z",
        "span": "25:01:30",
        "bytes": "\\xff",
        "decimal": "1.50",
        "attributes": {"user": {"id": 7}},
    } == row


def test_no_rows(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer is valid in each form."""
    sql = "SELECT level, message FROM logs WHERE FALSE"
    shown = {
        form: answer(capsys, "logs", sql, "--format", form) for form in ("json", "jsonl", "csv")
    }

    assert {"json": "[]\n", "jsonl": "", "csv": "level,message\n"} == shown
    assert answer(capsys, "logs", sql).split() == ["level", "message"]


def test_jsonl(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON Lines have an object a line, and are safe to show."""
    shown = answer(
        capsys, "logs", "SELECT message FROM logs ORDER BY sequence", "--format", "jsonl"
    )

    assert shown.isprintable() or set(shown) - {"\n"} <= set(map(chr, range(32, 127)))
    assert ["one", NASTY, "three"] == [json.loads(line)["message"] for line in shown.splitlines()]


def test_csv(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV is quoted so that it reads back exactly."""
    sql = "SELECT message, 'x' AS n, timestamp FROM logs ORDER BY sequence"
    rows = list(csv.reader(io.StringIO(answer(capsys, "logs", sql, "--format", "csv"), newline="")))

    assert [
        ["message", "n", "timestamp"],
        *[[text, "x", "2026-11-21T10:00:00.500000Z"] for text in ("one", NASTY, "three")],
    ] == rows


def test_csv_tells_null_from_an_empty_text(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A null is an empty field, a text without characters is quoted."""
    sql = "SELECT NULL AS a, '' AS b, 'null' AS c, ' \"' AS \"d,e\""

    assert 'a,b,c,"d,e"\n,"",null," """\n' == answer(capsys, "logs", sql, "--format", "csv")


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.json", "out.jsonl", "out.txt"])
def test_output_by_name(
    name: str, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--output` writes a file whose form follows its name, and leaves nothing else behind."""
    answer(capsys, "logs", "SELECT message FROM logs ORDER BY sequence", "-o", name)
    read: dict[str, Callable[[Path], object]] = {
        "out.parquet": lambda path: pyarrow.parquet.read_table(path)["message"][1].as_py(),
        "out.csv": lambda path: list(
            csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
        )[2][0],
        "out.json": lambda path: json.loads(path.read_text())[1]["message"],
        "out.jsonl": lambda path: json.loads(path.read_text().splitlines()[1])["message"],
        "out.txt": lambda path: path.read_text().splitlines()[2].rstrip(),
    }
    expected = r'a\x1b[31m"b",\u202e\nc' if name == "out.txt" else NASTY

    assert expected == read[name](tmp_path / name)
    assert {"logs", name} == {path.name for path in tmp_path.iterdir()}


def test_a_failed_query_keeps_the_old_output(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is replaced by a whole answer or not at all."""
    (tmp_path / "out.csv").write_text("old")

    assert main(["query", "logs", "SELECT nonsense FROM logs", "-o", "out.csv"]) == 1
    assert "old" == (tmp_path / "out.csv").read_text()
    assert main(["query", "logs", "SELECT 1", "-o", "nowhere/out.csv"]) == 1
    assert "Error: there is no directory nowhere\n" in capsys.readouterr().err


def test_an_output_that_cannot_be(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said which file it is and why; none of the log itself is replaced, or added to."""
    (file,) = logs.rglob("*.parquet")
    before = file.read_bytes()
    for name in (file, file.with_name("out.csv"), logs / "out.parquet"):
        assert main(["query", "logs", "SELECT 1", "-o", str(name)]) == 1
        assert f"Error: {name} is in logs, whose records are read" in capsys.readouterr().err
    with files_of_at_most(100):
        assert main(["query", "logs", "FROM logs, range(9)", "-o", "out.csv"]) == 1
    assert ("", "Error: out.csv: File too large\n") == capsys.readouterr()
    assert ["logs"] == [path.name for path in tmp_path.iterdir()]
    assert before == file.read_bytes()


def test_sql_from_standard_input(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-` reads the SQL from standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 42 AS n"))

    assert ["n", "42"] == answer(capsys, "logs", "-").split()


def test_the_last_argument_is_the_sql(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One argument alone is the SQL, and the directory is the default one."""
    monkeypatch.setenv("LOGBATCH_TRANSPORT", "parquet:logs")

    assert ["n", "3"] == answer(capsys, "SELECT count(*) AS n FROM logs").split()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["logs"], "the SQL is missing"),
        (["logs", "SELECT", "1"], "put the SQL in quotes"),
        (["logs", "SELECT 1", "--timeout", "0"], "'--timeout'"),
        (["logs", "SELECT 1", "--memory-limit", "much"], "'much' is not a size"),
        (["logs", "SELECT 1", "--format", "xml"], "'--format'"),
    ],
)
def test_wrong_usage(
    arguments: list[str], said: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage is told as such."""
    assert main(["query", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "sql", ["DROP VIEW logs", "SELECT 1; SELECT 2", "SELECT * FROM '/etc/passwd'", "nonsense", ""]
)
def test_refused(sql: str, logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A query that is refused, or fails, is an expected failure."""
    assert main(["query", "logs", sql]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
