"""`Dataset.errors`: errors of one kind together, with what is known of them."""

from __future__ import annotations

import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from make import (
    DAY,
    START,
    Waiting,
    batch_of,
    encode,
    event,
    publish,
    with_pending,
    write_compacted,
)
from pace import cpu_seconds

from logbatch import BatchHandler, Dataset, ErrorGroup, FilterError, QueryError
from logbatch.dataset.analysis.errors import MOST
from logbatch.dataset.analysis.fingerprints import of_exception
from logbatch.events.stacktrace import HEADER
from logbatch.identity import new_producer

SECOND = timedelta(seconds=1)


@contextmanager
def logging_to(path: Path, kind: str = "parquet", **options: Any) -> Iterator[logging.Logger]:
    """A logger whose records go into a directory."""
    logger = logging.Logger("shop.web")
    handler = BatchHandler(f"{kind}:{path}", **options)
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        handler.close()


def fail(error: Exception) -> None:
    """Raise an exception."""
    raise error


def fail_elsewhere(error: Exception) -> None:
    """Raise an exception at another place."""
    raise error


def log_caught(
    logger: logging.Logger, error: Exception, raiser: Callable[[Exception], None] = fail
) -> None:
    """Log an exception as applications do."""
    try:
        raiser(error)
    except Exception:
        logger.exception("it failed for %d", 7)


def counts(groups: Sequence[ErrorGroup]) -> Counter[tuple[str | None, str]]:
    """Return how many there are by type and message."""
    return Counter({(group.type, group.message): group.count for group in groups})


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_exceptions_are_grouped_by_type_and_place(tmp_path: Path, kind: str) -> None:
    """Not by their messages; each group tells its newest in full."""
    with logging_to(tmp_path, kind) as logger:
        for number in range(5):
            log_caught(logger, ValueError(number))
        for number in range(3):
            log_caught(logger, KeyError(number))
        log_caught(logger, KeyError("x"), fail_elsewhere)
        logger.info("all is well")
    found = Dataset(tmp_path).errors()

    assert [("ValueError", "4", 5), ("KeyError", "2", 3), ("KeyError", "'x'", 1)] == [
        (group.type, group.message, group.count) for group in found
    ]
    assert (9, 0) == (found.total, found.left_out)
    assert [group.count for group in found] == [
        len(list(Dataset(tmp_path).rows(group.where))) for group in found
    ]
    first = found[0]
    assert ("it failed for 7", "shop.web") == (first.example["message"], first.example["logger"])
    assert "ValueError: 4" in first.example["stacktrace"]
    assert [(__file__, "log_caught"), (__file__, "fail")] == list(first.frames)
    assert first.culprit.endswith("test_errors.py in fail")
    assert first.first <= first.last == first.example["timestamp"] <= found[1].first
    assert [False] * 3 == [group.is_new for group in found]


def test_what_is_not_published_yet(tmp_path: Path) -> None:
    """It counts as well."""
    with logging_to(tmp_path, flush_interval=3600, flush_level="never") as logger:
        log_caught(logger, ValueError(1))
        assert {("ValueError", "1"): 1} == counts(Dataset(tmp_path).errors())
        logger.handlers[0].flush()
        log_caught(logger, ValueError(2))
        assert {("ValueError", "2"): 2} == counts(Dataset(tmp_path).errors())


def test_errors_without_an_exception(tmp_path: Path) -> None:
    """Those of one template are; of a formatted message numbers and quotes do not count."""
    with logging_to(tmp_path) as logger:
        for number in range(4):
            logger.error("no room in %s for %d", "a'b", number)
            logger.critical(f"user '{chr(97 + number)}' lost {number} of 0x{number:02x}")
        logger.error("step 1 of %s failed", "x")
        logger.error("step 2 of %s failed", "x")
        logger.warning("not an error")
        logger.error("with a stack", stack_info=True)
        logger.warning("below, but with an exception", exc_info=ValueError("never raised"))
    found = Dataset(tmp_path).errors()

    assert counts(found) == {
        (None, "no room in a'b for 3"): 4,
        (None, "user 'd' lost 3 of 0x03"): 4,
        (None, "step 1 of x failed"): 1,
        (None, "step 2 of x failed"): 1,
        (None, "with a stack"): 1,
        ("ValueError", "never raised"): 1,
    }
    assert [group.count for group in found] == [
        len(list(Dataset(tmp_path).rows(group.where))) for group in found
    ]
    assert {"dataset/test_errors.py in test_errors_without_an_exception"} == {
        group.culprit for group in found
    }


NASTY = [
    *("", "one", "two\nlines", '  File "/x/y.py", line 3, in z\n    pass', "\n" * 5, "é" * 500),
    '\nTraceback (most recent call last):\n  File "/x/y.py", line 3, in z\nKeyError: 1',
    "x\n\nDuring handling of the above exception, another exception occurred:\n\n"
    'Traceback (most recent call last):\n  File "/x/y.py", line 3, in z\nKeyError: 1',
    *(
        "Stack (most recent call last):",
        "ValueError: ValueError: 1",
        "0",
        "1",
        "'",
        '"',
        "%s",
        "\0",
    ),
    *("x" * 40_000, "line\n" * 9_000, "  + Exception Group Traceback (most recent call last):"),
]


def test_no_message_makes_another_kind(tmp_path: Path) -> None:
    """Also one that looks like a stack trace, or is so long that the middle is cut out."""
    with logging_to(tmp_path) as logger:
        for message in NASTY:
            log_caught(logger, ValueError(message))
    found = Dataset(tmp_path).errors()

    assert [len(NASTY)] == [group.count for group in found]


def error(number: int, seconds: float, **fields: Any) -> dict[str, Any]:
    """Make an error of the n-th kind, so long after the beginning."""
    place = f'  File "/srv/shop/m{number}.py", line {number}, in f\n'
    trace = f"Traceback (most recent call last):\n{place}ValueError: {number}"
    made: dict[str, Any] = {
        "message": f"error {number}",
        "timestamp": (START + timedelta(seconds=seconds)).isoformat(),
        "level": "ERROR",
        "levelno": 40,
        "exception_type": "ValueError",
        "exception_message": str(number),
        "stacktrace": trace,
    }
    return event(**made | fields)


def test_counts_over_time(tmp_path: Path) -> None:
    """The range is divided into bins; those who compare by hand count the same."""
    rng = random.Random(3)
    times = [(rng.randrange(4), rng.uniform(0, 100)) for _ in range(400)]
    publish(tmp_path, batch_of(new_producer(), 0, *(error(*each) for each in times)))
    start, end = START + 20 * SECOND, START + 70 * SECOND

    found = Dataset(tmp_path).errors(start=start, end=end, bins=7)
    assert (start, end) == (found.start, found.end)
    assert 4 == len(found)
    for group in found:
        number = int(group.message)
        mine = [START + timedelta(seconds=at) for kind, at in times if kind == number]
        inside = [at for at in mine if start <= at < end]
        bins = Counter((at - start) * 7 // (end - start) for at in inside)
        assert [bins[bin] for bin in range(7)] == list(group.counts)
        assert (len(inside), max(inside)) == (group.count, group.last)
        assert (min(mine), max(inside)) == (group.first, group.example["timestamp"])
    assert sum(group.count for group in found) == found.total


def test_the_range_without_ends(tmp_path: Path) -> None:
    """It is from the first error to the last, each of which is in a bin."""
    publish(tmp_path, batch_of(new_producer(), 0, *(error(0, at) for at in (3, 4, 13))))
    (group,) = found = Dataset(tmp_path).errors(bins=2)

    assert (START + 3 * SECOND, START + 13 * SECOND) == (found.start, group.last)
    assert (2, 1) == group.counts
    assert (1,) * 1 == Dataset(tmp_path).errors(bins=1, end=START + 4 * SECOND)[0].counts
    assert 0 == len(Dataset(tmp_path).errors(start=START + 14 * SECOND))
    assert 0 == len(Dataset(tmp_path).errors(start=START + 5 * SECOND, end=START + 4 * SECOND))


def test_what_is_new(tmp_path: Path) -> None:
    """A kind that arose before, if only outside of the range, is not; new ones come first."""
    events = [error(0, 0), *(error(0, 50 + n) for n in range(9)), error(1, 50), error(2, 10)]
    publish(tmp_path, batch_of(new_producer(), 0, *events))
    found = Dataset(tmp_path).errors(start=START + 40 * SECOND, since=START + 50 * SECOND)

    assert [("1", True), ("0", False)] == [(group.message, group.is_new) for group in found]
    assert START == found[1].first
    old = Dataset(tmp_path).errors(since=START + timedelta(seconds=50, microseconds=1))
    assert [False] * 3 == [group.is_new for group in old]


def test_a_filter_and_a_limit(tmp_path: Path) -> None:
    """The filter says which errors, the limit how many kinds; what is left out is said."""
    events = [
        error(number, at, logger=f"app.l{number % 2}")
        for number in range(6)
        for at in range(9 - number)
    ]
    publish(tmp_path, batch_of(new_producer(), 0, *events))
    logs = Dataset(tmp_path)

    found = logs.errors(limit=2)
    assert ["0", "1"] == [group.message for group in found]
    assert (39, 22) == (found.total, found.left_out)
    assert {"1", "3", "5"} == {group.message for group in logs.errors("logger=app.l1")}
    assert {"3"} == {group.message for group in logs.errors("-message~0 message~3")}
    assert () == logs.errors("level=INFO") == logs.errors("nothing_like_it")
    assert 0 == len(logs.errors(limit=0))
    with pytest.raises(FilterError):
        logs.errors("level>=")
    with pytest.raises(ValueError, match="bins=0"):
        logs.errors(bins=0)
    with pytest.raises(ValueError, match="limit=-1"):
        logs.errors(limit=-1)


def test_an_empty_directory(tmp_path: Path) -> None:
    """There is nothing to tell."""
    found = Dataset(tmp_path).errors()
    assert ((), None, None, 0, 0) == (found, found.start, found.end, found.total, found.left_out)


def test_every_place_of_a_record(tmp_path: Path) -> None:
    """Compacted, in small files, as JSON Lines, and in a journal, it is counted once."""
    events = [error(n % 3, n) for n in range(40)]
    producer, other = new_producer(), new_producer()
    one = batch_of(producer, 0, *events[:10])
    write_compacted(tmp_path / DAY, one)
    publish(tmp_path, one, batch_of(producer, 10, *events[10:20]))
    publish(tmp_path, batch_of(other, 0, *events[20:30]), kind="jsonl")
    waiting = [Waiting(other, 10, encode(*events[30:]))]
    logs = with_pending(Dataset(tmp_path), lambda _: waiting)

    assert {("ValueError", "0"): 14, ("ValueError", "1"): 13, ("ValueError", "2"): 13} == counts(
        logs.errors()
    )


def test_repeats_count_as_often_as_they_were(tmp_path: Path) -> None:
    """What `collapse_repeats` folds away is of the kind of what was repeated."""
    with logging_to(tmp_path, collapse_repeats=True) as logger:
        for _ in range(7):
            logger.error("no answer from %s", "db")
        for _ in range(5):
            log_caught(logger, ValueError(1))
        logger.error("no answer from %s", "db")
    logs = Dataset(tmp_path)
    assert 2 == len(list(logs.rows("repeated=*")))

    found = logs.errors()
    assert {(None, "no answer from db"): 8, ("ValueError", "1"): 5} == counts(found)
    assert 13 == found.total
    # Where what was repeated is filtered out, the repeats stand for themselves.
    assert 2 == logs.errors("repeated=*").total


def test_as_many_kinds_as_there_may_be(tmp_path: Path) -> None:
    """Beyond some thousand only the most frequent are looked at, and all are counted."""
    events = [error(number, number % 60) for number in range(MOST + 500)]
    events += [error(number, 61) for number in range(5)]
    publish(tmp_path, batch_of(new_producer(), 0, *events))
    found = Dataset(tmp_path).errors(limit=MOST + 500)

    assert (MOST, len(events), 500) == (len(found), found.total, found.left_out)
    assert {str(number) for number in range(5)} == {group.message for group in found[:5]}


def test_messages_without_end_are_few_kinds(tmp_path: Path) -> None:
    """However many messages there are, Python takes one stack trace of each kind apart."""
    cause = "\n\nThe above exception was the direct cause of the following exception:\n\n"

    def make(number: int) -> dict[str, Any]:
        made = error(number % 3, number % 60)
        place = '  File "/srv/shop/db.py", line 1, in g\n'
        first = f"Traceback (most recent call last):\n{place}KeyError: 'k{number}'"
        last = made["stacktrace"].rpartition(":")[0]
        made["exception_message"] = f"lost {number}"
        made["stacktrace"] = f"{first}{cause}{last}: lost {number}"
        return made

    publish(tmp_path, batch_of(new_producer(), 0, *(make(number) for number in range(5000))))
    logs = Dataset(tmp_path)
    assert [1667, 1667, 1666] == [group.count for group in logs.errors()]
    assert cpu_seconds(logs.errors) < 0.1


def test_a_time_limit(tmp_path: Path) -> None:
    """When it is up the answer is an error."""
    publish(tmp_path, batch_of(new_producer(), 0, *(error(n, n) for n in range(50))))
    with pytest.raises(QueryError, match="stopped"):
        Dataset(tmp_path).errors(timeout=1e-9)


def test_without_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for ask in (Dataset.errors, Dataset.patterns):
        with pytest.raises(QueryError, match="pip install"):
            ask(Dataset(tmp_path))


def test_any_stored_values(tmp_path: Path) -> None:
    """Nulls and odd texts, as other writers store them, are no obstacle."""
    odd = [
        error(0, 1, exception_type=None, exception_message=None),
        error(0, 2, stacktrace=None),
        error(0, 3, stacktrace=None, exception_message=None, pathname="C:\\x\\y.py", func_name="f"),
        error(0, 4, stacktrace="", logger=""),
        error(0, 5, template="", message="", exception_type=""),
        error(0, 6, exception_type=None, exception_message=None, stacktrace=None, level="X"),
        error(0, 7, stacktrace="panic: 5\n\tat x", exception_type=None),
    ]
    publish(tmp_path, batch_of(new_producer(), 0, *odd))
    found = Dataset(tmp_path).errors()

    assert len(odd) == found.total == sum(group.count for group in found)
    assert all(len(group.fingerprint) == 16 for group in found)


def test_what_finds_the_errors_of_a_group(tmp_path: Path) -> None:
    """Its filter does, of whatever language; also what only shows by an unusual text."""
    traces = [
        "E: 1\n    at handle (/srv/7/shop/web.js:3:9)\n    at main (/srv/7/shop/main.js:1:1)",
        "E: 2\n    at handle (/srv/8/shop/api.js:3:9)",
        "panic: 5\n\nmain.handle(0xc0)\n\t/home/a/web.go:8 +0x1d",
        "E: x\n\tat a.b$1.<init>(C.java:1)",
        "",
        f'{HEADER}\n  File "C:\\a b\\(x)\\m+1.py", line 1, in <lambda>\nE: 1',
        f'{HEADER}\n  File "/a/syntax.py", line 1\n    def\nE: 1',
    ]
    events = [error(0, at, stacktrace=trace) for at, trace in enumerate(traces)]
    for number, text in enumerate(
        ["[a] (b) 1.5 'c'", "$5 ^x|y\\", "null", '"', "x" * 5000, "é\n7"]
    ):
        plain = {"exception_type": None, "exception_message": None, "stacktrace": None}
        events.append(error(0, 10 + number, message=text, template=text, **plain))
        events.append(error(0, 20 + number, message=text, logger="other", **plain))
    publish(tmp_path, batch_of(new_producer(), 0, *events))
    logs = Dataset(tmp_path)

    found = logs.errors()
    assert len(events) == len(found)
    for group in found:
        again = [row["sequence"] for row in logs.rows(group.where)]
        assert [group.example["sequence"]] == again, group.where


CAUSE = "\n\nThe above exception was the direct cause of the following exception:\n\n"


def trace_of(rng: random.Random) -> str:
    """Make a stack trace of some language, that is like others."""
    place = '  File "/srv/{}/{}.py", line {}, in {}\n    do({})\n'
    python = "Traceback (most recent call last):\n" + "".join(
        place.format(
            rng.choice(("shop", "pay", "lib/python3.11/json", "site-packages/flask")),
            *(rng.choice("ab"), rng.randrange(3), rng.choice("fg"), rng.randrange(100)),
        )
        for _ in range(rng.randrange(1, 4))
    )
    message = f"{rng.choice(('no', 'a: b', '7'))} {rng.random()}"
    last = f"{rng.choice(('ValueError', 'shop.Bad'))}: {message}"
    if rng.random() < 0.2:
        java = f"java.io.{rng.choice('AB')}: {rng.random()}"
        return f"{java}\n\tat shop.{rng.choice('fg')}(Shop.java:{rng.randrange(9)})"
    if rng.random() < 0.1:
        head = "Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):"
        return f'{head}\n  File "/srv/shop/m{rng.randrange(3)}.py", line {rng.randrange(9)} in f'
    if rng.random() < 0.1:
        return f"{rng.choice('ab')} failed {rng.randrange(9)} times"
    if rng.random() < 0.3:
        return python + last + CAUSE + trace_of(rng)
    if rng.random() < 0.2:
        head = "  + Exception Group Traceback (most recent call last):\n"
        lines = "".join(f"  | {line}\n" for line in python.splitlines()[1:])
        part = "\n".join(f"    | {line}" for line in (python + last).splitlines())
        return f"{head}{lines}  | G: x\n  +-+---------------- 1 ----------------\n{part}"
    return python + last


def test_each_stack_trace_by_itself_gives_the_same_groups(tmp_path: Path) -> None:
    """What DuckDB puts together has one fingerprint, and what it tells apart is put together."""
    rng = random.Random(11)
    events = [
        error(
            0,
            number,
            stacktrace=trace,
            exception_type=rng.choice(("ValueError", None if "last):" not in trace else "E")),
            exception_message=None,
            logger=rng.choice(("shop.a", "__main__")),
            pathname=rng.choice(("/srv/shop/a.py", "/srv/pay/b.py", None)),
        )
        for number, trace in enumerate(trace_of(rng) for _ in range(1500))
    ]
    publish(tmp_path, batch_of(new_producer(), 0, *events))
    digests = [
        of_exception(e["exception_type"], e["stacktrace"], e["logger"], e["pathname"]).digest
        for e in events
    ]
    logs = Dataset(tmp_path)
    found = logs.errors(limit=10_000)

    assert Counter(digests) == {group.fingerprint: group.count for group in found}
    assert 100 < len(found) < 1000
    for group in found[:30]:
        mine = {at for at, digest in enumerate(digests) if digest == group.fingerprint}
        numbers = logs.to_table(group.where, columns=["sequence"]).column(0).to_pylist()
        assert mine <= set(numbers)
        assert len(numbers) < 400
