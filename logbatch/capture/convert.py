"""The output of a child process becomes events.

`Converter` is pure: it reads no clock, opens nothing, and the same bytes with the same times give
the same events however they were cut.  `docs/run.md` says what becomes of a line.

Plain lines, which most are, are encoded together (`pieces` tells which these are).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Final

from logbatch.capture.assembly import LOGGER, Assembler, moment_of
from logbatch.capture.chunk import Chunk
from logbatch.capture.groups import Group
from logbatch.capture.lines import MOST_BYTES, Line, Splitter
from logbatch.capture.meaning import at_least_error, read_line
from logbatch.capture.pieces import Piece, examine
from logbatch.capture.progress import OwnPatterns, find_progress
from logbatch.capture.structured import Level, Parts
from logbatch.events.event import LineEncoder
from logbatch.events.fields import TRACE_BYTES
from logbatch.events.values import fit_beginning
from logbatch.gil import Yielder

Made = tuple[bytes, int, bool]
"""An event: its line of JSON, the number of its level, and whether it is to go at once."""

STREAMS: Final[Mapping[str, Level]] = {"stdout": ("INFO", 20), "stderr": ("WARNING", 30)}
"""The streams, and the level of a line that says none."""

WAIT = 0.25  # seconds that an event waits for a line that may belong to it
_TURNED_BACK = 1.0  # seconds: the clock was set
_STEP = 1 << 15  # bytes that are converted at once
_LAST_LINES = 100
_LAST_WIDTH = 4096  # characters of each of these


class _Stream:
    """What is known of one stream."""

    def __init__(self, name: str, splitter: Splitter, assembler: Assembler, after: int) -> None:
        self.level = STREAMS[name]
        self.splitter = splitter
        self.assembler = assembler
        self.after = after
        self.group: Group | None = None


class Converter:
    """Makes events of the output of one run.

    Args:
        encoder: Encodes the events.
        run_id: Attribute of each event.
        command: Attribute of each event.
        pid: Attribute of each event, and its column `process`.
        progress: Expressions of RE2 that tell of progress, beside the usual ones.
        starts: Where reading begins, by stream: offset of a line's first byte, and its number.
            What is fed of bytes before it is passed over.
        after: Number of the last line of each stream that is in an event already.
        most_line_bytes: Bytes after which a line is ended by force.

    Attributes:
        progress: The newest text that tells of progress.
        last_lines: The last lines, of both streams.

    Raises:
        ValueError: An expression is not valid.
    """

    def __init__(
        self,
        encoder: LineEncoder,
        run_id: str,
        command: str,
        pid: int,
        *,
        progress: Sequence[str] = (),
        starts: Mapping[str, tuple[int, int]] | None = None,
        after: Mapping[str, int] | None = None,
        most_line_bytes: int = MOST_BYTES,
    ) -> None:
        self.progress: str | None = None
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._patterns = OwnPatterns(progress) if progress else None
        self._limit = encoder.max_value_bytes
        self._step = min(_STEP, most_line_bytes)
        self._streams: dict[str, _Stream] = {}
        for name in STREAMS:
            offset, number = (starts or {}).get(name, (0, 1))
            own = {"stream": name, "pid": pid, "run_id": run_id, "command": command}
            self._streams[name] = _Stream(
                name,
                Splitter(self._limit, offset, number, most_line_bytes),
                Assembler(encoder, own, pid),
                (after or {}).get(name, 0),
            )

    # ------------------------------------------------------------------ what is called

    def feed(self, chunk: Chunk) -> list[Made]:
        """Take what was read, and return the events that are whole now, in order.

        Args:
            chunk: Follows the stream's chunk before it; bytes that were fed before are passed over.
        """
        made = self.tick(chunk.time)
        stream = self._streams[chunk.stream]
        data = self._passed_over(chunk, stream)
        yielder = Yielder() if len(data) > self._step else None
        for at in range(0, len(data), self._step):
            piece = data[at : at + self._step] if yielder else data
            for lines in stream.splitter.feed(piece, chunk.time):
                if isinstance(lines, bytes):
                    self._take_many(stream, lines, chunk.time, made)
                else:
                    self._take_one(stream, lines, chunk.time, made)
            if yielder:
                yielder.let_others_run()
        self._note_first(stream.splitter.unfinished())
        return made

    def tick(self, now: float) -> list[Made]:
        """Return the events that have waited long enough for a line that may belong to them.

        Args:
            now: In seconds since 1970.
        """
        made: list[Made] = []
        for stream in self._streams.values():
            group = stream.group
            if group is not None:
                waited = now - group.newest
                if waited >= WAIT or waited < -_TURNED_BACK:
                    self._close(stream, made)
        return made

    def end(self, stream: str | None = None) -> list[Made]:
        """Return all that is left, as the streams are at their end; or one of them is."""
        made: list[Made] = []
        for name in STREAMS if stream is None else (stream,):
            ended = self._streams[name]
            for line in ended.splitter.end():
                self._take_one(ended, line, line.began, made)
            self._close(ended, made)
        return made

    def waits_until(self) -> float | None:
        """Return when `tick` has something to do, in seconds since 1970; None if not by itself."""
        open_groups = [each.group for each in self._streams.values() if each.group is not None]
        return min((group.newest + WAIT for group in open_groups), default=None)

    def starts(self) -> dict[str, tuple[int, int]]:
        """Return where what is in no event yet begins, by stream: the offset, and the line."""
        return {
            name: (stream.group.offset, stream.group.number)
            if stream.group is not None
            else (stream.splitter.offset, stream.splitter.number)
            for name, stream in self._streams.items()
        }

    # ------------------------------------------------------------------ lines

    def _passed_over(self, chunk: Chunk, stream: _Stream) -> bytes:
        """Return the bytes that were not fed before."""
        known = stream.splitter.read_to()
        return chunk.data[known - chunk.offset :] if chunk.offset < known else chunk.data

    def _take_one(self, stream: _Stream, line: Line, newest: float, made: list[Made]) -> None:
        """Take a line that came in several pieces."""
        number = stream.splitter.number
        if number > stream.after:
            goes_on = self._take(stream, line, number, stream.splitter.offset, newest, made)
            self._note(stream, line, words=not goes_on, own=True)

    def _take_many(self, stream: _Stream, body: bytes, time: float, made: list[Made]) -> None:
        """Take whole lines that came in one piece."""
        number, offset = stream.splitter.number, stream.splitter.offset
        if number <= stream.after:
            passed = _offset_of_line(body, stream.after + 1 - number)
            if passed < 0:
                return
            number, offset, body = stream.after + 1, offset + passed, body[passed:]

        def make_line(data: bytes) -> Line:
            return stream.splitter.one(data, time)

        longest = stream.assembler.longest
        piece = examine(body, make_line, longest, self._patterns, is_first=offset == 0)
        count, hits = len(piece.texts), set(piece.progress)
        at = 0
        for index in piece.more:
            if at < index:
                self._take_plain(stream, piece, at, index, number, time, made)
            line = piece.lines.get(index) or Line(piece.texts[index], None, time, ())
            goes_on = self._take(stream, line, number + index, -1, time, made)
            if index in hits or line.overwritten:
                self._note(stream, line, words=not goes_on, own=index in piece.own)
            at = index + 1
        if at < count:
            self._take_plain(stream, piece, at, count, number, time, made)
        group = stream.group
        if group is not None and group.offset < 0:
            group.offset = offset + _offset_of_last(body, number + count - group.number)

    def _take_plain(
        self,
        stream: _Stream,
        piece: Piece,
        at: int,
        end: int,
        number: int,
        time: float,
        made: list[Made],
    ) -> None:
        """Take lines that are plain; the last of them may go on."""
        texts = piece.texts
        hits = piece.progress[bisect_left(piece.progress, at) : bisect_left(piece.progress, end)]
        while at < end and stream.group is not None and stream.group.is_hungry():
            line = Line(texts[at], None, time, ())
            goes_on = self._take(stream, line, number + at, -1, time, made)
            if at in hits:
                self._note(stream, line, words=not goes_on, own=at in piece.own)
            at += 1
        if at == end:
            return
        self._close(stream, made)
        last = end - 1
        level = stream.level[1]
        if at < last:
            lines = stream.assembler.plain(
                texts[at:last], number + at, stream.level, moment_of(time)
            )
            first = len(made) - at
            made.extend(zip(lines, repeat(level), repeat(False)))
            for index in hits:
                is_new = at <= index < last
                if is_new and self._note_progress(texts[index], own=index in piece.own):
                    made[first + index] = (made[first + index][0], level, True)
        self._remember(texts[max(at, end - _LAST_LINES) : end])
        stream.group = Group(texts[last], number + last, time, time)
        if last in hits and self._note_progress(texts[last], own=last in piece.own):
            stream.group.is_urgent = True

    def _take(
        self,
        stream: _Stream,
        line: Line,
        number: int,
        offset: int,
        newest: float,
        made: list[Made],
    ) -> bool:
        """Take one line, and return whether it belongs to the group that is open."""
        self._remember([line.text])
        group = stream.group
        if group is not None:
            if line.size is None and group.take(line.text, line.began, newest):
                return True
            self._close(stream, made)
        group = stream.group = Group(line.text, number, line.began, newest)
        group.offset = offset
        group.size = line.size
        return False

    def _remember(self, texts: Sequence[str]) -> None:
        self.last_lines.extend([text[:_LAST_WIDTH] for text in texts])

    # ------------------------------------------------------------------ progress

    def _note(self, stream: _Stream, line: Line, *, words: bool, own: bool) -> None:
        """Note what the newest line of a stream says about progress, and that it is to go."""
        if not self._note_progress(line.text, words=words, own=own):
            self._note_first(line.overwritten)
        elif stream.group is not None:
            stream.group.is_urgent = True

    def _note_first(self, texts: Sequence[str]) -> None:
        """Note the first of some texts that says something about progress."""
        any(self._note_progress(text, own=True) for text in texts)

    def _note_progress(self, text: str, *, words: bool = True, own: bool) -> bool:
        """Note what a text says about progress, and return whether it says something."""
        found = self._patterns.find(text) if own and self._patterns else None
        found = found or find_progress(text, words=words)
        if not found:
            return False
        self.progress = found
        return True

    # ------------------------------------------------------------------ events

    def _close(self, stream: _Stream, made: list[Made]) -> None:
        """Make the event of the group that is open, and of blank lines behind it."""
        group = stream.group
        if group is None:
            return
        stream.group = None
        made.append(self._make(stream, group))
        after = group.number + group.lines()
        for index, began in enumerate(group.blanks):
            line = stream.assembler.one("", after + index, stream.level, moment_of(began))
            made.append((line, stream.level[1], False))

    def _make(self, stream: _Stream, group: Group) -> Made:
        """Make the event of a group."""
        first, count = group.texts[0], group.lines()
        trace_limit = min(self._limit, TRACE_BYTES)
        is_json = first.startswith("{") and group.trace_at is None
        meaning = read_line("\n".join(group.texts) if is_json else first, group.began, trace_limit)
        level, parts = meaning.level or stream.level, meaning.parts
        moment = meaning.moment or moment_of(group.began)
        logger = meaning.logger or LOGGER
        if count == 1 and parts is None and group.trace_at is None:
            if group.size is not None:
                first = fit_beginning(first, self._limit, group.size)
            line = stream.assembler.one(first, group.number, level, moment, logger)
            return line, level[1], group.is_urgent
        content = group.content(trace_limit)
        if content.is_error:
            level = at_least_error(meaning.level)
        if parts is None or not (is_json or (group.trace_at or count) == 1):
            parts = Parts(content.message)
        line = stream.assembler.any(
            parts.message,
            group.number,
            count,
            level,
            moment,
            logger,
            content.failure or parts.failure,
            parts.fields,
            (parts.trace_id, parts.span_id),
        )
        return line, level[1], group.is_urgent or content.is_error


def _offset_of_line(body: bytes, index: int) -> int:
    """Return where a line of a piece begins; -1 if the piece has fewer lines."""
    at = 0
    for _ in range(index):
        at = body.find(b"\n", at) + 1
        if at == 0:
            return -1
    return at


def _offset_of_last(body: bytes, lines: int) -> int:
    """Return where the last so many lines of a piece begin."""
    at = len(body) + 1
    for _ in range(lines):
        at = body.rfind(b"\n", 0, at - 1) + 1
    return at
