"""Run a program with a clock that is set ahead or back: `python tests/faketime +1y pytest -q`.

Only the time of day is another one, for the program and all that it starts.  Where libfaketime is
not installed, nothing is run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).parent
_PATTERNS = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib/faketime/libfaketimeMT.so.1")


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which libfaketime is loaded; the time is still to be said.

    Raises:
        FileNotFoundError: It is not installed.
    """
    found = [str(path) for pattern in _PATTERNS for path in Path("/").glob(pattern)]
    if not found:
        raise FileNotFoundError("libfaketime is not installed: on Debian, apt-get install faketime")
    rest = {name: text for name, text in given.items() if not name.startswith("FAKETIME")}
    path = [str(_HERE), *filter(None, [given.get("PYTHONPATH")])]
    return {
        **rest,
        "LD_PRELOAD": found[0],
        "DONT_FAKE_MONOTONIC": "1",  # of libfaketime up to 0.9.9
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Else who waits for the interpreter lock waits busily, and takes half of the processor.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "PYTHONPATH": os.pathsep.join(path),
    }


def main() -> None:
    """Become the program."""
    offset, *command = sys.argv[1:]
    try:
        settings = environment(os.environ)
    except FileNotFoundError as error:
        sys.exit(str(error))
    os.execvpe(command[0], command, {**settings, "FAKETIME": offset})


if __name__ == "__main__":
    main()
