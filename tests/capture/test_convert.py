"""What comes of output does not depend on how it was read, and none of it is lost."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from converting import NOW, RUN, Piece, chunks, convert, feed, make, rows
from hypothesis import example, given
from hypothesis import strategies as st
from pace import cpu_seconds
from printed import ALL_LINES, TRACEBACKS
from rows import read

from logbatch.capture.chunk import Chunk
from logbatch.capture.convert import WAIT, Converter, Made
from logbatch.events.event import LineEncoder
from logbatch.events.fields import Event

LINES = [line.encode() for line in ALL_LINES]
TRACES = [text.encode() for text in TRACEBACKS]
ENDS = [b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\n\n", b"\n  ", b"\n\t", b""]
ODD = [b"\xef\xbb\xbf", b"\xff", b"\xe2\x82", b"\x00", b"\x1b[31m", b"\x1b]0;", b"\x07", b"\x9b1m"]
ODD += [b"\b", b"\xc2\x9b2K", b"\x1b", b" ", b"{", b"}", b"3/10", b"42%", b"Traceback ", b"   "]

fragments = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from(TRACES),
    st.sampled_from(ODD),
    st.sampled_from([b"plain words here", b"x", b""]),
    st.binary(max_size=12),
)
outputs = st.lists(st.tuples(fragments, st.sampled_from(ENDS)).map(b"".join), max_size=12).map(
    b"".join
)


@st.composite
def readings(draw: st.DrawFn) -> list[Piece]:
    """Draw what was read of both streams."""
    time, pieces = NOW, []
    for _ in range(draw(st.integers(1, 4))):
        pieces.append((draw(st.sampled_from(["stdout", "stderr"])), time, draw(outputs)))
        time += draw(st.sampled_from([0.0, 0.01, WAIT, 1.0]))
    return pieces


def cut(pieces: list[Piece], sizes: list[int]) -> list[Piece]:
    """Cut each piece into pieces of these sizes, over and over."""
    result: list[Piece] = []
    for stream, time, data in pieces:
        at = step = 0
        while at < len(data):
            size = sizes[step % len(sizes)]
            result.append((stream, time, data[at : at + size]))
            at, step = at + size, step + 1
    return result


def options(limit: int, most: int) -> dict[str, Any]:
    """Make options of a converter with small limits, or the usual ones."""
    encoder = LineEncoder(service="s", host="h", max_value_bytes=limit)
    return {"encoder": encoder, "most_line_bytes": most}


limits = st.sampled_from([(1 << 20, 1 << 28), (1 << 20, 1 << 28), (600, 1 << 28), (4000, 50)])


@given(readings(), st.lists(st.integers(1, 40), min_size=1, max_size=5), limits)
@example([("stdout", NOW, b"\xef\xbb\xbf\xef\xbb\xbfx\n")], [1], (1 << 20, 1 << 28))
def test_how_it_was_cut_does_not_matter(
    pieces: list[Piece], sizes: list[int], limit: tuple[int, int]
) -> None:
    """The same bytes with the same times are the same events, and leave the same behind."""
    one, other = make(**options(*limit)), make(**options(*limit))
    for each in chunks(pieces):
        assert one.feed(each) == feed_in_pieces(other, each, sizes)
        assert one.starts() == other.starts()
    assert one.end() == other.end()
    assert one.last_lines == other.last_lines


def feed_in_pieces(converter: Converter, chunk: Chunk, sizes: list[int]) -> list[Made]:
    """Feed a chunk in pieces of these sizes, over and over."""
    made: list[Made] = converter.tick(chunk.time)
    offset = chunk.offset
    for _, _, part in cut([(chunk.stream, chunk.time, chunk.data)], sizes):
        made += converter.feed(Chunk(chunk.stream, chunk.time, offset, part, 0))
        offset += len(part)
    return made


@given(readings(), limits)
def test_each_line_is_in_one_event(pieces: list[Piece], limit: tuple[int, int]) -> None:
    """The numbers of the lines of each stream follow each other without a gap."""
    made = feed(make(**options(*limit)), pieces)
    for stream in ("stdout", "stderr"):
        data = b"".join(data for name, _, data in pieces if name == stream)
        number = 1
        for row in rows(made):
            if row["attributes"]["stream"] == stream:
                assert number == row["attributes"]["line"]
                number += row["attributes"].get("lines", 1)
        if limit[1] > len(data):
            assert number == 1 + data.count(b"\n") + (data[-1:] not in (b"\n", b""))


@given(readings())
def test_each_event_is_a_valid_line(pieces: list[Piece]) -> None:
    """Whatever is printed, each event has what every event has."""
    for line, level, _ in feed(make(), pieces):
        row = read(line)
        assert level == row["levelno"]
        assert {"stream", "pid", "run_id", "command", "line"} <= row["attributes"].keys()


@given(readings(), st.integers(0, 5), limits)
def test_what_is_left_can_be_read_again(
    pieces: list[Piece], fed: int, limit: tuple[int, int]
) -> None:
    """Where `starts` says, another converter begins, and makes the events that are left."""
    one = make(**options(*limit))
    all_chunks = chunks(pieces)
    for chunk in all_chunks[:fed]:
        one.feed(chunk)
    starts = one.starts()
    left = [event for chunk in all_chunks[fed:] for event in one.feed(chunk)] + one.end()

    other = make(**options(*limit), starts=starts)
    again = [event for chunk in all_chunks for event in other.feed(chunk)] + other.end()

    assert left == again
    after = {name: number - 1 for name, (_, number) in starts.items()}
    third = make(**options(*limit), after=after)
    assert left == [event for chunk in all_chunks for event in third.feed(chunk)] + third.end()


framed = st.lists(
    st.tuples(
        st.sampled_from(
            ["", "", "  ", "\t", "ERROR: ", "2026-11-22 00:00:00,250 INFO ", "\x1b[31m"]
        ),
        st.sampled_from(
            [*ALL_LINES, "", '{"level": "info", "msg": "%s"}', "level=warn msg=%s t=1"]
        ),
        st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\x1b[0m\n"]),
    ),
    max_size=30,
)


@given(framed)
def test_nothing_that_is_printed_is_lost(lines: list[tuple[str, str, str]]) -> None:
    """What is printed, and not overwritten, is in an event."""
    output, words = "", []
    for number, (before, line, end) in enumerate(lines):
        words.append(f"<word{number}>")
        body = line.replace("%s", words[-1]) if "%s" in line else f"{line} {words[-1]}"
        output += before + body + end
    made = b"".join(line for line, _, _ in feed(make(), [("stdout", NOW, output.encode())]))
    assert [] == [word for word in words if word.encode() not in made]


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
        .map(lambda text: f"w{text}")
        .filter(lambda text: not re.search(r"[=:{]", text)),
        min_size=1,
        max_size=40,
    ),
    st.floats(0, 4e9),
)
def test_plain_lines_are_encoded_as_any_event(texts: list[str], time: float) -> None:
    """A line that took the short way has the bytes that the encoder makes of such an event."""
    encoder = LineEncoder(service="s", host="h")
    made = feed(make(encoder), [("stderr", time, "\n".join(texts).encode())])
    number = 1
    for line, _, _ in made:
        row = msgspec.json.decode(line)
        event = Event(
            datetime.fromtimestamp(time, UTC),
            row["level"],
            row["levelno"],
            "run",
            row["message"],
            process=7,
            attributes={
                "stream": "stderr",
                "pid": 7,
                "run_id": RUN,
                "command": "make all",
                "line": number,
            },
        )
        number += row["attributes"].get("lines", 1)
        if "lines" not in row["attributes"]:
            assert encoder.event(event) == line


# ------------------------------------------------------------------ time


def test_an_event_waits_for_what_may_follow() -> None:
    """The last line is kept for a quarter of a second, as a continuation may follow."""
    converter = make()
    first, second = chunks([("stdout", NOW, b"one\ntwo\n"), ("stdout", NOW + 0.2, b"  more\n")])
    assert ["one"] == [row["message"] for row in rows(converter.feed(first))]
    assert NOW + WAIT == converter.waits_until()
    assert [] == converter.tick(NOW + 0.2) + converter.feed(second)
    assert ["two\n  more"] == [row["message"] for row in rows(converter.tick(NOW + 0.2 + WAIT))]
    assert converter.waits_until() is None


def test_what_comes_late_is_an_event_of_its_own() -> None:
    """A line that is set in and comes after that time belongs to nothing."""
    made = feed(make(), [("stdout", NOW, b"one\n"), ("stdout", NOW + 0.3, b"  more\n")])
    assert ["one", "  more"] == [row["message"] for row in rows(made)]


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    """An event goes when the time is long before the one at which it came."""
    converter = make()
    converter.feed(chunks([("stdout", NOW, b"one\n")])[0])
    assert ["one"] == [row["message"] for row in rows(converter.tick(NOW - 3600))]


def test_the_streams_do_not_mix() -> None:
    """A continuation belongs to the line before it in its own stream."""
    made = feed(
        make(),
        [("stdout", NOW, b"out\n"), ("stderr", NOW, b"err\n"), ("stdout", NOW, b"  more\n")],
    )
    assert ["out\n  more", "err"] == [row["message"] for row in rows(made)]
    assert [("INFO", 1), ("WARNING", 1)] == [
        (row["level"], row["attributes"]["line"]) for row in rows(made)
    ]


# ------------------------------------------------------------------ bounds


def test_a_long_line_takes_little_memory() -> None:
    """Of a line of 100 MB the beginning is kept, with a mark that says how long it was."""
    converter = make()
    piece = b"x" * (1 << 20)
    made: list[Made] = []
    for index in range(100):
        made += converter.feed(Chunk("stdout", NOW, index << 20, piece, 0))
    assert [] == made
    assert {"stdout": (0, 1), "stderr": (0, 1)} == converter.starts()
    (row,) = rows(converter.end())
    assert row["message"].endswith(f"x…[cut: {100 << 20} bytes in all]")
    assert len(row["message"]) <= 1 << 20


def test_a_line_without_end_is_ended_by_force() -> None:
    """So what waits can be given up where it is kept."""
    assert ["x" * 50, "x" * 50, "x" * 20, "y"] == [
        row["message"] for row in convert(b"x" * 120 + b"\ny", most_line_bytes=50)
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x1b]0;" * 20_000,
        b"\x1b[" * 40_000,
        b"\x1b[1;" * 30_000,
        b"\x1bP" * 40_000,
        b"\x1b[K" * 30_000,
        b"a\b" * 50_000,
        b"\b" * 100_000,
        b"\r" * 100_000,
        b" \r" * 50_000,
        b"a\r\n" * 30_000,
        b"1/" * 50_000,
        b"1.1" * 30_000,
        b"step " * 20_000,
        b"{" * 100_000,
        b'{"a":' * 20_000 + b"}",
        b"a=" * 50_000,
        b'a="' * 30_000,
        b"a=b " * 30_000,
        b"[" * 100_000,
        b"a: " * 30_000,
        b"a.b " * 30_000,
        b"ERROR" * 20_000,
        b" at (" * 20_000,
        b"Traceback (most recent call last):\n" * 3_000,
        b"ERROR x\n" + (b"    at " + b"(" * 1000 + b"\n") * 100,
        b"panic: x\n\n" + (b"(" * 10_000 + b"\n") * 10,
        b"Exception in thread x\n" + (b"\tat a(b)\n" + b"\ta." + b"a." * 5000 + b"\n") * 10,
        b"a: b\n\tat a(b)\n" + (b"\t: " + b" (: " * 3000 + b"\n") * 10,
        b"\n" * 100_000,
        b"\xff" * 100_000,
        b"\xc2\x9b" * 50_000,
        "\u202e".encode() * 30_000,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_hostile_output_takes_no_longer_than_other(hostile: bytes) -> None:
    """100 kB of anything are read in time, also where they are one line."""

    def work() -> None:
        for stream in ("stdout", "stderr"):
            feed(make(), [(stream, NOW, hostile)])
            feed(make(), [(stream, NOW, b"ERROR " + hostile[:20_000] + b"\n")])

    assert cpu_seconds(work) < 1.5


def test_plain_lines_are_fast() -> None:
    """A plain line costs a few microseconds, however many there are."""
    data = b"".join(
        b"the quick brown fox jumps over the lazy dog, %06d\n" % n for n in range(20_000)
    )
    converter, offset = make(), 0
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]

    def work() -> None:
        nonlocal offset
        for piece in pieces:
            converter.feed(Chunk("stdout", NOW, offset, piece, 0))
            offset += len(piece)

    assert cpu_seconds(work) < 20_000 * 4e-6
