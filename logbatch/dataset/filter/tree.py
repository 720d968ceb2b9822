"""A filter as a tree: terms, and what joins them.

`Term` is a leaf; `Not`, `And` and `Or` have children.  `all_of`, `any_of` and `negate` build a
tree in its one plain form: no And in an And, no Or in an Or, no Not in a Not, none with a single
child; so two texts that are written alike, but for spaces and needless parentheses, are equal.
`EVERYTHING`, an And without children, is only ever the root.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from logbatch.dataset.filter import comparisons
from logbatch.dataset.filter.comparisons import (
    CONTAINS,
    HAS,
    MATCHES,
    ORDERINGS,
    Test,
    as_instant,
    as_object,
    as_time_text,
    find,
)
from logbatch.dataset.filter.patterns import with_escaped_slashes
from logbatch.storage.columns import LEVEL, TIME

Check = Callable[[Mapping[str, Any]], bool]
Period = tuple[int | None, int | None]

NAME = re.compile(r"[\w@$]([\w.:@/$-]*\w)?")
"""A name that needs no quotes."""

SIMPLE = re.compile(r"[^\s\\'\"=<>!~(),*/[{-][^\s\\'\"=<>!~(),]*")
"""A value that needs none."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on one field.

    Attributes:
        name: The field, as written.
        operator: One of `OPERATORS`.
        values: What it is compared with, as written; a time is in its absolute form.  `=` and
            `!=` have one or more, `=*` has none, any other operator one.
        column: The column that is read.
        path: The key in `attributes`, where an attribute is read.
        kind: How it is compared: TIME, LEVEL, NUMBER, TEXT or ATTRIBUTE.
        operands: The values in the form of their kind: microseconds since 1970, a level's number,
            or an `Operand`; for `~/` the pattern, as RE2 takes it.
    """

    name: str
    operator: str
    values: tuple[str, ...]
    column: str
    path: str | None
    kind: str
    operands: tuple[Any, ...]

    @property
    def operand(self) -> Any:
        """The operand, where there is one."""
        (only,) = self.operands
        return only

    def __str__(self) -> str:
        start = quoted(self.name, NAME) + self.operator
        if self.operator == MATCHES:
            return f"{start}{with_escaped_slashes(self.values[0])}/"
        return start + ",".join(quoted(value, SIMPLE) for value in self.values)

    def read(self, row: Mapping[str, Any]) -> Any:
        """Return the value that is compared, from a record; None if it is missing."""
        return self.read_cell(row.get(self.column))

    def read_cell(self, value: Any) -> Any:
        """Return the value that is compared, from that of its column."""
        if self.column == "attributes":
            return find(as_object(value), self.path)
        if self.column == "timestamp":
            return as_instant(value) if self.kind == TIME else as_time_text(value)
        return value

    def test(self) -> Test:
        """Return the comparison, of a value that `read` returned."""
        if self.operator == HAS:
            return comparisons.has_value
        if self.operator == CONTAINS:
            return comparisons.contains(self.operand)
        if self.operator == MATCHES:
            return comparisons.matches(self.operand)
        exact = self.kind in (TIME, LEVEL)
        if self.operator in ORDERINGS and exact:
            return comparisons.compare_exactly(self.operator, self.operand)
        if self.operator in ORDERINGS:
            return comparisons.compare_numbers(self.operator, self.operand.number)
        if not exact and self.column != "logger":
            return comparisons.equality(self.operator, [comparisons.is_among(self.operands)])
        equals = comparisons.is_below if self.column == "logger" else comparisons.is_equal
        each: Callable[[Any], Test] = comparisons.is_exactly if exact else equals
        return comparisons.equality(self.operator, [each(operand) for operand in self.operands])


@dataclass(frozen=True, slots=True)
class Not:
    """What does not hold for a record holds."""

    child: Node

    def __str__(self) -> str:
        return f"-{_in_parentheses(self.child)}"


@dataclass(frozen=True, slots=True)
class And:
    """All hold; without children, for every record."""

    children: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(map(_in_parentheses, self.children))


@dataclass(frozen=True, slots=True)
class Or:
    """At least one holds."""

    children: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(map(_in_parentheses, self.children))


Node = Term | Not | And | Or

EVERYTHING = And(())


def all_of(nodes: Iterable[Node]) -> Node:
    """Return what holds where all of these do."""
    children = _flat(nodes, And)
    return children[0] if len(children) == 1 else And(children)


def any_of(nodes: Iterable[Node]) -> Node:
    """Return what holds where at least one of these does; there must be one."""
    children = _flat(nodes, Or)
    return children[0] if len(children) == 1 else Or(children)


def _flat(nodes: Iterable[Node], kind: type[And] | type[Or]) -> tuple[Node, ...]:
    """Return the nodes, with its children in the place of each that is of this kind."""
    parts = ((node.children if isinstance(node, kind) else (node,)) for node in nodes)
    return tuple(chain.from_iterable(parts))


def negate(node: Node) -> Node:
    """Return what holds where this does not."""
    return node.child if isinstance(node, Not) else Not(node)


def terms_of(node: Node) -> Iterator[Term]:
    """Yield the leaves of a tree, in the order of the text."""
    if isinstance(node, Term):
        yield node
    elif isinstance(node, Not):
        yield from terms_of(node.child)
    else:
        for child in node.children:
            yield from terms_of(child)


def make_check(node: Node) -> Check:
    """Return a function that tells whether a record matches."""
    if isinstance(node, Term):
        read, test = node.read, node.test()
        return lambda row: test(read(row))
    if isinstance(node, Not):
        inner = make_check(node.child)
        return lambda row: not inner(row)
    checks = [make_check(child) for child in node.children]
    if isinstance(node, And):
        return lambda row: all(check(row) for check in checks)
    return lambda row: any(check(row) for check in checks)


def period_of(node: Node) -> Period:
    """Return the first and last microsecond since 1970 that can match; None if unlimited.

    What is negated limits nothing.
    """
    if isinstance(node, Term):
        return _period_of_term(node)
    if isinstance(node, Not) or not node.children:
        return None, None
    firsts, lasts = zip(*map(period_of, node.children), strict=True)
    if isinstance(node, And):
        return (
            max((at for at in firsts if at is not None), default=None),
            min((at for at in lasts if at is not None), default=None),
        )
    return None if None in firsts else min(firsts), None if None in lasts else max(lasts)


def _period_of_term(term: Term) -> Period:
    if term.kind != TIME or term.operator == "!=":
        return None, None
    first, last = min(term.operands), max(term.operands)
    return (
        first + (term.operator == ">") if term.operator in (">", ">=", "=") else None,
        last - (term.operator == "<") if term.operator in ("<", "<=", "=") else None,
    )


def _in_parentheses(node: Node) -> str:
    return f"({node})" if isinstance(node, And | Or) else str(node)


def quoted(text: str, simple: re.Pattern[str]) -> str:
    """Return a name or a value as it is written: in quotes, unless it is a simple one."""
    if simple.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
