"""A program that logs when it is told to, and sets its clock in between where that is a fake one.

Usage: told.py URL; on its input `log FIRST LAST`, `flush` and `clock DAYS`, which it answers.
"""

import logging
import os
import sys

from logbatch import BatchHandler

log = logging.getLogger("told")
handler = BatchHandler(sys.argv[1])
log.addHandler(handler)
log.setLevel(logging.INFO)
for command in sys.stdin:
    what, *numbers = command.split()
    if what == "log":
        for n in range(int(numbers[0]), int(numbers[1]) + 1):
            log.info("record %d", n, extra={"n": n})
    elif what == "clock":
        os.environ["FAKETIME"] = f"{int(numbers[0]) * 86_400:+}"
    else:
        assert handler.flush(30)
    print("done", flush=True)
