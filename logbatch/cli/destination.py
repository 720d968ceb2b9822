"""The destination of a command, and the credentials and headers that its server wants."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from logbatch.transports import build
from logbatch.transports.base import BaseTransport

_F = TypeVar("_F", bound=Callable[..., Any])
_ENVIRONMENT = "env:"


def sending_options(command: _F) -> _F:
    """Add `--token` and `--header`, for `build_transport`."""
    for option in (
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="NAME:VALUE",
            help="Sent to an https: URL; may be repeated.  NAME:env:VARIABLE, too.",
        ),
        click.option(
            "--token",
            metavar="TOKEN",
            help="Sent to an https: URL.  Better env:NAME, as others may see a command line.",
        ),
    ):
        command = option(command)
    return command


def build_transport(url: str | None, token: str | None, headers: Sequence[str]) -> BaseTransport:
    """Make the transport of a command.

    Args:
        url: As for a handler; None reads the environment.
        token: As for a handler.
        headers: Texts of the form `NAME:VALUE`.

    Raises:
        UsageError: The URL, the token or a header is wrong.
    """
    named = dict(map(_read_header, headers))
    try:
        return build(url, token=token, headers=named or None)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _read_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError("--header must be of the form NAME:VALUE")
    value = value.strip()
    if value.startswith(_ENVIRONMENT):
        variable = value.removeprefix(_ENVIRONMENT)
        if variable not in os.environ:
            raise click.UsageError(f"--header {name}: the variable {variable!r} is not set")
        value = os.environ[variable]
    return name.strip(), value
