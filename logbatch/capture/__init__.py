"""Run programs: what they log and what they print becomes events.

`run` is `subprocess.run` for a command whose output is to be kept; `run_async` is its asyncio form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logbatch.capture.running import CompletedRun, RunOptions, run, run_async

__all__ = ["CompletedRun", "RunOptions", "run", "run_async"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # late: a Python program that is run needs none of it
        from logbatch.capture import running

        return getattr(running, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
