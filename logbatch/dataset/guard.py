"""Look through a parsed SELECT for what the view `logs` does not need.

DuckDB takes a query that begins with a COPY or an INSERT in its WITH for a SELECT, and has
functions that read settings, run other SQL or follow raw pointers.  So tables and table functions
are allowed by name; of the other functions those are refused that tell or change a setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from logbatch.errors import QueryError

TABLE_FUNCTIONS = frozenset(
    (
        "generate_series",
        "histogram",
        "histogram_values",
        "json_each",
        "json_tree",
        "range",
        "regexp_split_to_table",
        "repeat",
        "repeat_row",
        "unnest",
    )
)
"""Table functions that make rows of their arguments, and reach nothing else."""

REFUSED_FUNCTIONS = frozenset(
    (
        "current_setting",
        "getenv",
        "getvariable",
        "in_search_path",
        "json_execute_serialized_sql",
        "nextval",
        "currval",
        "sleep_ms",
        "write_log",
    )
)
"""Scalar functions that read or change something outside the query, or only take time."""

DEEPEST = 1000
"""Levels of a parsed query.  What Python and DuckDB can follow differs with their versions."""

_QUERIES = frozenset(("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"))

Node = dict[str, Any]


def check_tree(text: str) -> None:
    """Check a query, in the form that DuckDB's `json_serialize_sql` gives.

    Raises:
        QueryError: It asks for more than `logs`.
    """
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise QueryError("the query is nested too deeply") from error
    if not isinstance(tree, dict) or tree.get("error") is not False:
        reason = tree.get("error_message") if isinstance(tree, dict) else ""
        raise QueryError(f"only a plain SELECT is allowed: {reason}")
    nodes = list(_walk(tree))
    names = {name for node in nodes for name in _names_of_ctes(node)}
    for node in nodes:
        _check_node(node, names)


def _walk(tree: Node) -> Iterator[Node]:
    level: list[Any] = [tree]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for current in level:
            if isinstance(current, dict):
                yield current
                below += current.values()
            elif isinstance(current, list):
                below += current
        if not below:
            return
        level = below
    raise QueryError("the query is nested too deeply")


def _names_of_ctes(node: Node) -> Iterator[str]:
    ctes = node.get("cte_map")
    if isinstance(ctes, dict):
        for entry in ctes.get("map", ()):
            yield str(entry["key"]).lower()


def _check_node(node: Node, ctes: set[str]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERIES:
        raise QueryError(f"only SELECT is allowed, not {kind.removesuffix('_NODE')}")
    if kind == "SHOW_REF" and not node.get("query"):
        raise QueryError("SHOW is not allowed; DESCRIBE logs lists the columns")
    if kind == "BASE_TABLE":
        _check_table(node, ctes)
    if kind == "TABLE_FUNCTION":
        name = str(node["function"]["function_name"]).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryError(f"the table function {name} is not allowed; query the view logs")
    elif str(node.get("function_name", "")).lower() in REFUSED_FUNCTIONS:
        raise QueryError(f"the function {node['function_name']} is not allowed")


def _check_table(node: Node, ctes: set[str]) -> None:
    name = str(node.get("table_name", ""))
    place = [str(node.get(key) or "").lower() for key in ("catalog_name", "schema_name")]
    if place == ["", ""] and name.lower() in ctes:
        return
    if name.lower() != "logs" or place not in (["", ""], ["", "main"], ["memory", "main"]):
        whole = ".".join([*filter(None, place), name])
        raise QueryError(f"there is no table {whole!r}; the only one is logs")
