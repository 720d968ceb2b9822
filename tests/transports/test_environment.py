"""Options in the environment: `LOGBATCH_<KIND>_<NAME>` of a transport, and what is misspelt."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from logbatch import BatchHandler
from logbatch.testing import CapturingTransport
from logbatch.transports import build
from logbatch.transports.adapted import given_object

HTTPS = "https://example.org"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package, which registers the kinds `queue`, `my-queue` and `x` as pip would."""
    (tmp_path / "queue_package.py").write_text(
        "class Queue:\n"
        "    def __init__(self, url, size=1, **options): self.options = dict(options, size=size)\n"
        "    @classmethod\n"
        "    def from_url(cls, url, **options): return cls(url, **options)\n"
        "    def send(self, batch): pass\n"
        "    def close(self): pass\n"
        "class Strict(Queue):\n"
        "    def __init__(self, url, size=1): self.options = dict(size=size)\n"
    )
    info = tmp_path / "queue_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: queue-package\nVersion: 1.0\n")
    kinds = {"queue": "Queue", "my-queue": "Strict", "x": "Strict"}
    entries = "".join(f"{kind} = queue_package:{name}\n" for kind, name in kinds.items())
    (info / "entry_points.txt").write_text(f"[logbatch.transports]\n{entries}")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("queue_package", None)


def refusal(transport: Any, **options: Any) -> str:
    """Build a handler, which fails; return why."""
    with pytest.raises(ValueError) as caught:
        BatchHandler(transport, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "url", "told"),
    [
        ("JSONL_ROTATE_BYTES", "x", "jsonl:logs", "rotate_bytes='x' must be a number"),
        ("JSONL_COMPRESSION", "zst", "jsonl:logs", "compression='zst' must be one of"),
        ("PARQUET_COMPRESSION", "zst", "parquet:logs", "compression='zst' must be one of"),
        ("HTTP_TOKEN", "a b", HTTPS, "token must be printable"),
        ("HTTP_TIMEOUT", "x", "http://127.0.0.1:1", "timeout='x' must be"),
    ],
)
def test_an_option_is_read_and_a_wrong_one_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, url: str, told: str
) -> None:
    """Nobody can see it in the program."""
    monkeypatch.setenv(f"LOGBATCH_{variable}", value)

    assert refusal(url).startswith(f"environment variable LOGBATCH_{variable}: {told}")


@pytest.mark.parametrize("transport", ["jsonl:logs", {"type": "jsonl", "path": "logs"}])
def test_it_holds_for_a_url_and_for_a_dict(monkeypatch: pytest.MonkeyPatch, transport: Any) -> None:
    """Where the kind is known by name."""
    monkeypatch.setenv("LOGBATCH_JSONL_ROTATE_BYTES", "0")

    assert "LOGBATCH_JSONL_ROTATE_BYTES: rotate_bytes='0' must be" in refusal(transport)


def test_a_keyword_wins_and_is_not_blamed_on_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is given in the program counts, right or wrong."""
    monkeypatch.setenv("LOGBATCH_JSONL_ROTATE_BYTES", "x")

    build("jsonl:logs", rotate_bytes=5)
    assert refusal("jsonl:logs", rotate_bytes="y").startswith("rotate_bytes='y' must be")


def test_an_option_in_the_url_wins_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: None
) -> None:
    """Regression: the environment won over what stands in the program, or in LOGBATCH_TRANSPORT."""
    monkeypatch.setenv("LOGBATCH_JSONL_ROTATE_BYTES", "x")
    monkeypatch.setenv("LOGBATCH_TRANSPORT", "jsonl:logs?rotate_bytes=5")
    monkeypatch.setenv("LOGBATCH_QUEUE_SIZE", "7")
    monkeypatch.setenv("LOGBATCH_HTTP_TIMEOUT", "x")

    build("jsonl:logs?rotate_bytes=5")
    build()
    transport: Any = given_object(build("queue:a?size=5"))
    assert {"size": 1} == transport.options  # it reads its URL itself
    assert "LOGBATCH_HTTP_TIMEOUT" in refusal(f"{HTTPS}/?timeout=5")  # that is the server's


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Container files like to leave such ones."""
    for name in ("JSONL_ROTATE_BYTES", "JSONL_ROTATE_BYTE", "ROTATE_BYTES"):
        monkeypatch.setenv(f"LOGBATCH_{name}", " ")
    build("jsonl:logs")


def test_what_is_set_for_one_kind_is_nothing_to_another(
    monkeypatch: pytest.MonkeyPatch, queue: None
) -> None:
    """Right, wrong or misspelt, it is neither read nor checked where another kind is built."""
    for name in ("JSONL_COMPRESSION", "JSONL_COMPRESION", "JSONL_TIMEOUT", "PARQUET_COLUMNS"):
        monkeypatch.setenv(f"LOGBATCH_{name}", "x")
    for name in ("X_COMPRESSION", "X_FLUSH_LEVEL", "MY_QUEUE_TIMEOUT", "QUEUE_MAX_BATCH_SIZES"):
        monkeypatch.setenv(f"LOGBATCH_{name}", "x")

    BatchHandler(HTTPS).close()
    BatchHandler(CapturingTransport()).close()


@pytest.mark.parametrize(
    ("variable", "transport", "meant"),
    [
        ("FLUSH_INTERVALL", "jsonl:logs", "FLUSH_INTERVAL"),
        ("FLUSH_INTERVALL", CapturingTransport(), "FLUSH_INTERVAL"),
        ("TRANPORT", None, "TRANSPORT"),
        ("JSONL_ROTATE_BYTE", "jsonl:logs", "JSONL_ROTATE_BYTES"),
        ("JSONL_ROTATE", "jsonl:logs", "JSONL_ROTATE_BYTES"),
        ("ROTATE_BYTES", "jsonl:logs", "JSONL_ROTATE_BYTES"),
        ("ROTATE_BYTE", "jsonl:logs", "JSONL_ROTATE_BYTES"),
        ("TIMEOUT", HTTPS, "HTTP_TIMEOUT"),
        ("HTTPS_TIMEOUT", HTTPS, "HTTP_TIMEOUT"),
        ("HTP_TIMEOUT", HTTPS, "HTTP_TIMEOUT"),
        ("HTTP_TOKN", HTTPS, "HTTP_TOKEN"),
    ],
)
def test_a_misspelt_variable_is_told_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, variable: str, transport: Any, meant: str
) -> None:
    """Also one that lacks the name of its kind; else it would silently not be read."""
    monkeypatch.setenv(f"LOGBATCH_{variable}", "5")
    expected = (
        f"environment variable LOGBATCH_{variable} is not an option of logbatch; "
        f"did you mean LOGBATCH_{meant}?"
    )

    assert expected == refusal(transport)


def test_a_variable_for_what_is_given_in_the_program_is_of_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have any name that is not read: `token="env:LOGBATCH_TOKEN"`."""
    monkeypatch.setenv("LOGBATCH_TOKEN", "abcdef")

    BatchHandler(HTTPS, token="env:LOGBATCH_TOKEN").close()
    assert "did you mean LOGBATCH_HTTP_TOKEN?" in refusal(HTTPS)


@pytest.mark.parametrize("name", ["now", "remembered", "open_files"])
def test_what_is_no_option_is_not_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What the receiver sets on a transport is no option, here as elsewhere."""
    monkeypatch.setenv(f"LOGBATCH_JSONL_{name.upper()}", "5")

    assert "jsonl:" in repr(build("jsonl:logs"))


@pytest.mark.parametrize("name", ["url", "headers", "fields"])
def test_what_no_variable_holds_is_refused_there(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It would silently not be read."""
    monkeypatch.setenv(f"LOGBATCH_HTTP_{name.upper()}", "x")
    expected = f"environment variable LOGBATCH_HTTP_{name.upper()}: {name} cannot be set in the"

    assert expected in refusal(HTTPS)


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        ("queue:a", {"QUEUE_SIZE": "5", "QUEUE_MODE": "fast"}, {"size": "5", "mode": "fast"}),
        ("my-queue:a", {"MY_QUEUE_SIZE": "5", "QUEUE_SIZE": "6"}, {"size": "5"}),
        ("x:a", {"X_SIZE": "5"}, {"size": "5"}),
    ],
)
def test_a_transport_of_another_package(
    monkeypatch: pytest.MonkeyPatch,
    queue: None,
    url: str,
    variables: dict[str, str],
    expected: dict[str, str],
) -> None:
    """Its options are read likewise; all names, if it takes all."""
    for name, value in variables.items():
        monkeypatch.setenv(f"LOGBATCH_{name}", value)
    transport: Any = given_object(build(url))

    assert expected == transport.options


def test_a_misspelt_one_of_another_package(monkeypatch: pytest.MonkeyPatch, queue: None) -> None:
    """It is told like one of ours."""
    monkeypatch.setenv("LOGBATCH_MY_QUEUE_SIZES", "5")

    assert "did you mean LOGBATCH_MY_QUEUE_SIZE?" in refusal("my-queue:a")
