"""Imports point down, nothing imports the package root, and `import logbatch` is light."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

# Lowest first.  A module may import those of lower layers and, as long as no circle comes of it,
# of its own.  `name.*` is a package with all that is in it; the exact name wins.
LAYERS = [
    ["descriptors", "epoch", "errors", "forks", "levels", "locks", "native", "version"],
    ["storage", "storage.columns"],
    ["events.lazy", "events.values", "events.encoder", "identity"],
    ["batching.triggers", "batching.backoff"],
    ["options", "keywords", "stats", "trouble", "gil", "disk", "places"],
    ["events.redact", "batching.repeats", "metrics"],
    ["events.*"],
    ["journal.*"],
    ["storage.*"],
    ["dataset.filter.*"],
    ["transports.base", "transports.adapted", "transports.environment", "transports.parameters"],
    ["transports.*"],
    ["batching.*"],
    ["dedupe", "frontend", "handler", "processor", "attach", "testing"],
    ["dataset.*"],
    ["capture.*"],
    ["server.*"],
    ["cli.*"],
    ["__main__", "__init__"],
]

_TYPE_CHECKING = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}

HEAVY = {
    "click",
    "duckdb",
    "opentelemetry",
    "platformdirs",
    "prometheus_client",
    "pyarrow",
    "requests",
    "rich",
    "starlette",
    "structlog",
    "uvicorn",
    "websockets",
}


class Import(NamedTuple):
    """One module of ours imported by another; `late` when that happens inside a function."""

    target: str
    line: int
    late: bool


def find_modules() -> dict[str, Path]:
    """Name every module of the package: `logbatch`, `logbatch.errors` and so on."""
    spec = importlib.util.find_spec("logbatch")
    assert spec is not None and spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0])
    return {_module_name(path.relative_to(root.parent)): path for path in root.rglob("*.py")}


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = find_modules()


def find_layer(module: str) -> int | None:
    """Return the index of a module's layer, or None for a module that has none."""
    name = module.removeprefix("logbatch").removeprefix(".") or "__init__"
    for wanted in (name, *(f"{name[:end]}.*" for end in _ends(name))):
        for index, layer in enumerate(LAYERS):
            if wanted in layer:
                return index
    return None


def _ends(name: str) -> list[int]:
    """Where the name and each package around it ends, the longest first."""
    return [len(name), *(i for i in reversed(range(len(name))) if name[i] == ".")]


def parents(module: str) -> list[str]:
    """The packages around a module, which Python imports before it; not the root."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(2, len(parts))]


def find_imports(tree: ast.Module, package: str, modules: dict[str, Path]) -> list[Import]:
    """List what a module imports of ours; what only a type checker sees is left out."""
    return [
        Import(target, node.lineno, late)
        for node, late in _walk(tree, late=False)
        for target in _targets(node, package, modules)
        if target.partition(".")[0] == "logbatch"
    ]


def _walk(node: ast.AST, late: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, late
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) in _TYPE_CHECKING:
        children = iter(node.orelse)
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in children:
        yield from _walk(child, late)


def _targets(
    node: ast.Import | ast.ImportFrom, package: str, modules: dict[str, Path]
) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    names = [f"{origin}.{alias.name}" for alias in node.names]
    return [name if name in modules else origin for name in names]


@cache
def imports_of(module: str) -> list[Import]:
    """List what a module of ours imports of ours."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return find_imports(ast.parse(path.read_bytes()), package, MODULES)


def loaded_by(module: str) -> set[str]:
    """What Python loads at once with a module: what it imports, what surrounds that, and so on."""
    seen: set[str] = set()
    asked: set[str] = set()
    ahead = [module]
    while ahead:
        current = ahead.pop()
        if current in seen:
            continue
        seen.add(current)
        found = imports_of(current) if current in MODULES else []
        now = {each.target for each in found if not each.late} - {"logbatch"}
        asked |= now
        ahead += [*now, *parents(current)]
    return asked


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_has_a_layer(module: str) -> None:
    """A new module is given its place in the order of the layers."""
    if find_layer(module) is None:
        pytest.fail(f"{module} has no layer: add it to LAYERS in tests/test_layers.py")


def test_every_name_in_the_layers_is_that_of_a_module() -> None:
    """A module that is renamed or removed leaves nothing behind in `LAYERS`."""
    names = {module.removeprefix("logbatch.") for module in MODULES} | {"__init__"}
    stale = [name for layer in LAYERS for name in layer if name.removesuffix(".*") not in names]

    assert [] == stale


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    """A module imports only what stands in its own layer or below."""
    upward = [
        f"line {found.line}: {found.target}"
        for found in imports_of(module)
        if found.target != "logbatch" and _is_above(found.target, module)
    ]

    assert [] == upward


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"logbatch"}))
def test_nothing_from_above_is_loaded(module: str) -> None:
    """A package's `__init__` does not pull higher modules in when a lower one is imported."""
    assert [] == [name for name in sorted(loaded_by(module)) if _is_above(name, module)]


def _is_above(module: str, other: str) -> bool:
    layer, limit = find_layer(module), find_layer(other)
    return layer is not None and limit is not None and layer > limit


def test_no_circles() -> None:
    """No module imports itself by way of others, not even late."""
    graph = {
        module: {found.target for found in imports_of(module)} - {"logbatch"} for module in MODULES
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_the_root(module: str) -> None:
    """Inside the package, names come from where they are defined."""
    lines = [found.line for found in imports_of(module) if found.target == "logbatch"]

    assert [] == lines


def test_the_root_loads_nothing_heavy() -> None:
    """`import logbatch` loads none of the libraries that take long to load."""
    child = subprocess.run(
        [sys.executable, "-c", "import sys, logbatch; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert set() == HEAVY.intersection(child.stdout.split())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import logbatch", [("logbatch", False)]),
        ("from logbatch import BatchHandler", [("logbatch", False)]),
        ("from logbatch import errors", [("logbatch.errors", False)]),
        ("from logbatch.errors import FilterError", [("logbatch.errors", False)]),
        ("from .. import errors", [("logbatch.errors", False)]),
        ("from .base import Batch", [("logbatch.transports.base", False)]),
        ("def f():\n    import logbatch.errors", [("logbatch.errors", True)]),
        ("try:\n    import logbatch.errors\nfinally: pass", [("logbatch.errors", False)]),
        ("if TYPE_CHECKING:\n    import logbatch.errors", []),
        ("if typing.TYPE_CHECKING: pass\nelse:\n    import logbatch", [("logbatch", False)]),
        ("import logbatchful, pyarrow", []),
    ],
)
def test_imports_are_understood(source: str, expected: list[tuple[str, bool]]) -> None:
    """Each way of writing an import is resolved to the module that it loads."""
    modules = dict.fromkeys(("logbatch", "logbatch.errors", "logbatch.transports.base"), Path())
    found = find_imports(ast.parse(source), "logbatch.transports", modules)

    assert expected == [(item.target, item.late) for item in found]
