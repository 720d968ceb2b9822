"""What is logged while one looks: each record once, soon, and counted exactly."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from make import A, batch_of, event, numbered, publish, publish_events
from viewers import Message, Socket, Viewer, rows_of
from waiting import wait_until

from logbatch import BatchHandler
from logbatch.dataset.reader import Dataset
from logbatch.epoch import to_microseconds

StartViewer = Callable[..., Viewer]


class App:
    """An application that logs."""

    def __init__(self, directory: Path) -> None:
        self.handler = BatchHandler(f"parquet:{directory}", service="shop", flush_interval=0.2)
        self.log = logging.Logger("shop", logging.DEBUG)
        self.log.addHandler(self.handler)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An application that logs to `tmp_path / "logs"`."""
    application = App(tmp_path / "logs")
    yield application
    application.handler.close()


def is_polling() -> bool:
    """Return whether anybody looks for new records."""
    return any(thread.name == "logbatch-poller" for thread in threading.enumerate())


def collect(client: Socket, count: int) -> list[Message]:
    """Return `append` messages that tell of so many records in all."""
    found: list[Message] = []
    while not found or found[-1]["total"] < count:
        found.append(client.until("append"))
    return found


def test_a_record_that_is_logged_is_there_at_once(view: StartViewer, app: App) -> None:
    """From the call to the message it takes a quarter of a second, published or not."""
    viewer = view()
    with viewer.socket() as client:
        client.look(follow=True, columns=["message", "logger"])
        client.until("rows")
        waits = []
        for number in range(10):
            began = time.monotonic()
            app.log.info("hello %d", number)
            message = client.until("append")
            while not message["rows"]["message"]:  # it tells what statistics had not counted
                message = client.until("append")
            waits.append(time.monotonic() - began)
            (row,) = rows_of(message)
            found = row["message"], row["logger"], row["level"], row["levelno"]
            assert (f"hello {number}", "shop", "INFO", 20) == found
        assert sorted(waits)[len(waits) // 2] < 0.25


def test_each_record_comes_once_and_none_is_missing(view: StartViewer, app: App) -> None:
    """What is there when one begins to look, and what comes then, is together what was logged.

    Any number of clients begin at any time, while records are logged, published and merged.
    """
    viewer = view()
    ended = threading.Event()
    logged = 0

    def work() -> None:
        nonlocal logged
        while not ended.wait(0.001):
            app.log.info("n %d", logged)
            logged += 1

    worker = threading.Thread(target=work)
    worker.start()
    with ExitStack() as stack:
        clients = [stack.enter_context(viewer.socket()) for _ in range(5)]
        seen: list[list[int]] = []
        try:
            for number, client in enumerate(clients):
                client.look("message~5" if number % 2 else "", follow=True, count=10_000)
                seen.append(client.until("rows")["rows"]["sequence"])
                wait_until(partial(_is_past, lambda: logged, logged + 50), "records")
        finally:
            ended.set()
            worker.join()
        app.handler.flush()
        for number, client in enumerate(clients):
            wanted = [n for n in range(logged) if number % 2 == 0 or "5" in str(n)]
            while len(seen[number]) < len(wanted):
                message = client.until("append")
                assert message["sampled"] is None
                seen[number] += message["rows"]["sequence"]
            assert wanted == seen[number]
    wait_until(lambda: not is_polling(), "the end of looking")


def _is_past(count: Callable[[], int], number: int) -> bool:
    return count() > number


def test_one_looks_for_all_and_only_while_somebody_follows(view: StartViewer, app: App) -> None:
    """However many follow, one thread looks; who does not follow is told nothing."""
    viewer = view()
    with viewer.socket() as still, viewer.socket() as one, viewer.socket() as other:
        still.look()
        still.until("stats")
        assert not is_polling()
        for client in (one, other):
            client.look(follow=True)
            client.until("rows")
        names = [thread.name for thread in threading.enumerate()]
        assert 1 == names.count("logbatch-poller")
        app.log.info("hello")
        assert ["hello"] == one.messages("append", 1) == other.messages("append", 1)
        one.look(follow=False)
        one.until("rows")
        other.look(follow=False)
        other.until("rows")
        wait_until(lambda: not is_polling(), "the end of looking")
        app.log.info("unseen")
        app.handler.flush()
        still.look()
        assert ["hello", "unseen"] == still.until("rows")["rows"]["message"]
        assert "stats" == still.get()["type"]


def test_changes_of_statistics_are_exact(view: StartViewer, app: App) -> None:
    """What is counted at first, and what is told then, is together what is there."""
    viewer = view()
    for number in range(30):
        app.log.info("before", extra={"user": number % 3})
    with viewer.socket() as client:
        client.look("logger=shop", follow=True, bins=10)
        client.until("rows")
        for number in range(50):
            level = logging.ERROR if number % 5 == 0 else logging.INFO
            app.log.log(level, "n %d", number, extra={"user": number % 4})
        stats: dict[str, Any] = {}
        appended: list[Message] = []
        while not (stats and appended) or stats["total"] + appended[-1]["total"] < 80:
            message = client.get()
            assert message["type"] != "error", message
            stats = message.get("stats") or stats
            appended += [message] if message["type"] == "append" else []
        while sum(bar[2] for m in appended for bar in m["histogram"]) < appended[-1]["total"]:
            appended.append(client.until("append"))
    rows = list(Dataset(viewer.directory).rows("logger=shop"))
    levels = Counter({name: count for name, _, count in stats["levels"]})
    for message in appended:
        levels.update({name: count for name, _, count in message["levels"]})
    assert Counter(row["level"] for row in rows) == levels
    facets: Counter[tuple[str, Any]] = Counter()
    for facet in stats["facets"]:
        facets.update({(facet["field"], value): count for value, count in facet["values"]})
    for message in appended:
        facets.update({(field, value): count for field, value, count in message["facets"]})
    for field in ("level", "logger", "process", "service"):
        for value, count in Counter(row[field] for row in rows).items():
            assert count == facets[field, value]
    for user, count in Counter(str(row["attributes"]["user"]) for row in rows).items():
        assert count == facets["user", user]
    histogram = stats["histogram"]
    start, width = histogram["start"], histogram["width"]
    bars: Counter[tuple[int, str]] = Counter()
    for number, bar in enumerate(histogram["counts"]):
        for level_name, count in zip(histogram["levels"], bar, strict=True):
            bars[start + number * width, level_name] += count
    for message in appended:
        bars.update({(at, name): count for at, name, count in message["histogram"]})
    expected = Counter(
        (start + (to_microseconds(row["timestamp"]) - start) // width * width, row["level"])
        for row in rows
    )
    assert expected == +bars


def test_at_most_ten_messages_a_second(view: StartViewer, app: App) -> None:
    """However fast records come, they are told in few messages."""
    viewer = view()
    with viewer.socket() as client:
        client.look(follow=True)
        client.until("stats")
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(0.002):
                app.log.info("hello")

        worker = threading.Thread(target=work)
        worker.start()
        began, count = time.monotonic(), 0
        while time.monotonic() < began + 1.5:
            client.until("append")
            count += 1
        ended.set()
        worker.join()
        assert count <= 10 * (time.monotonic() - began) + 2


def test_too_many_to_read_are_sampled_and_counted(view: StartViewer) -> None:
    """Of more than anybody can read some are shown, and it is said; counts are of all."""
    viewer = view()
    with viewer.socket() as client:
        client.look("n>=0", follow=True, columns=["n"])
        client.until("stats")
        publish(viewer.directory, batch_of(A, 0, *map(numbered, range(5_000))))
        (message,) = collect(client, 5_000)
    shown = message["rows"]["n"]
    assert {"shown": 500, "of": 5_000} == message["sampled"]
    assert 500 == len(shown) == len(set(shown))
    assert shown == sorted(shown)
    assert (0, 4_999) == (shown[0], shown[-1])
    assert {"INFO": 4_000, "ERROR": 1_000} == {name: n for name, _, n in message["levels"]}
    users = {value: n for field, value, n in message["facets"] if field == "logger"}
    assert {"app": 5_000} == users


def test_only_what_is_in_the_range_is_told(view: StartViewer) -> None:
    """A range of time holds for what comes later, too."""
    viewer = view()
    end = to_microseconds(datetime(2026, 11, 21, 10, 30, tzinfo=UTC))
    with viewer.socket() as client:
        client.look("", follow=True, end=end, columns=["message"])
        client.until("rows")
        inside, outside = event("in"), event("out", timestamp="2026-11-21T11:00:00.000000Z")
        publish_events(viewer.directory, inside, outside)
        assert ["in"] == client.until("append")["rows"]["message"]


def test_a_view_that_is_superseded_tells_nothing_any_more(view: StartViewer, app: App) -> None:
    """What comes belongs to the view that is shown; one that was shown before is not told."""
    viewer = view()
    with viewer.socket() as client:
        client.look("message~odd", follow=True)
        client.until("rows")
        client.look("message~even", follow=True)
        for number in range(20):
            app.log.info("odd" if number % 2 else "even")
        found: list[str] = []
        while len(found) < 10:
            message = client.get()
            if message["type"] == "rows" and message["generation"] == 1:
                continue
            assert message["generation"] == 2
            found += message.get("rows", {}).get("message", [])
    assert {"even"} == set(found)


def test_a_process_that_begins_is_marked(view: StartViewer, app: App) -> None:
    """Who follows sees a restart when it happens."""
    viewer = view()
    app.log.info("hello")
    app.handler.flush()
    with viewer.socket() as client:
        client.look(follow=True)
        client.until("stats")
        other = App(viewer.directory)
        other.log.info("hello again")
        other.handler.flush()
        while {"shop"} != {mark["service"] for mark in client.until("marks")["marks"]}:
            continue
        other.handler.close()


def test_a_directory_that_is_gone(view: StartViewer) -> None:
    """It is told, and the socket goes on."""
    viewer = view()
    publish_events(viewer.directory, event("hello"))
    with viewer.socket() as client:
        client.look(follow=True)
        client.until("stats")
        viewer.directory.rename(viewer.directory.with_name("elsewhere"))
        error = client.get()
        assert ("error", "server") == (error["type"], error["where"])
        client.look()
        error = client.get()
        assert ("error", "server", 2) == (error["type"], error["where"], error["generation"])
        assert str(viewer.directory.parent) not in error["message"]
        viewer.directory.with_name("elsewhere").rename(viewer.directory)
        client.look(follow=True)
        assert ["hello"] == client.until("rows")["rows"]["message"]
