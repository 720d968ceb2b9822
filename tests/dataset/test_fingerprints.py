"""Fingerprints: which exceptions are one error, whatever they say and wherever they arise."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.dataset.analysis.fingerprints import Fingerprint, of_exception, of_template
from logbatch.dataset.analysis.tracebacks import read_traceback
from logbatch.events.stacktrace import from_exc_info, squeeze

APP = """
def handle(error):
    raise error

def wrap(error, cause):
    try:
        raise cause
    except BaseException as problem:
        raise error from problem

def replace(error, cause):
    try:
        raise cause
    except BaseException:
        raise error

def call(function, *args):
    return function(*args)
"""
HEADER = "Traceback (most recent call last):"


@functools.cache
def module(path: str, source: str = APP) -> dict[str, Any]:
    """Run a module as if it were in a file."""
    names: dict[str, Any] = {"__name__": "module"}
    exec(compile(source, path, "exec"), names)
    return names


def caught(function: Callable[..., Any], *args: Any) -> tuple[str | None, str]:
    """Return type and stack trace of what a function raises, as stored; this file is not in it."""
    try:
        function(*args)
    except BaseException as error:
        trace = error.__traceback__
        failure = from_exc_info((type(error), error, trace and trace.tb_next), 100_000)
        assert failure and failure.stacktrace
        return failure.type, failure.stacktrace
    raise AssertionError("nothing was raised")


def fingerprint(path: str, error: BaseException, source: str = APP, **given: Any) -> Fingerprint:
    """Return the fingerprint of what a module raises."""
    return of_exception(*caught(module(path, source)["handle"], error), **given)


def printed(*frames: tuple[str, str], last: str = "ValueError: no") -> str:
    """Print a stack trace as Python does."""
    lines = [f'  File "{path}", line 7, in {name}\n    do()\n' for path, name in frames]
    return f"{HEADER}\n{''.join(lines)}{last}"


def digest(*frames: tuple[str, str], kind: str = "ValueError", **given: Any) -> str:
    """Return the fingerprint of a stack trace as Python prints it."""
    return of_exception(kind, printed(*frames), **given).digest


SHOP = fingerprint("/srv/shop/web.py", ValueError(1))


def test_messages_and_lines_do_not_count() -> None:
    """The same code is the same error, also if lines were added above it."""
    assert SHOP == fingerprint("/srv/shop/web.py", ValueError("two\nlines"))
    assert SHOP == fingerprint("/srv/shop/web.py", ValueError(), "# new\n" * 40 + APP)
    assert 16 == len(SHOP.digest) == len(f"{int(SHOP.digest, 16):016x}")


def test_what_tells_errors_apart() -> None:
    """Type, file and function do."""
    shop = module("/srv/shop/web.py")
    found = [
        SHOP,
        fingerprint("/srv/shop/web.py", KeyError(1)),
        fingerprint("/srv/shop/api.py", ValueError(1)),
        fingerprint("/srv/pay/web.py", ValueError(1)),
        of_exception(*caught(shop["call"], int, "x")),
        of_exception(*caught(shop["call"], shop["call"], int, "x")),
        of_exception(*caught(shop["call"], module("/srv/shop/db.py")["call"], int, "x")),
    ]
    # How deep a function has called itself does not count.
    assert found[4] == found[5]
    assert 6 == len({each.digest for each in found})


def test_where_it_arose() -> None:
    """The culprit is the innermost of the application's own frames."""
    frames = (
        ("/usr/lib/python3.11/threading.py", "run"),
        ("/srv/shop/web.py", "get"),
        ("/srv/shop/db/pool.py", "ask"),
        ("/venv/lib/python3.11/site-packages/psycopg/cursor.py", "execute"),
    )
    found = of_exception("ValueError", printed(*frames))
    assert ("db/pool.py in ask", frames[1:3]) == (found.culprit, found.frames)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/python3.12/json/decoder.py",
        "/usr/local/lib/python3.13t/asyncio/base_events.py",
        "/home/a/.pyenv/versions/3.11.7/lib/python3.11/threading.py",
        "/opt/pypy/lib/pypy3.10/json/decoder.py",
        "/usr/lib/python311.zip/json/decoder.py",
        "/usr/lib/python3/dist-packages/django/core/handlers/base.py",
        "/srv/shop/.venv/lib64/python3.11/site-packages/django/core/handlers/base.py",
        "C:\\Python311\\Lib\\json\\decoder.py",
        "C:\\Users\\a\\AppData\\Local\\Programs\\Python\\Python311\\Lib\\runpy.py",
        "C:\\shop\\venv\\Lib\\site-packages\\flask\\app.py",
        "/eggs/flask-1.0.egg/flask/app.py",
        "<frozen importlib._bootstrap>",
        "<string>",
    ],
)
def test_code_of_others_does_not_count(path: str) -> None:
    """The standard library and installed packages are not the application's."""
    own = ("/srv/shop/web.py", "get")
    assert digest(own) == digest((path, "run"), own, (path, "inner"))


@pytest.mark.parametrize(
    "path", ["/srv/shop/lib/json/decoder.py", "/srv/Lib/shop.py", "/lib/python/web.py", "web.py"]
)
def test_what_looks_like_code_of_others_counts(path: str) -> None:
    """A directory `lib` alone is no standard library."""
    own = ("/srv/shop/web.py", "get")
    assert digest(own) != digest(own, (path, "run"))


def test_where_no_frame_is_of_the_application() -> None:
    """Those of packages count, whatever Python they are under; where there are none, all."""
    flask = "site-packages/flask/app.py"
    python = ("/usr/lib/python3.11/json/decoder.py", "decode")
    with_json = digest((f"/a/lib/python3.11/{flask}", "run"), python)

    assert with_json == digest((f"/b/lib/python3.13/{flask}", "run"))
    assert with_json == digest((f"C:\\b\\Lib\\{flask}".replace("/", "\\"), "run"))
    assert with_json != digest((f"/a/lib/python3.11/{flask}", "stop"))
    assert digest(python) == digest(("/opt/py/lib/python3.13/json/decoder.py", "decode"))
    assert digest(python) != digest(("/usr/lib/python3.11/json/scanner.py", "decode"))


def test_another_directory_is_the_same_code() -> None:
    """A package is known wherever it is deployed; two packages are told apart."""
    for root in ("/home/ann", "/srv/shop-1.2", "C:\\work\\3", "/app", "/tmp/tmpab12cd_x"):
        assert SHOP.digest == digest((f"{root}/shop/web.py", "handle"))
    assert SHOP.digest != digest(("/srv/pay/web.py", "handle"))

    first, *others = (
        digest((f"{root}/main.py", "run"), (f"{root}/shop/db.py", "ask"))
        for root in ("/app", "/home/ann/x", "/srv/1", "D:\\a")
    )
    assert {first} == set(others)


@pytest.mark.parametrize("root", ["/srv/7", "/app", "/home/ann/shop-main", "/srv/20261121", "/x"])
def test_a_script_in_a_directory_that_is_no_package(root: str) -> None:
    """Its directory does not count where its name, or the record, shows that it is none."""
    script = (f"{root}/job.py", "work")
    named = {"logger": "__main__", "pathname": f"{root}/job.py"}
    assert digest(("/one/job.py", "work"), **{**named, "pathname": "/one/job.py"}) == digest(
        script, **named
    )
    by_name = {"logger": "job", "pathname": f"{root}/job.py"}
    assert digest(script, **named) == digest(script, **by_name)
    started = ((f"{root}/job.py", "<module>"), script)
    assert digest(*started) == digest(("/one/job.py", "<module>"), ("/one/job.py", "work"))
    # Also where it is only the last of a chain that came through the script's own lines.
    cause = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    chain, other = (
        printed((f"{at}/job.py", "work")) + cause + printed((f"{at}/job.py", "<module>"))
        for at in (root, "/one")
    )
    assert of_exception("E", chain).digest == of_exception("E", other).digest


def test_the_logger_tells_where_modules_are() -> None:
    """A logger that is called like its module shows the directory that is imported from."""
    for root, logger in (("/a/b", "shop.web"), ("/c", "shop.web.Handler"), ("", "shop")):
        file = "/shop/__init__.py" if logger == "shop" else "/shop/web.py"
        given = {"logger": logger, "pathname": root + file}
        assert digest(("/shop/db/pool.py", "f"), logger="shop", pathname="/shop/__init__.py") == (
            digest((f"{root}/shop/db/pool.py", "f"), **given)
        )


@pytest.mark.parametrize("pathname", ["", "/", None, "web", "/site-packages/x.py", "<string>"])
@pytest.mark.parametrize("logger", ["", ".", "__main__", "shop.web", "web"])
def test_any_record(logger: str, pathname: str | None) -> None:
    """Whatever logger and file are, there is a fingerprint."""
    assert digest(("/srv/shop/web.py", "handle"), logger=logger, pathname=pathname)


def test_another_python_is_the_same_code() -> None:
    """Neither marks below a line count, nor frames that only older ones have."""
    own = ("/srv/shop/web.py", "get")
    new = printed(own).replace("    do()\n", "    do()\n    ~~^^\n")
    assert of_exception("ValueError", new).digest == digest(own, ("/srv/shop/web.py", "<listcomp>"))
    # A module that is run is `__main__`.
    assert digest(own, kind="__main__.Bad") == digest(own, kind="Bad")


@pytest.mark.parametrize("how", ["wrap", "replace"])
def test_what_led_to_it_counts(how: str) -> None:
    """An exception from another cause is another error; of the cause, too, only what it is."""
    shop = module("/srv/shop/web.py")

    def found(cause: BaseException) -> str:
        return of_exception(*caught(shop[how], ValueError("x"), cause)).digest

    assert found(KeyError(1)) == found(KeyError('\n  File "/x/y.py", line 3, in z\nA: b'))
    assert 3 == len({found(KeyError(1)), found(OSError(1)), SHOP.digest})
    # Of `shop`, the exception that is told is the last.
    kind, trace = caught(shop[how], ValueError("x"), KeyError(1))
    assert "shop/web.py in " + how == of_exception(kind, trace).culprit


def test_the_members_of_a_group() -> None:
    """How many there are, and their order, does not count; which ones they are, does."""
    shop = module("/srv/shop/web.py")

    def raised(error: Exception) -> Exception:
        try:
            shop["handle"](error)
        except Exception as found:
            return found
        raise AssertionError

    def found(*members: Exception) -> str:
        group = ExceptionGroup("some", [raised(each) for each in members])
        return of_exception(*caught(shop["handle"], group)).digest

    one = found(ValueError(1), KeyError(1))
    assert one == found(KeyError(2), ValueError(3), KeyError("x\n| y"))
    assert one == found(*(KeyError(n) for n in range(14)), ValueError(1))
    assert one != found(ValueError(1), OSError(1))
    inner = ExceptionGroup("inner", [raised(OSError(1))])
    assert one != found(ValueError(1), KeyError(1), inner)
    # More than the standard library prints are printed otherwise.
    many = found(*(KeyError(n) for n in range(50)))
    assert many == found(*(KeyError(n) for n in range(60)))


def test_a_group_of_tasks() -> None:
    """A failed task is told in the traceback of its group."""

    async def fail(kind: type[Exception]) -> None:
        module("/srv/shop/web.py")["handle"](kind("x"))

    async def run(*kinds: type[Exception]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for kind in kinds:
                tasks.create_task(fail(kind))

    def found(*kinds: type[Exception]) -> str:
        kind, trace = caught(lambda: asyncio.run(run(*kinds)))
        assert all(any(each.is_member for each in read_traceback(trace)) for _ in kinds)
        return of_exception(kind, trace).digest

    assert found(KeyError) == found(KeyError, KeyError)
    assert found(KeyError) != found(KeyError, OSError)


def test_how_deep_a_recursion_went_does_not_count() -> None:
    """Neither of one function nor of two, also where frames are left out."""
    source = (
        "def even(n, error):\n    if n: odd(n - 1, error)\n    raise error\n"
        "def odd(n, error):\n    even(n, error)\n"
        "def down(n, error):\n    if n: down(n - 1, error)\n    raise error\n"
    )
    names = module("/srv/shop/deep.py", source)
    for name in ("even", "down"):
        found = {of_exception(*caught(names[name], n, ValueError(n))) for n in (3, 40, 150, 300)}
        assert 1 == len(found)


def test_the_place_of_a_syntax_error_counts() -> None:
    """It is in the file that cannot be read, which has no function."""

    def found(path: str, text: str) -> Fingerprint:
        shop = module("/srv/shop/web.py")
        return of_exception(*caught(shop["call"], lambda: compile(text, path, "exec")))

    bad = found("/srv/shop/bad.py", "def")
    assert bad.digest == found("/srv/shop/bad.py", "\n\nx = = 1").digest
    assert bad.digest != found("/srv/shop/worse.py", "def").digest
    assert ("shop/bad.py", ("/srv/shop/bad.py", "")) == (bad.culprit, bad.frames[-1])


def test_notes_and_the_stack_of_the_call_do_not_count() -> None:
    """Nothing that follows the exception does."""
    error = ValueError(1)
    error.add_note(f'see\n{HEADER}\n  File "/x/y.py", line 3, in z\nKeyError: 1')
    assert SHOP == fingerprint("/srv/shop/web.py", error)
    kind, trace = caught(module("/srv/shop/web.py")["handle"], ValueError(1))
    stack = 'Stack (most recent call last):\n  File "/srv/shop/main.py", line 1, in main\n    go()'
    assert SHOP == of_exception(kind, f"{trace}\n{stack}")


def test_the_traceback_of_another_process() -> None:
    """`multiprocessing` and `concurrent.futures` put it into the message of the cause."""
    remote = printed(("/srv/shop/work.py", "crunch"), last="KeyError: 1")
    cause = "\nThe above exception was the direct cause of the following exception:\n"

    def found(text: str) -> list[str | None]:
        quoted = f'concurrent.futures.process._RemoteTraceback: \n"""\n{text}\n"""\n{cause}\n'
        own = printed(("/srv/shop/main.py", "run"), last="KeyError: 1")
        return [each.type for each in read_traceback(quoted + own)]

    assert ["concurrent.futures.process._RemoteTraceback", "KeyError", "KeyError"] == found(remote)


def test_what_was_cut() -> None:
    """Of a trace whose middle was cut out both ends count, as far as they can be read."""
    frames = [(f"/srv/shop/m{n}.py", f"function_{n}") for n in range(40)]
    whole = printed(*frames)
    found = [of_exception("ValueError", squeeze(whole, limit)) for limit in range(600, 2600, 7)]
    names = {name for _, name in frames}
    assert all({name for _, name in each.frames} <= names for each in found)
    assert {"shop/m39.py in function_39"} == {each.culprit for each in found[50:]}
    assert all(each.frames[0] == frames[0] for each in found)
    long = squeeze(printed(*frames[:2], last="ValueError: " + "x" * 10_000), 4000)
    assert digest(*frames[:2]) == of_exception("ValueError", long).digest


JAVA = """java.lang.IllegalStateException: order 4711 of "ann" is gone
\tat com.shop.Orders.find(Orders.java:42)
\tat com.shop.Web.handle(Web.java:7)
Caused by: java.io.IOException: 5 bytes
\t... 12 more"""
GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.handle(0xc000012345, 0x7)
\t/home/ann/shop/web.go:8 +0x1d
main.main()
\t/home/ann/shop/main.go:4 +0x25"""
NODE = """TypeError: Cannot read properties of undefined (reading 'x')
    at handle (/srv/7/shop/web.js:3:9)
    at Object.<anonymous> (/srv/7/shop/main.js:12:1)"""


@pytest.mark.parametrize(
    ("trace", "same", "other"),
    [
        (JAVA, ("4711", "12", 'of "ann"', 'of "bob"', "java:42", "java:43"), ("find", "get")),
        (GO, ("[5]", "[6]", "web.go:8", "web.go:9", "+0x1d", "+0xff"), ("web.go", "api.go")),
        (GO, ("/home/ann/", "/srv/"), ("main.go", "run.go")),
        (NODE, ("3:9", "4:1", "'x'", "'y'", "/srv/7/", "/home/ann/"), ("at handle", "at get")),
        ("it failed: 5 of 'x'", ("5", "17", "'x'", "'it'"), ("failed", "ended")),
    ],
)
def test_what_other_languages_print(
    trace: str, same: tuple[str, ...], other: tuple[str, str]
) -> None:
    """Their lines count as text: without numbers, quoted texts and the directories before files."""
    found = of_exception("E", trace)
    for old, new in zip(same[::2], same[1::2], strict=True):
        assert old in trace
        assert found == of_exception("E", trace.replace(old, new))
    assert found != of_exception("E", trace.replace(*other))
    assert found != of_exception("F", trace)
    assert ((), None) == (found.frames, found.culprit)


def crash(why: str, function: str, line: int, other: str = "run") -> str:
    """Print a crash as `faulthandler` does."""
    return (
        f"Fatal Python error: {why}\n\nThread 0x00007f{line} (most recent call first):\n"
        f'  File "/usr/lib/python3.11/threading.py", line {line} in {other}\n\n'
        f"Current thread 0x00007e{line} (most recent call first):\n"
        f'  File "/usr/lib/python3.11/ctypes/__init__.py", line {line} in string_at\n'
        f'  File "/srv/shop/web.py", line {line} in {function}\n'
        f'  File "/srv/shop/web.py", line {line} in get\n\nExtension modules: a.b (total: 1)'
    )


def test_a_crash_in_c() -> None:
    """Its thread counts, and why; the innermost frame comes first there."""
    found = of_exception(None, crash("Segmentation fault", "peek", 5))
    assert ("Fatal Python error: Segmentation fault", "shop/web.py in peek") == (
        found.type,
        found.culprit,
    )
    assert (("/srv/shop/web.py", "get"), ("/srv/shop/web.py", "peek")) == found.frames
    assert found == of_exception(None, crash("Segmentation fault", "peek", 7, "wait"))
    for other in (crash("Segmentation fault", "poke", 5), crash("Aborted", "peek", 5)):
        assert found.digest != of_exception(None, other).digest


def test_line_ends_of_windows() -> None:
    """They do not count."""
    kind, trace = caught(module("/srv/shop/web.py")["handle"], ValueError(1))
    assert SHOP == of_exception(kind, trace.replace("\n", "\r\n"))


def test_errors_without_a_stack_trace() -> None:
    """Logger, template and type count."""
    found = [
        of_template(*given)
        for given in [(None, "a", "x %s"), (None, "b", "x %s"), (None, "a", "y"), ("E", "a", "y")]
    ]
    assert 4 == len(set(found))
    assert of_template("__main__.E", "a", "y") == found[3]


PIECES = [
    *("Current thread 0x1 (most recent call first):", '  File "/a/b.py", line 1 in f'),
    *(HEADER, f"  + Exception Group {HEADER}", "Stack (most recent call last):", '"""', "…[cut: "),
    *('  File "/a/b.py", line 1, in f', '  File "', '", line 1', ", in ", "ValueError: x", "x"),
    *("  +-+---------------- 1 ----------------", "    +---------------- 2 ----------------"),
    *("    +------------------------------------", "  | ", "    | ", "  |   | ", "\n", "\n\n", " "),
    *("The above exception was the direct cause of the following exception:", "  [", "\0", "é"),
    *("During handling of the above exception, another exception occurred:", "\\", "/", "<", "-"),
    *("site-packages/", "/lib/python3.11/", "\\Lib\\", "'", "0x", "1", "\tat a.b(C.java:1)"),
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5)).map("".join), st.text(), st.text())
def test_any_text_has_a_fingerprint(trace: str, logger: str, pathname: str) -> None:
    """Nothing is raised, and it is the same each time."""
    found = of_exception(None, trace, logger, pathname)
    assert found == of_exception(None, trace, logger, pathname)
    assert bool(found.frames) == any(each.frames for each in read_traceback(trace))


@pytest.mark.parametrize("start", ["", f"{HEADER}\n", f"  + Exception Group {HEADER}\n  +-", "\t"])
def test_hostile_texts(start: str) -> None:
    """The time grows with the length of a text, whatever is in it: none takes minutes."""
    begin = time.process_time()
    for piece in (*PIECES, f"\n{PIECES[6]}", "  |", "   |", "a-1-"):
        text = start + piece * (100_000 // len(piece))
        of_exception("E", text, "a." * 100, "/a" * 100)
    assert time.process_time() - begin < 30
