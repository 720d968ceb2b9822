"""What tells of progress goes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
from converting import NOW, feed, make
from pace import cpu_seconds

from logbatch.capture.chunk import Chunk


def progress_of(text: str, progress: Sequence[str] = ()) -> tuple[str | None, bool]:
    """Return what a line says about progress, and whether its event goes at once."""
    converter = make(progress=progress)
    ((_, _, is_urgent),) = feed(converter, [("stdout", NOW, text.encode())])
    return converter.progress, is_urgent


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("42%", "42%"),
        ("downloaded 42.5 % of it", "42.5 %"),
        ("10% then 20%", "20%"),
        ("step 3", "step 3"),
        ("Step 3/10 : RUN make", "Step 3/10"),
        ("step 3 of 10", "step 3 of 10"),
        ("3/10", "3/10"),
        ("[3/10] Linking", "3/10"),
        ("1.2/3.4 MB", "1.2/3.4 MB"),
        ("900kB/3MB", "900kB/3MB"),
        ("Build complete", "Build complete"),
        ("All done, completed in 3 s", "All done, completed in 3 s"),
        ("an error occurred", "an error occurred"),
        ("Warning: careful", "Warning: careful"),
    ],
)
def test_what_tells_of_progress(line: str, expected: str) -> None:
    """Shares, steps, counts and some words."""
    assert (expected, True) == progress_of(f"{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "420%",
        "x42%y",
        "24/7",
        "2026/11/22",
        "/a/3/10",
        "10.0.0.0/8",
        "HTTP/1.1",
        "3/0",
        "0 errors",
        "steps",
        "incomplete",
        "http://x/1/2",
        "hello",
        "1/2/3",
    ],
)
def test_what_does_not(line: str) -> None:
    """Paths, dates and the like say nothing."""
    assert (None, False) == progress_of(f"{line}\n")


def test_progress_is_known_before_its_line_ends() -> None:
    """Each text that is overwritten counts, and so does one that is not whole yet."""
    converter = make()
    offset = 0
    read = ((b"10%\r2", "10%"), (b"0%", "20%"), (b"\r30%\r", "30%"), (b"x\n", "30%"))
    for data, expected in read:
        converter.feed(Chunk("stdout", NOW, offset, data, 0))
        offset += len(data)
        assert expected == converter.progress


def test_expressions_of_ones_own() -> None:
    """Their first group is the progress, or all that they find."""
    own = [r"epoch (\d+)", r"loss=[\d.]+"]
    assert ("7", True) == progress_of("Epoch 7 begins\n", progress=own)
    assert ("loss=0.5", True) == progress_of("a loss=0.5 b\n", progress=own)
    assert ("42%", True) == progress_of("42%\n", progress=own)
    assert (None, False) == progress_of("hello\n", progress=own)
    long = "x" * 5000
    assert ("9", True) == progress_of(f"{long} epoch 9\n", progress=own)
    assert (None, False) == progress_of(f"{long} epoch 9 {long}\n", progress=own)


@pytest.mark.parametrize("pattern", ["(", "a**", "(?<=x)y", "x{1000}{1000}"])
def test_a_bad_expression_is_said(pattern: str) -> None:
    """At once, with the expression."""
    with pytest.raises(ValueError, match="the progress pattern"):
        make(progress=[pattern])


def test_a_hostile_expression_stops_nothing() -> None:
    """It takes linear time, on a line of any length."""
    converter = make(progress=["(a+)+$", "(a|aa)*b", "(.*)(.*)(.*)x"])
    data = b"a" * 10_000 + b"!\n"

    def work() -> None:
        converter.feed(Chunk("stdout", NOW, 0, data * 10, 0))

    assert cpu_seconds(work) < 1


def test_arrow_is_not_loaded_without_expressions() -> None:
    """The usual ones need no other package."""
    code = "import logbatch.capture.convert, sys; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == done.stdout.strip()
