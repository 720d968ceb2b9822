"""The output of a child process becomes events.

`Converter` is pure: it reads no clock, opens nothing, and the same bytes with the same times give
the same events however they were cut.  `docs/run.md` says what becomes of a line.

Most lines are plain: no level, nothing structured, not set in.  One expression for the beginning
of a line and a few texts to look for tell which lines of a piece may be more; the plain ones
between are encoded together.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Final

from logbatch.capture.assembly import Assembler, moment_of
from logbatch.capture.chunk import Chunk
from logbatch.capture.escapes import as_text, clean, has_marks
from logbatch.capture.groups import Group
from logbatch.capture.lines import BOM, MOST_BYTES, Line, Splitter
from logbatch.capture.meaning import at_least_error, read_line
from logbatch.capture.progress import OwnPatterns, find_candidates, find_lines_with, find_progress
from logbatch.capture.structured import Level
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

_maybe_more = re.compile(
    r"[\s{<\[(}\])|+*#]"
    r"|[^\s:=._/$\d]{0,100}+[:=._/$\d]"
    r"|[TDIWEFC],? ?\[|[A-Z]{3,}+\b|\S{1,80} - |\S{1,100} \S{1,100} \S{1,100} \["
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"|(?:Traceback|[Ss]tack|Exception|[Ff]atal|[Pp]arse|[Ii]nternal|Current|[Tt]hread|goroutine)\b"
    r"|(?:npm|pnpm|yarn|PHP)\b"
).match
_FIELDS = (b"level=", b"lvl=", b"severity=")


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
        """Take what was read, and return the events that are whole now, in order."""
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
        self._note_progress(stream.splitter.unfinished())
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
        number, offset = stream.splitter.number, stream.splitter.offset
        if number > stream.after:
            self._take(stream, line, number, offset, newest, made)

    def _take_many(self, stream: _Stream, body: bytes, time: float, made: list[Made]) -> None:
        """Take whole lines that came in one piece."""
        number, offset = stream.splitter.number, stream.splitter.offset
        if number <= stream.after:
            passed = min(stream.after + 1 - number, body.count(b"\n") + 1)
            for _ in range(passed):
                head, end, body = body.partition(b"\n")
                offset += len(head) + 1
                if not end:
                    return
            number += passed
        texts, odd = self._examine(stream, body, time, is_first=offset == 0)
        at = 0
        for index in odd:
            if at < index:
                at = self._take_plain(stream, texts, at, index, number, time, made)
            line = odd[index] or Line(texts[index], None, time, ())
            self._take(stream, line, number + index, -1, time, made)
            at = index + 1
        if at < len(texts):
            self._take_plain(stream, texts, at, len(texts), number, time, made)
        group = stream.group
        if group is not None and group.offset < 0:
            group.offset = offset + _offset_of(body, number + len(texts) - group.number)

    def _examine(
        self, stream: _Stream, body: bytes, time: float, *, is_first: bool
    ) -> tuple[list[str], dict[int, Line | None]]:
        """Split a piece into lines, and find those that may be more than plain.

        Returns:
            The lines, and the indexes of the others in order, with what they are where that is not
            the text itself.
        """
        text = body.decode("utf-8", "surrogateescape")
        if is_first:
            text = text.removeprefix(BOM)
        if "\r" in text:
            text = text.replace("\r\n", "\n").removesuffix("\r")
        texts = text.split("\n")
        special: dict[int, Line | None] = {}
        longest = stream.assembler.longest
        if longest < len(text) and max(map(len, texts)) > longest:
            for index, each in enumerate(texts):
                if len(each) > longest:
                    special[index] = None
        if "\r" in text or longest < len(text):
            self._finish_specials(stream, texts, special, time)
        if has_marks(text):
            texts = [each if index in special else clean(each) for index, each in enumerate(texts)]
        if not body.isascii():
            texts = _all_as_text(text, texts)
        found = {index for index, each in enumerate(texts) if _maybe_more(each)}
        found.update(special, find_candidates(body))
        folded = body.lower()
        for field in _FIELDS:
            found.update(find_lines_with(folded, field))
        if self._patterns is not None:
            found.update(self._patterns.search(texts))
        return texts, {index: special.get(index) for index in sorted(found)}

    def _finish_specials(
        self,
        stream: _Stream,
        texts: list[str],
        special: dict[int, Line | None],
        time: float,
    ) -> None:
        r"""Make lines of what is overwritten (`\r`) or too long for a plain one."""
        for index, each in enumerate(texts):
            if index in special or "\r" in each:
                data = each.encode("utf-8", "surrogateescape")
                line = stream.splitter.one(data, time)
                special[index] = line
                texts[index] = line.text

    def _take_plain(
        self,
        stream: _Stream,
        texts: list[str],
        at: int,
        end: int,
        number: int,
        time: float,
        made: list[Made],
    ) -> int:
        """Take lines that are plain; the last of them may go on."""
        while at < end and stream.group is not None and stream.group.is_hungry():
            self._take(stream, Line(texts[at], None, time, ()), number + at, -1, time, made)
            at += 1
        if at == end:
            return end
        self._close(stream, made)
        if at < end - 1:
            lines = stream.assembler.plain(
                texts[at : end - 1], number + at, stream.level, moment_of(time)
            )
            made.extend(zip(lines, repeat(stream.level[1]), repeat(False)))
            self.last_lines.extend(
                text[:_LAST_WIDTH] for text in texts[max(at, end - 1 - _LAST_LINES) : end - 1]
            )
        stream.group = Group(texts[end - 1], number + end - 1, time, time)
        self.last_lines.append(texts[end - 1][:_LAST_WIDTH])
        return end

    def _take(
        self,
        stream: _Stream,
        line: Line,
        number: int,
        offset: int,
        newest: float,
        made: list[Made],
    ) -> None:
        """Take one line: it belongs to the group that is open, or begins another."""
        text = line.text
        self.last_lines.append(text[:_LAST_WIDTH])
        group = stream.group
        goes_on = False
        if group is not None:
            goes_on = line.size is None and group.take(text, line.began, newest)
        if group is None or not goes_on:
            self._close(stream, made)
            group = stream.group = Group(text, number, line.began, newest)
            group.offset = offset
            group.size = line.size
        if self._note_progress((text,), words=not goes_on):
            group.is_urgent = True
        else:
            self._note_progress(line.overwritten)

    def _note_progress(self, texts: Sequence[str], words: bool = True) -> bool:
        """Update `progress` from the newest text that says something about it."""
        for text in texts:
            found = self._patterns.find(text) if self._patterns else None
            found = found or find_progress(text, words=words)
            if found:
                self.progress = found
                return True
        return False

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
            (line,) = self._plain_or_any(stream, "", after + index, stream.level, began)
            made.append((line, stream.level[1], False))

    def _make(self, stream: _Stream, group: Group) -> Made:
        first = group.texts[0]
        trace_limit = min(self._limit, TRACE_BYTES)
        is_json = first.startswith("{") and group.trace_at is None
        meaning = read_line("\n".join(group.texts) if is_json else first, group.began, trace_limit)
        level, count = meaning.level or stream.level, group.lines()
        moment = meaning.moment or moment_of(group.began)
        message, failure, is_error = group.content(trace_limit)
        if is_error:
            level = at_least_error(meaning.level)
        parts = meaning.parts if is_json or (group.trace_at or count) == 1 else None
        if parts is not None:
            line = stream.assembler.any(
                parts.message,
                group.number,
                count,
                level,
                moment,
                parts.logger or "run",
                failure or parts.failure,
                parts.fields,
                (parts.trace_id, parts.span_id),
            )
            return line, level[1], group.is_urgent or is_error
        if group.size is not None:
            message = fit_beginning(message, self._limit, group.size)
        logger = meaning.logger or "run"
        is_plain = count == 1 and failure is None and len(message) <= stream.assembler.longest
        if is_plain:
            (line,) = stream.assembler.plain([message], group.number, level, moment, logger)
        else:
            line = stream.assembler.any(
                message, group.number, count, level, moment, logger, failure
            )
        return line, level[1], group.is_urgent or is_error

    def _plain_or_any(
        self, stream: _Stream, text: str, number: int, level: Level, began: float
    ) -> Iterator[bytes]:
        if stream.assembler.longest >= 0:
            yield from stream.assembler.plain([text], number, level, moment_of(began))
        else:
            yield stream.assembler.any(text, number, 1, level, moment_of(began))


def _all_as_text(text: str, texts: list[str]) -> list[str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        return [as_text(each) for each in texts]
    return texts


def _offset_of(body: bytes, lines: int) -> int:
    """Return where the last so many lines of a piece begin."""
    at = len(body) + 1
    for _ in range(lines):
        at = body.rfind(b"\n", 0, at - 1) + 1
        if at <= 0:
            return 0
    return at
