"""The context of a logging call: bound values, task, trace, caller, and the program's names.

Nothing is imported for this: structlog, asyncio and OpenTelemetry are asked only if the application
has imported them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextvars import Context, copy_context
from functools import cache
from pathlib import PurePath
from types import FrameType
from typing import Any

_NOT_SET = ...  # what structlog.contextvars stores for a value that was unbound


def bound_values(context: Context) -> dict[str, Any]:
    """Return what `structlog.contextvars` has bound, in the order of binding."""
    module = sys.modules.get("structlog.contextvars")
    prefix = getattr(module, "STRUCTLOG_KEY_PREFIX", None)
    if prefix is None:
        return {}
    start = len(prefix)
    return {
        variable.name[start:]: value
        for variable, value in context.items()
        if value is not _NOT_SET and variable.name.startswith(prefix)
    }


def unmerged_values() -> dict[str, Any]:
    """Return the bound values that structlog's chain does not merge into its events.

    If `merge_contextvars` is configured, the result of the chain is final: a processor may have
    removed a secret.
    """
    context = copy_context()
    values = bound_values(context) if context else {}
    if values:
        structlog = sys.modules["structlog"]
        merge = sys.modules["structlog.contextvars"].merge_contextvars
        if any(processor is merge for processor in structlog.get_config()["processors"]):
            return {}
    return values


def task_name() -> str | None:
    """Return the name of the asyncio task that runs this call."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return None
    task = asyncio.current_task()
    return None if task is None else task.get_name()


def trace_ids() -> tuple[str | None, str | None]:
    """Return the ids of the active OpenTelemetry trace and span, as W3C Trace Context writes them.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header-field-values
    """
    module = sys.modules.get("opentelemetry.trace")
    if module is None:
        return None, None
    try:
        span = module.get_current_span().get_span_context()
        if span.is_valid:
            return f"{span.trace_id:032x}", f"{span.span_id:016x}"
        return None, None
    except Exception:  # it is still being imported, or is another package
        return None, None


# ------------------------------------------------------------------ who called structlog

_OURS = __name__.partition(".")[0]  # the package of all our frames


def came_through_structlog() -> bool:
    """Return whether structlog called the standard library's logger."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package_of(frame) != "logging":  # our handler, or a subclass of it
        frame = frame.f_back
    while frame is not None and _package_of(frame) == "logging":
        frame = frame.f_back
    return frame is not None and _package_of(frame) == "structlog"


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__") or ""
    return name.partition(".")[0]


def find_caller(
    callsite: Mapping[str, object], skip: int = 0, start: FrameType | None = None
) -> tuple[FrameType | None, bool]:
    """Find the frame that called structlog.

    Args:
        callsite: `pathname`, `lineno` and `func_name` in the event.  They may be from
            `CallsiteParameterAdder`, which can be configured to skip frames; or from the
            application, with another meaning.
        skip: Number of further frames to skip (`stacklevel`).
        start: The frame, if it is known.

    Returns:
        The frame, and whether `callsite` describes it.
    """
    frame = start or _calling_frame()
    while frame is not None and frame.f_back is not None and skip > 0:
        frame, skip = frame.f_back, skip - 1
    first = frame
    while callsite and frame is not None:
        if callsite.items() <= _callsite_of(frame).items():
            return frame, True
        frame = frame.f_back
    return first, False


def _callsite_of(frame: FrameType) -> dict[str, object]:
    code = frame.f_code
    return {"pathname": code.co_filename, "lineno": frame.f_lineno, "func_name": code.co_name}


def _calling_frame() -> FrameType | None:
    """Return the frame that called structlog, or that called us if structlog did not."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package_of(frame) == _OURS:
        frame = frame.f_back
    outside = frame
    while frame is not None and _package_of(frame) != "structlog":  # processors of the application
        frame = frame.f_back
    if frame is None:
        return outside
    while frame is not None and _package_of(frame) in ("structlog", "logging"):
        frame = frame.f_back
    return frame


def awaiting_caller() -> tuple[FrameType | None, tuple[int, str] | None]:
    """Return the frame that awaits `ainfo()` and the like, which log in another thread.

    Returns:
        The frame, and id and name of its thread.
    """
    # By name: they are private to structlog.  Without them the row only holds less.
    found = {variable.name: value for variable, value in copy_context().items()}
    frame, thread = found.get("_ASYNC_CALLING_STACK"), found.get("_ASYNC_CALLING_THREAD")
    if not isinstance(frame, FrameType):
        return None, None
    return frame, thread if isinstance(thread, tuple) and len(thread) == 2 else None


# ------------------------------------------------------------------ the program


@cache
def host_name() -> str:
    """Return the name of this machine."""
    if hasattr(os, "uname"):  # the same, and `socket` takes long to import
        return os.uname().nodename
    import socket

    try:
        return socket.gethostname()
    except OSError:
        return ""


def service_is_named() -> bool:
    """Return whether the environment says what the program is called."""
    return bool(os.environ.get("LOGBATCH_SERVICE") or os.environ.get("OTEL_SERVICE_NAME"))


def service_name() -> str:
    """Return the name of this program: `OTEL_SERVICE_NAME`, else that of its script or module."""
    if name := os.environ.get("OTEL_SERVICE_NAME"):
        return name
    script = PurePath(sys.argv[0] if getattr(sys, "argv", None) else "")
    name = script.parent.name if script.name == "__main__.py" else script.stem
    return name if name and not name.startswith("-") else "python"


def service_version() -> str | None:
    """Return the version of this program, where `OTEL_RESOURCE_ATTRIBUTES` says it.

    Source: https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
    """
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, _, value = pair.partition("=")
        if name.strip() == "service.version" and value.strip():
            from urllib.parse import unquote  # only who says it needs that

            return unquote(value.strip())
    return None
