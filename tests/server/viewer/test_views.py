"""A view in two messages: rows first, statistics after."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make import (
    DAY,
    START,
    A,
    B,
    P,
    Q,
    batch_of,
    make_batch,
    numbered,
    publish,
    write_compacted,
)
from viewers import PATIENCE, Message, Viewer, rows_of, viewing

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.reader import Dataset
from logbatch.dataset.rows import Row, row_order
from logbatch.dataset.stopping import Stopped, stopping
from logbatch.epoch import to_microseconds
from logbatch.server.viewer.pinned import Pinned
from logbatch.server.viewer.room import Room
from logbatch.server.viewer.statistics import Asked, Known

StartViewer = Callable[..., Viewer]

FILTERS = (
    "",
    "level>=ERROR",
    "user_id=1 or n<10",
    "n>=90 n<160",
    '"message 1"',
    "user.id=é -level=INFO",
    "message~/[13579]$/",
    "logger=nothing",
    "since=2026-11-21T10:00:30 until=2026-11-21T10:02",
)


def fill(logs: Path) -> None:
    """Write records of four producers: compacted, in small files, in lines, and in the journal."""
    write_compacted(logs / DAY, make_batch(0, 199, A), make_batch(0, 99, B), group=50)
    for first in range(200, 260, 20):
        publish(logs, make_batch(first, first + 19, A))
    publish(logs, make_batch(0, 79, P), kind="jsonl")
    other = (numbered(n, logger="other", service="shop", message="é" * n) for n in range(50))
    publish(logs, batch_of(Q, 0, *other))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of records of all kinds of places."""
    logs = tmp_path_factory.mktemp("views") / "logs"
    fill(logs)
    return logs


@pytest.fixture
def shared(places: Path) -> Iterator[Viewer]:
    """A viewer of records of all kinds of places."""
    with viewing(places) as viewer:
        yield viewer


def at(second: int) -> int:
    """Return a time of the records of `numbered`."""
    return to_microseconds(START + timedelta(seconds=second))


def expected(directory: Path, where: str, start: int | None, end: int | None) -> list[Row]:
    """Find what matches, record by record, in the order of time."""
    chosen = Filter.parse(where)

    def is_within(row: Row) -> bool:
        moment = to_microseconds(row["timestamp"])
        return (start is None or moment >= start) and (end is None or moment < end)

    every = (row for row in Dataset(directory).rows() if is_within(row) and chosen.matches(row))
    return sorted(every, key=row_order)


def identities(message: Message) -> list[tuple[str, int]]:
    """Return who wrote the rows of a message, and which they are."""
    return [(row["producer"], row["sequence"]) for row in rows_of(message)]


def check_statistics(stats: dict[str, Any], rows: list[Row]) -> None:
    """Compare statistics with what is counted one by one."""
    assert len(rows) == stats["total"]
    levels = Counter((row["level"], row["levelno"]) for row in rows)
    assert {(name, number): count for name, number, count in stats["levels"]} == levels
    histogram = stats["histogram"]
    start, width = histogram["start"], histogram["width"]
    counted: Counter[tuple[int, str]] = Counter()
    for number, bar in enumerate(histogram["counts"]):
        for level, count in zip(histogram["levels"], bar, strict=True):
            counted[number, level] += count
    bars = Counter(
        ((to_microseconds(row["timestamp"]) - start) // width, row["level"]) for row in rows
    )
    assert +counted == bars
    facets = {facet["field"]: facet for facet in stats["facets"]}
    for field in ("level", "logger", "process", "service"):
        values = Counter(row[field] for row in rows)
        missing = values.pop(None, 0)
        facet = facets[field]
        assert dict(facet["values"]) == dict(values)
        assert (len(values), missing) == (facet["distinct"], facet["missing"])
        assert (len(rows), True) == (facet["of"], facet["exact"])
    if "user_id" in facets:
        users = Counter(str(row["attributes"]["user_id"]) for row in rows)
        assert dict(facets["user_id"]["values"]) == users


@pytest.mark.parametrize("span", [(None, None), (20, 150), (None, 60), (100, None)])
def test_a_view(shared: Viewer, span: tuple[int | None, int | None]) -> None:
    """The newest rows come, then statistics that are exactly what is counted one by one."""
    start, end = (None if second is None else at(second) for second in span)
    for where in FILTERS:
        check_view(shared, where, start, end)


def check_view(viewer: Viewer, where: str, start: int | None, end: int | None) -> None:
    """Compare all that comes of a view with what is found record by record."""
    rows = expected(viewer.directory, where, start, end)
    with viewer.socket() as client:
        client.look(where, start=start, end=end, count=50, bins=40, columns=["message"])
        first = client.get()
        assert ("rows", 1, 0) == (first["type"], first["generation"], first["offset"])
        wanted = rows[-50:]
        assert [(row["producer"], row["sequence"]) for row in wanted] == identities(first)
        assert [row["message"] for row in wanted] == first["rows"]["message"]
        assert (len(wanted), len(rows) > 50) == (first["count"], first["more"])
        assert first["total"] is None
        message = client.get()
        assert ("stats", 1) == (message["type"], message["generation"])
        check_statistics(message["stats"], rows)
        for offset, count in ((0, 10), (7, 60), (100, 100), (len(rows) - 1, 10), (10_000, 5)):
            client.page(max(offset, 0), count)
            page = client.until("page")
            stop = len(rows) - max(offset, 0)
            part = rows[max(stop - count, 0) : max(stop, 0)]
            assert [(row["producer"], row["sequence"]) for row in part] == identities(page)


def test_what_is_known_comes_in_one_message(shared: Viewer) -> None:
    """Statistics that were computed for the same filter, range and records come with the rows."""
    wanted: dict[str, Any] = {
        "where": "level=ERROR n>3",
        "start": at(1),
        "end": at(170),
        "bins": 17,
    }
    with shared.socket() as client:
        client.look(**wanted)
        first, second = client.get(), client.get()
        assert ("rows", "stats") == (first["type"], second["type"])
        assert "stats" not in first
        client.look(**wanted, columns=["logger"])
        both = client.get()
        assert second["stats"] == both["stats"]
        assert second["stats"]["total"] == both["total"]
        client.look("n=1", bins=3)  # nothing else of that view came before
        assert (client.generation, "rows") == _named(client.get())
        assert (client.generation, "stats") == _named(client.get())
    for change in ({"where": "level=ERROR n>4"}, {"end": at(169)}, {"bins": 16}):
        with shared.socket() as client:
            client.look(**wanted | change)
            assert "stats" not in client.get()


def _named(message: Message) -> tuple[int, str]:
    return message["generation"], message["type"]


def test_statistics_of_other_records_are_not_taken(view: StartViewer) -> None:
    """Once a record has come, or gone, statistics are computed again."""
    viewer = view()
    publish(viewer.directory, make_batch(0, 9))
    with viewer.socket() as client:
        client.look()
        assert 10 == client.until("stats")["stats"]["total"]
        publish(viewer.directory, make_batch(10, 19))
        client.look()
        assert "stats" not in client.get()
        assert 20 == client.until("stats")["stats"]["total"]
        next(viewer.directory.rglob(f"{P}-0-9.parquet")).unlink()
        client.look()
        assert "stats" not in client.get()
        assert 10 == client.until("stats")["stats"]["total"]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(FILTERS), st.integers(0, 3), st.booleans(), st.booleans()),
        min_size=2,
        max_size=8,
    )
)
def test_nothing_of_a_view_that_was_superseded(
    shared: Viewer, views: list[tuple[str, int, bool, bool]]
) -> None:
    """Whatever is asked in whatever order, no message of an old view follows one of the new."""
    with shared.socket() as client:
        for number, (where, pages, follow, wrong) in enumerate(views):
            client.look("(" if wrong else where, follow=follow, bins=number + 1, count=20)
            for page in range(pages):
                client.page(page * 10, 10)
        client.look("n=77", bins=1999, columns=["message"])
        seen = 0
        while True:
            message = client.get()
            assert message["generation"] >= seen
            seen = message["generation"]
            if "stats" in message and seen == client.generation:
                break
        rows = expected(shared.directory, "n=77", None, None)
        assert len(rows) == message["stats"]["total"]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of so many lines that statistics take a hundred times as long as a page."""
    logs = tmp_path_factory.mktemp("large") / "logs"
    for producer in (A, B):
        publish(logs, make_batch(0, 49_999, producer), kind="jsonl")
    return logs


@pytest.fixture
def large(many: Path) -> Iterator[Viewer]:
    """A viewer of these."""
    with viewing(many) as viewer:
        yield viewer


def test_a_page_does_not_wait_for_statistics(large: Viewer) -> None:
    """Pages that are asked for while statistics are computed come before they are done."""
    with large.socket() as client:
        client.look(count=10, columns=["n"])
        assert "rows" == client.get()["type"]
        for offset in (10, 200, 1_000):
            client.page(offset, 4)
            page = client.get()
            assert ("page", offset) == (page["type"], page["offset"])
            newest = 49_999 - offset // 2
            assert [newest - 1, newest - 1, newest, newest] == page["rows"]["n"]
        assert 100_000 == client.until("stats")["stats"]["total"]
        client.page(90_000, 2)
        assert [4_999, 4_999] == client.until("page")["rows"]["n"]


def test_a_page_far_back_waits_for_statistics(large: Viewer) -> None:
    """Which rows are far back is known by counting only, so the statistics come first."""
    with large.socket() as client:
        client.look(count=10, columns=["n"], bins=7)
        client.page(90_000, 2)
        kinds = [client.get() for _ in range(3)]
        assert ["rows", "stats", "page"] == [message["type"] for message in kinds]
        assert [4_999, 4_999] == kinds[2]["rows"]["n"]


def test_statistics_that_nobody_wants_end(many: Path) -> None:
    """They are interrupted wherever they are, and leave those of others alone."""
    room = Room(many)
    pinned = Pinned(room, room.snapshot())
    wanted = Asked(Filter.parse("n>10"), None, None, 10)

    def compute(stop: threading.Event) -> int:
        with stopping(stop):
            return Known(room).compute(pinned, wanted).total

    stops = [threading.Event() for _ in range(4)]
    with closing(room), ThreadPoolExecutor(5) as threads:
        left = threads.submit(compute, threading.Event())
        ended = [threads.submit(compute, stop) for stop in stops]
        for number, stop in enumerate(stops):
            stop.wait(0.03 * number)  # it may be anywhere by then
            stop.set()
        for each in ended:
            with pytest.raises(Stopped):
                each.result(PATIENCE)
        assert 2 * (50_000 - 11) == left.result(PATIENCE)


def test_a_slow_client_delays_nobody(large: Viewer) -> None:
    """Who does not read what it asked for, and what it costs, is in nobody's way."""
    with large.socket() as slow, large.socket() as quick:
        slow.look(count=10_000, columns=["message", "attributes"])
        for offset in range(0, 10_000, 1_000):
            slow.page(offset, 5_000)
        quick.look("n=49999", count=2, columns=["n"])
        assert [49_999, 49_999] == quick.get()["rows"]["n"]
        assert 2 == quick.until("stats")["stats"]["total"]


def test_a_client_that_does_not_read_is_dropped(view: StartViewer) -> None:
    """What waits for a client is bounded: beyond that the connection is closed."""
    viewer = view()
    long = "x" * 900
    many = (numbered(n, message=long, stacktrace=long) for n in range(3_000))
    publish(viewer.directory, batch_of(A, 0, *many))
    with socket.create_connection(viewer.address, PATIENCE) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        key = base64.b64encode(bytes(16)).decode()
        host, port = viewer.address
        head = f"GET /api/live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        head += f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        head += f"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {viewer.token}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 101")
        wanted = {"type": "view", "generation": 1, "columns": ["message", "stacktrace"]}
        connection.sendall(frame(wanted | {"count": 3_000}))
        for offset in range(20):
            page = {"type": "page", "generation": 1, "offset": offset, "count": 3_000}
            connection.sendall(frame(page))
        with pytest.raises(ConnectionError):
            while True:
                connection.sendall(frame({"type": "page", "generation": 0}))
                time.sleep(0.05)
    with viewer.socket() as client:
        client.look(count=1)
        assert 1 == client.until("rows")["count"]


def frame(message: object) -> bytes:
    """Make the frame of a message as a client sends it."""
    body = json.dumps(message).encode()
    assert len(body) < 1 << 16
    return b"\x81\xfe" + len(body).to_bytes(2, "big") + bytes(4) + body


def test_a_filter_that_is_wrong(shared: Viewer) -> None:
    """The error says where, and the socket goes on."""
    with shared.socket() as client:
        client.look("a=1 b>>2")
        error = client.get()
        assert ("error", 1, "filter", 5) == (
            error["type"],
            error["generation"],
            error["where"],
            error["position"],
        )
        client.look("n=1", count=1)
        assert (2, "rows") == _named(client.get())


def test_the_columns_that_are_asked_for(shared: Viewer) -> None:
    """Rows have columns, attributes by their paths, and what every row has."""
    names = ["user_id", "user.id", "user", "attributes", "nothing", "attributes.path", "host"]
    with shared.socket() as client:
        client.look(f"producer={A} n=7", columns=[*names, "level", "host"], count=1)
        (row,) = rows_of(client.get())
    assert {"producer", "sequence", "timestamp", "level", "levelno", *names} == row.keys()
    assert (A, 7, at(7)) == (row["producer"], row["sequence"], row["timestamp"])
    assert [1, "é", '{"id":"é","list":[7]}'] == [row[name] for name in names[:3]]
    assert {"n": 7, "user_id": 1, "path": "/é"}.items() <= json.loads(row["attributes"]).items()
    assert [None, "/é", None] == [row[name] for name in names[4:]]


def test_a_window_is_never_huge(view: StartViewer) -> None:
    """Long texts are cut in rows, the shorter the more there are; the record has them whole."""
    viewer = view()
    long = "x" * 3_000
    batch = batch_of(A, 0, *(numbered(n, message=long, attributes={"a": long}) for n in range(3)))
    publish(viewer.directory, batch)
    many = (numbered(n, message=f"{n} {long}", stacktrace=long, func_name="f") for n in range(3000))
    publish(viewer.directory, batch_of(B, 0, *many))
    with viewer.socket() as client:
        client.look(f"producer={A}", columns=["message", "a"])
        message = client.until("rows")
        assert ["x" * 999 + "…"] * 3 == message["rows"]["message"] == message["rows"]["a"]
        client.look(f"producer={B}", columns=["message", "stacktrace"], count=10_000)
        received = client.connection.recv(60)
        assert len(received) < 5 << 20
        message = json.loads(received)
        assert 3000 == message["count"]
        assert message["rows"]["message"][5].startswith("5 xxx")
    assert long == viewer.get("/api/row", producer=A, sequence=1)["row"]["message"]


def test_a_view_stays_the_same_while_files_change(view: StartViewer) -> None:
    """Offsets count from the newest record that was there, whatever is published or merged."""
    viewer = view()
    for first in range(0, 400, 20):
        publish(viewer.directory, make_batch(first, first + 19), compact=False)
    with viewer.socket() as client:
        client.look(columns=["message"], count=10)
        client.until("stats")
        publish(viewer.directory, make_batch(400, 450))
        write_compacted(viewer.directory / DAY, make_batch(0, 399))
        for path in viewer.directory.rglob(f"{P}-?*-*.parquet"):
            if not path.name.startswith(f"{P}-400"):
                path.unlink()
        client.page(100, 3)
        found = client.until("page")["rows"]["message"]
        assert ["message 297", "message 298", "message 299"] == found
        client.look(columns=["message"], count=1)
        assert ["message 450"] == client.until("rows")["rows"]["message"]
        assert 451 == client.until("stats")["stats"]["total"]
