"""`logbatch runs show`: what a run printed."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logbatch.cli.directory import find_runs
from logbatch.cli.escape import Escaper, escape
from logbatch.cli.progress import on_screen
from logbatch.cli.sizes import duration

if TYPE_CHECKING:
    from logbatch.capture.runs import Run, Runs
    from logbatch.capture.stored import Part

_LINES = 100
_RED, _PLAIN = "\x1b[31m", "\x1b[39m"
_RANGE = re.compile(r"([0-9]{0,18}):([0-9]{0,18})")


def _parse_range(
    _ctx: click.Context, _option: click.Parameter, value: str | None
) -> tuple[int, int | None] | None:
    if value is None:
        return None
    match = _RANGE.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no range of bytes such as 0:1000 or 5000:")
    return int(match[1] or 0), int(match[2]) if match[2] else None


@click.command("show")
@click.argument("words", nargs=-1, required=True, metavar="[DIR] ID")
@click.option(
    "--stream",
    type=click.Choice(["stdout", "stderr"]),
    help="Only this one.  [default: both, as they came]",
)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends; Ctrl-C ends it.")
@click.option("--tail", is_flag=True, help=f"Begin with the last {_LINES} lines.")
@click.option(
    "--range",
    "span",
    callback=_parse_range,
    metavar="A:B",
    help="Bytes A to B, counted from 0, without B; either may be left out.",
)
@click.option("--raw", is_flag=True, help="As printed, also on a terminal: trust it first.")
def command(
    words: tuple[str, ...],
    stream: str | None,
    follow: bool,
    tail: bool,
    span: tuple[int, int | None] | None,
    raw: bool,
) -> None:
    """Write what a run printed, byte for byte; also while it runs.

    ID is that of `logbatch runs`, as much of it as tells the run from others, or `last`.
    On a terminal control characters are shown escaped, such as \\x1b, and what went to
    stderr is red.

    \b
    Examples:
      logbatch runs show logs last
      logbatch runs show logs last --tail --follow
      logbatch runs show 01kb4zd8x0 --stream stderr > errors.txt
      logbatch runs show 01kb4zd8x0 --range 1000000:2000000 | less
    """
    from logbatch.capture.runs import Runs

    if tail and span is not None:
        raise click.UsageError("--tail and --range cannot be used together.")
    *directory, name = words
    if len(directory) > 1:
        raise click.UsageError(f"expected [DIR] ID, got {len(words)} arguments.")
    runs = Runs(find_runs(Path(directory[0]) if directory else None))
    run = runs.find(name)
    first, last = span or (0, None)
    if tail:
        first = runs.tail(run, stream, _LINES)
    _describe(run)
    write, finish = _writer(raw)
    for part in _parts(runs, run, stream, first, last, follow):
        write(part)
    finish()
    if follow and (ended := runs.get(run.id)) is not None:
        _describe(ended)


def _parts(
    runs: Runs, run: Run, stream: str | None, first: int, last: int | None, follow: bool
) -> Iterator[Part]:
    if follow:
        return runs.follow(run.id, stream, first, last)
    return runs.read(run.id, stream, first, last)


def _describe(run: Run) -> None:
    """Say on a terminal which run it is, and what became of it."""
    if not on_screen():
        return
    from logbatch.cli.terminal import Terminal

    end = time.time() if run.status == "running" else run.ended_at or run.last_output_at
    took = "" if end is None else f" after {duration(end - run.started_at)}"
    progress = f" {escape(run.progress)}" if run.progress and run.is_live else ""
    text = f"{run.id}: {run.outcome}{progress}{took}: {escape(run.command)}"
    Terminal(sys.stderr).print_pieces([(text, "dim")])


def _writer(raw: bool) -> tuple[Callable[[Part], None], Callable[[], None]]:
    """Return what writes a part of the output, and what is called behind the last one."""
    if raw or not sys.stdout.isatty():
        return _write_bytes, lambda: None
    from logbatch.cli.terminal import Terminal

    terminal = Terminal()
    escapers = {"stdout": Escaper(), "stderr": Escaper()}

    def show(stream: str, text: str) -> None:
        # By hand: rich would make spaces of tabs, without knowing in which column they stand.
        is_red = text and stream == "stderr" and terminal.coloured
        terminal.file.write(f"{_RED}{text}{_PLAIN}" if is_red else text)
        terminal.file.flush()

    def finish() -> None:
        for stream, escaper in escapers.items():
            show(stream, escaper.feed(b"", end=True))

    return lambda part: show(part.stream, escapers[part.stream].feed(part.data)), finish


def _write_bytes(part: Part) -> None:
    sys.stdout.buffer.write(part.data)
    sys.stdout.buffer.flush()
