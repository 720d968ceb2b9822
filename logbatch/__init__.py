"""Batched, queryable, crash-proof logs for applications that use `logging` or structlog.

The public names, and nothing else.  What needs pyarrow is imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from logbatch.attach import attach
from logbatch.errors import (
    BatchUnsupportedError,
    DatasetError,
    FilterError,
    LogbatchError,
    QueryError,
    RejectedError,
    TemporaryError,
    TransportError,
)
from logbatch.handler import BatchHandler
from logbatch.options import BatchOptions
from logbatch.processor import BatchProcessor
from logbatch.stats import Stats
from logbatch.transports.base import Batch, Transport

if TYPE_CHECKING:
    from logbatch.dataset.reader import Dataset

__all__ = [
    "Batch",
    "BatchHandler",
    "BatchOptions",
    "BatchProcessor",
    "BatchUnsupportedError",
    "Dataset",
    "DatasetError",
    "FilterError",
    "LogbatchError",
    "QueryError",
    "RejectedError",
    "Stats",
    "TemporaryError",
    "Transport",
    "TransportError",
    "attach",
]


def __getattr__(name: str) -> Any:
    if name == "Dataset":
        from logbatch.dataset.reader import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
