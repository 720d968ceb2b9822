"""What the page asks beside its socket."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from make import (
    DAY,
    START,
    A,
    B,
    P,
    batch_of,
    event,
    make_batch,
    numbered,
    publish,
    publish_events,
    write_compacted,
)
from outputs import Output, execution
from viewers import Viewer
from waiting import wait_until

from logbatch import BatchHandler
from logbatch.capture import run
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.reader import Dataset
from logbatch.epoch import to_microseconds
from logbatch.storage.executions import FILE, Executions

StartViewer = Callable[..., Viewer]


def test_what_is_shown(view: StartViewer) -> None:
    """The page is told the directory by its last name, and what its columns are."""
    viewer = view()
    found = viewer.get("/api/info")
    assert "logs" == found["directory"]
    assert list(Dataset(viewer.directory).to_table().column_names) == found["columns"]
    assert ([], False, []) == (found["promoted"], found["has_runs"], found["problems"])


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "compacted"])
def test_one_record_whole(view: StartViewer, kind: str) -> None:
    """A record is there with all that it has, and with numbers that no browser changes."""
    viewer = view()
    odd = {"big": 2**60, "small": -(2**60), "nested": {"list": [1, None, 2**70]}, "a": "x" * 5000}
    batch = batch_of(A, 0, *(numbered(n, attributes={"n": n, **odd}) for n in range(10)))
    if kind == "compacted":
        write_compacted(viewer.directory / DAY, batch, make_batch(0, 9, B))
    else:
        publish(viewer.directory, batch, make_batch(0, 9, B), kind=kind)
    found = viewer.get("/api/row", producer=A, sequence=7)["row"]
    (row,) = Dataset(viewer.directory).rows(f"producer={A} sequence=7")
    assert to_microseconds(row.pop("timestamp")) == found.pop("timestamp")
    attributes = {"n": 7, "big": str(2**60), "small": str(-(2**60)), "a": "x" * 5000}
    attributes["nested"] = {"list": [1, None, str(2**70)]}
    assert attributes == found.pop("attributes")
    row.pop("attributes")
    assert row == found
    assert 404 == viewer.ask(f"/api/row?producer={A}&sequence=10").status_code
    assert 404 == viewer.ask("/api/row?producer=x%22y&sequence=1").status_code
    assert 400 == viewer.ask(f"/api/row?producer={A}&sequence=x").status_code
    assert 400 == viewer.ask(f"/api/row?producer={A}").status_code


def at(second: int) -> int:
    """Return a time of the records of `numbered`."""
    return to_microseconds(START + timedelta(seconds=second))


def test_an_export(view: StartViewer) -> None:
    """What matches, in a range of time, comes as a file in the order of time."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 99))
    wanted = {"where": "level=ERROR", "start": at(20), "end": at(60)}
    expected = [f"message {n}" for n in range(20, 60, 5)]

    got = viewer.ask("/api/export", params={"format": "csv", **wanted})
    assert 'attachment; filename="logs.csv"' == got.headers["content-disposition"]
    assert expected == [row["message"] for row in csv.DictReader(io.StringIO(got.text))]
    got = viewer.ask("/api/export", params={"format": "jsonl", **wanted})
    assert expected == [json.loads(line)["message"] for line in got.text.splitlines()]
    got = viewer.ask("/api/export", params={"format": "parquet", **wanted})
    table = pq.read_table(io.BytesIO(got.content))
    assert expected == table.column("message").to_pylist()


def test_an_export_of_formulas(view: StartViewer) -> None:
    """A spreadsheet runs nothing of what it is given as CSV."""
    viewer = view()
    publish_events(viewer.directory, event("=cmd|' /C calc'!A0"))
    (row,) = csv.DictReader(io.StringIO(viewer.ask("/api/export").text))
    assert "'=cmd|' /C calc'!A0" == row["message"]


def test_an_export_that_is_not_possible(view: StartViewer) -> None:
    """A wrong filter or format is told with the place of the mistake, and nothing is sent."""
    viewer = view()
    answer = viewer.ask("/api/export", params={"where": "a=1 (b"})
    assert (400, 4) == (answer.status_code, answer.json()["position"])
    assert 400 == viewer.ask("/api/export", params={"format": "xlsx"}).status_code
    assert 400 == viewer.ask("/api/export", params={"start": "yesterday"}).status_code


def test_an_export_nobody_waits_for(view: StartViewer) -> None:
    """Who goes away in the middle takes nothing with it: others export, and the viewer ends."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 4_999))
    for _ in range(6):
        with viewer.ask("/api/export?format=jsonl", stream=True) as answer:
            assert answer.raw.read(10)
    got = viewer.ask("/api/export?format=jsonl&where=n%3D4999")
    assert 200 == got.status_code
    assert 1 == len(got.text.splitlines())


def sql(viewer: Viewer, query: str) -> Any:
    """Ask SQL."""
    return viewer.ask("/api/sql", "POST", json={"query": query}).json()


def test_sql(view: StartViewer) -> None:
    """An answer is a list for each column, with values as JSON has them."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 19))
    found = sql(viewer, "SELECT level, count(*) AS n FROM logs GROUP BY ALL ORDER BY ALL")
    assert ["level", "n"] == found["columns"]
    assert [["ERROR", "INFO"], [4, 16]] == found["values"]
    assert found["more"] is False
    found = sql(
        viewer,
        "SELECT min(timestamp) AS a, 1 AS a, 2**60::BIGINT AS b, 'NaN'::DOUBLE AS c,"
        " [1, NULL] AS d, {'x': 0.5::DOUBLE} AS e, DATE '2026-01-02' AS f,"
        " INTERVAL 1 DAY AS g, '\\x00'::BLOB AS h,"
        " min(attributes) AS i FROM logs",
    )
    assert ["a", "a_1", *"bcdefghi"] == found["columns"]
    values = [column[0] for column in found["values"]]
    assert ["2026-11-21T10:00:00.000000Z", 1] == values[:2]
    assert ["nan", [1, None], {"x": 0.5}, "2026-01-02", "1 day"] == values[3:8]
    assert 0 == json.loads(values[9])["n"]


def test_sql_of_many_rows(view: StartViewer) -> None:
    """Ten thousand rows are sent, and that there are more is said."""
    viewer = view()
    found = sql(viewer, "SELECT * FROM range(10000)")
    assert (10_000, False) == (len(found["values"][0]), found["more"])
    found = sql(viewer, "SELECT * FROM range(1000000000000)")
    assert (10_000, True) == (len(found["values"][0]), found["more"])


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("DROP TABLE logs", "only SELECT"),
        ("COPY logs TO 'x.csv'", "only SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", ""),
        ("SELECT 1; SELECT 2", "exactly one"),
        ("SELECT getenv('HOME')", ""),
        ("", ""),
    ],
)
def test_sql_that_is_refused(view: StartViewer, query: str, told: str) -> None:
    """The limits are those of `logbatch query`: one SELECT, on nothing but the log."""
    answer = view().ask("/api/sql", "POST", json={"query": query})
    assert 400 == answer.status_code
    assert told in answer.json()["error"]
    assert "root:" not in answer.text


@pytest.mark.parametrize("body", ["", "[]", '{"query":1}', "{", '{"q":"x"}', "x" * 300_000])
def test_sql_that_is_no_question(view: StartViewer, body: str) -> None:
    """A body of another kind, or a huge one, is refused."""
    headers = {"Content-Type": "application/json"}
    answer = view().ask("/api/sql", "POST", data=body, headers=headers)
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    ("text", "at", "place", "words"),
    [
        ("", 0, (0, 0), ["level>=", "user_id="]),
        ("lev", 3, (0, 3), ["level>=", "levelno="]),
        ("level", 5, (0, 5), ["level=", "level>="]),
        ("a=1 us", 6, (4, 6), ["user_id=", "user.id="]),
        ("-(us", 4, (2, 4), ["user_id="]),
        ("level>=", 7, (7, 7), ["WARNING", "ERROR"]),
        ("level=e", 7, (6, 7), ["ERROR"]),
        ("user_id=", 8, (8, 8), ["0", "1", "2"]),
        ("user_id=1,", 10, (10, 10), ["0"]),
        ('path="/', 7, (5, 7), ["/é", '"/é"']),
        ("since=", 6, (6, 6), ["15m", "1h"]),
        ('logger="a b" le', 15, (13, 15), ["level>="]),
    ],
)
def test_help_while_one_types(
    view: StartViewer, text: str, at: int, place: tuple[int, int], words: list[str]
) -> None:
    """Fields, operators and values are offered as the log has them, and say where they go."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 50))
    found = viewer.get("/api/complete", text=text, at=at)
    assert place == (found["from"], found["to"])
    offered = {word["text"] for word in found["words"]}
    assert offered & set(words)
    assert len(offered) == len(found["words"])
    assert all(word["what"] for word in found["words"])


def test_help_that_is_a_filter(view: StartViewer) -> None:
    """What is offered can be taken: fields and values with odd names are quoted."""
    viewer = view()
    odd = {"a b": "x y", "c=d": "(", "level": "mine", "q": 'say "hi"', "n": None, "t": True}
    publish_events(viewer.directory, event(attributes=odd, logger="a.b"))
    for name in ("", "a b", "level", "q"):
        for word in viewer.get("/api/complete", text=name, at=len(name))["words"]:
            values = viewer.get("/api/complete", text=word["text"], at=len(word["text"]))["words"]
            for value in values[:3]:
                whole = word["text"] + value["text"]
                assert Filter.parse(whole), whole


def test_runs(view: StartViewer) -> None:
    """What was run is listed, and shown with the end of what it printed."""
    viewer = view()
    assert [] == viewer.get("/api/runs")["runs"]
    script = "import sys; print('é' * 50_000); print('end', file=sys.stderr); sys.exit(3)"
    run([sys.executable, "-c", script], f"parquet:{viewer.directory}", echo=False)
    assert viewer.get("/api/info")["has_runs"]
    (found,) = viewer.get("/api/runs", limit=5)["runs"]
    assert ("ended", 3, False) == (found["status"], found["exit_code"], found["live"])
    assert found["started_at"] <= found["ended_at"]
    shown = viewer.get(f"/api/runs/{found['id']}")
    assert found == shown["run"]
    assert shown["cut"]
    printed = {"stdout": "", "stderr": ""}
    for part in shown["output"]:
        printed[part["stream"]] += part["text"]
    assert "end\n" == printed["stderr"]
    assert printed["stdout"].endswith("éé\n")
    assert 60_000 < sum(len(text.encode()) for text in printed.values()) < 70_000
    assert 404 == viewer.ask("/api/runs/nothing").status_code
    assert 400 == viewer.ask("/api/runs?limit=0").status_code


def test_a_character_of_a_run_that_is_interrupted(view: StartViewer) -> None:
    """It is shown whole, though its end was printed after something on the other stream."""
    viewer, output = view(), Output()
    runs = Executions(viewer.directory / FILE, inline_bytes=100)
    runs.begin(execution("one"))
    runs.append("one", [output.print(b"caf\xc3"), output.print(b"!\n", "stderr")], None)
    runs.append("one", [output.print(b"\xa9\n"), output.print(b"\xe2\x82", "stderr")], None)
    assert [
        {"stream": "stdout", "text": "caf"},
        {"stream": "stderr", "text": "!\n"},
        {"stream": "stdout", "text": "é\n"},
        {"stream": "stderr", "text": "\N{REPLACEMENT CHARACTER}"},
    ] == viewer.get("/api/runs/one")["output"]


def test_the_pipeline(view: StartViewer) -> None:
    """What a process reports of its delivery is there, while it logs."""
    viewer = view()
    handler = BatchHandler(f"parquet:{viewer.directory}", service="shop")
    try:
        handler.handle(logging.makeLogRecord({"msg": "hello"}))
        handler.flush()
        wait_until(lambda: viewer.get("/api/pipeline")["processes"], "a report", every=0.05)
        (found,) = viewer.get("/api/pipeline")["processes"]
    finally:
        handler.close()
    assert ("shop", os.getpid(), True) == (found["service"], found["process"], found["alive"])
    assert found["samples"][-1][1] == found["stats"]
    assert {"accepted", "published", "pending"} <= found["stats"].keys()


def test_what_is_around_a_record(view: StartViewer) -> None:
    """The same thread's records around one, as rows are sent on the socket."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 50))
    found = viewer.get("/api/context", producer=P, sequence=20, before=2, after=3)["rows"]
    assert [18, 19, 20, 21, 22, 23] == found["sequence"]
    assert "message 18" == found["message"][0]
    assert at(18) == found["timestamp"][0]
    assert 503 == viewer.ask(f"/api/context?producer={P}&sequence=99").status_code
    assert 400 == viewer.ask(f"/api/context?producer={P}&sequence=1&before=-1").status_code


def test_errors(view: StartViewer) -> None:
    """Kinds of errors, each with its newest example, and what is new since a time."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 50))
    found = viewer.get("/api/errors", where="n<30", end=at(28), since=at(3), bins=4)
    (group,) = found["errors"]
    assert 6 == group["count"] == sum(group["counts"]) == found["total"]
    assert (at(0), at(25), False) == (group["first"], group["last"], group["is_new"])
    assert "message 25" == group["example"]["message"]
    assert {"n": 25}.items() <= group["example"]["attributes"].items()
    assert 4 == len(group["counts"])
    assert 400 == viewer.ask("/api/errors?where=(").status_code


def test_patterns(view: StartViewer) -> None:
    """Patterns, and what became of them from one range to another."""
    viewer = view()
    one = (numbered(n, template="one %d", message=f"one {n}") for n in range(40))
    two = (numbered(n, template="two %d", message=f"two {n}") for n in range(40, 50))
    publish(viewer.directory, batch_of(A, 0, *one, *two))
    ranges = {"before": f"{at(0)},{at(40)}", "after": f"{at(40)},"}
    found = viewer.get("/api/patterns", where="level=INFO", **ranges)
    told = {each["template"]: each for each in found["patterns"]}
    changes = {name: each["change"] for name, each in told.items()}
    assert {"one %d": "gone", "two %d": "new"} == changes
    assert (32, 0) == (told["one %d"]["before"], told["one %d"]["after"])
    assert 40 == found["total"]
    found = viewer.get("/api/patterns", start=at(46), end=at(49))
    (pattern,) = found["patterns"]
    assert ("two %d", 3, None) == (pattern["template"], pattern["count"], pattern["change"])
    assert 400 == viewer.ask("/api/patterns?before=x&after=1,2").status_code


def test_marks(view: StartViewer) -> None:
    """Starts of processes are marks, beside the statistics and by themselves."""
    viewer = view()
    handler = BatchHandler(f"parquet:{viewer.directory}", service="shop")
    handler.handle(logging.makeLogRecord({"msg": "hello"}))
    handler.close()
    found = viewer.get("/api/marks")["marks"]
    assert found
    assert {"time", "kind", "service", "text"} == found[0].keys()
    with viewer.socket() as client:
        client.look()
        stats = client.until("stats")["stats"]
        marks = stats["marks"] or client.until("marks")["marks"]
    assert found == marks


def test_nothing_is_written(view: StartViewer) -> None:
    """Whatever is asked, the directory stays as it is."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 99), make_batch(0, 9, A), kind="jsonl")
    publish(viewer.directory, make_batch(0, 99, B))

    def files() -> dict[str, tuple[int, int]]:
        found = {str(path): path.stat() for path in viewer.directory.rglob("*")}
        return {name: (status.st_mtime_ns, status.st_size) for name, status in found.items()}

    before = files()
    with viewer.socket() as client:
        client.look("n>5", follow=True)
        client.until("stats")
        client.page(50, 10)
        client.until("page")
    for path in ("info", "errors", "patterns", "pipeline", "marks", "runs", "complete", "export"):
        assert 200 == viewer.ask(f"/api/{path}").status_code
    assert sql(viewer, "SELECT count(*) FROM logs")["values"] == [[210]]
    assert before == files()
