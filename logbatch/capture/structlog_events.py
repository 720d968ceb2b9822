"""Take the events of structlog where it prints or writes by itself, without `logging`.

What structlog gives to a logger of `logging` arrives as a record.  Where its chain ends in a logger
of its own, the event is taken before the last processor, which renders it: what the others have
added is there, and what they have taken out is not.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType, ModuleType
from typing import Any

from logbatch.processor import keep_names

_MODULE = "structlog"
_OWN_LOGGERS = frozenset(("PrintLogger", "WriteLogger", "BytesLogger"))

Take = Callable[[Any, str, dict[str, Any]], object]


class Events:
    """Takes them, as soon as the program imports structlog.

    Args:
        take: Called with logger, method and event, as a processor is.
        way: What tells our destination from others; a processor with the same one stores the event.
    """

    def __init__(self, take: Take, way: object) -> None:
        self._take = take
        self._way = way

    def install(self) -> None:
        """Have structlog changed now, or when it is imported."""
        if (module := sys.modules.get(_MODULE)) is not None:
            self._change(module)
        else:
            sys.meta_path.insert(0, _Awaiting(self._change))

    def _change(self, module: ModuleType) -> None:
        base: Any = getattr(getattr(module, "_base", None), "BoundLoggerBase", None)
        original = getattr(base, "_process_event", None)
        if original is None:
            return  # a version that we do not know
        keep_names(module.PrintLoggerFactory, module.WriteLoggerFactory)
        chain, own = self._chain, _OWN_LOGGERS

        def _process_event(self: Any, method_name: str, event: Any, event_kw: Any) -> Any:
            if type(self._logger).__name__ in own:
                twin = object.__new__(type(self))  # others may use this one at the same moment
                vars(twin).update(vars(self), _processors=chain(self._processors))
                self = twin
            return original(self, method_name, event, event_kw)

        # As a part of that module: who called structlog is found by the modules of the frames.
        code, closure = _process_event.__code__, _process_event.__closure__
        base._process_event = FunctionType(
            code, vars(sys.modules[base.__module__]), code.co_name, None, closure
        )

    def _chain(self, processors: Iterable[Any]) -> list[Any]:
        """Return a chain with ours before its last step, unless one stores in the same place."""
        steps = list(processors)
        if any(getattr(step, "way", None) == self._way for step in steps):
            return steps
        return [*steps[:-1], self._step, *steps[-1:]]

    def _step(self, logger: Any, method_name: str, event_dict: Any) -> Any:
        if isinstance(event_dict, dict):
            self._take(logger, method_name, event_dict)
        return event_dict


class _Awaiting(importlib.abc.MetaPathFinder):
    """Waits for one module to be imported, and goes away."""

    def __init__(self, change: Callable[[ModuleType], object]) -> None:
        self._change = change

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        load, change = spec.loader.exec_module, self._change

        def exec_module(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
