"""`logbatch demo`: a small application at work, and what one can ask of its log."""

from __future__ import annotations

import shutil
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from logbatch.cli import demo_app, demo_files
from logbatch.cli.directory import for_shell
from logbatch.cli.escape import escape
from logbatch.cli.output import show_table
from logbatch.cli.record import shown, shown_short
from logbatch.cli.sizes import counted, readable
from logbatch.cli.stored import measure
from logbatch.cli.terminal import Terminal
from logbatch.dataset.reader import Dataset

_SECONDS = 6.0
_TAIL_LINES = 12
_FURNITURE = 8  # lines of a terminal that are not the tail's
_TAIL_LEFT = 3  # records shown once more at the end


class _Question(NamedTuple):
    text: str
    sql: str


_QUESTIONS = (
    _Question(
        "Which pages are slow?",
        "SELECT attributes->>'path' AS path, count(*) AS requests,\n"
        "         round(quantile_cont((attributes->>'ms')::DOUBLE, 0.95), 1) AS p95_ms\n"
        "  FROM logs WHERE message LIKE 'GET %'\n"
        "  GROUP BY path ORDER BY p95_ms DESC LIMIT 3",
    ),
    _Question(
        "What fails, and how often?",
        "SELECT logger, exception_type, exception_message, count(*) AS times\n"
        "  FROM logs WHERE exception_type IS NOT NULL GROUP BY ALL",
    ),
    _Question(
        "Who paid most?  (structlog's key-values are attributes like any other)",
        "SELECT (attributes->>'user_id')::INT AS user_id, count(*) AS cards,\n"
        "         round(sum((attributes->>'amount')::DOUBLE), 2) AS eur\n"
        "  FROM logs WHERE message = 'card charged'\n"
        "  GROUP BY user_id ORDER BY eur DESC LIMIT 3",
    ),
)


@click.command("demo")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    help=f"How long the application runs.  [default: {_SECONDS:g}; with --view until Ctrl-C]",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 10_000),
    default=200.0,
    show_default=True,
    help="Records a second.",
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path, readable=False),
    help="Where the log goes.  [default: a new directory among your logs]",
)
@click.option(
    "--view", is_flag=True, help="Look at its log in the browser, live, for as long as it runs."
)
@click.option(
    "--clean",
    is_flag=True,
    help="Run nothing; remove the logs of earlier demos, or the one in --directory.",
)
def command(
    seconds: float | None, rate: float, directory: Path | None, view: bool, clean: bool
) -> None:
    """Run a small application for some seconds, and look at its log.

    It logs by logging and by structlog, from several threads, and one of its jobs fails.  The log
    is followed while it is written; then come the questions one would ask of it, with their
    answers, and the commands that ask them.  The log stays there, until --clean removes it.

    \b
    Examples:
      logbatch demo
      logbatch demo --view
      logbatch demo --seconds 20 --rate 2000
      logbatch demo --directory ./demo-logs
      logbatch demo --clean
    """
    if clean:
        _clean(directory)
        return
    terminal = Terminal()
    where = directory or demo_files.new_directory()
    if view:
        _view(terminal, where, directory, seconds, rate)
        return
    seconds = _SECONDS if seconds is None else seconds
    with demo_files.in_use(where) as is_marked, _told_if_interrupted(where):
        _introduce(terminal, where, seconds)
        recent, summaries = _run(terminal, where, seconds, rate)
        if not terminal.is_interactive:
            _show_tail(terminal, where, recent)
        _tell_files(terminal, where)
        for question in _QUESTIONS:
            _ask(terminal, where, question)
        _say_what_next(terminal, where)
        _summarise(terminal, summaries)
        _tell_how_to_clean(terminal, where, directory, is_marked)


def _view(
    terminal: Terminal, where: Path, directory: Path | None, seconds: float | None, rate: float
) -> None:
    """Let the shop work while its log is looked at in the browser."""
    from logbatch.cli.view import open_page, view_beside

    with demo_files.in_use(where) as is_marked:
        with _told_if_interrupted(where), view_beside(where) as url:
            click.echo(f"a small shop is at work; look at what it logs:\n{url}")
            click.echo("Ctrl-C ends it" if seconds is None else f"it ends in {seconds:g} s")
            open_page(url)
            _work(where, seconds, rate)
        _tell_how_to_clean(terminal, where, directory, is_marked)


def _work(directory: Path, seconds: float | None, rate: float) -> None:
    demo_app.configure(directory)
    shop = demo_app.Shop(rate)
    shop.open()
    try:
        threading.Event().wait(seconds)
    finally:
        shop.close()
        demo_app.finish()


def _clean(directory: Path | None) -> None:
    removed = demo_files.clean(directory)
    for path in removed:
        click.echo(f"removed {escape(str(path))}")
    if not removed:
        click.echo("nothing to remove: no demo has left anything")


@contextmanager
def _told_if_interrupted(where: Path) -> Iterator[None]:
    """Say what is left also where Ctrl-C ends the demo."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nwhat was logged is left in {escape(str(where))}", err=True)
        raise


def _introduce(terminal: Terminal, directory: Path, seconds: float) -> None:
    terminal.print(
        Text.assemble(
            f"A small shop runs for {seconds:g} seconds: four threads, ",
            ("logging", "bold"),
            " and ",
            ("structlog", "bold"),
            ".\nThis one entry in its dictConfig is all that it knows of logbatch:\n",
        ),
        soft_wrap=True,
    )
    entry = f'  {{"class": "logbatch.BatchHandler", "transport": "parquet:{directory}"}}\n'
    terminal.print(Text(entry, style="cyan"), soft_wrap=True)


def _run(
    terminal: Terminal, directory: Path, seconds: float, rate: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Let the shop work while its log is followed; return the newest records, and how it went."""
    demo_app.configure(directory)
    shop = demo_app.Shop(rate)
    view = _View(terminal, seconds)
    shop.open()
    try:
        with view.live:
            for row in Dataset(directory).follow(last=None, stop=_Clock(seconds, view.show)):
                view.add(row)
    finally:
        shop.close()
        summaries = demo_app.finish()
    return list(view.recent), summaries


class _Clock:
    """What `follow` waits on: it lets the view be drawn, and ends when the time is up."""

    def __init__(self, seconds: float, tick: Callable[[float], None]) -> None:
        self._start = time.monotonic()
        self._seconds = seconds
        self._tick = tick

    def is_set(self) -> bool:
        return time.monotonic() - self._start >= self._seconds

    def wait(self, timeout: float) -> bool:
        passed = time.monotonic() - self._start
        self._tick(min(passed, self._seconds))
        if self.is_set():
            return True
        time.sleep(min(timeout, self._seconds - passed))
        return False


class _View:
    """The live view: a bar for the time, and the newest records below it."""

    def __init__(self, terminal: Terminal, seconds: float) -> None:
        lines = max(min(_TAIL_LINES, terminal.height - _FURNITURE), 3)
        self.recent: deque[dict[str, Any]] = deque(maxlen=lines)
        self._records = 0
        self._progress = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
            TextColumn("{task.fields[records]:,} records", style="bold"),
            console=terminal,
        )
        self._task = self._progress.add_task("", total=seconds, records=0)
        self.live = Live(console=terminal, auto_refresh=False)
        self._seconds = seconds
        self._said = 0.0  # seconds passed when a line was written, where there is no screen
        self._is_screen = terminal.is_interactive
        if not self._is_screen:
            self.live = Live(console=Terminal(color="never", quiet=True), auto_refresh=False)

    def add(self, row: dict[str, Any]) -> None:
        self._records += 1
        self.recent.append(row)

    def show(self, passed: float) -> None:
        if not self._is_screen:
            self._say(passed)
            return
        self._progress.update(self._task, completed=passed, records=self._records)
        lines = [
            Text.assemble(*shown_short(row), no_wrap=True, overflow="ellipsis")
            for row in self.recent
        ]
        self.live.update(Group(self._progress, Text(), *lines), refresh=True)

    def _say(self, passed: float) -> None:
        """Write a line to stderr, each second or ten times in all: nobody is to think it hangs."""
        if passed - self._said >= max(1.0, self._seconds / 10):
            self._said = passed
            with suppress(OSError):
                records = counted(self._records, "record")
                click.echo(f"{passed:.0f} of {self._seconds:g} s, {records}", err=True)


def _show_tail(terminal: Terminal, directory: Path, recent: list[dict[str, Any]]) -> None:
    _show_command(terminal, f"tail -n {_TAIL_LEFT} {for_shell(directory)}")
    for row in recent[-_TAIL_LEFT:]:
        terminal.print_pieces(shown(row))


def _tell_files(terminal: Terminal, directory: Path) -> None:
    sizes = measure(directory)
    records = sum(size.records or 0 for size in sizes)
    total = sum(size.bytes for size in sizes)
    files = sum(size.files for size in sizes)
    each = f", {total / records:.0f} bytes a record" if records else ""
    terminal.print(
        Text.assemble(
            "\n",
            (counted(records, "record"), "bold"),
            f" are in {counted(files, 'Parquet file')}, {readable(total)}{each}:\n",
            (str(directory), "cyan"),
        ),
        soft_wrap=True,
    )


def _ask(terminal: Terminal, directory: Path, question: _Question) -> None:
    terminal.print(Text(f"\n{question.text}", style="bold"))
    _show_command(terminal, f'query {for_shell(directory)} "\n  {question.sql}"')
    show_table(Dataset(directory).sql(question.sql), terminal)


def _say_what_next(terminal: Terminal, directory: Path) -> None:
    where = for_shell(directory)
    terminal.print(Text("\nWhat next?", style="bold"))
    for arguments, what in (
        (f"tail {where} --where 'user_id=42'", "one user's records"),
        (f"tail {where} --level ERROR", "the failures, with tracebacks"),
        (f"stats {where}", "volume over time, top loggers"),
        (f"verify {where}", "prove that nothing is missing or twice"),
    ):
        terminal.print(Text(f"# {what}", style="dim"))
        _show_command(terminal, arguments)


def _summarise(terminal: Terminal, summaries: dict[str, str]) -> None:
    """Print how the records came into the files."""
    terminal.print(Text("\nHow was it written?", style="bold"))
    for name, summary in summaries.items():
        text = textwrap.fill(
            f"{name:<10} {summary}", width=_width(terminal), subsequent_indent=" " * 11
        )
        terminal.print(Text(text), soft_wrap=True)


def _width(terminal: Terminal) -> int:
    return max(min(terminal.width, 80), 20)


def _tell_how_to_clean(
    terminal: Terminal, where: Path, directory: Path | None, is_marked: bool
) -> None:
    """Print, as the last lines, what is left, and how it is removed."""
    number = counted(sum(size.files for size in measure(where)), "file")
    terminal.print(Text(f"\nWhat is left? {number} in", style="bold"))
    terminal.print(Text(escape(str(where)), style="cyan"), soft_wrap=True)
    if is_marked:
        terminal.print(Text("# remove them", style="dim"))
        place = f" --directory {for_shell(directory)}" if directory else ""
        _show_command(terminal, f"demo --clean{place}")
    else:
        told = "There was something in it before: --clean does not remove it."
        terminal.print(Text(textwrap.fill(told, width=_width(terminal))), soft_wrap=True)


def _show_command(terminal: Terminal, arguments: str) -> None:
    program = "logbatch" if shutil.which("logbatch") else "python -m logbatch"
    terminal.print(Text(f"{program} {arguments}", style="green"), soft_wrap=True)
