"""`logbatch runs`: what was run, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from logbatch.cli.directory import directory_argument, find_runs
from logbatch.cli.escape import to_json
from logbatch.cli.sizes import duration, readable
from logbatch.cli.streams import use_utf8
from logbatch.cli.terminal import Terminal, color_option, new_table, plain_text
from logbatch.epoch import FIRST, LAST, SECOND, to_datetime

if TYPE_CHECKING:
    from logbatch.capture.runs import Run, Runs

_RUNS = 20
_LIVE = 100  # runs that go on; shown however old they are
_MOST = 10_000  # runs that are counted
_ID = 10  # characters of an id: as a rule they tell it from all others
_PROGRESS = 16  # characters
_WIDE = 72  # columns of a terminal from which on all is shown
_ENDLESS = 100_000
_NUMBERS = ("took", "output")
_STYLES = {"running": "bold cyan", "lost": "magenta", "elsewhere": "dim"}


class _Command(click.Command):
    """The command, in front of which `show` is one of its own."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **more: Any,
    ) -> click.Context:
        if args[:1] == ["show"]:
            from logbatch.cli.runs_show import command as show

            return show.make_context(f"{info_name} show", args[1:], parent, **more)
        return super().make_context(info_name, args, parent, **more)


def _parse_number(
    _ctx: click.Context, _option: click.Parameter, value: str | None
) -> int | str | None:
    if value is None or value == "all":
        return value
    if not value.isdecimal() or not int(value):
        raise click.BadParameter(f"{value!r} is neither a number from 1 on nor all")
    return int(value)


@click.command("runs", cls=_Command)
@directory_argument
@click.option(
    "-n",
    "--number",
    callback=_parse_number,
    metavar="N",
    help=f"The newest N runs, or all.  [default: {_RUNS}; all with --json]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@color_option
def command(directory: Path | None, number: int | str | None, as_json: bool, color: str) -> None:
    """List what `logbatch run` ran, and how it ended.

    The newest is first; `logbatch runs show` writes what one printed.  A run goes on
    (running), has ended (exit 0), was ended by a signal (SIGKILL), or is lost: the process
    that recorded it died.  Of a run on another machine (elsewhere) only its end is known.
    Times are UTC.

    \b
    Examples:
      logbatch runs logs
      logbatch runs logs --json | jq -r 'select(.status == "lost") | .id'
      logbatch runs show logs last --tail
      logbatch runs show --help
    """
    from logbatch.capture.runs import Runs

    if number is None and not as_json:
        number = _RUNS
    limit = number if isinstance(number, int) else None
    runs = Runs(find_runs(directory))
    if as_json:
        _write_json(runs, limit)
    else:
        _show(runs, limit, Terminal(color=color))


def _write_json(runs: Runs, limit: int | None) -> None:
    use_utf8()
    for run in runs.newest(limit):
        click.echo(to_json(_as_dict(run)))


def _as_dict(run: Run) -> dict[str, Any]:
    found = run._asdict()
    for name in ("started_at", "ended_at", "last_output_at"):
        found[name] = None if found[name] is None else _at(found[name])
    return {**found, "signal": run.signal}


def _show(runs: Runs, limit: int | None, terminal: Terminal) -> None:
    found = _find(runs, limit)
    if not found:
        terminal.print("no runs")
        return
    is_wide = not terminal.is_screen or terminal.width >= _WIDE
    table = _table(found, runs, is_wide)
    if terminal.is_screen:
        table.expand = True
    else:  # there is no width to keep to, and nothing is cut
        everything = terminal.options.update(width=_ENDLESS)
        terminal.width = max(terminal.measure(table, options=everything).maximum, terminal.width)
    terminal.print(table)
    if limit is not None and (more := runs.count(_MOST + len(found)) - len(found)) > 0:
        many = f"{more:,}" if more < _MOST else f"at least {_MOST:,}"
        click.echo(f"and {many} more; --number all shows all", err=True)


def _table(found: Sequence[Run], runs: Runs, is_wide: bool) -> Table:
    more = ("began", "took", "output") if is_wide else ()
    table = new_table("run", "status", *more, "command", numbers=_NUMBERS)
    for column in table.columns:
        column.no_wrap = True
    table.columns[-1].ratio, table.columns[-1].overflow = 1, "ellipsis"
    now = time.time()
    names = runs.shorten([run.id for run in found], _ID)
    for run, name in zip(found, names, strict=True):
        cells = [_moment(run.started_at, now), _took(run, now), readable(run.size)]
        table.add_row(
            plain_text(name),
            _status(run),
            *(cells if is_wide else ()),
            plain_text(run.command),
        )
    return table


def _find(runs: Runs, limit: int | None) -> list[Run]:
    """Return the newest runs, and those that still go on: they are what one looks for."""
    newest = list(runs.newest(limit))
    if limit is None:
        return newest
    shown = {run.id for run in newest}
    return newest + [run for run in runs.live(_LIVE) if run.id not in shown]


def _status(run: Run) -> Text:
    style = _STYLES.get(run.status) or ("green" if run.exit_code == 0 else "red")
    text = Text(run.outcome, style=style, no_wrap=True)
    if run.progress and run.exit_code != 0:  # what has ended well is at its end
        progress = plain_text(run.progress)
        progress.truncate(_PROGRESS, overflow="ellipsis")
        text.append(" ").append(progress)
    return text


def _moment(seconds: float, now: float) -> str:
    """Write a time in UTC: of today the time of the day, else the date, too."""
    at = _at(seconds)
    is_today = at.date() == _at(now).date()
    return f"{at:%H:%M:%S}" if is_today else f"{at:%Y-%m-%d %H:%M}"


def _at(seconds: float) -> datetime:
    return to_datetime(min(max(round(seconds * SECOND), FIRST), LAST))


def _took(run: Run, now: float) -> str:
    end = now if run.status == "running" else run.ended_at or run.last_output_at
    return "" if end is None else duration(end - run.started_at)
