"""Batched, queryable, crash-proof logs for applications that use `logging` or structlog.

The public names, and nothing else.  Those that read a log are imported when they are asked for.
"""

from typing import TYPE_CHECKING, Any

from logbatch.attach import attach
from logbatch.errors import (
    BatchUnsupportedError,
    DatasetError,
    DatasetWarning,
    DeniedError,
    FilterError,
    LogbatchError,
    QueryError,
    RejectedError,
    TemporaryError,
    TransportError,
)
from logbatch.handler import BatchHandler
from logbatch.identity import Ranges
from logbatch.keywords import Options
from logbatch.processor import BatchProcessor
from logbatch.stats import Stats
from logbatch.transports.base import Batch, Receipt, Transport
from logbatch.version import VERSION as __version__

if TYPE_CHECKING:
    from logbatch.dataset.analysis.errors import ErrorGroup, ErrorGroups
    from logbatch.dataset.analysis.facets import Facet
    from logbatch.dataset.analysis.histogram import Histogram
    from logbatch.dataset.analysis.patterns import Pattern, Patterns
    from logbatch.dataset.filter.language import Filter
    from logbatch.dataset.marks import Mark
    from logbatch.dataset.reader import Dataset
    from logbatch.dataset.reports import ProcessReport, ReportInterval

__all__ = [
    "Batch",
    "BatchHandler",
    "BatchProcessor",
    "BatchUnsupportedError",
    "Dataset",
    "DatasetError",
    "DatasetWarning",
    "DeniedError",
    "ErrorGroup",
    "ErrorGroups",
    "Facet",
    "Filter",
    "FilterError",
    "Histogram",
    "LogbatchError",
    "Mark",
    "Options",
    "Pattern",
    "Patterns",
    "ProcessReport",
    "QueryError",
    "Ranges",
    "Receipt",
    "RejectedError",
    "ReportInterval",
    "Stats",
    "TemporaryError",
    "Transport",
    "TransportError",
    "__version__",
    "attach",
]


def __getattr__(name: str) -> Any:
    if name == "Dataset":
        from logbatch.dataset.reader import Dataset

        return Dataset
    if name == "Facet":
        from logbatch.dataset.analysis.facets import Facet

        return Facet
    if name == "Histogram":
        from logbatch.dataset.analysis.histogram import Histogram

        return Histogram
    if name == "Filter":
        from logbatch.dataset.filter.language import Filter

        return Filter
    if name in ("ErrorGroup", "ErrorGroups"):
        from logbatch.dataset.analysis import errors

        return getattr(errors, name)
    if name in ("Pattern", "Patterns"):
        from logbatch.dataset.analysis import patterns

        return getattr(patterns, name)
    if name == "Mark":
        from logbatch.dataset.marks import Mark

        return Mark
    if name in ("ProcessReport", "ReportInterval"):
        from logbatch.dataset import reports

        return getattr(reports, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
