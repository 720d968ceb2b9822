"""Have the Python programs that a program starts run as it does, under the same run.

A child by fork has all it needs.  Where the same Python is started with a script, a module or code
(`subprocess`, `multiprocessing`, an autoreloader that executes itself again), its command line
becomes `python … -m logbatch run --joined …`: what runs can be seen there.  What a child must know
stands in its environment.  Where logbatch could not be imported in the child, or what it starts
with means something else to it, the command line stays as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import site
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from logbatch.capture.program import Program

RUN_ID = "LOGBATCH_RUN_ID"
RUN_OPTIONS = "LOGBATCH_RUN_OPTIONS"

_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_SWITCHES = frozenset("bBdEOPqsuv")
_TRACKERS = ".resource_tracker import main"  # a process of multiprocessing that runs no program
_COMMAND = ("-m", "logbatch", "run", "--joined")

Environment = Mapping[Any, Any] | Sequence[bytes] | None


class Joined(NamedTuple):
    """What a child must know of its run.

    Attributes:
        run_id: The run.
        to: The URL of the transport; None as for a handler.
        options: Options of the handler and of the transport.
    """

    run_id: str
    to: str | None
    options: Mapping[str, Any]

    @classmethod
    def read(cls) -> Joined | None:
        """Read it from the environment; None where it is not there, or not whole."""
        try:
            to, options = json.loads(os.environ[RUN_OPTIONS])
            return cls(os.environ[RUN_ID], to, dict(options))
        except (KeyError, ValueError, TypeError):
            return None

    def variables(self) -> dict[str, str]:
        """Return the variables that hold it."""
        return {RUN_ID: self.run_id, RUN_OPTIONS: json.dumps([self.to, self.options])}


def split_command(words: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Split what follows `python` into its options and its program.

    Returns:
        None where it names no program, or has an option with which none of ours could be run.
    """
    at = 0
    while at < len(words) and (word := words[at]).startswith("-") and word != "-":
        if word in _WITH_VALUE:
            at += 2
            continue
        if word.startswith(_WITH_VALUE):
            at += 1
            continue
        switches, final, attached = word[1:], "", ""
        for index, letter in enumerate(word[1:]):
            if letter in "mc":
                switches, final, attached = word[1 : index + 1], letter, word[index + 2 :]
                break
        if not _SWITCHES.issuperset(switches):
            return None
        if final:
            rest = [attached, *words[at + 1 :]] if attached else list(words[at + 1 :])
            flags = [*words[:at], *([f"-{switches}"] if switches else [])]
            return (flags, [f"-{final}", *rest]) if rest else None
        at += 1
    if at >= len(words) or words[at] == "-":
        return None
    return list(words[:at]), list(words[at:])


class Children:
    """Changes command lines.

    Args:
        joined: What a child must know.
    """

    def __init__(self, joined: Joined) -> None:
        self._variables = joined.variables()
        self._executable = sys.executable
        self._root = str(Path(__file__).parents[2])
        self._from_variable = self._root in _folders(os.environ.get("PYTHONPATH"))
        self._importable = self._from_variable or _is_installed(self._root)
        self._home = os.environ.get("PYTHONHOME")

    def install(self) -> None:
        """Replace the functions by which Python starts programs."""
        os.environ.update(self._variables)
        if not self._importable or not self._executable or getattr(sys, "frozen", False):
            return
        self._wrap_fork_exec()
        for name in ("posix_spawn", "posix_spawnp", "execv", "execve"):
            if hasattr(os, name):
                setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap_fork_exec(self) -> None:
        """Replace what `subprocess` and `multiprocessing` start programs by."""
        try:
            import _posixsubprocess
        except ImportError:
            return
        original: Any = _posixsubprocess.fork_exec

        def fork_exec(
            args: Any, executables: Any, close: Any, keep: Any, cwd: Any, env: Any, *more: Any
        ) -> Any:
            found = next((path for path in executables if os.access(path, os.X_OK)), b"")
            changed = self.change(found, args, env, cwd)
            if changed is not None:
                args, env = changed
            return original(args, executables, close, keep, cwd, env, *more)

        _posixsubprocess.fork_exec = fork_exec
        if (subprocess := sys.modules.get("subprocess")) is not None:
            vars(subprocess)["_fork_exec"] = fork_exec

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def start(path: Any, args: Any, *more: Any, **options: Any) -> Any:
            env = more[0] if more else None
            changed = self.change(path, args, env, None)
            if changed is not None:
                args, env = changed
                more = (env, *more[1:]) if more else more
            return original(path, args, *more, **options)

        start.__name__ = start.__qualname__ = original.__name__
        return start

    def change(
        self, executable: Any, args: Any, env: Environment, cwd: Any
    ) -> tuple[list[Any], Environment] | None:
        """Return the command line and the environment of a child that joins; None for any other.

        Args:
            executable: The path of what is to be executed.
            args: Its command line.
            env: Its environment; None for that of this process.
            cwd: Its directory; None for that of this process.
        """
        try:
            words = [os.fsdecode(word) for word in args]
            if not words or not self._is_this_python(os.fsdecode(executable)):
                return None
            variables = _read(env)
            split = split_command(words[1:])
            if split is None or not self._is_this_python(_find(words[0], variables)):
                return None
            if not self._joins(*split, variables, os.fsdecode(cwd or "")):
                return None
            flags, program = split
            return [words[0], *flags, *_COMMAND, *program], self._add(env)
        except (TypeError, ValueError, OSError):
            return None  # it is wrong; whoever was called says so

    def _is_this_python(self, path: str) -> bool:
        """Return whether it is this Python, of the same virtual environment: maybe another name."""
        if path == self._executable:
            return True
        here, there = os.path.abspath(self._executable), os.path.abspath(path)
        if os.path.dirname(here) != os.path.dirname(there):
            return False
        return os.path.realpath(here) == os.path.realpath(there)

    def _joins(self, flags: list[str], words: list[str], env: Mapping[str, str], cwd: str) -> bool:
        program = Program.parse(words)
        if program is None or (program.kind == "module" and program.target == "logbatch"):
            return False
        if program.kind == "code" and _TRACKERS in program.target:
            return False
        if env.get("PYTHONHOME") != self._home:
            return False
        if self._from_variable:
            ignored = any("E" in flag for flag in flags if not flag.startswith(_WITH_VALUE))
            if ignored or self._root not in _folders(env.get("PYTHONPATH")):
                return False
        return not _has_another(cwd or os.curdir, self._root)

    def _add(self, env: Environment) -> Environment:
        """Add the variables of ours to an environment that was made for the child."""
        if env is None:
            return None
        if isinstance(env, Mapping):
            names = {os.fsdecode(name) for name in env}
            return {**env, **{k: v for k, v in self._variables.items() if k not in names}}
        names = {os.fsdecode(each).partition("=")[0] for each in env}
        ours = [os.fsencode(f"{k}={v}") for k, v in self._variables.items() if k not in names]
        return [*env, *ours]


def _find(name: str, variables: Mapping[str, str]) -> str:
    """Return where Python finds itself by the first word of its command line."""
    if os.sep in name:
        return name
    return shutil.which(name, path=variables.get("PATH")) or ""


def _read(env: Environment) -> Mapping[str, str]:
    if env is None:
        return os.environ
    if isinstance(env, Mapping):
        return {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
    pairs = (os.fsdecode(each).partition("=") for each in env)
    return {name: value for name, _, value in pairs}


def _folders(path: str | None) -> list[str]:
    return [os.path.abspath(each) for each in (path or "").split(os.pathsep) if each]


def _is_installed(root: str) -> bool:
    """Return whether every process of this Python finds the package, whatever it is started with.

    It does not where the package was found in the current directory, or is this user's alone.
    """
    if root == (site.USER_SITE or ""):
        return False
    folders = [os.path.abspath(path) for path in sys.path if path]
    first = 0 if sys.flags.safe_path else 1  # that of the program, or the current one
    return root in folders[first:] or root not in folders  # an editable one, by a finder


def _has_another(folder: str, root: str) -> bool:
    """Return whether `-m logbatch` would find another module of that name in a directory."""
    found = [
        name
        for name in ("logbatch.py", "logbatch/__init__.py")
        if os.path.exists(os.path.join(folder, name))
    ]
    return bool(found) and os.path.realpath(folder) != os.path.realpath(root)
