"""`logbatch serve`: receive batches over HTTP."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from logbatch.cli.directory import A_PATH, parse_directory
from logbatch.cli.view import PORT, resolve, view_beside
from logbatch.server.limits import Limits

if TYPE_CHECKING:
    from logbatch.server.run import Settings

_F = TypeVar("_F", bound=Callable[..., Any])

_DEFAULT = Limits()


def _limit(name: str, text: str) -> Callable[[_F], _F]:
    """Make the option of a limit."""
    default = getattr(_DEFAULT, name)
    option = f"--{name.replace('_', '-')}"
    return click.option(
        option, name, type=type(default), default=default, show_default=True, metavar="N", help=text
    )


@click.command("serve")
@click.argument("directory", metavar="DIR")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0 for any free."
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="TOKEN",
    help="A token that clients must send; may be repeated.  Better env:NAME, for a command line"
    " is visible to all users of the machine.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "parquet"]),
    help="jsonl: a growing file for each sender; parquet: a file for each request."
    "  [default: as DIR says, else jsonl]",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which clients may call this receiver; may be repeated.",
)
@click.option("--tls-cert", type=A_PATH, help="Certificate chain, for HTTPS.")
@click.option("--tls-key", type=A_PATH, help="Its private key.")
@click.option(
    "--default-level",
    default="INFO",
    show_default=True,
    metavar="LEVEL",
    help="Of entries that have none.",
)
@click.option(
    "--retain-age", metavar="AGE", help="Files whose newest record is older than this go: 14d."
)
@click.option(
    "--retain-bytes", metavar="SIZE", help="The oldest files go until all take at most this: 5GB."
)
@click.option(
    "--view",
    is_flag=True,
    help=f"Show the log in the browser as well, on port {PORT} of this machine; see `view`.",
)
@_limit("max_compressed_bytes", "Of a compressed body, as it is sent.")
@_limit("max_body_bytes", "Of a plain body, an inflated one, or the lines made of it.")
@_limit("max_records", "Entries in one request.")
@_limit("max_depth", "Levels in one entry.")
@_limit("header_timeout", "Seconds until the headers are there.")
@_limit("body_timeout", "Seconds until the body is there.")
@_limit("min_body_rate", "Bytes a second that a body must come with, after some seconds.")
@_limit("max_memory_bytes", "Of all requests at one time, with all that is made of them.")
@_limit("max_connections", "At one time.")
def command(
    directory: str,
    host: str,
    port: int,
    tokens: tuple[str, ...],
    kind: str | None,
    allowed_hosts: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    default_level: str,
    retain_age: str | None,
    retain_bytes: str | None,
    view: bool,
    **limits: Any,
) -> None:
    """Receive records over HTTP, and write them to DIR.

    DIR is a path, or says which files are meant: parquet:PATH, jsonl:PATH.

    Batches come to /v1/logs, single records to /v1/log, OTLP to /otlp/v1/logs.  What is answered
    with success is on the disk; what logbatch's own clients send is stored once, however often it
    is sent.  There is one receiver for a DIR.

    \b
    Examples:
      logbatch serve logs
      logbatch serve parquet:logs --port 0
      logbatch serve logs --host 0.0.0.0 --token env:LOG_TOKEN
    """
    from logbatch.server.access import is_loopback
    from logbatch.server.run import Settings, serve

    named, path = parse_directory(directory)
    try:
        settings = Settings(
            path.absolute(),
            host,
            port,
            tuple(map(resolve, tokens)),
            _choose_format(directory, named, kind),
            allowed_hosts,
            tls_cert,
            tls_key,
            Limits(**limits),
            default_level,
            retain_age,
            retain_bytes,
        )
    except ValueError as error:
        raise click.ClickException(_name_option(str(error))) from None
    if not (is_loopback(host) or tls_cert):
        click.echo(
            "warning: tokens and records arrive in plain text; --tls-cert encrypts them", err=True
        )

    with contextlib.ExitStack() as stack:
        page = stack.enter_context(view_beside(settings.directory)) if view else None

        def announce(url: str, _stop: object) -> None:
            with contextlib.suppress(OSError):  # a service may have no standard output
                click.echo(_announce(settings, url, page))

        serve(settings, announce)


def _choose_format(directory: str, named: str | None, asked: str | None) -> str:
    """Return the format of the files, which DIR or `--format` may say.

    Raises:
        UsageError: They contradict each other, or DIR has options.
    """
    if named and "?" in directory:
        raise click.UsageError(f"{directory}: the receiver has no options for files")
    if named and asked and named != asked:
        raise click.UsageError(f"{directory} means {named} files, --format {asked} others")
    return named or asked or "jsonl"


def _announce(settings: Settings, url: str, page: str | None) -> str:
    """Return what is shown when it is ready; the first line is for programs, too."""
    files = {"jsonl": "JSON Lines", "parquet": "Parquet"}[settings.format]
    return (
        f"listening on {url}\n"
        f"batches: {url}/v1/logs\n"
        f"OTLP:    {url}/otlp/v1/logs\n"
        + (f"page:    {page}\n" if page else "")
        + f"writing {files} files to {settings.directory}; Ctrl-C ends it"
    )


def _name_option(text: str) -> str:
    """Replace a setting at the beginning of an error by the name of its option."""
    names = {"private_key": "tls-key", "tokens": "token"}
    found = re.match(r"([a-z_]+)(?=[:=])", text)
    if found is None:
        return text
    name = names.get(found[1], found[1].replace("_", "-"))
    return f"--{name}{text[found.end() :]}"
