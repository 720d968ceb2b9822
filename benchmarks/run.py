"""What `logbatch run` costs a child that prints as fast as it can, beside a pipe, tee and script.

    python benchmarks/run.py [--rounds 5] [--megabytes 200]

All contenders run in turn, round after round; figures are medians.  `child` is how many bytes a
second the child gets rid of, which is what it feels; `all` counts until everything is stored.  CPU
and memory are those of the process that takes the output, without the child.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

LINE = "a line of about sixty bytes, as many a program prints them"
CHILDREN = {
    "yes (C, 59 bytes a line)": f"yes {LINE!r} | head -c {{bytes}}",
    "python (print in a loop)": (
        f"{sys.executable} -c 'for n in range({{bytes}} // 600): print(\"{LINE}\")'"
    ),
}


class Figures(NamedTuple):
    """What one run took."""

    child: float  # seconds
    whole: float
    cpu: float
    megabytes: float  # of memory, at the most


def run(contender: str, child: str, folder: pathlib.Path) -> Figures:
    """Run a child with its output going somewhere."""
    timed = folder / "seconds"
    shell = f"TIMEFORMAT=%R; {{ time {{ {child} ; }} 2>&3 ; }} 3>&2 2>{shlex.quote(str(timed))}"
    bash = ["bash", "-c", shell]
    commands = {
        "pipe": ["bash", "-c", f"{shlex.join(bash)} | cat"],
        "tee": ["bash", "-c", f"{shlex.join(bash)} | tee {folder / 'out'}"],
        "script": ["script", "-qec", shlex.join(bash), str(folder / "out")],
        "logbatch": [
            *(sys.executable, "-m", "logbatch", "run", "--to", f"parquet:{folder / 'logs'}"),
            *("--", *bash),
        ],
    }
    started = time.monotonic()
    process = subprocess.Popen(commands[contender], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    whole = time.monotonic() - started
    return Figures(
        float(timed.read_text()), whole, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    given = parser.parse_args()
    size = given.megabytes * 1_000_000
    for name, command in CHILDREN.items():
        child = command.format(bytes=size)
        found: dict[str, list[Figures]] = {}
        for _ in range(given.rounds):
            for contender in ("pipe", "tee", "script", "logbatch"):
                with tempfile.TemporaryDirectory() as folder:
                    found.setdefault(contender, []).append(
                        run(contender, child, pathlib.Path(folder))
                    )
        printed = int(
            subprocess.run(
                f"{child} | wc -lc", shell=True, capture_output=True, check=True
            ).stdout.split()[1]
        )
        lines = printed / (len(LINE) + 1)
        print(name)
        for contender, all_figures in found.items():
            child_s, whole, cpu, memory = (
                statistics.median(column) for column in zip(*all_figures, strict=True)
            )
            print(
                f"  {contender:<9} child {printed / child_s / 1e6:7.0f} MB/s"
                f"   all {printed / whole / 1e6:6.0f} MB/s"
                f"   CPU {cpu / lines * 1e6:6.2f} us a line   memory {memory:5.0f} MB"
            )


if __name__ == "__main__":
    main()
