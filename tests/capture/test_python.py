"""A Python program under `logbatch run` prints the same, byte for byte, and ends the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("home")

RUN = ("-m", "logbatch", "run", "--to", "jsonl:logs")


class Ended(NamedTuple):
    """How a program ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


def run(words: Sequence[str], stdin: str = "", **variables: str) -> Ended:
    """Run Python to its end."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(
        [sys.executable, *words],
        input=stdin.encode(),
        capture_output=True,
        env=env,
        timeout=PATIENCE,
        check=False,
    )
    return Ended(done.returncode, _without_ids(done.stdout), _without_ids(done.stderr))


def _without_ids(text: bytes) -> str:
    """Replace what differs from process to process."""
    return re.sub(r"(0x|started |pid=)[0-9a-f]+", r"\1…", text.decode())


def assert_same(words: Sequence[str], *flags: str, stdin: str = "") -> Ended:
    """Run a program alone and by us, and return how it ended: the same way."""
    alone = run([*flags, *words], stdin)
    ours = run([*flags, *RUN, *words], stdin)
    assert alone.stderr.splitlines() == ours.stderr.splitlines()
    assert alone.stdout.splitlines() == ours.stdout.splitlines()
    assert alone == ours
    return alone


def write(name: str, text: str) -> str:
    """Write a program into the current directory."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


LOOK = """
'''What is known to a program.'''
import dataclasses, doctest, inspect, os, pickle, sys, threading, traceback, warnings

@dataclasses.dataclass
class Point:
    '''
    >>> Point(1, 2).x
    1
    >>> Point(1, 2).y
    3
    '''
    x: int
    y: "int"

def here():
    traceback.print_stack()
    return inspect.getsource(here)

main = sys.modules["__main__"]
print(sys.argv, sys.orig_argv, sys.path[0], sys.flags, sys.warnoptions, os.getcwd())
print(list(globals()), main.__dict__ is globals())
print(__name__, __doc__, __file__, __package__, type(__loader__), repr(__spec__)[:30], __builtins__)
print(sys.stdin.read(), sys.stdin.encoding, sys.stdout.encoding)
print(pickle.loads(pickle.dumps(Point(1, 2))), pickle.dumps(Point), Point, here())
print(doctest.testmod(), threading.enumerate(), threading.excepthook is threading.__excepthook__)
print(sys.excepthook is sys.__excepthook__, warnings.filters)
assert __debug__, "asserts are on"
warnings.warn("old", DeprecationWarning)
"""


@pytest.mark.parametrize(
    "flags", [(), ("-O",), ("-X", "dev"), ("-W", "ignore"), ("-P",), ("-uB",)], ids=str
)
def test_what_a_script_sees(flags: Sequence[str], tmp_path: Path) -> None:
    """Everything that tells a program where and what it is, is as if it were started alone."""
    write("app.py", LOOK)

    ended = assert_same(["app.py", "a", "--to", "b", "--"], *flags, stdin="typed")

    assert (0, "") == (ended.status, ended.stderr[:0])
    assert "typed" in ended.stdout


@pytest.mark.parametrize("path", ["./app.py", "sub/../app.py", "linked", "sub/two.py", "noext"])
def test_where_a_script_is(path: str, tmp_path: Path) -> None:
    """A script is found by its path, and imports from its own folder, also by a link to it."""
    code = "import sys, beside\nprint(__file__, sys.argv, sys.path[0], beside.__file__)\n1 / 0\n"
    for folder in (".", "sub"):
        write(f"{folder}/beside.py", "")
    write("app.py", code)
    write("sub/two.py", code)
    write("noext", code)
    Path("linked").symlink_to("sub/two.py")

    assert 1 == assert_same([path]).status


def test_an_absolute_path(tmp_path: Path) -> None:
    """So it is with an absolute path, and for a compiled program."""
    import py_compile

    write("app.py", "import sys\nprint(__file__, sys.path[0], type(__loader__))\n1 / 0\n")
    py_compile.compile("app.py", "app.pyc")

    assert_same([str(tmp_path / "app.py")])
    assert_same(["app.pyc"])


MODULES = {
    "pkg/__init__.py": "import sys\nprint('package', sys.argv)",
    "pkg/__main__.py": "from . import other\nimport sys\nprint(sys.argv, sys.path[0])\n" + LOOK,
    "pkg/other.py": "from .__init__ import sys\nprint(__name__, __package__)\n"
    "if __name__ == '__main__': print(sys.argv, __spec__.name); raise ValueError('no')",
    "broken.py": "import nowhere",
    "wrong.py": "def f(:\n  pass",
    "space/one.py": "print(1)",
}


@pytest.mark.parametrize(
    "module",
    ["pkg", "pkg.other", "missing", "pkg.missing", "pkg.py", "broken", "wrong", "space"],
)
def test_modules(module: str, tmp_path: Path) -> None:
    """A module runs as by `python -m`: packages, relative imports, and those that are not there."""
    for name, text in MODULES.items():
        write(name, text)

    assert_same(["-m", module, "-m", "x"])


def test_directories_and_zip_files(tmp_path: Path) -> None:
    """A directory and a zip file with a `__main__.py` run, and one without it does not."""
    main = "import sys, beside\nprint(sys.argv, sys.path[0], __file__, __package__)\nbeside.f()\n"
    write("folder/__main__.py", main)
    write("folder/beside.py", "def f(): raise KeyError('x')\n")
    with zipfile.ZipFile("app.zip", "w") as file:
        for name in ("__main__.py", "beside.py"):
            file.write(f"folder/{name}", name)
    Path("empty").mkdir()

    for path, status in (("folder", 1), ("app.zip", 1), ("empty", 1)):
        assert status == assert_same([path, "x"]).status
    assert_same(["folder"], "-P")


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nprint(sys.argv, sys.orig_argv, sys.path[0], list(globals()), __loader__)",
        "def f():\n    return 1 / 0\nprint(1)\nf()",
        "def f(:",
    ],
)
def test_code(code: str, tmp_path: Path) -> None:
    """Code runs as by `python -c`."""
    assert_same(["-c", code, "-c", "x"])


ENDS = {
    "0": "import sys; sys.exit()",
    "3": "import sys; sys.exit(3)",
    "a text": "import sys; sys.exit('a text é')",
    "true": "raise SystemExit(True)",
    "an object": "raise SystemExit(['x'])",
    "quit": "quit(7)",
    "at once": "import os; os._exit(4)",
    "from a chain": "import sys\ntry: 1 / 0\nfinally: sys.exit(5)",
    "terminated": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "import os, signal\ndef f(): signal.raise_signal(signal.SIGINT)\nf()",
    "Ctrl-C raised": "raise KeyboardInterrupt",
    "abort": "import os; os.abort()",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "pipe": "import os, sys\nos.close(1)\nprint('x')",
}


@pytest.mark.parametrize("name", ENDS)
def test_how_it_ends(name: str, tmp_path: Path) -> None:
    """The exit status, or the signal, is that of the program."""
    code = f"import atexit\natexit.register(print, 'at exit', flush=True)\n{ENDS[name]}\n"
    write("app.py", code)

    assert_same(["app.py"])


FAILURES = {
    "chain": """
def f(): raise ValueError("one")
try: f()
except ValueError as error: raise TypeError("two") from error
""",
    "group": "raise ExceptionGroup('all', [ValueError(1), TypeError(2)])",
    "syntax": "x = = 1",
    "of a module": "import json.nowhere",
    "hook": """
import sys, traceback
def hook(kind, error, trace):
    print("hook", kind, error, error.__traceback__ is trace)
    traceback.print_tb(trace)
sys.excepthook = hook
1 / 0
""",
    "broken hook": "import sys\ndef hook(*x): return x.y\nsys.excepthook = hook\n1 / 0",
    "ending hook": "import sys\nsys.excepthook = lambda *x: sys.exit(9)\n1 / 0",
    "no hook": "import sys\ndel sys.excepthook\n1 / 0",
    "at exit": """
import atexit, sys
def f(): print(sys.last_value, sys.last_traceback.tb_lineno, sys.last_traceback.tb_next); 1 / 0
atexit.register(f)
raise ValueError("x")
""",
    "threads": """
import threading
def f(): raise ValueError("in a thread")
def late(): threading.main_thread().join(); print("late"); f()
threading.Thread(target=late).start()
thread = threading.Thread(target=f); thread.start(); thread.join()
def own(args): print("own hook", args.exc_type, args.thread.name)
thread = threading.Thread(target=f); thread.start(); thread.join()
threading.excepthook = own
thread = threading.Thread(target=f); thread.start(); thread.join()
thread = threading.Thread(target=lambda: __import__("sys").exit()); thread.start(); thread.join()
print("main is done")
""",
    "unraisable": """
class A:
    def __del__(self): raise ValueError("deleted")
a = A()
del a
b = A()
""",
    "warnings": """
import warnings
def f(): open("app.py")
f()
warnings.warn("one"); warnings.warn("one", RuntimeWarning, 5)
with warnings.catch_warnings(record=True) as found:
    warnings.warn("two")
print(len(found))
def show(*all): print("shown", all[:2])
warnings.showwarning = show
warnings.warn("three")
""",
    "asyncio": """
import asyncio
async def f(): raise ValueError("nobody waits")
async def main():
    task = asyncio.create_task(f(), name="f"); await asyncio.sleep(0); await asyncio.sleep(0)
    del task
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
    await f()
asyncio.run(main())
""",
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_printed_of_failures(name: str, tmp_path: Path) -> None:
    """Of what is not caught the same is printed, without a frame of ours."""
    write("app.py", FAILURES[name])
    flags = ["-X", "dev"] if name == "warnings" else []

    ended = assert_same(["app.py"], *flags)

    assert "logbatch" not in ended.stderr


LOGGING = {
    "fork": """
import logging, os, threading
logging.error("before")
for number in range(2):
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    threading.Thread(target=threading.main_thread().join).start()  # Python may warn from here on
""",
    "nothing is configured": """
import logging
log = logging.getLogger("a.b")
log.warning("warned"); log.info("not shown"); logging.info("configures"); log.error("and now?")
print(logging.getLogger().handlers, logging.getLogger("a").hasHandlers())
""",
    "configured": """
import logging, logging.config
logging.basicConfig(level=10); logging.info("one")
logging.basicConfig(level=10, force=True, format="%(message)s"); logging.info("two")
logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "handlers": {
    "h": {"class": "logging.StreamHandler"}}, "loggers": {"x": {"handlers": ["h"],
    "propagate": False, "level": "INFO"}, "x.y": {"handlers": ["h"]}}})
logging.getLogger("x.y").info("twice"); logging.warning("root")
""",
    "wrong": """
import logging
logging.basicConfig()
def f(): logging.warning("%d", "x")
f()
class Failing(logging.Handler):
    def emit(self, record): raise OSError("full")
logging.getLogger("own").addHandler(Failing())
try: logging.getLogger("own").error("x")
except OSError as error: print(error)
""",
    "stack": """
import logging, traceback
def f(): logging.warning("here", stack_info=True); traceback.print_stack(); raise ValueError
try: f()
except ValueError: logging.exception("failed")
print(traceback.format_stack())
""",
    "records": """
import logging
class Formatter(logging.Formatter):
    def format(self, record):
        record.levelname = f"<{record.levelname}>"; record.msg = record.msg.upper()
        return f"{super().format(record)} {sorted(vars(record))}"
handler = logging.StreamHandler(); handler.setFormatter(Formatter())
logging.getLogger().addHandler(handler)
logging.warning("one %s", "arg", extra={"own": 1})
""",
}


@pytest.mark.parametrize("name", LOGGING)
def test_what_is_printed_of_logging(name: str, tmp_path: Path) -> None:
    """Handlers, `basicConfig` and `lastResort` do what they do without us."""
    write("app.py", LOGGING[name])

    assert_same(["app.py"])


def test_modules_of_its_own(tmp_path: Path) -> None:
    """A program finds its own modules, though we have imported others of these names."""
    write("msgspec.py", "NAME = 'own'")
    write("queue.py", "NAME = 'own'")
    write("uuid/__init__.py", "from . import part")
    write("uuid/part.py", "NAME = 'own'")
    write("os.py", "NAME = 'own'")
    Path("logging").mkdir()  # no package
    code = (
        "import msgspec, queue, uuid, os, logging\nprint(msgspec.NAME, queue.NAME, uuid.part.NAME)"
    )
    write("app.py", f"{code}\nprint(os.__name__, hasattr(os, 'NAME'), logging.__name__)\n")
    # As pip makes it: where it stands there are no modules.
    write("bin/logbatch", "import sys\nfrom logbatch.cli import main\nsys.exit(main())\n")

    alone = run(["app.py"])

    assert 0 == alone.status, alone.stderr
    assert alone == run(["bin/logbatch", *RUN[2:], "app.py"])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A script that is not there, or cannot be read, is told of as Python does."""
    assert 2 == assert_same(["missing.py"]).status
    assert 2 == assert_same(["../missing.py"]).status


PROCESSES = """
import multiprocessing, os, subprocess, sys

class Thing:
    pass

def work(number):
    print(number, Thing.__module__, __name__, sys.argv, flush=True)
    return Thing()

if __name__ == "__main__":
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.map(work, [1])[0].__class__)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    """Processes find what is in `__main__`, whatever they are started by."""
    write("app.py", PROCESSES)

    ended = assert_same(["app.py", method])

    assert 0 == ended.status, ended.stderr
