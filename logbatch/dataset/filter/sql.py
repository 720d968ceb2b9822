"""A filter as a condition in DuckDB's SQL.

SQL's logic has three values, and NULL is used for "unsure": a row of which the engine cannot tell
for certain what `comparisons` says of it, which is then asked (`Filter.mask`).  Engine and Python
differ on floats in JSON, on objects and lists, on integers beyond 2**53, and on letters that
younger versions of Unicode have; what an ordinary log holds is decided by the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from logbatch.dataset.filter.comparisons import CONTAINS, HAS, MATCHES
from logbatch.dataset.filter.literals import quoted_text, quoted_time
from logbatch.dataset.filter.sql_attributes import attribute, hint
from logbatch.dataset.filter.sql_values import FEW, among, integer, integer_among, is_old, search
from logbatch.dataset.filter.tree import And, Node, Not, Or, Term
from logbatch.storage.columns import LEVEL, NUMBER, TEXT, TIME


class Condition(NamedTuple):
    """A filter in SQL.

    Attributes:
        where: Keeps the rows that match or may match.  It may stand beside others behind an AND: an
            OR in it is within parentheses.
        unsure: Is true for those of them that may or may not; empty where there are none such.
    """

    where: str
    unsure: str


def condition(root: Node, typed: Mapping[str, str]) -> Condition:
    """Put a filter into SQL.

    Args:
        root: The filter.
        typed: Attributes that the rows have as columns of their name, and the types of these.
    """
    nodes = _merged(root.children, "!=") if isinstance(root, And) else (root,)
    made = [(node, *_make(node, typed)) for node in nodes]
    kept = [f"({known})" for node, _, _ in made if (known := hint(node, typed))]
    kept += [f"({sql})" if exact else f"({sql}) IS NOT FALSE" for _, sql, exact in made]
    unsure = " AND ".join(f"({sql})" for _, sql, exact in made if not exact)
    return Condition(" AND ".join(kept) or "TRUE", f"({unsure}) IS NULL" if unsure else "")


def _make(node: Node, typed: Mapping[str, str]) -> tuple[str, bool]:
    """Return the condition of a node, and whether it is never NULL."""
    if isinstance(node, Term):
        return _make_term(node, typed)
    if isinstance(node, Not):
        sql, exact = _make(node.child, typed)
        return f"NOT ({sql})", exact
    joined, together = (" OR ", "=") if isinstance(node, Or) else (" AND ", "!=")
    parts = [_make(child, typed) for child in _merged(node.children, together)]
    sql = joined.join(f"({sql})" for sql, _ in parts) or "TRUE"
    return sql, all(exact for _, exact in parts)


def _merged(nodes: Iterable[Node], operator: str) -> list[Node]:
    """Make one term of those that compare one field: it is read once for all of them."""
    found: dict[object, Node] = {}
    for node in nodes:
        if not (isinstance(node, Term) and node.operator == operator):
            found[len(found)] = node
            continue
        key = node.column, node.path, node.kind
        before = found.get(key)
        if isinstance(before, Term):
            values, operands = before.values + node.values, before.operands + node.operands
            found[key] = replace(before, values=values, operands=operands)
        else:
            found[key] = node
    return list(found.values())


def _make_term(term: Term, typed: Mapping[str, str]) -> tuple[str, bool]:
    if term.column == "attributes":
        return attribute(term, typed), False
    if term.column == "timestamp" and term.kind != TIME and term.operator != HAS:
        return "NULL", False
    column = term.column
    if term.operator == HAS:
        return f"{column} IS NOT NULL", True
    if term.operator in (CONTAINS, MATCHES):
        text = column if term.kind == TEXT and not _is_number(column) else f"{column}::VARCHAR"
        return _present(column, search(term)(text)), term.operator == CONTAINS and is_old(term)
    return _compare(term), True


def _is_number(column: str) -> bool:
    return column in ("levelno", "lineno", "process", "thread", "sequence")


def _present(value: str, test: str) -> str:
    return f"({value} IS NOT NULL AND ({test}))"


# ------------------------------------------------------------------ columns


def _compare(term: Term) -> str:
    """Compare a column that is not searched."""
    column = term.column
    if term.operator not in ("=", "!="):
        return _present(column, _order(term, column, term.operand))
    equal = _equal_to_any(term, column)
    if term.operator == "!=":
        return _present(column, f"NOT ({equal})")
    null = term.kind in (NUMBER, TEXT) and any(operand.is_null for operand in term.operands)
    return f"({column} IS NULL OR {equal})" if null else _present(column, equal)


def _order(term: Term, column: str, operand: Any) -> str:
    if term.kind == TIME:
        return f"{column} {term.operator} {quoted_time(operand)}"
    number = operand if term.kind == LEVEL else operand.number
    return integer(column, term.operator, number)


def _equal_to_any(term: Term, column: str) -> str:
    if len(term.operands) <= FEW or term.kind in (TIME, LEVEL):
        return " OR ".join(_equal(term, column, operand) for operand in term.operands)
    if term.kind == NUMBER:
        return integer_among([operand.number for operand in term.operands])(column)
    texts = [operand.text for operand in term.operands]
    return among(texts, below=column == "logger")(column)


def _equal(term: Term, column: str, operand: Any) -> str:
    if term.kind == TIME:
        return f"{column} = {quoted_time(operand)}"
    if term.kind == LEVEL:
        return integer(column, "=", operand)
    if term.kind == NUMBER:
        return integer(column, "=", operand.number)
    equal = f"{column} = {quoted_text(operand.text)}"
    if column == "logger":
        equal += f" OR starts_with({column}, {quoted_text(operand.text + '.')})"
    return f"({equal})"
