"""Secrets are gone before a line is written anywhere, and nothing else is changed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from recovering import recover

import logbatch
from logbatch.batching.batcher import Batcher
from logbatch.events.event import LineEncoder
from logbatch.events.redact import REDACTED, Redactor
from logbatch.options import BatchOptions
from logbatch.storage.columns import COLUMNS
from logbatch.testing import CapturingTransport
from logbatch.transports import build

SECRET = "hunter2-0f7c"
encoder = LineEncoder()


def line_of(attributes: dict[str, Any], message: str = "hello") -> bytes:
    """Encode an event."""
    return encoder.text(message, level=logging.INFO, logger="test", attributes=attributes)


def attributes_of(line: bytes) -> dict[str, Any]:
    """Decode what is extra in a line."""
    found: dict[str, Any] = json.loads(line).get("attributes", {})
    return found


def logged(*args: Any, options: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    """Log one error through a handler; return the event that arrives."""
    transport = CapturingTransport()
    with logbatch.BatchHandler(transport, **options) as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        logger.error(*args, **keywords)
    (event,) = transport.events
    return event


# ---------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"password": SECRET, "user": 1}, {"password": REDACTED, "user": 1}),
        ({"PassWord": SECRET}, {"PassWord": REDACTED}),
        ({"a": [{"b": {"password": SECRET}}]}, {"a": [{"b": {"password": REDACTED}}]}),
        ({"password": {"x": ["]", '"}', {"y": SECRET}]}, "z": 1}, {"password": REDACTED, "z": 1}),
        ({"password": [], "token": {}}, {"password": REDACTED, "token": REDACTED}),
        ({"password": None, "token": -1.5e300}, {"password": REDACTED, "token": REDACTED}),
        ({"password": True, "token": 2**200}, {"password": REDACTED, "token": REDACTED}),
        ({"d": {b"password": 1, "password": 2}}, None),
        ({"password_hint": "x", "my password": "x"}, {"password_hint": "x", "my password": "x"}),
        ({"a": "password", "b": ["token"]}, {"a": "password", "b": ["token"]}),
        ({'sa"y\\': 1, "ÄRGER": 2, "\x1b": 3}, {'sa"y\\': REDACTED, "ÄRGER": REDACTED, "\x1b": 3}),
        ({}, {}),
    ],
)
def test_values_are_taken_by_name(attributes: dict[str, Any], expected: Any) -> None:
    """A value goes whatever it is and however deep, by a name in any case, and by that alone."""
    redact = Redactor(["password", "TOKEN", 'sa"y\\', "ärger"])
    found = attributes_of(redact(line_of(attributes)))

    if expected is None:  # the encoder numbers a second key of one text
        expected = {"d": {"password": REDACTED, "password (2)": REDACTED}}
    assert expected == found


def test_a_line_without_a_name_is_the_same_object() -> None:
    """Where there is nothing to take out, nothing is done."""
    line = line_of({"user": 42}, 'it says "password" here')

    assert Redactor(["password"])(line) is line


def test_what_is_not_taken_stays_as_it_was() -> None:
    """Numbers of any size, the order of keys, spaces and doubled keys stay, byte for byte."""
    rest = b'"big":18446744073709551617 , "f":1e400,"f":-0.0,"e":"\\u00e9\\/"'
    line = b'{"message":"x","attributes":{"password":"%b",%b,"token":[1]}}\n'
    redact = Redactor(["password", "token"])

    expected = line.replace(b"%b", b"[redacted]", 1).replace(b"%b", rest).replace(b"[1]", b"?")
    assert expected.replace(b"?", b'"[redacted]"') == redact(
        line.replace(b"%b", SECRET.encode(), 1).replace(b"%b", rest)
    )


def test_an_escaped_key_is_found() -> None:
    """JSON may spell a key by escapes, and a doubled key is taken each time."""
    line = b'{"message":"x","attributes":{"p\\u0061ssword":"a","password":"b"}}\n'

    expected = line.replace(b'"a"', b'"[redacted]"').replace(b'"b"', b'"[redacted]"')
    assert expected == Redactor(["password"])(line)


@pytest.mark.parametrize("name", [n for n, c in COLUMNS.items() if c.type == "string"])
def test_patterns_look_where_secrets_may_be(name: str) -> None:
    """A pattern takes a text out of each column that may hold a secret, but for a class's name."""
    line = json.dumps({"message": "x", name: SECRET}).encode() + b"\n"
    taken = json.loads(Redactor((), [re.compile(SECRET)])(line))[name]

    assert (COLUMNS[name].secret and name != "exception_type") is (taken == REDACTED)


def test_values_that_were_cut_are_taken() -> None:
    """A value longer than `max_value_bytes` is taken like any other."""
    event = logged(
        "x",
        extra={"password": SECRET * 500, "deep": [{"password": SECRET} for _ in range(500)]},
        options={"redact": ["password"], "max_value_bytes": 1000},
    )

    assert SECRET not in json.dumps(event)
    assert "[cut: 500 items in all]" in json.dumps(event, ensure_ascii=False)


# ---------------------------------------------------------------------------- patterns

CARD = re.compile(r"\b\d{4}(?: ?\d{4}){3}\b")
BEARER = re.compile(r"(?<=Bearer )\S+")


def test_patterns_hold_in_all_texts() -> None:
    """What matches goes from message, template, exception, stack and attributes at any depth."""
    try:
        raise ValueError(f"no card 4111 1111 1111 1111 for Bearer {SECRET}")
    except ValueError:
        event = logged(
            "card %s, 4111111111111111 Bearer é\n",
            "4111 1111 1111 1111",
            exc_info=True,
            extra={"a": {"b": [f"Bearer {SECRET}"]}, "n": 4111111111111111, "t": "fine"},
            options={"redact_patterns": [CARD, BEARER.pattern]},
        )

    assert "card [redacted], [redacted] Bearer [redacted]\n" == event["message"]
    assert "card %s, [redacted] Bearer [redacted]\n" == event["template"]
    assert "no card [redacted] for Bearer [redacted]" == event["exception_message"]
    assert {"a": {"b": ["Bearer [redacted]"]}, "n": 4111111111111111, "t": "fine"} == (
        event["attributes"]
    )
    assert "ValueError: no card [redacted] for Bearer [redacted]" in event["stacktrace"]
    assert SECRET not in event["stacktrace"].replace("{SECRET}", "")


def test_a_pattern_sees_text_and_not_its_json() -> None:
    """Anchors, quotes and newlines are those of the text."""
    patterns = [re.compile(r'^"key"\t.*$', re.MULTILINE)]
    line = line_of({"a": 'first\n"key"\tvalue\nlast'}, '"key"\tvalue')
    event = json.loads(Redactor([], patterns)(line))

    assert REDACTED == event["message"]
    assert "first\n[redacted]\nlast" == event["attributes"]["a"]


def test_a_match_of_nothing_hides_nothing() -> None:
    """A pattern that can match without a character puts nothing in there."""
    line = line_of({}, "one two")

    assert line == Redactor([], [re.compile(r"\b(?:x+)?(?=\w)")])(line)


def test_names_and_patterns_together() -> None:
    """A value that is taken by its name is not looked into."""
    redact = Redactor(["password"], [re.compile("abc")])

    assert {"password": REDACTED, "t": "x[redacted]"} == attributes_of(
        redact(line_of({"password": "abc", "t": "xabc"}))
    )


# ---------------------------------------------------------------------------- how lines are made


def test_arguments_that_do_not_fit_are_kept_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A dict that could not be formatted is an attribute like any other, and not on stderr."""
    event = logged(
        "%(user)s %(missing)s",
        {"user": "ann", "password": SECRET},
        options={"redact": ["password"]},
    )

    assert {"user": "ann", "password": REDACTED} == event["attributes"]["args"]
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "the arguments of a message do not fit it" in said


def test_a_handler_of_errors_of_ones_own_is_still_told() -> None:
    """A subclass that overrides `handleError` gets the record, redacted or not."""
    told = []

    class Mine(logbatch.BatchHandler):
        def handleError(self, record: logging.LogRecord) -> None:
            told.append(record.msg)

    with Mine(CapturingTransport(), redact=["password"]) as handler:
        handler.handle(logging.LogRecord("x", 20, "f", 1, "%d", ("a",), None))

    assert ["%d"] == told


def test_structlog_exceptions_with_locals() -> None:
    """Local variables that structlog shows are attributes: their names count."""
    transport = CapturingTransport()
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=True)
    )
    with logbatch.BatchProcessor(transport, redact=["password"]) as processor:
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[tracebacks, processor])
        try:
            password = "".join(reversed("2retnuh"))
            raise RuntimeError(f"{len(password)} characters")
        except RuntimeError:
            log.exception("failed", Password={"nested": password})
    (event,) = transport.events

    assert REDACTED == event["attributes"]["Password"]
    frames = event["attributes"]["exception"][0]["frames"]
    assert [REDACTED] == [frame["locals"]["password"] for frame in frames]
    assert "hunter2" not in json.dumps(event)


def test_objects_bound_context_and_dataclasses() -> None:
    """Fields of a dataclass and bound values are taken; the repr of an object is only a text."""

    @dataclasses.dataclass
    class Login:
        user: str
        password: str

    class Opaque:
        def __repr__(self) -> str:
            return f"Opaque(password={SECRET})"

    with structlog.contextvars.bound_contextvars(api_key=SECRET):
        event = logged(
            "x",
            extra={"login": Login("ann", SECRET), "opaque": Opaque()},
            options={"redact": ["password", "api_key"], "redact_patterns": [r"(?<=word=)[^)]+"]},
        )

    assert {
        "api_key": REDACTED,
        "login": {"user": "ann", "password": REDACTED},
        "opaque": "Opaque(password=[redacted])",
    } == event["attributes"]


def test_a_promoted_column_does_not_tell(tmp_path: Path) -> None:
    """`columns=` of an attribute that is redacted holds what the attribute holds."""
    logs = tmp_path / "logs"
    with logbatch.BatchHandler(
        f"parquet:{logs}", columns={"password": "string", "user": "string"}, redact=["password"]
    ) as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        logger.info("x", extra={"password": SECRET, "user": "ann"})

    (row,) = logbatch.Dataset(logs).to_table(columns=["password", "user"]).to_pylist()
    assert {"password": REDACTED, "user": "ann"} == row
    assert [] == files_with(logs, SECRET)


def test_whatever_is_appended_to_a_batcher_is_redacted() -> None:
    """It is the batcher that redacts: no way of making lines goes past it."""
    transport = CapturingTransport()
    batcher = Batcher(transport, BatchOptions(redact=("password",)))
    batcher.append(line_of({"password": SECRET}), 20)
    batcher.close()

    assert {"password": REDACTED} == transport.events[0]["attributes"]


# ---------------------------------------------------------------------------- failure


@pytest.mark.parametrize(
    "line",
    [
        b'{"logger":"a","message":"%b","attributes":{"password":"%b"\n',
        b'{"logger":"a","message":"%b","attributes":{"password":"%b',
        b'["attributes","password","%b","%b"]\n',
        b'{"logger":"a","pathname":"p","message":"%b","attributes":{"password":"%b","x":tru}}\n',
        b'%b "attributes" "password" \xff %b\n',
    ],
)
def test_what_cannot_be_read_is_not_kept(line: bytes) -> None:
    """A line that is broken leaves an event that says so, and none of its text."""
    told: list[tuple[str, str]] = []
    redact = Redactor(["password"], [], lambda kind, text, error: told.append((kind, text)))
    event = json.loads(redact(line.replace(b"%b", SECRET.encode())))

    assert SECRET not in json.dumps(event)
    assert event["message"].startswith("[redacted: ")
    assert {"timestamp", "level", "levelno", "logger", "message"} <= set(event)
    assert ["redact"] == [kind for kind, _ in told]
    assert SECRET not in told[0][1]


def test_near_the_recursion_limit_nothing_gets_through() -> None:
    """With hardly any stack left the line is redacted, or emptied, or not made at all."""
    redact = Redactor(["password"], [re.compile("nothing")])
    line = line_of({"password": SECRET})
    results: list[bytes] = []

    def down() -> None:
        with contextlib.suppress(RecursionError):
            down()
        with contextlib.suppress(RecursionError):
            results.append(redact(line))

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        down()
    finally:
        sys.setrecursionlimit(limit)

    assert len(results) > 50
    assert not any(SECRET.encode() in result for result in results)
    assert any(REDACTED.encode() in result for result in results)


def test_a_failure_is_counted_and_the_event_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """The account agrees, and stderr says that an event was emptied but not what was in it."""
    transport = CapturingTransport()
    batcher = Batcher(transport, BatchOptions(redact=("password",)))
    broken = b'{"attributes":{"password":"%b"\n' % SECRET.encode()
    batcher.append(broken, 20)
    batcher.close()
    said = capsys.readouterr().err

    assert 1 == batcher.stats().published == batcher.stats().accepted
    assert {"redact": 1} == batcher.stats().errors
    assert "without its content" in said
    assert SECRET not in said + json.dumps(transport.events)


# ---------------------------------------------------------------------------- nowhere on the disk


PROGRAM = """
import logging, os, signal, sys, logbatch
from logbatch.errors import RejectedError
from logbatch.testing import CapturingTransport

class Refusing(CapturingTransport):
    def send(self, batch):
        raise RejectedError("no")

url, end = sys.argv[1:]
transport = url
if end == "rejected":
    transport = Refusing(destination="x")
    transport.journal_directory = url
options = {"redact": ["password"], "redact_patterns": ["(?<=pw=)[^ '\\"]+"]}
handler = logbatch.BatchHandler(transport, flush_interval=3600, **options)
logging.getLogger().addHandler(handler)
secret = "hunter2-" + "0f7c"
for n in range(300):
    logging.warning("pw=%s", secret, extra={"n": n, "password": secret})
logging.warning("%d", {"password": secret})
logging.warning("%d %d", "pw=" + secret)
if end == "rejected":
    handler.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def files_with(directory: Path, text: str) -> list[Path]:
    """Find the files that hold a text, hidden ones too."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]


@pytest.mark.parametrize("end", ["killed", "rejected"])
def test_a_secret_is_in_no_file_and_not_on_stderr(tmp_path: Path, end: str) -> None:
    """Neither the journal of a killed process nor a dead letter nor a segment has it."""
    logs = tmp_path / "logs"
    url = str(logs) if end == "rejected" else f"jsonl:{logs}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, end], capture_output=True, timeout=60, check=False
    )
    assert -signal.SIGKILL == done.returncode, done.stderr
    assert [] == files_with(logs, SECRET)
    assert files_with(logs, "pw=[redacted]")
    assert SECRET.encode() not in done.stderr + done.stdout
    if end == "rejected":
        assert files_with(logs / "rejected", "pw=[redacted]")
    else:
        assert 302 == recover(build(url)).events
        assert [] == files_with(logs, SECRET)
        assert 302 == len(list(logbatch.Dataset(logs).rows()))


def test_a_forked_child_redacts_too(tmp_path: Path) -> None:
    """What a child logs after a fork goes the same way."""
    logs = tmp_path / "logs"
    with logbatch.BatchHandler(f"jsonl:{logs}", redact=["password"]) as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        logger.info("parent", extra={"password": SECRET})
        child = os.fork()
        if child == 0:
            logger.info("child", extra={"password": SECRET})
            handler.close()
            os._exit(0)
        assert 0 == os.waitpid(child, 0)[1]
    rows = list(logbatch.Dataset(logs).rows())

    assert {"parent", "child"} == {row["message"] for row in rows}
    assert [{"password": REDACTED}] * 2 == [row["attributes"] for row in rows]


# ---------------------------------------------------------------------------- properties

NAMES = ["password", "Token", "straße", 'q"\\']
keys = st.sampled_from([*NAMES, "PASSWORD", "STRASSE", "user", "x" * 20, "", "tok\nen"]) | st.text(
    max_size=5
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def expected_of(value: Any) -> Any:
    """Redact decoded JSON the simple way."""
    folded = {name.casefold() for name in NAMES}
    if isinstance(value, dict):
        return {
            key: REDACTED
            if re.sub(r" \(\d+\)$", "", key).casefold() in folded
            else expected_of(inner)
            for key, inner in value.items()
        }
    return [expected_of(inner) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(keys, values, max_size=6))
def test_no_name_survives_and_everything_else_does(attributes: dict[str, Any]) -> None:
    """The result is what decoding, redacting and encoding again would give."""
    line = line_of(attributes)
    redacted = Redactor(NAMES)(line)

    assert {**json.loads(line), "attributes": expected_of(attributes_of(line))} == {
        "attributes": {},
        **json.loads(redacted),
    }
    assert redacted == Redactor(NAMES)(redacted)


@given(st.dictionaries(keys, values, max_size=6), st.text(max_size=30))
def test_no_match_survives(attributes: dict[str, Any], message: str) -> None:
    """After a pattern no text of the line has a match left that was there, at any depth."""
    pattern = re.compile("[aeiou0-9]")
    event = json.loads(Redactor([], [pattern])(line_of(attributes, message)))

    def texts(value: Any) -> list[str]:
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            return [text for part in inner for text in texts(part)]
        return [value] if isinstance(value, str) else []

    found = [event["message"], *texts(event.get("attributes", {}))]
    assert not any(pattern.search(text.replace(REDACTED, "")) for text in found)
