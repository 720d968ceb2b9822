"""`logbatch view`: a page in the browser, live, on what stands in a directory."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from logbatch.cli.directory import await_directory, directory_argument, find_directory

PORT = 8322
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def resolve(token: str) -> str:
    """Return the token itself, also of `env:NAME`."""
    name = token.removeprefix("env:")
    if name == token:
        return token
    if not os.environ.get(name):
        raise click.ClickException(f"--token env:{name}: this variable is not set")
    return os.environ[name]


def open_page(url: str) -> None:
    """Open a page in the browser; where there is none, the URL that was printed must do.

    One in the terminal would take that over, and runs no script.
    """
    import webbrowser

    if sys.platform.startswith("linux") and not any(map(os.environ.get, _SCREENS)):
        return
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


@contextlib.contextmanager
def view_beside(directory: Path, *, port: int | None = None) -> Iterator[str]:
    """Show a directory, which is made if it is not there, while something else is done.

    Args:
        directory: The directory.
        port: Where; None takes the usual one, or any that is free if that is taken.

    Yields:
        The URL to open.
    """
    from logbatch.disk import make_directory
    from logbatch.server.viewer.run import Settings, beside
    from logbatch.trouble import Trouble

    make_directory(directory)
    settings = Settings(directory.absolute(), port=PORT if port is None else port)
    with beside(settings, Trouble(), or_any_port=port is None) as url:
        yield url


@click.command("view")
@directory_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 for any free."
)
@click.option(
    "--token",
    metavar="TOKEN",
    help="What whoever looks must have; better env:NAME, for a command line is visible to all"
    " users of the machine.  [default: a new one, in the URL that is printed]",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
def command(directory: Path | None, host: str, port: int, token: str | None, opens: bool) -> None:
    """Show a log in the browser: live, and all of it.

    One page, which follows the log as it is written and searches what is there already: rows,
    volume over time, counts, errors, patterns, and SQL.  It reads DIR and changes nothing; Ctrl-C
    ends it.  DIR need not be there yet.

    \b
    Examples:
      logbatch view
      logbatch view logs --open
      logbatch view logs --host 0.0.0.0 --token env:LOG_TOKEN
    """
    from logbatch.server.access import is_loopback
    from logbatch.server.viewer.run import Settings, serve

    await_directory(directory)
    path = find_directory(directory)
    try:
        settings = Settings(path.absolute(), host, port, "" if token is None else resolve(token))
    except ValueError as error:
        raise click.ClickException(f"--{error}") from None
    if not is_loopback(host):
        click.echo("warning: the log and the token are sent in plain text", err=True)

    def announce(url: str, _stop: object) -> None:
        with contextlib.suppress(OSError):  # a service may have no standard output
            click.echo(f"viewing {path}; Ctrl-C ends it\n{url}")
        if opens:
            open_page(url)

    serve(settings, announce)
