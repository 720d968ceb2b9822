"""`python -m logbatch` is the command `logbatch`."""

from __future__ import annotations

import sys

from logbatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
