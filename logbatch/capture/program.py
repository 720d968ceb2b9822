"""Run a Python program in this process as if it had been started alone.

The program gets a module `__main__` of its own, and `sys.argv`, `sys.orig_argv` and `sys.path[0]`
as its own command line would have given them.  It ends as it would: what it does not catch goes up
to the interpreter itself, which prints it by `sys.excepthook`, and ends by SIGINT where that was
Ctrl-C.  Frames of ours are in no traceback.

What cannot be hidden: our frames are below the program's first one (`inspect.stack()`), and what
we have imported is in `sys.modules`, but for modules of which the program has its own.
"""

from __future__ import annotations

import builtins
import io
import linecache
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import (
    BuiltinImporter,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any, NamedTuple

OnFailure = Callable[[BaseException, Callable[[], object]], object]
"""Called with what the program did not catch, and what prints it, which it calls."""

_OURS = __name__.partition(".")[0]
_NO_SUCH_FILE = 2  # the exit status of `python missing.py`


class Program(NamedTuple):
    """A Python program and its arguments.

    Attributes:
        kind: What the target is: the path of a `script`, the name of a `module`, or `code`.
        target: The program.
        arguments: What follows it on the command line.
    """

    kind: str
    target: str
    arguments: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: Sequence[str]) -> Program | None:
        """Read a command line as Python itself does; None where it names no program."""
        match words:
            case ["-m", target, *rest]:
                return cls("module", target, tuple(rest))
            case ["-c", target, *rest]:
                return cls("code", target, tuple(rest))
            case [target, *rest] if not target.startswith("-"):
                return cls("script", target, tuple(rest))
        return None

    def words(self) -> list[str]:
        """Return it as it stands on a command line, behind the options of Python."""
        option = {"module": ["-m"], "code": ["-c"]}.get(self.kind, [])
        return [*option, self.target, *self.arguments]

    def name(self) -> str:
        """Return what it is called: the name of its script or module."""
        if self.kind == "code":
            return "python"
        if self.kind == "module":
            return self.target.removesuffix(".__main__").rpartition(".")[2]
        path = os.path.abspath(self.target)
        if os.path.basename(path) == "__main__.py":
            path = os.path.dirname(path)
        return os.path.splitext(os.path.basename(path))[0]


def run(program: Program, flags: Sequence[str], on_failure: OnFailure) -> None:
    """Run a program to its end.

    Args:
        program: What to run.
        flags: The options of Python with which this process was started.
        on_failure: Called while what the program did not catch is printed.

    Raises:
        BaseException: What the program did not catch.
    """
    main = _make_main()
    first = "" if program.kind == "script" else f"-{program.kind[0]}"
    sys.argv = [first or program.target, *program.arguments]
    sys.orig_argv = [*sys.orig_argv[:1], *flags, *program.words()]
    _hide_our_frames()
    try:
        if program.kind == "script":
            _run_script(program.target, main)
        elif program.kind == "module":
            _enter(os.getcwd())
            runpy._run_module_as_main(program.target)  # type: ignore[attr-defined]
        else:
            _enter("")
            _run_code(program.target, main)
    except SystemExit:
        raise
    except BaseException as error:
        _print_without_us(error, on_failure)
        raise


def _make_main() -> ModuleType:
    """Put a module `__main__` in the place of ours, as the interpreter makes it."""
    main = ModuleType("__main__")
    fields: dict[str, Any] = vars(main)
    fields["__loader__"] = BuiltinImporter
    if sys.version_info < (3, 14):
        fields["__annotations__"] = {}
    fields["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _run_script(path: str, main: ModuleType) -> None:
    if _holds_modules(path):  # a directory or a zip file
        _enter(os.path.join(os.getcwd(), path), always=True)
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        return
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        text = f"can't open file {os.path.join(os.getcwd(), path)!r}"
        print(f"{sys.executable}: {text}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        raise SystemExit(_NO_SUCH_FILE) from None
    _enter(os.path.dirname(os.path.realpath(path)))
    name = os.path.join(os.getcwd(), path)  # as it is in `__file__` of every script, with its dots
    compiled = path.endswith(".pyc")
    loader = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", name)
    vars(main).update(__file__=name, __cached__=None, __loader__=loader)
    code = loader.get_code("__main__") if compiled else _compile(source, name)
    assert code is not None
    exec(code, vars(main))


def _holds_modules(path: str) -> bool:
    """Return whether modules are imported from a path: it is a directory or a zip file."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _run_code(source: str, main: ModuleType) -> None:
    if sys.version_info >= (3, 13):  # from there on, tracebacks show its lines
        lines = [f"{line}\n" for line in source.splitlines()]
        linecache.cache["<string>"] = len(source), None, lines, "<string>"
    exec(_compile(source, "<string>"), vars(main))


def _compile(source: str | bytes, name: str) -> CodeType:
    return compile(source, name, "exec", dont_inherit=True)


# ------------------------------------------------------------------ where modules come from


def _enter(folder: str, *, always: bool = False) -> None:
    """Put the program's own folder where ours, or the current one, stands in `sys.path`."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif always:
        sys.path.insert(0, folder)
    else:
        return
    _give_way(folder)


def _give_way(folder: str) -> None:
    """Forget those modules that we have imported and of which the program has its own.

    Started alone, it would have found its own `queue.py` before that of the standard library.
    """
    try:
        own = {name.partition(".")[0] for name in os.listdir(folder or os.curdir)}
    except OSError:
        return
    for name in own.intersection(sys.modules) - {_OURS, "__main__", "encodings"}:
        here = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None)
        if here in (None, "built-in", "frozen"):
            continue  # the interpreter has these before it looks for any program
        there = PathFinder.find_spec(name, [folder or os.getcwd()])
        if there is not None and there.origin not in (None, here):
            for each in [each for each in sys.modules if each.partition(".")[0] == name]:
                del sys.modules[each]


# ------------------------------------------------------------------ what is not caught


def _print_without_us(error: BaseException, on_failure: OnFailure) -> None:
    """Have the interpreter print what it is about to get from us without the frames of ours."""
    trace = _skip_ours(error.__traceback__)
    hook = getattr(sys, "excepthook", None) or _say_that_it_is_missing

    def print_it(kind: type[BaseException], value: BaseException, _: object) -> None:
        sys.excepthook = hook
        value.__traceback__ = trace
        sys.last_traceback = trace
        on_failure(value, lambda: _call(hook, kind, value, trace))

    sys.excepthook = print_it


def _skip_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _call(
    hook: Callable[..., object],
    kind: type[BaseException],
    value: BaseException,
    trace: TracebackType | None,
) -> None:
    """Call the program's `sys.excepthook`; one that fails is told of as the interpreter does."""
    try:
        hook(kind, value, trace)
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = _skip_ours(error.__traceback__)
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(error), error, error.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(kind, value, trace)


def _say_that_it_is_missing(
    kind: type[BaseException], value: BaseException, trace: TracebackType | None
) -> None:
    print("sys.excepthook is missing", file=sys.stderr)
    sys.__excepthook__(kind, value, trace)


def _hide_our_frames() -> None:
    """Have a printed stack end where the program begins, as `traceback.print_stack` shows it."""
    walk = traceback.walk_stack

    def walk_stack(f: FrameType | None) -> Iterator[tuple[FrameType, int]]:
        return _without_ours(walk(f)) if f is not None else walk(None)

    traceback.walk_stack = walk_stack


def _without_ours(frames: Iterator[tuple[FrameType, int]]) -> Iterator[tuple[FrameType, int]]:
    for frame, line in frames:
        if frame.f_code.co_filename == __file__:
            return
        yield frame, line
