"""Have memory that is freed go back to the system, as far as the C library can be told so.

By default it keeps up to 64 MiB of it for each thread, and takes blocks of up to 32 MiB from there;
Arrow's own allocator keeps some as well; and between what is in use much may stay that is not.
What the receiver holds then is much more than what it uses.

Source: https://man7.org/linux/man-pages/man3/mallopt.3.html and malloc_trim.3.html
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of `mallopt`
_SETTINGS = {_MMAP_THRESHOLD: 1 << 20, _TRIM_THRESHOLD: 4 << 20, _ARENA_MAX: 2}


def return_what_is_freed() -> None:
    """Set the allocators of this process so, for what they can do by themselves."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(AttributeError):
        for name, value in _SETTINGS.items():
            _library().mallopt(name, value)


def trim() -> None:
    """Return what is free between what is in use; this takes some milliseconds."""
    with contextlib.suppress(AttributeError):  # it is another library
        _library().malloc_trim(0)


@functools.cache
def _library() -> Any:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
