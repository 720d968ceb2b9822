"""A crash in C is an event afterwards, once; nothing of it is on the terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import Child
from waiting import PATIENCE, wait_until

import logbatch
from logbatch.dataset.reader import Dataset
from logbatch.journal.crashes import CrashFile, collect_crashes, find_crashes
from logbatch.journal.names import find_journals

pytestmark = pytest.mark.usefixtures("home", "tmp_path")

RUN = (sys.executable, "-m", "logbatch", "run", "--to", "jsonl:logs", "-c")
JOURNAL = Path("logs/.journal")
CRASH = "import ctypes, sys\ndef inner(): ctypes.string_at(0)\ninner()"
DUMP = b"Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n  File x\n"


def run(code: str) -> subprocess.CompletedProcess[bytes]:
    """Run code to its end."""
    return subprocess.run([*RUN, code], capture_output=True, timeout=PATIENCE, check=False)


def messages() -> list[str]:
    """Return the messages that are stored."""
    return [row["message"] for row in Dataset("logs").rows()]


def crash_alone(directory: Path, dump: bytes) -> None:
    """Have a process die that has told of a crash in its file."""

    def tell() -> None:
        file = CrashFile(directory, {"service": "shop", "host": "h", "run_id": "r1"})
        os.write(file.number, dump)

    Child(tell).wait()  # it ends without any cleaning up


def test_a_crash_is_an_event_at_the_next_start() -> None:
    """It tells where the program was, who it was, and is there once, without frames of ours."""
    crashed = run(CRASH)
    assert (-signal.SIGSEGV, b"", b"") == (crashed.returncode, crashed.stdout, crashed.stderr)
    (left,) = find_crashes(JOURNAL)

    for _ in range(2):
        assert 0 == run("pass").returncode

    (row,) = Dataset("logs").rows()
    assert ("CRITICAL", "run", "Fatal Python error: Segmentation fault") == (
        row["level"],
        row["logger"],
        row["message"],
    )
    assert "in inner" in row["stacktrace"]
    assert "capture" not in row["stacktrace"]
    assert ("python", left.stem) == (row["service"], row["producer"])
    assert {"run_id"} == row["attributes"].keys()
    assert {"reports"} >= set(os.listdir(JOURNAL))


def test_any_process_that_logs_there_finds_it() -> None:
    """So does a handler in an application that knows nothing of `logbatch run`."""
    JOURNAL.mkdir(parents=True)
    crash_alone(JOURNAL, DUMP + DUMP)

    with logbatch.BatchHandler("jsonl:logs"):
        pass

    assert 2 * ["Fatal Python error: Aborted"] == messages()
    (first, _) = Dataset("logs").rows()
    assert ("shop", "h", {"run_id": "r1"}) == (
        first["service"],
        first["host"],
        first["attributes"],
    )


def test_recover_finds_it() -> None:
    """So does `logbatch recover`."""
    JOURNAL.mkdir(parents=True)
    crash_alone(JOURNAL, DUMP)

    done = subprocess.run(
        [sys.executable, "-m", "logbatch", "recover", "jsonl:logs"],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )

    assert b"published 1 record from 1 journal" in done.stdout
    assert ["Fatal Python error: Aborted"] == messages()


def test_two_that_start_at_once() -> None:
    """Of several that look at the same time, one makes the event."""
    JOURNAL.mkdir(parents=True)
    for _ in range(10):
        crash_alone(JOURNAL, DUMP)

    def look() -> None:
        for _ in range(3):
            collect_crashes(JOURNAL)

    for child in [Child(look) for _ in range(4)]:
        child.wait()

    assert 10 == len(find_journals(JOURNAL))
    with logbatch.BatchHandler("jsonl:logs"):
        pass
    assert 10 == len(messages())


def test_one_that_was_killed_while_it_looked() -> None:
    """If the event is there and the file as well, it is not stored again."""
    JOURNAL.mkdir(parents=True)
    crash_alone(JOURNAL, DUMP)
    (left,) = find_crashes(JOURNAL)
    text = left.read_bytes()
    for _ in range(3):
        left.write_bytes(text)
        with logbatch.BatchHandler("jsonl:logs"):
            pass

    assert ["Fatal Python error: Aborted"] == messages()
    assert [] == find_crashes(JOURNAL)


def test_the_file_of_a_living_process_is_left_alone() -> None:
    """It is removed when the process ends, and one of a process that was killed by the next."""
    code = "import sys, time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen([*RUN, code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    before = find_crashes(JOURNAL)
    assert 0 == run("pass").returncode
    collect_crashes(JOURNAL)
    assert before == find_crashes(JOURNAL) != []

    process.kill()
    process.wait(PATIENCE)
    process.stdout.close()
    collect_crashes(JOURNAL)

    assert {"reports"} >= set(os.listdir(JOURNAL))


def test_a_forked_child_that_crashes() -> None:
    """Its crash is told by itself, and found while its parent lives on."""
    code = (
        "import ctypes, logging, os, sys, time\n"
        "logging.error('parent'); pid = os.fork()\n"
        "if not pid: ctypes.string_at(0)\n"
        "os.waitpid(pid, 0); print(pid, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen([*RUN, code], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    collect_crashes(JOURNAL)
    assert 0 == run("import logging; logging.error('other')").returncode
    wait_until(lambda: 3 == len(messages()), "the crash", every=0.05)
    process.communicate(timeout=PATIENCE)

    assert {"parent", "other", "Fatal Python error: Segmentation fault"} == set(messages())
    (row,) = Dataset("logs").rows("Segmentation")
    assert pid == row["process"]
    assert {"reports"} >= set(os.listdir(JOURNAL))


def test_where_faulthandler_is_wanted_on_the_terminal() -> None:
    """Then it writes there, as ever."""
    command = [sys.executable, "-X", "faulthandler", *RUN[1:], CRASH]

    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)

    assert b"Fatal Python error: Segmentation fault" in done.stderr
    assert [] == find_crashes(JOURNAL)


def test_a_program_that_switches_faulthandler_on() -> None:
    """It writes to where the program wants it, in forked children too."""
    code = f"import faulthandler, os; faulthandler.enable()\nif os.fork(): os.wait()\n{CRASH}"

    done = run(code)

    assert 2 == done.stderr.count(b"Fatal Python error: Segmentation fault")
    assert [] == find_crashes(JOURNAL)


def test_a_program_that_closes_all_descriptors() -> None:
    """A crash is not told in a file that the program has opened since."""
    code = (
        "import ctypes, os\nos.closerange(3, 4096)\n"
        "files = [os.open(f'file{n}', os.O_RDWR | os.O_CREAT) for n in range(20)]\n"
        "ctypes.string_at(0)"
    )

    assert -signal.SIGSEGV == run(code).returncode

    assert {b""} == {Path(f"file{number}").read_bytes() for number in range(20)}
