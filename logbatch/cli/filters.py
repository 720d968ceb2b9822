"""The options that choose records, the same for every command that has them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from logbatch.cli.escape import escape, escape_lines
from logbatch.dataset.filter.comparisons import HAS
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.tree import And, Node, Term, terms_of
from logbatch.errors import FilterError

if TYPE_CHECKING:
    from logbatch.dataset.reader import Dataset

_F = TypeVar("_F", bound=Callable[..., Any])


def _parse(_ctx: click.Context, option: click.Parameter, value: str | None) -> Filter:
    """Read one option's value as a filter, so that click names the option that is wrong."""
    given: dict[str, Any] = {str(option.name): value}
    try:
        return Filter.build(**given)
    except FilterError as error:
        told = str(error) if option.name == "where" else error.reason
        raise click.BadParameter("\n".join(escape_lines(told))) from None


def _option(name: str, metavar: str, text: str) -> Callable[[_F], _F]:
    return click.option(f"--{name}", metavar=metavar, callback=_parse, help=text)


_NAMES = ("level", "logger", "since", "until", "grep", "where")
_OPTIONS = (
    _option("level", "LEVEL", "This level and those above it."),
    _option("logger", "NAME", "This logger and those below it."),
    _option("since", "TIME", "90s, 15m, 2h, 3d ago, or a UTC time: 2026-11-21T10:00."),
    _option("until", "TIME", "Before this time, written alike."),
    _option("grep", "TEXT", "This text in the message, in any case."),
    _option("where", "FILTER", 'Any filter: "(status>=500 or path~/^.api/) -user_id=42,43".'),
)


class Hint:
    """What is said on stderr, once: that a field may be misspelt.

    Where something was found it is said only if that could be in spite of it, as by another
    alternative or by `-usr_id=42`: otherwise each field was met.
    """

    def __init__(self, dataset: Dataset, where: Filter) -> None:
        self._dataset = dataset
        self._where = where
        self._is_needed = True

    def found(self) -> None:
        """Take note that something was found."""
        self._is_needed = self._is_needed and _may_lack(self._where.root)

    def tell(self) -> None:
        """Say which fields of the filter no record has, if that is needed."""
        if self._is_needed:
            self._is_needed = False
            for field in self._dataset.unknown_fields(self._where):
                click.echo(escape(str(field)), err=True)


def _may_lack(node: Node) -> bool:
    """Return whether records may match that lack an attribute which a filter names.

    Not where it asks for just that (`-job=*`).
    """
    if isinstance(node, Term):
        return False
    if isinstance(node, And):
        return any(map(_may_lack, node.children))
    return any(term.path is not None and term.operator != HAS for term in terms_of(node))


def filter_options(command: _F) -> _F:
    """Add the options to a command, which gets what they ask for as one `where`."""

    @functools.wraps(command)
    def joined(*args: Any, **given: Any) -> Any:
        terms = [given.pop(name) for name in _NAMES]
        return command(*args, **given, where=functools.reduce(operator.and_, terms))

    wrapped: Any = joined
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return cast("_F", wrapped)
